//! The option `collector`: instead of a path, not beside one.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use kindred_plugin_api::{Context, Poll, Source, options};
use kindred_plugin_cookies::{Config, Cookies};

fn paths(json: &str) -> Vec<String> {
    let config: Config = options::parse(json).unwrap();
    Cookies::validate(&config).into_iter().map(|problem| problem.path).collect()
}

const SITES: &str = r#""sites":{"shop":{"key":"wk_shop_1"}}"#;

#[test]
fn one_of_path_and_collector_is_needed() {
    assert_eq!(paths("{}"), [""]);
    let listen = format!(r#""collector":{{"listen":"127.0.0.1:0",{SITES}}}"#);
    assert_eq!(paths(&format!("{{{listen}}}")), [""; 0]);
    assert_eq!(paths(&format!(r#"{{"path":"a.jsonl",{listen}}}"#)), ["/path"]);
    assert_eq!(
        paths(&format!(r#"{{"cookie":"c","time":"t","event":"e",{listen}}}"#)),
        ["/cookie", "/time", "/event"]
    );
    assert_eq!(paths(&format!(r#"{{"event":{{"column":"event","map":{{"a":"b"}}}},{listen}}}"#)), [""; 0]);
}

#[test]
fn problems_of_the_collector_are_told_with_their_place() {
    let json = r#"{"properties":{"x":{"type":"decimal","decimal":",","thousands":","}},"collector":{"listen":"here","proxies":["10.0.0.0/99"],
        "consent":{"vendor":0},"cookie":{"secret":"short","max_age":"13 moons"},
        "sites":{"a":{"key":"wk_shop_1","origins":["shop.example/"]},"b":{"key":"wk_shop_1","cookie_domain":"a; b"}},
        "partners":{"p":{"url":"http://evil.example/"}}}}"#;
    let expected = [
        "/collector/listen",
        "/collector/proxies/0",
        "/collector/sites/a/origins/0",
        "/collector/sites/b/key",
        "/collector/sites/b/cookie_domain",
        "/collector/cookie/secret",
        "/collector/cookie/max_age",
        "/collector/public_url",
        "/collector/partners/p/url",
        "/collector/consent/vendor",
        "/properties/x/thousands",
    ];
    assert_eq!(paths(json), expected);
}

#[test]
fn no_secret_is_shown() {
    let json = format!(
        r#"{{"collector":{{"listen":"127.0.0.1:0",{SITES},"cookie":{{"secret":"hush hush hush hush hush hush hush"}}}}}}"#
    );
    let config: Config = options::parse(&json).unwrap();
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn it_listens_and_idles() {
    let dir = tempfile::tempdir().unwrap();
    let json = format!(r#"{{"collector":{{"listen":"127.0.0.1:0",{SITES}}}}}"#);
    let mut source = Cookies::open(options::parse(&json).unwrap(), Context::detached(dir.path())).unwrap();
    assert!(source.schema().unwrap().column_with_name("consent_version").is_some());
    assert!(matches!(source.poll(10, 1000).unwrap(), Poll::Idle { wait_ms: 0 }));
    source.close().unwrap();
    assert!(matches!(source.poll(10, 1000), Ok(Poll::End) | Err(_)));
}

#[test]
fn the_pipeline_file_of_the_documentation_is_right() {
    let page = include_str!("../../../docs/collector.md");
    let text = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let text = text.replace("${env:", "0123456789abcdef0123456789abcdef ${env:").replace("$${", "${");
    let file: toml::Table = toml::from_str(&text).unwrap();
    let config = serde_json::to_string(&file["sources"]["web"]["config"]).unwrap();
    assert_eq!(paths(&config), [""; 0]);
}

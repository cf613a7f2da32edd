//! `kindred serve`: live rows, the Profile API, changes as they happen, signals.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use kindred_tests::{deliveries, sandbox::Sandbox, server::Server};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const KEY: &str = "a key of the shop, long";
const POOR: &str = "a key with no scope but one";

const PIPELINE: &str = r#"
[pipeline]
name = "shop"
store = "store"

[sources.web]
plugin = "cookies"
consent = "granted"
config = { path = "logs", consent = "consent" }

[sources.crm]
plugin = "crm-import"
consent = "granted"
config = { path = "crm.csv", keys = { cookie = "cookie" } }

[segments.lookers]
rule = "count(event = 'product_view', '30 days') >= 2"

[segments.germans]
rule = "attr('crm.country') = 'DE'"

[destinations.out]
plugin = "dsp-export"
segments = ["lookers"]
minimum_audience = 50
config = { format = "csv", path = "out", identifier = "cookie" }

[serve]
listen = "127.0.0.1:0"
look_every = "100 ms"
deliver_every = "300 ms"

[serve.keys.shop]
key = "a key of the shop, long"
scopes = ["profile", "bulk", "changes", "explain"]
attributes = ["crm.country"]
origins = ["https://shop.example"]

[serve.keys.poor]
key = "a key with no scope but one"
segments = ["germans"]
"#;

fn line(id: &str, cookie: u32, consent: &str) -> String {
    let time = jiff::Timestamp::now();
    format!(
        r#"{{"id":"{id}","cookie":"c{cookie:04}","event":"product_view","time":"{time}","consent":"{consent}"}}"#
    ) + "\n"
}

/// Two product views of each.
fn views(cookies: std::ops::Range<u32>) -> String {
    cookies.map(|c| line(&format!("{c}-1"), c, "granted") + &line(&format!("{c}-2"), c, "granted")).collect()
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("pipeline.toml", PIPELINE);
    sandbox.write("crm.csv", "cookie,country,income\nc0001,DE,5\nc0002,FR,7\n");
    sandbox.write("logs/1.jsonl", views(0..60));
    sandbox
}

fn segments(answer: &Value) -> Vec<&str> {
    answer["segments"]
        .as_array()
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

#[test]
fn profiles_are_told_and_follow_what_comes() {
    let sandbox = sandbox();
    let mut server = Server::start(&sandbox, "pipeline.toml", &[]);
    let one = server.wait_for("members", |server| {
        let (status, answer) = server.get("/v1/profiles/cookie:c0001", Some(KEY));
        (status == 200 && segments(&answer).len() == 2).then_some(answer)
    });
    assert_eq!(segments(&one), ["germans", "lookers"]);
    assert_eq!(one["attributes"], json!({"crm.country": "DE"}), "only what the key is allowed");
    assert_eq!(one["consent"], "granted");
    assert!(one["next_change"].as_str().unwrap() > one["as_of"].as_str().unwrap(), "{one}");
    // New rows of a new file are seen without a restart, and told to who listens.
    let mut stream = server.stream("/v1/changes?segments=lookers", KEY);
    sandbox.write("logs/2.jsonl", views(60..61));
    let told: Vec<String> = stream.by_ref().take(2).collect();
    assert_eq!(told[0], "event: enter");
    let data: Value = serde_json::from_str(told[1].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!((&data["segment"], &data["profile"]), (&json!("lookers"), &json!("cookie:c0060")));
    assert_eq!(segments(&server.get("/v1/profiles/cookie:c0060", Some(KEY)).1), ["lookers"]);
    let asked = json!({"identifiers": ["cookie:c0001", "cookie:c0060", "cookie:nobody"]});
    let (status, many) = server.post("/v1/profiles", KEY, &asked);
    assert_eq!((status, &many["profiles"]["cookie:nobody"]), (200, &Value::Null), "{many}");
    assert_eq!(segments(&many["profiles"]["cookie:c0060"]), ["lookers"]);
    let (status, reason) = server.get("/v1/profiles/cookie:c0060/segments/lookers", Some(KEY));
    assert_eq!(
        (status, &reason["reason"]["holds"], &reason["member"]),
        (200, &json!(true), &json!(true)),
        "{reason}"
    );
    server.wait_for("a delivery", |_| sandbox.path("out").exists().then_some(()));
    let metrics = server.get("/metrics", None).1;
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.contains("kindred_segment_members{segment=\"lookers\"} 61"), "{metrics}");
    assert!(metrics.contains("kindred_source_rows_total{source=\"web\",outcome=\"event\"} 122"), "{metrics}");
    let (status, out) = server.stop();
    assert!(status.success(), "{out}");
    assert!(out.contains("61"), "{out}");
}

#[test]
fn consent_that_is_taken_back_shows_at_once_and_leaves_the_audience() {
    let sandbox = sandbox();
    let mut server = Server::start(&sandbox, "pipeline.toml", &[]);
    server.wait_for("members", |server| {
        (segments(&server.get("/v1/profiles/cookie:c0001", Some(KEY)).1).len() == 2).then_some(())
    });
    server.wait_for("the first delivery", |_| {
        deliveries::now(&sandbox.path("out")).contains("c0001").then_some(())
    });
    let mut stream = server.stream("/v1/changes?segments=lookers", KEY);
    sandbox.write("logs/2.jsonl", line("no", 1, "denied"));
    let answer = server.wait_for("the denial", |server| {
        let (_, answer) = server.get("/v1/profiles/cookie:c0001", Some(KEY));
        (answer["consent"] == "denied").then_some(answer)
    });
    assert_eq!((&answer["segments"], &answer["attributes"]), (&json!([]), &json!({})));
    let told: Vec<String> = stream.by_ref().take(2).collect();
    assert_eq!(told[0], "event: exit");
    let data: Value = serde_json::from_str(told[1].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!((&data["segment"], &data["profile"]), (&json!("lookers"), &json!("cookie:c0001")));
    server.wait_for("the removal", |_| {
        (!deliveries::now(&sandbox.path("out")).contains("c0001")).then_some(())
    });
    assert!(!server.log().contains("c0001"), "no identifier in a log: {}", server.log());
}

#[test]
fn keys_open_what_they_are_for_and_nothing_else() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, "pipeline.toml", &[]);
    let status = |path: &str, key: Option<&str>| server.get(path, key).0;
    assert_eq!(status("/v1/profiles/cookie:c0001", None), 401);
    assert_eq!(status("/v1/profiles/cookie:c0001", Some("wrong")), 401);
    assert_eq!(status(&format!("/v1/profiles/cookie:c0001?key={}", POOR.replace(' ', "%20")), None), 401);
    assert_eq!(status("/v1/profiles/cookie:c0001/segments/lookers", Some(POOR)), 403);
    assert_eq!(status("/v1/changes", Some(POOR)), 403);
    assert_eq!(server.post("/v1/profiles", POOR, &json!({"identifiers": []})).0, 403);
    assert_eq!(status("/v1/profiles/cookie:nobody", Some(KEY)), 404);
    assert_eq!(status("/v1/profiles/nonsense", Some(KEY)), 404);
    assert_eq!(status("/v1/nothing", Some(KEY)), 404);
    assert_eq!(server.post("/v1/profiles", KEY, &json!({"ids": []})).0, 400);
    let many: Vec<String> = (0..1_001).map(|n| format!("cookie:{n}")).collect();
    assert_eq!(server.post("/v1/profiles", KEY, &json!({"identifiers": many})).0, 400);
    assert_eq!(status("/healthz", None), 200);
    let (_, answer) = server.get("/v1/profiles/cookie:c0001", Some(POOR));
    assert!(!segments(&answer).contains(&"lookers"), "{answer}");
    // Browsers: the exact origin of the key, or none.
    let ask = |origin: &str| {
        let request =
            ureq::get(format!("{}/v1/profiles/cookie:c0001", server.address)).header("origin", origin);
        let request =
            request.header("authorization", format!("Bearer {KEY}")).config().http_status_as_error(false);
        let response = request.build().call().unwrap();
        let allowed = response.headers().get("access-control-allow-origin").cloned();
        (response.status().as_u16(), allowed.map(|value| value.to_str().unwrap().to_owned()))
    };
    assert_eq!(ask("https://shop.example"), (200, Some("https://shop.example".to_owned())));
    assert_eq!(ask("https://evil.example"), (403, None));
    assert_eq!(ask("null"), (403, None));
}

#[test]
fn the_document_has_every_path_that_is_served() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, "pipeline.toml", &[]);
    let (status, document) = server.get("/openapi.json", None);
    assert_eq!(status, 200);
    let paths = document["paths"].as_object().unwrap();
    let found: Vec<(&str, &str)> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(|name| (path.as_str(), name.as_str()))
        })
        .collect();
    let served = [
        ("/healthz", "get"),
        ("/metrics", "get"),
        ("/readyz", "get"),
        ("/v1/changes", "get"),
        ("/v1/profiles", "post"),
        ("/v1/profiles/{identifier}", "get"),
        ("/v1/profiles/{identifier}/changes", "get"),
        ("/v1/profiles/{identifier}/segments/{segment}", "get"),
    ];
    assert_eq!(BTreeSet::from_iter(found), BTreeSet::from(served));
    // Without a key nobody is told anything, but the path is there.
    for (path, method) in served {
        let path = path.replace("{identifier}", "cookie:c0001").replace("{segment}", "lookers");
        let (status, answer) = match method {
            "get" => server.get(&path, None),
            _ => server.post(&path, "nobody's", &json!({"identifiers": []})),
        };
        let wanted = if path.starts_with("/v1/") { 401 } else { 200 };
        assert_eq!(status, wanted, "{path}: {answer}");
    }
    let (status, answer) = server.get("/v1", None);
    assert_eq!((status, &answer["error"]), (404, &json!("no-such-path")));
}

#[test]
fn a_wrong_reload_changes_nothing_and_a_right_one_does() {
    let sandbox = sandbox();
    let mut server = Server::start(&sandbox, "pipeline.toml", &["--log", "json"]);
    server.wait_for("members", |server| {
        (segments(&server.get("/v1/profiles/cookie:c0001", Some(KEY)).1).len() == 2).then_some(())
    });
    sandbox.write("pipeline.toml", PIPELINE.replace(">= 2", ">> 2"));
    server.signal("HUP");
    server.wait_for("the refusal", |server| server.log().contains("goes on as it was").then_some(()));
    assert_eq!(segments(&server.get("/v1/profiles/cookie:c0001", Some(KEY)).1), ["germans", "lookers"]);
    let more = "\n[segments.french]\nrule = \"attr('crm.country') = 'FR'\"\n";
    sandbox.write("pipeline.toml", format!("{PIPELINE}{more}"));
    server.signal("HUP");
    server.wait_for("the new segment", |server| {
        (segments(&server.get("/v1/profiles/cookie:c0002", Some(KEY)).1) == ["french", "lookers"])
            .then_some(())
    });
    // Lines that are no report of a wrong file are JSON.
    let log = server.log();
    let told = log.lines().filter(|line| line.starts_with('{'));
    assert!(
        told.map(|line| serde_json::from_str::<Value>(line).unwrap()).any(|line| line["level"] == "info"),
        "{log}"
    );
    assert!(server.stop().0.success());
}

#[test]
fn a_second_server_is_told_who_holds_the_store() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, "pipeline.toml", &[]);
    let said = sandbox.failure(&["serve", "pipeline.toml"]);
    assert!(said.contains("in use by") && said.contains(&server.pid().to_string()), "{said}");
}

//! What is in URLs, what is taken out of them, where visits come from, the rules, and the laws of it.

use super::*;
use arrow::{array::DictionaryArray, datatypes::UInt32Type};
use kindred_plugin_api::arrow;
use proptest::prelude::*;
use serde_json::{Value, json};

fn parsed(config: Value) -> Config {
    serde_json::from_value(config).unwrap()
}

fn column(rows: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(rows.to_vec()))
}

fn ran(config: Value, columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    let input = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut plugin = Urls::open(parsed(config), Context::detached(".")).unwrap();
    let output = plugin.bind(input.schema()).unwrap();
    let made = plugin.process(input).unwrap().batch;
    assert_eq!(made.schema(), output);
    made
}

fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Vec<Option<&'a str>> {
    batch.column_by_name(name).unwrap().as_string::<i32>().iter().collect()
}

fn text_of(name: &str, url: &str) -> Option<String> {
    let all = json!({ "columns": [name], "keep_query": ["q", "page"] });
    texts(&ran(all, vec![("url", column(&[Some(url)]))]), name)[0].map(str::to_owned)
}

#[test]
fn parts_are_named() {
    let url = "HTTPS://Shop.Example:443/Coats/m%C3%A4ntel/?utm_source=news%20letter&utm_medium=&utm_medium=email\
               &utm_campaign=w+1&utm_term=&fbclid=F1&gclid=G1";
    let want = [
        ("url", Some("https://shop.example/Coats/m%C3%A4ntel/")),
        ("host", Some("shop.example")),
        ("path", Some("/Coats/m%C3%A4ntel/")),
        ("utm_source", Some("news letter")),
        ("utm_medium", Some("email")),
        ("utm_campaign", Some("w 1")),
        ("utm_term", None),
        ("utm_content", None),
        ("click_id", Some("gclid")),
        ("click_id_value", Some("G1")),
    ];
    for (name, want) in want {
        let config = if name == "url" { json!({}) } else { json!({ "columns": [name] }) };
        let made = ran(config, vec![("url", column(&[Some(url)]))]);
        assert_eq!(texts(&made, name), [want], "{name}");
    }
    let usual = ran(json!({}), vec![("url", column(&[Some(url)]))]);
    assert!(
        usual.column_by_name("click_id_value").is_none() && usual.column_by_name("referrer_class").is_none()
    );
    assert_eq!(text_of("host", "/only/a/path"), None);
    assert_eq!(text_of("path", "/only/a/path?x"), Some("/only/a/path".to_owned()));
}

#[test]
fn what_may_tell_who_somebody_is_goes() {
    let cases = [
        (
            "https://a.example/x?email=jane@example.com&q=red+coat&token=t&page=2",
            Some("https://a.example/x?q=red+coat&page=2"),
        ),
        ("https://jane:secret@a.example/x#access_token=t", Some("https://a.example/x")),
        ("/x?email=jane@example.com#t", Some("/x")),
        ("/x?q=%26", Some("/x?q=%26")),
        ("//a.example/x?t", Some("http://a.example/x")),
        ("app://jane@start/x?t", Some("app://start/x")),
        ("mailto:jane@example.com", None),
        ("data:text/plain,jane", None),
        ("http://[", None),
        ("", None),
    ];
    let config = json!({ "keep_query": ["q", "page"], "columns": [] });
    for (url, want) in cases {
        let made =
            ran(config.clone(), vec![("url", column(&[Some("/")])), ("referrer", column(&[Some(url)]))]);
        assert_eq!(texts(&made, "referrer"), [want], "{url}");
        let made = ran(config.clone(), vec![("url", column(&[Some(url)]))]);
        assert_eq!(texts(&made, "url"), [want], "{url}");
    }
}

#[test]
fn visits_have_a_channel() {
    let page = "https://www.shop.example/";
    let cases = [
        ("", None, "direct"),
        ("", Some(""), "direct"),
        ("", Some("https://shop.example/cart"), "internal"),
        ("", Some("https://blog.shop.example/"), "internal"),
        ("?gclid=1", Some("https://pay.example/return"), "internal"),
        ("", Some("https://www.google.com/"), "search"),
        ("", Some("https://google.co.uk"), "search"),
        ("", Some("https://google.evil.com/"), "other"),
        ("", Some("https://notgoogle.com/"), "other"),
        ("", Some("https://news.ycombinator.com/item?id=1"), "other"),
        ("", Some("https://duckduckgo.com/"), "search"),
        ("", Some("android-app://com.google.android.googlequicksearchbox/"), "search"),
        ("", Some("https://l.facebook.com/l.php?u=x"), "social"),
        ("", Some("https://netflix.com/"), "other"),
        ("", Some("https://x.com/"), "social"),
        ("", Some("https://mail.google.com/mail/u/0"), "email"),
        ("", Some("http://["), "other"),
        ("?utm_medium=EMAIL", None, "email"),
        ("?utm_medium=cpc", Some("https://www.google.com/"), "paid"),
        ("?utm_medium=paid_social", None, "paid"),
        ("?gclid=1", Some("https://www.google.com/"), "paid"),
        ("?msclkid=1", None, "paid"),
        ("?fbclid=1", Some("https://facebook.com/"), "social"),
        ("?utm_medium=social", None, "social"),
        ("?utm_medium=qr", None, "other"),
    ];
    for (query, referrer, want) in cases {
        let urls = column(&[Some(&format!("{page}{query}"))]);
        let config = json!({ "internal": ["pay.example"] });
        let made = ran(config, vec![("url", urls), ("referrer", column(&[referrer]))]);
        assert_eq!(texts(&made, "referrer_class"), [Some(want)], "{query} {referrer:?}");
    }
    let made =
        ran(json!({}), vec![("url", column(&[None])), ("referrer", column(&[Some("https://x.com/")]))]);
    assert_eq!(
        (texts(&made, "referrer_class"), texts(&made, "referrer_host")),
        (vec![None], vec![Some("x.com")])
    );
}

#[test]
fn the_first_rule_fills_what_is_null() {
    let rules = json!([
        { "path": "/coats/winter/**", "category": "winter" },
        { "path": "/coats/*", "category": "coats" },
        { "path": "/{mäntel,jacken}/*", "category": "jackets" },
    ]);
    let urls = [
        Some("/coats/winter/a/b?x=1"),
        Some("https://a.example/coats/parka"),
        Some("/coats/parka/1"),
        Some("/m%C3%A4ntel/1"),
        None,
        Some("/coats/winter/a"),
    ];
    let want = [Some("winter"), Some("coats"), None, Some("jackets"), None, Some("winter")];
    let made = ran(json!({ "categories": rules }), vec![("url", column(&urls))]);
    assert_eq!(texts(&made, "category"), want);

    let there: DictionaryArray<UInt32Type> =
        [None, Some("own"), Some("own"), Some(""), Some("own"), None].into_iter().collect();
    let both = |overwrite: bool| {
        let config = json!({ "categories": rules, "overwrite": overwrite });
        ran(config, vec![("url", column(&urls)), ("category", Arc::new(there.clone()))])
    };
    let filled = [Some("winter"), Some("own"), Some("own"), Some(""), Some("own"), Some("winter")];
    assert_eq!(texts(&both(false), "category"), filled);
    let replaced = [Some("winter"), Some("coats"), Some("own"), Some("jackets"), Some("own"), Some("winter")];
    assert_eq!(texts(&both(true), "category"), replaced);
}

#[test]
fn options_and_schema_are_checked() {
    let wrong = json!({ "categories": [{ "path": "/a", "category": "a" }, { "path": "/{a", "category": "b" }], "internal": ["https://x"] });
    let problems = Urls::validate(&parsed(wrong));
    assert_eq!(
        problems.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(),
        ["/categories/1/path", "/internal/0"]
    );
    let bound = |config: Value, names: &[&str]| {
        let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
        Urls::open(parsed(config), Context::detached(".")).unwrap().bind(Arc::new(Schema::new(fields)))
    };
    assert_eq!(bound(json!({}), &["page"]).unwrap_err().problems[0].path, "/url");
    assert_eq!(bound(json!({ "referrer": "from" }), &["url"]).unwrap_err().problems[0].path, "/referrer");
    assert_eq!(bound(json!({}), &["url", "path"]).unwrap_err().problems[0].path, "/columns");
}

proptest! {
    #[test]
    fn what_goes_on_is_settled(url in "(https?://|app://|/|//)?(a@|a:b@)?[a-z.é]{0,6}(/[./%2F a-z\\\\]{0,8})?(\\?[a-z=&%@]{0,9})?(#[a-z]{0,3})?") {
        let keep = BTreeSet::from(["a".to_owned()]);
        if let Some(page) = Page::read(&url, &keep) {
            let again = Page::read(&page.kept, &keep).unwrap();
            prop_assert_eq!((&again.kept, &again.host, &again.path), (&page.kept, &page.host, &page.path));
            prop_assert!(!page.kept.contains('#'));
            let none = Page::read(&url, &BTreeSet::new()).unwrap();
            prop_assert!(!none.kept.contains('?'), "{}", none.kept);
        }
    }

    #[test]
    fn any_text_is_no_harm(url in any::<String>(), referrer in any::<String>()) {
        ran(json!({}), vec![("url", column(&[Some(&url)])), ("referrer", column(&[Some(&referrer)]))]);
    }
}

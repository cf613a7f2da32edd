//! `kindred explain`: the tree, since when and until when.

use super::{Shop, golden};
use serde_json::json;

const PIPELINE: &str = r#"
[pipeline]
store = "store"
clock = "2026-01-31T00:00:00Z"

[sources.web]
plugin = "cookies"
consent = "granted"
config = { path = "logs", consent = "consent" }

[segments.coat-lookers]
title = "Looked twice, bought none"
rule = """
count(event = 'view', '30 days') >= 2
AND NOT did(event = 'purchase', '30 days')
"""
"#;

fn shop() -> Shop {
    let shop = Shop::new(PIPELINE);
    shop.log(
        "1",
        &[
            ("anna", "view", "2026-01-05T10:00:00Z"),
            ("anna", "view", "2026-01-07T10:00:00Z"),
            ("anna", "view", "2026-01-09T10:00:00Z"),
            ("ben", "view", "2026-01-05T10:00:00Z"),
            ("ben", "view", "2026-01-20T10:00:00Z"),
            ("ben", "purchase", "2026-01-03T12:00:00Z"),
            ("cleo", "leave", "2026-01-03T12:00:00Z"),
        ],
    );
    shop.json(&["run", "pipeline.toml"]);
    shop
}

#[test]
fn the_next_change_that_counts_is_named() {
    let shop = shop();
    let explain = |who: &str, more: &[&str]| {
        shop.json(&[&["explain", "pipeline.toml", "coat-lookers", who], more].concat())
    };
    // The first view leaves its window on 4 February and changes nothing; the second one does.
    let anna = explain("cookie:anna", &[]);
    assert_eq!((&anna["member"], &anna["committed"]), (&json!(true), &json!(true)));
    assert_eq!(anna["since"], json!({"at": "2026-01-07T10:00:00Z"}));
    assert_eq!(anna["until"], json!({"at": "2026-02-06T10:00:00Z"}));
    assert_eq!(anna["reason"]["because"][0]["threshold"], ">= 2");
    // His purchase leaves its window on 2 February, and his first view on 4 February.
    let ben = explain("cookie:ben", &[]);
    assert_eq!((&ben["member"], &ben["since"]), (&json!(false), &json!("always")));
    assert_eq!(ben["until"], json!({"at": "2026-02-02T12:00:00Z"}));
    let later = explain("cookie:ben", &["--as-of", "2026-02-03T00:00:00Z"]);
    assert_eq!((&later["member"], &later["since"]), (&json!(true), &json!({"at": "2026-02-02T12:00:00Z"})));
    assert_eq!(later["until"], json!({"at": "2026-02-04T10:00:00Z"}));
    let earlier = explain("cookie:anna", &["--as-of", "2026-01-06T00:00:00Z"]);
    assert_eq!(
        (&earlier["member"], &earlier["until"]),
        (&json!(false), &json!({"at": "2026-01-07T10:00:00Z"}))
    );
    let cleo = explain("cookie:cleo", &[]);
    assert_eq!((&cleo["since"], &cleo["until"]), (&json!("always"), &json!("forever")));
}

#[test]
fn a_terminal_gets_a_tree() {
    let shop = shop();
    golden("explain.txt", &shop.text(&["explain", "pipeline.toml", "coat-lookers", "cookie:anna"]).0);
}

#[test]
fn without_consent_there_is_nothing_to_wait_for() {
    let shop = shop();
    shop.write("logs/2.jsonl", "{\"id\":\"d\",\"cookie\":\"anna\",\"event\":\"view\",\"consent\":\"denied\",\"time\":\"2026-01-21T00:00:00Z\"}\n");
    shop.json(&["run", "pipeline.toml"]);
    let anna = shop.json(&["explain", "pipeline.toml", "coat-lookers", "cookie:anna"]);
    assert_eq!((&anna["member"], &anna["consent"]), (&json!(false), &json!(false)));
    assert_eq!((&anna["since"], &anna["until"]), (&json!(null), &json!(null)));
    let (said, _) = shop.text(&["explain", "pipeline.toml", "coat-lookers", "cookie:anna"]);
    assert!(said.contains("✗ consent: denied since 2026-01-21T00:00:00Z"), "{said}");
}

#[test]
fn what_does_not_exist_is_named() {
    let shop = shop();
    let said = |arguments: &[&str]| shop.text(&[&["explain", "pipeline.toml"], arguments].concat());
    let (text, code) = said(&["coat-lokers", "cookie:anna"]);
    assert!(code == 1 && text.contains("no segment `coat-lokers`"), "{text}");
    let (text, code) = said(&["coat-lookers", "cookie:nobody"]);
    assert!(code == 1 && text.contains("no profile"), "{text}");
    let (text, code) = said(&["coat-lookers", "anna"]);
    assert!(code == 2 && text.contains("NAMESPACE:VALUE"), "{text}");
    let (text, code) = said(&["coat-lookers", "cookie:anna", "--as-of", "yesterday"]);
    assert!(code == 2 && text.contains("not a time like"), "{text}");
}

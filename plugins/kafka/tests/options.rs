//! What is wrong with options is told before anything is asked of a broker.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use kindred_plugin_api::{Context, Source, options};
use kindred_plugin_kafka::{Config, Kafka};

fn paths(more: serde_json::Value) -> Vec<String> {
    let mut config = serde_json::json!({ "brokers": "127.0.0.1", "topics": "T", "identifiers": { "u": "id" }, "event": "e" });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config: Config = options::parse(&config.to_string()).unwrap();
    Kafka::validate(&config).into_iter().map(|problem| problem.path).collect()
}

#[test]
fn wrong_options_are_named() {
    assert_eq!(paths(serde_json::json!({})), [""; 0]);
    let fine = ["a", "a.b:1", "a:1,b:2", "[::1]:9092", "[2001:db8::1]", "fe80--1.ipv6-literal.net"];
    assert_eq!(paths(serde_json::json!({ "brokers": fine })), [""; 0]);
    for address in ["", "a b", "a,", "a, b", "a:0", "a:x", "a:70000", "kafka://a:1", "a::1"] {
        assert_eq!(paths(serde_json::json!({ "brokers": ["a", address] })), ["/brokers"], "{address}");
    }
    for topic in ["", "a b", "^a", "a:b", ".."] {
        assert_eq!(
            paths(serde_json::json!({ "topics": topic, "group": " " })),
            ["/topics", "/group"],
            "{topic}"
        );
    }
    assert_eq!(paths(serde_json::json!({ "user": "u", "ca": "ca.pem" })), ["/user", "/ca"]);
    assert_eq!(paths(serde_json::json!({ "properties": "*" })), ["/properties"]);
}

#[test]
fn what_needs_openssl_is_refused_where_there_is_none() {
    let login =
        serde_json::json!({ "user": "u", "password": "p", "mechanism": "scram-sha-512", "tls": true });
    let found = paths(login);
    assert_eq!(found, if cfg!(feature = "tls") { vec![] } else { vec!["/tls", "/mechanism"] });
}

#[test]
fn opening_asks_nothing_of_the_brokers() {
    let json = r#"{ "brokers": "192.0.2.1", "topics": "T", "identifiers": { "u": "id" }, "event": "e" }"#;
    let mut source = Kafka::open(options::parse(json).unwrap(), Context::detached(".")).unwrap();
    let schema = source.schema().unwrap();
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["event_id", "event_time", "event", "id.u"]);
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let names: Vec<_> =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok()).collect();
    assert!(!names.iter().any(|name| name.starts_with("rdk")), "a client would have threads: {names:?}");
    source.close().unwrap();
}

#[test]
fn every_option_explains_itself() {
    let schema: serde_json::Value = serde_json::from_str(&options::schema::<Config>()).unwrap();
    let options = schema["properties"].as_object().unwrap();
    let mute: Vec<_> =
        options.iter().filter(|(_, option)| option["description"].as_str().is_none()).collect();
    assert!(options.len() >= 15 && mute.is_empty(), "{mute:?}");
}

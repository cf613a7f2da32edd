//! What is wrong with options is told before anything is asked of a server.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use kindred_plugin_api::{Context, Source, options};
use kindred_plugin_nats::{Config, Nats};

fn paths(more: serde_json::Value) -> Vec<String> {
    let mut config = serde_json::json!({ "servers": "127.0.0.1", "stream": "S", "identifiers": { "u": "id" }, "event": "e" });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config: Config = options::parse(&config.to_string()).unwrap();
    Nats::validate(&config).into_iter().map(|problem| problem.path).collect()
}

#[test]
fn wrong_options_are_named() {
    assert_eq!(paths(serde_json::json!({})), [""; 0]);
    assert_eq!(paths(serde_json::json!({ "servers": ["http://x:1"] })), ["/servers"]);
    assert_eq!(paths(serde_json::json!({ "stream": "a.b", "durable": "a b" })), ["/stream", "/durable"]);
    assert_eq!(paths(serde_json::json!({ "subject": "a b", "ack_wait_s": 0 })), ["/subject", "/ack_wait_s"]);
    assert_eq!(paths(serde_json::json!({ "user": "u", "token": "t" })), ["/user", ""]);
    assert_eq!(paths(serde_json::json!({ "properties": "*" })), ["/properties"]);
}

#[test]
fn opening_asks_nothing_of_the_server() {
    let json =
        r#"{ "servers": "nats://192.0.2.1", "stream": "S", "identifiers": { "u": "id" }, "event": "e" }"#;
    let began = std::time::Instant::now();
    let mut source = Nats::open(options::parse(json).unwrap(), Context::detached(".")).unwrap();
    let schema = source.schema().unwrap();
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["event_id", "event_time", "event", "id.u"]);
    assert!(began.elapsed().as_millis() < 1000);
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

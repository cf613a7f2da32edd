//! What is wrong with options is told before anything is asked of a database.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use kindred_plugin_api::{Source, options};
use kindred_plugin_postgres::{Config, Postgres};

fn paths(more: serde_json::Value) -> Vec<String> {
    let mut config =
        serde_json::json!({ "connection": "host=h user=u", "table": "t", "keys": { "crm": "id" } });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config: Config = options::parse(&config.to_string()).unwrap();
    let problems = Postgres::validate(&config);
    assert!(problems.iter().all(|problem| !problem.message.contains("geheim")));
    problems.into_iter().map(|problem| problem.path).collect()
}

#[test]
fn wrong_options_are_named() {
    assert_eq!(paths(serde_json::json!({})), [""; 0]);
    assert_eq!(paths(serde_json::json!({ "connection": "pasword=geheim" })), ["/connection"]);
    assert_eq!(paths(serde_json::json!({ "query": "SELECT 1" })), ["/table"]);
    assert_eq!(paths(serde_json::json!({ "table": null, "query": "SELECT 1;" })), ["/query", "/primary_key"]);
    assert_eq!(paths(serde_json::json!({ "keys": {}, "overlap": 1 })), ["/keys", "/overlap"]);
    assert_eq!(paths(serde_json::json!({ "attributes": ["a"], "exclude": ["b"] })), ["/exclude"]);
}

#[test]
fn every_option_explains_itself() {
    let schema: serde_json::Value = serde_json::from_str(&options::schema::<Config>()).unwrap();
    let options = schema["properties"].as_object().unwrap();
    let mute: Vec<_> =
        options.iter().filter(|(_, option)| option["description"].as_str().is_none()).collect();
    assert!(options.len() >= 14 && mute.is_empty(), "{mute:?}");
}

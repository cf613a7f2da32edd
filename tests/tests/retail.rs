//! The retail example against SQL: every member of every rules segment, and the totals, on the sample and, where it
//! stands beside the repository, on the whole year.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use kindred_tests::{
    oracle,
    sandbox::{Sandbox, fixtures, repository},
};
use serde_json::Value;
use std::path::Path;

/// Segments that SQL cannot answer: the lookalike model.
const MODELS: [&str; 1] = ["like-redeemers"];

fn compare(data: &Path) -> Option<Value> {
    let answers = oracle::answers("retail.py", data)?;
    let sandbox = Sandbox::new();
    let file = repository().join("examples/retail/pipeline.toml").display().to_string();
    let data = format!("data={}", data.display());
    let pipeline = [&file, "--set", &data, "--set", "store=./store", "--set", "out=./out"];
    let mut run = vec!["run"];
    run.extend(pipeline);
    let summary = sandbox.json(&run);
    let facts = &answers["facts"];
    let transactions = &summary["sources"]["transactions"];
    assert_eq!(transactions["rejected"], 0, "{transactions}");
    assert_eq!(transactions["events"], facts["rows"]);
    assert_eq!(summary["profiles"], facts["profiles"]);
    let wanted = answers["segments"].as_object().unwrap();
    for (name, segment) in summary["segments"].as_object().unwrap() {
        if MODELS.contains(&name.as_str()) {
            continue;
        }
        let members = sandbox.members(&pipeline, name, "household");
        let wanted: Vec<&str> =
            wanted[name].as_array().unwrap().iter().map(|h| h.as_str().unwrap()).collect();
        assert_eq!(members, wanted, "members of `{name}`");
        assert_eq!(segment["size"], wanted.len(), "size of `{name}`");
        assert!(!wanted.is_empty(), "`{name}` tells nothing");
    }
    assert_eq!(wanted.len() + MODELS.len(), summary["segments"].as_object().unwrap().len());
    let again = sandbox.json(&run);
    assert_eq!(again["steps"], 0, "{again}");
    let store = kindred_core::store::Store::open(&sandbox.path("store")).unwrap();
    totals(store, facts);
    Some(summary)
}

/// Sales and zero-quantity lines, added up from what the store holds.
fn totals(store: kindred_core::store::Store, facts: &Value) {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Float64Type, Int64Type};
    let profiles: Vec<u32> = store.identity.all().into_iter().collect();
    let fields = ["amount", "quantity"].map(|name| store.columns.field(name).unwrap()).into_iter().collect();
    let span = kindred_core::store::span::Span::after(i64::MIN);
    let gathered = store.events.gather(&profiles, &store.identity, &fields, &span, &store.columns).unwrap();
    let events = gathered.events.values().as_struct().clone();
    let sales: f64 = events.column(0).as_primitive::<Float64Type>().iter().flatten().sum();
    let zero = events.column(1).as_primitive::<Int64Type>().iter().filter(|q| *q == Some(0)).count();
    assert!((sales - facts["sales"].as_f64().unwrap()).abs() < 0.005, "{sales} against {facts}");
    assert_eq!(facts["zero_quantity"], zero);
    assert!(events.len() > 1000);
}

#[test]
fn the_sample_agrees_with_sql() {
    let Some(summary) = compare(&repository().join("examples/retail/data")) else { return };
    assert_eq!(summary["profiles"], 300);
}

#[test]
fn the_whole_year_agrees_with_sql_and_with_the_published_facts() {
    let Some(data) = fixtures("retail") else { return };
    let Some(summary) = compare(&data) else { return };
    assert_eq!(summary["sources"]["transactions"]["read"], 1_469_307);
    assert_eq!(summary["sources"]["crm"]["read"], 801);
    assert_eq!(summary["profiles"], 2_469);
}

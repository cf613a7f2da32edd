//! Names of sessions against values made elsewhere, the laws of them, options.

use super::*;
use arrow::{array::DictionaryArray, datatypes::UInt32Type};
use kindred_plugin_api::arrow;
use proptest::prelude::*;
use serde_json::{Value, json};

fn parsed(config: Value) -> Config {
    serde_json::from_value(config).unwrap()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .unwrap()
}

fn ran(config: Value, input: RecordBatch) -> RecordBatch {
    let mut plugin = Session::open(parsed(config), Context::detached(".")).unwrap();
    let output = plugin.bind(input.schema()).unwrap();
    let made = plugin.process(input).unwrap().batch;
    assert_eq!(made.schema(), output);
    made
}

fn names(batch: &RecordBatch) -> Vec<Option<String>> {
    batch.column_by_name("session").unwrap().as_string::<i32>().iter().map(|v| v.map(str::to_owned)).collect()
}

fn text(rows: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(rows.to_vec()))
}

/// Made with Python: `sha256(pack("<Q", len(a)) + a + pack("<Q", len(b)) + b).hexdigest()[:32]`.
const C1_1700000000: &str = "cc9abe130d0d6fea2d4e5371f03fa2b0";
const ALONE_S1: &str = "edab0f8d34a30e080b64aa1aa545654c";

#[test]
fn ids_of_all_kinds_are_named_alike() {
    let cookies = text(&[Some("c1"), Some("c2"), None, Some("c1"), Some("c1")]);
    let rows = [Some("1700000000"), Some("1700000000"), Some("1700000000"), None, Some("")];
    let config = json!({ "identifier": "cookie" });
    let plain =
        names(&ran(config.clone(), batch(vec![("id.cookie", cookies.clone()), ("session_id", text(&rows))])));
    assert_eq!(plain[0].as_deref(), Some(C1_1700000000));
    assert!(plain[1].is_some() && plain[1] != plain[0], "{plain:?}");
    assert_eq!(plain[2..], [None, None, None]);
    let coded: DictionaryArray<UInt32Type> = rows.into_iter().collect();
    let coded = batch(vec![("id.cookie", cookies.clone()), ("session_id", Arc::new(coded))]);
    assert_eq!(names(&ran(config.clone(), coded)), plain);
    let numbers: Int64Array = rows.iter().map(|row| row.and_then(|row| row.parse::<i64>().ok())).collect();
    let numbers = batch(vec![("id.cookie", cookies), ("session_id", Arc::new(numbers))]);
    assert_eq!(names(&ran(config, numbers)), plain);
    let alone = ran(json!({}), batch(vec![("session_id", text(&[Some("s1")]))]));
    assert_eq!((names(&alone)[0].as_deref(), alone.num_columns()), (Some(ALONE_S1), 1));
}

#[test]
fn the_first_event_starts_the_session() {
    let ids = || text(&[Some("s"), Some("s"), Some("s"), None]);
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(1)]));
    for first in [flags, numbers] {
        let made = ran(json!({ "first": "n" }), batch(vec![("session_id", ids()), ("n", first)]));
        let starts: Vec<_> = made.column_by_name("session_start").unwrap().as_boolean().iter().collect();
        assert_eq!(starts, [Some(true), Some(false), None, None]);
        assert_eq!(made.num_columns(), 2);
    }
}

#[test]
fn options_and_schema_are_checked() {
    assert_eq!(Session::validate(&parsed(json!({ "output": "id.x" })))[0].path, "/output");
    assert!(serde_json::from_value::<Config>(json!({ "gap": "30 minutes" })).is_err());
    let input = batch(vec![("session_id", text(&[None])), ("n", text(&[None]))]).schema();
    let bound = |config| Session::open(parsed(config), Context::detached(".")).unwrap().bind(input.clone());
    for (config, at) in [
        (json!({ "column": "x" }), "/column"),
        (json!({ "identifier": "cookie" }), "/identifier"),
        (json!({ "first": "n" }), "/first"),
        (json!({ "output": "n" }), "/output"),
    ] {
        assert_eq!(bound(config).unwrap_err().problems[0].path, at);
    }
}

proptest! {
    #[test]
    fn two_sessions_have_two_names(a in ".{0,4}", b in ".{0,4}", c in ".{0,4}", d in ".{0,4}") {
        prop_assert_eq!(digest(Some(&a), &b) == digest(Some(&c), &d), (a, b) == (c, d));
    }
}

//! The enrichment on event batches.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn opened(config: Value) -> HashIdentifiers {
    let config: Config = serde_json::from_value(config).unwrap();
    assert_eq!(HashIdentifiers::validate(&config), vec![]);
    HashIdentifiers::open(config, Context::detached(".")).unwrap()
}

fn batch(emails: Vec<Option<&str>>) -> RecordBatch {
    let rows = emails.len();
    let fields = [columns::EVENT_ID, "id.email", "page"].map(|name| Field::new(name, DataType::Utf8, true));
    let numbers: StringArray = (0..rows).map(|n| Some(n.to_string())).collect();
    let emails: ArrayRef = Arc::new(StringArray::from(emails));
    let columns: Vec<ArrayRef> = vec![Arc::new(numbers.clone()), emails, Arc::new(numbers)];
    RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns).unwrap()
}

fn names_of(schema: &Schema) -> Vec<&str> {
    schema.fields().iter().map(|f| f.name().as_str()).collect()
}

fn values<'a>(batch: &'a RecordBatch, name: &str) -> Vec<Option<&'a str>> {
    batch.column_by_name(name).unwrap().as_string::<i32>().iter().collect()
}

fn problems(config: Value) -> Vec<Problem> {
    HashIdentifiers::validate(&serde_json::from_value(config).unwrap())
}

#[test]
fn a_raw_column_gives_way_to_its_hash() {
    let mut plugin = opened(json!({ "columns": { "email": { "kind": "email", "hash": "sha256" } } }));
    let input = batch(vec![Some("MyEmail@example.com"), None]);
    let output = plugin.bind(input.schema()).unwrap();
    assert_eq!(names_of(&output), ["event_id", "id.email_sha256", "page"]);
    let made = plugin.process(input).unwrap();
    assert_eq!(made.batch.schema(), output);
    // UID2 documentation, "Normalization and Encoding", first example.
    let hash = "16c18d336f0b250f0e2d907452ceb9658a74ecdae8bc94864c23122a72cc27a5";
    assert_eq!(values(&made.batch, "id.email_sha256"), [Some(hash), None]);
}

#[test]
fn one_raw_column_may_give_several() {
    let mut plugin = opened(json!({ "keep_raw": true, "columns": {
        "email": { "kind": "email", "hash": "sha1" },
        "google": { "from": "email", "kind": "email-google" },
    }}));
    let input = batch(vec![Some("Jane.S@Gmail.com")]);
    let output = plugin.bind(input.schema()).unwrap();
    assert_eq!(names_of(&output), ["event_id", "id.email", "id.email_sha1", "id.google", "page"]);
    let made = plugin.process(input).unwrap().batch;
    assert_eq!(values(&made, "id.google"), [Some("jane.s@gmail.com")]);
    assert_eq!(values(&made, "id.email"), [Some("Jane.S@Gmail.com")]);
}

#[test]
fn a_refused_value_rejects_its_row_only_and_is_not_repeated() {
    let mut plugin = opened(json!({ "columns": { "email": { "kind": "email" } } }));
    let input = batch(vec![Some("a@x.de"), Some("secret"), None, Some("B@x.de")]);
    plugin.bind(input.schema()).unwrap();
    let made = plugin.process(input).unwrap();
    assert_eq!(values(&made.batch, "id.email"), [Some("a@x.de"), None, Some("b@x.de")]);
    assert_eq!(values(&made.batch, columns::EVENT_ID), [Some("0"), Some("2"), Some("3")]);
    let [reject] = &made.rejects[..] else { panic!("{:?}", made.rejects) };
    assert_eq!((reject.row, reject.code.as_str(), reject.payload.as_str()), (1, "identifier", ""));
    assert_eq!(reject.message, "`id.email`: no e-mail address: no `@`");
}

#[test]
fn a_refused_value_may_become_null() {
    let mut plugin = opened(json!({ "on_invalid": "null", "columns": { "email": { "kind": "email" } } }));
    let input = batch(vec![Some("secret"), Some("b@x.de")]);
    plugin.bind(input.schema()).unwrap();
    let made = plugin.process(input).unwrap();
    assert_eq!(values(&made.batch, "id.email"), [None, Some("b@x.de")]);
    assert!(made.rejects.is_empty());
}

#[test]
fn wrong_options_name_their_place() {
    assert_eq!(problems(json!({ "columns": {} }))[0].path, "/columns");
    let region = json!({ "columns": { "a/b": { "kind": "phone", "region": "Germany" } } });
    assert_eq!(problems(region)[0].path, "/columns/a~1b/region");
    let both = json!({ "keep_raw": true, "columns": { "email": { "kind": "email" } } });
    assert_eq!(problems(both)[0].path, "/columns/email");
    let twice = json!({ "columns": {
        "e": { "kind": "email", "hash": "md5" }, "e_md5": { "from": "e", "kind": "email" } } });
    assert_eq!(problems(twice)[0].message, "`id.e_md5` is made twice");
}

#[test]
fn a_missing_or_taken_column_is_a_config_fault() {
    let input = batch(vec![]);
    let mut plugin = opened(json!({ "columns": { "mail": { "kind": "email" } } }));
    let fault = plugin.bind(input.schema()).unwrap_err();
    assert_eq!((fault.kind, fault.problems[0].path.as_str()), (FaultKind::Config, "/columns/mail"));
    assert_eq!(fault.problems[0].help.as_deref(), Some("identifiers in the rows: email"));

    let fields = ["id.email", "id.email_md5"].map(|name| Field::new(name, DataType::Utf8, true));
    let mut plugin = opened(json!({ "columns": { "email": { "kind": "email", "hash": "md5" } } }));
    let fault = plugin.bind(Arc::new(Schema::new(fields.to_vec()))).unwrap_err();
    assert_eq!(fault.message, "the rows already have a column `id.email_md5`");
}

proptest! {
    #[test]
    fn rows_in_are_rows_out_and_rejects(emails in prop::collection::vec(prop::option::of("[a-c@. ]{0,6}|[a-c]{1,3}@x.de"), 0..20)) {
        let mut plugin = opened(json!({ "columns": { "email": { "kind": "email", "hash": "sha256" } } }));
        let input = batch(emails.iter().map(Option::as_deref).collect());
        plugin.bind(input.schema()).unwrap();
        let made = plugin.process(input.clone()).unwrap();
        let mut rows: Vec<u64> = values(&made.batch, columns::EVENT_ID).into_iter().map(|n| n.unwrap().parse().unwrap()).collect();
        rows.extend(made.rejects.iter().map(|r| r.row));
        rows.sort_unstable();
        prop_assert_eq!(rows, (0..emails.len() as u64).collect::<Vec<_>>());
        // A sliced batch gives the rows of the slice.
        let half = input.slice(emails.len() / 2, emails.len() - emails.len() / 2);
        let made = plugin.process(half.clone()).unwrap();
        prop_assert_eq!(made.batch.num_rows() + made.rejects.len(), half.num_rows());
    }
}

//! The enrichment on event batches; the rules themselves are tested in `kindred-signals`.

use super::*;
use arrow::array::{BooleanArray, DictionaryArray, Int64Array};
use arrow::datatypes::UInt32Type;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Purposes 1, 3, 4 and vendor 21; purpose 1 and vendor 21; both written by the IAB's encoder.
const ALL: &str = "CQgYw8AQgYw8AEsACBENAHEgALAAAAAAAAAAAKgAACAAAAAA";
const ONE: &str = "CQgYw8AQgYw8AEsACBENAHFgAIAAAAAAAAAAAKgAACAAAAAA";

fn opened(config: Value) -> ConsentSignals {
    let config: Config = serde_json::from_value(config).unwrap();
    assert_eq!(ConsentSignals::validate(&config), vec![]);
    ConsentSignals::open(config, Context::detached(".")).unwrap()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, c)| c).collect())
        .unwrap()
}

fn words(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn enriched(config: Value, input: RecordBatch) -> RecordBatch {
    let mut plugin = opened(config);
    let output = plugin.bind(input.schema()).unwrap();
    let made = plugin.process(input).unwrap();
    assert!(made.rejects.is_empty());
    assert_eq!(made.batch.schema(), output);
    made.batch
}

fn names(batch: &RecordBatch) -> Vec<String> {
    batch.schema().fields().iter().map(|field| field.name().clone()).collect()
}

fn values<'a>(batch: &'a RecordBatch, name: &str) -> Vec<&'a str> {
    batch.column_by_name(name).unwrap().as_string::<i32>().iter().map(Option::unwrap).collect()
}

#[test]
fn raw_signals_give_way_to_consent() {
    let tcf = words(&[Some(ALL), Some(ONE), None, Some("garbage!")]);
    let input = batch(vec![("event_id", words(&[Some("1"); 4])), ("tcf", tcf), ("page", words(&[None; 4]))]);
    let made = enriched(json!({ "tcf": "tcf", "policy": { "vendor": 21 } }), input.clone());
    assert_eq!(names(&made), ["event_id", "page", "consent", "consent_version"]);
    assert_eq!(values(&made, "consent"), ["granted", "collect", "denied", "denied"]);
    let version = |policy| format!("tcf2 policy{policy} list7 cmp300 2026-03-01");
    assert_eq!(values(&made, "consent_version"), [&version(4), &version(5), "none", "malformed"]);
    let kept = enriched(json!({ "tcf": "tcf", "keep_raw": true }), input);
    assert_eq!(names(&kept), ["event_id", "tcf", "page", "consent", "consent_version"]);
}

#[test]
fn a_consent_that_is_there_counts_too() {
    let given = [Some("denied"), Some("granted"), None, Some("collect"), Some("perhaps")];
    let input = batch(vec![("consent", words(&given)), ("tcf", words(&[Some(ALL); 5]))]);
    let made = enriched(json!({ "tcf": "tcf" }), input);
    assert_eq!(names(&made), ["consent", "consent_version"]);
    assert_eq!(values(&made, "consent"), ["denied", "granted", "granted", "collect", "denied"]);
}

#[test]
fn privacy_control_comes_as_text_number_or_truth() {
    let coded: DictionaryArray<UInt32Type> = [Some("1"), Some("true"), None].into_iter().collect();
    let columns: [ArrayRef; 4] = [
        words(&[Some("1"), Some("true"), None]),
        Arc::new(coded),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        Arc::new(Int64Array::from(vec![Some(1), Some(0), None])),
    ];
    for column in columns {
        let made = enriched(
            json!({ "gpc": "gpc", "policy": { "no_signal": "granted" } }),
            batch(vec![("gpc", column)]),
        );
        assert_eq!(values(&made, "consent"), ["collect segment", "granted", "granted"]);
        assert_eq!(values(&made, "consent_version"), ["gpc", "none", "none"]);
    }
}

#[test]
fn wrong_options_name_their_place() {
    let problems = |config| -> Vec<String> {
        let problems = ConsentSignals::validate(&serde_json::from_value(config).unwrap());
        problems.into_iter().map(|problem| problem.path).collect()
    };
    assert_eq!(problems(json!({})), [""]);
    assert_eq!(problems(json!({ "tcf": "consent", "gpp": "consent_version" })), ["/tcf", "/gpp"]);
    assert_eq!(problems(json!({ "tcf": "tcf", "policy": { "segment": [0] } })), ["/policy/segment/0"]);
    assert!(serde_json::from_value::<Config>(json!({ "tcf": "tcf", "policy": { "vendors": 1 } })).is_err());
}

#[test]
fn a_missing_or_wrong_column_is_a_config_fault() {
    let input = batch(vec![("tcf", Arc::new(Int64Array::from(vec![1])))]);
    let fault = opened(json!({ "tcf": "tcf", "gpp": "gpp" })).bind(input.schema()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Config);
    let found: Vec<&str> = fault.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(found, ["column `tcf` is Int64; allowed: Utf8", "no column `gpp` in the rows"]);
}

proptest! {
    /// A row's consent is a function of the row: neither its place nor its neighbours count.
    #[test]
    fn rows_stand_alone(
        rows in prop::collection::vec(prop::option::of("1[YN-]{3}|[A-Z]{3}"), 1..20),
        from in 0..20_usize,
    ) {
        let rows: Vec<Option<&str>> = rows.iter().map(Option::as_deref).collect();
        let input = batch(vec![("us", words(&rows))]);
        let from = from % rows.len();
        let whole = enriched(json!({ "us_privacy": "us" }), input.clone());
        let part = enriched(json!({ "us_privacy": "us" }), input.slice(from, rows.len() - from));
        prop_assert_eq!(&values(&whole, "consent")[from..], values(&part, "consent"));
        for (row, consent) in rows.iter().zip(values(&whole, "consent")) {
            let wanted = match row.map(str::as_bytes) {
                Some([b'1', _, b'Y', _] | [b'1', b'N', ..]) => "collect segment",
                Some([b'1', ..]) => "granted",
                _ => "denied",
            };
            prop_assert_eq!(consent, wanted);
        }
    }
}

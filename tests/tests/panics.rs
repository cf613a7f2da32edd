//! Plugins that panic or lie, from a real library: each gets the right fault, and this process lives on to say so.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what a test cannot set up, fails it")]

use arrow::{
    array::{Array, ArrayRef, RecordBatch, StringArray},
    datatypes::Schema,
};
use kindred_core::plugin::{Opening, Plugin, Polled, library};
use kindred_plugin_api::{Delivery, Fault, FaultKind, Kind, Mode, columns};
use kindred_tests::artefacts;
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};

fn plugin(library: &Path, name: &str) -> Plugin {
    let plugins = library::load(library, None).expect("the library loads");
    plugins.into_iter().find(|p| p.manifest.name == name).expect("the plugin is in it")
}

fn opening<'a>(instance: &'a str, config: &'a Value) -> Opening<'a> {
    Opening { instance, config, base_dir: Path::new("."), state: None }
}

fn rows(count: usize) -> RecordBatch {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["text"; count]));
    RecordBatch::try_from_iter([("text", texts)]).unwrap()
}

/// A whole life, through every call that the kind has.
fn live(plugin: &Plugin, config: &Value) -> Result<(), Fault> {
    plugin.validate(config)?;
    plugin.check(&opening("faulty", config))?;
    match plugin.manifest.kind {
        Kind::Source => live_source(plugin, config),
        Kind::Enrichment => live_enrichment(plugin, config),
        Kind::Segmentation => live_segmentation(plugin, config),
        Kind::Destination => live_destination(plugin, config),
    }
}

fn live_source(plugin: &Plugin, config: &Value) -> Result<(), Fault> {
    let mut source = plugin.open_source(&opening("faulty", config))?;
    source.schema()?;
    let Polled::Rows { batch, position, .. } = source.poll(3)? else { panic!("rows were promised") };
    assert_eq!(batch.num_rows(), 3);
    source.ack(&position)?;
    source.close()
}

fn live_enrichment(plugin: &Plugin, config: &Value) -> Result<(), Fault> {
    let mut enrichment = plugin.open_enrichment(&opening("faulty", config))?;
    enrichment.bind(&rows(0).schema())?;
    enrichment.process(&rows(3))?;
    enrichment.close()
}

fn live_segmentation(plugin: &Plugin, config: &Value) -> Result<(), Fault> {
    let config = json!([{ "name": "segment", "config": config }]);
    let mut segmentation = plugin.open_segmentation(&opening("faulty", &config))?;
    segmentation.plan(&Schema::empty())?;
    segmentation.bind(&rows(0).schema())?;
    segmentation.observe(&rows(3))?;
    segmentation.survey(&rows(3))?;
    segmentation.fit()?;
    segmentation.learn(&[])?;
    segmentation.recall(3, 3)?;
    segmentation.evaluate(&rows(3))?;
    segmentation.explain(&rows(1), 0)?;
    segmentation.close()
}

fn live_destination(plugin: &Plugin, config: &Value) -> Result<(), Fault> {
    let mut destination = plugin.open_destination(&opening("faulty", config))?;
    destination.bind(&columns::activation())?;
    let id = "0".repeat(32);
    destination.begin(&Delivery { id, sequence: 1, mode: Mode::Full, created_us: 0, segments: vec![] })?;
    destination.write(&RecordBatch::new_empty(columns::activation()))?;
    destination.flush()?;
    destination.close()
}

const KINDS: [(&str, &[&str]); 4] = [
    ("faulty-source", &["validate", "check", "open", "schema", "poll", "ack", "close"]),
    ("faulty-enrichment", &["validate", "check", "open", "bind", "process", "close"]),
    (
        "faulty-segmentation",
        &[
            "validate", "facts", "open", "plan", "bind", "observe", "survey", "fit", "learn", "recall",
            "evaluate", "explain", "close",
        ],
    ),
    ("faulty-destination", &["validate", "check", "open", "bind", "begin", "write", "flush", "close"]),
];

#[test]
fn a_panic_in_any_call_is_a_fault_and_nothing_else() {
    for (name, calls) in KINDS {
        let plugin = plugin(artefacts::faulty(), name);
        for call in calls {
            let fault = live(&plugin, &json!({ "panic_in": call })).expect_err(call);
            assert_eq!(fault.kind, FaultKind::Panic, "{name}, {call}: {fault:?}");
            assert_eq!(fault.message, format!("panicked: as told, in {call}"), "{name}");
            let bomb = live(&plugin, &json!({ "panic_in": call, "with_bomb": true })).expect_err(call);
            assert_eq!(bomb.message, "panicked: a panic without a text", "{name}, {call}");
        }
        live(&plugin, &json!({})).expect("the plugin still works after all its panics");
    }
}

#[test]
fn a_panic_in_drop_is_survived() {
    for (name, _) in KINDS {
        let plugin = plugin(artefacts::faulty(), name);
        for with_bomb in [false, true] {
            let drops = json!({ "panic_in": "drop", "with_bomb": with_bomb });
            live(&plugin, &drops).expect("only the drop panics");
        }
    }
}

#[test]
fn an_instance_can_be_used_and_closed_after_its_panic() {
    let plugin = plugin(artefacts::faulty(), "faulty-source");
    let config = json!({ "panic_in": "poll" });
    let mut source = plugin.open_source(&opening("faulty", &config)).unwrap();
    source.schema().unwrap();
    for _ in 0..3 {
        assert_eq!(source.poll(1).unwrap_err().kind, FaultKind::Panic);
    }
    source.close().unwrap();
}

#[test]
fn what_was_not_agreed_is_refused() {
    let wrong = [
        ("faulty-source", "other-schema", "schema"),
        ("faulty-source", "invalid-utf8", "batch"),
        ("faulty-enrichment", "other-schema", "schema"),
        ("faulty-enrichment", "invalid-utf8", "batch"),
        ("faulty-enrichment", "row-less", "row-count"),
        ("faulty-enrichment", "row-more", "row-count"),
        ("faulty-enrichment", "reject-more", "row-count"),
        ("faulty-segmentation", "row-less", "row-count"),
        ("faulty-segmentation", "row-more", "row-count"),
    ];
    for (name, sends, code) in wrong {
        let fault = live(&plugin(artefacts::faulty(), name), &json!({ "sends": sends })).expect_err(sends);
        assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::Permanent, code), "{name}: {fault:?}");
    }
}

#[test]
fn wrong_options_are_no_panic() {
    for (name, _) in KINDS {
        for config in
            [json!(null), json!(7), json!("poll"), json!({ "panic_in": 7 }), json!({ "unknown": 1 })]
        {
            let fault = live(&plugin(artefacts::faulty(), name), &config).expect_err(name);
            assert_eq!(fault.kind, FaultKind::Config, "{name}, {config}: {fault:?}");
        }
    }
}

#[test]
fn a_plugin_is_only_opened_as_what_it_is() {
    let plugin = plugin(artefacts::faulty(), "faulty-source");
    let fault = plugin.open_destination(&opening("faulty", &json!({}))).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unsupported);
    assert_eq!(fault.message, "plugin `faulty-source` is a source, not a destination");
}

/// Lies of the raw boundary, told by a source: the call that is lied in, and the code of the fault.
const LIES: [(&str, &str); 26] = [
    ("released-schema", "schema"),
    ("schema-is-no-struct", "schema"),
    ("schema-of-no-type", "schema"),
    ("unknown-state", "poll-state"),
    ("rejects-of-another-shape", "schema"),
    ("more-rows-than-columns-have", "batch"),
    ("length-of-all-memory", "batch"),
    ("column-of-all-memory", "batch"),
    ("offset-of-all-memory", "batch"),
    ("negative-length", "schema"),
    ("negative-offset", "schema"),
    ("short-column", "batch"),
    ("a-column-less", "schema"),
    ("a-buffer-less", "schema"),
    ("no-buffers", "batch"),
    ("no-values", "batch"),
    ("no-offsets", "batch"),
    ("no-children", "batch"),
    ("no-child", "batch"),
    ("no-dictionary", "schema"),
    ("dictionary-of-another-shape", "schema"),
    ("key-without-word", "batch"),
    ("offsets-go-back", "batch"),
    ("offsets-below-zero", "batch"),
    ("last-offset-below-zero", "batch"),
    ("other-schema", "schema"),
];

#[test]
fn a_liar_at_the_raw_boundary_is_caught() {
    let plugin = plugin(artefacts::liar(), "liar-source");
    let tell = |lie: &str| -> Result<RecordBatch, Fault> {
        let mut source = plugin.open_source(&opening(lie, &json!({})))?;
        source.schema()?;
        match source.poll(3)? {
            Polled::Rows { batch, .. } => Ok(batch),
            other => panic!("{lie}: {other:?}"),
        }
    };
    let truth = tell("the truth").expect("rows that are as agreed");
    assert_eq!(truth.num_rows(), 3);
    assert_eq!(truth.column(2).null_count(), 1);
    for (lie, code) in LIES {
        let fault = tell(lie).expect_err(lie);
        assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::Permanent, code), "{lie}: {fault:?}");
    }
}

#[test]
fn answers_that_are_not_json_are_faults() {
    let plugin = plugin(artefacts::liar(), "liar-segmentation");
    assert_eq!(plugin.config_schema(), Value::Null);
    assert_eq!(plugin.validate(&json!({})).unwrap_err().kind, FaultKind::Permanent);
    let mut segmentation = plugin.open_segmentation(&opening("plan", &json!([]))).unwrap();
    segmentation.bind(&rows(0).schema()).unwrap();
    let faults = [
        segmentation.plan(&Schema::empty()).unwrap_err(),
        segmentation.fit().unwrap_err(),
        segmentation.explain(&rows(1), 0).unwrap_err(),
    ];
    for fault in faults {
        assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::Permanent, "json"), "{fault:?}");
    }
}

#[test]
fn a_segmentation_answers_each_row_in_the_agreed_shape() {
    let plugin = plugin(artefacts::liar(), "liar-segmentation");
    for (lie, code) in [("no-rows", "row-count"), ("other columns", "schema")] {
        let mut segmentation = plugin.open_segmentation(&opening(lie, &json!([]))).unwrap();
        segmentation.bind(&rows(0).schema()).unwrap();
        let fault = segmentation.evaluate(&rows(3)).unwrap_err();
        assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::Permanent, code), "{lie}: {fault:?}");
    }
}

#[test]
fn receipts_and_rejects_of_a_destination_are_checked() {
    let plugin = plugin(artefacts::liar(), "liar-destination");
    for (lie, code) in [("rejects", "schema"), ("receipts", "json")] {
        let mut destination = plugin.open_destination(&opening(lie, &json!({}))).unwrap();
        destination.bind(&columns::activation()).unwrap();
        let fault = destination.flush().unwrap_err();
        assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::Permanent, code), "{lie}: {fault:?}");
    }
}

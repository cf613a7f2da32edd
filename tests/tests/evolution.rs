//! The boundary grows: a library of an older or newer minor version loads and works, one of another major or with a
//! changed plain struct is refused. Both directions cross real libraries.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what a test cannot set up, fails it")]

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use kindred_core::plugin::{
    Opening,
    library::{self, Refusal},
};
use kindred_tests::{
    artefacts,
    evolution::{CHANGED, GROWN, Version},
};
use serde_json::json;
use std::{
    path::Path,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

const NEXT_MINOR: Version = Version { name: "grown", number: "1.5.0", edits: GROWN };
const NEXT_MAJOR: Version = Version { name: "major", number: "2.0.0", edits: &[] };
const BROKEN: Version = Version { name: "changed", number: "1.4.1", edits: CHANGED };

/// The trees are shared between the tests.
static BUILDING: Mutex<()> = Mutex::new(());

fn next_host_says(library: &Path) -> String {
    let host = {
        let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        NEXT_MINOR.host()
    };
    let output = Command::new(host).arg(library).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn plugin_of(version: &Version) -> std::path::PathBuf {
    let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    version.plugin()
}

#[test]
fn a_newer_minor_loads_and_works_in_this_host() {
    let plugin = library::load(&plugin_of(&NEXT_MINOR), None).unwrap().remove(0);
    let config = json!({});
    let opening = Opening { instance: "evolved", config: &config, base_dir: Path::new("."), state: None };
    let mut enrichment = plugin.open_enrichment(&opening).unwrap();
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let batch = RecordBatch::try_from_iter([("number", numbers)]).unwrap();
    enrichment.bind(&batch.schema()).unwrap();
    assert_eq!(enrichment.process(&batch).unwrap().0.columns(), batch.columns());
    enrichment.close().unwrap();
}

#[test]
fn a_library_of_today_loads_in_the_next_host() {
    let said = next_host_says(artefacts::faulty());
    assert_eq!(said, "loaded faulty-enrichment: field None, method 1\n", "nothing there, so the default");
    let said = next_host_says(&plugin_of(&NEXT_MINOR));
    assert_eq!(said, "loaded evolved: field Some(3), method 2\n", "there, so used");
}

#[test]
fn a_changed_struct_is_refused_in_both_directions() {
    let changed = plugin_of(&BROKEN);
    let error = library::load(&changed, None).unwrap_err();
    let Refusal::OtherLayout { detail } = &error.refusal else { panic!("{error}") };
    assert!(detail.contains("RawFault") && detail.len() > 1000, "{detail}");
    assert_eq!(error.detail(), Some(detail.as_str()));
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    assert!(next_host_says(&changed).starts_with("refused: "));
}

#[test]
fn another_major_of_the_crate_is_refused() {
    let error = library::load(&plugin_of(&NEXT_MAJOR), None).unwrap_err();
    assert_eq!(error.refusal, Refusal::OtherMajor { found: "2.0".into() });
}

//! The retail example, run as an operator would: the same stores with both engines, models included.

use crate::processes::{Process, stored, timers};
use kindred_core::{
    segment::Model,
    store::{Store, tables},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/retail")
}

/// `kindred-cluster run` over the example, with this `[engine]`.
fn run(dir: &Path, engine: &str) -> Output {
    let text = fs::read_to_string(example().join("pipeline.toml")).unwrap();
    let file = dir.join("pipeline.toml");
    fs::write(&file, format!("{text}\n{engine}")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_kindred-cluster"))
        .args(["run", "pipeline.toml", "--json", "--verbose", "--set"])
        .arg(format!("data={}", example().join("data").display()))
        .current_dir(dir)
        .output()
        .unwrap()
}

fn engine(workers: &[&str]) -> String {
    format!("[engine]\nkind = \"distributed\"\nworkers = {workers:?}\nshared = \"shared\"\nretries = 2\n")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// All that a model learnt; the moment of the fit is in it.
fn models(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let records = tables::scan(&store.tables.models, []).unwrap();
    let fitted = |(name, record): (Vec<u8>, Vec<u8>)| {
        let model: Model = postcard::from_bytes(&record).unwrap();
        (name, model.state)
    };
    records.into_iter().map(fitted).collect()
}

#[test]
fn the_retail_audiences_are_the_embedded_ones() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let embedded = run(here.path(), "");
    assert!(embedded.status.success(), "{}", said(&embedded));

    let shared = there.path().join("shared");
    let workers = [Process::start(&shared), Process::start(&shared)];
    let addresses = [workers[0].address.as_str(), workers[1].address.as_str()];
    let distributed = run(there.path(), &engine(&addresses));
    assert!(distributed.status.success(), "{}", said(&distributed));
    for address in addresses {
        assert!(said(&distributed).contains(&format!("worker {address} is there")), "{}", said(&distributed));
    }

    let (one, other) = [&here, &there].map(|dir| Store::existing(&dir.path().join("store")).unwrap()).into();
    let segments = |store: &Store| tables::scan(&store.tables.segments, []).unwrap();
    assert_eq!(segments(&one), segments(&other), "every record, byte for byte");
    assert_eq!(stored(&one).len(), 14);
    assert!(stored(&one).values().all(|members| !members.is_empty()));
    assert_eq!(timers(&one), timers(&other));
    assert_eq!(models(&one), models(&other));
    drop((one, other));

    // Nothing changed, so nobody is asked, and nobody needs to be there.
    drop(workers);
    let again = run(there.path(), &engine(&["127.0.0.1:1"]));
    assert!(again.status.success(), "{}", said(&again));
    assert!(!said(&again).contains("127.0.0.1:1"), "{}", said(&again));
}

#[test]
fn without_workers_nothing_is_applied_and_with_them_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    // Taken and given back, so that nobody listens there.
    let shared = dir.path().join("shared");
    let gone = Process::start(&shared).address.clone();
    let failed = run(dir.path(), &engine(&[&gone]));
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    assert!(said(&failed).contains("distributed engine: no worker is left"), "{}", said(&failed));
    assert!(said(&failed).contains(&gone), "{}", said(&failed));
    let store = Store::existing(&dir.path().join("store")).unwrap();
    assert!(store.totals.events > 10_000, "what was read is committed");
    assert!(stored(&store).is_empty(), "no audience is");
    assert!(!dir.path().join("out").exists(), "nothing was delivered");
    drop(store);

    let worker = Process::start(&shared);
    let done = run(dir.path(), &engine(&[&gone, &worker.address]));
    assert!(done.status.success(), "{}", said(&done));
    let store = Store::existing(&dir.path().join("store")).unwrap();
    assert_eq!(stored(&store).len(), 14);
}

//! `kill -9` at any moment, then run again: the same result as one undisturbed run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use kindred_core::{
    segment::{Membership, bitmap},
    store::{Store, tables},
};
use kindred_tests::{
    artefacts,
    sandbox::{Sandbox, files, repository},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

/// Small steps, so that there are many commits to be killed between.
const STEP_ROWS: &str = "1500";

fn pipeline(sandbox: &Sandbox) -> PathBuf {
    let example = repository().join("examples/retail");
    let text = std::fs::read_to_string(example.join("pipeline.toml")).unwrap();
    let text = text.replace("[pipeline]\n", &format!("[pipeline]\nstep_rows = {STEP_ROWS}\n"));
    let text = text.replace("data = \"data\"", &format!("data = \"{}\"", example.join("data").display()));
    sandbox.write("pipeline.toml", text)
}

/// Everything that a run leaves behind and that must not depend on how often it was killed.
struct Outcome {
    members: Vec<(String, Vec<String>)>,
    delivered: BTreeMap<String, Vec<u8>>,
    dead_letters: usize,
}

fn outcome(sandbox: &Sandbox) -> Outcome {
    let store = Store::open(&sandbox.path("store")).unwrap();
    let mut members = Vec::new();
    for (name, record) in tables::scan(&store.tables.segments, []).unwrap() {
        let record: Membership = postcard::from_bytes(&record).unwrap();
        let mut found = Vec::new();
        for profile in &bitmap(&record.members).unwrap() {
            let profile = store.profiles.get(&store.tables, profile).unwrap();
            found.extend(profile.identifiers.iter().map(|(namespace, value)| format!("{namespace}:{value}")));
        }
        found.sort();
        members.push((String::from_utf8(name).unwrap(), found));
    }
    let dead_letters = store.dead_letters().unwrap().len();
    Outcome { members, delivered: files(&sandbox.path("out")), dead_letters }
}

#[test]
fn a_killed_run_goes_on_where_it_stopped() {
    let calm = Sandbox::new();
    pipeline(&calm);
    // Built before the clock starts.
    artefacts::kindred();
    let begun = Instant::now();
    let whole = calm.json(&["run", "pipeline.toml"]);
    let takes = begun.elapsed();
    let wanted = outcome(&calm);
    assert!(wanted.members.iter().any(|(_, members)| !members.is_empty()));

    let stormy = Sandbox::new();
    pipeline(&stormy);
    let mut killed = 0;
    let mut seed = 0x9e37_79b9_u64;
    let mut calm_ends = 0;
    while killed < 20 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = (seed >> 33) % 1000;
        // Two to three kills share a run, so that they meet it early and late.
        let wait = Duration::from_micros(takes.as_micros() as u64 * share / 1300);
        let mut child = stormy
            .command(&["run", "pipeline.toml", "--quiet"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(wait);
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            calm_ends += 1;
            assert!(calm_ends < 60, "runs end before they can be killed");
            for folder in ["store", "out"] {
                std::fs::remove_dir_all(stormy.path(folder)).unwrap();
            }
        } else {
            killed += 1;
        }
    }
    let last = stormy.json(&["run", "pipeline.toml"]);
    assert_eq!(last["events"], whole["events"]);
    assert_eq!(last["profiles"], whole["profiles"]);
    let found = outcome(&stormy);
    assert_eq!(found.members, wanted.members);
    assert_eq!(found.dead_letters, wanted.dead_letters);
    assert_eq!(found.delivered.keys().collect::<Vec<_>>(), wanted.delivered.keys().collect::<Vec<_>>());
    assert!(found.delivered == wanted.delivered, "delivered bytes");
}

#[test]
fn an_interrupt_drains_and_the_next_run_finishes() {
    let sandbox = Sandbox::new();
    pipeline(&sandbox);
    let child = sandbox
        .command(&["run", "pipeline.toml", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The store's lock is taken right before the first step.
    let begun = Instant::now();
    while !sandbox.path("store/files").is_dir() && begun.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(130), "{summary}");
    assert_eq!(summary["interrupted"], true, "{summary}");
    let calm = Sandbox::new();
    pipeline(&calm);
    let whole = calm.json(&["run", "pipeline.toml"]);
    let [kept, all] = [&summary, &whole].map(|summary| summary["events"].as_u64().unwrap());
    assert!(kept < all, "it stopped before the end: {kept} of {all}");
    let rest = sandbox.json(&["run", "pipeline.toml"]);
    assert_eq!(rest["events"], whole["events"]);
    assert_eq!(outcome(&sandbox).members, outcome(&calm).members);
}

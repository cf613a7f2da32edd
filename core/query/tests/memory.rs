//! The cap on memory holds, whoever counts: a query that wants more ends with an error that says so.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use kindred_core::{
    profile::batch::Moment,
    publish::{self, Options},
    query,
    store::Store,
};
use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

const CAP: u64 = 192 << 20;

fn snapshot(dir: &Path) {
    let mut store = Store::open(&dir.join("store")).unwrap();
    let moment = Moment { as_of_us: 0, retention_us: 1, ..Moment::default() };
    publish::publish(&mut store, &dir.join("published"), &Options { buckets: 1, moment }).unwrap();
}

fn ask(dir: &Path, memory: u64, sql: &str) -> (Output, u64) {
    let child = Command::new(env!("CARGO_BIN_EXE_kindred-query"))
        .current_dir(dir)
        .env("RUST_BACKTRACE", "0")
        .args(["--snapshot", "published", "--spill", ".", "--memory", &memory.to_string(), sql])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    watch(child)
}

/// The most that a process had in memory while it ran, bytes.
fn watch(mut child: Child) -> (Output, u64) {
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        most = most.max(kib.unwrap_or(0) << 10);
        std::thread::sleep(Duration::from_millis(5));
    }
    (child.wait_with_output().unwrap(), most)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The query that took 24 GiB of a machine, made small: two `count(DISTINCT …)` of strings side by side.
#[test]
fn two_distinct_counts_of_strings_end_in_an_error() {
    let dir = tempfile::tempdir().unwrap();
    snapshot(dir.path());
    let sql = "SELECT count(DISTINCT lpad(cast(value AS varchar), 200, 'x')), \
               count(DISTINCT lpad(cast(value AS varchar), 200, 'y')) FROM generate_series(1, 2000000)";
    let (output, most) = ask(dir.path(), CAP, sql);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).starts_with("error: the query needs more memory than it is allowed"),
        "{}",
        said(&output)
    );
    assert!(said(&output).contains("help: allow more with --memory"), "{}", said(&output));
    assert!(most <= CAP, "{most} bytes");
    assert!(most > CAP / 4, "the query was nowhere near: {most} bytes");
}

/// Memory that no operator counts: the system says no, and the program that called says what that means.
#[test]
fn what_the_engine_does_not_count_is_capped_too() {
    let dir = tempfile::tempdir().unwrap();
    snapshot(dir.path());
    let (output, most) = ask(dir.path(), CAP, "SELECT length(repeat('x', 1500000000))");
    assert!(!output.status.success());
    assert!(said(&output).contains("memory allocation of"), "{}", said(&output));
    assert!(query::ended(output.status).unwrap().contains("more memory than --memory allows"));
    assert!(most <= CAP, "{most} bytes");
    let left = || fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left(), 3, "who is stopped leaves a folder");
    let (next, _) = ask(dir.path(), CAP, "SELECT 1");
    assert!(next.status.success(), "{}", said(&next));
    assert_eq!(left(), 2, "and the next removes it");
}

/// A sort of more than fits is done on disk, and leaves nothing there.
#[test]
fn what_does_not_fit_is_spilled() {
    let dir = tempfile::tempdir().unwrap();
    snapshot(dir.path());
    let sql = "SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY md5(cast(value AS varchar))) AS r, \
               lpad(cast(value AS varchar), 300, 'x') AS wide FROM generate_series(1, 400000)) WHERE length(wide) = 300";
    let (output, most) = ask(dir.path(), CAP, sql);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("400000"), "{}", said(&output));
    assert!(most <= CAP, "{most} bytes");
    let left = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 2, "the store and what was published");
}

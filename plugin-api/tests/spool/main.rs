//! The spool keeps what it acknowledged.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what a test cannot set up, fails it")]
#![allow(clippy::print_stdout, reason = "a child tells its parent")]

mod basic;
mod child;
mod damage;
mod faults;
mod full;
mod kill;
mod load;
mod model;

use kindred_plugin_api::spool::{Options, Position, Record, Spool};
use std::{path::Path, time::Duration};

/// Files of a few records, and no opinion about the disk that the tests run on.
fn small(folder: &Path) -> Options {
    Options { segment_bytes: 4096, disk_limit: 1.0, ..Options::new(folder) }
}

/// A folder in memory where there is such a thing: these tests are not about the disk.
fn memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn all(spool: &Spool, after: Option<Position>) -> Vec<Record> {
    spool.read(after, usize::MAX, usize::MAX, Duration::ZERO).unwrap()
}

/// Says that a test is skipped; with `CI=true` it fails.
fn missing<T>(what: &str) -> Option<T> {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} is missing");
    eprintln!("SKIPPED: {what} is missing");
    None
}

/// The segment files, oldest first.
fn segments(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "spool")).collect();
    files.sort();
    files
}

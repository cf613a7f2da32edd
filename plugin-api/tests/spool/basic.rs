//! One thing after the other.

use kindred_plugin_api::spool::{Backlog, Error, Health, Options, Position, Refused, Spool, PAYLOAD_BYTES};
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

fn options(folder: &std::path::Path) -> Options {
    Options { disk_limit: 1.0, ..Options::new(folder) }
}

fn texts(spool: &Spool, after: Option<Position>) -> Vec<String> {
    let records = spool.read(after, usize::MAX, usize::MAX, Duration::ZERO).unwrap();
    records.iter().map(|r| String::from_utf8(r.payload.to_vec()).unwrap()).collect()
}

#[test]
fn goes_on_behind_a_position_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(options(folder.path())).unwrap();
    let first = spool.append_wait("one").unwrap();
    let second = spool.append_wait("two").unwrap();
    assert!(first < second);
    assert_eq!(texts(&spool, None), ["one", "two"]);
    assert_eq!(spool.backlog().records, 2);
    spool.trim(first).unwrap();
    assert_eq!(spool.backlog(), Backlog { records: 1, bytes: 27 });
    spool.close();
    assert_eq!(spool.append_wait("late"), Err(Refused::Closed));
    let spool = Spool::open(options(folder.path())).unwrap();
    assert_eq!(spool.recovered().torn_bytes, 0);
    let third = spool.append_wait("three").unwrap();
    assert_eq!(texts(&spool, Some(first)), ["two", "three"]);
    assert_eq!(texts(&spool, Some(third)), [""; 0]);
    let beyond = Position { offset: third.offset + 1, ..third };
    assert!(matches!(spool.read(Some(beyond), 1, 1, Duration::ZERO), Err(Error::Position(_))));
    assert!(matches!(spool.trim(beyond), Err(Error::Position(_))));
}

#[test]
fn files_go_when_all_of_their_records_are_committed() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(Options { segment_bytes: 1200, ..options(folder.path()) }).unwrap();
    let at: Vec<_> = (0..20)
        .map(|n| spool.append_wait(format!("record {n:02}, padded to fifty bytes.............")).unwrap())
        .collect();
    let files = || {
        fs::read_dir(folder.path())
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().extension().is_some())
            .count()
    };
    assert!(files() > 5, "{}", files());
    assert_eq!(texts(&spool, None).len(), 20);
    spool.trim(at[16]).unwrap();
    assert_eq!(texts(&spool, Some(at[16])).len(), 3);
    spool.trim(at[19]).unwrap();
    assert_eq!(files(), 1);
    assert_eq!(spool.backlog(), Backlog::default());
    // A position in a file that is gone: on at the oldest.
    let next = spool.append_wait("next").unwrap();
    assert_eq!(texts(&spool, Some(at[19])), ["next"]);
    assert_eq!(spool.damaged().ranges, 0);
    assert_eq!(texts(&spool, Some(next)), [""; 0]);
}

#[test]
fn only_the_owner_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made");
    let spool = Spool::open(options(&path)).unwrap();
    spool.append_wait("x").unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in fs::read_dir(&path).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn a_second_one_is_told_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(options(folder.path())).unwrap();
    let error = Spool::open(options(folder.path())).unwrap_err().to_string();
    assert!(error.ends_with(&format!("is in use by process {}", std::process::id())), "{error}");
    drop(spool);
    Spool::open(options(folder.path())).unwrap();
}

#[test]
fn full_and_too_large_are_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(Options { capacity_bytes: 300, ..options(folder.path()) }).unwrap();
    assert!(matches!(spool.append_wait(vec![0; PAYLOAD_BYTES + 1]), Err(Refused::TooLarge { .. })));
    let first = spool.append_wait(vec![7; 200]).unwrap();
    assert!(matches!(spool.append_wait(vec![7; 200]), Err(Refused::Full { .. })));
    spool.trim(first).unwrap();
    spool.append_wait(vec![7; 200]).unwrap();
    assert_eq!(spool.health(), Health::Open);
    let spool =
        Spool::open(Options { disk_limit: 0.000_001, ..Options::new(folder.path().join("b")) }).unwrap();
    assert!(matches!(spool.append_wait("x"), Err(Refused::Full { .. })));
    assert_eq!(spool.health(), Health::Full);
}

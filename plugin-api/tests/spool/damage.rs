//! Damage of each kind, one at a time.

use crate::{all, memory, segments, small};
use kindred_plugin_api::spool::{Error, Position, Spool};
use std::{fs, path::Path};

const HEADER: usize = 1024;
const OVERHEAD: usize = 24;

/// Appends texts one by one and closes; answers the positions.
fn filled(folder: &Path, texts: &[&str]) -> Vec<Position> {
    let spool = Spool::open(small(folder)).unwrap();
    texts.iter().map(|text| spool.append_wait(text.as_bytes().to_vec()).unwrap()).collect()
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn texts(spool: &Spool, after: Option<Position>) -> Vec<String> {
    all(spool, after).iter().map(|r| String::from_utf8(r.payload.to_vec()).unwrap()).collect()
}

#[test]
fn a_damaged_record_in_the_middle_is_kept_counted_and_skipped() {
    for byte in [HEADER + OVERHEAD + 3, HEADER + OVERHEAD + 3 + OVERHEAD, HEADER + OVERHEAD + 3 + 2] {
        let folder = memory();
        filled(folder.path(), &["one", "two", "three"]);
        let before = fs::read(&segments(folder.path())[0]).unwrap();
        change(&segments(folder.path())[0], |bytes| bytes[byte] ^= 4);
        let spool = Spool::open(small(folder.path())).unwrap();
        assert_eq!(texts(&spool, None), ["one", "three"]);
        let damage = spool.take_damage();
        assert_eq!((damage.len(), damage[0].bytes, damage[0].records), (1, 27, 1));
        assert!(damage[0].acknowledged);
        let kept = fs::read(damage[0].kept.as_ref().unwrap()).unwrap();
        let range = HEADER + OVERHEAD + 3..HEADER + OVERHEAD + 3 + 27;
        assert_ne!(kept, before[range.clone()]);
        assert_eq!(kept.len(), range.len());
        // Reading it again finds it again, and counts it once.
        assert_eq!(texts(&spool, None).len(), 2);
        assert_eq!(spool.damaged().records, 1);
    }
}

#[test]
fn damage_right_behind_the_position_is_counted_too() {
    let folder = memory();
    let at = filled(folder.path(), &["one", "two", "three"]);
    change(&segments(folder.path())[0], |bytes| bytes[HEADER + 2 * (OVERHEAD + 3) - 1] ^= 1);
    let spool = Spool::open(small(folder.path())).unwrap();
    assert_eq!(texts(&spool, Some(at[0])), ["three"]);
    assert_eq!(spool.damaged().records, 1);
}

#[test]
fn a_torn_tail_is_cut_off_and_the_position_in_it_is_not_used_again() {
    let folder = memory();
    let at = filled(folder.path(), &["one", "two"]);
    fs::remove_file(folder.path().join("closed")).unwrap();
    change(&segments(folder.path())[0], |bytes| bytes.truncate(bytes.len() - 1));
    let spool = Spool::open(small(folder.path())).unwrap();
    assert_eq!(spool.recovered().torn_bytes, 26);
    assert!(spool.recovered().torn_kept.as_ref().is_some_and(|path| path.exists()));
    assert_eq!(spool.damaged().ranges, 0);
    // Not even if the next crash comes before the next record.
    drop(spool);
    fs::remove_file(folder.path().join("closed")).unwrap();
    let spool = Spool::open(small(folder.path())).unwrap();
    assert_eq!(spool.recovered().torn_bytes, 0);
    let third = spool.append_wait("three").unwrap();
    assert!(third > at[1]);
    assert_eq!(texts(&spool, None), ["one", "three"]);
    // The host had committed what is gone: it goes on, and is told.
    assert_eq!(texts(&spool, Some(at[1])), ["three"]);
    assert_eq!(spool.take_damage().len(), 1);
}

#[test]
fn after_a_clean_close_a_short_tail_is_damage() {
    let folder = memory();
    filled(folder.path(), &["one", "two"]);
    change(&segments(folder.path())[0], |bytes| bytes.truncate(bytes.len() - 1));
    let spool = Spool::open(small(folder.path())).unwrap();
    assert_eq!(texts(&spool, None), ["one"]);
    let damage = spool.take_damage();
    assert_eq!((damage.len(), damage[0].records, damage[0].acknowledged), (1, 1, true));
}

#[test]
fn one_copy_of_the_header_is_enough() {
    for byte in [0, 9, 17, 40, 100, 512, 530] {
        let folder = memory();
        filled(folder.path(), &["one"]);
        change(&segments(folder.path())[0], |bytes| bytes[byte] ^= 1);
        let spool = Spool::open(small(folder.path())).unwrap();
        assert_eq!(texts(&spool, None), ["one"], "{byte}");
        assert_eq!(spool.damaged().ranges, 1, "{byte}");
    }
}

#[test]
fn a_segment_without_a_header_is_put_away_unless_it_is_the_new_one() {
    let folder = memory();
    filled(folder.path(), &["one"]);
    change(&segments(folder.path())[0], |bytes| bytes[..HEADER].fill(0));
    let spool = Spool::open(small(folder.path())).unwrap();
    let damage = spool.take_damage();
    assert_eq!((damage.len(), damage[0].bytes), (1, (HEADER + OVERHEAD + 3) as u64));
    assert!(damage[0].kept.as_ref().unwrap().exists());
    let two = spool.append_wait("two").unwrap();
    drop(spool);
    for content in [&[][..], &[0; 700], b"KNDSPOOL"] {
        let path = folder.path().join(format!("{:020}.spool", two.segment + 1));
        fs::write(&path, content).unwrap();
        let spool = Spool::open(small(folder.path())).unwrap();
        assert_eq!(texts(&spool, None), ["two"]);
        assert_eq!(spool.damaged().ranges, 0);
    }
}

#[test]
fn a_missing_file_is_a_reported_loss() {
    let folder = memory();
    let long = "x".repeat(2000);
    filled(folder.path(), &[long.as_str(); 6]);
    let files = segments(folder.path());
    assert!(files.len() > 3);
    fs::remove_file(&files[1]).unwrap();
    let spool = Spool::open(small(folder.path())).unwrap();
    let read = texts(&spool, None).len() as u64;
    assert!(read < 6);
    assert_eq!(spool.damaged().records, 6 - read);
}

#[test]
fn a_folder_that_was_emptied_is_an_error_for_the_old_position() {
    let folder = memory();
    let at = filled(folder.path(), &["one", "two"]);
    segments(folder.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
    fs::remove_file(folder.path().join("closed")).unwrap();
    let spool = Spool::open(small(folder.path())).unwrap();
    let error = spool.read(Some(at[1]), 1, 1, std::time::Duration::ZERO).unwrap_err();
    assert!(
        matches!(&error, Error::Position(text) if text.contains("lies behind the spool's end")),
        "{error}"
    );
}

/// A rotation that failed, whose file could be made but came back although it was removed, or the other way around.
#[test]
fn a_segment_whose_making_failed_is_removed_if_the_one_before_it_went_on() {
    let folder = memory();
    let long = "x".repeat(2000);
    filled(folder.path(), &[long.as_str(), &long, "in the second file"]);
    let files = segments(folder.path());
    let second = fs::read(&files[1]).unwrap();
    fs::remove_file(&files[1]).unwrap();
    fs::remove_file(folder.path().join("closed")).unwrap();
    let spool = Spool::open(small(folder.path())).unwrap();
    spool.append_wait("went on").unwrap();
    drop(spool);
    assert_eq!(segments(folder.path()).len(), 1);
    fs::write(&files[1], &second[..HEADER]).unwrap();
    let spool = Spool::open(small(folder.path())).unwrap();
    assert_eq!(texts(&spool, None).last().unwrap(), "went on");
    assert_eq!((segments(folder.path()).len(), spool.damaged().ranges), (1, 0));
    let end = spool.append_wait("and on").unwrap();
    assert_eq!((end.segment, spool.backlog().records), (1, texts(&spool, None).len() as u64));
}

#[test]
fn a_newer_version_is_refused() {
    let folder = memory();
    filled(folder.path(), &["one"]);
    change(&segments(folder.path())[0], |bytes| (bytes[11], bytes[512 + 11]) = (2, 2));
    assert!(matches!(Spool::open(small(folder.path())), Err(Error::Version { found: 2, .. })));
}

/// Who sends a payload that looks like records must not get them read as records, damage or not.
#[test]
fn records_inside_of_a_payload_are_never_found() {
    let other = memory();
    filled(other.path(), &["forged"; 40]);
    let mut forged = fs::read(&segments(other.path())[0]).unwrap().split_off(HEADER);
    forged.truncate(2000);
    let folder = memory();
    let spool = Spool::open(small(folder.path())).unwrap();
    spool.append_wait(forged).unwrap();
    spool.append_wait("good").unwrap();
    drop(spool);
    change(&segments(folder.path())[0], |bytes| bytes[HEADER + 1] ^= 1);
    let spool = Spool::open(small(folder.path())).unwrap();
    assert_eq!(texts(&spool, None), ["good"]);
}

//! Readers of the formats, written from their descriptions and not from the writers.

use flate2::read::GzDecoder;
use std::{collections::BTreeSet, fs, io::Read, path::Path};

/// Identifier, segment as the platform calls it, true for a removal.
pub(super) type Set = BTreeSet<(String, String, bool)>;

/// Lines of a file of ours: each has its end.
pub(super) fn whole_lines(path: &Path) -> Vec<String> {
    let text = text(path);
    assert!(text.is_empty() || text.ends_with('\n'), "the last line has no end");
    text.lines().map(str::to_owned).collect()
}

/// Lines of any file; real ones may end without a line's end.
pub(super) fn lines(path: &Path) -> Vec<String> {
    text(path).lines().map(str::to_owned).collect()
}

/// What a file holds, unpacked where its name says so.
fn text(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    if path.extension().is_none_or(|extension| extension != "gz") {
        return String::from_utf8(bytes).unwrap();
    }
    let mut text = String::new();
    GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    text
}

/// Xandr with `USER,SEG_ID:EXPIRATION;…` and perhaps `^DEVICE`.
pub(super) fn xandr(lines: &[String]) -> Set {
    let mut set = Set::new();
    for line in lines {
        let line = line.split('^').next().unwrap();
        let (user, segments) = line.split_once(',').unwrap();
        for segment in segments.split(';') {
            let (id, expiration) = segment.split_once(':').unwrap();
            assert!(
                set.insert((user.into(), id.into(), expiration.parse::<i32>().unwrap() == -1)),
                "twice: {line}"
            );
        }
    }
    set
}

/// One line of an inbound file of Audience Manager: the user's id and its items, split at commas outside quotes.
/// Blank lines and empty items stand in real files.
pub(super) fn adobe_line(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim_end();
    if line.is_empty() {
        return None;
    }
    let (user, items) = line.split_once('\t').unwrap_or_else(|| panic!("no tab: {line}"));
    let (mut quoted, mut found) = (false, vec![String::new()]);
    for c in items.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => found.push(String::new()),
            c => found.last_mut().unwrap().push(c),
        }
    }
    assert!(!quoted, "open quote: {line}");
    found.retain(|item| !item.is_empty());
    Some((user.to_owned(), found))
}

/// Audience Manager with `d_sid` and `d_unsid`.
pub(super) fn adobe(lines: &[String]) -> Set {
    let mut set = Set::new();
    for (user, items) in lines.iter().filter_map(|line| adobe_line(line)) {
        for item in items {
            let (key, id) = item.split_once('=').unwrap();
            let remove = match key {
                "d_sid" => false,
                "d_unsid" => true,
                other => panic!("key {other}"),
            };
            assert!(set.insert((user.clone(), id.to_owned(), remove)), "twice: {user} {item}");
        }
    }
    set
}

/// CSV with the crate `csv`; `human` takes the mark off again.
pub(super) fn csv(lines: &[String], human: bool) -> Set {
    let text = lines.join("\n");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    assert_eq!(reader.headers().unwrap().iter().take(2).collect::<Vec<_>>(), ["segment", "operation"]);
    let plain = |cell: &str| match human {
        true => cell.strip_prefix('\'').unwrap_or(cell).to_owned(),
        false => cell.to_owned(),
    };
    let record = |record: csv::StringRecord| {
        assert!(["add", "remove"].contains(&&record[1]));
        (plain(&record[2]), plain(&record[0]), &record[1] == "remove")
    };
    reader.records().map(|found| record(found.unwrap())).collect()
}

/// JSON Lines with `serde_json`.
pub(super) fn jsonl(lines: &[String], identifier: &str) -> Set {
    let record = |line: &String| {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let text = |key: &str| object[key].as_str().unwrap().to_owned();
        assert_eq!(object.len(), 3);
        (text(identifier), text("segment"), text("operation") == "remove")
    };
    lines.iter().map(record).collect()
}

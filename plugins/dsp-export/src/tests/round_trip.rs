//! What is read back is what was delivered, in every format.

use super::*;
use oracle::Set;
use proptest::prelude::*;

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let ids = prop::collection::vec("[a-c][a-zA-Z0-9_.-]{0,2}", 0..3);
    let row =
        (prop::sample::select(vec!["new", "vip"]), any::<bool>(), ids).prop_map(|(segment, remove, ids)| {
            row(segment, remove, &ids.iter().map(String::as_str).collect::<Vec<_>>())
        });
    prop::collection::vec(row, 0..30).prop_map(|mut rows| {
        rows.sort_by(|a, b| a.segment.cmp(&b.segment));
        rows
    })
}

/// The rows as a set; where an identifier enters and leaves a segment, it enters.
fn wanted(rows: &[Row], name: impl Fn(&str) -> String) -> Set {
    let all = rows.iter().flat_map(|row| row.identifiers.iter().map(move |(_, id)| (row, id)));
    let all: Set = all.map(|(row, id)| (id.clone(), name(&row.segment), row.remove)).collect();
    let enters =
        |(id, segment, _): &(String, String, bool)| all.contains(&(id.clone(), segment.clone(), false));
    all.iter().filter(|found| !found.2 || !enters(found)).cloned().collect()
}

fn exported(options: Value, mode: Mode, rows: &[Row]) -> Vec<(String, Vec<String>)> {
    let dir = tempfile::tempdir().unwrap();
    let delivery = delivery(1, mode, rows);
    deliver(&mut opened(dir.path(), options), &delivery, rows).unwrap();
    files(dir.path(), &delivery)
}

fn lines(files: Vec<(String, Vec<String>)>) -> Vec<String> {
    files.into_iter().flat_map(|(_, lines)| lines).collect()
}

fn id(segment: &str, vip: &str, new: &str) -> String {
    if segment == "vip" { vip.to_owned() } else { new.to_owned() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn xandr_reads_back(rows in rows(), gzip in any::<bool>(), max in 20..200u64) {
        let options = with(with(xandr(), "gzip", json!(gzip)), "max_file_bytes", json!(max));
        let found = lines(exported(options, Mode::Delta, &rows));
        let users: std::collections::BTreeSet<&str> = found.iter().map(|l| l.split(',').next().unwrap()).collect();
        prop_assert_eq!(users.len(), found.len(), "one line a user");
        prop_assert_eq!(oracle::xandr(&found), wanted(&rows, |s| id(s, "10000", "10001")));
    }

    #[test]
    fn adobe_reads_back(rows in rows(), gzip in any::<bool>(), max in 20..200u64, full in any::<bool>()) {
        let options = with(with(adobe(), "gzip", json!(gzip)), "max_file_bytes", json!(max));
        let mode = if full { Mode::Full } else { Mode::Delta };
        let mut want = wanted(&rows, |s| id(s, "24", "25"));
        want.retain(|(_, _, remove)| !full || !remove);
        prop_assert_eq!(oracle::adobe(&lines(exported(options, mode, &rows))), want);
    }

    #[test]
    fn csv_reads_back(rows in rows(), gzip in any::<bool>()) {
        let options = json!({ "format": "csv", "path": ".", "gzip": gzip });
        prop_assert_eq!(oracle::csv(&lines(exported(options, Mode::Delta, &rows)), false), wanted(&rows, str::to_owned));
    }

    #[test]
    fn human_csv_reads_back(ids in prop::collection::vec("[-=+@',\"a \\t]{1,4}", 1..8)) {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let rows = [row("vip", false, &ids)];
        let found = lines(exported(json!({ "format": "csv", "path": ".", "human": true }), Mode::Full, &rows));
        prop_assert!(found.iter().all(|line| !line.contains(",add,=") && !line.contains(",add,\"=")));
        prop_assert_eq!(oracle::csv(&found, true), wanted(&rows, str::to_owned));
    }

    #[test]
    fn jsonl_reads_back(ids in prop::collection::vec("[^\\p{Cc}]{1,6}", 1..8), remove in any::<bool>()) {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let rows = [row("a \"b\"", remove, &ids)];
        let found = lines(exported(json!({ "format": "jsonl", "path": "." }), Mode::Delta, &rows));
        prop_assert_eq!(oracle::jsonl(&found, "cookie"), wanted(&rows, str::to_owned));
    }
}

//! Limits of the platforms, and options that break them.

use super::*;

#[test]
fn a_user_in_1801_segments_takes_two_xandr_lines() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..1801).map(|n| format!("s{n:04}")).collect();
    let ids = names.iter().enumerate().map(|(n, name)| (name.clone(), json!({ "id": n + 1 })));
    let rows: Vec<Row> = names.iter().map(|name| row(name, false, &["7"])).collect();
    let first = delivery(1, Mode::Delta, &rows);
    deliver(&mut opened(dir.path(), with(xandr(), "segments", ids.collect())), &first, &rows).unwrap();
    let [(name, lines)] = &files(dir.path(), &first)[..] else { panic!("one file") };
    assert_eq!(name, "00000001-delta-00000000000000000000000000000001.txt.gz");
    assert_eq!(lines.iter().map(|line| line.matches(':').count()).collect::<Vec<_>>(), [1800, 1]);
    assert_eq!(oracle::xandr(lines).len(), 1801);
}

#[test]
fn adobe_lines_stay_below_102400_bytes() {
    let dir = tempfile::tempdir().unwrap();
    // Each item is 17 bytes with its comma, so that 10,000 need two lines.
    let names: Vec<String> = (0..10_000).map(|n| format!("s{n}")).collect();
    let ids = names.iter().enumerate().map(|(n, name)| (name.clone(), json!({ "id": 1_000_000_000 + n })));
    let rows: Vec<Row> = names.iter().map(|name| row(name, false, &["7"])).collect();
    let first = delivery(1, Mode::Delta, &rows);
    deliver(&mut opened(dir.path(), with(adobe(), "segments", ids.collect())), &first, &rows).unwrap();
    let [(_, lines)] = &files(dir.path(), &first)[..] else { panic!("one file") };
    assert_eq!(lines.len(), 2);
    assert!(
        lines.iter().all(|line| line.len() < 102_400),
        "{:?}",
        lines.iter().map(String::len).collect::<Vec<_>>()
    );
    assert!(lines[0].len() > 102_400 - 20, "a line is filled: {}", lines[0].len());
    assert_eq!(oracle::adobe(lines).len(), 10_000);
}

#[test]
fn a_full_file_is_followed_by_a_numbered_one() {
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<Row> = (0..10).map(|n| row("vip", false, &[&format!("user{n}")])).collect();
    for (sequence, options, line) in [(1, xandr(), 17), (2, adobe(), 15)] {
        let options = with(with(options, "max_file_bytes", json!(3 * line + 1)), "gzip", json!(false));
        let delivery = delivery(sequence, Mode::Delta, &rows);
        deliver(&mut opened(dir.path(), options), &delivery, &rows).unwrap();
        let files = files(dir.path(), &delivery);
        assert_eq!(files.iter().map(|(_, lines)| lines.len()).collect::<Vec<_>>(), [3, 3, 3, 1], "{files:?}");
    }
    let names: Vec<String> = listing(dir.path()).into_keys().collect();
    assert!(
        names.contains(&"00000001-delta-00000000000000000000000000000001-004.txt".to_owned()),
        "{names:?}"
    );
    assert!(names.contains(&"ftp_dpm_1234_1445374061.sync.4".to_owned()), "{names:?}");
}

#[test]
fn each_csv_part_has_the_header() {
    let dir = tempfile::tempdir().unwrap();
    let rows = [row("vip", false, &["1", "2", "3"])];
    let first = delivery(1, Mode::Full, &rows);
    let options = json!({ "format": "csv", "path": ".", "max_file_bytes": 45 });
    deliver(&mut opened(dir.path(), options), &first, &rows).unwrap();
    let headers: Vec<String> =
        files(dir.path(), &first).into_iter().map(|(_, mut lines)| lines.remove(0)).collect();
    assert_eq!(headers, ["segment,operation,cookie"; 2]);
}

fn problem(options: Value) -> String {
    let problems = DspExport::validate(&config(options));
    problems
        .into_iter()
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect::<Vec<_>>()
        .join("; ")
}

#[test]
fn wrong_options_name_their_place() {
    let separators = |name: &str, value: &str| with(xandr(), "separators", json!({ name: value }));
    let minutes = json!({ "vip": { "id": 1, "expiration_minutes": 300_000 } });
    let cases = [
        (with(xandr(), "dpid", json!(1)), "/dpid: `dpid` means nothing to format `xandr`"),
        (with(adobe(), "member_id", json!(1)), "/member_id: `member_id` means nothing to format `adobe-aam`"),
        (with(adobe(), "dpid", Value::Null), ": no `dpid`"),
        (with(adobe(), "device", json!("rida")), "/device: no such device at Audience Manager"),
        (with(adobe(), "segments", json!({ "a/b": {} })), "/segments/a~1b/id: segment `a/b` has no trait id"),
        (with(xandr(), "segments", minutes), "/segments/vip/expiration_minutes: 300000 minutes"),
        (separators("field", "|"), "/separators/field: '|' cannot separate"),
        (separators("user", ";"), "/separators/segment: ';' separates `user` too"),
        (with(xandr(), "fields", json!(["EXPIRATION"])), "/fields: the segment must be named once"),
        (with(xandr(), "fields", json!(["SEG_ID", "SEG_ID"])), "/fields: a field twice"),
        (with(xandr(), "max_file_bytes", json!(0)), "/max_file_bytes: out of range"),
        (with(xandr(), "path", json!("")), "/path: empty path"),
    ];
    for (options, want) in cases {
        assert_eq!(problem(options), want);
    }
    let single = with(xandr(), "separators", json!({ "one_a_line": true, "field": "\t", "user": "\t" }));
    assert_eq!(problem(single.clone()), "");
    assert!(problem(with(single, "fields", json!(["SEG_ID"]))).contains("a removal cannot be told"));
    assert_eq!(problem(json!({ "format": "xandr", "path": "out/" })), "");
}

//! Documented lines and names: a copy of a few here, all of them in `shared/fixtures/exports`.

use super::*;
use crate::{
    adobe::Adobe,
    config::SegmentIds,
    encoder::{Change, Target},
    xandr::{Field, Xandr},
};
use std::path::PathBuf;

fn fixture(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/exports").join(name);
    if !path.exists() {
        eprintln!("SKIPPED: no {}", path.display());
    }
    path.exists().then_some(path)
}

fn contracts() -> Option<Value> {
    fixture("contracts.json").map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
}

/// A target named as in a vector, by id or by code.
fn target(name: &str, expiration_minutes: u32, member_id: Option<u32>) -> Target {
    let ids = SegmentIds { id: name.parse().ok(), expiration_minutes, member_id, ..SegmentIds::default() };
    Target { name: name.to_owned(), ids }
}

fn change(target: &Target, remove: bool) -> Change<'_> {
    Change { target, remove, since_s: 1_320_689_131 }
}

/// The writer that a vector's separators and fields describe.
fn vector_writer(vector: &Value) -> Xandr {
    let mut options = xandr();
    options["fields"] = vector["fields"].clone();
    let names =
        [("sep1", "user"), ("sep2", "segment"), ("sep3", "field"), ("sep4", "remove"), ("sep5", "device")];
    let set = names.iter().filter(|(key, _)| vector[*key].is_string());
    let mut separators: Value = set.map(|(key, name)| ((*name).to_owned(), vector[*key].clone())).collect();
    separators["one_a_line"] = vector["sep2"].is_null().into();
    options["separators"] = separators;
    if vector["sep5"].is_string() {
        options["device"] = "idfa".into();
    }
    Xandr::new(&config(options))
}

/// Changes that the operations of a vector name, or, where it has none, those that its lines show.
fn vector_lines(vector: &Value) -> Vec<String> {
    let writer = vector_writer(vector);
    let minutes = if writer.fields.contains(&Field::Value) { 0 } else { 1440 };
    let text = |name: &Value| name.as_str().map_or(name.to_string(), str::to_owned);
    let (user, targets): (&str, Vec<(Target, bool)>) = match vector["ops"].get(0) {
        Some(ops) => {
            let list = |key: &str| ops[key].as_array().unwrap().iter();
            let add = |add: &Value| (target(&text(add.get(0).unwrap_or(add)), minutes, None), false);
            let remove = |name: &Value| (target(&text(name), 0, None), true);
            (ops["uid"].as_str().unwrap(), list("add").map(add).chain(list("remove").map(remove)).collect())
        }
        None if writer.fields.contains(&Field::MemberId) => {
            let targets = [("car_like", 400), ("bike_like", 500)]
                .map(|(code, member)| (target(code, 0, Some(member)), false));
            ("12345678900987654321", targets.into())
        }
        None => {
            let user = if writer.device.is_some() {
                "AEBE52E7-03EE-455A-B3C4-E57283966239"
            } else {
                "12345678900987654321"
            };
            let all = [("10000", false), ("10001", false), ("10002", true), ("10003", true)];
            let shown = all.into_iter().take(if writer.device.is_some() { 4 } else { 3 });
            (user, shown.map(|(id, remove)| (target(id, minutes, None), remove)).collect())
        }
    };
    let changes: Vec<Change<'_>> = targets.iter().map(|(target, remove)| change(target, *remove)).collect();
    let a_line = if writer.separators.one_a_line { 1 } else { changes.len() };
    changes.chunks(a_line).map(|changes| writer.line(user, changes)).collect()
}

#[test]
fn xandr_lines_are_the_documented_ones() {
    let Some(contracts) = contracts() else { return };
    let vectors = contracts["xandr_bss_legacy"]["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 5);
    for vector in vectors {
        assert_eq!(json!(vector_lines(vector)), vector["lines"], "{vector}");
    }
}

#[test]
fn two_xandr_lines_without_the_fixture() {
    let by_id = json!({ "sep1": ",", "sep2": ";", "sep3": ":", "fields": ["SEG_ID", "EXPIRATION"],
        "ops": [{ "uid": "1", "add": [[10000, 1440], [10001, 1440]], "remove": [10002, 10003] }] });
    assert_eq!(vector_lines(&by_id), ["1,10000:1440;10001:1440;10002:-1;10003:-1"]);
    let by_code = json!({ "sep1": ",", "sep2": ";", "sep4": "\t", "fields": ["SEG_CODE"],
        "ops": [{ "uid": "1", "add": ["auto_intender", "nike_shopper"], "remove": ["bicycle_intender"] }] });
    assert_eq!(vector_lines(&by_code), ["1,auto_intender;nike_shopper\tbicycle_intender"]);
}

/// Copy of `filename_regex`.
const NAME: &str = r"^ftp_dpm_\d+(_\d+)?_\d{10}\.(sync|overwrite)(\.\d+)?(\.gz)?$";

#[test]
fn adobe_names_are_allowed_ones() {
    let name = |options: Value, mode, part, gzip| {
        Adobe::new(&config(options)).name(&delivery(1, mode, &[]), part, 0, gzip)
    };
    let names = [
        name(adobe(), Mode::Full, None, false),
        name(adobe(), Mode::Delta, Some(2), true),
        name(with(adobe(), "device", json!("aaid")), Mode::Delta, None, false),
        name(with(adobe(), "device", json!("idfa")), Mode::Full, Some(1), true),
    ];
    assert_eq!(
        names,
        [
            "ftp_dpm_1234_1445374061.overwrite",
            "ftp_dpm_1234_1445374061.sync.2.gz",
            "ftp_dpm_20914_1234_1445374061.sync",
            "ftp_dpm_20915_1234_1445374061.overwrite.1.gz",
        ]
    );
    let own = regex::Regex::new(NAME).unwrap();
    assert!(names.iter().all(|name| own.is_match(name)));
    let Some(contracts) = contracts() else { return };
    let contract = &contracts["adobe_aam_inbound"];
    assert_eq!(contract["filename_regex"], NAME);
    for documented in contract["filenames_ok"].as_array().unwrap() {
        assert!(own.is_match(documented.as_str().unwrap()), "{documented}");
    }
    // The first of ours is the name of a real file.
    assert!(contract["filenames_ok"].as_array().unwrap().contains(&json!(names[0])));
}

#[test]
fn adobe_documented_lines_and_real_files_read() {
    let line =
        "59767559181262060060278870901087098252\td_sid=24,d_sid=26,d_sid=27,d_unsid=28,d_unsid=29".to_owned();
    assert_eq!(oracle::adobe(std::slice::from_ref(&line)).iter().filter(|(_, _, remove)| *remove).count(), 2);
    let Some(contracts) = contracts() else { return };
    let examples = contracts["adobe_aam_inbound"]["examples"].as_array().unwrap();
    assert!(examples.contains(&json!(line)));
    let example = |example: &Value| oracle::adobe_line(example.as_str().unwrap()).unwrap().1.len();
    assert_eq!(examples.iter().map(example).collect::<Vec<_>>(), [5, 5]);

    let Some(samples) = fixture("aam") else { return };
    let users = |name: &str| -> Vec<(String, Vec<String>)> {
        oracle::lines(&samples.join(name)).iter().filter_map(|line| oracle::adobe_line(line)).collect()
    };
    assert_eq!(users("adobe_id_0_12345_1476312152.sync").len(), 5);
    assert_eq!(users("adobe_id_12345_67890_1477846458.sync").len(), 5);
    let overwrite = users("ftp_dpm_1234_1445374061.overwrite");
    assert_eq!(overwrite.iter().map(|(_, items)| items.len()).collect::<Vec<_>>(), [18, 18, 18]);
    assert_eq!(overwrite[0].1[0], "ACCOUNT_TYPE=HAC");
}

#[test]
fn adobe_writes_the_documented_line() {
    let dir = tempfile::tempdir().unwrap();
    let ids = [("a", 24), ("b", 26), ("c", 27), ("d", 28), ("e", 29)];
    let segments: Value = ids.iter().map(|(name, id)| ((*name).to_owned(), json!({ "id": id }))).collect();
    let rows: Vec<Row> = ids
        .iter()
        .map(|(name, id)| row(name, *id > 27, &["59767559181262060060278870901087098252"]))
        .collect();
    let first = delivery(1, Mode::Delta, &rows);
    deliver(&mut opened(dir.path(), with(adobe(), "segments", segments)), &first, &rows).unwrap();
    let line = "59767559181262060060278870901087098252\td_sid=24,d_sid=26,d_sid=27,d_unsid=28,d_unsid=29";
    let name = "ftp_dpm_1234_1445374061.sync".to_owned();
    assert_eq!(files(dir.path(), &first), [(name, vec![line.to_owned()])]);
}

#[test]
fn a_spreadsheet_gets_no_formula() {
    let dir = tempfile::tempdir().unwrap();
    let rows = [row("vip", false, &["=1+1", "@x", "plain", "a \"b\", c"])];
    let human = json!({ "format": "csv", "path": ".", "human": true });
    let first = delivery(1, Mode::Delta, &rows);
    deliver(&mut opened(dir.path(), human), &first, &rows).unwrap();
    let [(_, lines)] = &files(dir.path(), &first)[..] else { panic!("one file") };
    let want = [
        "segment,operation,cookie",
        "vip,add,'=1+1",
        "vip,add,'@x",
        "vip,add,\"a \"\"b\"\", c\"",
        "vip,add,plain",
    ];
    assert_eq!(lines, &want);

    let machine = json!({ "format": "csv", "path": "." });
    let rows = [row("vip", false, &["+4915112345678"]), row("vip", false, &["a b"])];
    let second = delivery(2, Mode::Delta, &rows);
    let flushed = deliver(&mut opened(dir.path(), machine), &second, &rows).unwrap();
    assert_eq!(files(dir.path(), &second)[0].1[1..], ["vip,add,+4915112345678"]);
    assert_eq!((flushed.rejects[0].row, flushed.rejects[0].code.as_str()), (1, "identifier"));
}

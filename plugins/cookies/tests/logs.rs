//! Web logs with the defaults and with options.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Float64Type, TimestampMicrosecondType},
};
use kindred_plugin_api::{Context, FaultKind, Poll, Reject, Source, arrow, options};
use kindred_plugin_cookies::{Config, Cookies};
use std::{io::Write, path::Path};

fn read(folder: &Path, json: &str) -> (Vec<RecordBatch>, Vec<Reject>) {
    let config: Config = options::parse(json).unwrap();
    assert_eq!(Cookies::validate(&config), []);
    let context = Context::detached(folder);
    Cookies::check(&config, &context).unwrap();
    let mut source = Cookies::open(config, context).unwrap();
    let (mut batches, mut rejects) = (Vec::new(), Vec::new());
    while let Poll::Rows(rows) = source.poll(100, 1000).unwrap() {
        assert_eq!(rows.batch.schema(), source.schema().unwrap());
        batches.push(rows.batch);
        rejects.extend(rows.rejects);
    }
    (batches, rejects)
}

fn texts<'a>(batch: &'a RecordBatch, column: &str) -> Vec<&'a str> {
    batch.column_by_name(column).unwrap().as_string::<i32>().iter().map(|text| text.unwrap_or("∅")).collect()
}

#[test]
fn a_path_alone_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("logs")).unwrap();
    let lines = [
        r#"{"cookie":"c1","event":"product_view","time":"2026-01-05T10:00:00Z","id":"e1","url":"/a","category":"coats","value":12.5}"#,
        r#"{"cookie":"c2","type":"page","timestamp":1767607200,"messageId":"m2","extra":{"deep":[1,2]}}"#,
        r#"{"cookie":"c3","type":"page","timestamp":1767607200123}"#,
        r#"{"cookie":"","type":"page","timestamp":1767607200}"#,
        r#"{"cookie":"c5","timestamp":1767607200}"#,
        r#"{"cookie":"c6","type":"page"}"#,
    ];
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(lines.join("\n").as_bytes()).unwrap();
    std::fs::write(dir.path().join("logs/a.jsonl.gz"), out.finish().unwrap()).unwrap();

    let (batches, rejects) = read(dir.path(), r#"{ "path": "logs/*.jsonl.gz" }"#);
    let batch = &batches[0];
    assert_eq!(texts(batch, "id.cookie"), ["c1", "c2", "c3"]);
    assert_eq!(texts(batch, "event"), ["product_view", "page", "page"]);
    let ids = texts(batch, "event_id");
    assert_eq!(ids[..2], ["e1", "m2"]);
    assert!(ids[2].ends_with(":3"), "{ids:?}");
    assert_eq!(
        (texts(batch, "url"), texts(batch, "category")),
        (vec!["/a", "∅", "∅"], vec!["coats", "∅", "∅"])
    );
    assert_eq!(batch.column_by_name("value").unwrap().as_primitive::<Float64Type>().value(0), 12.5);
    let times = batch.column_by_name("event_time").unwrap().as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.values(), &[1_767_607_200_000_000, 1_767_607_200_000_000, 1_767_607_200_123_000]);
    let codes: Vec<_> = rejects.iter().map(|r| (r.row, r.code.as_str())).collect();
    assert_eq!(codes, [(4, "no-identifier"), (5, "value"), (6, "value")]);
    assert_eq!((rejects[1].payload.as_str(), rejects[1].origin.as_str()), (lines[4], "logs/a.jsonl.gz"));
}

#[test]
fn csv_logs_need_no_optional_column_but_the_cookie() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), "cookie,event,time\nc1,page,2026-01-05\n").unwrap();
    let (batches, rejects) = read(dir.path(), r#"{ "path": "a.csv" }"#);
    assert_eq!((texts(&batches[0], "url"), rejects.len()), (vec!["∅"], 0));
    std::fs::write(dir.path().join("a.csv"), "cooky,event,time\nc1,page,2026-01-05\n").unwrap();
    let config = options::parse(r#"{ "path": "a.csv" }"#).unwrap();
    let fault = Cookies::check(&config, &Context::detached(dir.path())).unwrap_err();
    assert_eq!((fault.kind, fault.problems[0].path.as_str()), (FaultKind::Config, "/cookie"));
    assert!(fault.problems[0].help.as_deref().unwrap().starts_with("did you mean `cooky`?"));
}

#[test]
fn further_identifiers_and_properties_come_by_option_and_mail_stays_secret() {
    let dir = tempfile::tempdir().unwrap();
    let lines = "{\"ck\":\"c1\",\"ts\":5,\"user\":{\"mail\":\"A@Example.com\"},\"page\":{\"title\":\"T\"},\"v\":\"x\"}\n\
                 {\"ck\":\"c2\",\"ts\":\"bad\",\"user\":{\"mail\":\"b@example.com\"}}\n";
    std::fs::write(dir.path().join("a.ndjson"), lines).unwrap();
    let json = r#"{ "path": ["a.ndjson"], "cookie": "ck", "event": "page_view", "time": { "column": "ts", "unit": "s" },
        "identifiers": { "email": "user.mail" }, "properties": { "title": "page.title", "url": "v" } }"#;
    let (batches, rejects) = read(dir.path(), json);
    let batch = &batches[0];
    assert_eq!((texts(batch, "title"), texts(batch, "url")), (vec!["T"], vec!["x"]));
    let hash = texts(batch, "id.email_sha256")[0];
    assert_eq!(hash.len(), 64);
    assert_eq!((rejects.len(), rejects[0].payload.as_str()), (1, ""));
    assert!(rejects[0].message.contains("found text like `aaa`"), "{}", rejects[0].message);
}

#[test]
fn every_option_explains_itself() {
    let schema: serde_json::Value = serde_json::from_str(&options::schema::<Config>()).unwrap();
    let options = schema["properties"].as_object().unwrap();
    let mute: Vec<_> =
        options.iter().filter(|(_, option)| option["description"].as_str().is_none()).collect();
    assert!(options.len() >= 9 && mute.is_empty(), "{mute:?}");
}

//! CRM exports: keys, attributes, and what must never be seen.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Int64Type, TimestampMicrosecondType},
};
use kindred_plugin_api::{Context, FaultKind, Poll, Reject, Result, Source, arrow, options};
use kindred_plugin_crm_import::{Config, CrmImport};
use std::path::{Path, PathBuf};

fn read(folder: &Path, json: &str) -> Result<(RecordBatch, Vec<Reject>)> {
    let config: Config = options::parse(json)?;
    let context = Context::detached(folder);
    CrmImport::check(&config, &context)?;
    let mut source = CrmImport::open(config, context)?;
    let Poll::Rows(rows) = source.poll(10_000, 1000)? else { panic!("no rows") };
    Ok((rows.batch, rows.rejects))
}

fn folder(csv: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("crm.csv"), csv).unwrap();
    dir
}

fn texts<'a>(batch: &'a RecordBatch, column: &str) -> Vec<&'a str> {
    batch.column_by_name(column).unwrap().as_string::<i32>().iter().map(|text| text.unwrap_or("∅")).collect()
}

fn names(batch: &RecordBatch) -> Vec<String> {
    batch.schema().fields().iter().map(|field| field.name().clone()).collect()
}

#[test]
fn keys_are_hashed_as_declared_and_the_rest_are_attributes() {
    let dir =
        folder("id,mail,tel,country,notes\n7, Jane.Doe+x@GMAIL.com ,0151 12345678,DE,secret\n8,,,AT,\n");
    let json = r#"{ "path": "crm.csv", "exclude": ["notes"], "as_of": "2026-01-31",
        "keys": { "crm": "id", "email": { "column": "mail", "kind": "email", "hash": "sha256" },
                  "phone": { "column": "tel", "region": "DE" } } }"#;
    let (batch, rejects) = read(dir.path(), json).unwrap();
    assert_eq!(rejects, []);
    assert_eq!(names(&batch), ["event_time", "id.crm", "id.email_sha256", "id.phone_sha256", "attr.country"]);
    let sha = |text| kindred_identifiers::Hash::Sha256.of(text);
    assert_eq!(texts(&batch, "id.email_sha256"), [sha("janedoe@gmail.com").as_str(), "∅"]);
    assert_eq!(texts(&batch, "id.phone_sha256"), [sha("+4915112345678").as_str(), "∅"]);
    assert_eq!((texts(&batch, "id.crm"), texts(&batch, "attr.country")), (vec!["7", "8"], vec!["DE", "AT"]));
    let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.values(), &[1_769_817_600_000_000; 2]);
}

#[test]
fn raw_keys_only_when_declared() {
    let dir = folder("mail\nA@b.de\n");
    let (batch, _) = read(dir.path(), r#"{ "path": "crm.csv", "keys": { "email": "mail" } }"#).unwrap();
    assert_eq!(names(&batch), ["event_time", "id.email_sha256"]);
    assert_eq!(batch.column(0).null_count(), 1, "unknown since when");
    let json = r#"{ "path": "crm.csv", "keys": { "email": { "column": "mail", "hash": "none" } } }"#;
    let (batch, _) = read(dir.path(), json).unwrap();
    assert_eq!(texts(&batch, "id.email"), ["a@b.de"]);
}

#[test]
fn no_reject_shows_what_a_row_held() {
    let secrets = ["jane@", "Jane", "geheim", "12.13.1999"];
    let dir = folder(
        "mail,name,born\njane@,Jane,1.1.2000\na@b.de,geheim\nc@d.de,Jane,12.13.1999\nj@k.de,x,2.1.2000\n",
    );
    let json = r#"{ "path": "crm.csv", "keys": { "email": "mail" },
        "attributes": { "born": { "type": "timestamp", "format": "%d.%m.%Y" } } }"#;
    let (batch, rejects) = read(dir.path(), json).unwrap();
    assert_eq!(batch.num_rows(), 1);
    let codes: Vec<_> = rejects.iter().map(|r| (r.row, r.code.as_str())).collect();
    assert_eq!(codes, [(1, "identifier"), (2, "ragged-row"), (3, "value")]);
    for reject in &rejects {
        assert_eq!(reject.payload, "");
        assert!(secrets.iter().all(|secret| !reject.message.contains(secret)), "{}", reject.message);
    }
    assert!(rejects[2].message.contains("found text like `99.99.9999`, expected a time as `%d.%m.%Y`"));
}

#[test]
fn a_column_mapped_twice_is_refused() {
    for json in [
        r#"{ "path": "crm.csv", "keys": { "crm": "id", "loyalty": "id" } }"#,
        r#"{ "path": "crm.csv", "keys": { "crm": "id" }, "attributes": { "number": "id" } }"#,
        r#"{ "path": "crm.csv", "keys": { "crm": "id" }, "attributes": ["a"], "consent": "a" }"#,
    ] {
        let problems = CrmImport::validate(&options::parse(json).unwrap());
        assert!(
            problems.iter().any(|problem| problem.message.contains("is mapped twice")),
            "{json}: {problems:?}"
        );
    }
}

#[test]
fn wrong_options_are_told_before_or_at_check() {
    let dir = folder("id,mail\n1,a@b.de\n");
    let fault = read(dir.path(), r#"{ "path": "crm.csv", "keys": { "crm": "id" }, "exclude": ["mial"] }"#)
        .unwrap_err();
    assert_eq!((fault.kind, fault.problems[0].path.as_str()), (FaultKind::Config, "/exclude"));
    assert!(fault.problems[0].help.as_deref().unwrap().starts_with("did you mean `mail`?"));
    std::fs::write(dir.path().join("crm.jsonl"), "{}").unwrap();
    let fault = read(dir.path(), r#"{ "path": "crm.jsonl", "keys": { "crm": "id" } }"#).unwrap_err();
    assert_eq!(fault.problems[0].path, "/attributes");
    let problems = CrmImport::validate(
        &options::parse(r#"{ "path": "x.csv", "keys": { "phone": { "region": "XX" } }, "attributes": [] , "exclude": ["a"]}"#).unwrap(),
    );
    let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["/keys/phone", "/exclude"]);
}

#[test]
fn headers_with_traps() {
    let dir = folder(",id,id,\"a,b\"\r\nx,1,2,3\r\n");
    let fault = read(dir.path(), r#"{ "path": "crm.csv", "keys": { "crm": "id" } }"#).unwrap_err();
    assert!(fault.message.contains("column `id` is there twice; write `#2` or `#3`"), "{fault}");
    let json =
        r##"{ "path": "crm.csv", "text": { "header": true }, "keys": { "crm": "#2" }, "exclude": ["#3"] }"##;
    let (batch, _) = read(dir.path(), json).unwrap();
    assert_eq!(names(&batch), ["event_time", "id.crm", "attr.#1", "attr.a,b"]);
}

#[test]
fn the_demographics_of_a_retailer() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/retail");
    if !path.is_dir() {
        println!("skipped: {} is not there", path.display());
        return;
    }
    let json = r#"{ "path": "demographics.csv", "keys": { "household": "household_id" }, "text": { "nulls": ["NA"] } }"#;
    let (batch, rejects) = read(&path, json).unwrap();
    assert_eq!((batch.num_rows(), rejects.len(), batch.num_columns()), (801, 0, 9));
    assert_eq!((texts(&batch, "attr.age")[0], texts(&batch, "attr.kids_count")[0]), ("65+", "0"));
    let json = r#"{ "path": "products.parquet", "keys": { "product": "product_id" } }"#;
    let (batch, rejects) = read(&path, json).unwrap();
    assert_eq!((batch.num_rows(), rejects.len()), (10_000, 0));
    let maker = batch.column_by_name("attr.manufacturer_id").unwrap();
    assert_eq!(maker.data_type(), &DataType::Int64);
    assert!(maker.as_primitive::<Int64Type>().value(0) > 0);
}

#[test]
fn every_option_explains_itself() {
    let schema: serde_json::Value = serde_json::from_str(&options::schema::<Config>()).unwrap();
    let options = schema["properties"].as_object().unwrap();
    let mute: Vec<_> =
        options.iter().filter(|(_, option)| option["description"].as_str().is_none()).collect();
    assert!(options.len() >= 9 && mute.is_empty(), "{mute:?}");
}

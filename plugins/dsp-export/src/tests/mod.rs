//! Deliveries through the destination, read back from disk with readers of their own ([`oracle`]).

mod delivery;
mod formats;
mod limits;
mod oracle;
mod round_trip;

use crate::*;
use kindred_plugin_api::{
    DeliverySegment,
    arrow::array::{ListBuilder, StringBuilder, StructBuilder, TimestampMicrosecondArray, UInt32Array},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, sync::Arc};

/// One activation row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) segment: String,
    pub(super) remove: bool,
    pub(super) identifiers: Vec<(String, String)>,
}

/// A row with identifiers `cookie`.
pub(super) fn row(segment: &str, remove: bool, cookies: &[&str]) -> Row {
    let identifiers = cookies.iter().map(|id| ("cookie".to_owned(), (*id).to_owned())).collect();
    Row { segment: segment.to_owned(), remove, identifiers }
}

/// Microseconds of 1445374061, a second in the name of one of Adobe's samples.
pub(super) const CREATED_US: i64 = 1_445_374_061_250_000;

pub(super) fn batch(rows: &[Row]) -> RecordBatch {
    let schema = columns::activation();
    let DataType::List(item) = schema.field(3).data_type() else { panic!("identifiers are a list") };
    let DataType::Struct(pair) = item.data_type() else { panic!("of pairs") };
    let pairs = StructBuilder::from_fields(pair.clone(), 0);
    let mut identifiers = ListBuilder::new(pairs).with_field(item.clone());
    for row in rows {
        for (namespace, value) in &row.identifiers {
            let pair = identifiers.values();
            pair.field_builder::<StringBuilder>(0).unwrap().append_value(namespace);
            pair.field_builder::<StringBuilder>(1).unwrap().append_value(value);
            pair.append(true);
        }
        identifiers.append(true);
    }
    let text = |f: fn(&Row) -> &str| Arc::new(rows.iter().map(|row| Some(f(row))).collect::<StringArray>());
    let since = TimestampMicrosecondArray::from(vec![CREATED_US; rows.len()]).with_timezone("+00:00");
    let columns: Vec<ArrayRef> = vec![
        text(|row| &row.segment),
        text(|row| if row.remove { "remove" } else { "add" }),
        Arc::new((0..rows.len() as u32).collect::<UInt32Array>()),
        Arc::new(identifiers.finish()),
        text(|_| "granted"),
        Arc::new(since),
    ];
    RecordBatch::try_new(schema, columns).unwrap()
}

pub(super) fn delivery(sequence: u64, mode: Mode, rows: &[Row]) -> Delivery {
    let mut segments: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for row in rows {
        let (adds, removes) = segments.entry(&row.segment).or_default();
        *if row.remove { removes } else { adds } += 1;
    }
    let segment =
        |(segment, (adds, removes)): (&str, _)| DeliverySegment { segment: segment.into(), adds, removes };
    let segments = segments.into_iter().map(segment).collect();
    Delivery { id: format!("{sequence:032x}"), sequence, mode, created_us: CREATED_US, segments }
}

pub(super) fn config(options: Value) -> Config {
    serde_json::from_value(options).unwrap()
}

pub(super) fn opened(dir: &Path, options: Value) -> DspExport {
    let config = config(options);
    assert_eq!(DspExport::validate(&config), vec![]);
    let mut plugin = DspExport::open(config, Context::detached(dir)).unwrap();
    plugin.bind(columns::activation()).unwrap();
    plugin
}

/// A whole delivery, its rows in batches of three.
pub(super) fn deliver(plugin: &mut DspExport, delivery: &Delivery, rows: &[Row]) -> Result<Flushed> {
    plugin.begin(delivery)?;
    let whole = batch(rows);
    for at in (0..rows.len()).step_by(3) {
        plugin.write(whole.slice(at, 3.min(rows.len() - at)))?;
    }
    plugin.flush()
}

/// Name and bytes of everything in a folder, sorted.
pub(super) fn listing(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

/// Lines of the files that a delivery's manifest names, by file.
pub(super) fn files(dir: &Path, delivery: &Delivery) -> Vec<(String, Vec<String>)> {
    let manifest = fs::read(dir.join(manifest::name(&delivery.id))).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let name = |file: &Value| file["name"].as_str().unwrap().to_owned();
    let names = manifest["files"].as_array().unwrap().iter().map(name);
    names.map(|name| (name.clone(), oracle::whole_lines(&dir.join(name)))).collect()
}

/// Options of a platform for segments `vip` and `new`.
pub(super) fn xandr() -> Value {
    json!({ "format": "xandr", "path": ".", "segments": {
        "vip": { "id": 10000, "expiration_minutes": 1440 }, "new": { "id": 10001 } } })
}

pub(super) fn adobe() -> Value {
    json!({ "format": "adobe-aam", "path": ".", "dpid": 1234, "segments": { "vip": { "id": 24 }, "new": { "id": 25 } } })
}

/// `options` with one more, or another, option.
pub(super) fn with(mut options: Value, name: &str, value: Value) -> Value {
    options[name] = value;
    options
}

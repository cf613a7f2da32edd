//! The profiles of a test as the rows that sources would bring: one batch a source, with a grant of consent in each
//! row, and denials in a batch behind all others.

use super::values::column;
use crate::{
    Result,
    config::{
        Source,
        cases::{Case, CaseEvent, CaseProfile},
    },
    profile::Value,
    store::columns::ColumnType,
};
use arrow::{
    array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{Field, Schema},
};
use kindred_plugin_api::columns::{ATTR, CONSENT, EVENT, EVENT_ID, EVENT_TIME, ID};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The source of rows that carry identifiers or a denial and nothing else.
const SOURCE: &str = "test";

/// One row.
struct Row<'a> {
    profile: &'a CaseProfile,
    /// De-duplication key, of events.
    id: String,
    event: Option<&'a CaseEvent>,
    time_us: i64,
    consent: &'static str,
}

/// All rows by source; `kinds` are the types of columns, of attributes as `attr.SOURCE.NAME`.
pub(super) fn batches(
    case: &Case,
    kinds: &BTreeMap<String, ColumnType>,
) -> Result<Vec<(Source, RecordBatch)>> {
    let attributes = case.profiles.values().flat_map(|p| p.attributes.keys().map(|(source, _)| source));
    let events = case.profiles.values().flat_map(|p| p.events.iter().map(|event| &event.source));
    let sources: BTreeSet<&str> = attributes.chain(events).map(String::as_str).collect();
    let mut batches = Vec::new();
    for source in sources {
        batches.push((named(source), batch(source, &brought(case, source), kinds)?));
    }
    for consent in ["granted", "denied"] {
        let all = case.profiles.values().filter(|profile| consent == "granted" || !profile.granted);
        let last = |p: &CaseProfile| p.events.iter().map(|e| e.time_us).max().unwrap_or(i64::MIN);
        let row = |profile| {
            let time_us = if consent == "denied" { last(profile).max(case.as_of_us) } else { case.as_of_us };
            Row { profile, id: String::new(), event: None, time_us, consent }
        };
        let rows: Vec<Row<'_>> = all.map(row).collect();
        if !rows.is_empty() {
            batches.push((named(SOURCE), batch("", &rows, kinds)?));
        }
    }
    Ok(batches)
}

fn named(name: &str) -> Source {
    Source { name: name.to_owned(), ..Source::default() }
}

fn brought<'a>(case: &'a Case, source: &str) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for (key, profile) in &case.profiles {
        let row = |id, event, time_us| Row { profile, id, event, time_us, consent: "granted" };
        if profile.attributes.keys().any(|(of, _)| of == source) {
            rows.push(row(String::new(), None, case.as_of_us));
        }
        for (number, event) in profile.events.iter().enumerate().filter(|(_, e)| e.source == source) {
            rows.push(row(format!("{key} {number}"), Some(event), event.time_us));
        }
    }
    rows
}

fn batch(source: &str, rows: &[Row<'_>], kinds: &BTreeMap<String, ColumnType>) -> Result<RecordBatch> {
    let mut fields: Vec<Field> = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    let mut add = |name: &str, values: ArrayRef| {
        fields.push(Field::new(name, values.data_type().clone(), true));
        columns.push(values);
    };
    let text = |of: &dyn Fn(&Row<'_>) -> Option<String>| -> ArrayRef {
        Arc::new(StringArray::from_iter(rows.iter().map(of)))
    };
    add(EVENT_ID, text(&|row| row.event.map(|_| row.id.clone())));
    add(
        EVENT_TIME,
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.time_us))
                .with_timezone("+00:00"),
        ),
    );
    add(EVENT, text(&|row| row.event.map(|event| event.event.clone())));
    add(CONSENT, text(&|row| Some(row.consent.to_owned())));
    let namespaces: BTreeSet<&String> = rows.iter().flat_map(|row| row.profile.identifiers.keys()).collect();
    for namespace in namespaces {
        add(&format!("{ID}{namespace}"), text(&|row| row.profile.identifiers.get(namespace).cloned()));
    }
    for (name, kind) in kinds {
        let attribute = name.strip_prefix(ATTR).and_then(|attribute| attribute.split_once('.'));
        match attribute {
            Some((of, attribute)) if of == source => {
                let key = (of.to_owned(), attribute.to_owned());
                let values =
                    rows.iter().map(|row| row.profile.attributes.get(&key).filter(|_| row.event.is_none()));
                add(&format!("{ATTR}{attribute}"), column(*kind, values));
            }
            None if rows.iter().any(|row| of_event(row, name).is_some()) => {
                add(name, column(*kind, rows.iter().map(|row| of_event(row, name))));
            }
            _ => {}
        }
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn of_event<'a>(row: &Row<'a>, column: &str) -> Option<&'a Value> {
    row.event?.columns.get(column)
}

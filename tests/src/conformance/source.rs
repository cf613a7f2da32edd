//! Duties of a source.

use super::{Duty, Subject, in_parallel, opening, rows, same};
use arrow::datatypes::{DataType, Schema};
use kindred_core::plugin::{Polled, SourceHandle};
use kindred_plugin_api::columns::{self, ATTR, CONSENT, EVENT, EVENT_ID, EVENT_TIME, ID};
use std::path::Path;

pub(super) const DUTIES: &[Duty] = &[
    ("has the columns that events have", schema),
    ("gives no more rows than it was asked for", most),
    ("gives the same rows however they are cut", cuts),
    ("goes on right behind each of its positions", resumes),
    ("stays at its end", ends),
    ("works twice at once", parallel),
];

/// Asked for at once in all duties that do not vary it.
const ROWS: usize = 1000;

/// What one poll gave, as text: rows and rejects apart, because a cut may fall between them.
#[derive(Default)]
struct Given {
    rows: Vec<String>,
    rejects: Vec<String>,
}

pub(super) fn output(subject: &Subject<'_>) -> Result<Vec<String>, String> {
    let folder = subject.folder();
    let given = drain(subject, folder.path(), None, ROWS)?;
    Ok(joined(given))
}

fn joined(given: Vec<(Given, Vec<u8>)>) -> Vec<String> {
    let (mut lines, mut rejects) = (Vec::new(), Vec::new());
    for (given, _) in given {
        lines.extend(given.rows);
        rejects.extend(given.rejects);
    }
    lines.extend(rejects);
    lines
}

pub(super) fn life(subject: &Subject<'_>, close: bool) -> Result<(), String> {
    let folder = subject.folder();
    let mut source = open(subject, folder.path(), None)?;
    source.poll(2).map_err(|f| format!("poll: {f:?}"))?;
    if close { source.close().map_err(|f| format!("close: {f:?}")) } else { Ok(()) }
}

fn open(subject: &Subject<'_>, base_dir: &Path, state: Option<Vec<u8>>) -> Result<SourceHandle, String> {
    let config = subject.config();
    let mut source =
        subject.plugin.open_source(&opening(&config, base_dir, state)).map_err(|f| format!("open: {f:?}"))?;
    source.schema().map_err(|f| format!("schema: {f:?}"))?;
    Ok(source)
}

/// Everything from a position on, poll by poll.
fn drain(
    subject: &Subject<'_>,
    base_dir: &Path,
    state: Option<Vec<u8>>,
    max_rows: usize,
) -> Result<Vec<(Given, Vec<u8>)>, String> {
    let mut source = open(subject, base_dir, state)?;
    let mut polls = Vec::new();
    while polls.len() < 10_000 {
        match source.poll(max_rows).map_err(|f| format!("poll: {f:?}"))? {
            Polled::Rows { batch, rejects, position, .. } => {
                rows::damage(&batch)?;
                if batch.num_rows() > max_rows {
                    return Err(format!("{} rows, asked for were {max_rows}", batch.num_rows()));
                }
                source.ack(&position).map_err(|f| format!("ack: {f:?}"))?;
                let rejects = rejects.iter().map(rows::reject_line).collect();
                polls.push((Given { rows: rows::lines(&batch), rejects }, position));
            }
            Polled::Idle(_) => {}
            Polled::End => {
                source.close().map_err(|f| format!("close: {f:?}"))?;
                return Ok(polls);
            }
        }
    }
    Err("no end after 10,000 polls".into())
}

fn schema(subject: &Subject<'_>) -> Result<(), String> {
    let folder = subject.folder();
    let schema = open(subject, folder.path(), None)?.schema().map_err(|f| format!("{f:?}"))?;
    for field in schema.fields() {
        let (name, kind) = (field.name().as_str(), field.data_type());
        let scalar = matches!(kind, DataType::Utf8 | DataType::Int64 | DataType::Float64 | DataType::Boolean);
        let fits = match name {
            EVENT_ID | EVENT | CONSENT => *kind == DataType::Utf8,
            EVENT_TIME => *kind == columns::timestamp(),
            _ if name.starts_with(ID) => *kind == DataType::Utf8 && name.len() > ID.len(),
            _ => (scalar || *kind == columns::timestamp()) && name != ATTR,
        };
        if !fits {
            return Err(format!("column `{name}` is {kind}"));
        }
    }
    let has = |schema: &Schema, name| schema.field_with_name(name).is_ok();
    if has(&schema, EVENT) && !(has(&schema, EVENT_ID) && has(&schema, EVENT_TIME)) {
        return Err("events need an `event_id` and an `event_time`".into());
    }
    if !schema.fields().iter().any(|f| f.name().starts_with(ID)) {
        return Err("no identifier".into());
    }
    Ok(())
}

fn most(subject: &Subject<'_>) -> Result<(), String> {
    let folder = subject.folder();
    for max_rows in [1, 2, 5] {
        drain(subject, folder.path(), None, max_rows)?;
    }
    Ok(())
}

fn cuts(subject: &Subject<'_>) -> Result<(), String> {
    let folder = subject.folder();
    let whole = joined(drain(subject, folder.path(), None, ROWS)?);
    for max_rows in [1, 3, 7] {
        let found = joined(drain(subject, folder.path(), None, max_rows)?);
        same(&format!("{max_rows} rows at once"), &whole, &found)?;
    }
    same("again", &whole, &joined(drain(subject, folder.path(), None, ROWS)?))
}

fn resumes(subject: &Subject<'_>) -> Result<(), String> {
    let folder = subject.folder();
    let polls = drain(subject, folder.path(), None, 3)?;
    for done in 1..=polls.len() {
        let state = polls[done - 1].1.clone();
        let rest = drain(subject, folder.path(), Some(state), 3)?;
        let lines = |polls: &[(Given, Vec<u8>)]| {
            let rows = polls.iter().flat_map(|(given, _)| given.rows.clone());
            let rejects = polls.iter().flat_map(|(given, _)| given.rejects.clone());
            rows.chain(rejects).collect::<Vec<_>>()
        };
        same(&format!("from position {done}"), &lines(&polls[done..]), &lines(&rest))?;
    }
    Ok(())
}

fn ends(subject: &Subject<'_>) -> Result<(), String> {
    let folder = subject.folder();
    let mut source = open(subject, folder.path(), None)?;
    while !matches!(source.poll(ROWS).map_err(|f| format!("{f:?}"))?, Polled::End) {}
    for _ in 0..3 {
        let polled = source.poll(ROWS).map_err(|f| format!("{f:?}"))?;
        if !matches!(polled, Polled::End) {
            return Err(format!("{polled:?}"));
        }
    }
    Ok(())
}

fn parallel(subject: &Subject<'_>) -> Result<(), String> {
    let folder = subject.folder();
    let alone = joined(drain(subject, folder.path(), None, ROWS)?);
    in_parallel(&alone, || drain(subject, folder.path(), None, ROWS).map(joined))
}

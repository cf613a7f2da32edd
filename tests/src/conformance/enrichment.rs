//! Duties of an enrichment.

use super::{Duty, Subject, in_parallel, opening, rows, same};
use arrow::array::RecordBatch;
use kindred_core::plugin::EnrichmentHandle;
use kindred_plugin_api::columns::EVENT_ID;
use std::path::Path;

pub(super) const DUTIES: &[Duty] = &[
    ("takes batches of every shape", shapes),
    ("survives any content", random),
    ("answers each row by itself", by_row),
    ("gives the same answer again", again),
    ("leaves the event that a row is", identity),
    ("works twice at once", parallel),
];

pub(super) fn output(subject: &Subject<'_>) -> Result<Vec<String>, String> {
    let folder = subject.folder();
    let mut enrichment = open(subject, folder.path())?;
    let mut lines = process(&mut enrichment, &subject.input())?;
    if let Some(random) = rows::random(&subject.input(), 500) {
        lines.extend(process(&mut enrichment, &random)?);
    }
    Ok(lines)
}

pub(super) fn life(subject: &Subject<'_>, close: bool) -> Result<(), String> {
    let folder = subject.folder();
    let mut enrichment = open(subject, folder.path())?;
    process(&mut enrichment, &subject.input())?;
    if close { enrichment.close().map_err(|f| format!("close: {f:?}")) } else { Ok(()) }
}

fn open(subject: &Subject<'_>, base_dir: &Path) -> Result<EnrichmentHandle, String> {
    let config = subject.config();
    let opening = opening(&config, base_dir, None);
    let mut enrichment = subject.plugin.open_enrichment(&opening).map_err(|f| format!("open: {f:?}"))?;
    enrichment.bind(subject.input().schema_ref()).map_err(|f| format!("bind: {f:?}"))?;
    Ok(enrichment)
}

/// Rows that went on, then rejects; the host has compared their number with that of the input.
fn process(enrichment: &mut EnrichmentHandle, batch: &RecordBatch) -> Result<Vec<String>, String> {
    let (out, rejects) = enrichment.process(batch).map_err(|f| format!("process: {f:?}"))?;
    rows::damage(&out)?;
    if !rejects.windows(2).all(|pair| pair[0].row < pair[1].row) {
        return Err(format!("rejects are not in the order of their rows: {rejects:?}"));
    }
    if let Some(reject) = rejects.iter().find(|reject| reject.row >= batch.num_rows() as u64) {
        return Err(format!("{} rows, but row {} is rejected", batch.num_rows(), reject.row));
    }
    let mut lines = rows::lines(&out);
    lines.extend(rejects.iter().map(rows::reject_line));
    Ok(lines)
}

fn shapes(subject: &Subject<'_>) -> Result<(), String> {
    let folder = subject.folder();
    let mut enrichment = open(subject, folder.path())?;
    for (name, batch) in rows::shapes(&subject.input()) {
        process(&mut enrichment, &batch).map_err(|found| format!("{name}: {found}"))?;
    }
    Ok(())
}

fn random(subject: &Subject<'_>) -> Result<(), String> {
    let folder = subject.folder();
    let mut enrichment = open(subject, folder.path())?;
    let batch =
        rows::random(&subject.input(), 2000).ok_or("the scenario has a column that events do not have")?;
    process(&mut enrichment, &batch).map(drop)
}

fn by_row(subject: &Subject<'_>) -> Result<(), String> {
    let folder = subject.folder();
    let mut enrichment = open(subject, folder.path())?;
    let batch = subject.input();
    let whole = enrichment.process(&batch).map_err(|f| format!("{f:?}"))?.0;
    let mut singly = Vec::new();
    for row in 0..batch.num_rows() {
        singly
            .extend(rows::lines(&enrichment.process(&batch.slice(row, 1)).map_err(|f| format!("{f:?}"))?.0));
    }
    same("row by row", &rows::lines(&whole), &singly)?;
    let (start, end) = (3, batch.num_rows() - 2);
    let sliced = process(&mut enrichment, &batch.slice(start, end - start))?;
    let mut other = open(subject, folder.path())?;
    let copied = super::rows::shuffled(&batch.slice(start, end - start));
    let direct = process(&mut other, &batch.slice(start, end - start))?;
    process(&mut other, &copied)?;
    same("a slice, after other batches", &direct, &sliced)
}

fn again(subject: &Subject<'_>) -> Result<(), String> {
    let folder = subject.folder();
    let mut enrichment = open(subject, folder.path())?;
    let batch = rows::shuffled(&subject.input());
    let first = process(&mut enrichment, &batch)?;
    same("redelivered", &first, &process(&mut enrichment, &batch)?)?;
    same("redelivered after a restart", &first, &process(&mut open(subject, folder.path())?, &batch)?)
}

fn identity(subject: &Subject<'_>) -> Result<(), String> {
    let folder = subject.folder();
    let mut enrichment = open(subject, folder.path())?;
    let batch = subject.input();
    let (out, rejects) = enrichment.process(&batch).map_err(|f| format!("{f:?}"))?;
    let ids = |batch: &RecordBatch| -> Result<Vec<String>, String> {
        let index = batch.schema().index_of(EVENT_ID).map_err(|e| e.to_string())?;
        Ok(rows::lines(&batch.project(&[index]).map_err(|e| e.to_string())?))
    };
    let kept = ids(&batch)?.into_iter().zip(0_u64..).filter(|(_, row)| rejects.iter().all(|r| r.row != *row));
    let kept: Vec<String> = kept.map(|(id, _)| id).collect();
    same("event ids", &kept, &ids(&out)?)
}

fn parallel(subject: &Subject<'_>) -> Result<(), String> {
    let alone = output(subject)?;
    in_parallel(&alone, || output(subject))
}

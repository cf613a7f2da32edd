//! Duties of a destination. What it wrote is read from the folder of the pipeline file.

use super::{Duty, Subject, hexadecimal, in_parallel, opening, rows, same};
use arrow::array::RecordBatch;
use kindred_core::plugin::DestinationHandle;
use kindred_plugin_api::{Delivery, DeliverySegment, Flushed, Mode, columns};
use sha2::{Digest, Sha256};
use std::path::Path;

pub(super) const DUTIES: &[Duty] = &[
    ("delivers the same however the rows are cut", cuts),
    ("makes one effect of the same delivery twice", twice),
    ("forgets a delivery that was not finished", forgets),
    ("counts rows taken and rows refused", counts),
    ("delivers an empty delivery", empty),
    ("refuses rows that were not agreed", refuses),
    ("works twice at once", parallel),
];

pub(super) fn output(subject: &Subject<'_>) -> Result<Vec<String>, String> {
    let folder = subject.folder();
    let mut destination = open(subject, folder.path())?;
    let mut lines = deliver(&mut destination, &delivery(1), &[subject.input()], folder.path())?;
    lines.extend(deliver(&mut destination, &delivery(2), &[subject.input().slice(0, 3)], folder.path())?);
    destination.close().map_err(|f| format!("close: {f:?}"))?;
    lines.extend(files(folder.path()));
    Ok(lines)
}

pub(super) fn life(subject: &Subject<'_>, close: bool) -> Result<(), String> {
    let folder = subject.folder();
    let mut destination = open(subject, folder.path())?;
    destination.begin(&delivery(1)).map_err(|f| format!("begin: {f:?}"))?;
    destination.write(&subject.input()).map_err(|f| format!("write: {f:?}"))?;
    if close { destination.close().map_err(|f| format!("close: {f:?}")) } else { Ok(()) }
}

fn open(subject: &Subject<'_>, base_dir: &Path) -> Result<DestinationHandle, String> {
    let config = subject.config();
    let opening = opening(&config, base_dir, None);
    let mut destination = subject.plugin.open_destination(&opening).map_err(|f| format!("open: {f:?}"))?;
    destination.bind(&columns::activation()).map_err(|f| format!("bind: {f:?}"))?;
    Ok(destination)
}

fn delivery(sequence: u64) -> Delivery {
    Delivery {
        id: format!("{sequence:032x}"),
        sequence,
        mode: Mode::Delta,
        created_us: 1_767_225_600_000_000,
        segments: vec![DeliverySegment { segment: "vip".into(), adds: 8, removes: 2 }],
    }
}

fn deliver(
    destination: &mut DestinationHandle,
    delivery: &Delivery,
    batches: &[RecordBatch],
    base_dir: &Path,
) -> Result<Vec<String>, String> {
    let flushed = flush(destination, delivery, batches)?;
    let mut lines = vec![format!("{} rows", flushed.rows)];
    lines.extend(flushed.rejects.iter().map(rows::reject_line));
    // Receipts may name files by their whole path.
    let base_dir = base_dir.display().to_string();
    lines.extend(flushed.receipts.iter().map(|receipt| receipt.replace(&base_dir, "")));
    Ok(lines)
}

fn flush(
    destination: &mut DestinationHandle,
    delivery: &Delivery,
    batches: &[RecordBatch],
) -> Result<Flushed, String> {
    destination.begin(delivery).map_err(|f| format!("begin: {f:?}"))?;
    for batch in batches {
        destination.write(batch).map_err(|f| format!("write: {f:?}"))?;
    }
    destination.flush().map_err(|f| format!("flush: {f:?}"))
}

/// Every file under a folder, with the hash of its bytes, by name.
fn files(folder: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let bytes = std::fs::read(&path).unwrap_or_default();
                let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                found.push(format!("{name} {}", hexadecimal(&Sha256::digest(bytes))));
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

/// What one delivery leaves, in a folder of its own.
fn delivered(subject: &Subject<'_>, batches: &[RecordBatch]) -> Result<Vec<String>, String> {
    let folder = subject.folder();
    let mut lines = deliver(&mut open(subject, folder.path())?, &delivery(1), batches, folder.path())?;
    lines.extend(files(folder.path()));
    Ok(lines)
}

fn cuts(subject: &Subject<'_>) -> Result<(), String> {
    let batch = subject.input();
    let whole = delivered(subject, std::slice::from_ref(&batch))?;
    let rows: Vec<RecordBatch> = (0..batch.num_rows()).map(|row| batch.slice(row, 1)).collect();
    same("row by row", &whole, &delivered(subject, &rows)?)?;
    let parts = [batch.slice(0, 3), batch.slice(3, 0), batch.slice(3, batch.num_rows() - 3)];
    same("in parts", &whole, &delivered(subject, &parts)?)
}

fn twice(subject: &Subject<'_>) -> Result<(), String> {
    let (folder, batch) = (subject.folder(), subject.input());
    let batches = std::slice::from_ref(&batch);
    let mut destination = open(subject, folder.path())?;
    let first = deliver(&mut destination, &delivery(1), batches, folder.path())?;
    let effect = files(folder.path());
    same("delivered again", &first, &deliver(&mut destination, &delivery(1), batches, folder.path())?)?;
    same("files of two deliveries", &effect, &files(folder.path()))?;
    drop(destination);
    let mut restarted = open(subject, folder.path())?;
    same("after a restart", &first, &deliver(&mut restarted, &delivery(1), batches, folder.path())?)?;
    same("files after a restart", &effect, &files(folder.path()))
}

fn forgets(subject: &Subject<'_>) -> Result<(), String> {
    let (folder, batch) = (subject.folder(), subject.input());
    let expected = delivered(subject, std::slice::from_ref(&batch))?;
    let mut killed = open(subject, folder.path())?;
    killed.begin(&delivery(1)).map_err(|f| format!("begin: {f:?}"))?;
    killed.write(&batch.slice(0, 2)).map_err(|f| format!("write: {f:?}"))?;
    let mut lines = deliver(&mut killed, &delivery(1), std::slice::from_ref(&batch), folder.path())?;
    lines.extend(files(folder.path()));
    same("begun again", &expected, &lines)
}

fn counts(subject: &Subject<'_>) -> Result<(), String> {
    let (folder, batch) = (subject.folder(), subject.input());
    let flushed = flush(&mut open(subject, folder.path())?, &delivery(1), std::slice::from_ref(&batch))?;
    let (rows, rejects) = (flushed.rows, flushed.rejects.len() as u64);
    if rows + rejects != batch.num_rows() as u64 {
        return Err(format!("{rows} rows and {rejects} rejects of {}", batch.num_rows()));
    }
    match flushed.rejects.iter().find(|reject| reject.row >= batch.num_rows() as u64) {
        Some(reject) => Err(format!("row {} of {} is refused", reject.row, batch.num_rows())),
        None => Ok(()),
    }
}

fn empty(subject: &Subject<'_>) -> Result<(), String> {
    let folder = subject.folder();
    let mut destination = open(subject, folder.path())?;
    for (sequence, batches) in [(1, vec![]), (2, vec![subject.input().slice(0, 0)])] {
        let flushed = flush(&mut destination, &delivery(sequence), &batches)?;
        if flushed.rows != 0 || !flushed.rejects.is_empty() {
            return Err(format!("nothing was sent, but {flushed:?}"));
        }
    }
    Ok(())
}

fn refuses(subject: &Subject<'_>) -> Result<(), String> {
    let folder = subject.folder();
    let mut destination = open(subject, folder.path())?;
    destination.begin(&delivery(1)).map_err(|f| format!("begin: {f:?}"))?;
    let other = subject.input().project(&[0, 1]).map_err(|e| e.to_string())?;
    match destination.write(&other) {
        Err(_) => Ok(()),
        Ok(()) => Err("two columns were taken for all of them".into()),
    }
}

fn parallel(subject: &Subject<'_>) -> Result<(), String> {
    let alone = delivered(subject, &[subject.input()])?;
    in_parallel(&alone, || delivered(subject, &[subject.input()]))
}

//! Rows of dead letters as their source handed them out, so that they can be replayed with nothing lost: an Arrow batch
//! for some letters of one source, next to them.

use super::tables::{self, Change, Tables};
use crate::Result;
use arrow::{
    array::{RecordBatch, UInt32Array},
    compute::{concat_batches, take_record_batch},
    error::ArrowError,
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, io::Cursor};
use xxhash_rust::xxh3::xxh3_128;

/// Rows of one record: few enough to be written anew when one of them goes.
pub(super) const ROWS: usize = 4_096;

/// Some rows of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The source that handed them out.
    pub source: String,
    /// When, microseconds since 1970.
    pub at_us: i64,
    /// The letter of each row; the first one that there was is the key.
    pub letters: Vec<u64>,
    /// The identifiers of each row, by [`who`].
    who: Vec<Vec<u128>>,
    key: u64,
    /// An Arrow IPC stream.
    rows: Vec<u8>,
}

impl Kept {
    /// Of these rows, given with their letters and identifiers; none of no rows.
    pub(super) fn new(
        source: &str,
        at_us: i64,
        rows: &RecordBatch,
        (letters, who): (Vec<u64>, Vec<Vec<u128>>),
    ) -> Result<Option<Self>> {
        let Some(key) = letters.first().copied() else { return Ok(None) };
        Ok(Some(Self { source: source.to_owned(), at_us, letters, who, key, rows: written(rows)? }))
    }

    /// The number that it is kept under.
    pub fn key(&self) -> u64 {
        self.key
    }

    /// The rows of some of its letters, in their order.
    ///
    /// # Errors
    /// When the bytes are not those that were written.
    pub fn rows(&self, wanted: impl Fn(u64) -> bool) -> Result<RecordBatch> {
        let rows = (0..).zip(&self.letters).filter(|(_, letter)| wanted(**letter)).map(|(row, _)| row);
        let batch = read(&self.rows)?;
        Ok(take_record_batch(&batch, &UInt32Array::from_iter_values(rows))?)
    }

    /// Puts what is left of it once some letters need no row any more.
    pub(super) fn keep(
        &self,
        tables: &Tables,
        change: &mut Change,
        wanted: impl Fn(u64) -> bool,
    ) -> Result<()> {
        let (mut letters, mut who) = (Vec::new(), Vec::new());
        for (letter, of) in self.letters.iter().zip(&self.who) {
            if wanted(*letter) {
                letters.push(*letter);
                who.push(of.clone());
            } else {
                of.iter().for_each(|of| change.remove(&tables.kept_of, place(*of, *letter)));
            }
        }
        if letters.is_empty() {
            change.remove(&tables.kept, self.key.to_be_bytes());
        } else if letters.len() < self.letters.len() {
            let rows = written(&self.rows(wanted)?)?;
            let left =
                Self { source: self.source.clone(), at_us: self.at_us, letters, who, key: self.key, rows };
            change.put(&tables.kept, self.key.to_be_bytes(), &left)?;
        }
        Ok(())
    }

    pub(super) fn put(&self, tables: &Tables, change: &mut Change) -> Result<()> {
        for (letter, who) in self.letters.iter().zip(&self.who) {
            who.iter().for_each(|who| change.put_bytes(&tables.kept_of, place(*who, *letter), []));
        }
        change.put(&tables.kept, self.key.to_be_bytes(), self)
    }
}

/// An identifier, as rows are found by it.
pub fn who(namespace: &str, value: &str) -> u128 {
    xxh3_128(&[namespace.as_bytes(), &[0], value.as_bytes()].concat())
}

fn place(who: u128, letter: u64) -> [u8; 24] {
    let mut place = [0; 24];
    place[..16].copy_from_slice(&who.to_be_bytes());
    place[16..].copy_from_slice(&letter.to_be_bytes());
    place
}

/// Letters that rows of one of these identifiers are kept for.
pub(super) fn letters_of(tables: &Tables, who: impl Iterator<Item = u128>) -> Result<BTreeSet<u64>> {
    let mut letters = BTreeSet::new();
    for who in who {
        for (key, _) in tables::scan(&tables.kept_of, who.to_be_bytes())? {
            letters.extend(key.get(16..).and_then(|key| key.try_into().ok()).map(u64::from_be_bytes));
        }
    }
    Ok(letters)
}

/// The numbers that rows are kept under, oldest first.
pub(super) fn list(tables: &Tables) -> Result<Vec<u64>> {
    let mut keys = Vec::new();
    for entry in tables.kept.iter() {
        let key = entry.key()?;
        keys.extend(key.as_ref().try_into().ok().map(u64::from_be_bytes));
    }
    Ok(keys)
}

/// What is kept under a number.
///
/// # Errors
/// When the database fails.
pub fn get(tables: &Tables, key: u64) -> Result<Option<Kept>> {
    tables::read(&tables.kept, key.to_be_bytes())
}

fn written(rows: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema())?;
    writer.write(rows)?;
    Ok(writer.into_inner()?)
}

fn read(bytes: &[u8]) -> Result<RecordBatch> {
    let reader = StreamReader::try_new(Cursor::new(bytes), None)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, ArrowError>>()?;
    Ok(concat_batches(&schema, &batches)?)
}

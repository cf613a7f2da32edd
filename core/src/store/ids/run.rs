//! A run: ids in order, on disk. One of them is found by reading the few hundred whose hashes begin alike, and a filter in
//! memory tells of nearly all others that they are not there.
//!
//! ```text
//! ids      16 bytes each, little-endian, ascending
//! parts    of the ids that begin alike, in order: how many ids lie up to its end, and their XXH3; 8 bytes each, little-endian
//! filter   of them all
//! ```

use super::{
    filter::Filter,
    id::{ID, Id, Seen, ids_of},
};
use crate::{
    Error, Result,
    store::{
        block::Piece,
        files::{Content, Entry, Files, Source},
    },
};
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};
use xxhash_rust::xxh3::xxh3_64;

/// Ids of a part, about.
const PART: u64 = 256;
/// Bytes that tell of a part.
const TOLD: usize = 16;

/// Ids on disk.
pub(super) struct Run {
    pub(super) name: String,
    pub(super) rows: u64,
    /// The last day that one of them came, days since 1970.
    pub(super) day: i64,
    source: Source,
    parts: Vec<Part>,
    filter: Filter,
}

/// Ids that begin alike.
#[derive(Clone, Copy, Default)]
struct Part {
    /// Ids up to its end.
    end: u64,
    checksum: u64,
}

impl Run {
    /// Opens a committed one: what lies behind its ids is read and proved, they are when one of them is looked for.
    pub(super) fn open(files: &Files, name: &str, entry: &Entry) -> Result<Self> {
        let source = files.open_source(name, entry)?;
        let start = entry.rows * ID as u64;
        let piece = Piece { start, values: start, end: entry.bytes, checksum: entry.checksum };
        let behind = source.read(&piece)?;
        let told = parts(entry.rows) * TOLD;
        if behind.len() != told + Filter::bytes(entry.rows) {
            return Err(source.damaged("it is not as long as its ids ask for"));
        }
        let (told, filter) = behind.split_at(told);
        let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let part = |told: &[[u8; 8]; 2]| Part { end: number(&told[0]), checksum: number(&told[1]) };
        let parts = told.as_chunks().0.as_chunks().0.iter().map(part).collect();
        let filter = Filter::from_bytes(filter);
        Ok(Self { name: name.to_owned(), rows: entry.rows, day: entry.day, source, parts, filter })
    }

    /// Looks for those of the keys that were not found yet; `order` has their rows, about in the order of the keys.
    pub(super) fn look(&self, keys: &[Id], order: &[u32], found: &mut [Seen]) -> Result<()> {
        let open =
            |row: &u32| found[*row as usize] == Seen::Never && self.filter.may_have(keys[*row as usize]);
        let mut rows: Vec<u32> = order.iter().copied().filter(open).collect();
        rows.sort_unstable_by_key(|row| keys[*row as usize]);
        let part = |row: u32| part_of(keys[row as usize], self.parts.len());
        for rows in rows.chunk_by(|a, b| part(*a) == part(*b)) {
            let ids = self.read(part(rows[0]))?;
            for row in rows {
                let key = keys[*row as usize];
                let at = ids.partition_point(|id| id.hash() < key.hash());
                if let Some(first) = ids.get(at).filter(|id| id.hash() == key.hash()) {
                    found[*row as usize] = key.beside(*first);
                }
            }
        }
        Ok(())
    }

    /// The ids of a part.
    fn read(&self, part: usize) -> Result<Vec<Id>> {
        let start = part.checked_sub(1).map_or(0, |before| self.parts[before].end);
        let Part { end, checksum } = self.parts[part];
        let start = start * ID as u64;
        let bytes = self.source.read(&Piece { start, values: start, end: end * ID as u64, checksum })?;
        Ok(ids_of(&bytes).collect())
    }
}

/// Where a run is written, and what it will be.
pub(super) struct To<'a> {
    pub(super) path: &'a Path,
    pub(super) file: &'a File,
    pub(super) rows: u64,
    pub(super) day: i64,
}

impl To<'_> {
    /// Writes ids, which come ascending, in pieces, and waits until they are durable.
    pub(super) fn write(self, pieces: impl Iterator<Item = Result<Vec<Id>>>) -> Result<Entry> {
        let failed = || Error::io(self.path);
        let mut out =
            Out { to: BufWriter::with_capacity(1 << 20, self.file), bytes: Vec::new(), parts: Vec::new() };
        let mut filter = Filter::new(self.rows);
        for piece in pieces {
            for id in piece? {
                out.close_before(part_of(id, parts(self.rows))).map_err(failed())?;
                filter.insert(id);
                out.bytes.extend(id.to_bytes());
            }
        }
        out.close_before(parts(self.rows)).map_err(failed())?;
        let told = out.parts.iter().flat_map(|part| [part.end, part.checksum]).flat_map(u64::to_le_bytes);
        let behind: Vec<u8> = told.chain(filter.to_bytes()).collect();
        out.to.write_all(&behind).and_then(|()| out.to.flush()).map_err(failed())?;
        self.file.sync_data().map_err(failed())?;
        let length = self.rows * ID as u64 + behind.len() as u64;
        Ok(Entry { day: self.day, ..Entry::new(Content::SortedIds, length, xxh3_64(&behind), self.rows) })
    }
}

/// A run on its way to its file.
struct Out<'a> {
    to: BufWriter<&'a File>,
    /// Ids of the part that is next.
    bytes: Vec<u8>,
    parts: Vec<Part>,
}

impl Out<'_> {
    /// Writes what is before a part.
    fn close_before(&mut self, part: usize) -> io::Result<()> {
        while self.parts.len() < part {
            let before = self.parts.last().map_or(0, |part| part.end);
            let end = before + (self.bytes.len() / ID) as u64;
            self.parts.push(Part { end, checksum: xxh3_64(&self.bytes) });
            self.to.write_all(&self.bytes)?;
            self.bytes.clear();
        }
        Ok(())
    }
}

/// The ids of several runs, ascending, a part of the smallest at a time.
pub(super) fn merged(runs: &[impl AsRef<Run>]) -> impl Iterator<Item = Result<Vec<Id>>> {
    let pieces = runs.iter().map(|run| run.as_ref().parts.len()).min().unwrap_or(0);
    (0..pieces).map(move |piece| {
        let mut ids = Vec::new();
        for run in runs.iter().map(AsRef::as_ref) {
            let each = run.parts.len() / pieces;
            for part in piece * each..(piece + 1) * each {
                ids.extend(run.read(part)?);
            }
        }
        // It finds the ids of each run in order.
        ids.sort();
        Ok(ids)
    })
}

/// Parts of a run of so many ids: a power of two.
fn parts(rows: u64) -> usize {
    (rows / PART).next_power_of_two() as usize
}

/// The part of an id where there are so many.
fn part_of(id: Id, parts: usize) -> usize {
    ((u128::from(id.first_bits()) * parts as u128) >> 64) as usize
}

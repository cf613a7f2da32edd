//! Files of the store: written and synced first, then named by a step's commit; anything else in the folder is a
//! leftover of a step that never committed.

use super::{
    commits::Commit,
    tables::{self, Change, Tables},
};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::PathBuf,
};
use xxhash_rust::xxh3::xxh3_64;

/// What a committed file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Events or event ids.
    pub content: Content,
    /// Length.
    pub bytes: u64,
    /// XXH3 of all bytes; checked on every read.
    pub checksum: u64,
    /// Events or ids inside.
    pub rows: u64,
    /// Day of ingestion, days since 1970.
    pub day: i64,
}

/// Kinds of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A segment of events in profile order.
    Events,
    /// Ids of ingested events.
    Ids,
}

/// The files of a store.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    next: u64,
    known: BTreeMap<String, Entry>,
    /// Written and not synced yet.
    unsynced: Vec<(PathBuf, File)>,
}

impl Files {
    /// Reads the list and removes what was never committed.
    pub(super) fn open(dir: PathBuf, tables: &Tables) -> Result<Self> {
        fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
        let mut known = BTreeMap::new();
        for (name, value) in tables::scan(&tables.files, [])? {
            known.insert(String::from_utf8_lossy(&name).into_owned(), postcard::from_bytes(&value)?);
        }
        for entry in fs::read_dir(&dir).map_err(Error::io(&dir))? {
            let path = entry.map_err(Error::io(&dir))?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if !known.contains_key(&name) {
                fs::remove_file(&path).map_err(Error::io(&path))?;
            }
        }
        let next = known
            .keys()
            .next_back()
            .and_then(|name| name.get(..16))
            .map_or(0, |hex| u64::from_str_radix(hex, 16).map_or(0, |n| n + 1));
        Ok(Self { dir, next, known, unsynced: Vec::new() })
    }

    /// Committed files of one kind, oldest first.
    pub fn of(&self, content: Content) -> impl Iterator<Item = (&String, &Entry)> {
        self.known.iter().filter(move |(_, entry)| entry.content == content)
    }

    /// Writes a file and names it in the change, which [`Self::commit`] makes durable, too.
    pub(super) fn add(
        &mut self,
        tables: &Tables,
        change: &mut Change,
        content: Content,
        rows: usize,
        bytes: &[u8],
    ) -> Result<String> {
        let name =
            format!("{:016x}.{}", self.next, if content == Content::Events { "events" } else { "ids" });
        self.next += 1;
        let path = self.dir.join(&name);
        let mut file = File::create(&path).map_err(Error::io(&path))?;
        file.write_all(bytes).map_err(Error::io(&path))?;
        self.unsynced.push((path, file));
        let entry = Entry {
            content,
            bytes: bytes.len() as u64,
            checksum: xxh3_64(bytes),
            rows: rows as u64,
            day: crate::clock::now_us().div_euclid(super::DAY_US),
        };
        change.put(&tables.files, &name, &entry)?;
        self.known.insert(name.clone(), entry);
        Ok(name)
    }

    /// Takes a file out of the list; its bytes go once that is committed.
    pub(super) fn retire(&mut self, tables: &Tables, change: &mut Change, name: &str) {
        change.remove(&tables.files, name);
        self.known.remove(name);
    }

    /// What makes a change durable with all files that were added since the last one; retired ones go.
    pub(super) fn commit(&mut self, change: Change, retired: &[String]) -> Commit {
        Commit {
            files: std::mem::take(&mut self.unsynced),
            folder: self.dir.clone(),
            change,
            profiles: None,
            sweep: retired.iter().map(|name| self.dir.join(name)).collect(),
        }
    }

    /// Reads a committed file, whole and proved.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.dir.join(name);
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        let damaged = |reason: String| Error::Damaged { path: path.clone(), reason };
        let entry = self.known.get(name).ok_or_else(|| damaged("it was never committed".into()))?;
        if entry.bytes != bytes.len() as u64 {
            return Err(damaged(format!("{} bytes, committed were {}", bytes.len(), entry.bytes)));
        }
        if entry.checksum != xxh3_64(&bytes) {
            return Err(damaged("its checksum is wrong".into()));
        }
        Ok(bytes)
    }
}

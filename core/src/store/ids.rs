//! De-duplication: 128-bit hashes of the ids of events ingested in the last 30 days, in memory, with one file a step
//! behind them.

use super::{
    files::{Content, Files},
    tables::{Change, Tables},
};
use crate::Result;
use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, Hasher},
};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Days that an id is remembered for, counted from its ingestion.
const WINDOW_DAYS: i64 = 30;
/// Files that are merged into one.
const FAN_IN: usize = 16;

/// Keys are hashes already.
#[derive(Default)]
pub(super) struct Already(u64);

impl Hasher for Already {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            self.0 ^= chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
    }
    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

/// The ids that were seen. They are read when the first event comes: a command that only looks does not wait for them.
#[derive(Default)]
pub struct Ids {
    seen: Option<HashSet<u128, BuildHasherDefault<Already>>>,
    fresh: Vec<u128>,
}

impl std::fmt::Debug for Ids {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ids").field("seen", &self.seen.as_ref().map(HashSet::len)).finish()
    }
}

/// The key of an event id within its source.
pub fn key(source: &str, id: &[u8]) -> u128 {
    xxh3_128_with_seed(id, xxhash_rust::xxh3::xxh3_64(source.as_bytes()))
}

impl Ids {
    /// Reads what is remembered.
    pub(super) fn load(&mut self, files: &Files) -> Result<()> {
        if self.seen.is_some() {
            return Ok(());
        }
        let mut seen = HashSet::default();
        for (name, entry) in files.of(Content::Ids) {
            seen.reserve(entry.rows as usize);
            seen.extend(numbers(&files.read(name)?));
        }
        self.seen = Some(seen);
        Ok(())
    }

    /// True when this id is new; remembers it.
    pub(super) fn insert(&mut self, key: u128) -> bool {
        let new = self.seen.get_or_insert_default().insert(key);
        if new {
            self.fresh.push(key);
        }
        new
    }

    /// Writes the step's new ids, merges small files and retires expired ones; answers the names to sweep.
    pub(super) fn save(
        &mut self,
        files: &mut Files,
        tables: &Tables,
        change: &mut Change,
    ) -> Result<Vec<String>> {
        let today = crate::clock::now_us().div_euclid(super::DAY_US);
        let mut retired: Vec<String> = Vec::new();
        for (name, entry) in files.of(Content::Ids) {
            if entry.day < today - WINDOW_DAYS {
                retired.push(name.clone());
            }
        }
        let same_day: Vec<String> =
            files.of(Content::Ids).filter(|(_, e)| e.day == today).map(|(n, _)| n.clone()).collect();
        if !self.fresh.is_empty() {
            let mut bytes: Vec<u8> = Vec::with_capacity(self.fresh.len() * 16);
            if same_day.len() >= FAN_IN {
                for name in &same_day {
                    bytes.extend(files.read(name)?);
                }
                retired.extend(same_day);
            }
            for id in self.fresh.drain(..) {
                bytes.extend(id.to_le_bytes());
            }
            files.add(tables, change, Content::Ids, bytes.len() / 16, &bytes)?;
        }
        for name in &retired {
            files.retire(tables, change, name);
        }
        Ok(retired)
    }
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u128> {
    bytes.chunks_exact(16).filter_map(|c| c.try_into().ok().map(u128::from_le_bytes))
}

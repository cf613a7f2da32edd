//! De-duplication: 128-bit hashes of the ids of events ingested in the last 30 days, in memory, with one file a step
//! behind them.

use super::{
    files::{Content, Entry, Files},
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
/// Files of one size class that are merged into one.
const FAN_IN: usize = 16;
/// Files of at least this many ids stay as they are, so that no step writes more than sixteen times this.
const LARGE: u64 = 65_536;
/// Parts of the set.
const PARTS: usize = 256;

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

/// A part of the ids: those whose hashes begin alike. It is asked for many ids at a time, so that they find it in the
/// caches, and it grows when its time has come, not with all others.
type Part = HashSet<u128, BuildHasherDefault<Already>>;

/// The ids that were seen. They are read when the first event comes: a command that only looks does not wait for them.
#[derive(Default)]
pub struct Ids {
    seen: Option<Vec<Part>>,
    fresh: Vec<u128>,
}

impl std::fmt::Debug for Ids {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seen = self.seen.as_ref().map(|parts| parts.iter().map(HashSet::len).sum::<usize>());
        f.debug_struct("Ids").field("seen", &seen).finish()
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
        let rows: u64 = files.of(Content::Ids).map(|(_, entry)| entry.rows).sum();
        let part = || Part::with_capacity_and_hasher(rows as usize / PARTS, BuildHasherDefault::default());
        let mut seen: Vec<Part> = (0..PARTS).map(|_| part()).collect();
        for (name, _) in files.of(Content::Ids) {
            let keys: Vec<u128> = numbers(&files.read(name)?).collect();
            insert(&mut seen, &keys);
        }
        self.seen = Some(seen);
        Ok(())
    }

    /// Whether each id is new; remembers them all. Of equal ones the first is new.
    pub(super) fn insert(&mut self, keys: &[u128]) -> Vec<bool> {
        let seen = self.seen.get_or_insert_with(|| vec![Part::default(); PARTS]);
        let new = insert(seen, keys);
        self.fresh.extend(keys.iter().zip(&new).filter(|(_, new)| **new).map(|(key, _)| *key));
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
        if !self.fresh.is_empty() {
            let mut bytes: Vec<u8> = Vec::with_capacity(self.fresh.len() * 16);
            // Sixteen of a class make one of the next, which may be the sixteenth there.
            let mut rows = self.fresh.len() as u64;
            while rows < LARGE {
                let alike = |entry: &Entry| entry.day == today && class(entry.rows) == class(rows);
                let alike = files.of(Content::Ids).filter(|(name, e)| alike(e) && !retired.contains(name));
                let alike: Vec<(String, u64)> = alike.map(|(name, e)| (name.clone(), e.rows)).collect();
                if alike.len() + 1 < FAN_IN {
                    break;
                }
                for (name, more) in alike {
                    bytes.extend(files.read(&name)?);
                    retired.push(name);
                    rows += more;
                }
            }
            bytes.extend(self.fresh.drain(..).flat_map(u128::to_le_bytes));
            files.add(tables, change, Content::Ids, bytes.len() / 16, &bytes)?;
        }
        for name in &retired {
            files.retire(tables, change, name);
        }
        Ok(retired)
    }
}

fn class(rows: u64) -> u32 {
    rows.max(1).ilog2() / FAN_IN.ilog2()
}

/// Whether each key was not there yet: part by part, and in each part in the order of the keys.
fn insert(parts: &mut [Part], keys: &[u128]) -> Vec<bool> {
    let part = |key: u128| (key >> 120) as usize;
    let mut ends = vec![0_u32; PARTS + 1];
    keys.iter().for_each(|key| ends[part(*key) + 1] += 1);
    for at in 0..PARTS {
        ends[at + 1] += ends[at];
    }
    let mut order = vec![0_u32; keys.len()];
    for (row, key) in (0..).zip(keys) {
        let place = &mut ends[part(*key)];
        order[*place as usize] = row;
        *place += 1;
    }
    let mut new = vec![false; keys.len()];
    for row in order {
        let key = keys[row as usize];
        new[row as usize] = parts[part(key)].insert(key);
    }
    new
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u128> {
    bytes.chunks_exact(16).filter_map(|c| c.try_into().ok().map(u128::from_le_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]

        /// A key is new exactly once, in whatever batches, commits and starts.
        #[test]
        fn an_id_is_new_once(
            batches in proptest::collection::vec(proptest::collection::vec(0_u8..60, 0..40), 1..40),
            restart in 0_usize..40,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut store = Store::open(dir.path()).unwrap();
            let mut known = std::collections::BTreeSet::new();
            for (number, batch) in batches.iter().enumerate() {
                if number == restart {
                    drop(store);
                    store = Store::open(dir.path()).unwrap();
                }
                store.expect_events().unwrap();
                let keys: Vec<u128> = batch.iter().map(|id| key("a source", &[*id])).collect();
                let expected: Vec<bool> = batch.iter().map(|id| known.insert(*id)).collect();
                proptest::prop_assert_eq!(store.are_new(&keys), expected);
                let change = store.tables.change();
                store.commit(change, Vec::new()).unwrap();
            }
            let files = store.files.of(Content::Ids).count();
            proptest::prop_assert!(files < 2 * FAN_IN, "small files are merged: {} files", files);
        }
    }
}

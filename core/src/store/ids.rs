//! De-duplication: what came under which id in the last 30 days, in memory, with one file a step behind it. 128 bits an
//! event: 88 of its id's hash, 16 that tell which columns its content was read from, 24 of the content's hash.

use super::{
    files::{Content, Entry, Files},
    tables::{Change, Tables},
};
use crate::Result;
use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, Hash, Hasher},
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

/// Bits below those of the id.
const BELOW: u32 = 40;
/// Bits below those of the columns.
const CONTENT: u32 = 24;

/// An event's id within its source, and what came under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(u128);

/// What was known of an event's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    Never,
    /// The same event; or one whose content cannot be compared, because it was read from other columns.
    Again,
    /// Another event came under this id.
    Other,
}

/// What an event says, to be told from another: which columns it was read from, and a hash of what is in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Says {
    /// The same for two events that can be compared.
    pub columns: u16,
    /// The same for two events that say the same, and by chance for one of 2^24 others.
    pub hash: u64,
}

impl Id {
    /// Of an event of a source.
    pub fn new(source: &str, id: &[u8], says: Says) -> Self {
        let key = xxh3_128_with_seed(id, xxhash_rust::xxh3::xxh3_64(source.as_bytes()));
        let below = u128::from(says.columns) << CONTENT | u128::from(says.hash >> (64 - CONTENT));
        Self(key >> BELOW << BELOW | below)
    }

    /// What an event is to the one that came first.
    fn beside(self, first: Self) -> Seen {
        let columns = |id: Self| (id.0 >> CONTENT) as u16;
        if self.0 == first.0 || columns(self) != columns(first) { Seen::Again } else { Seen::Other }
    }
}

/// An id in the set, which is found whatever came under it.
#[derive(Clone, Copy)]
struct Known(Id);

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.0.0 >> BELOW == other.0.0 >> BELOW
    }
}

impl Eq for Known {}

impl Hash for Known {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64((self.0.0 >> BELOW) as u64);
    }
}

/// Keys are hashes already.
#[derive(Default)]
struct Already(u64);

impl Hasher for Already {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            self.0 ^= chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// A part of the ids: those whose hashes begin alike. It is asked for many ids at a time, so that they find it in the
/// caches, and it grows when its time has come, not with all others.
type Part = HashSet<Known, BuildHasherDefault<Already>>;

/// The ids that were seen. They are read when the first event comes: a command that only looks does not wait for them.
#[derive(Default)]
pub struct Ids {
    seen: Option<Vec<Part>>,
    fresh: Vec<Id>,
}

impl std::fmt::Debug for Ids {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seen = self.seen.as_ref().map(|parts| parts.iter().map(HashSet::len).sum::<usize>());
        f.debug_struct("Ids").field("seen", &seen).finish()
    }
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
            let keys: Vec<Id> = numbers(&files.read(name)?).collect();
            insert(&mut seen, &keys);
        }
        self.seen = Some(seen);
        Ok(())
    }

    /// What was known of each id; remembers those that are new. Of equal ones the first is new.
    pub(super) fn insert(&mut self, keys: &[Id]) -> Vec<Seen> {
        let seen = self.seen.get_or_insert_with(|| vec![Part::default(); PARTS]);
        let found = insert(seen, keys);
        self.fresh
            .extend(keys.iter().zip(&found).filter(|(_, seen)| **seen == Seen::Never).map(|(key, _)| *key));
        found
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
            bytes.extend(self.fresh.drain(..).flat_map(|id| id.0.to_le_bytes()));
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

/// What was there under each key: part by part, and in each part in the order of the keys.
fn insert(parts: &mut [Part], keys: &[Id]) -> Vec<Seen> {
    let part = |key: Id| (key.0 >> 120) as usize;
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
    let mut found = vec![Seen::Never; keys.len()];
    for row in order {
        let key = keys[row as usize];
        let part = &mut parts[part(key)];
        // Few come again, so the first is looked for only then.
        if !part.insert(Known(key)) {
            found[row as usize] = part.get(&Known(key)).map_or(Seen::Again, |first| key.beside(first.0));
        }
    }
    found
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = Id> {
    bytes.chunks_exact(16).filter_map(|c| c.try_into().ok().map(u128::from_le_bytes)).map(Id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]

        /// A key is new exactly once, in whatever batches, commits and starts, and what comes under it later is told from
        /// what came first, as far as they can be compared.
        #[test]
        fn an_id_is_new_once(
            batches in proptest::collection::vec(proptest::collection::vec((0_u8..60, 0_u64..2, 0_u16..2), 0..40), 1..40),
            restart in 0_usize..40,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut store = Store::open(dir.path()).unwrap();
            let mut known = std::collections::BTreeMap::new();
            for (number, batch) in batches.iter().enumerate() {
                if number == restart {
                    drop(store);
                    store = Store::open(dir.path()).unwrap();
                }
                store.expect_events().unwrap();
                let content = |says: u64, columns| Says { columns, hash: says << 50 };
                let keys: Vec<Id> =
                    batch.iter().map(|(id, says, from)| Id::new("a source", &[*id], content(*says, *from))).collect();
                let mut seen = |(id, says, from): &(u8, u64, u16)| match known.get(id) {
                    None => {
                        known.insert(*id, (*says, *from));
                        Seen::Never
                    }
                    Some((first, columns)) if columns == from && first != says => Seen::Other,
                    Some(_) => Seen::Again,
                };
                let expected: Vec<Seen> = batch.iter().map(&mut seen).collect();
                proptest::prop_assert_eq!(store.are_new(&keys), expected);
                let change = store.tables.change();
                store.commit(change, Vec::new()).unwrap();
            }
            let files = store.files.of(Content::Ids).count();
            proptest::prop_assert!(files < 2 * FAN_IN, "small files are merged: {} files", files);
        }
    }
}

//! Ids in memory.

use super::id::Id;
use crate::Result;
use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, Hash, Hasher},
};

/// Parts of a set.
const PARTS: usize = 256;

/// An id in the set, which is found whatever came under it.
#[derive(Clone, Copy)]
struct Known(Id);

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.0.hash() == other.0.hash()
    }
}

impl Eq for Known {}

impl Hash for Known {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash() as u64);
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

/// A part of the ids in memory: those whose hashes begin alike. It is asked for many ids at a time, so that they find it
/// in the caches, and it grows when its time has come, not with all others.
type Part = HashSet<Known, BuildHasherDefault<Already>>;

/// Ids in memory.
#[derive(Default)]
pub(super) struct Set {
    parts: Vec<Part>,
    pub(super) len: usize,
}

impl Set {
    pub(super) fn with_capacity(ids: usize) -> Self {
        let part = || Part::with_capacity_and_hasher(ids / PARTS, BuildHasherDefault::default());
        Self { parts: (0..PARTS).map(|_| part()).collect(), len: 0 }
    }

    /// What is there under an id; remembers it if there is nothing.
    pub(super) fn insert(&mut self, id: Id) -> Option<Id> {
        let part = &mut self.parts[part(id)];
        // Few come again, so the first is looked for only then.
        let new = part.insert(Known(id));
        self.len += usize::from(new);
        if new { None } else { part.get(&Known(id)).map(|first| first.0) }
    }

    pub(super) fn get(&self, id: Id) -> Option<Id> {
        self.parts.get(part(id))?.get(&Known(id)).map(|first| first.0)
    }

    /// All of them, ascending, in pieces.
    pub(super) fn ascending(&self) -> impl Iterator<Item = Result<Vec<Id>>> {
        self.parts.iter().map(|part| {
            let mut ids: Vec<Id> = part.iter().map(|known| known.0).collect();
            ids.sort_unstable();
            Ok(ids)
        })
    }
}

fn part(id: Id) -> usize {
    (id.first_bits() >> 56) as usize
}

/// The rows of ids, about in the order of the ids.
pub(super) fn by_part(keys: &[Id]) -> Vec<u32> {
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
    order
}

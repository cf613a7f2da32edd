//! Identifiers in memory: their bytes one behind the other, and a table of where each begins.

use std::hash::{BuildHasher, RandomState};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Identifiers that are kept at most, and bytes of them.
const MOST: usize = 8_000_000;
const MOST_BYTES: usize = 512 << 20;
/// Profile and length before the bytes; what a place counts in, so that a large step finds room.
const HEAD: usize = 8;

/// Identifiers and the profile that each was given.
#[derive(Debug)]
pub(super) struct Known {
    /// Of each identifier its profile, its length, itself, and zeros up to a multiple of eight.
    bytes: Vec<u8>,
    /// Hash, and place behind the head in eights of bytes; a power of two, at most three quarters used. No place is 0.
    slots: Vec<(u32, u32)>,
    len: usize,
    /// Another one in each process, so that nobody can choose identifiers that collide.
    seed: u64,
}

impl Default for Known {
    fn default() -> Self {
        let seed = RandomState::new().hash_one(0);
        Self { bytes: Vec::new(), slots: vec![(0, 0); 1024], len: 0, seed }
    }
}

impl Known {
    /// The profile of an identifier.
    pub(super) fn get(&self, key: &[u8]) -> Option<u32> {
        let place = self.slots[self.slot(self.hash(key), Some(key))].1;
        (place != 0).then(|| self.at(place).1)
    }

    /// Takes an identifier in that is not there yet; answers its place.
    pub(super) fn insert(&mut self, key: &[u8], profile: u32) -> u32 {
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let hash = self.hash(key);
        let slot = self.slot(hash, None);
        self.bytes.extend(profile.to_le_bytes());
        self.bytes.extend((key.len() as u32).to_le_bytes());
        let place = (self.bytes.len() / HEAD) as u32;
        self.bytes.extend(key);
        self.bytes.resize(self.bytes.len().next_multiple_of(HEAD), 0);
        self.slots[slot] = (hash, place);
        self.len += 1;
        place
    }

    /// The identifier at a place, and its profile.
    pub(super) fn at(&self, place: u32) -> (&[u8], u32) {
        let start = place as usize * HEAD;
        let number = |at: usize| {
            let bytes = &self.bytes[at..at + 4];
            u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
        };
        let length = number(start - HEAD / 2) as usize;
        (&self.bytes[start..start + length], number(start - HEAD))
    }

    /// True when the next ones should be read from the database instead.
    pub(super) fn is_full(&self) -> bool {
        self.len > MOST || self.bytes.len() > MOST_BYTES
    }

    fn hash(&self, key: &[u8]) -> u32 {
        xxh3_64_with_seed(key, self.seed) as u32
    }

    /// The slot of a key, or where it would stand; without a key, the next free one.
    fn slot(&self, hash: u32, key: Option<&[u8]>) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let (other, place) = self.slots[at];
            if place == 0 || other == hash && key.is_some_and(|key| self.at(place).0 == key) {
                return at;
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let wider = vec![(0, 0); self.slots.len() * 2];
        for entry in std::mem::replace(&mut self.slots, wider) {
            if entry.1 != 0 {
                let slot = self.slot(entry.0, None);
                self.slots[slot] = entry;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    proptest::proptest! {
        /// It answers as a map does.
        #[test]
        fn a_map_of_identifiers(keys in proptest::collection::vec("[a-c]{0,6}", 0..3_000)) {
            let mut known = Known::default();
            let mut map: HashMap<&str, (u32, u32)> = HashMap::new();
            for (profile, key) in (0..).zip(&keys) {
                proptest::prop_assert_eq!(known.get(key.as_bytes()), map.get(key.as_str()).map(|m| m.0));
                map.entry(key).or_insert_with(|| (profile, known.insert(key.as_bytes(), profile)));
            }
            for (key, (profile, place)) in map {
                proptest::prop_assert_eq!(known.at(place), (key.as_bytes(), profile));
            }
        }
    }
}

//! Identity: which profile an identifier belongs to. Identifiers that come in one row belong together; when they
//! belonged to two profiles, the one with the higher number is merged into the other.
//!
//! Profiles are dense numbers. Events of a merged profile stay where they are and are found through
//! [`Identity::merged_into`].

mod known;
mod limited;

pub use limited::Limited;

use crate::{
    Result,
    profile::Profiles,
    store::tables::{self, Change, Tables, number, profile_key},
};
use known::Known;
use roaring::RoaringBitmap;
use std::{
    collections::{BTreeMap, HashMap},
    ops::RangeInclusive,
};

const NEXT: &str = "next-profile";

/// The identifiers of a store.
#[derive(Debug, Default)]
pub struct Identity {
    next: u32,
    known: Known,
    /// The database knows none that `known` does not.
    complete: bool,
    merged: HashMap<u32, u32>,
    numbers: BTreeMap<u32, Vec<u32>>,
    /// Places of what the next commit has to say.
    fresh: Vec<u32>,
    fresh_merges: Vec<(u32, u32)>,
    /// The key that is looked up.
    key: Vec<u8>,
}

impl Identity {
    /// Loads what was merged.
    ///
    /// # Errors
    /// When the database fails.
    pub fn open(tables: &Tables) -> Result<Self> {
        let next = tables::read(&tables.meta, NEXT)?.unwrap_or(0);
        let mut identity = Self { next, complete: next == 0, ..Self::default() };
        for (from, into) in tables::scan(&tables.merged, [])? {
            if let (Some(from), Some(into)) = (number(&from), number(&into)) {
                identity.merged.insert(from, into);
            }
        }
        // They come by number, not in the order in which they happened: a profile may have been merged on since.
        let ends: Vec<(u32, u32)> =
            identity.merged.keys().map(|from| (identity.canonical(*from), *from)).collect();
        for (into, from) in ends {
            identity.numbers.entry(into).or_default().push(from);
        }
        Ok(identity)
    }

    /// The next profile that will be made; all numbers below were given out.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// Every profile that was not merged into another.
    pub fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.next);
        for merged in self.merged.keys() {
            all.remove(*merged);
        }
        all
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.next as usize - self.merged.len()
    }

    /// True before the first profile.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The profile that this number means today.
    pub fn canonical(&self, mut profile: u32) -> u32 {
        while let Some(into) = self.merged.get(&profile) {
            profile = *into;
        }
        profile
    }

    /// The numbers that were merged into a profile; their events belong to it.
    pub fn merged_into(&self, profile: u32) -> &[u32] {
        if self.numbers.is_empty() { &[] } else { self.numbers.get(&profile).map_or(&[], Vec::as_slice) }
    }

    /// Whether any number was merged into one of these.
    pub fn is_merged_into(&self, profiles: RangeInclusive<u32>) -> bool {
        // Asked for each page of a pass; most stores have few merges, or none.
        !self.numbers.is_empty() && self.numbers.range(profiles).next().is_some()
    }

    /// The profile of an identifier, if it is known.
    ///
    /// # Errors
    /// When the database fails.
    pub fn find(&mut self, tables: &Tables, namespace: &str, value: &str) -> Result<Option<u32>> {
        Ok(self.lookup(tables, namespace, value)?.map(|profile| self.canonical(profile)))
    }

    /// The profile of identifiers that came together; makes or merges profiles where needed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn resolve(
        &mut self,
        tables: &Tables,
        profiles: &mut Profiles,
        identifiers: &[(&str, &str)],
    ) -> Result<Resolved> {
        let mut found: Vec<u32> = Vec::new();
        let mut unknown: Vec<&(&str, &str)> = Vec::new();
        for pair in identifiers {
            match self.find(tables, pair.0, pair.1)? {
                // Most rows bring one identifier, and most of those are known.
                Some(profile) if identifiers.len() == 1 => {
                    return Ok(Resolved { profile, merged: Vec::new() });
                }
                Some(profile) => found.push(profile),
                None => unknown.push(pair),
            }
        }
        found.sort_unstable();
        found.dedup();
        let profile = found.first().copied().unwrap_or_else(|| {
            self.next += 1;
            profiles.create(self.next - 1);
            self.next - 1
        });
        for (namespace, value) in unknown {
            self.spell(namespace, value);
            // One row may name an identifier twice.
            if self.known.get(&self.key).is_none() {
                self.fresh.push(self.known.insert(&self.key, profile));
                profiles.edit(tables, profile)?.identifiers.insert(((*namespace).into(), (*value).into()));
            }
        }
        let merged: Vec<u32> = found.iter().skip(1).copied().collect();
        for from in &merged {
            self.note(*from, profile);
            self.fresh_merges.push((*from, profile));
            profiles.merge(tables, *from, profile)?;
        }
        Ok(Resolved { profile, merged })
    }

    /// Puts what is new into the step's commit.
    pub(crate) fn save(&mut self, tables: &Tables, change: &mut Change) -> Result<()> {
        // In the order of the keys, because that is how the database takes them quickest.
        let mut fresh: Vec<(&[u8], u32)> = self.fresh.iter().map(|place| self.known.at(*place)).collect();
        fresh.sort_unstable();
        for (key, profile) in fresh {
            change.put_bytes(&tables.identifiers, key, profile_key(profile));
        }
        self.fresh.clear();
        for (from, into) in self.fresh_merges.drain(..) {
            change.put_bytes(&tables.merged, profile_key(from), profile_key(into));
        }
        change.put(&tables.meta, NEXT, &self.next)
    }

    /// True when so many are in memory that they should be let go once all is committed.
    pub(crate) fn is_full(&self) -> bool {
        self.known.is_full()
    }

    /// Lets the identifiers in memory go; they are read from the database again.
    pub(crate) fn forget(&mut self) {
        (self.known, self.complete) = (Known::default(), false);
    }

    /// Makes an identifier the key.
    fn spell(&mut self, namespace: &str, value: &str) {
        self.key.clear();
        self.key.extend_from_slice(namespace.as_bytes());
        self.key.push(0);
        self.key.extend_from_slice(value.as_bytes());
    }

    fn lookup(&mut self, tables: &Tables, namespace: &str, value: &str) -> Result<Option<u32>> {
        self.spell(namespace, value);
        let known = self.known.get(&self.key);
        if known.is_some() || self.complete {
            return Ok(known);
        }
        let found = tables.identifiers.get(&self.key)?.and_then(|bytes| number(&bytes));
        if let Some(profile) = found {
            self.known.insert(&self.key, profile);
        }
        Ok(found)
    }

    fn note(&mut self, from: u32, into: u32) {
        self.merged.insert(from, into);
        let mut moved = self.numbers.remove(&from).unwrap_or_default();
        moved.push(from);
        self.numbers.entry(into).or_default().extend(moved);
    }
}

/// What [`Identity::resolve`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The profile.
    pub profile: u32,
    /// Profiles that were merged into it by this row.
    pub merged: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use std::collections::BTreeSet;

    /// A profile that took others in and was then merged itself brings them along, also when that is read again.
    #[test]
    fn merges_of_merges_are_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let known = |identity: &Identity| identity.merged_into(0).iter().copied().collect::<BTreeSet<u32>>();
        let mut store = Store::open(dir.path()).unwrap();
        let Store { identity, profiles, tables, .. } = &mut store;
        for pairs in [&["a"][..], &["b"], &["c"], &["b", "c"], &["a", "b"]] {
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|value| ("cookie", *value)).collect();
            identity.resolve(tables, profiles, &pairs).unwrap();
        }
        assert_eq!(known(&store.identity), BTreeSet::from([1, 2]));
        let change = store.tables.change();
        store.commit(change, Vec::new()).unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(known(&store.identity), BTreeSet::from([1, 2]));
    }
}

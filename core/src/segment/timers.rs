//! When a profile's answer can change with no new event: one due time a profile.
//!
//! Resident as a list by profile, with the earliest of each block, so that looking for what is due costs little more than
//! what is found. Durable as what each commit changed, in one value, and rewritten whole when the changes outweigh it.

use crate::{
    Error, Result,
    store::tables::{self, Change, Tables},
};

/// Never due.
const NEVER: i64 = i64::MAX;
/// Profiles that share an earliest time.
const BLOCK: usize = 512;
/// Due times in one stored value.
const CHUNK: usize = 65_536;
/// Changes that are kept beside the whole list at least.
const FEW: usize = 65_536;
/// Bytes of a change: profile and time.
const CHANGE: usize = 12;

/// The due times of a store.
#[derive(Debug, Default)]
pub struct Timers {
    due: Vec<i64>,
    /// Of each block, not later than the earliest in it.
    earliest: Vec<i64>,
    /// What the next commit has to say.
    fresh: Vec<(u32, i64)>,
    /// Changes stored since the whole list was.
    stored: usize,
    next_key: u64,
}

impl Timers {
    /// Loads what is stored.
    ///
    /// # Errors
    /// When the database fails or holds something else.
    pub fn open(tables: &Tables) -> Result<Self> {
        let mut timers = Self::default();
        for (key, value) in tables::scan(&tables.timers, [])? {
            let (kind, number) = key.split_first().ok_or_else(damaged)?;
            let number = u64::from_be_bytes(number.try_into().map_err(|_| damaged())?);
            if *kind == WHOLE {
                let first = number as usize * CHUNK;
                let (times, _) = value.as_chunks::<8>();
                for (at, time) in times.iter().enumerate() {
                    timers.place((first + at) as u32, i64::from_le_bytes(*time));
                }
            } else {
                let (changes, _) = value.as_chunks::<CHANGE>();
                for change in changes {
                    let ([p0, p1, p2, p3], time) = (
                        [change[0], change[1], change[2], change[3]],
                        i64::from_le_bytes(change[4..].try_into().map_err(|_| damaged())?),
                    );
                    timers.place(u32::from_le_bytes([p0, p1, p2, p3]), time);
                }
                timers.stored += changes.len();
                timers.next_key = number + 1;
            }
        }
        Ok(timers)
    }

    /// Profiles whose time has come, ascending.
    pub fn due(&mut self, as_of_us: i64) -> Vec<u32> {
        let mut found = Vec::new();
        for (block, earliest) in self.earliest.iter_mut().enumerate().filter(|(_, e)| **e <= as_of_us) {
            let first = block * BLOCK;
            let times = &self.due[first..self.due.len().min(first + BLOCK)];
            let due = times.iter().enumerate().filter(|(_, time)| **time <= as_of_us);
            found.extend(due.map(|(at, _)| (first + at) as u32));
            *earliest = times.iter().copied().min().unwrap_or(NEVER);
        }
        found
    }

    /// The due time of a profile.
    pub fn of(&self, profile: u32) -> Option<i64> {
        self.due.get(profile as usize).copied().filter(|time| *time != NEVER)
    }

    /// The due time of every profile by number, `i64::MAX` for never.
    pub fn all(&self) -> &[i64] {
        &self.due
    }

    /// What the next commit will say: profiles and their due times, `i64::MAX` for never.
    pub fn fresh(&self) -> &[(u32, i64)] {
        &self.fresh
    }

    /// Sets or clears the due time of a profile.
    pub fn set(&mut self, profile: u32, due: Option<i64>) {
        if self.of(profile) != due {
            self.place(profile, due.unwrap_or(NEVER));
            self.fresh.push((profile, due.unwrap_or(NEVER)));
        }
    }

    /// Puts what changed into the step's commit.
    pub fn save(&mut self, tables: &Tables, change: &mut Change) {
        let fresh = std::mem::take(&mut self.fresh);
        if fresh.is_empty() {
            return;
        }
        self.stored += fresh.len();
        if self.stored > FEW.max(self.due.len()) {
            return self.rewrite(tables, change);
        }
        let bytes: Vec<u8> = fresh
            .iter()
            .flat_map(|(profile, time)| profile.to_le_bytes().into_iter().chain(time.to_le_bytes()))
            .collect();
        change.put_bytes(&tables.timers, key(CHANGES, self.next_key), bytes);
        self.next_key += 1;
    }

    fn rewrite(&mut self, tables: &Tables, change: &mut Change) {
        for number in 0..self.next_key {
            change.remove(&tables.timers, key(CHANGES, number));
        }
        for (number, times) in (0..).zip(self.due.chunks(CHUNK)) {
            let bytes: Vec<u8> = times.iter().flat_map(|time| time.to_le_bytes()).collect();
            change.put_bytes(&tables.timers, key(WHOLE, number), bytes);
        }
        (self.stored, self.next_key) = (0, 0);
    }

    fn place(&mut self, profile: u32, time: i64) {
        let at = profile as usize;
        if self.due.len() <= at {
            self.due.resize(at + 1, NEVER);
            self.earliest.resize(at / BLOCK + 1, NEVER);
        }
        self.due[at] = time;
        let earliest = &mut self.earliest[at / BLOCK];
        *earliest = (*earliest).min(time);
    }
}

/// First byte of the keys of the whole list, which is read before its changes.
const WHOLE: u8 = 0;
const CHANGES: u8 = 1;

fn key(kind: u8, number: u64) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

fn damaged() -> Error {
    Error::Column("a stored due time has another shape".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use std::collections::BTreeMap;

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(16))]

        /// Whatever is set, in whatever commits, is what a new start knows and finds due.
        #[test]
        fn a_restart_knows_the_same_times(
            commits in proptest::collection::vec(
                proptest::collection::vec((0_u32..2_000, proptest::option::of(-50_i64..50)), 0..200), 1..6),
            as_of in -60_i64..60,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path()).unwrap();
            let mut timers = Timers::open(&store.tables).unwrap();
            let mut expected = BTreeMap::new();
            for commit in commits {
                let mut change = store.tables.change();
                for (profile, due) in commit {
                    timers.set(profile, due);
                    expected.insert(profile, due);
                }
                timers.save(&store.tables, &mut change);
                change.commit().unwrap();
            }
            let due: Vec<u32> =
                expected.iter().filter(|(_, t)| t.is_some_and(|t| t <= as_of)).map(|(p, _)| *p).collect();
            proptest::prop_assert_eq!(timers.due(as_of), due.clone());
            proptest::prop_assert_eq!(timers.due(as_of), due.clone());
            let mut again = Timers::open(&store.tables).unwrap();
            proptest::prop_assert_eq!(again.due(as_of), due);
        }
    }

    #[test]
    fn many_changes_are_rewritten_as_one_list() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut timers = Timers::open(&store.tables).unwrap();
        for round in 0..3 {
            let mut change = store.tables.change();
            (0..40_000).for_each(|profile| timers.set(profile, Some(i64::from(profile) + round)));
            timers.save(&store.tables, &mut change);
            change.commit().unwrap();
        }
        assert!(tables::scan(&store.tables.timers, [WHOLE]).unwrap().len() == 1);
        let again = Timers::open(&store.tables).unwrap();
        assert!((0..40_000).all(|profile| again.of(profile) == Some(i64::from(profile) + 2)));
    }
}

//! Consents that were given once more: their time is later, all else is as the record has it. Nearly every event brings one,
//! so they are kept apart from the records: in memory a number a profile, in the database a value a commit.

use crate::{
    Result,
    store::tables::{self, Change, Tables},
};

/// Profile (`u32`) and time (`i64`, microseconds since 1970), little-endian.
const ENTRY: usize = 12;
/// Values become one when they have twice as many entries as profiles, and so many more.
const SPARE: usize = 16_384;
/// Never renewed.
const NEVER: i64 = i64::MIN;

/// Until when each consent was given again.
#[derive(Debug, Default)]
pub(super) struct Renewed {
    /// By profile.
    since_us: Vec<i64>,
    /// Profiles that have one.
    profiles: usize,
    /// Profiles that this step renewed, some of them more than once.
    step: Vec<u32>,
    /// Keys of the values in the database: the first, and behind the last.
    keys: (u64, u64),
    /// Entries in these values.
    entries: usize,
}

impl Renewed {
    pub(super) fn open(tables: &Tables) -> Result<Self> {
        let mut renewed = Self::default();
        for (key, entries) in tables::scan(&tables.renewed, [])? {
            let key = key.try_into().map_or(0, u64::from_be_bytes);
            if renewed.entries == 0 {
                renewed.keys.0 = key;
            }
            renewed.keys.1 = key + 1;
            let (entries, _) = entries.as_chunks::<ENTRY>();
            for [a, b, c, d, since @ ..] in entries {
                renewed.put(u32::from_le_bytes([*a, *b, *c, *d]), i64::from_le_bytes(*since));
            }
            renewed.entries += entries.len();
        }
        Ok(renewed)
    }

    /// The consent of a profile was given at this time, too, as the record has it.
    pub(super) fn note(&mut self, profile: u32, since_us: i64) {
        if self.put(profile, since_us) {
            self.step.push(profile);
        }
    }

    /// When the consent of a profile was last given again; what a record says may be later.
    pub(super) fn of(&self, profile: u32) -> Option<i64> {
        self.since_us.get(profile as usize).copied().filter(|since_us| *since_us != NEVER)
    }

    /// Puts what the step renewed into its commit.
    pub(super) fn save(&mut self, tables: &Tables, change: &mut Change) {
        let mut profiles = std::mem::take(&mut self.step);
        profiles.sort_unstable();
        profiles.dedup();
        if profiles.is_empty() {
            return;
        }
        self.entries += profiles.len();
        if self.entries > 2 * self.profiles + SPARE {
            (self.keys.0..self.keys.1).for_each(|key| change.remove(&tables.renewed, key.to_be_bytes()));
            self.keys.0 = self.keys.1;
            self.entries = self.profiles;
            profiles =
                (0..self.since_us.len() as u32).filter(|profile| self.of(*profile).is_some()).collect();
        }
        let entry = |profile: &u32| {
            let since_us = self.since_us[*profile as usize];
            profile.to_le_bytes().into_iter().chain(since_us.to_le_bytes())
        };
        let entries: Vec<u8> = profiles.iter().flat_map(entry).collect();
        change.put_bytes(&tables.renewed, self.keys.1.to_be_bytes(), entries);
        self.keys.1 += 1;
    }

    /// False where a later time is known.
    fn put(&mut self, profile: u32, since_us: i64) -> bool {
        let row = profile as usize;
        if self.since_us.len() <= row {
            self.since_us.resize(row + 1, NEVER);
        }
        let known = &mut self.since_us[row];
        if *known >= since_us {
            return false;
        }
        self.profiles += usize::from(*known == NEVER);
        *known = since_us;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    /// More than is kept in values of their own, and what is read of it again.
    #[test]
    fn values_become_one_and_say_the_same() {
        const PROFILES: u32 = 50;
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut renewed = Renewed::open(&store.tables).unwrap();
        let mut most = 0;
        for step in 0..700_i64 {
            let mut change = store.tables.change();
            for profile in 0..PROFILES {
                // Some of them are late.
                renewed.note(profile * 3, step - i64::from(profile % 4) * 2);
            }
            renewed.save(&store.tables, &mut change);
            change.commit().unwrap();
            most = most.max(tables::scan(&store.tables.renewed, []).unwrap().len());
        }
        let left = tables::scan(&store.tables.renewed, []).unwrap().len();
        assert!(left < most && most < 500, "{left} values, {most} at most");
        let again = Renewed::open(&store.tables).unwrap();
        for profile in 0..PROFILES * 3 {
            let expected = (profile % 3 == 0).then(|| 699 - i64::from(profile / 3 % 4) * 2);
            assert_eq!((renewed.of(profile), again.of(profile)), (expected, expected), "{profile}");
        }
        assert_eq!(
            (again.keys, again.entries, again.profiles),
            (renewed.keys, renewed.entries, renewed.profiles)
        );
    }
}

//! When a profile's answer can change with no new event: one due time a profile, ordered by time.

use crate::{
    Result,
    store::tables::{Change, Tables, key_time, number, profile_key, time_key},
};
use std::collections::HashMap;

/// Due times kept in memory; beyond this they are read from the database again.
const RESIDENT: usize = 4_000_000;

/// The due times of a store.
#[derive(Debug, Default)]
pub struct Timers {
    resident: HashMap<u32, Option<i64>>,
}

impl Timers {
    /// Profiles whose time has come, ascending by time.
    ///
    /// # Errors
    /// When the database fails.
    pub fn due(&self, tables: &Tables, as_of_us: i64) -> Result<Vec<u32>> {
        let mut due = Vec::new();
        for entry in tables.timers.range(..=[&time_key(as_of_us)[..], &[0xff; 4]].concat()) {
            let key = entry.key()?;
            due.extend(key.get(8..).and_then(number));
        }
        Ok(due)
    }

    /// The next profiles that are due, whenever that is, ascending by time; so many at most.
    ///
    /// # Errors
    /// When the database fails.
    pub fn next(&self, tables: &Tables, most: usize) -> Result<Vec<(i64, u32)>> {
        let mut next = Vec::new();
        for entry in tables.timers.iter().take(most) {
            let key = entry.key()?;
            let time = key.get(..8).and_then(key_time);
            next.extend(time.zip(key.get(8..).and_then(number)));
        }
        Ok(next)
    }

    /// The due time of a profile.
    ///
    /// # Errors
    /// When the database fails.
    pub fn of(&mut self, tables: &Tables, profile: u32) -> Result<Option<i64>> {
        if let Some(due) = self.resident.get(&profile) {
            return Ok(*due);
        }
        let due = tables.due.get(profile_key(profile))?.and_then(|bytes| key_time(&bytes));
        self.resident.insert(profile, due);
        Ok(due)
    }

    /// Sets or clears the due time of a profile.
    ///
    /// # Errors
    /// When the database fails.
    pub fn set(
        &mut self,
        tables: &Tables,
        change: &mut Change,
        profile: u32,
        due: Option<i64>,
    ) -> Result<()> {
        let old = self.of(tables, profile)?;
        if old == due {
            return Ok(());
        }
        if let Some(old) = old {
            change.remove(&tables.timers, [&time_key(old)[..], &profile_key(profile)].concat());
        }
        match due {
            Some(time) => {
                change.put_bytes(&tables.timers, [&time_key(time)[..], &profile_key(profile)].concat(), []);
                change.put_bytes(&tables.due, profile_key(profile), time_key(time));
            }
            None => change.remove(&tables.due, profile_key(profile)),
        }
        if self.resident.len() > RESIDENT {
            self.resident.clear();
        }
        self.resident.insert(profile, due);
        Ok(())
    }
}

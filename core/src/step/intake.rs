//! Rows of one source batch that passed the gate become events and profile changes: identity, consent, attributes.

use super::{
    bound::Bound,
    cells::Cells,
    gate::{Passed, Way},
    gathering::{Gathering, Part, Taken},
    load::Load,
};
use crate::{
    Result,
    config::ConsentDefault,
    consent::Reach,
    store::{Store, dead_letters::Refused, kept::who},
};
use arrow::{
    array::{Array, ArrayRef, UInt32Array},
    compute::take,
};
use kindred_plugin_api::columns::{EVENT, EVENT_TIME, profile::SOURCE};
use std::collections::BTreeMap;

impl Bound {
    /// Takes a batch in; rows that go no further are added to `refused`.
    ///
    /// # Errors
    /// When the store fails; a bad row is only refused.
    pub fn take(
        &self,
        store: &mut Store,
        load: &Load,
        gathering: &mut Gathering,
        refused: &mut Vec<Refused>,
    ) -> Result<Taken> {
        store.expect_events()?;
        let before = refused.len();
        for aside in &load.aside {
            self.refuse(store, aside, gathering, refused)?;
        }
        let (columns, misfits) = self.fit(load.batch.columns())?;
        let cells = Cells::new(self, &columns)?;
        let mut taken = Taken::default();
        let rows = self.gate(store, (&cells, misfits), load, &mut taken, refused)?;
        if refused.len() > before && self.is_raw(load) {
            // What may not be stored may not be kept either.
            refused[before..].iter_mut().for_each(|refused| refused.keep = false);
        }
        let mut part = Part { profiles: Vec::with_capacity(rows.len()), columns: BTreeMap::new() };
        let mut kept: Vec<u32> = Vec::with_capacity(rows.len());
        let now_us = crate::clock::now_us();
        let mut found = Vec::new();
        for Passed { row, said, way } in rows {
            found.clear();
            found.extend(self.named(&cells, row));
            let since_us = cells.time(row).unwrap_or(now_us + row as i64);
            if way == Way::Denial {
                self.deny(store, &found, (since_us, cells.consent_version(row)), gathering)?;
                continue;
            }
            self.under_terms(store, &found)?;
            let profile = resolve(store, &found, gathering)?;
            self.change(store, (&cells, row), profile, (said, since_us), gathering)?;
            if way == Way::Event {
                taken.events += 1;
                kept.push(row as u32);
                part.profiles.push(profile);
            } else {
                taken.attributes += 1;
            }
            gathering.touched.insert(profile);
        }
        if !kept.is_empty() {
            part.columns = self.columns(store, &columns, load.batch.num_rows(), kept)?;
            gathering.parts.push(part);
            gathering.changed = true;
        }
        Ok(taken)
    }

    /// Notes who brings these identifiers, where it matters.
    fn under_terms(&self, store: &mut Store, found: &[(&str, &str)]) -> Result<()> {
        if self.has_terms || !store.limited.is_empty() {
            for (namespace, value) in found {
                let is_new =
                    self.has_terms && store.identity.find(&store.tables, namespace, value)?.is_none();
                store.limited.brought(who(namespace, value), &self.source, self.has_terms, is_new);
            }
        }
        Ok(())
    }

    /// Consent and attributes of a row.
    fn change(
        &self,
        store: &mut Store,
        (cells, row): (&Cells, usize),
        profile: u32,
        (said, since_us): (Option<Reach>, i64),
        gathering: &mut Gathering,
    ) -> Result<()> {
        if self.default == ConsentDefault::Granted {
            gathering.changed |= store.profiles.vouch(&store.tables, profile)?;
        }
        if let Some(reach) = said {
            let word = (reach, since_us, cells.consent_version(row));
            gathering.changed |= store.profiles.consent_given(&store.tables, profile, word)?;
        }
        if self.attributes.is_empty() {
            return Ok(());
        }
        let record = store.profiles.edit(&store.tables, profile)?;
        for (at, (name, _)) in self.attributes.iter().enumerate() {
            if let Some(value) = cells.attribute(at, row) {
                gathering.changed |= record.set(name, value, since_us) || self.expires;
            }
        }
        Ok(())
    }

    /// The event columns of the kept rows, as they are stored.
    fn columns(
        &self,
        store: &mut Store,
        columns: &[ArrayRef],
        of: usize,
        kept: Vec<u32>,
    ) -> Result<BTreeMap<String, ArrayRef>> {
        let rows = kept.len();
        let all = rows == of;
        let kept = UInt32Array::from(kept);
        let [_, time, event, ..] = self.fixed;
        let fixed = [(EVENT_TIME, time), (EVENT, event)];
        let fixed = fixed.into_iter().filter_map(|(name, at)| Some((name, at?)));
        let mut stored = BTreeMap::new();
        for (name, at) in fixed.chain(self.properties.iter().map(|(name, at)| (name.as_str(), *at))) {
            let values = &columns[at];
            let values = if all { values.clone() } else { take(values, &kept, None)? };
            if !values.is_empty() && values.logical_null_count() == values.len() {
                // A column is in the files of events only where somebody has a value in it.
                continue;
            }
            stored.insert(name.to_owned(), store.columns.store(name, &values)?);
        }
        stored.insert(SOURCE.to_owned(), store.columns.store_constant(SOURCE, &self.source, rows));
        Ok(stored)
    }
}

fn resolve(store: &mut Store, found: &[(&str, &str)], gathering: &mut Gathering) -> Result<u32> {
    let before = store.identity.next();
    let resolved = store.identity.resolve(&store.tables, &mut store.profiles, found)?;
    gathering.changed |= store.identity.next() != before || !resolved.merged.is_empty();
    for merged in resolved.merged {
        gathering.merged.insert(merged);
        gathering.touched.remove(merged);
    }
    Ok(resolved.profile)
}

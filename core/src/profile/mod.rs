//! Profiles: identifiers, attributes and consent of one anonymous person. Their events lie in the store's segments.

mod attributes;
pub mod base;
pub mod batch;
mod column;
mod numbers;
mod record;
mod renewed;
mod table;

pub use record::{Attribute, Consent, Profile, Value, source_of};

use crate::{
    Result,
    consent::Reach,
    store::{
        columns::ColumnType,
        files::Files,
        tables::{self, Change, Tables, profile_key},
    },
};
use arrow::array::ArrayRef;
use base::Base;
use fjall::{Keyspace, Slice};
use renewed::Renewed;
use roaring::RoaringBitmap;
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};
use table::Table;

/// Neighbouring profiles that are read from the database together, where at least so many of them are wanted.
const PAGE: u32 = 256;
const MANY: usize = 8;
/// Where so many are wanted that are not here, the file of profiles is read, if there is one.
const VERY_MANY: usize = 64;
/// Profiles that are made ready together where all are.
const TOGETHER: u32 = 65_536;
/// The file is written anew when profiles that are not in it as they are come to more than this part of it.
const SMALL: u64 = 8;
/// So many records are read from the database as quickly.
const FEW: u32 = 64;
const META: &str = "attribute-columns";

/// The profiles of a store.
#[derive(Debug, Default)]
pub struct Profiles {
    edited: BTreeMap<u32, Edited>,
    /// Edited and not in `table` yet.
    stale: Vec<u32>,
    /// What commits say that are under way, oldest first; what they say is in the database once it is not here.
    saved: Vec<Weak<BTreeMap<u32, Edited>>>,
    table: Table,
    renewed: Renewed,
    /// Profiles that the file has; all from here on are only in the database.
    filed: u32,
    /// Profiles that the file has as they were before.
    outdated: RoaringBitmap,
    /// Where the next commit says which these are.
    next_key: u64,
    attributes: BTreeMap<String, ColumnType>,
    attributes_changed: bool,
}

/// Profiles that a commit changes; let go when it is made.
pub(crate) type Saved = Arc<BTreeMap<u32, Edited>>;

/// A profile that this step changes.
#[derive(Debug, Default)]
pub(crate) struct Edited {
    record: Profile,
    /// As it was, to tell an edit that changed nothing.
    before: Option<Slice>,
    stale: bool,
}

impl Profiles {
    /// Loads the attribute columns; `next` is the first profile that was never made.
    ///
    /// # Errors
    /// When the database fails, or the file of profiles is not there.
    pub fn open(tables: &Tables, files: &Files, next: u32) -> Result<Self> {
        let attributes = tables::read(&tables.meta, META)?.unwrap_or_default();
        let base = Base::open(files)?;
        let filed = base.as_ref().map_or(0, |base| base.rows() as u32);
        let mut profiles = Self { filed, renewed: Renewed::open(tables)?, ..Self::default() };
        for (key, numbers) in tables::scan(&tables.outdated, [])? {
            let (numbers, _) = numbers.as_chunks::<4>();
            profiles.outdated.extend(numbers.iter().map(|number| u32::from_le_bytes(*number)));
            profiles.next_key = key.try_into().map_or(0, u64::from_be_bytes) + 1;
        }
        profiles.table = Table::new(next, base.filter(|base| base.fits(&attributes)));
        profiles.attributes = attributes;
        Ok(profiles)
    }

    /// A profile.
    ///
    /// # Errors
    /// When the database fails.
    pub fn get(&self, tables: &Tables, profile: u32) -> Result<Profile> {
        if let Some(edited) = self.edited.get(&profile) {
            return Ok(edited.record.clone());
        }
        let saved = match self.saved(profile) {
            Some(saved) => saved,
            None => tables::read(&tables.profiles, profile_key(profile))?.unwrap_or_default(),
        };
        Ok(self.renew(profile, saved))
    }

    /// A record that is not edited yet, with the time at which its consent was last given again.
    fn renew(&self, profile: u32, mut record: Profile) -> Profile {
        if let (Some(consent), Some(since_us)) = (&mut record.consent, self.renewed.of(profile)) {
            consent.since_us = consent.since_us.max(since_us);
        }
        record
    }

    /// A profile that was never there before, to be changed.
    pub fn create(&mut self, profile: u32) -> &mut Profile {
        self.stale.push(profile);
        let edited = self.edited.entry(profile).or_default();
        edited.stale = true;
        &mut edited.record
    }

    /// A profile to change; the change is saved with the step.
    ///
    /// # Errors
    /// When the database fails.
    pub fn edit(&mut self, tables: &Tables, profile: u32) -> Result<&mut Profile> {
        if !self.edited.contains_key(&profile) {
            let edited = match self.saved(profile) {
                Some(record) => Edited { record, ..Edited::default() },
                None => {
                    let before = tables.profiles.get(profile_key(profile))?;
                    let record = before.as_ref().map(|bytes| postcard::from_bytes(bytes)).transpose()?;
                    Edited { record: record.unwrap_or_default(), before, stale: false }
                }
            };
            let edited = Edited { record: self.renew(profile, edited.record), ..edited };
            self.edited.insert(profile, edited);
        }
        let edited = self.edited.entry(profile).or_default();
        if !std::mem::replace(&mut edited.stale, true) {
            self.stale.push(profile);
        }
        Ok(&mut edited.record)
    }

    /// A profile's word on consent, as [`Profile::consent_given`] takes it; one that was heard before costs next to nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub fn consent_given(
        &mut self,
        tables: &Tables,
        profile: u32,
        (reach, since_us, version): (Reach, i64, &str),
    ) -> Result<bool> {
        if !self.edited.contains_key(&profile) && self.table.has_said(profile, reach, version) {
            self.renewed.note(profile, since_us);
            return Ok(false);
        }
        Ok(self.edit(tables, profile)?.consent_given(reach, since_us, version))
    }

    /// Notes that the operator vouches for a profile; false when that was known.
    ///
    /// # Errors
    /// When the database fails.
    pub fn vouch(&mut self, tables: &Tables, profile: u32) -> Result<bool> {
        if self.table.is_vouched(profile) {
            return Ok(false);
        }
        let known = match self.edited.get(&profile) {
            Some(edited) => edited.record.vouched,
            None => self.arrive(tables, profile)?,
        };
        if !known {
            self.edit(tables, profile)?.vouched = true;
        }
        self.table.vouch(profile);
        Ok(!known)
    }

    /// Makes attributes and consent of some profiles ready for [`Self::column`] and [`Self::consents`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn prepare(&mut self, tables: &Tables, profiles: &[u32]) -> Result<()> {
        self.refresh();
        let mut missing = self.table.missing(profiles);
        if missing.len() >= VERY_MANY && self.arrive_all()? {
            missing = self.table.missing(profiles);
        }
        for near in missing.chunk_by(|a, b| a / PAGE == b / PAGE) {
            if near.len() < MANY {
                for profile in near {
                    self.arrive(tables, *profile)?;
                }
                continue;
            }
            let page = near[0] / PAGE * PAGE..(near[0] / PAGE).saturating_add(1).saturating_mul(PAGE);
            // Before the database is read, because afterwards it may be too late.
            let saved: Vec<Saved> = self.saved.iter().filter_map(Weak::upgrade).collect();
            for entry in tables.profiles.range(profile_key(page.start)..profile_key(page.end)) {
                let (key, value) = entry.into_inner()?;
                if let Some(number) = tables::number(&key) {
                    self.table.read(number, &value, &self.attributes)?;
                }
            }
            // What this step changed is not in the database yet, nor may be what the last one did.
            for changed in saved.iter().map(|saved| &**saved).chain([&self.edited]) {
                for (number, edited) in changed.range(page.clone()) {
                    self.table.set(*number, &edited.record, &self.attributes);
                }
            }
            self.table.arrived(page);
        }
        Ok(())
    }

    /// Has all profiles here that the file has as they are; false where it was read before, or there is none.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`], or what the disk says.
    pub(crate) fn arrive_all(&mut self) -> Result<bool> {
        if !self.table.arrive_all(&self.outdated)? {
            return Ok(false);
        }
        // What this step changed is said by no commit yet.
        for (number, edited) in &self.edited {
            self.table.set(*number, &edited.record, &self.attributes);
        }
        Ok(true)
    }

    /// Writes the file of profiles anew where too much has changed since; everything must be committed. Answers the file
    /// whose place it takes.
    ///
    /// # Errors
    /// When the database or the disk fails.
    pub(crate) fn compact(
        &mut self,
        next: u32,
        (files, tables, change): (&mut Files, &Tables, &mut Change),
    ) -> Result<Vec<String>> {
        let behind = self.outdated.len() + u64::from(next - self.filed);
        let is_fine =
            if self.table.has_file() { behind * SMALL <= u64::from(self.filed) } else { next < FEW };
        if is_fine || !self.edited.is_empty() {
            return Ok(Vec::new());
        }
        for first in (0..next).step_by(TOGETHER as usize) {
            let together: Vec<u32> = (first..next.min(first + TOGETHER)).collect();
            self.prepare(tables, &together)?;
        }
        self.table.complete(&self.attributes)?;
        let columns = self.table.cells(next as usize);
        let before = base::write(next as usize, columns, (files, tables, change))?;
        for key in 0..self.next_key {
            change.remove(&tables.outdated, key.to_be_bytes());
        }
        (self.next_key, self.filed) = (0, next);
        self.outdated.clear();
        Ok(before)
    }

    /// How far the consent of a prepared profile reaches.
    pub fn reach(&self, profile: u32) -> Reach {
        self.table.reach(profile)
    }

    /// Whether a prepared profile may be evaluated.
    pub fn consents(&self, profile: u32) -> bool {
        self.reach(profile) >= Reach::Segment
    }

    /// Has [`Self::since`] ready for the attributes of these sources, too, from now on.
    pub fn time<'a>(&mut self, sources: impl Iterator<Item = &'a String>) {
        self.table.time(sources);
    }

    /// Since when an attribute of prepared profiles is so; its source must have been given to [`Self::time`] before they
    /// were prepared.
    ///
    /// # Errors
    /// When the file of profiles is damaged.
    pub fn since(&mut self, name: &str, profiles: &[u32]) -> Result<ArrayRef> {
        self.table.column(&table::since(name), ColumnType::Time, profiles)
    }

    /// An attribute of prepared profiles; text is coded.
    ///
    /// # Errors
    /// When there is no such attribute.
    pub fn column(&mut self, name: &str, profiles: &[u32]) -> Result<ArrayRef> {
        let kind = self.attributes.get(name).copied();
        let kind = kind.ok_or_else(|| crate::Error::Column(format!("there is no attribute `{name}`")))?;
        self.table.column(name, kind, profiles)
    }

    /// Moves everything of one profile to another.
    ///
    /// # Errors
    /// When the database fails.
    pub fn merge(&mut self, tables: &Tables, from: u32, into: u32) -> Result<()> {
        let old = std::mem::take(self.edit(tables, from)?);
        let new = self.edit(tables, into)?;
        new.identifiers.extend(old.identifiers);
        for (name, attribute) in old.attributes {
            new.set(&name, attribute.value, attribute.since_us);
        }
        if let Some(consent) = old.consent {
            new.consent_given(consent.reach, consent.since_us, &consent.version);
        }
        new.vouched |= old.vouched;
        Ok(())
    }

    /// Puts what changed into the step's commit: attribute columns now, and profiles when it is made, by [`put`].
    pub(crate) fn save(&mut self, tables: &Tables, change: &mut Change) -> Result<Saved> {
        self.refresh();
        if std::mem::take(&mut self.attributes_changed) {
            change.put(&tables.meta, META, &self.attributes)?;
        }
        let filed = self.edited.keys().take_while(|profile| **profile < self.filed);
        let fresh: Vec<u32> = filed.copied().filter(|profile| self.outdated.insert(*profile)).collect();
        if !fresh.is_empty() {
            let bytes: Vec<u8> = fresh.iter().flat_map(|profile| profile.to_le_bytes()).collect();
            change.put_bytes(&tables.outdated, self.next_key.to_be_bytes(), bytes);
            self.next_key += 1;
        }
        self.renewed.save(tables, change);
        let saved = Arc::new(std::mem::take(&mut self.edited));
        self.saved.retain(|saved| saved.strong_count() > 0);
        self.saved.push(Arc::downgrade(&saved));
        Ok(saved)
    }

    /// Brings what was edited into the table, where its profiles are.
    fn refresh(&mut self) {
        for profile in self.stale.drain(..) {
            if let Some(edited) = self.edited.get_mut(&profile)
                && std::mem::take(&mut edited.stale)
                && self.table.is_here(profile)
            {
                self.table.set(profile, &edited.record, &self.attributes);
            }
        }
    }

    /// Brings a profile into the table; answers whether it is vouched for.
    fn arrive(&mut self, tables: &Tables, profile: u32) -> Result<bool> {
        let edited = self.edited.get(&profile).map(|edited| edited.record.clone());
        if let Some(record) = edited.or_else(|| self.saved(profile)) {
            self.table.set(profile, &record, &self.attributes);
            return Ok(record.vouched);
        }
        match tables.profiles.get(profile_key(profile))? {
            Some(bytes) => self.table.read(profile, &bytes, &self.attributes),
            None => {
                self.table.arrived(profile..profile.saturating_add(1));
                Ok(false)
            }
        }
    }

    /// What commits that are under way say of a profile.
    fn saved(&self, profile: u32) -> Option<Profile> {
        self.saved.iter().rev().find_map(|saved| Some(saved.upgrade()?.get(&profile)?.record.clone()))
    }
}

/// Puts profiles into the change that saves them.
///
/// # Errors
/// When a record cannot be written.
pub(crate) fn put(saved: &Saved, tables: &Keyspace, change: &mut Change) -> Result<()> {
    let mut bytes = Vec::new();
    for (profile, edited) in &**saved {
        bytes.clear();
        bytes = postcard::to_extend(&edited.record, bytes)?;
        if edited.before.as_deref() != Some(&bytes[..]) {
            change.put_bytes(tables, profile_key(*profile), &bytes);
        }
    }
    Ok(())
}

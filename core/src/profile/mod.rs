//! Profiles: identifiers, attributes and consent of one anonymous person. Their events lie in the store's segments.

pub mod batch;
mod table;

use crate::{
    Result,
    store::{
        columns::ColumnType,
        tables::{self, Change, Tables, profile_key},
    },
};
use arrow::array::ArrayRef;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use table::Table;

/// Profiles kept in memory; beyond this they are read from the database again.
const RESIDENT: usize = 1_000_000;
const META: &str = "attribute-columns";

/// What is known of one profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Namespace and value, sorted.
    pub identifiers: BTreeSet<(String, String)>,
    /// By name, `SOURCE.NAME`.
    pub attributes: BTreeMap<String, Attribute>,
    /// What the profile said itself.
    pub consent: Option<Consent>,
    /// A source for which the operator vouches brought it.
    pub vouched: bool,
}

/// An attribute and since when it is so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// What it is.
    pub value: Value,
    /// Microseconds since 1970.
    pub since_us: i64,
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Value {
    /// UTF-8.
    Text(String),
    /// 64 bits, signed.
    Integer(i64),
    /// 64-bit floating point.
    Decimal(f64),
    /// True or false.
    Boolean(bool),
    /// Microseconds since 1970.
    Time(i64),
}

/// Consent as the profile gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Granted or denied.
    pub granted: bool,
    /// Microseconds since 1970.
    pub since_us: i64,
}

impl Value {
    /// Its type.
    pub fn kind(&self) -> ColumnType {
        match self {
            Self::Text(_) => ColumnType::Text,
            Self::Integer(_) => ColumnType::Integer,
            Self::Decimal(_) => ColumnType::Decimal,
            Self::Boolean(_) => ColumnType::Boolean,
            Self::Time(_) => ColumnType::Time,
        }
    }
}

impl Profile {
    /// Whether it may be evaluated and sent: its own word, else the operator's.
    pub fn consents(&self) -> bool {
        self.consent.map_or(self.vouched, |c| c.granted)
    }

    /// Sets an attribute unless a later value is there.
    pub fn set(&mut self, name: &str, value: Value, since_us: i64) -> bool {
        let new = Attribute { value, since_us };
        let newer = |old: &Attribute| {
            (new.since_us, &new.value).partial_cmp(&(old.since_us, &old.value))
                == Some(std::cmp::Ordering::Greater)
        };
        match self.attributes.get(name) {
            Some(old) if !newer(old) => false,
            _ => {
                self.attributes.insert(name.to_owned(), new.clone()).is_none_or(|old| old.value != new.value)
            }
        }
    }

    /// Takes a word on consent unless a later one is there; of two at the same time, the denial counts.
    pub fn consent_given(&mut self, granted: bool, since_us: i64) -> bool {
        let new = Consent { granted, since_us };
        match self.consent {
            Some(old) if (old.since_us, !old.granted) >= (new.since_us, !new.granted) => false,
            old => {
                self.consent = Some(new);
                old.is_none_or(|o| o.granted != granted)
            }
        }
    }
}

/// The profiles of a store.
#[derive(Debug, Default)]
pub struct Profiles {
    resident: HashMap<u32, Arc<Profile>>,
    changed: BTreeSet<u32>,
    /// What was edited and is not in `table` yet.
    stale: BTreeSet<u32>,
    table: Table,
    attributes: BTreeMap<String, ColumnType>,
    attributes_changed: bool,
}

impl Profiles {
    /// Loads the attribute columns.
    ///
    /// # Errors
    /// When the database fails.
    pub fn open(tables: &Tables) -> Result<Self> {
        Ok(Self { attributes: tables::read(&tables.meta, META)?.unwrap_or_default(), ..Self::default() })
    }

    /// Names and types of attributes, sorted.
    pub fn attributes(&self) -> &BTreeMap<String, ColumnType> {
        &self.attributes
    }

    /// Makes sure that an attribute column exists; a source may change the type of its own.
    pub fn declare(&mut self, name: String, kind: ColumnType) {
        let before = self.attributes.insert(name, kind);
        self.attributes_changed |= before != Some(kind);
        if before.is_some_and(|before| before != kind) {
            self.table.retype();
        }
    }

    /// A profile.
    ///
    /// # Errors
    /// When the database fails.
    pub fn get(&mut self, tables: &Tables, profile: u32) -> Result<Arc<Profile>> {
        if let Some(found) = self.resident.get(&profile) {
            return Ok(found.clone());
        }
        let found: Arc<Profile> =
            Arc::new(tables::read(&tables.profiles, profile_key(profile))?.unwrap_or_default());
        self.resident.insert(profile, found.clone());
        Ok(found)
    }

    /// A profile to change; the change is saved with the step.
    ///
    /// # Errors
    /// When the database fails.
    pub fn edit(&mut self, tables: &Tables, profile: u32) -> Result<&mut Profile> {
        self.get(tables, profile)?;
        self.changed.insert(profile);
        self.stale.insert(profile);
        Ok(Arc::make_mut(self.resident.entry(profile).or_default()))
    }

    /// Makes attributes and consent of some profiles ready for [`Self::column`] and [`Self::consents`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn prepare(&mut self, tables: &Tables, profiles: &[u32]) -> Result<()> {
        for profile in std::mem::take(&mut self.stale) {
            if self.table.missing(profile).is_none() {
                let record = self.get(tables, profile)?;
                self.table.set(profile, &record, &self.attributes);
            }
        }
        for profile in profiles {
            let Some(page) = self.table.missing(*profile) else { continue };
            for entry in tables.profiles.range(profile_key(page.start)..profile_key(page.end)) {
                let (key, value) = entry.into_inner()?;
                if let Some(number) = tables::number(&key) {
                    self.table.read(number, &value, &self.attributes)?;
                }
            }
            // What this step changed is not in the database yet.
            for number in self.changed.range(page.clone()) {
                if let Some(record) = self.resident.get(number) {
                    self.table.set(*number, record, &self.attributes);
                }
            }
            self.table.loaded(&page);
        }
        Ok(())
    }

    /// Whether a prepared profile may be evaluated and sent.
    pub fn consents(&self, profile: u32) -> bool {
        self.table.consents(profile)
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
        let old = self.get(tables, from)?;
        *self.edit(tables, from)? = Profile::default();
        let new = self.edit(tables, into)?;
        new.identifiers.extend(old.identifiers.iter().cloned());
        for (name, attribute) in &old.attributes {
            new.set(name, attribute.value.clone(), attribute.since_us);
        }
        if let Some(consent) = old.consent {
            new.consent_given(consent.granted, consent.since_us);
        }
        new.vouched |= old.vouched;
        Ok(())
    }

    /// Puts what changed into the step's commit.
    pub(crate) fn save(&mut self, tables: &Tables, change: &mut Change) -> Result<()> {
        for profile in std::mem::take(&mut self.changed) {
            if let Some(record) = self.resident.get(&profile) {
                change.put(&tables.profiles, profile_key(profile), &**record)?;
            }
        }
        if std::mem::take(&mut self.attributes_changed) {
            change.put(&tables.meta, META, &self.attributes)?;
        }
        if self.resident.len() > RESIDENT {
            self.resident.clear();
        }
        Ok(())
    }
}

//! Identifiers that only sources with terms have brought: where they may not go, the identifier may not go either. Who brings
//! one without terms makes it free, for good.

use crate::{
    Result,
    store::tables::{self, Change, Tables},
};
use std::collections::{BTreeSet, HashMap};

/// The sources of each identifier that only sources with terms have brought, by [`crate::store::kept::who`].
#[derive(Debug, Default)]
pub struct Limited {
    known: HashMap<u128, BTreeSet<String>>,
    changed: BTreeSet<u128>,
}

impl Limited {
    /// Loads them.
    ///
    /// # Errors
    /// When the database fails.
    pub fn open(tables: &Tables) -> Result<Self> {
        let mut limited = Self::default();
        for (key, sources) in tables::scan(&tables.limited, [])? {
            if let Ok(key) = key.try_into() {
                limited.known.insert(u128::from_be_bytes(key), postcard::from_bytes(&sources)?);
            }
        }
        Ok(limited)
    }

    /// True where nobody has terms, or nobody brought an identifier under them.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// A source brings an identifier, which is new, or known already.
    pub(crate) fn brought(&mut self, who: u128, source: &str, has_terms: bool, is_new: bool) {
        let changed = match self.known.get_mut(&who) {
            Some(_) if !has_terms => self.known.remove(&who).is_some(),
            Some(sources) => !sources.contains(source) && sources.insert(source.to_owned()),
            None if has_terms && is_new => {
                self.known.insert(who, BTreeSet::from([source.to_owned()]));
                true
            }
            None => false,
        };
        if changed {
            self.changed.insert(who);
        }
    }

    /// The sources that brought an identifier, where all of them have terms.
    pub fn of(&self, who: u128) -> Option<&BTreeSet<String>> {
        self.known.get(&who)
    }

    /// Puts what is new into the step's commit.
    pub(crate) fn save(&mut self, tables: &Tables, change: &mut Change) -> Result<()> {
        for who in std::mem::take(&mut self.changed) {
            match self.known.get(&who) {
                Some(sources) => change.put(&tables.limited, who.to_be_bytes(), sources)?,
                None => change.remove(&tables.limited, who.to_be_bytes()),
            }
        }
        Ok(())
    }
}

//! How long what each source brought counts, as the pipeline file said it last: a source that left the file keeps its
//! `ttl` as long as anything of it may be in the store.

use super::tables::{self, Change, Tables};
use crate::Result;
use std::collections::BTreeMap;

const META: &str = "source-ages";

/// The `ttl` of each source that has one.
#[derive(Debug, Default)]
pub struct Ages {
    ttl_us: BTreeMap<String, i64>,
    changed: bool,
}

impl Ages {
    pub(super) fn open(tables: &Tables) -> Result<Self> {
        Ok(Self { ttl_us: tables::read(&tables.meta, META)?.unwrap_or_default(), changed: false })
    }

    /// What the file says of a source, microseconds; none for nothing.
    pub fn note(&mut self, source: &str, ttl_us: Option<i64>) {
        let before = match ttl_us {
            Some(ttl_us) => self.ttl_us.insert(source.to_owned(), ttl_us),
            None => self.ttl_us.remove(source),
        };
        self.changed |= before != ttl_us;
    }

    /// By source, microseconds.
    pub fn ttl_us(&self) -> &BTreeMap<String, i64> {
        &self.ttl_us
    }

    /// Puts what is new into the step's commit.
    pub(super) fn save(&mut self, tables: &Tables, change: &mut Change) -> Result<()> {
        match std::mem::take(&mut self.changed) {
            true => change.put(&tables.meta, META, &self.ttl_us),
            false => Ok(()),
        }
    }
}

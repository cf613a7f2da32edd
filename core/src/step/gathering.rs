//! What the batches of a step come to, until it is committed.

use crate::{
    Result,
    store::{columns::Columns, segment::Segment},
};
use arrow::{
    array::{Array, ArrayRef, new_null_array},
    compute::concat,
    datatypes::DataType,
};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, BTreeSet};

/// What became of the rows of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Events stored.
    pub events: u64,
    /// Rows that carried identifiers and attributes only.
    pub attributes: u64,
    /// Events whose id was seen already.
    pub duplicates: u64,
    /// Rows without consent.
    pub suppressed: u64,
}

/// What a step gathers from all its batches.
#[derive(Debug, Default)]
pub struct Gathering {
    pub(super) parts: Vec<Part>,
    /// Profiles that were touched.
    pub touched: RoaringBitmap,
    /// Profiles that were merged into others.
    pub merged: RoaringBitmap,
    /// Something about a profile changed.
    pub changed: bool,
    /// Identifiers that came with a denial.
    pub(super) denied: BTreeSet<u128>,
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) profiles: Vec<u32>,
    pub(super) columns: BTreeMap<String, ArrayRef>,
}

impl Gathering {
    /// The step's events as one segment.
    ///
    /// # Errors
    /// When columns of one name differ in type, which [`super::bound::Bound::new`] has excluded.
    pub fn segment(&mut self, known: &Columns) -> Result<Option<Segment>> {
        let parts = std::mem::take(&mut self.parts);
        if parts.is_empty() {
            return Ok(None);
        }
        let mut kinds: BTreeMap<&String, &DataType> = BTreeMap::new();
        for part in &parts {
            kinds.extend(part.columns.iter().map(|(name, values)| (name, values.data_type())));
        }
        let mut columns = BTreeMap::new();
        for (name, kind) in kinds {
            let pieces: Vec<ArrayRef> = parts
                .iter()
                .map(|p| {
                    p.columns.get(name).cloned().unwrap_or_else(|| new_null_array(kind, p.profiles.len()))
                })
                .collect();
            let pieces: Vec<&dyn Array> = pieces.iter().map(|a| &**a).collect();
            columns.insert(name.clone(), concat(&pieces)?);
        }
        let profiles: Vec<u32> = parts.iter().flat_map(|p| p.profiles.iter().copied()).collect();
        Ok(Some(Segment::from_rows(&profiles, columns, known)?))
    }
}

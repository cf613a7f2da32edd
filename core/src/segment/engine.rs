//! Full passes: a group of segments against everybody. The host does them itself, batch after batch, unless the pipeline
//! names an engine that does them elsewhere (`kindred-cluster`). The answers are the same bit for bit; only small,
//! incremental evaluations always stay here (docs/decisions).

use crate::{Result, profile::batch::Moment, store::Store};
use arrow::datatypes::SchemaRef;
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, fmt::Debug};

/// What a group of segments is made of, so that it can be opened again in another process.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The plugin's own name.
    pub plugin: String,
    /// The plugin's version; another one may answer differently.
    pub version: String,
    /// Whether it is linked into the binary; of a library, another machine has no copy.
    pub is_built_in: bool,
    /// Names and options of the segments, in the order of their ordinals: `[{"name": …, "config": …}]`.
    pub segments: serde_json::Value,
    /// What a model was fitted to.
    pub state: Option<Vec<u8>>,
}

impl Origin {
    /// Names of the segments, in the order of their ordinals.
    pub fn names(&self) -> Vec<&str> {
        self.segments.as_array().into_iter().flatten().filter_map(|s| s["name"].as_str()).collect()
    }
}

/// One group against everybody who is committed in the store.
#[derive(Clone, Copy, Debug)]
pub struct FullPass<'a> {
    /// Names the group's instance.
    pub group: &'a str,
    /// What it is made of.
    pub origin: &'a Origin,
    /// Its segments' names, by ordinal.
    pub segments: &'a [String],
    /// Columns that it reads.
    pub schema: &'a SchemaRef,
    /// As of when.
    pub moment: &'a Moment,
    /// Audiences that it may refer to.
    pub members: &'a BTreeMap<String, RoaringBitmap>,
}

/// The answer to a [`FullPass`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passed {
    /// Members by ordinal: profiles that consent and for which the segment holds.
    pub members: Vec<RoaringBitmap>,
    /// When a profile's answer can change with no new event, microseconds since 1970.
    pub due_us: BTreeMap<u32, i64>,
}

/// Does full passes elsewhere.
pub trait Engine: Debug {
    /// The whole answer, or none of it.
    ///
    /// # Errors
    /// When nobody could give it, or a plugin failed; the step is given up and the last audiences stay.
    fn evaluate(&mut self, store: &mut Store, pass: &FullPass<'_>) -> Result<Passed>;
}

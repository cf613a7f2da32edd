//! What a run did, for people and for machines.

use crate::config::Party;
use kindred_plugin_api::Report;
use serde::Serialize;
use std::collections::BTreeMap;

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Moment that the answers are for, RFC 3339; none before anything was evaluated.
    pub as_of: Option<String>,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Stopped by a signal before the sources ended.
    pub interrupted: bool,
    /// Commits made.
    pub steps: u64,
    /// Profiles in the store.
    pub profiles: u64,
    /// Events in the store.
    pub events: u64,
    /// By name.
    pub sources: BTreeMap<String, SourceSummary>,
    /// By name.
    pub segments: BTreeMap<String, SegmentSummary>,
    /// What the models are worth.
    pub models: Vec<Report>,
    /// By name.
    pub destinations: BTreeMap<String, DestinationSummary>,
}

/// Rows of one source; `read = events + attributes + duplicates + suppressed + rejected`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceSummary {
    /// Rows read.
    pub read: u64,
    /// Events stored.
    pub events: u64,
    /// Rows with identifiers and attributes only.
    pub attributes: u64,
    /// Events known already.
    pub duplicates: u64,
    /// Rows without consent.
    pub suppressed: u64,
    /// Rows in the dead letters.
    pub rejected: u64,
    /// Reason code → rows.
    pub reasons: BTreeMap<String, u64>,
}

/// One audience.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SegmentSummary {
    /// For people.
    pub title: String,
    /// Members now.
    pub size: u64,
    /// Members now who were none before the run.
    pub entered: u64,
    /// Members before the run who are none now.
    pub left: u64,
}

/// One destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DestinationSummary {
    /// Rows acknowledged.
    pub delivered: u64,
    /// Rows that it could not take.
    pub rejected: u64,
    /// Audiences below the minimum, with their size.
    pub held_back: BTreeMap<String, u64>,
    /// Files, job ids.
    pub receipts: Vec<String>,
    /// What the deliveries used of bought data, by source.
    pub costs: BTreeMap<String, Cost>,
    /// Members that were delivered in audiences which depend on data of a party, or may, by party.
    pub parties: BTreeMap<Party, u64>,
    /// Why a delivery is still pending.
    pub pending: Option<String>,
}

/// What deliveries used of a source that has a price.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Members delivered in audiences that depend on it, or may; each time that they were.
    pub members: u64,
    /// What they cost, exactly: `3.085`.
    pub amount: String,
    /// Three letters of ISO 4217.
    pub currency: String,
}

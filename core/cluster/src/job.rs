//! What crosses: a job and its answer, in postcard.

use kindred_core::profile::batch::Moment;
use kindred_plugin_api::{Fault, FaultKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One group of segments against one bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The same for all buckets of a pass, another one for every other pass.
    pub(crate) pass: u64,
    /// Published generation that it is about.
    pub(crate) generation: String,
    pub(crate) bucket: u32,
    /// Names the plugin's instance.
    pub(crate) group: String,
    pub(crate) plugin: String,
    pub(crate) version: String,
    /// Names and options of the segments, as JSON.
    pub(crate) segments: String,
    /// What a model was fitted to.
    pub(crate) state: Option<Vec<u8>>,
    pub(crate) as_of_us: i64,
    pub(crate) retention_us: i64,
    pub(crate) ttl_us: BTreeMap<String, i64>,
    /// Audiences that the segments refer to, as far as they are in this bucket; roaring's portable format.
    pub(crate) members: BTreeMap<String, Vec<u8>>,
}

impl Job {
    pub(crate) fn moment(&self) -> Moment {
        let Self { as_of_us, retention_us, ttl_us, .. } = self;
        Moment { as_of_us: *as_of_us, retention_us: *retention_us, ttl_us: ttl_us.clone() }
    }
}

/// What came of a job. It names the job, so that an answer cannot be taken for that of another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) pass: u64,
    pub(crate) generation: String,
    pub(crate) bucket: u32,
    /// Rows that were read of the profiles table.
    pub(crate) profiles: u64,
    /// Rows that were read of the events table; none where no events are asked for.
    pub(crate) events: u64,
    /// By ordinal, in roaring's portable format.
    pub(crate) members: Vec<Vec<u8>>,
    /// Profile and the moment at which its answer can change, microseconds since 1970.
    pub(crate) due_us: Vec<(u32, i64)>,
}

/// A plugin's own failure, which would be the same on every worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    kind: u32,
    code: String,
    message: String,
}

/// What a worker says: an answer, or what the plugin found.
pub(crate) type Reply = Result<Answer, Failure>;

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { kind: fault.kind as u32, code: fault.code, message: fault.message }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::new(FaultKind::from_number(failure.kind), failure.code, failure.message)
    }
}

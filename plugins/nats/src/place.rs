//! How far the stream was read: the position that the host stores and hands back.

use kindred_plugin_api::Result;
use kindred_reading::{position_bytes, position_from};
use serde::{Deserialize, Serialize};

/// A place between two messages of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// When the stream was made, microseconds since 1970: another stream of the same name counts from 1 again.
    pub(crate) made_us: i64,
    /// Highest sequence that was taken, or 0.
    pub(crate) sequence: u64,
    /// Batches that were handed out, by which their messages are found again.
    pub(crate) batch: u64,
}

impl Place {
    /// From the bytes that [`Place::to_bytes`] made.
    ///
    /// # Errors
    /// PERMANENT for other bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        position_from(bytes, "a stream")
    }

    pub(crate) fn to_bytes(self) -> Result<Vec<u8>> {
        position_bytes(&self)
    }
}

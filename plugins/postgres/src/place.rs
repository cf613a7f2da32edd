//! How far the table was read: the position that the host stores and hands back. Values stand as the text that the
//! server gave, and go back to it as they are.

use kindred_plugin_api::Result;
use kindred_reading::{position_bytes, position_from};
use serde::{Deserialize, Serialize};

/// Values of the primary key of one row.
pub(crate) type Key = Vec<String>;

/// A place between two rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// What is being read.
    pub(crate) phase: Phase,
    /// Rows that were read so far, all looks together.
    pub(crate) rows: u64,
}

/// What is being read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// The whole table, in the order of its key.
    Whole {
        /// The highest value of the cursor when it began; what is above is read afterwards.
        since: Option<String>,
        /// The last row.
        key: Option<Key>,
    },
    /// What has changed, in the order of the cursor and the key.
    Changes {
        /// The cursor of the last row.
        cursor: String,
        /// Its key; none where the look begins and rows of this very cursor are still to be read.
        key: Option<Key>,
    },
    /// Nothing; the last look is over.
    Done {
        /// The highest cursor, none of an empty table or one without.
        cursor: Option<String>,
        /// The key of the last row there.
        key: Option<Key>,
        /// When, microseconds since 1970.
        at_us: i64,
    },
}

impl Default for Phase {
    fn default() -> Self {
        Self::Whole { since: None, key: None }
    }
}

impl Place {
    /// From the bytes that [`Place::to_bytes`] made.
    ///
    /// # Errors
    /// PERMANENT for other bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        position_from(bytes, "a database")
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        position_bytes(self)
    }
}

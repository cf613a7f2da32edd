//! Which page, and how much of it was read: the position that the host stores and hands back.

use kindred_plugin_api::Result;
use kindred_reading::{position_bytes, position_from};
use serde::{Deserialize, Serialize};

/// A place between two records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// What this look sends as its cursor.
    pub(crate) cursor: Option<String>,
    /// The highest value of the cursor so far, which the next look sends.
    pub(crate) highest: Option<String>,
    /// The page.
    pub(crate) page: Page,
    /// Records of it that were read.
    pub(crate) skip: usize,
    /// Records that were read so far, all looks together.
    pub(crate) rows: u64,
    /// The look is over; the next one begins.
    pub(crate) done: bool,
}

/// How a page is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Page {
    /// By the address of the options.
    #[default]
    First,
    /// By an address that the page before gave.
    Url(String),
    /// By a token that it gave.
    Token(String),
    /// By its number, or the number of its first record.
    Number(u64),
}

impl Place {
    /// From the bytes that [`Place::to_bytes`] made.
    ///
    /// # Errors
    /// PERMANENT for other bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        position_from(bytes, "pages")
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        position_bytes(self)
    }
}

//! Rows that could not be used: kept with their reason until somebody looks.

use super::tables::{self, Change, Tables};
use crate::Result;
use kindred_plugin_api::Reject;
use serde::{Deserialize, Serialize};

/// A rejected row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Number in this store, from 1.
    pub number: u64,
    /// Stage that rejected it: `source`, `enrichment`, `identity`, `destination`.
    pub stage: String,
    /// Instance in the pipeline file.
    pub instance: String,
    /// File, topic or delivery.
    pub origin: String,
    /// Row of the origin.
    pub row: u64,
    /// Why, for machines.
    pub code: String,
    /// Why, for people.
    pub message: String,
    /// The row as found, where it may be kept.
    pub payload: String,
    /// When, microseconds since 1970.
    pub at_us: i64,
}

/// Adds rejected rows to a change; `next` is the store's counter.
pub(super) fn add(
    tables: &Tables,
    change: &mut Change,
    next: &mut u64,
    (stage, instance): (&str, &str),
    rejects: &[Reject],
) -> Result<()> {
    for reject in rejects {
        *next += 1;
        let letter = DeadLetter {
            number: *next,
            stage: stage.to_owned(),
            instance: instance.to_owned(),
            origin: reject.origin.clone(),
            row: reject.row,
            code: reject.code.clone(),
            message: reject.message.clone(),
            payload: reject.payload.clone(),
            at_us: crate::clock::now_us(),
        };
        change.put(&tables.dead_letters, next.to_be_bytes(), &letter)?;
    }
    Ok(())
}

/// All of them, oldest first.
pub(super) fn list(tables: &Tables) -> Result<Vec<DeadLetter>> {
    let found = tables::scan(&tables.dead_letters, [])?;
    found.into_iter().map(|(_, value)| Ok(postcard::from_bytes(&value)?)).collect()
}

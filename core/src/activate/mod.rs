//! Activation: what a destination has, what it should have, and the delivery that makes up the difference.
//!
//! A delivery is frozen before it is sent: its rows and its id are committed to the outbox, and only its
//! acknowledgement moves what the destination is known to have. A crash anywhere between sends the same bytes again.

mod cut;
mod send;
mod terms;

pub use cut::{Outlook, cut, outlook};
pub use send::{Courier, Sent, acknowledge, send_pending, stops, wait_ms, withdraw};

use crate::{
    Result,
    consent::Reach,
    segment::bitmap,
    store::{Store, tables},
};
use kindred_plugin_api::Delivery;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A frozen delivery that waits for its acknowledgement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pending {
    /// What it is.
    pub delivery: Delivery,
    /// Its rows, an Arrow IPC stream of [`kindred_plugin_api::columns::activation`].
    pub rows: Vec<u8>,
    /// What the destination has once it is acknowledged: segment → serialised bitmap.
    pub then: BTreeMap<String, Vec<u8>>,
}

/// What a destination is known to have.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Delivered {
    /// Number of the last acknowledged delivery.
    pub sequence: u64,
    /// Segment → serialised bitmap.
    pub members: BTreeMap<String, Vec<u8>>,
    /// Segment → those that it may have or not, because a delivery was withdrawn that may have reached it. Who should be
    /// there is added again, who should not is removed.
    pub unsure: BTreeMap<String, Vec<u8>>,
}

impl Delivered {
    /// Members that it surely has, and those that it may have.
    fn of(&self, segment: &str) -> Result<(RoaringBitmap, RoaringBitmap)> {
        let read = |map: &BTreeMap<String, Vec<u8>>| bitmap(map.get(segment).map_or(&[][..], |b| b));
        Ok((read(&self.members)?, read(&self.unsure)?))
    }

    /// Segments of which it has or may have members.
    fn segments(&self) -> impl Iterator<Item = &String> {
        self.members.keys().chain(self.unsure.keys())
    }
}

/// The delivery that waits at a destination, if there is one.
///
/// # Errors
/// When the database fails.
pub fn pending(store: &Store, destination: &str) -> Result<Option<Pending>> {
    tables::read(&store.tables.outbox, destination)
}

/// What a destination is known to have.
///
/// # Errors
/// When the database fails.
pub fn delivered(store: &Store, destination: &str) -> Result<Delivered> {
    Ok(tables::read(&store.tables.delivered, destination)?.unwrap_or_default())
}

/// Profiles that are looked up together.
const LOOKED_UP: usize = 65_536;

/// The third consent gate: those of some profiles that may be sent today, looked up again at send.
fn consenting(store: &mut Store, profiles: &RoaringBitmap) -> Result<RoaringBitmap> {
    let all: Vec<u32> = profiles.iter().collect();
    let mut kept = RoaringBitmap::new();
    for part in all.chunks(LOOKED_UP) {
        store.profiles.prepare(&store.tables, part)?;
        kept.extend(part.iter().filter(|profile| store.profiles.reach(**profile) >= Reach::Activate));
    }
    Ok(kept)
}

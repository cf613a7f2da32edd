//! Terms of sources at send: an identifier that only sources brought whose terms do not allow a destination stays away from
//! it, and so does a profile that has no other. It fails closed: a source that left the file allows nothing.

use crate::{
    Result,
    config::Source,
    store::{Store, kept::who},
};
use roaring::RoaringBitmap;

/// What one destination may be given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub(super) sources: &'a [Source],
    pub(super) destination: &'a str,
}

impl Terms<'_> {
    /// Whether it may be given an identifier.
    pub(super) fn allow(self, store: &Store, namespace: &str, value: &str) -> bool {
        let allows = |name: &String| {
            self.sources.iter().any(|source| source.name == *name && source.allows(self.destination))
        };
        store.limited.is_empty()
            || store.limited.of(who(namespace, value)).is_none_or(|brought| brought.iter().any(allows))
    }

    /// Those of some profiles that have an identifier that it may be given.
    pub(super) fn reachable(self, store: &Store, profiles: RoaringBitmap) -> Result<RoaringBitmap> {
        if store.limited.is_empty() {
            return Ok(profiles);
        }
        let mut kept = RoaringBitmap::new();
        for profile in &profiles {
            let record = store.profiles.get(&store.tables, profile)?;
            if record.identifiers.iter().any(|(namespace, value)| self.allow(store, namespace, value)) {
                kept.insert(profile);
            }
        }
        Ok(kept)
    }
}

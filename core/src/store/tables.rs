//! The state database: which keyspaces there are, what their keys and values look like.

use super::journals;
use crate::Result;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// Bytes of the database that stay in memory: identifiers and profiles of a step lie far apart.
const CACHE: u64 = 128 << 20;
/// Bytes of the journals, which are read whole at every start.
const JOURNALS: u64 = 128 << 20;

/// All keyspaces. Values are postcard unless said otherwise; numbers in keys are big-endian.
pub struct Tables {
    dir: PathBuf,
    db: Database,
    /// `totals`, `event-columns`, ….
    pub meta: Keyspace,
    /// File name → [`super::files::Entry`]: the files that belong to the store.
    pub files: Keyspace,
    /// Source → position, raw bytes.
    pub positions: Keyspace,
    /// Column, 0, code → texts of a coded event column from this code on, as one step brought them.
    pub dictionary: Keyspace,
    /// Namespace, 0, value → profile, `u32`.
    pub identifiers: Keyspace,
    /// Hash of an identifier → the sources that brought it, where all have terms; see [`crate::identity::Limited`].
    pub limited: Keyspace,
    /// Profile → [`crate::profile::Profile`].
    pub profiles: Keyspace,
    /// Number → profiles that a commit changed and the file of profiles has as they were before, `u32`, little-endian.
    pub outdated: Keyspace,
    /// Number → consents that a commit renewed, in the form of `profile/renewed.rs`.
    pub renewed: Keyspace,
    /// Profile → the profile it was merged into, `u32`.
    pub merged: Keyspace,
    /// Segment → [`crate::segment::Membership`].
    pub segments: Keyspace,
    /// Segment → [`crate::segment::applied::Definition`]: what was last evaluated for everybody.
    pub applied: Keyspace,
    /// Segment, 0, slot → [`crate::segment::applied::Size`]: a ring of the last sizes.
    pub sizes: Keyspace,
    /// Due times, in the form of [`crate::segment::timers`].
    pub timers: Keyspace,
    /// Number → [`super::dead_letters::DeadLetter`].
    pub dead_letters: Keyspace,
    /// Number of the first letter → [`super::kept::Kept`]: rows of dead letters, to be replayed.
    pub kept: Keyspace,
    /// Hash of an identifier, number of a letter → nothing: whose rows are kept.
    pub kept_of: Keyspace,
    /// Destination → [`crate::activate::Pending`].
    pub outbox: Keyspace,
    /// Destination → [`crate::activate::Delivered`].
    pub delivered: Keyspace,
    /// Group of model segments → [`crate::segment::Model`].
    pub models: Keyspace,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tables")
    }
}

impl Tables {
    /// Opens or creates the database; who only looks has no thread that tidies it up, and so waits for none.
    pub(super) fn open(dir: &Path, only_look: bool) -> Result<Self> {
        let db = Database::builder(dir)
            .worker_threads_unchecked(usize::from(!only_look))
            .cache_size(CACHE)
            .max_journaling_size(JOURNALS)
            .open()?;
        let keyspace = |name: &str| db.keyspace(name, KeyspaceCreateOptions::default);
        Ok(Self {
            meta: keyspace("meta")?,
            files: keyspace("files")?,
            positions: keyspace("positions")?,
            dictionary: keyspace("dictionary")?,
            identifiers: keyspace("identifiers")?,
            limited: keyspace("limited-identifiers")?,
            profiles: keyspace("profiles")?,
            outdated: keyspace("outdated")?,
            renewed: keyspace("renewed-consents")?,
            merged: keyspace("merged")?,
            segments: keyspace("segments")?,
            applied: keyspace("applied")?,
            sizes: keyspace("sizes")?,
            timers: keyspace("timers")?,
            dead_letters: keyspace("dead-letters")?,
            kept: keyspace("kept-rows")?,
            kept_of: keyspace("kept-rows-of")?,
            outbox: keyspace("outbox")?,
            delivered: keyspace("delivered")?,
            models: keyspace("models")?,
            dir: dir.to_owned(),
            db,
        })
    }

    /// Ends it so that the next start has no journal to read, where that is worth it.
    pub(super) fn close(self) -> Result<()> {
        if !journals::are_long(&self.dir)? {
            return Ok(());
        }
        journals::flush(&self.db)?;
        let dir = self.dir.clone();
        drop(self);
        journals::empty(&dir)
    }

    /// For who only reads, from any thread.
    pub fn readers(&self) -> Readers {
        Readers {
            identifiers: self.identifiers.clone(),
            merged: self.merged.clone(),
            profiles: self.profiles.clone(),
        }
    }

    /// An empty change; nothing of it is seen before [`Change::commit`], and then all of it.
    pub fn change(&self) -> Change {
        Change { batch: self.db.batch().durability(Some(PersistMode::SyncAll)) }
    }
}

/// What may be read while somebody else writes: each answer is of a commit, and two may be of different ones.
#[derive(Clone)]
pub struct Readers {
    /// As [`Tables::identifiers`].
    pub identifiers: Keyspace,
    /// As [`Tables::merged`].
    pub merged: Keyspace,
    /// As [`Tables::profiles`].
    pub profiles: Keyspace,
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Readers")
    }
}

/// One commit in the making.
pub struct Change {
    batch: OwnedWriteBatch,
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change").field("len", &self.batch.len()).finish()
    }
}

impl Change {
    /// Puts raw bytes.
    pub fn put_bytes(&mut self, table: &Keyspace, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.batch.insert(table, key.as_ref(), value.as_ref());
    }

    /// Puts a record.
    ///
    /// # Errors
    /// When it cannot be serialised.
    pub fn put<T: Serialize>(&mut self, table: &Keyspace, key: impl AsRef<[u8]>, value: &T) -> Result<()> {
        self.put_bytes(table, key, postcard::to_stdvec(value)?);
        Ok(())
    }

    /// Removes a key.
    pub fn remove(&mut self, table: &Keyspace, key: impl AsRef<[u8]>) {
        self.batch.remove(table, key.as_ref());
    }

    /// True when it says nothing.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Makes everything durable at once.
    ///
    /// # Errors
    /// When the disk refuses; nothing of the change is there then.
    pub fn commit(self) -> Result<()> {
        Ok(self.batch.commit()?)
    }
}

/// Reads a record.
///
/// # Errors
/// When the database fails or the record is not of this type.
pub fn read<T: DeserializeOwned>(table: &Keyspace, key: impl AsRef<[u8]>) -> Result<Option<T>> {
    match table.get(key)? {
        Some(bytes) => Ok(Some(postcard::from_bytes(&bytes)?)),
        None => Ok(None),
    }
}

/// Reads every key and raw value below a prefix, in key order.
///
/// # Errors
/// When the database fails.
pub fn scan(table: &Keyspace, prefix: impl AsRef<[u8]>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in table.prefix(prefix) {
        let (key, value) = entry.into_inner()?;
        found.push((key.to_vec(), value.to_vec()));
    }
    Ok(found)
}

/// A profile's key.
pub fn profile_key(profile: u32) -> [u8; 4] {
    profile.to_be_bytes()
}

/// A number from a key or value of four bytes.
pub fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

//! Publishing: what is in the store, as Parquet files and a manifest, for readers outside: the query engine, workers of
//! the distributed engine, DuckDB, Spark.
//!
//! ```text
//! manifest.json               names everything below; replaced by rename, last
//! GENERATION/events/0000.parquet
//! GENERATION/profiles/0000.parquet
//! GENERATION/identities/0000.parquet
//! GENERATION/memberships/0000.parquet
//! ```
//!
//! | table | columns | sorted by |
//! |---|---|---|
//! | `events` | `profile_id`, `event_time`, then every event column by name | profile, time |
//! | `profiles` | `profile_id`, `consent`, `attr.SOURCE.NAME`…, `since.SOURCE.NAME`…, `identifiers` | profile |
//! | `identities` | `profile_id`, `namespace`, `value` | profile, namespace, value |
//! | `memberships` | `profile_id`, `segment` | profile, segment |
//!
//! Attributes of sources with a `ttl` have a `since.` column: since when each is so.
//!
//! A profile's rows are all in one bucket ([`bucket`]), and a bucket is one file a table. Numbers of profiles are those
//! of today: events of merged profiles are found under the profile that they were merged into.
//!
//! Invariants: a manifest names only files that are complete and synced; a file is never changed after it was named.
//! A reader that needs its files to stay holds the generation ([`Manifest::hold`]): the publisher leaves it alone then,
//! and removes it the next time.

mod manifest;
pub mod read;
mod rows;
mod write;

pub use manifest::{File, MANIFEST, Manifest, Table};

use crate::{Error, Result, profile::batch::Moment, segment, store::Store, store::tables};
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, fs, path::Path};
use write::Writing;
use xxhash_rust::xxh3::xxh3_64;

/// Profiles whose rows are gathered at a time.
const CHUNK: usize = 4_096;
/// Events that one bucket should hold about.
const BUCKET_EVENTS: usize = 1_000_000;

/// How to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Files that each table is split into, at least 1; [`buckets`] gives a good number.
    pub buckets: u32,
    /// The moment that the reader will ask about: events and attributes that are expired then are left out.
    pub moment: Moment,
}

/// The bucket of a profile: XXH3 (64 bits, no seed) of its number as four little-endian bytes, modulo the buckets.
pub fn bucket(profile: u32, buckets: u32) -> u32 {
    (xxh3_64(&profile.to_le_bytes()) % u64::from(buckets.max(1))) as u32
}

/// A number of buckets that suits a store: about a million events in each, a power of two, at most 256.
pub fn buckets(store: &Store) -> u32 {
    (store.events.rows().div_ceil(BUCKET_EVENTS).max(1) as u32).next_power_of_two().min(256)
}

/// Publishes what is committed, into a new generation, and removes the generations before it.
///
/// # Errors
/// When the store or the disk fails; the manifest that was there stays, and so do its files.
pub fn publish(store: &mut Store, dir: &Path, options: &Options) -> Result<Manifest> {
    let buckets = options.buckets.max(1);
    let generation = generation(dir, store.totals.commits)?;
    let mut parts = vec![Vec::new(); buckets as usize];
    for profile in store.identity.all() {
        parts[bucket(profile, buckets) as usize].push(profile);
    }
    let members = members(store)?;
    let mut tables: BTreeMap<Table, Vec<File>> = Table::ALL.into_iter().map(|t| (t, Vec::new())).collect();
    for (number, profiles) in (0_u32..).zip(&parts) {
        for (table, files) in &mut tables {
            let mut file =
                Writing::new(dir, &generation, *table, number, rows::schema(store, *table, &options.moment)?);
            for part in profiles.chunks(CHUNK) {
                file.write(&rows::rows(store, *table, part, &options.moment, &members)?)?;
            }
            files.extend(file.finish()?);
        }
    }
    write::sync_folders(dir, &generation)?;
    let manifest = Manifest {
        version: manifest::VERSION,
        generation,
        commit: store.totals.commits,
        as_of_us: options.moment.as_of_us,
        latest_us: (store.totals.latest_us > i64::MIN).then_some(store.totals.latest_us),
        retention_us: options.moment.retention_us,
        ttl_us: options.moment.ttl_us.clone(),
        buckets,
        tables,
    };
    manifest.write(dir)?;
    sweep(dir, &manifest.generation)?;
    Ok(manifest)
}

/// Committed memberships, by segment.
fn members(store: &Store) -> Result<BTreeMap<String, RoaringBitmap>> {
    let stored = tables::scan(&store.tables.segments, [])?;
    let named = |(name, _): &(Vec<u8>, Vec<u8>)| String::from_utf8_lossy(name).into_owned();
    let names: Vec<String> = stored.iter().map(named).collect();
    let mut members = BTreeMap::new();
    for name in names {
        let record: segment::Membership = tables::read(&store.tables.segments, &name)?.unwrap_or_default();
        members.insert(name, segment::bitmap(&record.members)?);
    }
    Ok(members)
}

/// A name that no generation has had that may still be read: the commit, and a number where that is taken.
fn generation(dir: &Path, commit: u64) -> Result<String> {
    let mut number = 0;
    loop {
        let name = format!("{commit:012}-{number:04}");
        if !dir.join(&name).exists() {
            for table in Table::ALL {
                let folder = dir.join(&name).join(table.name());
                fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
            }
            return Ok(name);
        }
        number += 1;
    }
}

/// Removes every generation but one, and those that somebody holds.
fn sweep(dir: &Path, current: &str) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if manifest::is_generation(&name) && name != current && !manifest::is_held(&path) {
            fs::remove_dir_all(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}

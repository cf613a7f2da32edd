//! What the store last applied: the definition of each segment, and its size over the last commits that changed it.
//! `kindred plan` compares with it and `kindred segments` shows it.

use super::{Membership, Segments, bitmap};
use crate::{
    Error, Result,
    config::{self, Pipeline, age},
    plugin::{Plugins, registry::Registry},
    store::{
        Store,
        tables::{self, Change},
    },
};
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// Sizes kept for each segment.
const SIZES: u64 = 32;

/// A segment's definition: as a file has it, or as it was last evaluated for everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Name of the plugin, by its manifest.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// The options, JSON; with the `ttl` of the sources that it reads and the retention, where they are
    /// not the usual ones.
    pub config: String,
}

/// A size, and the commit that made it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Counts the changes of this segment's size, from 1.
    pub number: u64,
    /// Moment that the answer was for, microseconds since 1970.
    pub as_of_us: i64,
    /// Members.
    pub members: u64,
}

/// A segment's members as they were last committed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// Profiles.
    pub members: RoaringBitmap,
    /// When they last changed, microseconds since 1970.
    pub changed_us: i64,
}

/// The definitions of a pipeline file, by segment.
///
/// # Errors
/// When a plugin is not there.
pub fn definitions(pipeline: &Pipeline, registry: &Registry) -> Result<BTreeMap<String, Definition>> {
    let mut found = BTreeMap::new();
    for segment in &pipeline.segments {
        if let Some(sql) = &segment.sql {
            let config = with_ages(&sql.text, pipeline, segment);
            let (plugin, version) = ("sql".into(), String::new());
            found.insert(segment.name.clone(), Definition { plugin, version, config });
            continue;
        }
        let plugin = registry.find(&segment.plugin, &pipeline.base_dir);
        let manifest = plugin.map_err(|e| Error::NotFound(e.message))?.manifest;
        let config = with_ages(&segment.config.to_string(), pipeline, segment);
        found.insert(
            segment.name.clone(),
            Definition { plugin: manifest.name, version: manifest.version, config },
        );
    }
    Ok(found)
}

/// A definition with how long what it reads counts, where that is not the usual: with another time, other profiles may be
/// members.
pub(super) fn with_ages(definition: &str, pipeline: &Pipeline, segment: &config::Segment) -> String {
    let ttl: BTreeMap<&str, String> =
        pipeline.ttl_us(segment).into_iter().map(|(name, us)| (name, age::text(us))).collect();
    let usual = age::parse(config::RETENTION).is_ok_and(|us| us == pipeline.retention_us);
    if ttl.is_empty() && usual {
        return definition.to_owned();
    }
    let mut whole =
        json!({"definition": serde_json::from_str(definition).unwrap_or_else(|_| json!(definition))});
    if !ttl.is_empty() {
        whole["ttl"] = json!(ttl);
    }
    if !usual {
        whole["retention"] = json!(age::text(pipeline.retention_us));
    }
    whole.to_string()
}

/// The definitions that the store last applied, by segment.
///
/// # Errors
/// When the database fails.
pub fn applied(store: &Store) -> Result<BTreeMap<String, Definition>> {
    let found = tables::scan(&store.tables.applied, [])?.into_iter();
    found.map(|(name, definition)| Ok((text(&name), postcard::from_bytes(&definition)?))).collect()
}

/// The members of every segment in the store, also of those that left the file.
///
/// # Errors
/// When the database fails.
pub fn stored(store: &Store) -> Result<BTreeMap<String, Stored>> {
    let mut found = BTreeMap::new();
    for (name, record) in tables::scan(&store.tables.segments, [])? {
        let record: Membership = postcard::from_bytes(&record)?;
        let members = bitmap(&record.members)?;
        found.insert(text(&name), Stored { members, changed_us: record.changed_us });
    }
    Ok(found)
}

/// The last sizes of every segment, oldest first.
///
/// # Errors
/// When the database fails.
pub fn sizes(store: &Store) -> Result<BTreeMap<String, Vec<Size>>> {
    let mut found: BTreeMap<String, Vec<Size>> = BTreeMap::new();
    for (key, size) in tables::scan(&store.tables.sizes, [])? {
        let name = &key[..key.len().saturating_sub(2)];
        found.entry(text(name)).or_default().push(postcard::from_bytes(&size)?);
    }
    found.values_mut().for_each(|sizes| sizes.sort_by_key(|size| size.number));
    Ok(found)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Keeps the record while a pipeline runs.
#[derive(Debug)]
pub struct Record {
    definitions: BTreeMap<String, Definition>,
    applied: BTreeMap<String, Definition>,
    last: BTreeMap<String, Size>,
}

impl Record {
    /// For a pipeline and what the store holds.
    ///
    /// # Errors
    /// When a plugin is not there or the database fails.
    pub fn open(pipeline: &Pipeline, registry: &Registry, store: &Store) -> Result<Self> {
        let last = sizes(store)?.into_iter().filter_map(|(name, sizes)| Some((name, *sizes.last()?)));
        let definitions = definitions(pipeline, registry)?;
        Ok(Self { definitions, applied: applied(store)?, last: last.collect() })
    }

    /// Puts into a commit which definitions hold from now on, and which sizes changed.
    ///
    /// # Errors
    /// When a record cannot be written.
    pub fn note(
        &mut self,
        store: &Store,
        change: &mut Change,
        segments: &Segments,
        as_of_us: i64,
    ) -> Result<()> {
        for name in segments.fresh() {
            if let Some(definition) = self.definitions.get(name)
                && self.applied.get(name) != Some(definition)
            {
                change.put(&store.tables.applied, name, definition)?;
                self.applied.insert(name.to_owned(), definition.clone());
            }
            let members = segments.members().get(name).map_or(0, RoaringBitmap::len);
            let last = self.last.get(name);
            if last.is_none_or(|last| last.members != members) {
                let size = Size { number: last.map_or(0, |last| last.number) + 1, as_of_us, members };
                change.put(&store.tables.sizes, slot(name, size.number), &size)?;
                self.last.insert(name.to_owned(), size);
            }
        }
        let gone = self.applied.keys().filter(|name| !self.definitions.contains_key(*name));
        for name in gone.cloned().collect::<Vec<_>>() {
            change.remove(&store.tables.applied, &name);
            (0..SIZES).for_each(|number| change.remove(&store.tables.sizes, slot(&name, number)));
            self.applied.remove(&name);
        }
        Ok(())
    }
}

/// Each size takes the place of the one that is too old.
fn slot(segment: &str, number: u64) -> Vec<u8> {
    [segment.as_bytes(), &[0, (number % SIZES) as u8]].concat()
}

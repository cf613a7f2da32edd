//! Rows of one source batch become events and profile changes: consent gate, de-duplication, identity, attributes.

use super::cells::{Cells, reject, value};
use crate::{
    Error, Result,
    config::{ConsentDefault, Source},
    consent::{Decision, decide},
    store::{
        Store,
        columns::{ColumnType, Columns},
        segment::Segment,
    },
};
use arrow::{
    array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array},
    compute::{concat, take},
    datatypes::{DataType, Schema},
};
use kindred_plugin_api::{
    Reject,
    columns::{ATTR, CONSENT, EVENT, EVENT_ID, EVENT_TIME, ID, is_reserved, profile::SOURCE},
};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, HashMap};

/// Namespaces whose values name a person directly.
const RAW: [&str; 4] = ["email", "phone", "name", "ip"];

/// A source whose schema is known: which column plays which part.
#[derive(Debug)]
pub struct Bound {
    pub(super) source: String,
    default: ConsentDefault,
    pub(super) identifiers: Vec<(String, usize)>,
    attributes: Vec<(String, usize)>,
    properties: Vec<(String, usize)>,
    /// Event id, time, name, consent.
    pub(super) fixed: [Option<usize>; 4],
}

/// What became of the rows of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Events stored.
    pub events: u64,
    /// Rows that carried identifiers and attributes only.
    pub attributes: u64,
    /// Events whose id was seen already.
    pub duplicates: u64,
    /// Rows without consent.
    pub suppressed: u64,
}

/// What a step gathers from all its batches.
#[derive(Debug, Default)]
pub struct Gathering {
    parts: Vec<Part>,
    /// Profiles that were touched.
    pub touched: RoaringBitmap,
    /// Profiles that were merged into others.
    pub merged: RoaringBitmap,
    /// Something about a profile changed.
    pub changed: bool,
}

#[derive(Debug)]
struct Part {
    profiles: Vec<u32>,
    columns: BTreeMap<String, ArrayRef>,
}

impl Bound {
    /// Agrees on a source's schema with the store.
    ///
    /// # Errors
    /// When a column has a type that is not stored or that the store holds differently, or when raw identifiers
    /// come that nobody declared.
    pub fn new(
        store: &mut Store,
        source: &Source,
        schema: &Schema,
        raw_identifiers: &[String],
    ) -> Result<Self> {
        let by = format!("source `{}`", source.name);
        let (mut identifiers, mut attributes, mut properties) = (Vec::new(), Vec::new(), Vec::new());
        for (at, field) in schema.fields().iter().enumerate() {
            let name = field.name();
            let kind = ColumnType::of(field.data_type()).ok_or_else(|| {
                Error::Column(format!(
                    "column `{name}` of {by} has type {}, which is not stored",
                    field.data_type()
                ))
            })?;
            if let Some(namespace) = name.strip_prefix(ID) {
                if RAW.contains(&namespace) && !raw_identifiers.iter().any(|r| r == namespace) {
                    return Err(Error::Column(format!(
                        "{by} brings raw `{namespace}` identifiers: hash them, or list `{namespace}` under \
                         pipeline.raw_identifiers"
                    )));
                }
                identifiers.push((namespace.to_owned(), at));
            } else if let Some(attribute) = name.strip_prefix(ATTR) {
                let attribute = format!("{}.{attribute}", source.name);
                store.profiles.declare(attribute.clone(), kind);
                attributes.push((attribute, at));
            } else if !is_reserved(name) {
                store.columns.declare(name, kind, &by)?;
                properties.push((name.clone(), at));
            }
        }
        if identifiers.is_empty() {
            return Err(Error::Column(format!("{by} brings no identifier column (`id.…`)")));
        }
        let fixed = [EVENT_ID, EVENT_TIME, EVENT, CONSENT].map(|name| schema.index_of(name).ok());
        Ok(Self {
            source: source.name.clone(),
            default: source.consent,
            identifiers,
            attributes,
            properties,
            fixed,
        })
    }

    /// Takes a batch in.
    ///
    /// # Errors
    /// When the store fails; a bad row only becomes a reject.
    pub fn take(
        &self,
        store: &mut Store,
        batch: &RecordBatch,
        gathering: &mut Gathering,
        rejects: &mut Vec<Reject>,
    ) -> Result<Taken> {
        store.expect_events()?;
        let columns = Cells::new(self, batch)?;
        let mut memo: HashMap<(usize, &str), u32> = HashMap::new();
        let mut taken = Taken::default();
        let mut part = Part { profiles: Vec::new(), columns: BTreeMap::new() };
        let mut kept: Vec<u32> = Vec::new();
        let now_us = crate::clock::now_us();
        for row in 0..batch.num_rows() {
            let found = columns.identifiers(row);
            if found.is_empty() {
                rejects.push(reject(
                    &columns,
                    row,
                    "no-identifier",
                    "no identifier: every `id.` column is empty",
                ));
                continue;
            }
            let since_us = columns.time(row).unwrap_or(now_us + row as i64);
            let explicit = match decide(columns.consent(row), self.default) {
                Decision::Pass { explicit } => explicit,
                Decision::Suppress { explicit } => {
                    taken.suppressed += 1;
                    if explicit {
                        self.deny(store, &found, since_us, gathering)?;
                    }
                    continue;
                }
            };
            let event = match columns.event(row) {
                None => None,
                Some(Ok(key)) => Some(key),
                Some(Err((code, message))) => {
                    rejects.push(reject(&columns, row, code, message));
                    continue;
                }
            };
            if event.is_some_and(|key| !store.is_new(key)) {
                taken.duplicates += 1;
                continue;
            }
            let profile = match found.as_slice() {
                [(at, value)] if memo.contains_key(&(*at, *value)) => memo[&(*at, *value)],
                _ => {
                    let profile = self.resolve(store, &found, gathering)?;
                    memo.clear_if_merged(gathering, &found, profile);
                    profile
                }
            };
            self.change(store, batch, row, profile, (explicit, since_us), gathering)?;
            if event.is_some() {
                taken.events += 1;
                kept.push(row as u32);
                part.profiles.push(profile);
            } else {
                taken.attributes += 1;
            }
            gathering.touched.insert(profile);
        }
        if !kept.is_empty() {
            part.columns = self.columns(store, batch, kept)?;
            gathering.parts.push(part);
            gathering.changed = true;
        }
        Ok(taken)
    }

    fn resolve(&self, store: &mut Store, found: &[(usize, &str)], gathering: &mut Gathering) -> Result<u32> {
        let pairs: Vec<(&str, &str)> =
            found.iter().map(|(at, v)| (self.identifiers[*at].0.as_str(), *v)).collect();
        let before = store.identity.next();
        let resolved = store.identity.resolve(&store.tables, &mut store.profiles, &pairs)?;
        gathering.changed |= store.identity.next() != before || !resolved.merged.is_empty();
        for merged in resolved.merged {
            gathering.merged.insert(merged);
            gathering.touched.remove(merged);
        }
        Ok(resolved.profile)
    }

    /// Stores a denial on a profile that exists; makes none.
    fn deny(
        &self,
        store: &mut Store,
        found: &[(usize, &str)],
        since_us: i64,
        gathering: &mut Gathering,
    ) -> Result<()> {
        for (at, value) in found {
            let namespace = &self.identifiers[*at].0;
            if let Some(profile) = store.identity.find(&store.tables, namespace, value)? {
                gathering.changed |=
                    store.profiles.edit(&store.tables, profile)?.consent_given(false, since_us);
                gathering.touched.insert(profile);
            }
        }
        Ok(())
    }

    /// Consent and attributes of a row.
    fn change(
        &self,
        store: &mut Store,
        batch: &RecordBatch,
        row: usize,
        profile: u32,
        (explicit, since_us): (bool, i64),
        gathering: &mut Gathering,
    ) -> Result<()> {
        let vouches = self.default == ConsentDefault::Granted;
        if self.attributes.is_empty() && !explicit {
            if vouches && !store.profiles.get(&store.tables, profile)?.vouched {
                store.profiles.edit(&store.tables, profile)?.vouched = true;
                gathering.changed = true;
            }
            return Ok(());
        }
        let record = store.profiles.edit(&store.tables, profile)?;
        record.vouched |= vouches;
        if explicit {
            gathering.changed |= record.consent_given(true, since_us);
        }
        for (name, at) in &self.attributes {
            if let Some(value) = value(batch.column(*at), row) {
                gathering.changed |= record.set(name, value, since_us);
            }
        }
        Ok(())
    }

    /// The event columns of the kept rows, as they are stored.
    fn columns(
        &self,
        store: &mut Store,
        batch: &RecordBatch,
        kept: Vec<u32>,
    ) -> Result<BTreeMap<String, ArrayRef>> {
        let rows = kept.len();
        let all = rows == batch.num_rows();
        let kept = UInt32Array::from(kept);
        let [_, time, event, _] = self.fixed;
        let fixed = [(EVENT_TIME, time), (EVENT, event)];
        let fixed = fixed.into_iter().filter_map(|(name, at)| Some((name, at?)));
        let mut columns = BTreeMap::new();
        for (name, at) in fixed.chain(self.properties.iter().map(|(name, at)| (name.as_str(), *at))) {
            let values = batch.column(at);
            let values = if all { values.clone() } else { take(values, &kept, None)? };
            columns.insert(name.to_owned(), store.columns.store(name, &values)?);
        }
        columns.insert(SOURCE.to_owned(), store.columns.store_constant(SOURCE, &self.source, rows));
        Ok(columns)
    }
}

/// Forgets what a merge made wrong.
trait Memo<'a> {
    fn clear_if_merged(&mut self, gathering: &Gathering, found: &[(usize, &'a str)], profile: u32);
}

impl<'a> Memo<'a> for HashMap<(usize, &'a str), u32> {
    fn clear_if_merged(&mut self, gathering: &Gathering, found: &[(usize, &'a str)], profile: u32) {
        if !gathering.merged.is_empty() {
            self.clear();
        } else if let [(at, value)] = found {
            self.insert((*at, *value), profile);
        }
    }
}

impl Gathering {
    /// The step's events as one segment.
    ///
    /// # Errors
    /// When columns of one name differ in type, which [`Bound::new`] has excluded.
    pub fn segment(&mut self, known: &Columns) -> Result<Option<Segment>> {
        let parts = std::mem::take(&mut self.parts);
        if parts.is_empty() {
            return Ok(None);
        }
        let mut kinds: BTreeMap<&String, &DataType> = BTreeMap::new();
        for part in &parts {
            kinds.extend(part.columns.iter().map(|(name, values)| (name, values.data_type())));
        }
        let mut columns = BTreeMap::new();
        for (name, kind) in kinds {
            let pieces: Vec<ArrayRef> = parts
                .iter()
                .map(|p| {
                    p.columns.get(name).cloned().unwrap_or_else(|| new_null_array(kind, p.profiles.len()))
                })
                .collect();
            let pieces: Vec<&dyn Array> = pieces.iter().map(|a| &**a).collect();
            columns.insert(name.clone(), concat(&pieces)?);
        }
        let profiles: Vec<u32> = parts.iter().flat_map(|p| p.profiles.iter().copied()).collect();
        Ok(Some(Segment::from_rows(&profiles, columns, known)?))
    }
}

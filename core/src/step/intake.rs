//! Rows of one source batch become events and profile changes: consent gate, de-duplication, identity, attributes.

use super::cells::{Cells, reject};
use crate::{
    Error, Result,
    config::{ConsentDefault, Source},
    consent::{Decision, Reach, decide},
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
    columns::{
        ATTR, CONSENT, CONSENT_VERSION, EVENT, EVENT_ID, EVENT_TIME, ID, is_reserved, profile::SOURCE,
    },
};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;

/// Namespaces whose values name a person directly.
const RAW: [&str; 4] = ["email", "phone", "name", "ip"];

/// A source whose schema is known: which column plays which part.
#[derive(Debug)]
pub struct Bound {
    pub(super) source: String,
    default: ConsentDefault,
    pub(super) identifiers: Vec<(String, usize)>,
    pub(super) attributes: Vec<(String, usize)>,
    properties: Vec<(String, usize)>,
    /// Event id, time, name, consent, its version.
    pub(super) fixed: [Option<usize>; 5],
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
            } else if !is_reserved(name) || name == CONSENT_VERSION {
                store.columns.declare(name, kind, &by)?;
                properties.push((name.clone(), at));
            }
        }
        if identifiers.is_empty() {
            return Err(Error::Column(format!("{by} brings no identifier column (`id.…`)")));
        }
        let fixed =
            [EVENT_ID, EVENT_TIME, EVENT, CONSENT, CONSENT_VERSION].map(|name| schema.index_of(name).ok());
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
        let cells = Cells::new(self, batch)?;
        let mut taken = Taken::default();
        let rows = self.gate(store, &cells, batch.num_rows(), &mut taken, rejects);
        let mut part = Part { profiles: Vec::with_capacity(rows.len()), columns: BTreeMap::new() };
        let mut kept: Vec<u32> = Vec::with_capacity(rows.len());
        let now_us = crate::clock::now_us();
        let mut found = Vec::new();
        for Passed { row, said, way } in rows {
            found.clear();
            found.extend(cells.identifiers(row).map(|(at, value)| (self.identifiers[at].0.as_str(), value)));
            let since_us = cells.time(row).unwrap_or(now_us + row as i64);
            if way == Way::Denial {
                self.deny(store, &found, (since_us, cells.consent_version(row)), gathering)?;
                continue;
            }
            let profile = resolve(store, &found, gathering)?;
            self.change(store, (&cells, row), profile, (said, since_us), gathering)?;
            if way == Way::Event {
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

    /// The rows that go on: those with an identifier and consent, and of events those that are new; and denials.
    fn gate(
        &self,
        store: &mut Store,
        cells: &Cells,
        rows: usize,
        taken: &mut Taken,
        rejects: &mut Vec<Reject>,
    ) -> Vec<Passed> {
        let mut passed = Vec::with_capacity(rows);
        let mut keys = Vec::with_capacity(rows);
        for row in 0..rows {
            if cells.identifiers(row).next().is_none() {
                rejects.push(reject(
                    cells,
                    row,
                    "no-identifier",
                    "no identifier: every `id.` column is empty",
                ));
                continue;
            }
            let (said, way) = match decide(cells.consent(row), self.default) {
                Decision::Pass { said } => match cells.event(row) {
                    None => (said, Way::Attributes),
                    Some(Ok(key)) => {
                        keys.push(key);
                        (said, Way::Event)
                    }
                    Some(Err((code, message))) => {
                        rejects.push(reject(cells, row, code, message));
                        continue;
                    }
                },
                Decision::Suppress { explicit } => {
                    taken.suppressed += 1;
                    if !explicit {
                        continue;
                    }
                    (None, Way::Denial)
                }
            };
            passed.push(Passed { row, said, way });
        }
        let mut new = store.are_new(&keys).into_iter();
        passed.retain(|passed| passed.way != Way::Event || new.next() == Some(true));
        taken.duplicates += (keys.len() - passed.iter().filter(|p| p.way == Way::Event).count()) as u64;
        passed
    }

    /// Stores a denial on a profile that exists; makes none.
    fn deny(
        &self,
        store: &mut Store,
        found: &[(&str, &str)],
        (since_us, version): (i64, &str),
        gathering: &mut Gathering,
    ) -> Result<()> {
        for (namespace, value) in found {
            if let Some(profile) = store.identity.find(&store.tables, namespace, value)? {
                gathering.changed |= store.profiles.edit(&store.tables, profile)?.consent_given(
                    Reach::Nothing,
                    since_us,
                    version,
                );
                gathering.touched.insert(profile);
            }
        }
        Ok(())
    }

    /// Consent and attributes of a row.
    fn change(
        &self,
        store: &mut Store,
        (cells, row): (&Cells, usize),
        profile: u32,
        (said, since_us): (Option<Reach>, i64),
        gathering: &mut Gathering,
    ) -> Result<()> {
        if self.default == ConsentDefault::Granted {
            gathering.changed |= store.profiles.vouch(&store.tables, profile)?;
        }
        if self.attributes.is_empty() && said.is_none() {
            return Ok(());
        }
        let record = store.profiles.edit(&store.tables, profile)?;
        if let Some(reach) = said {
            gathering.changed |= record.consent_given(reach, since_us, cells.consent_version(row));
        }
        for (at, (name, _)) in self.attributes.iter().enumerate() {
            if let Some(value) = cells.attribute(at, row) {
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
        let [_, time, event, ..] = self.fixed;
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

/// A row that goes on.
struct Passed {
    row: usize,
    /// What it says itself of consent.
    said: Option<Reach>,
    way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Stored.
    Event,
    /// Identifiers and attributes only.
    Attributes,
    /// Only noted on a profile that exists.
    Denial,
}

fn resolve(store: &mut Store, found: &[(&str, &str)], gathering: &mut Gathering) -> Result<u32> {
    let before = store.identity.next();
    let resolved = store.identity.resolve(&store.tables, &mut store.profiles, found)?;
    gathering.changed |= store.identity.next() != before || !resolved.merged.is_empty();
    for merged in resolved.merged {
        gathering.merged.insert(merged);
        gathering.touched.remove(merged);
    }
    Ok(resolved.profile)
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

//! Rows of one source batch become events and profile changes: consent gate, de-duplication, identity, attributes.

use super::{
    agree::Agree,
    cells::{Cells, reject},
    content::contents,
    exact::{Numbers, convert, found, is_of},
    load::{Aside, Load},
};
use crate::{
    Error, Result,
    config::{ConsentDefault, Source},
    consent::{Decision, Reach, decide},
    store::{
        Store,
        columns::{ColumnType, Columns},
        dead_letters::Refused,
        ids::{Id, Seen},
        kept::who,
        segment::Segment,
    },
};
use arrow::{
    array::{Array, ArrayRef, UInt32Array, new_null_array},
    compute::{concat, take},
    datatypes::{DataType, Schema},
};
use kindred_plugin_api::columns::{
    ATTR, CONSENT, CONSENT_VERSION, EVENT, EVENT_ID, EVENT_TIME, ID, is_reserved, profile::SOURCE,
};
use roaring::RoaringBitmap;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

const ID_REUSED: (&str, &str) = ("id-reused", "another event came under this id before");
/// Namespaces whose values name a person directly.
const RAW: [&str; 4] = ["email", "phone", "name", "ip"];

/// Rows with a value that the store cannot hold, and what is wrong with it.
type Misfits = BTreeMap<usize, String>;

/// A source whose schema is known: which column plays which part.
#[derive(Debug)]
pub struct Bound {
    pub(super) source: String,
    default: ConsentDefault,
    pub(super) identifiers: Vec<(String, usize)>,
    pub(super) attributes: Vec<(String, usize)>,
    properties: Vec<(String, usize)>,
    /// Columns that the store holds as another type: name, place, that type.
    fitted: Vec<(String, usize, ColumnType)>,
    /// The source has terms.
    has_terms: bool,
    /// What it brings expires, so that it matters since when an attribute is so.
    expires: bool,
    /// Raw identifiers that may be stored.
    raw_identifiers: Vec<String>,
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
    /// Identifiers that came with a denial.
    pub(super) denied: BTreeSet<u128>,
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
        store: &mut impl Agree,
        source: &Source,
        schema: &Schema,
        raw_identifiers: &[String],
    ) -> Result<Self> {
        let by = format!("source `{}`", source.name);
        let (mut identifiers, mut attributes, mut properties) = (Vec::new(), Vec::new(), Vec::new());
        let mut fitted = Vec::new();
        let mut fit = |name: &String, at, kind: &DataType, held| {
            if !is_of(kind, held) {
                fitted.push((name.clone(), at, held));
            }
        };
        for (at, field) in schema.fields().iter().enumerate() {
            let name = field.name();
            let kind = ColumnType::of(field.data_type()).ok_or_else(|| {
                Error::Column(format!(
                    "column `{name}` of {by} has type {}, which is not stored",
                    field.data_type()
                ))
            })?;
            if let Some(expected) = not_its_type(name, kind) {
                return Err(Error::Column(format!(
                    "column `{name}` of {by} is {}, it must be {expected}",
                    kind.name()
                )));
            }
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
                let declared = source.schema.as_ref().is_some_and(|schema| schema.columns.contains_key(name));
                let held = store.attribute(&attribute, kind, declared, &by)?;
                fit(name, at, field.data_type(), held);
                attributes.push((attribute, at));
            } else if !is_reserved(name) || name == CONSENT_VERSION {
                let held = store.property(name, kind, &by)?;
                fit(name, at, field.data_type(), held);
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
            fitted,
            has_terms: source.destinations.is_some(),
            expires: source.ttl_us.is_some(),
            raw_identifiers: raw_identifiers.to_vec(),
            fixed,
        })
    }

    /// Takes a batch in; rows that go no further are added to `refused`.
    ///
    /// # Errors
    /// When the store fails; a bad row is only refused.
    pub fn take(
        &self,
        store: &mut Store,
        load: &Load,
        gathering: &mut Gathering,
        refused: &mut Vec<Refused>,
    ) -> Result<Taken> {
        store.expect_events()?;
        let before = refused.len();
        for aside in &load.aside {
            self.refuse(store, aside, gathering, refused)?;
        }
        let (columns, misfits) = self.fit(load.batch.columns())?;
        let cells = Cells::new(self, &columns)?;
        let mut taken = Taken::default();
        let rows = self.gate(store, (&cells, misfits), load, &mut taken, refused)?;
        if refused.len() > before && self.is_raw(load) {
            // What may not be stored may not be kept either.
            refused[before..].iter_mut().for_each(|refused| refused.keep = false);
        }
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
            self.under_terms(store, &found)?;
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
            part.columns = self.columns(store, &columns, load.batch.num_rows(), kept)?;
            gathering.parts.push(part);
            gathering.changed = true;
        }
        Ok(taken)
    }

    /// Notes who brings these identifiers, where it matters.
    fn under_terms(&self, store: &mut Store, found: &[(&str, &str)]) -> Result<()> {
        if self.has_terms || !store.limited.is_empty() {
            for (namespace, value) in found {
                let is_new =
                    self.has_terms && store.identity.find(&store.tables, namespace, value)?.is_none();
                store.limited.brought(who(namespace, value), &self.source, self.has_terms, is_new);
            }
        }
        Ok(())
    }

    /// Whether the source handed out raw identifiers that must not be stored.
    fn is_raw(&self, load: &Load) -> bool {
        let schema = load.source.schema();
        let namespaces = schema.fields().iter().filter_map(|field| field.name().strip_prefix(ID));
        namespaces
            .filter(|namespace| RAW.contains(namespace))
            .any(|namespace| !self.raw_identifiers.iter().any(|declared| declared == namespace))
    }

    /// The columns as the store holds them, and the rows of values that it cannot hold.
    fn fit<'a>(&self, columns: &'a [ArrayRef]) -> Result<(Cow<'a, [ArrayRef]>, Misfits)> {
        let mut fitted = Cow::Borrowed(columns);
        let mut misfits = Misfits::new();
        for (name, at, held) in &self.fitted {
            let (values, lost) = convert(&columns[*at], *held, Numbers::Widen)?;
            for row in lost {
                misfits.entry(row as usize).or_insert_with(|| {
                    let found = found(columns[*at].data_type(), *held, Numbers::Widen);
                    format!("column `{name}`: found {found}, the store holds it as {}", held.name())
                });
            }
            fitted.to_mut()[*at] = values;
        }
        Ok((fitted, misfits))
    }

    /// The identifiers of a row, as it is found by them once it is kept.
    fn who(&self, cells: &Cells, row: usize) -> Vec<u128> {
        cells.identifiers(row).map(|(at, value)| who(&self.identifiers[at].0, value)).collect()
    }

    /// Rows that were set aside on the way: whether they may be kept, and denials among them.
    fn refuse(
        &self,
        store: &mut Store,
        aside: &Aside,
        gathering: &mut Gathering,
        refused: &mut Vec<Refused>,
    ) -> Result<()> {
        let cells = Cells::new(self, aside.batch.columns())?;
        for (row, set_aside) in aside.rows.iter().enumerate() {
            let decision = set_aside.known.then(|| decide(cells.consent(row), self.default));
            if decision == Some(Decision::Suppress { explicit: true }) {
                let since_us = cells.time(row).unwrap_or_else(crate::clock::now_us);
                let found =
                    cells.identifiers(row).map(|(at, value)| (self.identifiers[at].0.as_str(), value));
                let found: Vec<(&str, &str)> = found.collect();
                self.deny(store, &found, (since_us, cells.consent_version(row)), gathering)?;
            }
            let keep = matches!(decision, Some(Decision::Pass { .. }));
            let mut reject = set_aside.reject.clone();
            if !keep {
                reject.payload.clear();
            } else if reject.payload.is_empty() {
                reject.payload = cells.name(row);
            }
            let (stage, instance, who) = (set_aside.stage, set_aside.instance.clone(), self.who(&cells, row));
            refused.push(Refused { at: set_aside.at, stage, instance, reject, keep, who });
        }
        Ok(())
    }

    /// The rows that go on: those with an identifier and consent, and of events those that are new; and denials.
    fn gate(
        &self,
        store: &mut Store,
        (cells, misfits): (&Cells, Misfits),
        load: &Load,
        taken: &mut Taken,
        refused: &mut Vec<Refused>,
    ) -> Result<Vec<Passed>> {
        let rows = load.batch.num_rows();
        let mut passed = Vec::with_capacity(rows);
        let mut names = Vec::with_capacity(rows);
        let mut refuse = |row: usize, stage, (code, message): (&str, &str), keep| {
            let (at, instance, who) = (load.at(row), self.source.clone(), self.who(cells, row));
            let reject = reject(cells, row, code, message);
            refused.push(Refused { at, stage, instance, reject, keep, who });
        };
        for row in 0..rows {
            let decision = decide(cells.consent(row), self.default);
            if cells.identifiers(row).next().is_none() {
                let keep = matches!(decision, Decision::Pass { .. });
                refuse(
                    row,
                    "identity",
                    ("no-identifier", "no identifier: every `id.` column is empty"),
                    keep,
                );
                continue;
            }
            let (said, way) = match decision {
                Decision::Pass { said } => match (misfits.get(&row), cells.event(row)) {
                    (Some(message), _) => {
                        refuse(row, "schema", ("schema-changed", message), true);
                        continue;
                    }
                    (None, None) => (said, Way::Attributes),
                    (None, Some(Ok(id))) => {
                        names.push((row, id));
                        (said, Way::Event)
                    }
                    (None, Some(Err(why))) => {
                        refuse(row, "identity", why, true);
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
        if names.is_empty() {
            return Ok(passed);
        }
        let contents = contents(&load.source)?;
        let id = |(row, id): &(usize, &str)| {
            Id::new(&self.source, id.as_bytes(), contents[load.at(*row) as usize])
        };
        let ids: Vec<Id> = names.iter().map(id).collect();
        let mut seen = store.are_new(&ids)?.into_iter();
        passed.retain(|passed| {
            if passed.way != Way::Event {
                return true;
            }
            match seen.next() {
                Some(Seen::Never) => return true,
                Some(Seen::Other) => refuse(passed.row, "identity", ID_REUSED, true),
                _ => taken.duplicates += 1,
            }
            false
        });
        Ok(passed)
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
            gathering.denied.insert(who(namespace, value));
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
        if let Some(reach) = said {
            let word = (reach, since_us, cells.consent_version(row));
            gathering.changed |= store.profiles.consent_given(&store.tables, profile, word)?;
        }
        if self.attributes.is_empty() {
            return Ok(());
        }
        let record = store.profiles.edit(&store.tables, profile)?;
        for (at, (name, _)) in self.attributes.iter().enumerate() {
            if let Some(value) = cells.attribute(at, row) {
                gathering.changed |= record.set(name, value, since_us) || self.expires;
            }
        }
        Ok(())
    }

    /// The event columns of the kept rows, as they are stored.
    fn columns(
        &self,
        store: &mut Store,
        columns: &[ArrayRef],
        of: usize,
        kept: Vec<u32>,
    ) -> Result<BTreeMap<String, ArrayRef>> {
        let rows = kept.len();
        let all = rows == of;
        let kept = UInt32Array::from(kept);
        let [_, time, event, ..] = self.fixed;
        let fixed = [(EVENT_TIME, time), (EVENT, event)];
        let fixed = fixed.into_iter().filter_map(|(name, at)| Some((name, at?)));
        let mut stored = BTreeMap::new();
        for (name, at) in fixed.chain(self.properties.iter().map(|(name, at)| (name.as_str(), *at))) {
            let values = &columns[at];
            let values = if all { values.clone() } else { take(values, &kept, None)? };
            if !values.is_empty() && values.logical_null_count() == values.len() {
                // A column is in the files of events only where somebody has a value in it.
                continue;
            }
            stored.insert(name.to_owned(), store.columns.store(name, &values)?);
        }
        stored.insert(SOURCE.to_owned(), store.columns.store_constant(SOURCE, &self.source, rows));
        Ok(stored)
    }
}

/// What a column of this name must be, where it is not; integers are taken for the ids that they write.
fn not_its_type(name: &str, kind: ColumnType) -> Option<&'static str> {
    let (allowed, expected): (&[ColumnType], _) = match name {
        EVENT_TIME => (&[ColumnType::Time], "time"),
        EVENT | CONSENT | CONSENT_VERSION => (&[ColumnType::Text], "text"),
        name if name == EVENT_ID || name.starts_with(ID) => {
            (&[ColumnType::Text, ColumnType::Integer], "text")
        }
        _ => return None,
    };
    (!allowed.contains(&kind)).then_some(expected)
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

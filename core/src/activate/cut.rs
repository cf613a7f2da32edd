//! Cuts a delivery: compares what a destination should have with what it has, and freezes the difference.

use super::{Delivered, Pending, consenting, delivered, pending, terms::Terms};
use crate::{
    Result,
    config::{Destination, Source},
    profile::{Profile, batch::identifiers},
    segment::bytes,
    store::{Store, tables::Change},
};
use arrow::{
    array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array},
    ipc::writer::StreamWriter,
};
use kindred_plugin_api::{Delivery, DeliverySegment, Mode, columns};
use roaring::RoaringBitmap;
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};
use xxhash_rust::xxh3::xxh3_128;

/// Rows of one batch of a delivery.
const BATCH: usize = 8_192;

/// What was cut for one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Audiences held back because they are too small, with their size.
    pub held_back: Vec<(String, u64)>,
    /// Rows frozen.
    pub rows: u64,
}

/// One audience of a delivery in the making.
struct Audience {
    segment: String,
    adds: RoaringBitmap,
    removes: RoaringBitmap,
    then: RoaringBitmap,
}

/// Freezes what a destination should get now; nothing when it has everything or a delivery still waits.
///
/// # Errors
/// When the store fails.
pub fn cut(
    store: &mut Store,
    change: &mut Change,
    (destination, sources): (&Destination, &[Source]),
    members: &BTreeMap<String, RoaringBitmap>,
    as_of_us: i64,
) -> Result<Cut> {
    let mut done = Cut::default();
    if pending(store, &destination.name)?.is_some() {
        return Ok(done);
    }
    let has = delivered(store, &destination.name)?;
    let terms = Terms { sources, destination: &destination.name };
    let (audiences, held_back) = compare(store, (destination, terms), &has, members)?;
    done.held_back = held_back;
    if audiences.is_empty() {
        return Ok(done);
    }
    let frozen = freeze(store, (destination, terms), has.sequence + 1, audiences, as_of_us)?;
    done.rows = frozen.delivery.segments.iter().map(|s| s.adds + s.removes).sum();
    change.put(&store.tables.outbox, &destination.name, &frozen)?;
    Ok(done)
}

/// Rows of one audience that a destination would get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outlook {
    /// The segment.
    pub segment: String,
    /// Members who would be added.
    pub adds: u64,
    /// Members who would be removed.
    pub removes: u64,
    /// The audience's size, when it is too small to be added to.
    pub held_back: Option<u64>,
}

/// What [`cut`] would freeze once the destination has acknowledged what waits for it.
///
/// # Errors
/// When the store fails.
pub fn outlook(
    store: &mut Store,
    (destination, sources): (&Destination, &[Source]),
    members: &BTreeMap<String, RoaringBitmap>,
) -> Result<Vec<Outlook>> {
    let terms = Terms { sources, destination: &destination.name };
    let has = match pending(store, &destination.name)? {
        Some(waiting) => Delivered { members: waiting.then, ..Delivered::default() },
        None => delivered(store, &destination.name)?,
    };
    let (audiences, held_back) = compare(store, (destination, terms), &has, members)?;
    let rows = |segment: &String| {
        let audience = audiences.iter().find(|a| a.segment == *segment);
        let (adds, removes) = audience.map_or((0, 0), |a| (a.adds.len(), a.removes.len()));
        let held_back = held_back.iter().find(|(name, _)| name == segment).map(|(_, size)| *size);
        Outlook { segment: segment.clone(), adds, removes, held_back }
    };
    Ok(segments(destination, &has).into_iter().map(rows).collect())
}

/// Audiences with their size.
type Sizes = Vec<(String, u64)>;

/// The difference between what a destination should have and what it has, and the audiences that are too small; no
/// difference when there is nothing to send.
fn compare(
    store: &mut Store,
    (destination, terms): (&Destination, Terms<'_>),
    has: &Delivered,
    members: &BTreeMap<String, RoaringBitmap>,
) -> Result<(Vec<Audience>, Sizes)> {
    let mut audiences = Vec::new();
    let mut held_back = Vec::new();
    for segment in segments(destination, has) {
        let wanted = match members.get(segment) {
            Some(members) if destination.segments.contains(segment) => {
                let consenting = consenting(store, members)?;
                terms.reachable(store, consenting)?
            }
            _ => RoaringBitmap::new(),
        };
        let (before, unsure) = has.of(segment)?;
        let standing = (&before | unsure).iter().map(|p| store.identity.canonical(p)).collect();
        let small = wanted.len() < destination.minimum_audience;
        if small && !wanted.is_empty() {
            held_back.push((segment.clone(), wanted.len()));
        }
        // Too small to add to, never too small to remove from.
        let then = if small { &wanted & &standing } else { wanted };
        let removes = &standing - &then;
        audiences.push(Audience { segment: segment.clone(), adds: &then - &before, removes, then });
    }
    if audiences.iter().all(|a| a.adds.is_empty() && a.removes.is_empty()) {
        audiences.clear();
    }
    if destination.mode == Mode::Full {
        for audience in &mut audiences {
            audience.adds = audience.then.clone();
            audience.removes = RoaringBitmap::new();
        }
    }
    Ok((audiences, held_back))
}

/// The destination's segments, and those that it had and should lose.
fn segments<'a>(destination: &'a Destination, has: &'a Delivered) -> Vec<&'a String> {
    let mut all: Vec<&String> = destination.segments.iter().chain(has.segments()).collect();
    all.sort();
    all.dedup();
    all
}

fn freeze(
    store: &mut Store,
    (destination, terms): (&Destination, Terms<'_>),
    sequence: u64,
    audiences: Vec<Audience>,
    as_of_us: i64,
) -> Result<Pending> {
    let schema = columns::activation();
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    let mut segments = Vec::new();
    let mut then = BTreeMap::new();
    for audience in audiences {
        for (operation, profiles) in [("add", &audience.adds), ("remove", &audience.removes)] {
            let profiles: Vec<u32> = profiles.iter().collect();
            for part in profiles.chunks(BATCH) {
                writer.write(&rows(store, terms, (&audience.segment, operation), part, as_of_us)?)?;
            }
        }
        if !audience.then.is_empty() {
            then.insert(audience.segment.clone(), bytes(&audience.then));
        }
        let (adds, removes) = (audience.adds.len(), audience.removes.len());
        segments.push(DeliverySegment { segment: audience.segment, adds, removes });
    }
    let rows = writer.into_inner()?;
    let mut name = format!("{} {sequence} ", destination.name).into_bytes();
    name.extend(&rows);
    let id = format!("{:032x}", xxh3_128(&name));
    let delivery = Delivery { id, sequence, mode: destination.mode, created_us: as_of_us, segments };
    Ok(Pending { delivery, rows, then })
}

fn rows(
    store: &mut Store,
    terms: Terms<'_>,
    (segment, operation): (&str, &str),
    profiles: &[u32],
    as_of_us: i64,
) -> Result<RecordBatch> {
    let mut records: Vec<Profile> = Vec::with_capacity(profiles.len());
    for profile in profiles {
        let mut record = store.profiles.get(&store.tables, *profile)?;
        record.identifiers.retain(|(namespace, value)| terms.allow(store, namespace, value));
        records.push(record);
    }
    let same = |text: &str| Arc::new(StringArray::from_iter_values(profiles.iter().map(|_| text)));
    let since = TimestampMicrosecondArray::from_value(as_of_us, profiles.len()).with_timezone("+00:00");
    let columns: Vec<ArrayRef> = vec![
        same(segment),
        same(operation),
        Arc::new(UInt32Array::from(profiles.to_vec())),
        identifiers(records.iter()),
        Arc::new(StringArray::from_iter_values(records.iter().map(|r| r.reach().text()))),
        Arc::new(since),
    ];
    Ok(RecordBatch::try_new(columns::activation(), columns)?)
}

//! The rows of each published table for some profiles.

use super::manifest::Table;
use crate::{
    Result,
    profile::batch::{self, Moment},
    store::Store,
};
use arrow::{
    array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array},
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef},
};
use kindred_plugin_api::columns::{ATTR, CONSENT, EVENT_TIME, profile as names, timestamp};
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, sync::Arc};

/// First column of every table.
pub(super) const PROFILE_ID: &str = "profile_id";
/// Since when an attribute is so: `since.SOURCE.NAME`.
pub(super) const SINCE: &str = "since.";

/// The columns of a table.
pub(super) fn schema(store: &Store, table: Table, moment: &Moment) -> Result<SchemaRef> {
    let text = |name: &str| Arc::new(Field::new(name, DataType::Utf8, false));
    let rest: Vec<FieldRef> = match table {
        Table::Events => event_fields(store).iter().cloned().collect(),
        Table::Profiles => {
            let columns = profile_columns(store);
            let (known, identifiers) = columns.fields().split_at(columns.fields().len() - 1);
            let since = |name: &String| Arc::new(Field::new(format!("{SINCE}{name}"), timestamp(), true));
            let since = timed(store, moment).map(since);
            known.iter().skip(1).cloned().chain(since).chain(identifiers.iter().cloned()).collect()
        }
        Table::Identities => vec![text("namespace"), text("value")],
        Table::Memberships => vec![text("segment")],
    };
    let id = Arc::new(Field::new(PROFILE_ID, DataType::UInt32, false));
    Ok(Arc::new(Schema::new([id].into_iter().chain(rest).collect::<Vec<FieldRef>>())))
}

/// Rows of profiles, in their order.
pub(super) fn rows(
    store: &mut Store,
    table: Table,
    profiles: &[u32],
    moment: &Moment,
    members: &BTreeMap<String, RoaringBitmap>,
) -> Result<RecordBatch> {
    let schema = schema(store, table, moment)?;
    let columns = match table {
        Table::Events => events(store, profiles, moment)?,
        Table::Profiles => {
            let columns = Arc::new(profile_columns(store));
            let (batch, _) = batch::build(store, &columns, profiles, moment, None, members)?;
            let mut columns = batch.columns().to_vec();
            let identifiers = columns.split_off(columns.len() - 1);
            for name in timed(store, moment).cloned().collect::<Vec<_>>() {
                let since = store.profiles.since(&name, profiles)?;
                let ttl_us = moment.ttl_of(&name).unwrap_or(i64::MAX);
                columns.push(batch::unexpired(&since, &since, moment.as_of_us, ttl_us)?.0);
            }
            columns.into_iter().chain(identifiers).collect()
        }
        Table::Identities => identities(store, profiles)?,
        Table::Memberships => memberships(profiles, members),
    };
    Ok(RecordBatch::try_new(schema, columns)?)
}

/// Time first, then by name.
fn event_fields(store: &Store) -> Fields {
    let names = store.columns.types().keys().map(String::as_str);
    let ordered = [EVENT_TIME].into_iter().chain(names.filter(|name| *name != EVENT_TIME));
    ordered.filter_map(|name| store.columns.field(name)).collect()
}

/// What the catalogue of segmentations has on profiles, identifiers last.
fn profile_columns(store: &Store) -> Schema {
    let catalog = batch::catalog(store, [].into_iter());
    let wanted = |name: &str| [names::PROFILE, CONSENT].contains(&name) || name.starts_with(ATTR);
    let first = catalog.fields().iter().filter(|f| wanted(f.name()));
    let last = catalog.fields().iter().filter(|f| f.name() == names::IDENTIFIERS);
    Schema::new(first.chain(last).cloned().collect::<Vec<FieldRef>>())
}

/// Attributes that expire.
fn timed<'a>(store: &'a Store, moment: &'a Moment) -> impl Iterator<Item = &'a String> {
    store.profiles.attributes().keys().filter(|name| moment.ttl_of(name).is_some())
}

fn events(store: &mut Store, profiles: &[u32], moment: &Moment) -> Result<Vec<ArrayRef>> {
    let fields = event_fields(store);
    let kept = moment.kept();
    let gathered = store.events.gather(profiles, &store.identity, &fields, &kept, &store.columns)?;
    let lengths = gathered.events.offsets().windows(2).map(|ends| (ends[1] - ends[0]) as usize);
    let ids = profiles.iter().zip(lengths).flat_map(|(id, rows)| std::iter::repeat_n(*id, rows));
    let ids: ArrayRef = Arc::new(UInt32Array::from_iter_values(ids));
    Ok([ids].into_iter().chain(gathered.events.values().as_struct().columns().iter().cloned()).collect())
}

fn identities(store: &mut Store, profiles: &[u32]) -> Result<Vec<ArrayRef>> {
    let (mut ids, mut namespaces, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for profile in profiles {
        let record = store.profiles.get(&store.tables, *profile)?;
        for (namespace, value) in &record.identifiers {
            ids.push(*profile);
            namespaces.push(namespace.clone());
            values.push(value.clone());
        }
    }
    Ok(vec![
        Arc::new(UInt32Array::from(ids)),
        Arc::new(StringArray::from(namespaces)),
        Arc::new(StringArray::from(values)),
    ])
}

fn memberships(profiles: &[u32], members: &BTreeMap<String, RoaringBitmap>) -> Vec<ArrayRef> {
    let (mut ids, mut segments) = (Vec::new(), Vec::new());
    for profile in profiles {
        for (segment, _) in members.iter().filter(|(_, inside)| inside.contains(*profile)) {
            ids.push(*profile);
            segments.push(segment.as_str());
        }
    }
    vec![Arc::new(UInt32Array::from(ids)), Arc::new(StringArray::from(segments))]
}

//! Profile batches: what a segmentation sees, built from profiles, segments of events and memberships.

use super::Profile;
use crate::{
    Error, Result,
    consent::Reach,
    store::{Store, columns::ColumnType, events::Span, widths::Width},
};
use arrow::{
    array::{
        ArrayRef, BooleanArray, DictionaryArray, ListBuilder, RecordBatch, StringArray, StringBuilder,
        StructBuilder, TimestampMicrosecondArray, UInt32Array,
    },
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, UInt32Type},
};
use kindred_plugin_api::{
    Needs,
    columns::{self as api, ATTR, CONSENT, EVENT_TIME, profile as names},
};
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, sync::Arc};

/// The moment asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since 1970.
    pub as_of_us: i64,
    /// Events this much older do not count any more.
    pub retention_us: i64,
}

impl Moment {
    /// Events at or before this are expired.
    pub fn expired_us(&self) -> i64 {
        self.as_of_us.saturating_sub(self.retention_us)
    }
}

/// Every column that a segmentation can ask for, given the segments of the pipeline.
pub fn catalog<'a>(store: &Store, segments: impl Iterator<Item = &'a str>) -> Schema {
    let mut fields = vec![
        Field::new(names::PROFILE, DataType::UInt32, false),
        Field::new(names::AS_OF, api::timestamp(), false),
        Field::new(names::IDENTIFIERS, names::identifiers(), false),
        Field::new(CONSENT, api::coded(), false),
    ];
    for (name, kind) in store.profiles.attributes() {
        fields.push(Field::new(format!("{ATTR}{name}"), kind.shown(), true));
    }
    fields.extend(segments.map(|name| Field::new(format!("{}{name}", names::IN), DataType::Boolean, false)));
    let events: Vec<FieldRef> =
        store.columns.types().keys().filter_map(|name| store.columns.field(name)).collect();
    fields.push(Field::new(names::EVENTS, names::events(events.into()), false));
    Schema::new(fields)
}

/// The catalogue for plugins that take codes and whole numbers as narrow as they are; `widths` are those of the events.
pub fn narrow(catalog: &Schema, store: &Store, widths: &BTreeMap<String, Width>) -> Schema {
    let narrow = |field: &FieldRef| {
        let kind = store.columns.types().get(field.name())?;
        let kind = match kind {
            ColumnType::Text => api::coded_narrow(store.columns.codes(field.name())?),
            ColumnType::Integer => widths.get(field.name())?.arrow(),
            _ => return None,
        };
        Some(Arc::new(field.as_ref().clone().with_data_type(kind)))
    };
    let narrow = |field: &FieldRef| narrow(field).unwrap_or_else(|| field.clone());
    let fields = catalog.fields().iter().map(|field| match field.name().as_str() {
        names::EVENTS => {
            let events: Vec<FieldRef> = event_fields(field).map(narrow).collect();
            Arc::new(field.as_ref().clone().with_data_type(names::events(events.into())))
        }
        _ => field.clone(),
    });
    Schema::new(fields.collect::<Vec<_>>())
}

/// The columns of the catalogue that were asked for, in its order.
///
/// # Errors
/// When something was asked for that is not there.
pub fn project(catalog: &Schema, needs: &Needs) -> Result<SchemaRef> {
    let mut fields = Vec::new();
    let mut known = 0;
    for field in catalog.fields() {
        let always = [names::PROFILE, names::AS_OF].contains(&field.name().as_str());
        if field.name() == names::EVENTS {
            let wanted = wanted_events(field, needs);
            known += wanted.len();
            if !wanted.is_empty() {
                let time = wanted.iter().any(|f| f.name() == EVENT_TIME);
                let time = event_fields(field).filter(|f| !time && f.name() == EVENT_TIME);
                let wanted: Vec<FieldRef> = time.cloned().chain(wanted).collect();
                fields.push(Arc::new(Field::new(names::EVENTS, names::events(wanted.into()), false)));
            }
        } else if needs.columns.contains(field.name()) {
            known += 1;
            fields.push(field.clone());
        } else if always {
            fields.push(field.clone());
        }
    }
    let mut asked = needs.columns.clone();
    asked.sort();
    asked.dedup();
    if known < asked.len() {
        return Err(Error::Column(format!(
            "a segmentation asked for columns that are not there: {}",
            asked.join(", ")
        )));
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn event_fields(events: &Field) -> impl Iterator<Item = &FieldRef> {
    let fields: &[FieldRef] = match events.data_type() {
        DataType::List(item) => match item.data_type() {
            DataType::Struct(fields) => fields,
            _ => &[],
        },
        _ => &[],
    };
    fields.iter()
}

fn wanted_events(events: &Field, needs: &Needs) -> Vec<FieldRef> {
    let prefix = format!("{}.", names::EVENTS);
    let asked =
        |f: &FieldRef| needs.columns.iter().any(|c| c.strip_prefix(&prefix) == Some(f.name().as_str()));
    event_fields(events).filter(|f| asked(f)).cloned().collect()
}

/// A batch, and for each profile its first event behind the moment.
///
/// # Errors
/// When the store fails.
pub fn build(
    store: &mut Store,
    schema: &SchemaRef,
    profiles: &[u32],
    moment: Moment,
    look_back_us: Option<i64>,
    members: &BTreeMap<String, RoaringBitmap>,
) -> Result<(RecordBatch, Vec<Option<i64>>)> {
    store.profiles.prepare(&store.tables, profiles)?;
    let mut next_us = vec![None; profiles.len()];
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column: ArrayRef = match field.name().as_str() {
            names::PROFILE => Arc::new(UInt32Array::from(profiles.to_vec())),
            names::AS_OF => Arc::new(
                TimestampMicrosecondArray::from_value(moment.as_of_us, profiles.len())
                    .with_timezone("+00:00"),
            ),
            names::IDENTIFIERS => {
                let records = profiles.iter().map(|p| store.profiles.get(&store.tables, *p));
                let records = records.collect::<Result<Vec<_>>>()?;
                identifiers(records.iter())
            }
            CONSENT => consent(profiles.iter().map(|p| store.profiles.reach(*p)))?,
            names::EVENTS => {
                let DataType::List(item) = field.data_type() else { continue };
                let DataType::Struct(fields) = item.data_type() else { continue };
                let (events, next) = events(store, fields, profiles, moment, look_back_us)?;
                next_us = next;
                events
            }
            name => match (name.strip_prefix(ATTR), name.strip_prefix(names::IN)) {
                (Some(attribute), _) => store.profiles.column(attribute, profiles)?,
                (None, Some(segment)) => {
                    let inside = members.get(segment);
                    Arc::new(BooleanArray::from_iter(
                        profiles.iter().map(|p| Some(inside.is_some_and(|m| m.contains(*p)))),
                    ))
                }
                (None, None) => return Err(Error::Column(format!("no such profile column `{name}`"))),
            },
        };
        columns.push(column);
    }
    Ok((RecordBatch::try_new(schema.clone(), columns)?, next_us))
}

fn events(
    store: &mut Store,
    fields: &Fields,
    profiles: &[u32],
    moment: Moment,
    look_back_us: Option<i64>,
) -> Result<(ArrayRef, Vec<Option<i64>>)> {
    let look_back = look_back_us.map_or(i64::MIN, |back| moment.as_of_us.saturating_sub(back));
    let span = Span { after_us: moment.expired_us().max(look_back), until_us: moment.as_of_us };
    store.events.let_go();
    let gathered = store.events.gather(profiles, &store.identity, fields, span, &store.columns)?;
    Ok((Arc::new(gathered.events), gathered.next_us))
}

/// The identifiers column.
pub fn identifiers<'a>(profiles: impl Iterator<Item = &'a Profile>) -> ArrayRef {
    let DataType::List(item) = names::identifiers() else { unreachable!("identifiers are a list") };
    let DataType::Struct(pair) = item.data_type() else { unreachable!("of pairs") };
    let texts: Vec<Box<dyn arrow::array::ArrayBuilder>> =
        vec![Box::new(StringBuilder::new()), Box::new(StringBuilder::new())];
    let mut list = ListBuilder::new(StructBuilder::new(pair.clone(), texts)).with_field(item.clone());
    for profile in profiles {
        for (namespace, value) in &profile.identifiers {
            let pair = list.values();
            for (at, text) in [namespace, value].into_iter().enumerate() {
                if let Some(builder) = pair.field_builder::<StringBuilder>(at) {
                    builder.append_value(text);
                }
            }
            pair.append(true);
        }
        list.append(true);
    }
    Arc::new(list.finish())
}

fn consent(reaches: impl Iterator<Item = Reach>) -> Result<ArrayRef> {
    let words = Arc::new(StringArray::from_iter_values(Reach::ALL.map(Reach::text)));
    let codes = UInt32Array::from_iter_values(reaches.map(|reach| reach as u32));
    Ok(Arc::new(DictionaryArray::<UInt32Type>::try_new(codes, words)?))
}

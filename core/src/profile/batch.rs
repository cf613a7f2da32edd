//! Profile batches: what a segmentation sees, built from profiles, segments of events and memberships.

use super::{Profile, source_of};
use crate::{
    Error, Result,
    config::Pipeline,
    consent::Reach,
    store::{
        DAY_US, Store,
        columns::ColumnType,
        span::{Limit, Span},
        widths::Width,
    },
};
use arrow::{
    array::{
        ArrayRef, AsArray, BooleanArray, DictionaryArray, ListBuilder, RecordBatch, StringArray,
        StringBuilder, StructBuilder, TimestampMicrosecondArray, UInt32Array,
    },
    compute::nullif,
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimestampMicrosecondType, UInt32Type},
};
use kindred_plugin_api::{
    Needs,
    columns::{self as api, ATTR, CONSENT, EVENT_TIME, profile as names},
};
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, sync::Arc};

/// The moment asked about, and what still counts at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since 1970.
    pub as_of_us: i64,
    /// Events this much older do not count any more.
    pub retention_us: i64,
    /// Nor do events and attributes of these sources that are older than this, microseconds.
    pub ttl_us: BTreeMap<String, i64>,
}

impl Moment {
    /// For a pipeline.
    pub fn of(pipeline: &Pipeline, as_of_us: i64) -> Self {
        let ttl_us = pipeline.sources.iter().filter_map(|s| Some((s.name.clone(), s.ttl_us?)));
        Self { as_of_us, retention_us: pipeline.retention_us, ttl_us: ttl_us.collect() }
    }

    /// Another moment at which the same counts.
    #[must_use]
    pub fn at(&self, as_of_us: i64) -> Self {
        Self { as_of_us, ..self.clone() }
    }

    /// The events that count for who looks so far back. One that leaves by age is told; who looks less far back than events
    /// are kept knows itself when it stops to see one.
    pub fn span(&self, look_back_us: Option<i64>) -> Span {
        let limit = |age_us: i64| Limit {
            after_us: self.as_of_us.saturating_sub(look_back_us.map_or(age_us, |back| back.min(age_us))),
            lasts_us: (age_us < i64::MAX && look_back_us.is_none_or(|back| back > age_us)).then_some(age_us),
        };
        let age_us = |ttl_us: &i64| self.retention_us.min(*ttl_us);
        let sources = self.ttl_us.iter().map(|(source, ttl_us)| (source.clone(), limit(age_us(ttl_us))));
        Span { until_us: self.as_of_us, all: limit(self.retention_us), sources: sources.collect() }
    }

    /// The events that are not expired, also those that are still to come.
    pub fn kept(&self) -> Span {
        Span { until_us: i64::MAX, ..self.span(None) }
    }

    /// Whether next to nothing expires between it and another one: a 30th of the shortest time that anything counts for
    /// lies between them, or a day, at most.
    pub fn is_near(&self, other: &Self) -> bool {
        let shortest_us = self.ttl_us.values().copied().chain([self.retention_us]).min();
        let near_us = shortest_us.map_or(DAY_US, |us| DAY_US.min(us / 30)).unsigned_abs();
        (self.retention_us, &self.ttl_us) == (other.retention_us, &other.ttl_us)
            && self.as_of_us.abs_diff(other.as_of_us) <= near_us
    }

    /// How long an attribute counts from the time since which it is so, microseconds; none for always.
    pub fn ttl_of(&self, attribute: &str) -> Option<i64> {
        self.ttl_us.get(source_of(attribute)).copied()
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

/// A batch, and for each profile when it first becomes another by itself: an event comes that is in the store already, or
/// something expires.
///
/// # Errors
/// When the store fails.
pub fn build(
    store: &mut Store,
    schema: &SchemaRef,
    profiles: &[u32],
    moment: &Moment,
    look_back_us: Option<i64>,
    members: &BTreeMap<String, RoaringBitmap>,
) -> Result<(RecordBatch, Vec<Option<i64>>)> {
    store.profiles.time(moment.ttl_us.keys());
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
                sooner(&mut next_us, &next);
                events
            }
            name => match (name.strip_prefix(ATTR), name.strip_prefix(names::IN)) {
                (Some(attribute), _) => {
                    let values = store.profiles.column(attribute, profiles)?;
                    match moment.ttl_of(attribute) {
                        None => values,
                        Some(ttl_us) => {
                            let since = store.profiles.since(attribute, profiles)?;
                            let (values, next) = unexpired(&values, &since, moment.as_of_us, ttl_us)?;
                            sooner(&mut next_us, &next);
                            values
                        }
                    }
                }
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
    moment: &Moment,
    look_back_us: Option<i64>,
) -> Result<(ArrayRef, Vec<Option<i64>>)> {
    store.events.let_go();
    let span = moment.span(look_back_us);
    let gathered = store.events.gather(profiles, &store.identity, fields, &span, &store.columns)?;
    Ok((Arc::new(gathered.events), gathered.next_us))
}

/// Makes each time the earlier of two.
pub(crate) fn sooner(times_us: &mut [Option<i64>], others: &[Option<i64>]) {
    for (time, other) in times_us.iter_mut().zip(others) {
        *time = (*time).into_iter().chain(*other).min();
    }
}

/// The values of an attribute that still count, and when each stops; `since` says since when they are so.
///
/// # Errors
/// None in practice: there are as many times as values.
pub(crate) fn unexpired(
    values: &ArrayRef,
    since: &ArrayRef,
    as_of_us: i64,
    ttl_us: i64,
) -> Result<(ArrayRef, Vec<Option<i64>>)> {
    let since = since.as_primitive::<TimestampMicrosecondType>();
    let expires_us = since.iter().map(|since| Some(since?.saturating_add(ttl_us)));
    let next_us: Vec<Option<i64>> = expires_us.map(|us| us.filter(|us| *us > as_of_us)).collect();
    let expired = next_us.iter().zip(since).map(|(next, since)| Some(next.is_none() && since.is_some()));
    Ok((nullif(values, &BooleanArray::from_iter(expired))?, next_us))
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

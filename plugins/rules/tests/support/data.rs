//! Random profiles, plain and as batches.

use super::Random;
use arrow::{
    array::{
        ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, ListArray, RecordBatch,
        StringArray, StructArray, TimestampMicrosecondArray, UInt8Array, UInt32Array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, Fields, Schema, UInt8Type, UInt32Type},
};
use kindred_plugin_api::{Needs, columns};
use std::sync::Arc;

pub(crate) const HOUR: i64 = 3_600_000_000;
pub(crate) const DAY: i64 = 24 * HOUR;
/// 2026-01-31.
pub(crate) const AS_OF: i64 = 1_769_817_600_000_000;

pub(crate) const EVENTS: [&str; 4] = ["view", "cart", "purchase", "search"];
pub(crate) const CATEGORIES: [&str; 4] = ["winter-coats", "winter-boots", "tents", "ä%b_"];
pub(crate) const URLS: [&str; 4] = ["/", "/sale/coats", "/sale/100%", "/cart"];
pub(crate) const PATHS: [&str; 4] = ["/1/", "/1/3/", "/1/3/4/", "/12/"];
pub(crate) const COUNTRIES: [&str; 3] = ["DE", "AT", "FR"];

#[derive(Clone, Debug, Default)]
pub(crate) struct Event {
    pub(crate) time: i64,
    pub(crate) event: Option<String>,
    pub(crate) category: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) amount: Option<f64>,
    pub(crate) quantity: Option<i64>,
    pub(crate) paid: Option<bool>,
    pub(crate) shipped: Option<i64>,
    pub(crate) path: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    pub(crate) country: Option<String>,
    pub(crate) city: Option<String>,
    pub(crate) age: Option<i64>,
    pub(crate) score: Option<f64>,
    pub(crate) optin: Option<bool>,
    pub(crate) since: Option<i64>,
    pub(crate) consent: Option<String>,
    pub(crate) vip: Option<bool>,
    pub(crate) namespaces: Vec<String>,
    pub(crate) events: Vec<Event>,
}

fn maybe<T>(random: &mut Random, value: impl FnOnce(&mut Random) -> T) -> Option<T> {
    if random.chance(80) { Some(value(random)) } else { None }
}

pub(crate) fn time(random: &mut Random) -> i64 {
    let jitter = if random.chance(20) { random.below(3) as i64 - 1 } else { 0 };
    AS_OF - (random.below(60) as i64 - 3) * 6 * HOUR + jitter
}

fn event(random: &mut Random) -> Event {
    Event {
        time: time(random),
        event: maybe(random, |r| r.pick(&EVENTS).to_owned()),
        category: maybe(random, |r| r.pick(&CATEGORIES).to_owned()),
        url: maybe(random, |r| r.pick(&URLS).to_owned()),
        amount: maybe(random, |r| if r.chance(3) { f64::NAN } else { r.below(80) as f64 / 4.0 - 5.0 }),
        quantity: maybe(random, |r| if r.chance(3) { i64::MAX } else { r.below(7) as i64 - 1 }),
        paid: maybe(random, |r| r.chance(50)),
        shipped: maybe(random, time),
        path: maybe(random, |r| r.pick(&PATHS).to_owned()),
    }
}

pub(crate) fn profiles(random: &mut Random, count: usize) -> Vec<Profile> {
    let profile = |random: &mut Random| {
        let number = if random.chance(15) { 0 } else { random.below(14) };
        let mut events: Vec<Event> = (0..number).map(|_| event(random)).collect();
        events.sort_by_key(|event| event.time);
        Profile {
            country: maybe(random, |r| r.pick(&COUNTRIES).to_owned()),
            city: maybe(random, |r| r.pick(&["Wien", "Berlin", "DE"]).to_owned()),
            age: maybe(random, |r| r.below(6) as i64),
            score: maybe(random, |r| r.below(20) as f64 / 4.0),
            optin: maybe(random, |r| r.chance(50)),
            since: maybe(random, time),
            consent: maybe(random, |r| r.pick(&["granted", "denied"]).to_owned()),
            vip: maybe(random, |r| r.chance(50)),
            namespaces: ["cookie", "crm", "maid"]
                .iter()
                .filter(|_| random.chance(40))
                .map(|s| (*s).into())
                .collect(),
            events,
        }
    };
    (0..count).map(|_| profile(random)).collect()
}

/// All columns, in shapes that vary: events before and after the list's own, codes of one or four bytes, dictionaries
/// with values that are null, doubled or unused.
pub(crate) fn batch(profiles: &[Profile], as_of: i64, shape: u64) -> RecordBatch {
    let random = &mut Random(shape);
    let noise: Vec<Event> = (0..random.below(70)).map(|_| event(random)).collect();
    let mut events: Vec<&Event> = noise.iter().collect();
    let mut offsets = vec![events.len() as i32];
    for profile in profiles {
        events.extend(&profile.events);
        offsets.push(events.len() as i32);
    }
    events.extend(&noise);
    let item = structs(&events, random);
    let nulls: NullBuffer =
        profiles.iter().map(|p| !p.events.is_empty() || random.chance(50)).collect::<Vec<bool>>().into();
    let field = Arc::new(Field::new("item", item.data_type_of(), false));
    let list = ListArray::new(field, OffsetBuffer::new(offsets.into()), Arc::new(item), Some(nulls));
    let text = |value: fn(&Profile) -> &Option<String>| -> ArrayRef {
        Arc::new(profiles.iter().map(|p| value(p).as_deref()).collect::<StringArray>())
    };
    let times = |values: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values).with_timezone("+00:00"))
    };
    let country: Vec<Option<&str>> = profiles.iter().map(|p| p.country.as_deref()).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("profile", Arc::new(UInt32Array::from_iter_values(0..profiles.len() as u32))),
        ("as_of", times(vec![Some(as_of); profiles.len()])),
        ("identifiers", identifiers(profiles)),
        ("consent", text(|p| &p.consent)),
        ("attr.crm.country", coded(&country, &COUNTRIES, random)),
        ("attr.crm.city", text(|p| &p.city)),
        ("attr.crm.age", Arc::new(profiles.iter().map(|p| p.age).collect::<Int64Array>())),
        ("attr.crm.score", Arc::new(profiles.iter().map(|p| p.score).collect::<Float64Array>())),
        ("attr.crm.optin", Arc::new(profiles.iter().map(|p| p.optin).collect::<BooleanArray>())),
        ("attr.crm.since", times(profiles.iter().map(|p| p.since).collect())),
        ("in.vip", Arc::new(profiles.iter().map(|p| p.vip).collect::<BooleanArray>())),
        ("events", Arc::new(list)),
    ];
    let fields: Fields =
        columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, c)| c).collect())
        .unwrap()
}

trait TypeOf {
    fn data_type_of(&self) -> DataType;
}

impl TypeOf for StructArray {
    fn data_type_of(&self) -> DataType {
        DataType::Struct(self.fields().clone())
    }
}

fn structs(events: &[&Event], random: &mut Random) -> StructArray {
    let text = |value: fn(&Event) -> &Option<String>| -> Vec<Option<&str>> {
        events.iter().map(|e| value(e).as_deref()).collect()
    };
    let times = |values: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values).with_timezone("+00:00"))
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("event_time", times(events.iter().map(|e| Some(e.time)).collect())),
        ("event", coded(&text(|e| &e.event), &EVENTS, random)),
        ("category", coded(&text(|e| &e.category), &CATEGORIES, random)),
        ("url", Arc::new(text(|e| &e.url).into_iter().collect::<StringArray>())),
        ("amount", Arc::new(events.iter().map(|e| e.amount).collect::<Float64Array>())),
        ("quantity", whole(events.iter().map(|e| e.quantity).collect(), random)),
        ("paid", Arc::new(events.iter().map(|e| e.paid).collect::<BooleanArray>())),
        ("shipped", times(events.iter().map(|e| e.shipped).collect())),
        ("interest_path", coded(&text(|e| &e.path), &PATHS, random)),
    ];
    let fields: Fields = columns
        .iter()
        .map(|(name, c)| Field::new(*name, c.data_type().clone(), *name != "event_time"))
        .collect();
    StructArray::new(fields, columns.into_iter().map(|(_, c)| c).collect(), None)
}

/// In some width that all of them fit in.
fn whole(values: Int64Array, random: &mut Random) -> ArrayRef {
    use DataType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32};
    let width = random.pick(&[Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32]);
    let narrow = arrow::compute::cast(&values, &width).unwrap();
    // What does not fit becomes null.
    if narrow.null_count() == arrow::array::Array::null_count(&values) { narrow } else { Arc::new(values) }
}

fn coded(values: &[Option<&str>], known: &[&str], random: &mut Random) -> ArrayRef {
    let mut dictionary: Vec<Option<&str>> = known.iter().chain(known).map(|v| Some(*v)).collect();
    dictionary.extend([None, Some("unused")]);
    let unused = (0..random.below(300)).map(|_| Some("more"));
    let small = random.chance(50);
    if !small {
        dictionary.extend(unused);
    }
    let mut code = |value: &Option<&str>| match value {
        Some(value) => {
            let first = known.iter().position(|k| k == value).unwrap();
            Some(if random.chance(30) { first + known.len() } else { first })
        }
        None if random.chance(30) => Some(known.len() * 2),
        None => None,
    };
    let codes: Vec<Option<usize>> = values.iter().map(&mut code).collect();
    let dictionary = Arc::new(StringArray::from(dictionary));
    if small {
        let keys: UInt8Array = codes.into_iter().map(|c| c.map(|c| c as u8)).collect();
        return Arc::new(DictionaryArray::<UInt8Type>::new(keys, dictionary));
    }
    let keys: UInt32Array = codes.into_iter().map(|c| c.map(|c| c as u32)).collect();
    Arc::new(DictionaryArray::<UInt32Type>::new(keys, dictionary))
}

fn identifiers(profiles: &[Profile]) -> ArrayRef {
    let names: Vec<&str> = profiles.iter().flat_map(|p| &p.namespaces).map(String::as_str).collect();
    let values = StringArray::from(vec!["x"; names.len()]);
    let DataType::List(item) = columns::profile::identifiers() else { unreachable!() };
    let DataType::Struct(fields) = item.data_type() else { unreachable!() };
    let pairs =
        StructArray::new(fields.clone(), vec![Arc::new(StringArray::from(names)), Arc::new(values)], None);
    let offsets = OffsetBuffer::from_lengths(profiles.iter().map(|p| p.namespaces.len()));
    Arc::new(ListArray::new(item, offsets, Arc::new(pairs), None))
}

/// Only the columns asked for, in another order.
pub(crate) fn project(batch: &RecordBatch, needs: &Needs) -> RecordBatch {
    let mut fields = Vec::new();
    let mut kept: Vec<ArrayRef> = Vec::new();
    let schema = batch.schema();
    for (field, column) in schema.fields().iter().zip(batch.columns()).rev() {
        if ["profile", "as_of"].contains(&field.name().as_str()) || needs.columns.contains(field.name()) {
            fields.push(Arc::clone(field));
            kept.push(Arc::clone(column));
        } else if field.name() == "events" {
            use arrow::array::AsArray;
            let list = column.as_list::<i32>();
            let rows = list.values().as_struct();
            let names: Vec<&String> = needs.columns.iter().filter(|c| c.starts_with("events.")).collect();
            if names.is_empty() {
                continue;
            }
            let index = |name: &String| {
                rows.fields().iter().position(|f| *f.name() == name["events.".len()..]).unwrap()
            };
            let picked: Vec<usize> = names.into_iter().map(index).collect();
            let inner: Fields = picked.iter().map(|&i| Arc::clone(&rows.fields()[i])).collect();
            let rows =
                StructArray::new(inner, picked.iter().map(|&i| Arc::clone(rows.column(i))).collect(), None);
            let item = Arc::new(Field::new("item", rows.data_type_of(), false));
            let list = ListArray::new(item, list.offsets().clone(), Arc::new(rows), list_nulls(list));
            fields.push(Arc::new(Field::new("events", arrow::array::Array::data_type(&list).clone(), true)));
            kept.push(Arc::new(list));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), kept).unwrap()
}

fn list_nulls(list: &ListArray) -> Option<NullBuffer> {
    arrow::array::Array::nulls(list).cloned()
}

//! Events per second of one pass: 1 million events, 100,000 profiles, 12 rules. `cargo bench -p kindred-plugin-rules`.

use arrow::{
    array::{
        ArrayRef, DictionaryArray, Float64Array, ListArray, RecordBatch, StringArray, StructArray,
        TimestampMicrosecondArray, UInt32Array,
    },
    buffer::OffsetBuffer,
    datatypes::{Field, Fields, Schema, UInt32Type},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kindred_plugin_api::{Context, Segment, Segmentation, columns::timestamp};
use kindred_plugin_rules::{Config, Rules};
use std::{hint::black_box, sync::Arc};

const PROFILES: usize = 100_000;
const EVENTS: usize = 1_000_000;
const DAY: i64 = 86_400_000_000;
const AS_OF: i64 = 20_000 * DAY;

const RULES: [&str; 12] = [
    "did(TRUE, '7 days')",
    "count(event = 'detail' AND category = 'electronics', '30 days') >= 5",
    "did(event = 'cart', '7 days') AND NOT did(event = 'purchase', '7 days')",
    "count(event = 'purchase') >= 3 AND sum(price, event = 'purchase') >= 500",
    "days_since(event = 'purchase') > 60",
    "did(event = 'click' AND category LIKE 'win%', '14 days') AND attr('crm.country') IN ('DE', 'AT')",
    "did(event = 'purchase', '90 days', '30 days') AND NOT did(event = 'purchase', '30 days')",
    "count(event IN ('view', 'detail') AND category = 'coats', '14 days') >= 3 OR did(event = 'search', '3 days')",
    "count(event = 'impression', '7 days') >= 3 AND NOT did(event = 'click', '7 days')",
    "count_distinct(category, TRUE, '30 days') >= 4",
    "avg(price, event = 'purchase') > 100 AND attr('crm.country') IS NOT NULL",
    "last(category, event = 'view') = 'coats' AND NOT in_segment('0')",
];

fn evaluate(c: &mut Criterion) {
    let segments = RULES.iter().enumerate().map(|(index, rule)| Segment {
        name: index.to_string(),
        config: Config { rule: (*rule).to_owned() },
    });
    let batch = batch();
    let plugin = Rules::open(segments.collect(), Context::detached(".")).and_then(|mut plugin| {
        plugin.plan(&batch.schema())?;
        plugin.bind(batch.schema())?;
        Ok(plugin)
    });
    let Ok(mut plugin) = plugin else { panic!("the rules of the bench do not open") };
    let mut group = c.benchmark_group("evaluate");
    group.sample_size(20).throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("12 rules, one batch", |b| {
        b.iter(|| black_box(plugin.evaluate(&batch).map(|a| a.rows())))
    });
    group.bench_function("12 rules, batches of 4,096 profiles", |b| {
        b.iter(|| {
            for start in (0..PROFILES).step_by(4_096) {
                let part = batch.slice(start, 4_096.min(PROFILES - start));
                black_box(plugin.evaluate(&part).map(|a| a.rows())).ok();
            }
        });
    });
}

fn batch() -> RecordBatch {
    let mut state = 1_u64;
    let mut random = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let mut offsets = vec![0_i32];
    let mut times: Vec<i64> = Vec::with_capacity(EVENTS);
    for profile in 1..=PROFILES {
        let start = times.len();
        let end = if profile == PROFILES { EVENTS } else { (start + random(20) as usize).min(EVENTS) };
        times.extend((start..end).map(|_| AS_OF - random(90 * 86_400) as i64 * 1_000_000));
        times[start..].sort_unstable();
        offsets.push(times.len() as i32);
    }
    let mut coded = |rows: usize, values: &[&str]| -> ArrayRef {
        let keys: UInt32Array = (0..rows).map(|_| Some(random(values.len() as u64) as u32)).collect();
        Arc::new(DictionaryArray::<UInt32Type>::new(keys, Arc::new(StringArray::from(values.to_vec()))))
    };
    let names =
        ["view", "impression", "click", "detail", "search", "cart", "login", "purchase", "logout", "share"];
    let categories = ["electronics", "coats", "winter", "tents", "books", "toys", "garden", "shoes"];
    let (event, category) = (coded(EVENTS, &names), coded(EVENTS, &categories));
    let country = coded(PROFILES, &["DE", "AT", "FR", "US"]);
    let price: ArrayRef =
        Arc::new((0..EVENTS).map(|i| (i % 3 == 0).then_some((i % 400) as f64)).collect::<Float64Array>());
    let stamps = |values: Vec<i64>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values).with_timezone("+00:00"))
    };
    let events = structs(vec![
        ("event_time", stamps(times)),
        ("event", event),
        ("category", category),
        ("price", price),
    ]);
    let item =
        Arc::new(Field::new("item", arrow::datatypes::DataType::Struct(events.fields().clone()), false));
    let list = ListArray::new(item, OffsetBuffer::new(offsets.into()), Arc::new(events), None);
    let as_of = stamps(vec![AS_OF; PROFILES]);
    debug_assert_eq!(*arrow::array::Array::data_type(&as_of), timestamp());
    let columns: Vec<(&str, ArrayRef)> =
        vec![("as_of", as_of), ("attr.crm.country", country), ("events", Arc::new(list))];
    let fields: Fields = fields(&columns);
    match RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, c)| c).collect()) {
        Ok(batch) => batch,
        Err(error) => panic!("{error}"),
    }
}

fn structs(columns: Vec<(&str, ArrayRef)>) -> StructArray {
    StructArray::new(fields(&columns), columns.into_iter().map(|(_, column)| column).collect(), None)
}

fn fields(columns: &[(&str, ArrayRef)]) -> Fields {
    columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect()
}

criterion_group!(benches, evaluate);
criterion_main!(benches);

//! A pass over batches of 4,096 profiles, with the rules of `tests/benches/audiences` and events like its events: sessions,
//! many profiles with few events and few with many. `cargo bench -p kindred-plugin-rules`.

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, DictionaryArray, Int64Array, ListArray, RecordBatch, StringArray,
        StructArray, TimestampMicrosecondArray, UInt8Array, UInt32Array,
    },
    buffer::OffsetBuffer,
    compute::cast,
    datatypes::{DataType, Field, Fields, Schema, UInt8Type, UInt32Type},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kindred_plugin_api::{Context, Result, Segment, Segmentation};
use kindred_plugin_rules::{Config, Rules};
use std::{hint::black_box, sync::Arc};

const BATCHES: usize = 24;
const PROFILES: usize = 4_096;
const EVENTS: usize = 41_000;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
const AS_OF: i64 = 20_000 * DAY;

/// What events are, with how many of a thousand are so.
const NAMES: [(&str, u64); 10] = [
    ("page_view", 378),
    ("impression", 216),
    ("product_view", 215),
    ("search", 62),
    ("click", 43),
    ("add_to_cart", 31),
    ("login", 18),
    ("email_open", 13),
    ("checkout", 12),
    ("purchase", 12),
];

const RULES: [&str; 10] = [
    "did(TRUE, '7 days')",
    "count(event = 'product_view' AND category = 'c0', '30 days') >= 5",
    "did(event = 'add_to_cart', '7 days') AND (NOT did(event = 'purchase')
       OR days_since(event = 'purchase') > days_since(event = 'add_to_cart'))",
    "count(event = 'purchase', '90 days') >= 3 AND sum(price, event = 'purchase', '90 days') >= 50000",
    "did(event = 'click' AND campaign_id = 17, '14 days') AND attr('crm.country') IN ('DE', 'FR')
       AND attr('crm.age') BETWEEN 25 AND 44 AND attr('crm.email_opt_in')",
    "did(event = 'purchase') AND NOT did(event = 'purchase', '30 days') AND did(event = 'page_view', '30 days')",
    "(count(category = 'c1' AND event IN ('page_view', 'product_view'), '14 days') >= 3
       OR did(category = 'c1' AND event = 'search', '3 days'))
       AND NOT did(category = 'c1' AND event = 'purchase', '30 days')
       AND NOT (attr('crm.loyalty_tier') = 'gold' AND attr('crm.country') = 'US') IS TRUE",
    "count(event = 'impression' AND campaign_id = 5, '7 days') >= 3
       AND NOT did(event = 'click' AND campaign_id = 5, '7 days')",
    "sequence(event = 'click' THEN event = 'purchase' WITHIN '3 days')",
    "count_distinct(device, TRUE, '30 days') >= 2 AND count_distinct_days(TRUE, '30 days') >= 3",
];

/// About everybody.
const MODELS: [&str; 2] = [
    "percentile(sum(price, event = 'purchase', '90 days')) >= 99",
    "count_distinct_days(TRUE, '30 days') >= 4 AND NOT attr('crm.email_opt_in')
       AND sum(price, event = 'purchase') * total(count(event = 'purchase'))
         >= total(sum(price, event = 'purchase')) * count(event = 'purchase')",
];

fn pass(c: &mut Criterion) {
    let mut random = Random(1);
    let batches: Vec<RecordBatch> = (0..BATCHES).map(|_| batch(&mut random)).collect();
    let mut group = c.benchmark_group("pass");
    group.sample_size(20).throughput(Throughput::Elements((BATCHES * EVENTS) as u64));
    let Ok(mut rules) = open(&RULES, &batches[0]) else { panic!("the rules of the bench do not open") };
    let evaluate = |plugin: &mut Rules| -> usize {
        batches.iter().map(|batch| black_box(plugin.evaluate(batch)).map_or(0, |answer| answer.rows())).sum()
    };
    group.bench_function("ten rules", |b| b.iter(|| evaluate(&mut rules)));
    let Ok(mut models) = open(&MODELS, &batches[0]) else { panic!("the models of the bench do not open") };
    group.bench_function("two models, observed", |b| {
        b.iter(|| {
            batches.iter().filter(|batch| models.observe(batch).is_ok()).count()
                + usize::from(models.fit().is_ok())
        });
    });
    group.bench_function("two models, evaluated", |b| b.iter(|| evaluate(&mut models)));
}

fn open(rules: &[&str], batch: &RecordBatch) -> Result<Rules> {
    let segment = |(index, rule): (usize, &&str)| Segment {
        name: index.to_string(),
        config: Config { rule: (*rule).to_owned() },
    };
    let mut plugin = Rules::open(rules.iter().enumerate().map(segment).collect(), Context::detached("."))?;
    plugin.plan(&batch.schema())?;
    plugin.bind(batch.schema())?;
    Ok(plugin)
}

/// Knuth's generator: the same data in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn name(&mut self) -> usize {
        let mut left = self.below(1_000) as u64;
        NAMES
            .iter()
            .position(|(_, share)| {
                let here = left < *share;
                left = left.wrapping_sub(*share);
                here
            })
            .unwrap_or(0)
    }
}

/// Ascending: sessions of a few minutes.
fn sessions(random: &mut Random, count: usize) -> Vec<i64> {
    let mut times = Vec::with_capacity(count);
    while times.len() < count {
        let start = AS_OF - random.below(90 * 86_400) as i64 * SECOND;
        let length = (2 + random.below(5)).min(count - times.len()) as i64;
        times.extend((0..length).map(|at| (start + at * 45 * SECOND).min(AS_OF)));
    }
    times.sort_unstable();
    times
}

fn batch(random: &mut Random) -> RecordBatch {
    let mut times: Vec<i64> = Vec::with_capacity(EVENTS);
    let mut offsets = vec![0_i32];
    for profile in 1..=PROFILES {
        // Half of all have up to seven, and few have hundreds.
        let count = 1 + random.below(7) + ((1 << 16) / (256 + random.below(1 << 16))).min(200);
        let left = EVENTS - times.len();
        let count = if profile == PROFILES { left } else { count.min(left) };
        times.extend(sessions(random, count));
        offsets.push(times.len() as i32);
    }
    let names: Vec<usize> = (0..EVENTS).map(|_| random.name()).collect();
    // As narrow as a store keeps them.
    let mut numbers = |those: [&str; 4], bound: usize, kind: DataType| -> ArrayRef {
        let held = |at: usize| those.contains(&NAMES[names[at]].0);
        let wide: Int64Array = (0..EVENTS).map(|at| held(at).then(|| random.below(bound) as i64)).collect();
        match cast(&wide, &kind) {
            Ok(numbers) => numbers,
            Err(error) => panic!("{error}"),
        }
    };
    let price = numbers(["product_view", "add_to_cart", "checkout", "purchase"], 30_000, DataType::Int16);
    let campaign = numbers(["impression", "click", "email_open", ""], 200, DataType::UInt8);
    let categories: Vec<String> = (0..30).map(|at| format!("c{at}")).collect();
    let categories: Vec<&str> = categories.iter().map(String::as_str).collect();
    let events = structs(vec![
        ("event_time", stamps(times)),
        ("event", narrow(names.iter().copied(), &NAMES.map(|(name, _)| name))),
        ("category", narrow((0..EVENTS).map(|_| random.below(30)), &categories)),
        ("price", price),
        ("campaign_id", campaign),
        ("device", narrow((0..EVENTS).map(|_| random.below(4)), &["mobile", "desktop", "tablet", "ctv"])),
    ]);
    let item = Arc::new(Field::new("item", events.data_type().clone(), false));
    let list = ListArray::new(item, OffsetBuffer::new(offsets.into()), Arc::new(events), None);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("profile", Arc::new(UInt32Array::from_iter_values(0..PROFILES as u32))),
        ("as_of", stamps(vec![AS_OF; PROFILES])),
        ("attr.crm.country", coded((0..PROFILES).map(|_| random.below(4)), &["DE", "AT", "FR", "US"])),
        ("attr.crm.loyalty_tier", coded((0..PROFILES).map(|_| random.below(3)), &["none", "silver", "gold"])),
        (
            "attr.crm.age",
            Arc::new(Int64Array::from_iter_values((0..PROFILES).map(|_| random.below(90) as i64))),
        ),
        (
            "attr.crm.email_opt_in",
            Arc::new((0..PROFILES).map(|_| Some(random.below(2) == 0)).collect::<BooleanArray>()),
        ),
        ("events", Arc::new(list)),
    ];
    let schema = Arc::new(Schema::new(fields(&columns)));
    match RecordBatch::try_new(schema, columns.into_iter().map(|(_, column)| column).collect()) {
        Ok(batch) => batch,
        Err(error) => panic!("{error}"),
    }
}

fn coded(codes: impl Iterator<Item = usize>, values: &[&str]) -> ArrayRef {
    let keys = UInt32Array::from_iter_values(codes.map(|code| code as u32));
    Arc::new(DictionaryArray::<UInt32Type>::new(keys, Arc::new(StringArray::from(values.to_vec()))))
}

fn narrow(codes: impl Iterator<Item = usize>, values: &[&str]) -> ArrayRef {
    let keys = UInt8Array::from_iter_values(codes.map(|code| code as u8));
    Arc::new(DictionaryArray::<UInt8Type>::new(keys, Arc::new(StringArray::from(values.to_vec()))))
}

fn stamps(values: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values).with_timezone("+00:00"))
}

fn structs(columns: Vec<(&str, ArrayRef)>) -> StructArray {
    StructArray::new(fields(&columns), columns.into_iter().map(|(_, column)| column).collect(), None)
}

fn fields(columns: &[(&str, ArrayRef)]) -> Fields {
    columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect()
}

criterion_group!(benches, pass);
criterion_main!(benches);

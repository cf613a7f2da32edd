//! Profile batches, and the calls that a host makes.

mod behaviour;
mod retail;

use crate::{Config, Lookalike};
use arrow::{
    array::{
        BooleanArray, DictionaryArray, Float64Array, ListArray, StringArray, StructArray,
        TimestampMicrosecondArray, UInt32Array,
    },
    buffer::OffsetBuffer,
    datatypes::UInt32Type,
};
use kindred_plugin_api::{columns::profile, prelude::*};
use std::sync::Arc;

const DAY: i64 = 86_400_000_000;
/// 2026-01-01.
const AS_OF: i64 = 20_454 * DAY;

/// One event: time, name, category, amount.
type Event = (i64, &'static str, Option<&'static str>, Option<f64>);

/// One row of a batch.
#[derive(Clone, Debug, Default)]
struct Profile {
    number: u32,
    in_seed: bool,
    age: Option<f64>,
    city: Option<&'static str>,
    events: Vec<Event>,
}

/// The batch that a host would send.
fn batch(profiles: &[Profile]) -> RecordBatch {
    let as_of = TimestampMicrosecondArray::from(vec![AS_OF; profiles.len()]).with_timezone("+00:00");
    let columns: Vec<(&str, ArrayRef)> = vec![
        (profile::PROFILE, Arc::new(profiles.iter().map(|p| p.number).collect::<UInt32Array>())),
        (profile::AS_OF, Arc::new(as_of)),
        ("in.vip", Arc::new(profiles.iter().map(|p| Some(p.in_seed)).collect::<BooleanArray>())),
        ("attr.crm.age", Arc::new(profiles.iter().map(|p| p.age).collect::<Float64Array>())),
        ("attr.crm.city", Arc::new(profiles.iter().map(|p| p.city).collect::<StringArray>())),
        (profile::EVENTS, Arc::new(events(profiles))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

fn events(profiles: &[Profile]) -> ListArray {
    let all: Vec<Event> = profiles.iter().flat_map(|p| &p.events).copied().collect();
    let time = TimestampMicrosecondArray::from_iter_values(all.iter().map(|e| e.0)).with_timezone("+00:00");
    let name: DictionaryArray<UInt32Type> = all.iter().map(|e| Some(e.1)).collect();
    let category: DictionaryArray<UInt32Type> = all.iter().map(|e| e.2).collect();
    let amount: Float64Array = all.iter().map(|e| e.3).collect();
    let columns: [(&str, ArrayRef); 4] = [
        ("event_time", Arc::new(time)),
        ("event", Arc::new(name)),
        ("category", Arc::new(category)),
        ("amount", Arc::new(amount)),
    ];
    let fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
    let fields = arrow::datatypes::Fields::from(fields.collect::<Vec<_>>());
    let items = StructArray::new(fields.clone(), columns.into_iter().map(|(_, array)| array).collect(), None);
    let item = Arc::new(Field::new("item", DataType::Struct(fields), false));
    ListArray::new(
        item,
        OffsetBuffer::from_lengths(profiles.iter().map(|p| p.events.len())),
        Arc::new(items),
        None,
    )
}

/// Options from JSON.
fn config(json: &str) -> Config {
    let config: Config = serde_json::from_str(json).unwrap();
    assert_eq!(Lookalike::validate(&config), []);
    config
}

/// An instance of one segment, opened, planned and bound.
fn opened(config: Config, state: Option<Vec<u8>>) -> Lookalike {
    let context = Context::detached(".").with_state(state);
    let segments = vec![Segment { name: "like-vip".into(), config }];
    let mut plugin = Lookalike::open(segments, context).unwrap();
    let schema = batch(&[]).schema();
    plugin.plan(&schema).unwrap();
    plugin.bind(schema).unwrap();
    plugin
}

/// A training pass over batches of so many profiles.
fn fitted(config: Config, profiles: &[Profile], size: usize) -> (Lookalike, Fitted) {
    let mut plugin = opened(config, None);
    profiles.chunks(size).for_each(|some| plugin.observe(&batch(some)).unwrap());
    let fitted = plugin.fit().unwrap();
    (plugin, fitted)
}

/// The numbers of the profiles in the audience.
fn members(plugin: &mut Lookalike, profiles: &[Profile]) -> Vec<u32> {
    let answer = plugin.evaluate(&batch(profiles)).unwrap();
    assert_eq!(answer.rows(), profiles.len());
    let is_member = |row: usize| {
        let (ordinals, next_change) = answer.row(row);
        assert_eq!(next_change, None);
        ordinals == [0]
    };
    profiles.iter().enumerate().filter(|(row, _)| is_member(*row)).map(|(_, p)| p.number).collect()
}

/// A figure of a report.
fn figure(report: &Report, name: &str) -> f64 {
    report.figures.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no {name} in {report:?}")).1
}

/// Random numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    /// Below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Profiles that all buy alike, but the seed (one in six) and its unknown likes (another one in six) buy for pets.
fn shop(count: u32) -> Vec<Profile> {
    let mut dice = Dice(7);
    (0..count).map(|number| shopper(number, &mut dice)).collect()
}

fn shopper(number: u32, dice: &mut Dice) -> Profile {
    let likes_pets = number.is_multiple_of(3);
    let mut events: Vec<Event> = (0..8 + dice.roll(15))
        .map(|_| {
            let pets = dice.roll(100) < if likes_pets { 35 } else { 4 };
            let others = ["dairy", "fruit", "bread", "wine"][dice.roll(4) as usize];
            let time = AS_OF - dice.roll(90 * 24) as i64 * DAY / 24;
            (time, "purchase", Some(if pets { "pets" } else { others }), Some(dice.roll(50) as f64 + 1.0))
        })
        .collect();
    events.sort_by_key(|e| e.0);
    let city = ["Ulm", "Bonn", "Kiel"][dice.roll(3) as usize];
    Profile {
        number,
        in_seed: number.is_multiple_of(6),
        age: (dice.roll(5) > 0).then(|| 20.0 + dice.roll(50) as f64),
        city: Some(city),
        events,
    }
}

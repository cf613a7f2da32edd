//! Steps of made-up events, to see how long one takes: from the moment that a batch is there until what it changed in
//! the audiences is durable. They take the way of a run; only the reading is left out.

use super::{
    Observer, Run,
    bound::Bound,
    chain::{Carried, Chain},
    load::Load,
    moment,
};
use crate::{
    Error, Result,
    config::{ConsentDefault, Pipeline, Source},
    plugin::registry::Registry,
    store::{Store, span::Span},
};
use arrow::{
    array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array},
    compute::{cast, take},
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef},
};
use kindred_plugin_api::columns::{EVENT, EVENT_ID, EVENT_TIME, ID, profile::SOURCE, timestamp};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::Sender;

/// Profiles that are looked at together.
const BATCH: usize = 65_536;

/// How events are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Draw {
    /// Every stored event is as likely: profiles with many events come often, as in life.
    Events,
    /// Every profile is as likely, and then every event of it.
    Profiles,
}

/// How long steps took.
#[derive(Clone, Debug, Default)]
pub struct Drilled {
    /// The first step, which also reads the ids of earlier events.
    pub first: Duration,
    /// Each of the others.
    pub steps: Vec<Duration>,
    /// Times that a profile entered an audience or left one.
    pub moved: u64,
}

/// Takes steps on the store of a pipeline, which is changed by it. Each event is a stored one, drawn by chance, that
/// happens again now: to the same profile, of the same name, with the same properties.
///
/// # Errors
/// When the store holds no events, or a step fails.
pub fn drill(
    pipeline: &Pipeline,
    registry: &Registry,
    steps: u32,
    (events, draw): (u32, Draw),
) -> Result<Drilled> {
    let pipeline = Pipeline { sources: Vec::new(), ..pipeline.clone() };
    let mut run = Run::open(&pipeline, registry, &Silent, Store::existing(&pipeline.store)?)?;
    let mut stock = Stock::new(&run.store)?;
    let source = Source { name: "bench".into(), consent: ConsentDefault::Granted, ..Source::default() };
    let bound = Bound::new(&mut run.store, &source, &stock.schema, &pipeline.raw_identifiers)?;
    let (chain, feed) = Chain::fed(source, stock.schema.clone());
    run.chains.push((chain, bound));
    let mut drilled = Drilled::default();
    for number in 0..=steps {
        let batch = stock.draw(&mut run, events, draw)?;
        let before = run.segments.members().clone();
        let took = step(&mut run, &feed, batch)?;
        if number == 0 {
            drilled.first = took;
            continue;
        }
        drilled.steps.push(took);
        let members = run.segments.members();
        drilled.moved += before.iter().map(|(name, was)| (was ^ &members[name]).len()).sum::<u64>();
    }
    Ok(drilled)
}

fn step(run: &mut Run<'_>, feed: &Sender<Carried>, batch: RecordBatch) -> Result<Duration> {
    let load = Load::of(batch);
    let begun = Instant::now();
    feed.blocking_send(Carried::Rows(load))
        .map_err(|_| Error::NotFound("the step does not take rows".into()))?;
    let mut step = run.begin();
    run.read(&mut [true], &mut step)?;
    run.finish(step)?;
    Ok(begun.elapsed())
}

struct Silent;

impl Observer for Silent {
    fn rows(&self, _read: u64, _backlog: u64) {}
    fn stage(&self, _stage: &str) {}
}

/// What events are drawn from.
struct Stock {
    /// Of the batches that are made.
    schema: SchemaRef,
    /// Namespaces of the identifiers, in the order of the schema.
    namespaces: Vec<String>,
    /// Event columns, in the order of the schema.
    fields: Fields,
    profiles: Vec<u32>,
    /// Events up to and with each profile.
    ends: Vec<u64>,
    chance: u64,
    /// Of the last event, so that none comes twice.
    id: u64,
}

impl Stock {
    fn new(store: &Store) -> Result<Self> {
        let profiles: Vec<u32> = store.identity.all().iter().collect();
        let mut namespaces = BTreeSet::new();
        for profile in profiles.iter().step_by(profiles.len() / 1_000 + 1) {
            let record = store.profiles.get(&store.tables, *profile)?;
            namespaces.extend(record.identifiers.into_iter().map(|(namespace, _)| namespace));
        }
        let names = store.columns.types().keys().filter(|name| *name != SOURCE);
        let fields: Fields = names.filter_map(|name| store.columns.field(name)).collect();
        let shown = |field: &FieldRef| {
            let name = field.name();
            let kind = store.columns.types().get(name).map_or(DataType::Utf8, |kind| kind.plain());
            Field::new(name, kind, true)
        };
        let ids =
            namespaces.iter().map(|namespace| Field::new(format!("{ID}{namespace}"), DataType::Utf8, true));
        let id = Field::new(EVENT_ID, DataType::Utf8, false);
        let schema: Schema =
            Schema::new([id].into_iter().chain(ids).chain(fields.iter().map(shown)).collect::<Vec<_>>());
        let (ends, chance, id) = (Vec::new(), 0x9e37_79b9_7f4a_7c15, crate::clock::now_us().cast_unsigned());
        let namespaces = namespaces.into_iter().collect();
        Ok(Self { schema: Arc::new(schema), namespaces, fields, profiles, ends, chance, id })
    }

    /// A batch of events that happen now.
    fn draw(&mut self, run: &mut Run<'_>, events: u32, draw: Draw) -> Result<RecordBatch> {
        let store = &mut run.store;
        if self.ends.is_empty() {
            self.count(store)?;
        }
        let Some(all) = self.ends.last().copied().filter(|all| *all > 0) else {
            return Err(Error::NotFound("there are no events in the store: run the pipeline first".into()));
        };
        // Numbers of events, which ascend with the profiles.
        let mut drawn: Vec<u64> = match draw {
            Draw::Events => (0..events).map(|_| self.random() % all).collect(),
            Draw::Profiles => self.of_profiles(events),
        };
        drawn.sort_unstable();
        let owner = |number: u64| self.ends.partition_point(|end| *end <= number);
        let owners: Vec<usize> = drawn.iter().map(|number| owner(*number)).collect();
        let mut wanted = owners.clone();
        wanted.dedup();
        let profiles: Vec<u32> = wanted.iter().map(|at| self.profiles[*at]).collect();
        let gathered =
            store.events.gather(&profiles, &store.identity, &self.fields, &ever(), &store.columns)?;
        let offsets = gathered.events.value_offsets();
        let mut rows = Vec::with_capacity(drawn.len());
        let mut texts = vec![Vec::with_capacity(drawn.len()); self.namespaces.len()];
        let mut list = 0;
        for (number, owner) in drawn.iter().zip(&owners) {
            list += usize::from(wanted[list] != *owner);
            let first = owner.checked_sub(1).map_or(0, |before| self.ends[before]);
            rows.push(offsets[list].cast_unsigned() + (number - first) as u32);
            let record = store.profiles.get(&store.tables, profiles[list])?;
            for (texts, namespace) in texts.iter_mut().zip(&self.namespaces) {
                let own = record.identifiers.iter().find(|(own, _)| own == namespace);
                texts.push(own.map(|(_, value)| value.clone()));
            }
        }
        let ids = (self.id + 1..).take(rows.len()).map(|id| id.to_string());
        let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(ids))];
        self.id += rows.len() as u64;
        columns.extend(texts.into_iter().map(|texts| Arc::new(StringArray::from(texts)) as ArrayRef));
        let now_us = moment(run.pipeline, store).as_of_us;
        let rows = UInt32Array::from(rows);
        for (field, values) in self.fields.iter().zip(gathered.events.values().as_struct().columns()) {
            columns.push(if field.name() == EVENT_TIME {
                let times = TimestampMicrosecondArray::from_value(now_us, rows.len());
                cast(&times.with_timezone("+00:00"), &timestamp())?
            } else {
                let kind = self.schema.field_with_name(field.name())?.data_type();
                cast(&take(values, &rows, None)?, kind)?
            });
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    /// Numbers of events of profiles that have any.
    fn of_profiles(&mut self, events: u32) -> Vec<u64> {
        let mut drawn = Vec::with_capacity(events as usize);
        while drawn.len() < events as usize {
            let at = self.random() as usize % self.profiles.len();
            let first = at.checked_sub(1).map_or(0, |before| self.ends[before]);
            let own = self.ends[at] - first;
            if own > 0 {
                drawn.push(first + self.random() % own);
            }
        }
        drawn
    }

    /// Counts the events of every profile.
    fn count(&mut self, store: &mut Store) -> Result<()> {
        let fields: Fields = self.fields.iter().filter(|field| field.name() == EVENT).cloned().collect();
        let mut end = 0;
        for profiles in self.profiles.chunks(BATCH) {
            let gathered =
                store.events.gather(profiles, &store.identity, &fields, &ever(), &store.columns)?;
            for lengths in gathered.events.value_offsets().windows(2) {
                end += (lengths[1] - lengths[0]) as u64;
                self.ends.push(end);
            }
        }
        Ok(())
    }

    /// splitmix64: the same events in every drill.
    fn random(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn ever() -> Span {
    Span::after(i64::MIN)
}

//! Events of visitors who view and buy, taken into a store in the way of a step.

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{Field, Schema, TimestampMicrosecondType},
};
use kindred_core::{
    config::{ConsentDefault, Source},
    step::{bound::Bound, gathering::Gathering, load::Load},
    store::{Store, span::Span},
};
use roaring::RoaringBitmap;
use std::sync::Arc;

pub(crate) const HOUR: i64 = 3_600_000_000;
/// A day in 2026, so that times are times.
pub(crate) const START: i64 = 20_500 * 24 * HOUR;

/// One event: who, hours behind the start, whether it is a view.
pub(crate) type Event = (u8, i64, bool);

/// Takes events of source `web` in and commits them; their ids are made of `batch` and their place. Answers who was
/// touched.
#[allow(dead_code, reason = "not every test asks")]
pub(crate) fn take(store: &mut Store, batch: usize, events: &[Event]) -> RoaringBitmap {
    take_from(store, "web", batch, events)
}

/// The same from any source.
pub(crate) fn take_from(store: &mut Store, source: &str, batch: usize, events: &[Event]) -> RoaringBitmap {
    let source = Source {
        name: source.into(),
        plugin: "cookies".into(),
        consent: ConsentDefault::Granted,
        ..Source::default()
    };
    let text = |of: &dyn Fn(usize, &Event) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(events.iter().enumerate().map(|(n, e)| of(n, e))))
    };
    let times = TimestampMicrosecondArray::from_iter_values(events.iter().map(|e| START + e.1 * HOUR));
    let columns: [(&str, ArrayRef); 4] = [
        ("event_id", text(&|n, _| format!("{batch} {n}"))),
        ("event_time", Arc::new(times.with_timezone("+00:00"))),
        ("event", text(&|_, e| if e.2 { "view" } else { "buy" }.to_owned())),
        ("id.cookie", text(&|_, e| e.0.to_string())),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let mut gathering = Gathering::default();
    let bound = Bound::new(store, &source, &batch.schema(), &[]).unwrap();
    bound.take(store, &Load::of(batch), &mut gathering, &mut Vec::new()).unwrap();
    let mut change = store.tables.change();
    let segment = gathering.segment(&store.columns).unwrap();
    let staged = store.stage(&mut change, segment, &Span::after(i64::MIN)).unwrap();
    store.commit(change, staged).unwrap();
    gathering.touched
}

/// The times of a profile's events, in hours behind the start.
#[allow(dead_code, reason = "not every test asks")]
pub(crate) fn hours(events: &ArrayRef) -> Vec<i64> {
    let times = events.as_struct().column_by_name("event_time").unwrap();
    let times = times.as_primitive::<TimestampMicrosecondType>().values().iter();
    times.map(|us| (us - START) / HOUR).collect()
}

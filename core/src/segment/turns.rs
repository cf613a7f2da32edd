//! Since when a profile is in a segment or out of it, and until when, if nothing new happens.
//!
//! Nothing is kept for this: the same evaluator is asked again for earlier and for later moments. Backwards, it is
//! asked at each event of the profile and, between two events, at each moment that the evaluator itself names as its
//! next change; forwards likewise. So the answer is in event time: the moment at which the definition became true of
//! what happened, not the one at which a row of it arrived. Attributes, consent, and segments of other plugins count as
//! they are known now.

use super::{Glimpse, Segments, batch};
use crate::{Result, profile::batch::Moment, store::Store};
use arrow::{array::AsArray, datatypes::TimestampMicrosecondType};
use kindred_plugin_api::{
    Needs,
    columns::{EVENT_TIME, profile::EVENTS},
};

/// Evaluations that one search may take.
const GLIMPSES: usize = 512;
/// Events that one search may read, over all its evaluations.
const EVENTS_READ: usize = 500_000;

/// Since when the answer is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// It turned at this time.
    At(i64),
    /// It turned at this time or earlier; the search ended here.
    AtOrBefore(i64),
    /// It was never another, back to before the first event.
    Always,
}

/// Until when the answer stays, without new events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// It turns at this time.
    At(i64),
    /// It stays at least until this time; the search ended here.
    AtLeast(i64),
    /// It does not turn by itself.
    Forever,
}

/// A profile's answer in a segment, and how long it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    /// Whether the definition holds; consent is not asked.
    pub holds: bool,
    /// Since when.
    pub since: Since,
    /// Until when.
    pub until: Until,
}

/// Searches around a moment.
///
/// # Errors
/// When there is no such segment, or a plugin or the store fails.
pub fn turns(
    segments: &Segments,
    store: &mut Store,
    segment: &str,
    profile: u32,
    moment: &Moment,
) -> Result<Turns> {
    let search = |glimpses| Search { segments, segment, profile, moment, glimpses, events: EVENTS_READ };
    let mut times = event_times(segments, store, profile, moment)?;
    times.extend(attribute_times(store, profile, moment)?);
    times.sort_unstable();
    times.dedup();
    let now = search(1).at(store, moment.as_of_us)?;
    let holds = now.is_some_and(|now| now.holds);
    let since = search(GLIMPSES).since(store, &times, holds)?;
    let until = search(GLIMPSES).until(store, now.and_then(|now| now.next_us), holds)?;
    Ok(Turns { holds, since, until })
}

/// Times of all events up to the moment, ascending, also of those that are expired by now.
fn event_times(segments: &Segments, store: &mut Store, profile: u32, moment: &Moment) -> Result<Vec<i64>> {
    let needs = Needs { columns: vec![format!("{EVENTS}.{EVENT_TIME}")], look_back_us: None };
    let schema = batch::project(&batch::catalog(store, std::iter::empty()), &needs)?;
    let all = Moment { as_of_us: moment.as_of_us, retention_us: i64::MAX, ..Moment::default() };
    let (batch, _) = batch::build(store, &schema, &[profile], &all, None, segments.members())?;
    let events = batch.column_by_name(EVENTS).and_then(|events| events.as_list_opt::<i32>());
    let events = events.map(|events| events.value(0));
    let times = events.as_ref().and_then(|events| events.as_struct_opt()?.column_by_name(EVENT_TIME));
    let times = times.and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
    Ok(times.map(|times| times.values().to_vec()).unwrap_or_default())
}

/// Since when its attributes are so that expire: behind these times the evaluator tells when.
fn attribute_times(store: &Store, profile: u32, moment: &Moment) -> Result<Vec<i64>> {
    let record = store.profiles.get(&store.tables, profile)?;
    let expiring = record.attributes.iter().filter(|(name, _)| moment.ttl_of(name).is_some());
    Ok(expiring.map(|(_, a)| a.since_us).filter(|since_us| *since_us <= moment.as_of_us).collect())
}

/// How the answer in a part of the past compares with the one now.
enum Between {
    /// The same all along.
    Same,
    /// Another at its end.
    Other,
    /// It became the same at this time.
    Turned(i64),
    /// Nobody knows: the search has taken long enough.
    TooLong,
}

struct Search<'a> {
    segments: &'a Segments,
    segment: &'a str,
    profile: u32,
    moment: &'a Moment,
    /// Left.
    glimpses: usize,
    /// Left.
    events: usize,
}

impl Search<'_> {
    /// The answer at a time; none when the search has taken long enough.
    fn at(&mut self, store: &mut Store, as_of_us: i64) -> Result<Option<Glimpse>> {
        if self.glimpses == 0 || self.events == 0 {
            return Ok(None);
        }
        let moment = self.moment.at(as_of_us);
        let glimpse = self.segments.glimpse(store, self.segment, self.profile, &moment)?;
        self.glimpses -= 1;
        self.events = self.events.saturating_sub(glimpse.events);
        Ok(Some(glimpse))
    }

    /// Backwards, from one event to the one before it.
    fn since(&mut self, store: &mut Store, times: &[i64], holds: bool) -> Result<Since> {
        let mut end_us = self.moment.as_of_us.saturating_add(1);
        // The answer is what it is from here on.
        let mut known_us = self.moment.as_of_us;
        let Some(first) = times.first() else { return Ok(Since::Always) };
        for start_us in times.iter().rev().chain([&first.saturating_sub(1)]) {
            match self.between(store, *start_us, end_us, holds)? {
                Between::Same => (known_us, end_us) = (*start_us, *start_us),
                Between::Other => return Ok(Since::At(known_us)),
                Between::Turned(at_us) => return Ok(Since::At(at_us)),
                Between::TooLong => return Ok(Since::AtOrBefore(known_us)),
            }
        }
        Ok(Since::Always)
    }

    /// From a time to before another, change by change.
    fn between(&mut self, store: &mut Store, start_us: i64, end_us: i64, holds: bool) -> Result<Between> {
        let mut found = Between::Same;
        let mut next = Some(start_us);
        while let Some(at_us) = next.filter(|at| *at < end_us) {
            let Some(glimpse) = self.at(store, at_us)? else { return Ok(Between::TooLong) };
            found = match found {
                _ if glimpse.holds != holds => Between::Other,
                Between::Other => Between::Turned(at_us),
                same => same,
            };
            next = glimpse.next_us.filter(|next| *next > at_us);
        }
        Ok(found)
    }

    /// Forwards, from one change to the next.
    fn until(&mut self, store: &mut Store, mut next: Option<i64>, holds: bool) -> Result<Until> {
        let mut known_us = self.moment.as_of_us;
        while let Some(at_us) = next.filter(|at| *at > known_us) {
            let Some(glimpse) = self.at(store, at_us)? else { return Ok(Until::AtLeast(known_us)) };
            if glimpse.holds != holds {
                return Ok(Until::At(at_us));
            }
            (known_us, next) = (at_us, glimpse.next_us);
        }
        Ok(Until::Forever)
    }
}

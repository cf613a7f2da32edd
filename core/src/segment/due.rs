//! When a segment's answer can change first, if time passes and nothing happens. Timers are of profiles, for all segments
//! together; so the profiles that are due first are asked about the one segment alone.

use super::{Segments, timers::Timers};
use crate::{Result, config::Pipeline, plugin::registry::Registry, profile::batch::Moment, store::Store};
use roaring::RoaringBitmap;

/// Profiles that are asked at first, and with each further question so many times more.
const FIRST: usize = 512;
const FURTHER: usize = 8;
/// Profiles that are asked at most.
const MOST: usize = 32_768;

/// When a segment's answer can change for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Never.
    Never,
    /// At this moment, microseconds since 1970.
    At(i64),
    /// Later than this: too many are due before because of other segments.
    After(i64),
}

/// The profiles that are due first, in this order.
#[derive(Debug)]
pub struct Queue {
    earliest: Vec<(i64, u32)>,
    /// Nobody else is ever due.
    is_all: bool,
}

impl Queue {
    /// From the timers of all segments.
    pub fn new(timers: &Timers) -> Self {
        let all = (0..).zip(timers.all()).filter(|(_, time)| **time != i64::MAX);
        let mut earliest: Vec<(i64, u32)> = all.map(|(profile, time)| (*time, profile)).collect();
        let is_all = earliest.len() <= MOST;
        if !is_all {
            earliest.select_nth_unstable(MOST);
            earliest.truncate(MOST);
        }
        earliest.sort_unstable();
        Self { earliest, is_all }
    }

    /// When a segment of applied definition can change; `now` is the moment asked about. None where that does not go by time
    /// alone: models are fitted anew, and queries asked again, at the end of runs.
    ///
    /// # Errors
    /// When its plugin or the store fails.
    pub fn of(
        &self,
        (pipeline, registry): (&Pipeline, &Registry),
        store: &mut Store,
        segment: &str,
        now: &Moment,
    ) -> Result<Option<Due>> {
        let narrowed = pipeline.narrowed([segment]);
        let mut segments = Segments::open(&narrowed, registry, store)?;
        if segments.has_models() || narrowed.segments.iter().any(|segment| segment.sql.is_some()) {
            return Ok(None);
        }
        let Some((first_us, _)) = self.earliest.first() else { return Ok(Some(Due::Never)) };
        // Answers are those of before anybody was due.
        let moment = now.at(now.as_of_us.min(first_us.saturating_sub(1)));
        let mut asked = FIRST;
        loop {
            let queue = &self.earliest[..asked.min(self.earliest.len())];
            let profiles: RoaringBitmap = queue.iter().map(|(_, profile)| *profile).collect();
            let found = segments.preview_rules(store, &profiles, &moment)?;
            let asked_all = queue.len() == self.earliest.len();
            let last_us = queue.last().map_or(i64::MAX, |(time, _)| *time);
            match found {
                // Whoever was not asked is due later for any segment.
                Some(time) if time <= last_us || (asked_all && self.is_all) => {
                    return Ok(Some(Due::At(time)));
                }
                None if asked_all && self.is_all => return Ok(Some(Due::Never)),
                _ if asked_all => return Ok(Some(Due::After(last_us))),
                _ => asked *= FURTHER,
            }
        }
    }
}

//! One pass: groups answer for the same profiles, one after the other. Batches go to as many instances of a group as
//! there are processors, and their answers are taken in order.

use super::{
    BATCH,
    group::Group,
    replies::{Place, Replies},
};
use crate::{
    Result,
    plugin::SegmentationHandle,
    profile::batch::{self, Moment},
    store::{Store, page},
};
use arrow::array::RecordBatch;
use kindred_plugin_api::{Evaluated, Fault, FaultKind, Report};
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, ops::Range};

/// Never due.
const NEVER: i64 = Evaluated::NEVER;
/// Events of a batch, about: what rules look at of so many stays in a processor's cache, and a page of profiles mostly has
/// no more.
const EVENTS: usize = 49_152;
/// Fewer batches than this are not worth another instance.
pub(super) const SEVERAL: usize = 8;

/// Profiles that are evaluated, and what came out so far.
#[derive(Debug)]
pub(super) struct Pass {
    all: RoaringBitmap,
    profiles: Vec<u32>,
    /// Whether each may be evaluated and sent.
    consents: Vec<bool>,
    due: Vec<i64>,
}

/// What instances are asked about a batch.
type Question = fn(&mut SegmentationHandle, &RecordBatch) -> Result<Evaluated, Fault>;

/// What everybody came to.
pub(super) struct Fitted {
    pub(super) reports: Vec<Report>,
    /// What the plugin goes on with.
    pub(super) state: Vec<u8>,
}

impl Pass {
    pub(super) fn over(profiles: &RoaringBitmap) -> Self {
        let rows = numbers(profiles);
        Self { all: profiles.clone(), consents: Vec::new(), due: vec![NEVER; rows.len()], profiles: rows }
    }

    pub(super) fn profiles(&self) -> &RoaringBitmap {
        &self.all
    }

    /// Whether its profiles are worth several instances.
    pub(super) fn is_large(&self) -> bool {
        self.profiles.len() > SEVERAL * BATCH
    }

    /// The earliest time that any group named for each profile.
    pub(super) fn due(&self) -> impl Iterator<Item = (u32, Option<i64>)> {
        let due = self.due.iter().map(|due| (*due != NEVER).then_some(*due));
        self.profiles.iter().copied().zip(due)
    }

    /// Takes times that somebody else found.
    pub(super) fn note(&mut self, due_us: &BTreeMap<u32, i64>) {
        for (profile, time) in due_us {
            if let Ok(at) = self.profiles.binary_search(profile) {
                self.due[at] = self.due[at].min(*time);
            }
        }
    }

    /// The members of each segment of a group among the profiles.
    pub(super) fn run(
        &mut self,
        store: &mut Store,
        group: &mut Group,
        moment: &Moment,
        members: &BTreeMap<String, RoaringBitmap>,
    ) -> Result<Vec<RoaringBitmap>> {
        let batches = self.batches(store, group)?;
        let mut found = vec![Vec::new(); group.segments.len()];
        self.ask(store, (group, SegmentationHandle::evaluate), &batches, (moment, members), &mut found)?;
        bitmaps(found).map_err(group.failed())
    }

    /// Fits a group that recalls on the profiles; answers the members of each segment among them, too. Events are read once:
    /// what needs what was fitted is answered from what the plugin remembers of each batch.
    pub(super) fn fit(
        &mut self,
        store: &mut Store,
        group: &mut Group,
        moment: &Moment,
        members: &BTreeMap<String, RoaringBitmap>,
    ) -> Result<(Vec<RoaringBitmap>, Fitted)> {
        let batches = self.batches(store, group)?;
        let mut found = vec![Vec::new(); group.segments.len()];
        let question: Question = SegmentationHandle::survey;
        let places = self.ask(store, (group, question), &batches, (moment, members), &mut found)?;
        let fitted = group.fit().map_err(group.failed())?;
        match self.recall(group, batches.into_iter().zip(places), &mut found) {
            Err(fault) if fault.kind == FaultKind::Unsupported => {
                Ok((self.run(store, group, moment, members)?, fitted))
            }
            recalled => {
                recalled.map_err(group.failed())?;
                Ok((bitmaps(found).map_err(group.failed())?, fitted))
            }
        }
    }

    /// The profiles in batches; there are as many instances as these are worth.
    fn batches(&self, store: &Store, group: &mut Group) -> Result<Vec<Range<usize>>> {
        let batches = if self.is_large() {
            of_many(store, &self.profiles)
        } else {
            // Of few profiles it is known how long each history is: some may be as long as all others together.
            let lengths = store.events.lengths(&self.profiles)?;
            batches(&self.profiles, |rows| by_length(&lengths, rows))
        };
        if batches.len() > SEVERAL {
            group.multiply().map_err(group.failed())?;
        }
        Ok(batches)
    }

    /// Asks instances about batches, one after the other, and takes their answers in order; answers whom it asked about each.
    fn ask(
        &mut self,
        store: &mut Store,
        (group, question): (&Group, Question),
        batches: &[Range<usize>],
        (moment, members): (&Moment, &BTreeMap<String, RoaringBitmap>),
        found: &mut [Vec<u32>],
    ) -> Result<Vec<Place>> {
        let mut replies = Replies::of(group.workers());
        let mut places = Vec::with_capacity(batches.len());
        for rows in batches {
            let part = &self.profiles[rows.clone()];
            let (batch, next_us) =
                batch::build(store, &group.schema, part, moment, group.look_back_us, members)?;
            if self.consents.len() == rows.start {
                self.consents.extend(part.iter().map(|profile| store.profiles.consents(*profile)));
            }
            for (due, next) in self.due[rows.clone()].iter_mut().zip(next_us) {
                *due = (*due).min(next.unwrap_or(NEVER));
            }
            let take = |rows, answer| self.take(rows, &answer, found);
            let place = replies.ask(rows.clone(), move |handle| question(handle, &batch), take);
            places.push(place.map_err(group.failed())?);
        }
        replies.rest(|rows, answer| self.take(rows, &answer, found)).map_err(group.failed())?;
        Ok(places)
    }

    /// Asks each instance for the answers that it left out of the batches that it was shown; what comes next it told then.
    fn recall(
        &self,
        group: &Group,
        batches: impl Iterator<Item = (Range<usize>, Place)>,
        found: &mut [Vec<u32>],
    ) -> Result<(), Fault> {
        let mut replies = Replies::of(group.workers());
        for (rows, place) in batches {
            let (batch, count) = (place.number, rows.len());
            let take = |rows, answer| self.enter(rows, &answer, found);
            replies.ask_at(place, rows, move |handle| handle.recall(batch, count), take)?;
        }
        replies.rest(|rows, answer| self.enter(rows, &answer, found))
    }

    fn take(&mut self, rows: Range<usize>, answer: &Evaluated, found: &mut [Vec<u32>]) -> Result<(), Fault> {
        let due = self.due[rows.clone()].iter_mut().zip(answer.next_changes_us());
        due.for_each(|(due, change)| *due = (*due).min(*change));
        self.enter(rows, answer, found)
    }

    fn enter(&self, rows: Range<usize>, answer: &Evaluated, found: &mut [Vec<u32>]) -> Result<(), Fault> {
        for (row, ordinals) in answer.members() {
            // The second of the three consent gates.
            if self.consents[rows.start + row] {
                enter(found, self.profiles[rows.start + row], ordinals)?;
            }
        }
        Ok(())
    }
}

/// The profiles of a bitmap; mostly all of them are there, side by side.
pub(super) fn numbers(profiles: &RoaringBitmap) -> Vec<u32> {
    let mut numbers = Vec::with_capacity(profiles.len() as usize);
    let mut all = profiles.iter();
    while let Some(beside) = all.next_range() {
        numbers.extend(beside);
    }
    numbers
}

fn bitmaps(found: Vec<Vec<u32>>) -> Result<Vec<RoaringBitmap>, Fault> {
    let unsorted = |error| Fault::permanent("order", format!("profiles do not ascend: {error}"));
    found.into_iter().map(|rows| RoaringBitmap::from_sorted_iter(rows).map_err(unsorted)).collect()
}

/// Many profiles, ascending, in batches; of how many events they have the store tells by the page.
pub(super) fn of_many(store: &Store, profiles: &[u32]) -> Vec<Range<usize>> {
    batches(profiles, |rows| evenly(profiles, rows, |page| store.events.of_page(page)))
}

/// Profiles, ascending, in batches. They end at borders of pages where that leaves them large: the events of a page lie in
/// one block, which then need not be copied. Pages with very many events are several batches, as `cut` says.
fn batches(profiles: &[u32], cut: impl Fn(Range<usize>) -> Vec<Range<usize>>) -> Vec<Range<usize>> {
    pages(profiles).flat_map(cut).collect()
}

/// Batches of as many profiles each, where `events` tells how many events a page has.
fn evenly(profiles: &[u32], rows: Range<usize>, events: impl Fn(u32) -> usize) -> Vec<Range<usize>> {
    let (mut expected, mut rest) = (0, &profiles[rows.clone()]);
    while let Some(first) = rest.first() {
        let here = page(*first);
        let part = rest.partition_point(|profile| page(*profile) == here);
        expected += events(here) * part / BATCH;
        rest = &rest[part..];
    }
    let count = expected.div_ceil(EVENTS).clamp(1, rows.len());
    let size = rows.len().div_ceil(count);
    rows.clone().step_by(size).map(|start| start..rows.end.min(start + size)).collect()
}

/// Batches of about as many events each, where it is known how many each profile has.
fn by_length(lengths: &[usize], rows: Range<usize>) -> Vec<Range<usize>> {
    let (mut found, mut start, mut events) = (Vec::new(), rows.start, 0);
    for row in rows.clone() {
        if row > start && events + lengths[row] > EVENTS {
            found.push(start..row);
            (start, events) = (row, 0);
        }
        events += lengths[row];
    }
    found.push(start..rows.end);
    found
}

/// Whole pages where they are at least half there; else as many as fit into a batch.
fn pages(profiles: &[u32]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    std::iter::from_fn(move || {
        let limit = profiles.len().min(start + BATCH);
        if start == limit {
            return None;
        }
        let before = |other: u32| start + profiles[start..limit].partition_point(|p| page(*p) < other);
        let first = before(page(profiles[start]) + 1);
        let end = if first - start >= BATCH / 2 {
            first
        } else if limit == profiles.len() {
            limit
        } else {
            // Whole pages; the one that does not fit is another, or the first would be large.
            before(page(profiles[limit]))
        };
        Some(std::mem::replace(&mut start, end)..end)
    })
}

/// One profile, later than all before, into the segments that hold; a plugin that names one twice means it once.
fn enter(found: &mut [Vec<u32>], profile: u32, ordinals: &[u32]) -> Result<(), Fault> {
    for ordinal in ordinals {
        let wrong = || Fault::permanent("ordinal", "answered with a segment that does not exist");
        let members = found.get_mut(*ordinal as usize).ok_or_else(wrong)?;
        if members.last() != Some(&profile) {
            members.push(profile);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn batches_are_all_profiles_once_and_end_at_borders(
            gaps in proptest::collection::vec(1u32..40, 0..3_000), dense in 0u32..3, events in 0usize..200_000,
        ) {
            let mut profiles: Vec<u32> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let page = BATCH as u32;
            let first = profiles.last().map_or(0, |last| last.div_ceil(page) * page);
            profiles.extend(first + 1..first + 1 + dense * page);
            let found = batches(&profiles, |rows| evenly(&profiles, rows, |_| events));
            proptest::prop_assert_eq!(found.iter().flat_map(Clone::clone).collect::<Vec<_>>(),
                (0..profiles.len()).collect::<Vec<_>>());
            for rows in &found {
                proptest::prop_assert!(!rows.is_empty() && rows.len() <= BATCH.min(BATCH * EVENTS / events.max(1) + 1));
                let page_at = |at: usize| super::page(profiles[at]);
                let at_border = rows.end == profiles.len() || page_at(rows.end - 1) < page_at(rows.end);
                proptest::prop_assert!(at_border || events > EVENTS, "{:?}", &found);
            }
        }

        #[test]
        fn batches_have_so_many_events_or_one_profile(
            lengths in proptest::collection::vec(proptest::prop_oneof![0usize..20, 0usize..90_000], 1..600),
        ) {
            let found = by_length(&lengths, 0..lengths.len());
            proptest::prop_assert_eq!(found.iter().flat_map(Clone::clone).collect::<Vec<_>>(),
                (0..lengths.len()).collect::<Vec<_>>());
            let events = |rows: &Range<usize>| lengths[rows.clone()].iter().sum::<usize>();
            proptest::prop_assert!(found.iter().all(|rows| rows.len() == 1 || events(rows) <= EVENTS));
            let pairs = found.windows(2);
            proptest::prop_assert!(pairs.into_iter().all(|pair| events(&pair[0]) + lengths[pair[1].start] > EVENTS));
        }
    }

    #[test]
    fn a_segment_named_twice_is_meant_once() {
        let mut found = vec![Vec::new(); 2];
        enter(&mut found, 3, &[1, 1]).unwrap();
        enter(&mut found, 7, &[1, 0, 1]).unwrap();
        assert_eq!(found, [vec![7], vec![3, 7]]);
        assert!(enter(&mut found, 9, &[2]).is_err_and(|fault| fault.code == "ordinal"));
    }
}

//! When answers change with no new event: windows move, ages grow.

use super::{Evaluator, Late, NEVER};
use crate::{graph::Id, kernel};
use arrow::array::RecordBatch;

impl Evaluator {
    /// The first moment at which an event that matters leaves or enters a window, or an age passes its number; of ages that
    /// are `wanted`.
    pub(super) fn find_next_change(&mut self, batch: &RecordBatch, wanted: impl Fn(&Late, Id) -> bool) {
        self.next.clear();
        self.next.resize(batch.num_rows(), NEVER);
        for window in 0..self.program.windows.len() {
            self.find_shifts(window);
        }
        let Self { next, profiles, ages, as_of, late, .. } = self;
        for (op, age, other) in
            ages.iter().filter(|(_, age, other)| wanted(late, *age) && wanted(late, *other))
        {
            for (row, next) in next.iter_mut().enumerate() {
                if let Some(later) = kernel::days_change_us(*op, &profiles[*age], &profiles[*other], row) {
                    *next = (*next).min(as_of.saturating_add(later));
                }
            }
        }
    }

    /// Of each profile the first event that matters and leaves a window, and the first that will enter it.
    fn find_shifts(&mut self, at: usize) {
        let window = self.program.windows[at].clone();
        let (_, until) = window.bounds(self.as_of);
        let shift = window.next_shift(self.as_of);
        if shift.any_leave() {
            self.unite(at);
            if let Some(inside) = &self.windows[at] {
                self.union.and(inside);
            }
            self.note_firsts(|time| shift.leaves_us(time).unwrap_or(NEVER));
        }
        if self.ticks.last() > until {
            self.unite(at);
            self.ticks.after(&self.times, until, &mut self.later, &mut self.firsts);
            self.union.and(&self.later);
            self.note_firsts(|time| shift.enters_us(time).unwrap_or(NEVER));
        }
    }

    fn unite(&mut self, at: usize) {
        let Self { union, masks: bits, cut_by, .. } = self;
        if let Some((first, rest)) = cut_by[at].split_first() {
            union.copy(&bits[*first]);
            rest.iter().for_each(|mask| union.or(&bits[*mask]));
        }
    }

    /// The first event of each profile in `union` changes its answer at `moment(time)`.
    fn note_firsts(&mut self, moment: impl Fn(i64) -> i64) {
        let Self { union, firsts, starts, next, rows, times, .. } = self;
        firsts.firsts(union, starts);
        firsts.each(|event| {
            let next = &mut next[rows[event] as usize];
            *next = (*next).min(moment(times[event]));
        });
    }
}

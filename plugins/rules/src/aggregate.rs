//! Aggregate calls: one value per profile, from the bits of the events that matter.

use crate::{
    ast::Function,
    kernel::compare_floats,
    logic::Bits,
    vector::{Numbers, Vector},
};
use std::{cmp::Ordering, ops::Range};

/// Positions of events, of one profile.
pub(crate) type Span = (u32, u32);

/// What a call sees of a batch.
pub(crate) struct View<'a> {
    /// Per profile, the events in the window.
    pub(crate) spans: &'a [Span],
    /// The events that matter.
    pub(crate) mask: &'a Bits,
    pub(crate) column: Option<&'a Vector>,
    pub(crate) times: &'a [i64],
    pub(crate) as_of: i64,
}

/// Room that calls use one after the other.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    picks: Vec<u32>,
    distinct: Vec<u64>,
}

impl View<'_> {
    /// Computes a call for every profile.
    pub(crate) fn compute(&self, function: Function, scratch: &mut Scratch, out: &mut Vector) {
        match (function, self.column, out) {
            (Function::Count | Function::Did, _, Vector::Ints(out)) => {
                self.each(out, |events| Some(self.mask.count(events) as i64));
            }
            (Function::DaysSince, _, Vector::Ints(out)) => self.each(out, |events| {
                let last = self.mask.last(events)?;
                Some(self.as_of.saturating_sub(self.times[last]))
            }),
            (Function::Sum, Some(Vector::Ints(column)), Vector::Ints(out)) => self.each(out, |events| {
                let (sum, count) = self.sum_ints(column, events);
                if count > 0 { i64::try_from(sum).ok() } else { None }
            }),
            (Function::Sum, Some(Vector::Floats(column)), Vector::Floats(out)) => self.each(out, |events| {
                let (sum, count) = self.sum_floats(column, events);
                (count > 0 && !sum.is_nan()).then_some(sum)
            }),
            (Function::Avg, Some(Vector::Ints(column)), Vector::Floats(out)) => self.each(out, |events| {
                let (sum, count) = self.sum_ints(column, events);
                (count > 0).then(|| sum as f64 / count as f64)
            }),
            (Function::Avg, Some(Vector::Floats(column)), Vector::Floats(out)) => self.each(out, |events| {
                let (sum, count) = self.sum_floats(column, events);
                (count > 0 && !sum.is_nan()).then(|| sum / count as f64)
            }),
            (Function::CountDistinct, Some(column), Vector::Ints(out)) => {
                let distinct = &mut scratch.distinct;
                self.each(out, |events| Some(count_distinct(column, self.mask.ones(events), distinct)));
            }
            (_, Some(column), out) => {
                self.pick(function, column, &mut scratch.picks);
                out.gather(column, &scratch.picks);
            }
            _ => unreachable!("{function:?} is compiled with its column"),
        }
    }

    fn each<T: Copy + Default>(
        &self,
        out: &mut Numbers<T>,
        mut value: impl FnMut(Range<usize>) -> Option<T>,
    ) {
        out.fill_with(self.spans.len(), |row| value(range(self.spans[row])));
    }

    /// Wide enough for any number of integers.
    fn sum_ints(&self, column: &Numbers<i64>, events: Range<usize>) -> (i128, usize) {
        let add = |(sum, count), event: usize| (sum + i128::from(column.values[event]), count + 1);
        self.mask.ones(events).fold((0, 0), add)
    }

    /// Neumaier's sum: what each addition loses is added at the end, so that the order hardly matters.
    fn sum_floats(&self, column: &Numbers<f64>, events: Range<usize>) -> (f64, usize) {
        let (mut sum, mut lost, mut count) = (0.0_f64, 0.0_f64, 0);
        for event in self.mask.ones(events) {
            let value = column.values[event];
            let next = sum + value;
            lost += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
            (sum, count) = (next, count + 1);
        }
        // Beyond the greatest number there is nothing left to correct.
        (if sum.is_finite() { sum + lost } else { sum }, count)
    }

    /// Per profile the event whose value is the answer; of equal ones the earliest.
    fn pick(&self, function: Function, column: &Vector, picks: &mut Vec<u32>) {
        let wanted = if function == Function::Min { Ordering::Less } else { Ordering::Greater };
        picks.clear();
        picks.extend(self.spans.iter().map(|&span| {
            let picked = match function {
                Function::First => self.mask.first(range(span)),
                Function::Last => self.mask.last(range(span)),
                _ => self
                    .mask
                    .ones(range(span))
                    .reduce(|best, event| if order(column, event, best) == wanted { event } else { best }),
            };
            picked.map_or(u32::MAX, |event| event as u32)
        }));
    }
}

/// As positions.
pub(crate) fn range((start, end): Span) -> Range<usize> {
    start as usize..end as usize
}

fn order(column: &Vector, a: usize, b: usize) -> Ordering {
    match column {
        Vector::Ints(numbers) => numbers.values[a].cmp(&numbers.values[b]),
        Vector::Floats(numbers) => compare_floats(numbers.values[a], numbers.values[b]),
        Vector::Texts(texts) => texts.get(a).cmp(&texts.get(b)),
        Vector::Bools(bools) => bools.get(a).cmp(&bools.get(b)),
    }
}

fn count_distinct(column: &Vector, events: impl Iterator<Item = usize>, room: &mut Vec<u64>) -> i64 {
    room.clear();
    match column {
        Vector::Ints(numbers) => room.extend(events.map(|event| numbers.values[event] as u64)),
        // Adding zero makes one of the two zeros.
        Vector::Floats(numbers) => room.extend(events.map(|event| (numbers.values[event] + 0.0).to_bits())),
        Vector::Bools(bools) => room.extend(events.map(|event| u64::from(bools.yes.get(event)))),
        Vector::Texts(_) => unreachable!("texts are counted by their codes"),
    }
    room.sort_unstable();
    room.dedup();
    room.len() as i64
}

//! Event times in 16 bits, so that one instruction compares many with the edge of a window. Where that does not decide, the
//! times themselves do.

use crate::{bits::Bits, wide::wide};

/// The times of a batch, as steps of one length.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    ticks: Vec<u16>,
    /// Rows before one that is earlier.
    descents: Bits,
    first: i64,
    last: i64,
    /// A step has two to this many microseconds.
    shift: u32,
}

impl Ticks {
    /// Reads times. Answers whether each is at least the one before it where that is of the same list; `starts` has the
    /// first row of each.
    pub(super) fn load(&mut self, times: &[i64], starts: &Bits) -> bool {
        let (first, last) = wide(
            #[inline(always)]
            || {
                times
                    .iter()
                    .fold((i64::MAX, i64::MIN), |(first, last), time| (first.min(*time), last.max(*time)))
            },
        );
        let range = last.wrapping_sub(first).cast_unsigned();
        let shift = (u64::BITS - range.leading_zeros()).saturating_sub(u16::BITS);
        (self.first, self.last, self.shift) = (first, last, shift);
        self.ticks.resize(times.len(), 0);
        let Self { ticks, descents, .. } = self;
        wide(
            #[inline(always)]
            || ticks.iter_mut().zip(times).for_each(|(to, time)| *to = tick(*time, first, shift)),
        );
        descents.pack_pairs(times.get(1..).unwrap_or_default(), times, |time, before| time < before);
        descents.is_before(starts)
    }

    /// The latest time.
    pub(super) fn last(&self) -> i64 {
        self.last
    }

    /// Whether every time is later than a moment.
    pub(super) fn all_after(&self, moment: i64) -> bool {
        moment < self.first
    }

    /// Which of the times are later than a moment; `times` are those that were loaded.
    pub(super) fn after(&self, times: &[i64], moment: i64, out: &mut Bits, ties: &mut Bits) {
        if moment < self.first || moment >= self.last {
            return out.fill(self.ticks.len(), moment < self.first);
        }
        let edge = tick(moment, self.first, self.shift);
        let is_near = out.pack_each_noting(&self.ticks, |tick| tick > edge, |tick| tick == edge);
        // Mostly nothing happened so near to an edge.
        if is_near && self.shift > 0 {
            ties.pack_each(&self.ticks, |tick| tick == edge);
            ties.each(|event| {
                if times[event] > moment {
                    out.set(event);
                }
            });
        }
    }
}

#[inline(always)]
fn tick(time: i64, first: i64, shift: u32) -> u16 {
    (time.wrapping_sub(first).cast_unsigned() >> shift) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time() -> impl Strategy<Value = i64> {
        prop_oneof![-5..5_i64, -90_000_000_000..90_000_000_000_i64, any::<i64>()]
    }

    proptest! {
        /// Against comparing the times themselves, however far or near they lie.
        #[test]
        fn edges_are_exact(
            times in prop::collection::vec((time(), 0..3_u32), 1..200), moments in prop::collection::vec(time(), 1..5),
        ) {
            let (times, rows): (Vec<i64>, Vec<u32>) = times.into_iter().unzip();
            let mut ticks = Ticks::default();
            let mut starts = Bits::default();
            starts.pack(times.len(), |at| at == 0 || rows[at] != rows[at - 1]);
            let sorted = ticks.load(&times, &starts);
            prop_assert_eq!(sorted, (1..times.len()).all(|at| rows[at] != rows[at - 1] || times[at] >= times[at - 1]));
            let (mut out, mut ties) = (Bits::default(), Bits::default());
            for moment in moments.into_iter().chain(times.iter().copied()) {
                ticks.after(&times, moment, &mut out, &mut ties);
                let expected: Vec<usize> = (0..times.len()).filter(|&at| times[at] > moment).collect();
                prop_assert_eq!(out.ones(0..times.len()).collect::<Vec<_>>(), expected);
            }
        }
    }
}

//! Sequences: events that come after each other, the last soon enough after the first.

use crate::bits::Bits;
use std::ops::Range;

/// Looks for sequences, in room that is kept from profile to profile.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    /// For each step the events that lead to it, one row a step; of all that do, those that begin last.
    chains: Vec<usize>,
    /// The events of any step.
    any: Bits,
}

impl Finder {
    /// Makes ready for sequences of these steps.
    pub(crate) fn begin(&mut self, steps: &[&Bits]) {
        if let Some((first, rest)) = steps.split_first() {
            self.any.copy(first);
            rest.iter().for_each(|step| self.any.or(step));
        }
    }

    /// The events of the first sequence that is complete: in order, each of another step, the last at most `within_us`
    /// after the first. Looks at each event of a step once; the steps are those of [`Self::begin`].
    pub(crate) fn find(
        &mut self,
        steps: &[&Bits],
        times: &[i64],
        events: Range<usize>,
        within_us: i64,
    ) -> Option<&[usize]> {
        let (count, mut reached) = (steps.len(), 0);
        let start = steps.first()?.first(events.clone())?;
        let Self { chains, any } = self;
        chains.clear();
        chains.resize(count * count, 0);
        for event in any.ones(start..events.end) {
            // The last step first, so that no event is two steps.
            for step in (0..count.min(reached + 1)).rev() {
                if !steps[step].get(event) {
                    continue;
                }
                if step > 0 {
                    let before = (step - 1) * count;
                    chains.copy_within(before..before + step, step * count);
                }
                chains[step * count + step] = event;
                reached = reached.max(step + 1);
                let first = chains[step * count];
                if step + 1 == count && times[event].saturating_sub(times[first]) <= within_us {
                    return Some(&chains[step * count..]);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is found is a sequence, and one is found wherever a search of all combinations finds one.
        #[test]
        fn agrees_with_trying_everything(
            gaps in prop::collection::vec((0..4_i64, 0..8_u8), 0..14), within in 0..8_i64, count in 2..4_usize,
        ) {
            let times: Vec<i64> = gaps.iter().scan(0, |at, (gap, _)| { *at += gap; Some(*at) }).collect();
            let is = |step: usize, event: usize| gaps[event].1 >> step & 1 == 1;
            let mut steps = vec![Bits::default(); count];
            for (step, bits) in steps.iter_mut().enumerate() {
                bits.pack(times.len(), |event| is(step, event));
            }
            let steps: Vec<&Bits> = steps.iter().collect();
            let mut finder = Finder::default();
            finder.begin(&steps);
            let found = finder.find(&steps, &times, 0..times.len(), within).map(<[usize]>::to_vec);
            fn any(chain: &mut Vec<usize>, count: usize, times: &[i64], within: i64, is: &dyn Fn(usize, usize) -> bool) -> bool {
                if chain.len() == count {
                    return times[chain[count - 1]] - times[chain[0]] <= within;
                }
                let from = chain.last().map_or(0, |last| last + 1);
                (from..times.len()).any(|event| {
                    is(chain.len(), event) && {
                        chain.push(event);
                        let found = any(chain, count, times, within, is);
                        chain.pop();
                        found
                    }
                })
            }
            prop_assert_eq!(found.is_some(), any(&mut Vec::new(), count, &times, within, &is));
            if let Some(found) = found {
                prop_assert_eq!(found.len(), count);
                prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(found.iter().enumerate().all(|(step, &event)| is(step, event)));
                prop_assert!(times[found[count - 1]] - times[found[0]] <= within);
            }
        }
    }
}

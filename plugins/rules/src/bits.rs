//! Bits, 64 rows at a time.

use crate::wide::{byte, pack, wide};
use std::{cell::Cell, ops::Range};

/// One bit a row; bits behind the last row are zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    /// Replaces all bits; `bit` is asked once per row, in order.
    #[inline]
    pub(crate) fn pack(&mut self, len: usize, mut bit: impl FnMut(usize) -> bool) {
        self.words.clear();
        let mut word = |range: Range<usize>| {
            let start = range.start;
            range.fold(0, |word, row| word | u64::from(bit(row)) << (row - start))
        };
        self.words.extend((0..len / 64).map(|index| word(index * 64..index * 64 + 64)));
        if !len.is_multiple_of(64) {
            self.words.push(word(len / 64 * 64..len));
        }
        self.len = len;
    }

    /// Replaces all bits by what `bit` says of each value: many times as fast as [`Self::pack`] where `bit` is a plain
    /// comparison.
    #[inline(always)]
    pub(crate) fn pack_each<T: Copy>(&mut self, values: &[T], bit: impl Fn(T) -> bool) {
        self.room(values.len());
        let (blocks, rest) = values.as_chunks::<64>();
        pack(
            &mut self.words,
            #[inline(always)]
            |at, bytes| match blocks.get(at) {
                Some(block) => bytes.iter_mut().zip(block).for_each(|(to, value)| *to = byte(bit(*value))),
                None => bytes.iter_mut().zip(rest).for_each(|(to, value)| *to = byte(bit(*value))),
            },
        );
    }

    /// The same, and whether any value is `noted`.
    #[inline(always)]
    pub(crate) fn pack_each_noting<T: Copy>(
        &mut self,
        values: &[T],
        bit: impl Fn(T) -> bool,
        noted: impl Fn(T) -> bool,
    ) -> bool {
        self.room(values.len());
        let (blocks, rest) = values.as_chunks::<64>();
        let any = Cell::new(0_u8);
        pack(
            &mut self.words,
            #[inline(always)]
            |at, bytes| {
                // Twice the same, because of a whole block the compiler knows the length.
                let mut see = |values: &[T]| {
                    bytes.iter_mut().zip(values).for_each(|(to, value)| *to = byte(bit(*value)));
                    any.set(values.iter().fold(any.get(), |any, value| any | byte(noted(*value))));
                };
                match blocks.get(at) {
                    Some(block) => see(block),
                    None => see(rest),
                }
            },
        );
        any.get() != 0
    }

    /// The same of pairs of values; as many as the shorter list has.
    #[inline(always)]
    pub(crate) fn pack_pairs<A: Copy, B: Copy>(
        &mut self,
        left: &[A],
        right: &[B],
        bit: impl Fn(A, B) -> bool,
    ) {
        let rows = left.len().min(right.len());
        self.room(rows);
        let ((left, left_rest), (right, right_rest)) =
            (left[..rows].as_chunks::<64>(), right[..rows].as_chunks::<64>());
        pack(
            &mut self.words,
            #[inline(always)]
            |at, bytes| match (left.get(at), right.get(at)) {
                (Some(left), Some(right)) => {
                    bytes.iter_mut().zip(left).zip(right).for_each(|((to, a), b)| *to = byte(bit(*a, *b)));
                }
                _ => {
                    let pairs = left_rest.iter().zip(right_rest);
                    bytes.iter_mut().zip(pairs).for_each(|(to, (a, b))| *to = byte(bit(*a, *b)));
                }
            },
        );
    }

    /// So many bits, whatever they are.
    fn room(&mut self, len: usize) {
        self.words.resize(len.div_ceil(64), 0);
        self.len = len;
    }

    /// Of each list the first row that is set; `starts` has the first row of each list.
    ///
    /// A one that is added behind a start runs through the rows that are neither set nor a start, and stops at the
    /// first that is: the first of its list, or the start of the next.
    pub(crate) fn firsts(&mut self, of: &Self, starts: &Self) {
        self.room(of.len);
        let (mut shifted_out, mut carry) = (0, false);
        for ((first, &set), &start) in self.words.iter_mut().zip(&of.words).zip(&starts.words) {
            let (gaps, runners) = (!(set | start), start & !set);
            let (sum, over) = gaps.overflowing_add(runners << 1 | shifted_out);
            let (sum, more) = sum.overflowing_add(u64::from(carry));
            (shifted_out, carry) = (runners >> 63, over | more);
            *first = set & (start | sum & !gaps);
        }
    }

    /// Whether the row behind each that is set is set in the other, which may have a row more.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        let next = other.words.iter().skip(1).chain([&0]);
        self.words
            .iter()
            .zip(other.words.iter().zip(next))
            .all(|(set, (here, next))| set & !(here >> 1 | next << 63) == 0)
    }

    /// Replaces all bits by one value.
    pub(crate) fn fill(&mut self, len: usize, value: bool) {
        self.words.clear();
        self.words.resize(len.div_ceil(64), if value { u64::MAX } else { 0 });
        self.len = len;
        self.trim();
    }

    /// Replaces all bits by those of an Arrow buffer.
    pub(crate) fn load(&mut self, buffer: &arrow::buffer::BooleanBuffer) {
        self.words.clear();
        self.words.extend(buffer.bit_chunks().iter_padded().take(buffer.len().div_ceil(64)));
        self.len = buffer.len();
        self.trim();
    }

    pub(crate) fn copy(&mut self, other: &Self) {
        self.words.clone_from(&other.words);
        self.len = other.len;
    }

    /// Replaces all bits by those that are set in two others.
    pub(crate) fn both(&mut self, one: &Self, other: &Self) {
        debug_assert_eq!(one.len, other.len);
        self.words.clear();
        self.words.extend(one.words.iter().zip(&other.words).map(|(a, b)| a & b));
        self.len = one.len;
    }

    pub(crate) fn and(&mut self, other: &Self) {
        self.zip(other, |a, b| a & b);
    }

    pub(crate) fn or(&mut self, other: &Self) {
        self.zip(other, |a, b| a | b);
    }

    /// Clears the bits that are set in the other.
    pub(crate) fn and_not(&mut self, other: &Self) {
        self.zip(other, |a, b| a & !b);
    }

    pub(crate) fn invert(&mut self) {
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.trim();
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn get(&self, row: usize) -> bool {
        self.words[row / 64] >> (row % 64) & 1 == 1
    }

    #[inline]
    pub(crate) fn set(&mut self, row: usize) {
        self.words[row / 64] |= 1 << (row % 64);
    }

    /// How many rows are set.
    pub(crate) fn total(&self) -> usize {
        wide(
            #[inline(always)]
            || self.words.iter().map(|word| u64::from(word.count_ones())).sum::<u64>() as usize,
        )
    }

    /// How many rows of each list are set, whatever their number; `before` is room for how many are in front of each word.
    pub(crate) fn counts(&self, lists: &[(u32, u32)], before: &mut Vec<u32>, out: &mut Vec<i64>) {
        before.clear();
        out.clear();
        wide(
            #[inline(always)]
            || {
                let mut sum = 0;
                before.extend(self.words.iter().map(|word| {
                    let before = sum;
                    sum += word.count_ones();
                    before
                }));
                before.push(sum);
                let rank = |row: u32| {
                    let (index, bit) = (row as usize / 64, row % 64);
                    let word = self.words.get(index).copied().unwrap_or(0);
                    before[index] + (word & ((1 << bit) - 1)).count_ones()
                };
                let (mut last, mut known) = (0, 0);
                out.extend(lists.iter().map(|&(start, end)| {
                    // Lists mostly follow each other.
                    let first = if start == last { known } else { rank(start) };
                    (last, known) = (end, rank(end));
                    i64::from(known - first)
                }));
            },
        );
    }

    /// Every row that is set, ascending.
    #[inline(always)]
    pub(crate) fn each(&self, mut see: impl FnMut(usize)) {
        for (index, &word) in self.words.iter().enumerate() {
            let mut word = word;
            while word != 0 {
                see(index * 64 + word.trailing_zeros() as usize);
                word &= word - 1;
            }
        }
    }

    /// The rows of the range that are set, ascending.
    #[inline]
    pub(crate) fn ones(&self, range: Range<usize>) -> impl Iterator<Item = usize> {
        self.masked(range).flat_map(|(base, mut word)| {
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(base + bit)
            })
        })
    }

    #[inline]
    pub(crate) fn first(&self, range: Range<usize>) -> Option<usize> {
        if let Some(word) = self.short(&range) {
            return (word != 0).then(|| range.start + word.trailing_zeros() as usize);
        }
        self.masked(range)
            .find(|(_, word)| *word != 0)
            .map(|(base, word)| base + word.trailing_zeros() as usize)
    }

    /// A range of up to 64 rows as one word, the first row in its lowest bit.
    #[inline]
    fn short(&self, range: &Range<usize>) -> Option<u64> {
        let len = range.end.saturating_sub(range.start);
        if len == 0 || len > 64 {
            return (len == 0).then_some(0);
        }
        let (index, bit) = (range.start / 64, range.start % 64);
        let mut word = self.words[index] >> bit;
        if bit + len > 64 {
            word |= self.words[index + 1] << (64 - bit);
        }
        Some(word & (u64::MAX >> (64 - len)))
    }

    /// The words that hold a range, without the bits outside of it, and the row of their first bit.
    #[inline]
    fn masked(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = (usize, u64)> {
        let Range { start, end } = range;
        let words = if start < end { start / 64..end.div_ceil(64) } else { 0..0 };
        words.map(move |index| {
            let base = index * 64;
            let mut word = self.words[index];
            if base < start {
                word &= u64::MAX << (start - base);
            }
            if base + 64 > end {
                word &= u64::MAX >> (base + 64 - end);
            }
            (base, word)
        })
    }

    fn zip(&mut self, other: &Self, f: impl Fn(u64, u64) -> u64) {
        debug_assert_eq!(self.len, other.len);
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a = f(*a, *b));
    }

    fn trim(&mut self) {
        if !self.len.is_multiple_of(64)
            && let Some(last) = self.words.last_mut()
        {
            *last &= u64::MAX >> (64 - self.len % 64);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn bits(values: &[bool]) -> Bits {
        let mut bits = Bits::default();
        bits.pack(values.len(), |row| values[row]);
        bits
    }

    proptest! {
        /// Against looking through each list; lists may lie apart and be empty.
        #[test]
        fn firsts_are_those_of_each_list(
            values in proptest::collection::vec(proptest::bool::weighted(0.1), 0..700),
            cuts in proptest::collection::vec(0usize..700, 0..40),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < values.len()).collect();
            cuts.sort_unstable();
            cuts.dedup();
            let first = cuts.first().copied().unwrap_or(values.len());
            let values: Vec<bool> = values.iter().enumerate().map(|(row, set)| *set && row >= first).collect();
            let mut starts = vec![false; values.len()];
            cuts.iter().for_each(|cut| starts[*cut] = true);
            let ends = cuts.iter().skip(1).copied().chain([values.len()]);
            let expected: Vec<usize> =
                cuts.iter().zip(ends).filter_map(|(start, end)| (*start..end).find(|row| values[*row])).collect();
            let mut found = Bits::default();
            found.firsts(&bits(&values), &bits(&starts));
            prop_assert_eq!(found.ones(0..values.len()).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn pairs_and_single_values_agree_with_a_plain_list(
            values in proptest::collection::vec((-3..3_i64, -3..3_i64), 0..300),
        ) {
            let (left, right): (Vec<i64>, Vec<i64>) = values.iter().copied().unzip();
            let mut found = Bits::default();
            found.pack_pairs(&left, &right, |a, b| a < b);
            prop_assert_eq!(found.ones(0..values.len()).collect::<Vec<_>>(),
                (0..values.len()).filter(|&row| left[row] < right[row]).collect::<Vec<_>>());
            let (mut positive, mut odd) = (Bits::default(), Bits::default());
            positive.pack_each(&left, |a| a > 0);
            odd.pack_each(&right, |b| b % 2 != 0);
            found.both(&positive, &odd);
            prop_assert_eq!(found.ones(0..values.len()).collect::<Vec<_>>(),
                (0..values.len()).filter(|&row| left[row] > 0 && right[row] % 2 != 0).collect::<Vec<_>>());
            found.pack_each(&left, |a| a > 0);
            prop_assert_eq!(found.ones(0..values.len()).collect::<Vec<_>>(),
                (0..values.len()).filter(|&row| left[row] > 0).collect::<Vec<_>>());
        }

        #[test]
        fn the_row_behind_is_looked_for_across_words(
            sets in proptest::collection::vec((proptest::bool::weighted(0.1), proptest::bool::weighted(0.97)), 1..300),
        ) {
            let (left, right): (Vec<bool>, Vec<bool>) = sets.into_iter().unzip();
            let expected = (0..left.len() - 1).all(|row| !left[row] || right[row + 1]);
            proptest::prop_assert_eq!(bits(&left[..left.len() - 1]).is_before(&bits(&right)), expected);
        }

        #[test]
        fn ranges_agree_with_a_plain_list(
            values in proptest::collection::vec(any::<bool>(), 0..300), a in 0usize..300, b in 0usize..300,
        ) {
            let (start, end) = (a.min(b).min(values.len()), a.max(b).min(values.len()));
            let bits = bits(&values);
            let expected: Vec<usize> = (start..end).filter(|&row| values[row]).collect();
            let (mut room, mut counts) = (Vec::new(), Vec::new());
            let lists = [(0, start as u32), (start as u32, end as u32), (start as u32, values.len() as u32)];
            bits.counts(&lists, &mut room, &mut counts);
            let set = |range: Range<usize>| values[range].iter().filter(|value| **value).count() as i64;
            prop_assert_eq!(counts, [set(0..start), set(start..end), set(start..values.len())]);
            prop_assert_eq!(bits.first(start..end), expected.first().copied());
            prop_assert_eq!(&bits.ones(start..end).collect::<Vec<_>>(), &expected);
            let mut inverted = bits.clone();
            inverted.invert();
            prop_assert_eq!(inverted.total(), values.iter().filter(|v| !**v).count());
            let mut loaded = Bits::default();
            loaded.load(&values.iter().copied().collect::<arrow::buffer::BooleanBuffer>().slice(start, end - start));
            prop_assert_eq!(loaded.ones(0..end - start).map(|row| row + start).collect::<Vec<_>>(), expected);
        }
    }
}

//! Whole numbers in a row, as narrow as the widest that came so far: an attribute of two million profiles is mostly a code or
//! an age, and a byte of each.

use arrow::buffer::BooleanBuffer;
use std::ops::Range;

/// Whole numbers. Those that are not negative and small are unsigned, all others have 64 bits.
#[derive(Debug)]
pub(super) enum Numbers {
    Byte(Vec<u8>),
    Short(Vec<u16>),
    Word(Vec<u32>),
    Long(Vec<i64>),
}

/// Evaluates `$body` with `$list` as the list of any width.
macro_rules! any {
    ($numbers:expr, $list:ident => $body:expr) => {
        match $numbers {
            Numbers::Byte($list) => $body,
            Numbers::Short($list) => $body,
            Numbers::Word($list) => $body,
            Numbers::Long($list) => $body,
        }
    };
}

impl Default for Numbers {
    fn default() -> Self {
        Self::Byte(Vec::new())
    }
}

impl Numbers {
    pub(super) fn len(&self) -> usize {
        any!(self, list => list.len())
    }

    /// Zeros where it becomes longer.
    pub(super) fn resize(&mut self, length: usize) {
        any!(self, list => list.resize(length, 0));
    }

    #[allow(clippy::useless_conversion, reason = "of one of the widths")]
    pub(super) fn get(&self, at: usize) -> i64 {
        any!(self, list => i64::from(list[at]))
    }

    /// Some of them, one after the other.
    #[allow(clippy::useless_conversion, reason = "of one of the widths")]
    pub(super) fn map<T>(&self, range: Range<usize>, of: impl Fn(i64) -> T) -> Vec<T> {
        any!(self, list => list[range].iter().map(|number| of(i64::from(*number))).collect())
    }

    /// Which of some of them are not zero.
    pub(super) fn bits(&self, range: Range<usize>) -> BooleanBuffer {
        any!(self, list => {
            let list = &list[range];
            BooleanBuffer::collect_bool(list.len(), |at| list[at] != 0)
        })
    }

    pub(super) fn set(&mut self, at: usize, number: i64) {
        let fits = match self {
            Self::Byte(list) => u8::try_from(number).map(|number| list[at] = number).is_ok(),
            Self::Short(list) => u16::try_from(number).map(|number| list[at] = number).is_ok(),
            Self::Word(list) => u32::try_from(number).map(|number| list[at] = number).is_ok(),
            Self::Long(list) => {
                list[at] = number;
                true
            }
        };
        if !fits {
            self.widen(number);
            self.set(at, number);
        }
    }

    /// The narrowest that holds a number which does not fit so far.
    fn widen(&mut self, number: i64) {
        let all = 0..self.len();
        // All that are there are not negative, and smaller.
        *self = match number {
            0..=0xffff => Self::Short(self.map(all, |number| number as u16)),
            0x1_0000..=0xffff_ffff => Self::Word(self.map(all, |number| number as u32)),
            _ => Self::Long(self.map(all, |number| number)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = i64> {
        prop_oneof![
            8 => 0_i64..300,
            2 => 65_530_i64..65_540,
            1 => 4_294_967_290_i64..4_294_967_300,
            1 => any::<i64>(),
        ]
    }

    proptest! {
        #[test]
        fn what_was_set_is_there(sets in proptest::collection::vec((0_usize..50, number()), 0..60), from in 0_usize..50) {
            let (mut numbers, mut plain) = (Numbers::default(), vec![0; 50]);
            numbers.resize(50);
            for (at, number) in sets {
                numbers.set(at, number);
                plain[at] = number;
            }
            prop_assert_eq!(numbers.map(from..50, |number| number), &plain[from..]);
            prop_assert!((0..50).all(|at| numbers.get(at) == plain[at]));
        }
    }
}

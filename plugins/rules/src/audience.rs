//! Figures of the whole audience: ranks and totals. They are learnt from everybody and kept as little as answers need:
//! for a rank the value at which it is reached, for a total its sum.

use crate::{
    ast::{CompareOp, Literal},
    compile::Program,
    graph::Id,
    kernel::{compare_floats, compare_literals},
    logic::Bools,
    vector::{Numbers, Vector},
};
use arrow::datatypes::ArrowNativeType;
use serde::{Deserialize, Serialize};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

/// What rules ask of everybody; values are nodes over profiles.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Figure {
    /// Which values have a rank, in percent, that is high enough.
    Cut {
        value: Id,
        reach: Reach,
        percent: Literal,
    },
    Total(Id),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    AtLeast,
    MoreThan,
}

/// A figure once everybody was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// How many profiles have a value.
    pub(crate) profiles: u64,
    pub(crate) found: Found,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Found {
    /// No value, however great, has the rank.
    Nobody,
    /// Every value has it.
    Everybody,
    /// Greater values have it.
    Above(Number),
    /// The sum, if it is a number.
    Sum(Option<Number>),
}

/// A number that JSON does not round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Number {
    Int(i64),
    /// Bits of a decimal.
    Float(u64),
}

/// The training pass: the values of everybody, of one instance or of several. What comes of it does not depend on the order
/// of the values, so that it is the same however everybody was cut into batches and parts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Census {
    values: BTreeMap<Id, Values>,
    /// Sums of whole numbers, and of how many.
    totals: BTreeMap<Id, (i128, u64)>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Values {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
}

impl Figure {
    /// The node over profiles that it is about.
    pub(crate) fn value(&self) -> Id {
        match self {
            Self::Cut { value, .. } | Self::Total(value) => *value,
        }
    }
}

impl Census {
    /// Adds the profiles of a batch; `vectors` are those of the program's nodes over profiles.
    pub(crate) fn observe(&mut self, program: &Program, vectors: &[Vector]) {
        let mut seen = BTreeSet::new();
        for figure in program.figures.iter() {
            let value = figure.value();
            // Decimals are summed in their own order, once all of them are here.
            let is_sum = matches!((figure, &vectors[value]), (Figure::Total(_), Vector::Ints(_)));
            if !seen.insert((value, is_sum)) {
                continue;
            }
            match (is_sum, &vectors[value]) {
                (true, Vector::Ints(numbers)) => {
                    let (sum, profiles) = self.totals.entry(value).or_default();
                    each(numbers, |value| *sum += i128::from(value));
                    *profiles += numbers.valid.total() as u64;
                }
                (false, Vector::Ints(numbers)) => {
                    let values = self.values.entry(value).or_insert(Values::Ints(Vec::new()));
                    if let Values::Ints(values) = values {
                        each(numbers, |value| values.push(value));
                    }
                }
                (_, Vector::Floats(numbers)) => {
                    let values = self.values.entry(value).or_insert(Values::Floats(Vec::new()));
                    if let Values::Floats(values) = values {
                        // Adding zero makes one of the two zeros.
                        each(numbers, |value| values.push(value + 0.0));
                    }
                }
                // A value that is null for everybody.
                _ => {}
            }
        }
    }

    /// Adds what another instance saw.
    pub(crate) fn absorb(&mut self, other: Self) {
        for (id, (sum, profiles)) in other.totals {
            let own = self.totals.entry(id).or_default();
            *own = (own.0 + sum, own.1 + profiles);
        }
        for (id, values) in other.values {
            match (self.values.get_mut(&id), values) {
                (Some(Values::Ints(own)), Values::Ints(values)) => own.extend(values),
                (Some(Values::Floats(own)), Values::Floats(values)) => own.extend(values),
                (_, values) => {
                    self.values.insert(id, values);
                }
            }
        }
    }

    /// Every figure of a program, in its order.
    pub(crate) fn fit(mut self, program: &Program) -> Vec<Known> {
        let known = |figure: &Figure| match figure {
            Figure::Cut { value, reach, percent } => match self.values.get_mut(value) {
                Some(values) => values.cut(*reach, percent),
                None => Known { profiles: 0, found: Found::Nobody },
            },
            Figure::Total(value) => match (self.totals.get(value), self.values.get_mut(value)) {
                (Some((sum, profiles)), _) => {
                    let sum = i64::try_from(*sum).ok().filter(|_| *profiles > 0).map(Number::Int);
                    Known { profiles: *profiles, found: Found::Sum(sum) }
                }
                (None, Some(Values::Floats(values))) => Known {
                    profiles: values.len() as u64,
                    found: Found::Sum(total(values).filter(|_| !values.is_empty())),
                },
                (None, _) => Known { profiles: 0, found: Found::Sum(None) },
            },
        };
        program.figures.iter().map(known).collect()
    }
}

/// Neumaier's sum, where what each addition loses is kept beside the sum; of the values in their own order.
fn total(values: &mut [f64]) -> Option<Number> {
    values.sort_unstable_by(f64::total_cmp);
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for value in values.iter().copied() {
        let next = sum + value;
        lost += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
        sum = next;
    }
    // Beyond the greatest number there is nothing left to correct.
    let sum = if sum.is_finite() { sum + lost } else { sum };
    (!sum.is_nan()).then(|| Number::of(sum))
}

impl Values {
    /// The rank of a value is `100 × smaller ÷ profiles`, so it is reached by values greater than that of some place in
    /// the order.
    fn cut(&mut self, reach: Reach, percent: &Literal) -> Known {
        let profiles = match self {
            Self::Ints(values) => values.len(),
            Self::Floats(values) => values.len(),
        };
        let op = if reach == Reach::AtLeast { CompareOp::GtEq } else { CompareOp::Gt };
        let reached = |smaller: usize| {
            let rank = crate::ast::Float::new(100.0 * smaller as f64 / profiles as f64);
            rank.and_then(|rank| compare_literals(&Literal::Float(rank), percent))
                .is_some_and(|order| op.holds(order))
        };
        let smaller = first(profiles + 1, reached);
        let found = match smaller {
            None => Found::Nobody,
            Some(0) => Found::Everybody,
            Some(smaller) => Found::Above(match self {
                Self::Ints(values) => Number::Int(*values.select_nth_unstable(smaller - 1).1),
                Self::Floats(values) => {
                    Number::of(*values.select_nth_unstable_by(smaller - 1, f64::total_cmp).1)
                }
            }),
        };
        Known { profiles: profiles as u64, found }
    }
}

impl Known {
    /// Which values reach the rank; unknown where there is no value, or nobody had one.
    pub(crate) fn reached(&self, value: &Vector, out: &mut Bools) {
        let rows = value.len();
        if self.profiles == 0 {
            return out.fill(rows, None);
        }
        match (&self.found, value) {
            (Found::Above(Number::Int(above)), Vector::Ints(numbers)) => {
                out.yes.pack_each(&numbers.values, |value| value > *above);
            }
            (Found::Above(Number::Float(bits)), Vector::Floats(numbers)) => {
                let above = f64::from_bits(*bits);
                out.yes.pack_each(&numbers.values, |value| compare_floats(value, above) == Ordering::Greater);
            }
            (found, _) => out.yes.fill(rows, *found == Found::Everybody),
        }
        let mut valid = std::mem::take(&mut out.no);
        value.copy_valid(&mut valid);
        out.settle(&valid);
    }

    /// What it says, for reasons.
    pub(crate) fn told(&self, asked: &Figure) -> String {
        let of = format!("of {} profiles", self.profiles);
        match (asked, &self.found) {
            (Figure::Total(_), Found::Sum(Some(sum))) => format!("is {sum}, {of}"),
            (Figure::Total(_), _) => format!("is null, {of}"),
            (Figure::Cut { reach, percent, .. }, found) => {
                let op = if *reach == Reach::AtLeast { ">=" } else { ">" };
                let percent = percent.decimal().unwrap_or(f64::NAN);
                let who = match found {
                    Found::Above(number) => format!("a value above {number}"),
                    Found::Everybody => "any value".to_owned(),
                    Found::Nobody | Found::Sum(_) => "no value".to_owned(),
                };
                format!("{op} {percent} has {who}, {of}")
            }
        }
    }

    /// The same sum for everybody.
    pub(crate) fn sum(known: Option<&Self>, rows: usize, out: &mut Vector) {
        let sum = match known.map(|known| &known.found) {
            Some(Found::Sum(sum)) => *sum,
            _ => None,
        };
        match out {
            Vector::Ints(out) => out.fill(
                rows,
                match sum {
                    Some(Number::Int(sum)) => Some(sum),
                    _ => None,
                },
            ),
            Vector::Floats(out) => out.fill(
                rows,
                match sum {
                    Some(Number::Float(bits)) => Some(f64::from_bits(bits)),
                    _ => None,
                },
            ),
            Vector::Bools(_) | Vector::Texts(_) => unreachable!("totals are numbers"),
        }
    }
}

impl Found {
    /// For reports: the number, where there is one.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Above(number) => Some(number.decimal()),
            Self::Sum(number) => number.map(Number::decimal),
            Self::Nobody | Self::Everybody => None,
        }
    }
}

impl Number {
    fn of(value: f64) -> Self {
        Self::Float(value.to_bits())
    }

    fn decimal(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(bits) => f64::from_bits(bits),
        }
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Float(bits) => f64::from_bits(*bits).fmt(f),
        }
    }
}

/// Shows every number that is not null; mostly few are not.
fn each<T: ArrowNativeType>(numbers: &Numbers<T>, mut see: impl FnMut(T)) {
    let values = &numbers.values[..];
    numbers.valid.each(|row| see(values[row]));
}

/// The first of so many numbers for which something holds that goes on holding once it does.
fn first(count: usize, holds: impl Fn(usize) -> bool) -> Option<usize> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    (low < count).then_some(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::Float;
    use proptest::prelude::*;

    proptest! {
        /// However everybody is cut into parts, and in whatever order they come.
        #[test]
        fn parts_add_up(
            floats in prop::collection::vec(-1e16..1e16_f64, 0..60), ints in prop::collection::vec(any::<i64>(), 0..60),
            cut in 0..60_usize,
        ) {
            let census = |floats: &[f64], ints: &[i64]| Census {
                values: [(0, Values::Floats(floats.to_vec())), (1, Values::Ints(ints.to_vec()))].into(),
                totals: [(2, (ints.iter().map(|value| i128::from(*value)).sum(), ints.len() as u64))].into(),
            };
            let (mut whole, mut turned) = (census(&floats, &ints), floats.clone());
            turned.reverse();
            let (at, other) = (cut.min(turned.len()), cut.min(ints.len()));
            let mut parts = census(&turned[at..], &ints[other..]);
            parts.absorb(census(&turned[..at], &ints[..other]));
            prop_assert_eq!(parts.totals, whole.totals);
            for id in [0, 1] {
                let percent = Literal::Int(60);
                let (parts, whole) = (parts.values.get_mut(&id).unwrap(), whole.values.get_mut(&id).unwrap());
                prop_assert_eq!(parts.cut(Reach::AtLeast, &percent), whole.cut(Reach::AtLeast, &percent));
                if let (Values::Floats(parts), Values::Floats(whole)) = (parts, whole) {
                    prop_assert_eq!(total(parts), total(whole));
                }
            }
        }

        /// What is kept decides every value as the definition does, values that nobody had included.
        #[test]
        fn a_cut_is_the_definition(
            mut values in prop::collection::vec(-20..20_i64, 1..40), percent in -2..103_i64, quarter in 0..4_u8,
        ) {
            values.sort_unstable();
            let percent = percent as f64 + f64::from(quarter) / 4.0;
            for reach in [Reach::AtLeast, Reach::MoreThan] {
                let known = Values::Ints(values.clone()).cut(reach, &Literal::Float(Float::new(percent).unwrap()));
                for value in -25..25 {
                    let smaller = values.iter().filter(|other| **other < value).count();
                    let rank = 100.0 * smaller as f64 / values.len() as f64;
                    let expected = if reach == Reach::AtLeast { rank >= percent } else { rank > percent };
                    let found = match known.found {
                        Found::Everybody => true,
                        Found::Above(Number::Int(above)) => value > above,
                        _ => false,
                    };
                    prop_assert_eq!(found, expected, "{} among {:?}", value, &values);
                }
            }
        }

        /// A top share is never larger than it says, however many tie.
        #[test]
        fn a_top_share_is_no_larger(mut values in prop::collection::vec(0..5_i64, 1..200), top in 1..100_i64) {
            values.sort_unstable();
            let known = Values::Ints(values.clone()).cut(Reach::AtLeast, &Literal::Int(100 - top));
            let inside = match known.found {
                Found::Everybody => values.len(),
                Found::Above(Number::Int(above)) => values.iter().filter(|value| **value > above).count(),
                _ => 0,
            };
            prop_assert!(inside as i64 * 100 <= top * values.len() as i64);
        }
    }
}

//! Comparisons and arithmetic, of single values and of vectors. Integers that overflow, division by zero and what is
//! not a number give null.

use crate::{
    ast::{ArithmeticOp, CompareOp, IsTest, Literal},
    bits::Bits,
    logic::Bools,
    vector::{Narrow, Numbers, Vector, narrow},
};
use arrow::datatypes::ArrowNativeType;
use std::cmp::Ordering;

const DAY_US: f64 = 86_400_000_000.0;
/// Ages beyond this are not searched for.
const OLDEST_US: i64 = i64::MAX / 4;

/// An age as rules see it.
pub(crate) fn days(age_us: i64) -> f64 {
    age_us as f64 / DAY_US
}

/// Exact, where a conversion would round.
pub(crate) fn compare_mixed(int: i64, float: f64) -> Ordering {
    const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;
    if float >= TOO_LARGE {
        return Ordering::Less;
    }
    if float < -TOO_LARGE {
        return Ordering::Greater;
    }
    let whole = float.trunc();
    int.cmp(&(whole as i64)).then(compare_floats(0.0, float - whole))
}

/// Both are numbers.
pub(crate) fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

pub(crate) fn calculate_ints(op: ArithmeticOp, a: i64, b: i64) -> Option<i64> {
    match op {
        ArithmeticOp::Add => a.checked_add(b),
        ArithmeticOp::Subtract => a.checked_sub(b),
        ArithmeticOp::Multiply => a.checked_mul(b),
        ArithmeticOp::Divide => None,
    }
}

pub(crate) fn calculate_floats(op: ArithmeticOp, a: f64, b: f64) -> Option<f64> {
    let result = match op {
        ArithmeticOp::Add => a + b,
        ArithmeticOp::Subtract => a - b,
        ArithmeticOp::Multiply => a * b,
        ArithmeticOp::Divide if b == 0.0 => return None,
        ArithmeticOp::Divide => a / b,
    };
    (!result.is_nan()).then_some(result)
}

/// The order of two literals of types that can be compared.
pub(crate) fn compare_literals(a: &Literal, b: &Literal) -> Option<Ordering> {
    Some(match (a, b) {
        (Literal::Bool(a), Literal::Bool(b)) => a.cmp(b),
        (Literal::Int(a), Literal::Int(b)) | (Literal::Time(a), Literal::Time(b)) => a.cmp(b),
        (Literal::Int(a), Literal::Float(b)) => compare_mixed(*a, b.get()),
        (Literal::Float(a), Literal::Int(b)) => compare_mixed(*b, a.get()).reverse(),
        (Literal::Float(a), Literal::Float(b)) => compare_floats(a.get(), b.get()),
        (Literal::Text(a), Literal::Text(b)) => a.cmp(b),
        _ => return None,
    })
}

pub(crate) fn is(test: IsTest, of: &Vector, out: &mut Bools) {
    match test {
        IsTest::Null => {
            of.copy_valid(&mut out.yes);
            out.yes.invert();
        }
        IsTest::True => out.yes.copy(&of.bools().yes),
        IsTest::False => out.yes.copy(&of.bools().no),
    }
    out.settle_total();
}

pub(crate) fn compare(op: CompareOp, left: &Vector, right: &Vector, out: &mut Bools) {
    match (left, right) {
        (Vector::Ints(a), Vector::Ints(b)) => ints(op, a, b, out),
        (Vector::Floats(a), Vector::Floats(b)) => numbers(op, a, b, out, compare_floats),
        (Vector::Ints(a), Vector::Floats(b)) => numbers(op, a, b, out, compare_mixed),
        (Vector::Floats(a), Vector::Ints(b)) => numbers(op, a, b, out, |a, b| compare_mixed(b, a).reverse()),
        (Vector::Texts(a), Vector::Texts(b)) => {
            let order = |row| Some(a.get(row)?.cmp(b.get(row)?));
            out.yes.pack(a.valid.len(), |row| order(row).is_some_and(|order| op.holds(order)));
            out.no.pack(a.valid.len(), |row| order(row).is_some_and(|order| !op.holds(order)));
        }
        (Vector::Bools(a), Vector::Bools(b)) => {
            let order = |row| Some(a.get(row)?.cmp(&b.get(row)?));
            out.yes.pack(a.yes.len(), |row| order(row).is_some_and(|order| op.holds(order)));
            out.no.pack(a.yes.len(), |row| order(row).is_some_and(|order| !op.holds(order)));
        }
        _ => unreachable!("types are checked to be comparable"),
    }
}

pub(crate) fn compare_literal(op: CompareOp, left: &Vector, literal: &Literal, out: &mut Bools) {
    match (left, literal) {
        (Vector::Ints(a), Literal::Int(b) | Literal::Time(b)) => int_literal(op, a, *b, out),
        (Vector::Ints(a), Literal::Float(b)) => with_literal(op, a, out, |a| compare_mixed(a, b.get())),
        (Vector::Floats(a), Literal::Int(b)) => with_literal(op, a, out, |a| compare_mixed(*b, a).reverse()),
        (Vector::Floats(a), Literal::Float(b)) => with_literal(op, a, out, |a| compare_floats(a, b.get())),
        _ => unreachable!("types are checked to be comparable"),
    }
}

pub(crate) fn compare_days(op: CompareOp, age: &Vector, other: &Vector, out: &mut Bools) {
    match (age, other) {
        (Vector::Ints(age), Vector::Ints(b)) => {
            numbers(op, age, b, out, |age, b| compare_mixed(b, days(age)).reverse())
        }
        (Vector::Ints(age), Vector::Floats(b)) => {
            numbers(op, age, b, out, |age, b| compare_floats(days(age), b))
        }
        _ => unreachable!("types are checked to be comparable"),
    }
}

/// How many microseconds from now on the comparison of an age with a number that stays gets another answer.
pub(crate) fn days_change_us(op: CompareOp, age: &Vector, other: &Vector, row: usize) -> Option<i64> {
    let Vector::Ints(age) = age else { unreachable!("ages are integers") };
    let age = age.get(row)?;
    match other {
        Vector::Ints(b) => {
            let b = b.get(row)?;
            crossing_us(op, age, b as f64, |age| compare_mixed(b, days(age)).reverse())
        }
        Vector::Floats(b) => {
            let b = b.get(row)?;
            crossing_us(op, age, b, |age| compare_floats(days(age), b))
        }
        _ => unreachable!("types are checked to be comparable"),
    }
}

fn crossing_us(op: CompareOp, age: i64, days: f64, order: impl Fn(i64) -> Ordering) -> Option<i64> {
    let near = (days * DAY_US) as i64;
    let reaches = || first_after(age, near, |age| order(age).is_ge());
    let passes = || first_after(age, near, |age| order(age).is_gt());
    let at = match op {
        CompareOp::Lt | CompareOp::GtEq => reaches(),
        CompareOp::LtEq | CompareOp::Gt => passes(),
        // No age may be equal to the number, then the comparison never changes.
        CompareOp::Eq | CompareOp::NotEq => match reaches() {
            Some(at) => order(at).is_eq().then_some(at),
            None => passes(),
        },
    };
    Some(at? - age)
}

/// The first number after `start` for which something holds that goes on holding once it does, if it does not hold at
/// `start`; the search begins `near` it.
fn first_after(start: i64, near: i64, holds: impl Fn(i64) -> bool) -> Option<i64> {
    let (mut low, mut high) = (start, OLDEST_US);
    if holds(low) || !holds(high) {
        return None;
    }
    for guess in [near.saturating_sub(8), near.saturating_add(8)] {
        if low < guess && guess < high {
            if holds(guess) { high = guess } else { low = guess }
        }
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

pub(crate) fn in_ints(of: &Vector, list: &[i64], out: &mut Bools) {
    let Vector::Ints(of) = of else { unreachable!("only integers are looked up as integers") };
    out.yes.pack(of.values.len(), |row| list.binary_search(&of.values[row]).is_ok());
    out.settle(&of.valid);
}

pub(crate) fn arithmetic(op: ArithmeticOp, left: &Vector, right: &Vector, out: &mut Vector) {
    match (left, right, out) {
        (Vector::Ints(a), Vector::Ints(b), Vector::Ints(out)) => {
            calculated(a, b, out, |a, b| calculate_ints(op, a, b));
        }
        (Vector::Floats(a), Vector::Floats(b), Vector::Floats(out)) => {
            calculated(a, b, out, |a, b| calculate_floats(op, a, b));
        }
        _ => unreachable!("both sides are made one type"),
    }
}

/// Null where a side is, or where there is no result; what is computed of null rows is not looked at.
fn calculated<T: ArrowNativeType>(
    a: &Numbers<T>,
    b: &Numbers<T>,
    out: &mut Numbers<T>,
    result: impl Fn(T, T) -> Option<T>,
) {
    let values = out.values.clear();
    let pairs = a.values.iter().zip(b.values.iter());
    let mut all = true;
    values.extend(pairs.clone().map(|(a, b)| {
        let result = result(*a, *b);
        all &= result.is_some();
        result.unwrap_or_default()
    }));
    out.valid.copy(&a.valid);
    out.valid.and(&b.valid);
    if !all {
        let mut known = Bits::default();
        let mut pairs = pairs;
        known.pack(values.len(), |_| pairs.next().is_some_and(|(a, b)| result(*a, *b).is_some()));
        out.valid.and(&known);
    }
}

/// The commonest comparison of two sides; the operator is chosen outside of the loop.
fn ints(op: CompareOp, a: &Numbers<i64>, b: &Numbers<i64>, out: &mut Bools) {
    match op {
        CompareOp::Eq => out.yes.pack_pairs(&a.values, &b.values, |a, b| a == b),
        CompareOp::NotEq => out.yes.pack_pairs(&a.values, &b.values, |a, b| a != b),
        CompareOp::Lt => out.yes.pack_pairs(&a.values, &b.values, |a, b| a < b),
        CompareOp::LtEq => out.yes.pack_pairs(&a.values, &b.values, |a, b| a <= b),
        CompareOp::Gt => out.yes.pack_pairs(&a.values, &b.values, |a, b| a > b),
        CompareOp::GtEq => out.yes.pack_pairs(&a.values, &b.values, |a, b| a >= b),
    }
    settle_both(a, b, out);
}

/// Unknown where a side is.
fn settle_both<A: ArrowNativeType, B: ArrowNativeType>(a: &Numbers<A>, b: &Numbers<B>, out: &mut Bools) {
    out.yes.and(&a.valid);
    out.settle(&b.valid);
    out.no.and(&a.valid);
}

fn numbers<A: ArrowNativeType, B: ArrowNativeType>(
    op: CompareOp,
    a: &Numbers<A>,
    b: &Numbers<B>,
    out: &mut Bools,
    order: impl Fn(A, B) -> Ordering,
) {
    out.yes.pack(a.values.len(), |row| op.holds(order(a.values[row], b.values[row])));
    settle_both(a, b, out);
}

fn with_literal<A: ArrowNativeType>(
    op: CompareOp,
    a: &Numbers<A>,
    out: &mut Bools,
    order: impl Fn(A) -> Ordering,
) {
    out.yes.pack(a.values.len(), |row| op.holds(order(a.values[row])));
    out.settle(&a.valid);
}

/// The commonest comparison; the operator is chosen outside of the loop.
fn int_literal(op: CompareOp, a: &Numbers<i64>, b: i64, out: &mut Bools) {
    match &a.narrow {
        None => with_number(op, &a.values, b, &mut out.yes),
        Some(narrow) => narrow!(narrow, values => match b.try_into() {
            Ok(b) => with_number(op, values, b, &mut out.yes),
            // Beyond all that this many bits hold, on one side or the other.
            Err(_) => {
                let order = if b > 0 { Ordering::Less } else { Ordering::Greater };
                out.yes.fill(values.len(), op.holds(order));
            }
        }),
    }
    out.settle(&a.valid);
}

fn with_number<T: Copy + Ord>(op: CompareOp, values: &[T], number: T, out: &mut Bits) {
    match op {
        CompareOp::Eq => out.pack_each(values, |value| value == number),
        CompareOp::NotEq => out.pack_each(values, |value| value != number),
        CompareOp::Lt => out.pack_each(values, |value| value < number),
        CompareOp::LtEq => out.pack_each(values, |value| value <= number),
        CompareOp::Gt => out.pack_each(values, |value| value > number),
        CompareOp::GtEq => out.pack_each(values, |value| value >= number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_meet_decimals_exactly() {
        let large = (1_i64 << 53) + 1;
        assert_eq!(compare_mixed(large, (1_i64 << 53) as f64), Ordering::Greater);
        assert_eq!(compare_mixed(-2, -2.5), Ordering::Greater);
        assert_eq!(compare_mixed(-3, -2.5), Ordering::Less);
        assert_eq!(compare_mixed(2, 2.0), Ordering::Equal);
        assert_eq!(compare_mixed(i64::MAX, 9.3e18), Ordering::Less);
        assert_eq!(compare_mixed(i64::MIN, f64::NEG_INFINITY), Ordering::Greater);
        assert_eq!(compare_mixed(i64::MIN, -9_223_372_036_854_775_808.0), Ordering::Equal);
    }

    #[test]
    fn what_has_no_answer_is_null() {
        assert_eq!(calculate_floats(ArithmeticOp::Divide, 1.0, 0.0), None);
        assert_eq!(calculate_floats(ArithmeticOp::Subtract, f64::INFINITY, f64::INFINITY), None);
        assert_eq!(calculate_ints(ArithmeticOp::Multiply, i64::MAX, 2), None);
    }

    proptest! {
        #[test]
        fn crossings_are_the_first_change(
            age in 0_i64..400_000_000_000,
            threshold in prop_oneof![-1.0..5.0, (0..20_i64).prop_map(|quarter| quarter as f64 / 4.0)],
        ) {
            for op in [CompareOp::Eq, CompareOp::NotEq, CompareOp::Lt, CompareOp::LtEq, CompareOp::Gt, CompareOp::GtEq] {
                let truth = |age| op.holds(compare_floats(days(age), threshold));
                match crossing_us(op, age, threshold, |age| compare_floats(days(age), threshold)) {
                    Some(later) => {
                        prop_assert!(later > 0);
                        prop_assert_ne!(truth(age + later), truth(age));
                        prop_assert_eq!(truth(age + later - 1), truth(age));
                    }
                    None => prop_assert_eq!(truth(OLDEST_US), truth(age)),
                }
            }
        }
    }
}

//! From one type to another with nothing lost: a value that the other type does not hold exactly is not converted.

use crate::{Result, store::columns::ColumnType};
use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int64Array},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type, UInt64Type},
};
use std::sync::Arc;

/// The first float that is no `i64` any more, and the last one downwards that is.
const END: f64 = 9_223_372_036_854_775_808.0;

/// How numbers may become other numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Integers may become decimals.
    Widen,
    /// And whole decimals integers.
    Exact,
}

/// Whether any value of a column could need a look before it is of a type.
pub(super) fn is_of(kind: &DataType, wanted: ColumnType) -> bool {
    ColumnType::of(kind) == Some(wanted) && *values(kind) != DataType::UInt64
}

/// A column in the plain form of a type, null where a value is not exactly one of it; and the rows of those values.
pub(super) fn convert(
    column: &ArrayRef,
    wanted: ColumnType,
    numbers: Numbers,
) -> Result<(ArrayRef, Vec<u32>)> {
    let from = ColumnType::of(column.data_type());
    let plain = || cast(column, values(column.data_type()));
    let made: ArrayRef = match (from, wanted) {
        (Some(ColumnType::Integer), ColumnType::Integer)
            if *values(column.data_type()) == DataType::UInt64 =>
        {
            let fits = |v: u64| i64::try_from(v).ok();
            Arc::new(plain()?.as_primitive::<UInt64Type>().unary_opt::<_, Int64Type>(fits))
        }
        (Some(ColumnType::Integer), ColumnType::Decimal)
            if *values(column.data_type()) == DataType::UInt64 =>
        {
            let made: Float64Array =
                plain()?.as_primitive::<UInt64Type>().unary_opt(|v| decimal(i128::from(v)));
            Arc::new(made)
        }
        (Some(ColumnType::Integer), ColumnType::Decimal) => {
            let whole = cast(column, &DataType::Int64)?;
            let made: Float64Array = whole.as_primitive::<Int64Type>().unary_opt(|v| decimal(i128::from(v)));
            Arc::new(made)
        }
        (Some(ColumnType::Decimal), ColumnType::Integer) if numbers == Numbers::Exact => {
            let made: Int64Array =
                cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().unary_opt(integer);
            Arc::new(made)
        }
        (Some(from), wanted) if from == wanted => cast(column, &wanted.plain())?,
        _ => arrow::array::new_null_array(&wanted.plain(), column.len()),
    };
    let before = column.logical_nulls();
    let had = |row: usize| before.as_ref().is_none_or(|nulls| nulls.is_valid(row));
    let lost = match made.null_count() == column.logical_null_count() {
        true => Vec::new(),
        false => {
            (0..made.len()).filter(|row| made.is_null(*row) && had(*row)).map(|row| row as u32).collect()
        }
    };
    Ok((made, lost))
}

/// What a value of a column is, for people: its type, and of a number that is not taken why.
pub(super) fn found(kind: &DataType, wanted: ColumnType, numbers: Numbers) -> String {
    match (ColumnType::of(kind), wanted) {
        (Some(ColumnType::Integer), ColumnType::Decimal) => {
            "an integer that no decimal is exactly".to_owned()
        }
        (Some(ColumnType::Integer), ColumnType::Integer) => "an integer of more than 63 bits".to_owned(),
        (Some(ColumnType::Decimal), ColumnType::Integer) if numbers == Numbers::Exact => {
            "a decimal that no integer is exactly".to_owned()
        }
        (Some(kind), _) => kind.name().to_owned(),
        (None, _) => kind.to_string(),
    }
}

/// The type of the values of a column, which may be coded.
pub(super) fn values(kind: &DataType) -> &DataType {
    match kind {
        DataType::Dictionary(_, of) => values(of),
        other => other,
    }
}

fn decimal(whole: i128) -> Option<f64> {
    let made = whole as f64;
    (made as i128 == whole).then_some(made)
}

fn integer(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && (-END..END).contains(&number)).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BooleanArray, StringArray, UInt64Array};
    use proptest::prelude::*;

    fn made(column: impl Array + 'static, wanted: ColumnType, numbers: Numbers) -> (ArrayRef, Vec<u32>) {
        convert(&(Arc::new(column) as ArrayRef), wanted, numbers).unwrap()
    }

    proptest! {
        /// What is converted says the same number, what is not would have said another.
        #[test]
        fn numbers_stay_what_they_are(
            whole in prop::collection::vec(prop_oneof![any::<i64>(), -10_i64..10, (1_i64 << 53) - 3..(1 << 53) + 3], 1..20),
            broken in prop::collection::vec(prop_oneof![any::<f64>(), (-9_i32..9).prop_map(f64::from)], 1..20),
        ) {
            let (decimals, lost) = made(Int64Array::from(whole.clone()), ColumnType::Decimal, Numbers::Widen);
            for (row, number) in whole.iter().enumerate() {
                let exact = *number as f64 as i128 == i128::from(*number);
                prop_assert_eq!(!exact, lost.contains(&(row as u32)));
                if exact {
                    let back = decimals.as_primitive::<Float64Type>().value(row);
                    prop_assert_eq!(back as i128, i128::from(*number));
                }
            }
            let (integers, lost) = made(Float64Array::from(broken.clone()), ColumnType::Integer, Numbers::Exact);
            for (row, number) in broken.iter().enumerate() {
                let taken = !lost.contains(&(row as u32));
                prop_assert_eq!(taken, integers.is_valid(row));
                if taken {
                    prop_assert_eq!(integers.as_primitive::<Int64Type>().value(row) as f64, *number);
                }
            }
            let (_, lost) = made(Float64Array::from(broken.clone()), ColumnType::Integer, Numbers::Widen);
            prop_assert_eq!(lost.len(), broken.len());
        }
    }

    #[test]
    fn other_types_are_never_read_as_each_other_and_nothing_stays_nothing() {
        for wanted in [ColumnType::Integer, ColumnType::Decimal, ColumnType::Boolean, ColumnType::Time] {
            let (_, lost) = made(StringArray::from(vec![Some("1"), None]), wanted, Numbers::Exact);
            assert_eq!(lost, [0], "{wanted:?}");
        }
        let flags = BooleanArray::from(vec![Some(true), None]);
        assert_eq!(made(flags.clone(), ColumnType::Text, Numbers::Exact).1, [0]);
        assert_eq!(made(flags, ColumnType::Integer, Numbers::Exact).1, [0]);
        let large = UInt64Array::from(vec![Some(u64::MAX), Some(7), None]);
        assert_eq!(made(large.clone(), ColumnType::Integer, Numbers::Widen).1, [0]);
        assert_eq!(made(large, ColumnType::Decimal, Numbers::Widen).1, [0]);
    }
}

//! What an event says, as a number: so that another event under a used id is told from the same one once more. It is read
//! from the row as its source handed it out, before any enrichment, without the id itself, without consent (which may be
//! said anew) and without what the source says is of the receipt.

use super::exact::values;
use crate::{Result, store::ids::Says};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array},
    compute::cast,
    datatypes::{DataType, Field, Int64Type, UInt32Type},
};
use kindred_plugin_api::columns::{CONSENT, CONSENT_VERSION, EVENT_ID, is_received};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// What each row of a batch says. The order of the columns does not matter, nor do empty ones.
pub(super) fn contents(batch: &RecordBatch) -> Result<Vec<Says>> {
    let schema = batch.schema();
    let counts = |field: &Field| {
        ![EVENT_ID, CONSENT, CONSENT_VERSION].contains(&field.name().as_str()) && !is_received(field)
    };
    let columns: BTreeMap<&String, usize> = schema
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| counts(field))
        .map(|(at, f)| (f.name(), at))
        .collect();
    let mut rows = vec![0_u64; batch.num_rows()];
    let mut names = String::new();
    for (name, at) in columns {
        let kind = schema.field(at).data_type();
        names.push_str(&format!("{name}\0{}\0", values(kind)));
        add(&mut rows, batch.column(at), xxh3_64(name.as_bytes()))?;
    }
    let columns = xxh3_64(names.as_bytes()) as u16;
    Ok(rows.into_iter().map(|hash| Says { columns, hash: mixed(hash) }).collect())
}

/// Adds what a column says to each row.
fn add(rows: &mut [u64], values: &ArrayRef, seed: u64) -> Result<()> {
    let each = |rows: &mut [u64], of: &dyn Fn(usize) -> u64| {
        let nulls = values.logical_nulls();
        for (row, hash) in rows.iter_mut().enumerate() {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                *hash = hash.wrapping_add(of(row));
            }
        }
    };
    if let Some(coded) = values.as_any_dictionary_opt() {
        let mut hashes = vec![0; coded.values().len()];
        add(&mut hashes, coded.values(), seed)?;
        let keys = cast(coded.keys(), &DataType::UInt32)?;
        let keys: &UInt32Array = keys.as_primitive::<UInt32Type>();
        each(rows, &|row| hashes.get(keys.value(row) as usize).copied().unwrap_or_default());
        return Ok(());
    }
    match values.data_type() {
        DataType::Utf8 => {
            let texts = values.as_string::<i32>();
            each(rows, &|row| xxh3_64_with_seed(texts.value(row).as_bytes(), seed));
        }
        DataType::Boolean => {
            let flags = values.as_boolean();
            each(rows, &|row| mixed(seed ^ u64::from(flags.value(row))));
        }
        kind if kind.is_floating() => {
            let numbers = cast(values, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<arrow::datatypes::Float64Type>();
            each(rows, &|row| mixed(seed ^ numbers.value(row).to_bits()));
        }
        DataType::UInt64 => {
            let numbers = values.as_primitive::<arrow::datatypes::UInt64Type>();
            each(rows, &|row| mixed(seed ^ numbers.value(row)));
        }
        kind if kind.is_integer() || kind.is_temporal() => {
            let numbers = cast(values, &DataType::Int64)?;
            let numbers = numbers.as_primitive::<Int64Type>();
            each(rows, &|row| mixed(seed ^ numbers.value(row).cast_unsigned()));
        }
        _ => {
            let texts = cast(values, &DataType::Utf8)?;
            let texts = texts.as_string::<i32>();
            each(rows, &|row| xxh3_64_with_seed(texts.value(row).as_bytes(), seed));
        }
    }
    Ok(())
}

/// splitmix64's finish: every bit of the answer hangs on every bit of the number.
fn mixed(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{Int64Array, StringArray},
        datatypes::Schema,
    };
    use kindred_plugin_api::columns::received;
    use proptest::prelude::*;
    use std::sync::Arc;

    type Row = (Option<String>, Option<i64>, Option<String>);

    fn batch(rows: &[Row], coded: bool, ip: &str) -> RecordBatch {
        let text = |of: fn(&Row) -> Option<String>| -> ArrayRef {
            Arc::new(StringArray::from_iter(rows.iter().map(of)))
        };
        let a = text(|row| row.0.clone());
        let a = if coded { cast(&a, &kindred_plugin_api::columns::coded()).unwrap() } else { a };
        let b: ArrayRef = Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.1)));
        let same =
            |value: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(|_| value))) };
        let mut columns = vec![
            (Field::new("a", a.data_type().clone(), true), a),
            (Field::new("b", DataType::Int64, true), b),
            (Field::new("c", DataType::Utf8, true), text(|row| row.2.clone())),
            (received(Field::new("ip", DataType::Utf8, true)), same(ip)),
            (Field::new(CONSENT, DataType::Utf8, true), same(ip)),
        ];
        if coded {
            columns.reverse();
        }
        let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    proptest! {
        /// Two rows have one number exactly if they say the same, in whatever layout, by whatever way they came.
        #[test]
        fn the_same_is_told_from_another(rows in prop::collection::vec(
            (prop::option::of("[ab]{0,2}"), prop::option::of(-2_i64..3), prop::option::of("[ab]{0,2}")), 1..30)
        ) {
            let first = contents(&batch(&rows, false, "10.0.0.1")).unwrap();
            let second = contents(&batch(&rows, true, "10.9.9.9")).unwrap();
            prop_assert_eq!(&first, &second);
            for (a, one) in rows.iter().zip(&first) {
                for (b, other) in rows.iter().zip(&first) {
                    prop_assert_eq!(a == b, one == other, "{:?} {:?}", a, b);
                }
            }
        }
    }
}

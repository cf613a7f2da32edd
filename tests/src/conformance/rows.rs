//! Batches for the suite, and rows as text, so that outputs can be compared and hashed.

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray, UInt32Array, new_null_array,
    },
    compute::take_record_batch,
    datatypes::{DataType, Field},
    util::display::{ArrayFormatter, FormatOptions},
};
use kindred_plugin_api::{Reject, columns::timestamp};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{RngSeed, TestRunner},
};
use std::sync::Arc;

/// Each row as one line.
pub(super) fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("∅");
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).expect("a type that can be shown"))
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            columns.iter().map(|c| format!("{:?}", c.value(row).to_string())).collect::<Vec<_>>().join(" ")
        })
        .collect()
}

/// A reject as one line.
pub(super) fn reject_line(reject: &Reject) -> String {
    let Reject { row, code, message, payload, origin } = reject;
    format!("reject {row} {code:?} {message:?} {payload:?} {origin:?}")
}

/// The shapes that a batch can come in, by name.
pub(super) fn shapes(batch: &RecordBatch) -> Vec<(&'static str, RecordBatch)> {
    let rows = batch.num_rows();
    assert!(rows >= 8, "a scenario has at least eight rows");
    vec![
        ("empty", batch.slice(0, 0)),
        ("empty in the middle", batch.slice(rows / 2, 0)),
        ("one row", batch.slice(rows / 2, 1)),
        ("sliced", batch.slice(3, rows - 5)),
        ("the last row", batch.slice(rows - 1, 1)),
        ("whole", batch.clone()),
        ("without optional values", without_optional(batch)),
    ]
}

/// The same rows in another order, some of them twice.
pub(super) fn shuffled(batch: &RecordBatch) -> RecordBatch {
    let rows = batch.num_rows() as u32;
    let order = UInt32Array::from_iter_values((0..rows * 2).map(|i| (i * 7 + 3) % rows));
    take_record_batch(batch, &order).expect("rows that are there")
}

/// Every nullable column all null.
fn without_optional(batch: &RecordBatch) -> RecordBatch {
    let fields = batch.schema_ref().fields().iter().zip(batch.columns());
    let columns = fields.map(|(field, column)| {
        if field.is_nullable() { new_null_array(field.data_type(), batch.num_rows()) } else { column.clone() }
    });
    RecordBatch::try_new(batch.schema(), columns.collect()).expect("nulls where they are allowed")
}

/// Rows of any content that the schema allows; the same ones in every run. None where a column is of a type that
/// events do not have.
pub(super) fn random(batch: &RecordBatch, rows: usize) -> Option<RecordBatch> {
    let mut runner =
        TestRunner::new(ProptestConfig { rng_seed: RngSeed::Fixed(17), ..ProptestConfig::default() });
    let columns: Option<Vec<ArrayRef>> =
        batch.schema_ref().fields().iter().map(|field| random_column(&mut runner, field, rows)).collect();
    Some(RecordBatch::try_new(batch.schema(), columns?).expect("values of the schema's types"))
}

fn random_column(runner: &mut TestRunner, field: &Field, rows: usize) -> Option<ArrayRef> {
    // Nulls in a quarter of the rows, where they are allowed.
    let nulls = if field.is_nullable() { 0.75 } else { 1.0 };
    macro_rules! column {
        ($array:ty, $values:expr) => {
            Arc::new(<$array>::from(drawn(runner, prop::option::weighted(nulls, $values), rows)))
        };
    }
    Some(match field.data_type() {
        DataType::Utf8 => column!(StringArray, text()),
        DataType::Int64 => column!(Int64Array, any::<i64>()),
        DataType::Float64 => column!(Float64Array, prop::num::f64::ANY),
        DataType::Boolean => column!(BooleanArray, any::<bool>()),
        kind if *kind == timestamp() => {
            let times: TimestampMicrosecondArray =
                drawn(runner, prop::option::weighted(nulls, any::<i64>()), rows).into();
            Arc::new(times.with_timezone("+00:00"))
        }
        _ => return None,
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z0-9.+_]{1,12}@[a-z]{1,8}\\.(com|de)",
        "\\+?[0-9 ()/-]{0,20}",
        "(winter-coats|481|IAB 483|[ -~]{0,30})",
    ]
}

fn drawn<S: Strategy>(runner: &mut TestRunner, values: S, rows: usize) -> Vec<S::Value> {
    (0..rows).map(|_| values.new_tree(runner).expect("a value").current()).collect()
}

/// A fault of arrow's own full validation, if there is one.
pub(super) fn damage(batch: &RecordBatch) -> Result<(), String> {
    batch.columns().iter().try_for_each(|c| c.to_data().validate_full()).map_err(|e| e.to_string())
}

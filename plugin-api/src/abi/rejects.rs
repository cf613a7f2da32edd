//! Rejected rows and answers as batches, both ways.

use crate::{columns, Evaluated, Fault, Reject, Result};
use arrow::{
    array::{
        Array, AsArray, ListArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
        UInt64Array,
    },
    buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::{DataType, Field, TimestampMicrosecondType, UInt32Type, UInt64Type},
};
use std::sync::Arc;

/// As a batch of [`columns::rejects`].
pub fn to_batch(rejects: &[Reject]) -> Result<RecordBatch> {
    let text = |f: fn(&Reject) -> &str| Arc::new(StringArray::from_iter_values(rejects.iter().map(f)));
    let rows = UInt64Array::from_iter_values(rejects.iter().map(|r| r.row));
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(rows),
        text(|r| &r.code),
        text(|r| &r.message),
        text(|r| &r.payload),
        text(|r| &r.origin),
    ];
    Ok(RecordBatch::try_new(columns::rejects(), columns)?)
}

/// From a batch of [`columns::rejects`].
pub fn from_batch(batch: &RecordBatch) -> Vec<Reject> {
    let rows = batch.column(0).as_primitive::<UInt64Type>();
    let text = |column: usize, row: usize| batch.column(column).as_string::<i32>().value(row).to_owned();
    (0..batch.num_rows())
        .map(|i| Reject {
            row: rows.value(i),
            code: text(1, i),
            message: text(2, i),
            payload: text(3, i),
            origin: text(4, i),
        })
        .collect()
}

/// As a batch of [`columns::evaluated`].
pub(crate) fn evaluated_to_batch(answer: Evaluated) -> Result<RecordBatch> {
    let Evaluated { ends, ordinals, next_change_us } = answer;
    let offsets = std::iter::once(0).chain(ends).collect::<Vec<i32>>();
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let item = Arc::new(Field::new("item", DataType::UInt32, false));
    let segments = ListArray::try_new(item, offsets, Arc::new(UInt32Array::from(ordinals)), None)?;
    let known =
        BooleanBuffer::collect_bool(next_change_us.len(), |row| next_change_us[row] != Evaluated::NEVER);
    let next = TimestampMicrosecondArray::new(next_change_us.into(), Some(NullBuffer::new(known)));
    let next = next.with_timezone("+00:00");
    Ok(RecordBatch::try_new(columns::evaluated(), vec![Arc::new(segments), Arc::new(next)])?)
}

/// From a batch of [`columns::evaluated`].
///
/// # Errors
/// Permanent when the number of rows is not `rows`.
pub fn evaluated_from_batch(batch: &RecordBatch, rows: usize) -> Result<Evaluated> {
    if batch.num_rows() != rows {
        let found = batch.num_rows();
        return Err(Fault::permanent("row-count", format!("answered {found} rows for {rows} profiles")));
    }
    let segments = batch.column(0).as_list::<i32>();
    let next = batch.column(1).as_primitive::<TimestampMicrosecondType>();
    let offsets = segments.value_offsets();
    let (first, last) = (offsets[0], offsets[rows]);
    let ordinals = segments.values().as_primitive::<UInt32Type>();
    let answer = Evaluated {
        ends: offsets[1..].iter().map(|end| end - first).collect(),
        ordinals: ordinals.values()[first as usize..last as usize].to_vec(),
        next_change_us: match next.nulls() {
            None => next.values().to_vec(),
            Some(known) => {
                let mut times = vec![Evaluated::NEVER; rows];
                // Whole runs at once: mostly everybody has a time, or nobody.
                for (start, end) in known.valid_slices() {
                    times[start..end].copy_from_slice(&next.values()[start..end]);
                }
                times
            }
        },
    };
    Ok(answer)
}

//! Values of a test as Arrow columns.

use crate::{profile::Value, store::columns::ColumnType};
use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use std::sync::Arc;

/// Values as a column of one type; null where there is none, or one of another type. Integers stand for decimals too.
pub(super) fn column<'a>(kind: ColumnType, values: impl Iterator<Item = Option<&'a Value>>) -> ArrayRef {
    match kind {
        ColumnType::Integer => Arc::new(Int64Array::from_iter(values.map(|v| match v {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        }))),
        ColumnType::Decimal => Arc::new(Float64Array::from_iter(values.map(|v| match v {
            Some(Value::Decimal(number)) => Some(*number),
            Some(Value::Integer(number)) => Some(*number as f64),
            _ => None,
        }))),
        ColumnType::Boolean => Arc::new(BooleanArray::from_iter(values.map(|v| match v {
            Some(Value::Boolean(flag)) => Some(*flag),
            _ => None,
        }))),
        ColumnType::Time => {
            let times = values.map(|v| match v {
                Some(Value::Time(time)) => Some(*time),
                _ => None,
            });
            Arc::new(TimestampMicrosecondArray::from_iter(times).with_timezone("+00:00"))
        }
        ColumnType::Text => Arc::new(StringArray::from_iter(values.map(|v| match v {
            Some(Value::Text(text)) => Some(text.as_str()),
            _ => None,
        }))),
    }
}

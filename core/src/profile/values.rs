//! Values of attributes as Arrow columns.

use super::Value;
use crate::store::columns::ColumnType;
use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use std::sync::Arc;

/// Values as a column of one type; null where there is none, or one of another type. Integers stand for decimals too.
pub(crate) fn column<'a>(
    kind: Option<ColumnType>,
    values: impl Iterator<Item = Option<&'a Value>>,
) -> ArrayRef {
    match kind {
        Some(ColumnType::Integer) => Arc::new(Int64Array::from_iter(values.map(|v| match v {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        }))),
        Some(ColumnType::Decimal) => Arc::new(Float64Array::from_iter(values.map(|v| match v {
            Some(Value::Decimal(number)) => Some(*number),
            Some(Value::Integer(number)) => Some(*number as f64),
            _ => None,
        }))),
        Some(ColumnType::Boolean) => Arc::new(BooleanArray::from_iter(values.map(|v| match v {
            Some(Value::Boolean(flag)) => Some(*flag),
            _ => None,
        }))),
        Some(ColumnType::Time) => {
            let times = values.map(|v| match v {
                Some(Value::Time(time)) => Some(*time),
                _ => None,
            });
            Arc::new(TimestampMicrosecondArray::from_iter(times).with_timezone("+00:00"))
        }
        Some(ColumnType::Text) | None => Arc::new(StringArray::from_iter(values.map(|v| match v {
            Some(Value::Text(text)) => Some(text.as_str()),
            _ => None,
        }))),
    }
}

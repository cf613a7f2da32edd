//! How columns lie in a block: whole numbers, and with them the codes of texts, in the narrowest type that holds them all.
//! They are widened for the rows that are asked for, when they are.

use super::runs::Runs;
use crate::{Error, Result};
use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBufferBuilder, NullBufferBuilder,
        PrimitiveArray,
    },
    buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer},
    compute::{cast, max, min},
    datatypes::{
        ArrowNativeType, DataType, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type,
    },
};
use kindred_plugin_api::columns as api;
use serde::{Deserialize, Serialize};
use std::{ops::Range, sync::Arc};

/// The type of a column in a block. Texts are codes, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Width {
    /// 8 bits, unsigned.
    U8,
    /// 16 bits, unsigned.
    U16,
    /// 32 bits, unsigned.
    U32,
    /// 8 bits, signed.
    I8,
    /// 16 bits, signed.
    I16,
    /// 32 bits, signed.
    I32,
    /// 64 bits, signed.
    I64,
    /// 64-bit floating point.
    Decimal,
    /// True or false.
    Boolean,
    /// Microseconds since 1970, UTC.
    Time,
}

/// Whole numbers, the narrowest first.
const WHOLE: [(Width, i64, i64); 7] = [
    (Width::U8, 0, u8::MAX as i64),
    (Width::I8, i8::MIN as i64, i8::MAX as i64),
    (Width::U16, 0, u16::MAX as i64),
    (Width::I16, i16::MIN as i64, i16::MAX as i64),
    (Width::U32, 0, u32::MAX as i64),
    (Width::I32, i32::MIN as i64, i32::MAX as i64),
    (Width::I64, i64::MIN, i64::MAX),
];

/// Evaluates `$body` with `$T` as the Arrow type of a width that is not [`Width::Boolean`].
macro_rules! primitive {
    ($width:expr, $T:ident => $body:expr, boolean => $boolean:expr) => {
        match $width {
            Width::U8 => {
                type $T = UInt8Type;
                $body
            }
            Width::U16 => {
                type $T = UInt16Type;
                $body
            }
            Width::U32 => {
                type $T = UInt32Type;
                $body
            }
            Width::I8 => {
                type $T = Int8Type;
                $body
            }
            Width::I16 => {
                type $T = Int16Type;
                $body
            }
            Width::I32 => {
                type $T = Int32Type;
                $body
            }
            Width::I64 => {
                type $T = Int64Type;
                $body
            }
            Width::Decimal => {
                type $T = Float64Type;
                $body
            }
            Width::Time => {
                type $T = TimestampMicrosecondType;
                $body
            }
            Width::Boolean => $boolean,
        }
    };
}

impl Width {
    /// The narrowest that holds all numbers between two.
    fn between(least: i64, most: i64) -> Self {
        let fits = |(_, from, to): &&(Self, i64, i64)| *from <= least && most <= *to;
        WHOLE.iter().find(fits).map_or(Self::I64, |(width, ..)| *width)
    }

    /// Its least and greatest number; none where it is not of whole numbers.
    fn range(self) -> Option<(i64, i64)> {
        WHOLE.iter().find(|(width, ..)| *width == self).map(|(_, from, to)| (*from, *to))
    }

    /// The narrowest that these values fit in.
    ///
    /// # Errors
    /// When nothing of this type is stored.
    pub(crate) fn of(values: &ArrayRef) -> Result<Self> {
        let width = Self::named(values.data_type())?;
        if width.range().is_none() {
            return Ok(width);
        }
        let whole = cast(values, &DataType::Int64)?;
        let whole = whole.as_primitive::<Int64Type>();
        Ok(Self::between(min(whole).unwrap_or(0), max(whole).unwrap_or(0)))
    }

    /// That of an Arrow type.
    ///
    /// # Errors
    /// When nothing of this type is stored.
    pub(super) fn named(kind: &DataType) -> Result<Self> {
        Ok(match kind {
            DataType::UInt8 => Self::U8,
            DataType::UInt16 => Self::U16,
            DataType::UInt32 => Self::U32,
            DataType::Int8 => Self::I8,
            DataType::Int16 => Self::I16,
            DataType::Int32 => Self::I32,
            DataType::Int64 => Self::I64,
            DataType::Float64 => Self::Decimal,
            DataType::Boolean => Self::Boolean,
            DataType::Timestamp(..) => Self::Time,
            other => return Err(Error::Column(format!("columns of type {other} are not stored"))),
        })
    }

    /// One that holds what both hold.
    ///
    /// # Errors
    /// When they are of different kinds.
    pub(crate) fn join(self, other: Self) -> Result<Self> {
        match (self.range(), other.range()) {
            (Some(a), Some(b)) => Ok(Self::between(a.0.min(b.0), a.1.max(b.1))),
            _ if self == other => Ok(self),
            _ => Err(Error::Column(format!("one column is stored as {self:?} and as {other:?}"))),
        }
    }

    /// Its Arrow type.
    pub(crate) fn arrow(self) -> DataType {
        match self {
            Self::Time => api::timestamp(),
            _ => primitive!(self, T => T::DATA_TYPE, boolean => DataType::Boolean),
        }
    }

    /// Values as they lie in memory, at the start of a buffer.
    pub(crate) fn read(self, bytes: Buffer, rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
        primitive!(self, T => {
            let values = ScalarBuffer::new(bytes, 0, rows);
            Arc::new(PrimitiveArray::<T>::new(values, nulls).with_data_type(self.arrow()))
        }, boolean => Arc::new(BooleanArray::new(BooleanBuffer::new(bytes, 0, rows), nulls)))
    }

    /// The rows of some parts, one after the other, in this width; nulls where a part has no such column.
    pub(super) fn copy(self, runs: &Runs, parts: &[Option<&ArrayRef>]) -> Result<ArrayRef> {
        if let Some((part, rows)) = runs.single()
            && let Some(values) = parts[part]
            && Self::named(values.data_type())? == self
        {
            return Ok(values.slice(rows.start, rows.len()));
        }
        let nulls = nulls(runs, parts);
        Ok(primitive!(self, T => {
            let values = primitives::<T>(runs, parts)?;
            Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(self.arrow()))
        }, boolean => {
            let mut values = BooleanBufferBuilder::new(runs.rows());
            for (part, rows) in runs.iter() {
                match parts[part] {
                    None => values.append_n(rows.len(), false),
                    Some(part) => values.append_buffer(&part.as_boolean().values().slice(rows.start, rows.len())),
                }
            }
            Arc::new(BooleanArray::new(values.finish(), nulls))
        }))
    }
}

/// A whole number of a column of them.
pub(super) fn whole(values: &ArrayRef, row: usize) -> Option<i64> {
    let width = Width::named(values.data_type()).ok().filter(|width| width.range().is_some())?;
    primitive!(width, T => values.as_primitive::<T>().value(row).to_i64(), boolean => None)
}

fn nulls(runs: &Runs, parts: &[Option<&ArrayRef>]) -> Option<NullBuffer> {
    let full = |part: usize| parts[part].is_some_and(|values| values.null_count() == 0);
    if runs.iter().all(|(part, _)| full(part)) {
        return None;
    }
    let mut nulls = NullBufferBuilder::new(runs.rows());
    for (part, rows) in runs.iter() {
        match parts[part].map(|values| values.nulls()) {
            None => nulls.append_n_nulls(rows.len()),
            Some(None) => nulls.append_n_non_nulls(rows.len()),
            Some(Some(own)) if rows.len() == 1 => nulls.append(own.is_valid(rows.start)),
            Some(Some(own)) => nulls.append_buffer(&own.slice(rows.start, rows.len())),
        }
    }
    nulls.finish()
}

fn primitives<O: ArrowPrimitiveType>(runs: &Runs, parts: &[Option<&ArrayRef>]) -> Result<Vec<O::Native>> {
    let mut out = Vec::with_capacity(runs.rows());
    for (part, rows) in runs.iter() {
        match parts[part] {
            None => out.resize(out.len() + rows.len(), O::default_value()),
            Some(values) => extend::<O>(&mut out, values, rows)?,
        }
    }
    Ok(out)
}

/// Adds rows of a column that is of the same width or of a narrower one.
fn extend<O: ArrowPrimitiveType>(
    out: &mut Vec<O::Native>,
    values: &ArrayRef,
    rows: Range<usize>,
) -> Result<()> {
    if let Some(same) = values.as_primitive_opt::<O>() {
        out.extend_from_slice(&same.values()[rows]);
        return Ok(());
    }
    let mixed =
        || Error::Column(format!("a column of {} among others of {}", values.data_type(), O::DATA_TYPE));
    let width = Width::named(values.data_type())?;
    let wide = Width::named(&O::DATA_TYPE)?;
    if width.range().is_none() || wide.range().is_none() || wide.join(width)? != wide {
        return Err(mixed());
    }
    primitive!(width, I => {
        let from = &values.as_primitive::<I>().values()[rows];
        // Through 64 bits, sign and all: the compiler makes one instruction of it.
        out.extend(from.iter().map(|value| O::Native::usize_as(value.as_usize())));
        Ok(())
    }, boolean => Err(mixed()))
}

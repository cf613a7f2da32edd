//! Columns as the evaluator works on them: one vector per node of a graph, kept and refilled from batch to batch.

use crate::{ast::Type, bits::Bits, logic::Bools, texts::Texts, wide::wide};
use arrow::{
    array::{Array, AsArray},
    buffer::{NullBuffer, ScalarBuffer},
    datatypes::{
        ArrowNativeType, DataType, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type,
    },
};
use kindred_plugin_api::{Fault, Result};

/// The values of one node for all rows.
#[derive(Debug)]
pub(crate) enum Vector {
    Bools(Bools),
    /// Integers, times and ages, both in microseconds.
    Ints(Numbers<i64>),
    Floats(Numbers<f64>),
    Texts(Texts),
}

/// Numbers; what is not valid is null.
#[derive(Debug, Default)]
pub(crate) struct Numbers<T: ArrowNativeType> {
    pub(crate) values: Values<T>,
    pub(crate) valid: Bits,
    /// The same values in fewer bits, where a column came so.
    pub(crate) narrow: Option<Narrow>,
}

/// Whole numbers as the batch has them.
#[derive(Clone, Debug)]
pub(crate) enum Narrow {
    I8(ScalarBuffer<i8>),
    I16(ScalarBuffer<i16>),
    I32(ScalarBuffer<i32>),
    U8(ScalarBuffer<u8>),
    U16(ScalarBuffer<u16>),
    U32(ScalarBuffer<u32>),
}

/// Evaluates `$body` with `$values` as the slice of a [`Narrow`].
macro_rules! narrow {
    ($narrow:expr, $values:ident => $body:expr) => {
        match $narrow {
            Narrow::I8($values) => $body,
            Narrow::I16($values) => $body,
            Narrow::I32($values) => $body,
            Narrow::U8($values) => $body,
            Narrow::U16($values) => $body,
            Narrow::U32($values) => $body,
        }
    };
}
pub(crate) use narrow;

/// Values that were computed here, or that stay where Arrow has them.
#[derive(Debug)]
pub(crate) enum Values<T: ArrowNativeType> {
    Own(Vec<T>),
    Column(ScalarBuffer<T>),
}

impl Vector {
    /// An empty vector for values of a type.
    pub(crate) fn of(kind: Type) -> Self {
        match kind {
            Type::Int | Type::Time | Type::Age => Self::Ints(Numbers::default()),
            Type::Float => Self::Floats(Numbers::default()),
            Type::Text => Self::Texts(Texts::default()),
            Type::Bool | Type::Null | Type::Any | Type::Rank => Self::Bools(Bools::default()),
        }
    }

    /// Refills it from an Arrow column. Whole numbers that come in fewer bits are made 64 bits only where they are `wide`;
    /// else they are in `narrow` alone.
    ///
    /// # Errors
    /// A permanent fault when the column is not of the type that the vector was made for.
    pub(crate) fn load(&mut self, array: &dyn Array, wide: bool) -> Result<()> {
        match (self, array.data_type()) {
            (Self::Bools(out), DataType::Boolean) => {
                let array = array.as_boolean();
                out.yes.load(array.values());
                load_valid(&mut out.no, array.nulls(), array.len());
                let valid = std::mem::take(&mut out.no);
                out.settle(&valid);
            }
            (Self::Ints(out), DataType::Int64) => {
                out.narrow = None;
                out.load(array.as_primitive::<Int64Type>().values(), array.nulls());
            }
            (Self::Ints(out), kind) if kind.is_integer() && *kind != DataType::UInt64 => {
                out.load_narrow(Narrow::of(array)?, array.nulls(), wide);
            }
            (Self::Ints(out), DataType::Timestamp(..)) => {
                out.load(array.as_primitive::<TimestampMicrosecondType>().values(), array.nulls());
            }
            (Self::Floats(out), DataType::Float64) => {
                out.load(array.as_primitive::<Float64Type>().values(), array.nulls());
                if out.values.iter().any(|value| value.is_nan()) {
                    let Numbers { values, valid, .. } = out;
                    let present = std::mem::take(valid);
                    valid.pack(values.len(), |row| present.get(row) && !values[row].is_nan());
                }
            }
            (Self::Texts(out), _) => out.load(array)?,
            (_, other) => {
                return Err(Fault::permanent(
                    "schema",
                    format!("a column has the type {other}, not the agreed one"),
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn bools(&self) -> &Bools {
        match self {
            Self::Bools(bools) => bools,
            _ => unreachable!("conditions are checked to be boolean"),
        }
    }

    /// About how many bytes it has.
    pub(crate) fn bytes(&self) -> usize {
        self.len() * if matches!(self, Self::Bools(_)) { 1 } else { 8 }
    }

    /// How many rows it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bools(bools) => bools.yes.len(),
            Self::Ints(numbers) => numbers.valid.len(),
            Self::Floats(numbers) => numbers.valid.len(),
            Self::Texts(texts) => texts.valid.len(),
        }
    }

    /// Where there is a value, which is kept for all but truth.
    pub(crate) fn valid(&self) -> Option<&Bits> {
        match self {
            Self::Bools(_) => None,
            Self::Ints(numbers) => Some(&numbers.valid),
            Self::Floats(numbers) => Some(&numbers.valid),
            Self::Texts(texts) => Some(&texts.valid),
        }
    }

    /// Where there is a value: numbers that are not null, truth that is not unknown.
    pub(crate) fn copy_valid(&self, out: &mut Bits) {
        match (self.valid(), self) {
            (None, Self::Bools(bools)) => {
                out.copy(&bools.yes);
                out.or(&bools.no);
            }
            (valid, _) => valid.into_iter().for_each(|valid| out.copy(valid)),
        }
    }

    /// Refills it with the rows of another vector; `u32::MAX` for null.
    pub(crate) fn gather(&mut self, from: &Vector, rows: &[u32]) {
        match (self, from) {
            (Self::Bools(out), Self::Bools(from)) => {
                let at = |bits: &Bits, row: usize| rows[row] != u32::MAX && bits.get(rows[row] as usize);
                out.yes.pack(rows.len(), |row| at(&from.yes, row));
                out.no.pack(rows.len(), |row| at(&from.no, row));
            }
            (Self::Ints(out), Self::Ints(from)) => out.gather(from, rows),
            (Self::Floats(out), Self::Floats(from)) => out.gather(from, rows),
            (Self::Texts(out), Self::Texts(from)) => out.gather(from, rows),
            _ => unreachable!("a column keeps its type"),
        }
    }
}

impl<T: ArrowNativeType> std::ops::Deref for Values<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Own(values) => values,
            Self::Column(values) => values,
        }
    }
}

impl<T: ArrowNativeType> Default for Values<T> {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl<T: ArrowNativeType> Values<T> {
    /// Room of its own, empty.
    pub(crate) fn clear(&mut self) -> &mut Vec<T> {
        let values = self.own();
        values.clear();
        values
    }

    /// Room of its own, with whatever was there last.
    fn own(&mut self) -> &mut Vec<T> {
        if let Self::Column(_) = self {
            *self = Self::default();
        }
        match self {
            Self::Own(values) => values,
            Self::Column(_) => unreachable!("it was made its own above"),
        }
    }
}

impl Narrow {
    fn of(array: &dyn Array) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Int8 => Self::I8(array.as_primitive::<Int8Type>().values().clone()),
            DataType::Int16 => Self::I16(array.as_primitive::<Int16Type>().values().clone()),
            DataType::Int32 => Self::I32(array.as_primitive::<Int32Type>().values().clone()),
            DataType::UInt8 => Self::U8(array.as_primitive::<UInt8Type>().values().clone()),
            DataType::UInt16 => Self::U16(array.as_primitive::<UInt16Type>().values().clone()),
            DataType::UInt32 => Self::U32(array.as_primitive::<UInt32Type>().values().clone()),
            other => {
                return Err(Fault::permanent(
                    "schema",
                    format!("a column of {other} is not of whole numbers"),
                ));
            }
        })
    }
}

impl Numbers<i64> {
    fn load_narrow(&mut self, narrow: Narrow, nulls: Option<&NullBuffer>, wide_too: bool) {
        let wide_values = self.values.own();
        narrow!(&narrow, values => {
            load_valid(&mut self.valid, nulls, values.len());
            wide_values.resize(if wide_too { values.len() } else { 0 }, 0);
            wide(
                #[inline(always)]
                || wide_values.iter_mut().zip(values.iter()).for_each(|(to, value)| *to = i64::from(*value)),
            );
        });
        self.narrow = Some(narrow);
    }
}

impl<T: ArrowNativeType> Numbers<T> {
    fn load(&mut self, values: &ScalarBuffer<T>, nulls: Option<&NullBuffer>) {
        self.values = Values::Column(values.clone());
        load_valid(&mut self.valid, nulls, values.len());
    }

    /// The same for every row.
    pub(crate) fn fill(&mut self, rows: usize, value: Option<T>) {
        self.values.clear().resize(rows, value.unwrap_or_default());
        self.valid.fill(rows, value.is_some());
    }

    /// Refills it row by row.
    pub(crate) fn fill_with(&mut self, rows: usize, mut value: impl FnMut(usize) -> Option<T>) {
        let Self { values, valid, .. } = self;
        let values = values.clear();
        valid.pack(rows, |row| {
            let value = value(row);
            values.push(value.unwrap_or_default());
            value.is_some()
        });
    }

    pub(crate) fn get(&self, row: usize) -> Option<T> {
        self.valid.get(row).then(|| self.values[row])
    }

    fn gather(&mut self, from: &Self, rows: &[u32]) {
        self.fill_with(rows.len(), |row| (rows[row] != u32::MAX).then(|| from.values[rows[row] as usize]));
    }
}

pub(crate) fn load_valid(out: &mut Bits, nulls: Option<&NullBuffer>, rows: usize) {
    match nulls {
        Some(nulls) => out.load(nulls.inner()),
        None => out.fill(rows, true),
    }
}

//! One attribute of all profiles, by number.

use super::{Value, base::Cells};
use crate::{
    Result,
    store::columns::{ColumnType, Dictionary},
};
use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, TimestampMicrosecondArray,
        UInt32Array,
    },
    buffer::{BooleanBuffer, NullBuffer},
    datatypes::UInt32Type,
};
use serde::Deserialize;
use std::{ops::Range, sync::Arc};

/// A [`Value`] that is not owned; the variants are in the same order.
#[derive(Clone, Copy, Deserialize)]
pub(super) enum CellRef<'a> {
    Text(&'a str),
    Integer(i64),
    Decimal(f64),
    Boolean(bool),
    Time(i64),
}

/// As bits, eight at a time: a multiplication brings the lowest bit of each byte into the highest byte.
fn bits(values: &[bool]) -> BooleanBuffer {
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let byte = |eight: [bool; 8]| (u64::from_le_bytes(eight.map(u8::from)).wrapping_mul(GATHER) >> 56) as u8;
    let (eights, rest) = values.as_chunks::<8>();
    let mut last = [false; 8];
    last[..rest.len()].copy_from_slice(rest);
    let bytes: Vec<u8> = eights.iter().chain([&last]).map(|eight| byte(*eight)).collect();
    BooleanBuffer::new(bytes.into(), 0, values.len())
}

impl<'a> CellRef<'a> {
    pub(super) fn of(value: &'a Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text),
            Value::Integer(number) => Self::Integer(*number),
            Value::Decimal(number) => Self::Decimal(*number),
            Value::Boolean(flag) => Self::Boolean(*flag),
            Value::Time(time) => Self::Time(*time),
        }
    }
}

/// One attribute of all profiles.
#[derive(Debug)]
pub(super) struct Column {
    kind: ColumnType,
    /// Integers and times as they are, decimals by their bits, booleans as 0 and 1, text by code.
    cells: Vec<i64>,
    present: Vec<bool>,
    texts: Dictionary,
}

impl Column {
    pub(super) fn new(kind: ColumnType) -> Self {
        Self { kind, cells: Vec::new(), present: Vec::new(), texts: Dictionary::default() }
    }

    pub(super) fn clear(&mut self, row: usize) {
        if let Some(present) = self.present.get_mut(row) {
            *present = false;
        }
    }

    /// Takes over what the file has of profiles that are as they are there.
    pub(super) fn fill(&mut self, cells: &Cells, based: &[bool]) {
        if cells.kind != self.kind {
            return;
        }
        let codes: Vec<i64> = cells.texts.iter().map(|text| i64::from(self.texts.code(text))).collect();
        let rows = self.cells.len().max(based.len());
        self.cells.resize(rows, 0);
        self.present.resize(rows, false);
        for (row, _) in based.iter().enumerate().filter(|(row, based)| **based && cells.values.is_valid(*row))
        {
            let value = cells.values.value(row);
            let code = || usize::try_from(value).ok().and_then(|at| codes.get(at)).copied();
            let cell = if self.kind == ColumnType::Text { code() } else { Some(value) };
            self.present[row] = cell.is_some();
            self.cells[row] = cell.unwrap_or_default();
        }
    }

    /// The first profiles, for a file.
    pub(super) fn cells(&self, rows: usize) -> Cells {
        let own = rows.min(self.cells.len());
        let present = BooleanBuffer::collect_bool(rows, |row| row < own && self.present[row]);
        let values = (0..rows).map(|row| if row < own { self.cells[row] } else { 0 });
        let values = Int64Array::new(values.collect(), Some(NullBuffer::new(present)));
        Cells { kind: self.kind, values, texts: self.texts.texts().map(str::to_owned).collect() }
    }

    /// A value that does not fit the column's type counts as none.
    pub(super) fn set(&mut self, row: usize, value: CellRef<'_>) {
        let cell = match (self.kind, value) {
            (ColumnType::Text, CellRef::Text(text)) => i64::from(self.texts.code(text)),
            (ColumnType::Integer, CellRef::Integer(number)) => number,
            (ColumnType::Decimal, CellRef::Decimal(number)) => number.to_bits().cast_signed(),
            (ColumnType::Decimal, CellRef::Integer(number)) => (number as f64).to_bits().cast_signed(),
            (ColumnType::Boolean, CellRef::Boolean(flag)) => i64::from(flag),
            (ColumnType::Time, CellRef::Time(time)) => time,
            _ => return,
        };
        if self.cells.len() <= row {
            self.cells.resize(row + 1, 0);
            self.present.resize(row + 1, false);
        }
        self.cells[row] = cell;
        self.present[row] = true;
    }

    /// Profiles whose numbers follow each other: most batches of a pass.
    fn show_neighbours(&self, rows: Range<usize>) -> Result<ArrayRef> {
        let (cells, present) = (&self.cells[rows.clone()], &self.present[rows]);
        let nulls = Some(NullBuffer::new(bits(present))).filter(|nulls| nulls.null_count() > 0);
        Ok(match self.kind {
            ColumnType::Text => {
                let codes = UInt32Array::new(cells.iter().map(|code| *code as u32).collect(), nulls);
                Arc::new(DictionaryArray::<UInt32Type>::try_new(codes, self.texts.array())?)
            }
            ColumnType::Integer => Arc::new(Int64Array::new(cells.to_vec().into(), nulls)),
            ColumnType::Decimal => {
                let values = cells.iter().map(|bits| f64::from_bits(bits.cast_unsigned()));
                Arc::new(Float64Array::new(values.collect(), nulls))
            }
            ColumnType::Boolean => {
                let values = BooleanBuffer::collect_bool(cells.len(), |row| cells[row] != 0);
                Arc::new(BooleanArray::new(values, nulls))
            }
            ColumnType::Time => {
                let values = TimestampMicrosecondArray::new(cells.to_vec().into(), nulls);
                Arc::new(values.with_timezone("+00:00"))
            }
        })
    }

    pub(super) fn show(&mut self, profiles: &[u32]) -> Result<ArrayRef> {
        let ends = profiles.first().zip(profiles.last());
        if let Some((first, last)) = ends.map(|(first, last)| (*first as usize, *last as usize))
            && last - first + 1 == profiles.len()
            && last < self.cells.len()
        {
            return self.show_neighbours(first..last + 1);
        }
        let (cells, present) = (&self.cells, &self.present);
        let found = profiles.iter().map(|profile| {
            let row = *profile as usize;
            present.get(row).is_some_and(|present| *present).then(|| cells[row])
        });
        Ok(match self.kind {
            ColumnType::Text => {
                let codes = UInt32Array::from_iter(found.map(|cell| cell.map(|code| code as u32)));
                Arc::new(DictionaryArray::<UInt32Type>::try_new(codes, self.texts.array())?)
            }
            ColumnType::Integer => Arc::new(Int64Array::from_iter(found)),
            ColumnType::Decimal => Arc::new(Float64Array::from_iter(
                found.map(|cell| cell.map(|bits| f64::from_bits(bits.cast_unsigned()))),
            )),
            ColumnType::Boolean => {
                Arc::new(BooleanArray::from_iter(found.map(|cell| cell.map(|flag| flag != 0))))
            }
            ColumnType::Time => Arc::new(TimestampMicrosecondArray::from_iter(found).with_timezone("+00:00")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn bits_are_the_values(values in proptest::collection::vec(proptest::bool::ANY, 0..200)) {
            proptest::prop_assert_eq!(bits(&values).iter().collect::<Vec<_>>(), values);
        }
    }
}

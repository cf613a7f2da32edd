//! One attribute of all profiles, by number.

use super::{Value, base::Cells, numbers::Numbers};
use crate::{
    Result,
    store::columns::{ColumnType, Dictionary},
};
use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, BooleanBufferBuilder, DictionaryArray, Float64Array, Int64Array,
        TimestampMicrosecondArray, UInt32Array,
    },
    buffer::{BooleanBuffer, Buffer, NullBuffer},
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
    cells: Numbers,
    /// Of as many profiles.
    present: BooleanBufferBuilder,
    texts: Dictionary,
}

impl Column {
    pub(super) fn new(kind: ColumnType) -> Self {
        let present = BooleanBufferBuilder::new(0);
        Self { kind, cells: Numbers::default(), present, texts: Dictionary::default() }
    }

    pub(super) fn clear(&mut self, row: usize) {
        if row < self.present.len() {
            self.present.set_bit(row, false);
        }
    }

    /// Makes room for so many profiles.
    fn reach(&mut self, rows: usize) {
        if self.cells.len() < rows {
            self.cells.resize(rows);
            self.present.resize(rows);
        }
    }

    fn get(&self, row: usize) -> Option<i64> {
        (row < self.present.len() && self.present.get_bit(row)).then(|| self.cells.get(row))
    }

    /// Takes over what the file has of profiles that are as they are there.
    pub(super) fn fill(&mut self, cells: &Cells, based: &[bool]) {
        if cells.kind != self.kind {
            return;
        }
        let codes: Vec<i64> = cells.texts.iter().map(|text| i64::from(self.texts.code(text))).collect();
        self.reach(based.len());
        for (row, _) in based.iter().enumerate().filter(|(row, based)| **based && cells.values.is_valid(*row))
        {
            let value = cells.values.value(row);
            let code = || usize::try_from(value).ok().and_then(|at| codes.get(at)).copied();
            let cell = if self.kind == ColumnType::Text { code() } else { Some(value) };
            self.present.set_bit(row, cell.is_some());
            self.cells.set(row, cell.unwrap_or_default());
        }
    }

    /// The first profiles, for a file.
    pub(super) fn cells(&self, rows: usize) -> Cells {
        let values = (0..rows).map(|row| self.get(row)).collect();
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
        self.reach(row + 1);
        self.cells.set(row, cell);
        self.present.set_bit(row, true);
    }

    /// Profiles whose numbers follow each other: most batches of a pass.
    fn show_neighbours(&self, rows: Range<usize>) -> Result<ArrayRef> {
        let bytes = &self.present.as_slice()[rows.start / 8..rows.end.div_ceil(8)];
        let present = BooleanBuffer::new(Buffer::from(bytes), rows.start % 8, rows.len());
        let nulls = Some(NullBuffer::new(present)).filter(|nulls| nulls.null_count() > 0);
        let cells = &self.cells;
        Ok(match self.kind {
            ColumnType::Text => {
                let codes = UInt32Array::new(cells.map(rows, |code| code as u32).into(), nulls);
                Arc::new(DictionaryArray::<UInt32Type>::try_new(codes, self.texts.array())?)
            }
            ColumnType::Integer => Arc::new(Int64Array::new(cells.map(rows, |number| number).into(), nulls)),
            ColumnType::Decimal => {
                let values = cells.map(rows, |bits| f64::from_bits(bits.cast_unsigned()));
                Arc::new(Float64Array::new(values.into(), nulls))
            }
            ColumnType::Boolean => Arc::new(BooleanArray::new(cells.bits(rows), nulls)),
            ColumnType::Time => {
                let values = TimestampMicrosecondArray::new(cells.map(rows, |time| time).into(), nulls);
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
        let found = profiles.iter().map(|profile| self.get(*profile as usize));
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

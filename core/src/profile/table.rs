//! Attributes and consent of all profiles by column, as batches want them. A copy of the records, read from the database
//! a page at a time when it is first asked for, and kept in step with what is edited.

use super::{Profile, Value};
use crate::{
    Result,
    store::columns::{ColumnType, Dictionary},
};
use arrow::{
    array::{
        ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, TimestampMicrosecondArray,
        UInt32Array,
    },
    datatypes::UInt32Type,
};
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// Profiles that are read together.
const PAGE: u32 = 256;

/// All profiles by column.
#[derive(Debug, Default)]
pub(super) struct Table {
    columns: BTreeMap<String, Column>,
    granted: Vec<bool>,
    /// Pages that are here.
    loaded: Vec<bool>,
}

/// One attribute of all profiles.
#[derive(Debug)]
struct Column {
    kind: ColumnType,
    /// Integers and times as they are, decimals by their bits, booleans as 0 and 1, text by code.
    cells: Vec<i64>,
    present: Vec<bool>,
    texts: Dictionary,
}

impl Table {
    /// The page of a profile if it still has to be read.
    pub(super) fn missing(&self, profile: u32) -> Option<Range<u32>> {
        let page = profile / PAGE;
        let here = self.loaded.get(page as usize).copied().unwrap_or(false);
        (!here).then(|| page * PAGE..page.saturating_add(1).saturating_mul(PAGE))
    }

    /// A page was read: all its profiles that exist were given to [`Self::set`].
    pub(super) fn loaded(&mut self, page: &Range<u32>) {
        let at = (page.start / PAGE) as usize;
        if self.loaded.len() <= at {
            self.loaded.resize(at + 1, false);
        }
        self.loaded[at] = true;
    }

    /// Takes over a profile; types are those that the store declares.
    pub(super) fn set(&mut self, profile: u32, record: &Profile, types: &BTreeMap<String, ColumnType>) {
        let row = profile as usize;
        if self.granted.len() <= row {
            self.granted.resize(row + 1, false);
        }
        self.granted[row] = record.consents();
        for (name, kind) in types {
            let attribute = record.attributes.get(name);
            let known = self.columns.contains_key(name);
            if attribute.is_none() && !known {
                continue;
            }
            let column = self.columns.entry(name.clone()).or_insert_with(|| Column::new(*kind));
            column.set(row, attribute.map(|a| &a.value));
        }
    }

    /// Whether a profile that is here may be evaluated and sent.
    pub(super) fn consents(&self, profile: u32) -> bool {
        self.granted.get(profile as usize).copied().unwrap_or(false)
    }

    /// An attribute of some profiles that are here; text is coded.
    ///
    /// # Errors
    /// None in practice: codes are those of the dictionary.
    pub(super) fn column(&mut self, name: &str, kind: ColumnType, profiles: &[u32]) -> Result<ArrayRef> {
        let column = self.columns.entry(name.to_owned()).or_insert_with(|| Column::new(kind));
        column.show(profiles)
    }

    /// Forgets an attribute whose type changed; its pages are read again.
    pub(super) fn retype(&mut self) {
        self.columns.clear();
        self.loaded.clear();
    }
}

impl Column {
    fn new(kind: ColumnType) -> Self {
        Self { kind, cells: Vec::new(), present: Vec::new(), texts: Dictionary::default() }
    }

    fn set(&mut self, row: usize, value: Option<&Value>) {
        let cell = match (self.kind, value) {
            (ColumnType::Text, Some(Value::Text(text))) => Some(i64::from(self.texts.code(text))),
            (ColumnType::Integer, Some(Value::Integer(number))) => Some(*number),
            (ColumnType::Decimal, Some(Value::Decimal(number))) => Some(number.to_bits().cast_signed()),
            (ColumnType::Decimal, Some(Value::Integer(number))) => {
                Some((*number as f64).to_bits().cast_signed())
            }
            (ColumnType::Boolean, Some(Value::Boolean(flag))) => Some(i64::from(*flag)),
            (ColumnType::Time, Some(Value::Time(time))) => Some(*time),
            _ => None,
        };
        if self.cells.len() <= row {
            self.cells.resize(row + 1, 0);
            self.present.resize(row + 1, false);
        }
        self.cells[row] = cell.unwrap_or_default();
        self.present[row] = cell.is_some();
    }

    fn show(&mut self, profiles: &[u32]) -> Result<ArrayRef> {
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

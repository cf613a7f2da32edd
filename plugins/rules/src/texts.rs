//! Text of a batch: codes and a dictionary, or the text itself, as Arrow has it.

use crate::{bits::Bits, logic::Bools, vector::load_valid, wide::wide};
use arrow::{
    array::{Array, AsArray, StringArray},
    buffer::ScalarBuffer,
    datatypes::{DataType, UInt8Type, UInt16Type, UInt32Type},
};
use kindred_plugin_api::{Fault, Result};
use std::collections::HashMap;

/// Text that stays where Arrow has it.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    column: TextColumn,
    /// For each row the row of `column`, when they are not the same.
    rows: Option<Vec<u32>>,
    pub(crate) valid: Bits,
}

#[derive(Clone, Debug)]
struct TextColumn {
    keys: Keys,
    values: StringArray,
}

#[derive(Clone, Debug)]
enum Keys {
    Plain,
    U8(ScalarBuffer<u8>),
    U16(ScalarBuffer<u16>),
    U32(ScalarBuffer<u32>),
}

/// Dictionaries up to this length have codes of one byte while a batch is worked on.
const NARROW: usize = 256;

impl Texts {
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        self.valid
            .get(row)
            .then(|| self.column.value(self.rows.as_ref().map_or(row, |rows| rows[row] as usize)))
    }

    /// Refills it row by row.
    pub(crate) fn fill_with<'a>(&mut self, rows: usize, value: impl Fn(usize) -> Option<&'a str>) {
        let values: StringArray = (0..rows).map(value).collect();
        self.valid.pack(rows, |row| values.is_valid(row));
        self.rows = None;
        self.column = TextColumn { keys: Keys::Plain, values };
    }

    /// Refills it with one text.
    pub(crate) fn fill(&mut self, rows: usize, text: &str) {
        self.column = TextColumn { keys: Keys::Plain, values: StringArray::from(vec![text]) };
        self.rows = Some(vec![0; rows]);
        self.valid.fill(rows, true);
    }

    /// Asks `f` once per value of the dictionary, then looks the rows up by their codes.
    pub(crate) fn test(&self, out: &mut Bools, table: &mut Vec<bool>, f: impl Fn(&str) -> bool) {
        let (rows, values) = (self.valid.len(), &self.column.values);
        let small = !matches!(self.column.keys, Keys::Plain) && values.len() <= 2 * rows + 64;
        if small {
            table.clear();
            table.extend((0..values.len()).map(|code| values.is_valid(code) && f(values.value(code))));
        }
        match (&self.column.keys, small) {
            (Keys::U8(keys), true) if self.rows.is_none() => look_up_bytes(keys, table, &mut out.yes),
            (Keys::U8(keys), true) => self.look_up(keys, table, &mut out.yes),
            (Keys::U16(keys), true) => self.look_up(keys, table, &mut out.yes),
            (Keys::U32(keys), true) => self.look_up(keys, table, &mut out.yes),
            _ => out.yes.pack(rows, |row| self.get(row).is_some_and(&f)),
        }
        out.settle(&self.valid);
    }

    fn look_up<K: Copy + Into<u32>>(&self, keys: &[K], table: &[bool], out: &mut Bits) {
        // Keys of null rows may be anything.
        let holds = |row: usize| table.get(keys[row].into() as usize).copied().unwrap_or(false);
        match &self.rows {
            None => out.pack(self.valid.len(), holds),
            Some(rows) => out.pack(self.valid.len(), |row| self.valid.get(row) && holds(rows[row] as usize)),
        }
    }

    /// For each row a number that is the same where the texts are, and how many there are; of rows that are null, any.
    pub(crate) fn codes(&self) -> (Vec<u32>, usize) {
        let mut seen: HashMap<&str, u32> = HashMap::new();
        let mut code = |text| {
            let next = seen.len() as u32;
            *seen.entry(text).or_insert(next)
        };
        let rows = 0..self.valid.len();
        let codes = if matches!(self.column.keys, Keys::Plain) || self.rows.is_some() {
            rows.map(|row| self.get(row).map_or(0, &mut code)).collect()
        } else {
            let table: Vec<u32> = self.column.values.iter().map(|value| value.map_or(0, &mut code)).collect();
            let code = |row| table.get(self.column.code(row)).copied().unwrap_or(0);
            rows.map(code).collect()
        };
        (codes, seen.len())
    }

    /// For each row the place of its text in a dictionary of at most 256, and for each place a number that is the same
    /// where the texts are; none where texts are not coded so.
    pub(crate) fn bytes(&self) -> Option<(&[u8], Vec<u8>)> {
        let (Keys::U8(keys), None) = (&self.column.keys, &self.rows) else { return None };
        let mut seen: HashMap<&str, u8> = HashMap::new();
        let mut same = Vec::with_capacity(self.column.values.len().min(NARROW));
        for text in self.column.values.iter().take(NARROW) {
            let next = seen.len() as u8;
            same.push(text.map_or(0, |text| *seen.entry(text).or_insert(next)));
        }
        Some((keys, same))
    }

    /// Refills it with the rows of another; `u32::MAX` for null.
    pub(crate) fn gather(&mut self, from: &Self, rows: &[u32]) {
        self.column = from.column.clone();
        self.valid.pack(rows.len(), |row| rows[row] != u32::MAX);
        let kept = self.rows.get_or_insert_default();
        kept.clear();
        let at = |row: &u32| match &from.rows {
            Some(behind) if *row != u32::MAX => behind[*row as usize],
            _ => *row,
        };
        kept.extend(rows.iter().map(at));
    }

    pub(crate) fn load(&mut self, array: &dyn Array) -> Result<()> {
        self.rows = None;
        let read = TextColumn::read(array);
        self.column = read.ok_or_else(|| {
            Fault::permanent("schema", format!("a column has the type {}, not text", array.data_type()))
        })?;
        let (column, nulls, rows) = (&self.column, array.nulls(), array.len());
        // Arrow vouches for the codes of rows that are not null.
        if column.values.null_count() == 0 {
            load_valid(&mut self.valid, nulls, rows);
        } else {
            self.valid.pack(rows, |row| nulls.is_none_or(|n| n.is_valid(row)) && column.is_valid(row));
        }
        Ok(())
    }
}

impl TextColumn {
    fn read(array: &dyn Array) -> Option<Self> {
        let (keys, values) = match array.data_type() {
            DataType::Utf8 => return Some(Self { keys: Keys::Plain, values: array.as_string().clone() }),
            DataType::Dictionary(key, _) => match **key {
                DataType::UInt8 => {
                    let array = array.as_dictionary::<UInt8Type>();
                    (Keys::U8(array.keys().values().clone()), array.values())
                }
                DataType::UInt16 => {
                    let array = array.as_dictionary::<UInt16Type>();
                    (Keys::U16(array.keys().values().clone()), array.values())
                }
                DataType::UInt32 => {
                    let array = array.as_dictionary::<UInt32Type>();
                    let keys = array.keys().values();
                    let small = array.values().len() <= NARROW;
                    let keys = if small { Keys::U8(narrowed(keys).into()) } else { Keys::U32(keys.clone()) };
                    (keys, array.values())
                }
                _ => return None,
            },
            _ => return None,
        };
        Some(Self { keys, values: values.as_string_opt::<i32>()?.clone() })
    }

    fn code(&self, row: usize) -> usize {
        match &self.keys {
            Keys::Plain => row,
            Keys::U8(keys) => usize::from(keys[row]),
            Keys::U16(keys) => usize::from(keys[row]),
            Keys::U32(keys) => keys[row] as usize,
        }
    }

    fn is_valid(&self, row: usize) -> bool {
        let code = self.code(row);
        code < self.values.len() && self.values.is_valid(code)
    }

    fn value(&self, row: usize) -> &str {
        self.values.value(self.code(row))
    }
}

impl Default for TextColumn {
    fn default() -> Self {
        Self { keys: Keys::Plain, values: StringArray::new_null(0) }
    }
}

/// Comparisons of all rows where few codes hold, which is the common case; else a table of all codes.
fn look_up_bytes(keys: &[u8], table: &[bool], out: &mut Bits) {
    let codes: Vec<u8> =
        (0..=u8::MAX).zip(table).filter(|(_, holds)| **holds).map(|(code, _)| code).collect();
    match codes[..] {
        [] => out.fill(keys.len(), false),
        [only] => out.pack_each(keys, |key| key == only),
        [one, two] => out.pack_each(keys, |key| (key == one) | (key == two)),
        [one, .., last] if codes.len() <= 8 => {
            let mut few = [one; 8];
            few[..codes.len()].copy_from_slice(&codes);
            let [a, b, c, d, e, f, g, _] = few;
            out.pack_each(keys, |key| {
                ((key == a) | (key == b) | (key == c) | (key == d))
                    | ((key == e) | (key == f) | (key == g) | (key == last))
            });
        }
        _ => {
            let mut all = [false; NARROW];
            all[..table.len().min(NARROW)].copy_from_slice(&table[..table.len().min(NARROW)]);
            out.pack_each(keys, |key| all[usize::from(key)]);
        }
    }
}

/// Codes of a short dictionary; those of null rows may be anything, before and after.
fn narrowed(codes: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0; codes.len()];
    wide(
        #[inline(always)]
        || bytes.iter_mut().zip(codes).for_each(|(byte, code)| *byte = *code as u8),
    );
    bytes
}

//! Columns as the evaluator works on them: one vector per node of a graph, kept and refilled from batch to batch.

use crate::{
    ast::Type,
    logic::{Bits, Bools},
    wide::wide,
};
use arrow::{
    array::{Array, AsArray, StringArray},
    buffer::{NullBuffer, ScalarBuffer},
    datatypes::{
        ArrowNativeType, DataType, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type,
    },
};
use kindred_plugin_api::{Fault, Result};
use std::collections::HashMap;

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

    /// Refills it from an Arrow column.
    ///
    /// # Errors
    /// A permanent fault when the column is not of the type that the vector was made for.
    pub(crate) fn load(&mut self, array: &dyn Array) -> Result<()> {
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
                out.load_narrow(Narrow::of(array)?, array.nulls());
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

    /// How many rows it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bools(bools) => bools.yes.len(),
            Self::Ints(numbers) => numbers.values.len(),
            Self::Floats(numbers) => numbers.values.len(),
            Self::Texts(texts) => texts.valid.len(),
        }
    }

    /// Where there is a value: numbers that are not null, truth that is not unknown.
    pub(crate) fn copy_valid(&self, out: &mut Bits) {
        match self {
            Self::Bools(bools) => {
                out.copy(&bools.yes);
                out.or(&bools.no);
            }
            Self::Ints(numbers) => out.copy(&numbers.valid),
            Self::Floats(numbers) => out.copy(&numbers.valid),
            Self::Texts(texts) => out.copy(&texts.valid),
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
            (Self::Texts(out), Self::Texts(from)) => {
                out.column = from.column.clone();
                out.valid.pack(rows.len(), |row| rows[row] != u32::MAX);
                let kept = out.rows.get_or_insert_default();
                kept.clear();
                let at = |row: &u32| match &from.rows {
                    Some(behind) if *row != u32::MAX => behind[*row as usize],
                    _ => *row,
                };
                kept.extend(rows.iter().map(at));
            }
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
    fn load_narrow(&mut self, narrow: Narrow, nulls: Option<&NullBuffer>) {
        let wide_values = self.values.own();
        narrow!(&narrow, values => {
            wide_values.resize(values.len(), 0);
            wide(
                #[inline(always)]
                || wide_values.iter_mut().zip(values.iter()).for_each(|(to, value)| *to = i64::from(*value)),
            );
        });
        load_valid(&mut self.valid, nulls, wide_values.len());
        self.narrow = Some(narrow);
    }
}

impl<T: ArrowNativeType> Numbers<T> {
    fn load(&mut self, values: &ScalarBuffer<T>, nulls: Option<&NullBuffer>) {
        self.values = Values::Column(values.clone());
        load_valid(&mut self.valid, nulls, values.len());
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
    pub(crate) fn bytes(&self) -> Option<(&[u8], [u8; NARROW])> {
        let (Keys::U8(keys), None) = (&self.column.keys, &self.rows) else { return None };
        let mut seen: HashMap<&str, u8> = HashMap::new();
        let mut same = [0; NARROW];
        for (same, text) in same.iter_mut().zip(self.column.values.iter()) {
            let next = seen.len() as u8;
            *same = text.map_or(0, |text| *seen.entry(text).or_insert(next));
        }
        Some((keys, same))
    }

    fn load(&mut self, array: &dyn Array) -> Result<()> {
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

fn load_valid(out: &mut Bits, nulls: Option<&NullBuffer>, rows: usize) {
    match nulls {
        Some(nulls) => out.load(nulls.inner()),
        None => out.fill(rows, true),
    }
}

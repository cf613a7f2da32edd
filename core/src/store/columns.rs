//! Event columns: which there are, their types, and the dictionaries behind the text ones.
//!
//! A column's type is fixed by the first source that brings it and kept in the store. Text is interned: a column of
//! codes and one dictionary a column for the whole store, so that a rule compares numbers.

use super::tables::{self, Change, Tables};
use crate::{Error, Result};
use arrow::{
    array::{Array, ArrayRef, AsArray, DictionaryArray, StringArray, UInt32Array, UInt32Builder},
    compute::cast,
    datatypes::{
        ArrowDictionaryKeyType, DataType, Field, FieldRef, TimeUnit, UInt8Type, UInt16Type, UInt32Type,
    },
};
use kindred_plugin_api::columns as api;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, OnceLock},
};
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

/// Types that a property or an attribute may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// UTF-8.
    Text,
    /// 64 bits, signed.
    Integer,
    /// 64-bit floating point.
    Decimal,
    /// True or false.
    Boolean,
    /// Microseconds since 1970, UTC.
    Time,
}

impl ColumnType {
    /// The type of a column that a source brings.
    pub fn of(kind: &DataType) -> Option<Self> {
        Some(match kind {
            DataType::Utf8 | DataType::LargeUtf8 => Self::Text,
            DataType::Dictionary(_, value) => Self::of(value)?,
            kind if kind.is_integer() => Self::Integer,
            DataType::Float32 | DataType::Float64 => Self::Decimal,
            DataType::Boolean => Self::Boolean,
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Self::Time,
            _ => return None,
        })
    }

    /// Its Arrow type where text is not interned.
    pub fn plain(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Integer => DataType::Int64,
            Self::Decimal => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Time => api::timestamp(),
        }
    }

    /// Its Arrow type in a segment: codes for text.
    pub fn stored(self) -> DataType {
        if self == Self::Text { DataType::UInt32 } else { self.plain() }
    }

    /// The type of a name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Text, Self::Integer, Self::Decimal, Self::Boolean, Self::Time]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// Its Arrow type as segmentations see it: text is coded.
    pub fn shown(self) -> DataType {
        if self == Self::Text { api::coded() } else { self.plain() }
    }

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Decimal => "decimal",
            Self::Boolean => "boolean",
            Self::Time => "time",
        }
    }
}

/// The event columns of a store.
#[derive(Debug, Default)]
pub struct Columns {
    types: BTreeMap<String, ColumnType>,
    dictionaries: HashMap<String, Dictionary>,
    /// Columns that values came into since the store was opened.
    used: BTreeSet<String>,
    /// Who brings a column, of those that are open.
    claims: Claims,
    changed: bool,
}

/// By column, who brings it.
pub(crate) type Claims = BTreeMap<String, BTreeSet<String>>;

const META: &str = "event-columns";

impl Columns {
    pub(super) fn open(tables: &Tables) -> Result<Self> {
        let types: BTreeMap<String, ColumnType> = tables::read(&tables.meta, META)?.unwrap_or_default();
        let mut columns = Self { types, ..Self::default() };
        for (key, texts) in tables::scan(&tables.dictionary, [])? {
            let split = key.len().saturating_sub(5);
            let name = String::from_utf8_lossy(&key[..split]).into_owned();
            columns.dictionaries.entry(name).or_default().load(postcard::from_bytes(&texts)?);
        }
        for (name, kind) in [(api::EVENT, ColumnType::Text), (api::profile::SOURCE, ColumnType::Text)] {
            columns.declare(name, kind, "the host")?;
        }
        columns.declare(api::EVENT_TIME, ColumnType::Time, "the host")?;
        Ok(columns)
    }

    /// Names and types, sorted.
    pub fn types(&self) -> &BTreeMap<String, ColumnType> {
        &self.types
    }

    /// Makes sure that a column exists, and answers how the store holds it.
    ///
    /// # Errors
    /// When the store holds it with another type. Integers go into a decimal column.
    pub fn declare(&mut self, name: &str, kind: ColumnType, by: &str) -> Result<ColumnType> {
        let held = self.agreed(name, kind, by)?;
        if !self.types.contains_key(name) {
            self.types.insert(name.to_owned(), held);
            self.changed = true;
        }
        Ok(held)
    }

    /// How the store holds a column, or would.
    fn agreed(&self, name: &str, kind: ColumnType, by: &str) -> Result<ColumnType> {
        match self.types.get(name) {
            None => Ok(kind),
            Some(held) if *held == kind => Ok(kind),
            Some(ColumnType::Decimal) if kind == ColumnType::Integer => Ok(ColumnType::Decimal),
            Some(held) => Err(Error::Column(format!(
                "column `{name}` of {by} is {}, the store holds it as {}",
                kind.name(),
                held.name()
            ))),
        }
    }

    /// Puts other types in place for a trial, and answers those that were there.
    pub(crate) fn put_types(&mut self, types: BTreeMap<String, ColumnType>) -> BTreeMap<String, ColumnType> {
        std::mem::replace(&mut self.types, types)
    }

    /// Makes sure that a column exists for a trial; no commit tells of it.
    ///
    /// # Errors
    /// As [`Self::declare`].
    pub(crate) fn try_out(&mut self, name: &str, kind: ColumnType, by: &str) -> Result<ColumnType> {
        let held = self.agreed(name, kind, by)?;
        self.types.insert(name.to_owned(), held);
        Ok(held)
    }

    /// Notes that somebody brings a column; answers whether somebody else does.
    pub(crate) fn claim(&mut self, name: &str, by: &str) -> bool {
        let claims = self.claims.entry(name.to_owned()).or_default();
        claims.insert(by.to_owned());
        claims.len() > 1
    }

    /// Puts other claims in place, and answers those that were there.
    pub(crate) fn put_claims(&mut self, claims: Claims) -> Claims {
        std::mem::replace(&mut self.claims, claims)
    }

    /// Forgets the type of a column that nothing is stored in.
    pub(crate) fn forget(&mut self, name: &str) {
        self.changed |= self.types.remove(name).is_some();
    }

    /// Whether values came into a column since the store was opened.
    pub(super) fn is_used(&self, name: &str) -> bool {
        self.used.contains(name)
    }

    /// Brings a source's column into its stored form.
    pub fn store(&mut self, name: &str, values: &ArrayRef) -> Result<ArrayRef> {
        if !self.used.contains(name) {
            self.used.insert(name.to_owned());
        }
        let kind = self.types.get(name).copied().unwrap_or(ColumnType::Text);
        if kind == ColumnType::Text {
            let dictionary = self.dictionaries.entry(name.to_owned()).or_default();
            return dictionary.encode(values);
        }
        Ok(cast(values, &kind.plain())?)
    }

    /// A column of one text, stored.
    pub fn store_constant(&mut self, name: &str, text: &str, rows: usize) -> ArrayRef {
        let code = self.dictionaries.entry(name.to_owned()).or_default().code(text);
        Arc::new(UInt32Array::from_value(code, rows))
    }

    /// How many texts a column of text has; none for others.
    pub fn codes(&self, name: &str) -> Option<usize> {
        let text = self.types.get(name) == Some(&ColumnType::Text);
        text.then(|| self.dictionaries.get(name).map_or(0, |dictionary| dictionary.texts.len()))
    }

    /// How often a column of text outgrew a width of codes; schemas hold as long as this stays.
    pub fn outgrown(&self) -> usize {
        let lengths = self.dictionaries.values().map(|dictionary| dictionary.texts.len());
        lengths.map(|length| usize::from(length > 0x100) + usize::from(length > 0x1_0000)).sum()
    }

    /// The field of a column as segmentations see it.
    pub fn field(&self, name: &str) -> Option<FieldRef> {
        let kind = self.types.get(name)?;
        Some(Arc::new(Field::new(name, kind.shown(), name != api::EVENT_TIME)))
    }

    /// A stored column as segmentations see it.
    pub fn show(&self, name: &str, stored: ArrayRef) -> Result<ArrayRef> {
        if self.types.get(name) != Some(&ColumnType::Text) {
            return Ok(stored);
        }
        let none = Dictionary::default();
        let values = self.dictionaries.get(name).unwrap_or(&none).array();
        Ok(match stored.data_type() {
            DataType::UInt8 => Arc::new(coded::<UInt8Type>(&stored, values)?),
            DataType::UInt16 => Arc::new(coded::<UInt16Type>(&stored, values)?),
            _ => Arc::new(coded::<UInt32Type>(&stored, values)?),
        })
    }

    /// The text of a code, as the files of events have it.
    pub fn text(&self, name: &str, code: u32) -> Option<&str> {
        self.dictionaries.get(name)?.text(code)
    }

    /// The code of a text that the store has.
    pub(crate) fn code(&self, name: &str, text: &str) -> Option<u32> {
        self.dictionaries.get(name)?.codes.get(text).copied()
    }

    /// The texts of a coded column.
    pub(super) fn dictionary(&self, name: &str) -> Option<&Dictionary> {
        self.dictionaries.get(name)
    }

    /// Puts what is new into the step's commit.
    pub(super) fn save(&mut self, tables: &Tables, change: &mut Change) -> Result<()> {
        if self.changed {
            change.put(&tables.meta, META, &self.types)?;
            self.changed = false;
        }
        for (name, dictionary) in &mut self.dictionaries {
            if let Some((first, texts)) = dictionary.fresh() {
                let key = [name.as_bytes(), &[0], &first.to_be_bytes()].concat();
                change.put(&tables.dictionary, key, &texts)?;
            }
        }
        Ok(())
    }
}

fn coded<K: ArrowDictionaryKeyType>(codes: &ArrayRef, texts: ArrayRef) -> Result<DictionaryArray<K>> {
    Ok(DictionaryArray::try_new(codes.as_primitive::<K>().clone(), texts)?)
}

/// The texts of one column, by code.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    texts: Vec<Arc<str>>,
    codes: HashMap<Arc<str>, u32, Xxh3DefaultBuilder>,
    saved: usize,
    array: OnceLock<ArrayRef>,
}

impl Dictionary {
    fn load(&mut self, texts: Vec<String>) {
        for text in &texts {
            self.code(text);
        }
        self.saved = self.texts.len();
    }

    /// The text of a code.
    pub(crate) fn text(&self, code: u32) -> Option<&str> {
        self.texts.get(code as usize).map(|text| &**text)
    }

    /// The code of a text, a new one if it has none yet.
    pub(crate) fn code(&mut self, text: &str) -> u32 {
        if let Some(code) = self.codes.get(text) {
            return *code;
        }
        let code = self.texts.len() as u32;
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.codes.insert(text, code);
        self.array = OnceLock::new();
        code
    }

    /// Codes of a text column, plain or coded. Neighbours are often equal, so the last code is tried first.
    fn encode(&mut self, values: &ArrayRef) -> Result<ArrayRef> {
        if let Some(coded) = values.as_any_dictionary_opt() {
            let own = self.encode(&cast(coded.values(), &DataType::Utf8)?)?;
            let keys = cast(coded.keys(), &DataType::UInt32)?;
            return Ok(arrow::compute::take(&own, &keys, None)?);
        }
        let values = cast(values, &DataType::Utf8)?;
        let values = values.as_string::<i32>();
        let mut codes = UInt32Builder::with_capacity(values.len());
        let mut last: Option<(&str, u32)> = None;
        for value in values {
            let Some(text) = value else {
                codes.append_null();
                continue;
            };
            let code = match last {
                Some((same, code)) if same == text => code,
                _ => self.code(text),
            };
            last = Some((text, code));
            codes.append_value(code);
        }
        Ok(Arc::new(codes.finish()))
    }

    /// The texts, by code.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(|text| &**text)
    }

    /// All texts, by code, as a column.
    pub(crate) fn array(&self) -> ArrayRef {
        let texts = &self.texts;
        self.array.get_or_init(|| Arc::new(StringArray::from_iter_values(texts.iter().map(|t| &**t)))).clone()
    }

    /// The texts since the last save, and the code of the first.
    fn fresh(&mut self) -> Option<(u32, Vec<&str>)> {
        let first = std::mem::replace(&mut self.saved, self.texts.len());
        let texts: Vec<&str> = self.texts[first..].iter().map(|text| &**text).collect();
        (!texts.is_empty()).then_some((first as u32, texts))
    }
}

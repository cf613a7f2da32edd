//! The vocabulary in which a pipeline file says which columns mean what. Every plugin of this family uses these types,
//! so that `time = { column = "sold", format = "%d.%m.%Y" }` reads the same everywhere.

use crate::{files::Format, options::Names, written::TextConfig};
use kindred_identifiers::{Hash, Kind, Rule};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor, value},
};
use std::{collections::BTreeMap, fmt};

/// A timestamp and how it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeSpec {
    /// Column, or several: the first that has a value counts.
    pub column: Names,
    /// How it is written, as for strftime: `%d.%m.%Y %H:%M`. Without it: ISO 8601, RFC 3339, or a number since 1970.
    #[serde(default)]
    pub format: Option<String>,
    /// Zone of times that carry none, by its IANA name: `Europe/Berlin`. Default: UTC.
    #[serde(default)]
    pub timezone: Option<String>,
    /// Unit of numbers since 1970. Without it their size tells: seconds, milliseconds, microseconds or nanoseconds.
    #[serde(default)]
    pub unit: Option<Unit>,
}

/// Unit of a number since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Unit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Microseconds.
    #[serde(rename = "us")]
    Microseconds,
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanoseconds,
}

/// A property or attribute and how it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValueSpec {
    /// Column, or several: the first that has a value counts. Default: the column of the same name.
    #[serde(default)]
    pub column: Option<Names>,
    /// Type. Default: what a Parquet file says; string for text files, where numbers of JSON are taken as they are written and
    /// other values than texts and numbers cannot be read.
    #[serde(default, rename = "type")]
    pub kind: Option<Type>,
    /// Decimal mark of numbers in text; default `.`.
    #[serde(default)]
    pub decimal: Option<char>,
    /// Mark between groups of three digits in text; default none.
    #[serde(default)]
    pub thousands: Option<char>,
    /// How a timestamp is written, as for strftime.
    #[serde(default)]
    pub format: Option<String>,
    /// Zone of timestamps that carry none, by its IANA name. Default: UTC.
    #[serde(default)]
    pub timezone: Option<String>,
    /// Unit of a timestamp that is a number since 1970. Without it its size tells.
    #[serde(default)]
    pub unit: Option<Unit>,
}

/// The types that a property or attribute can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// Text.
    String,
    /// Whole number, 64 bits.
    Integer,
    /// Floating-point number, 64 bits.
    Decimal,
    /// `true`, `yes`, `y`, `t`, `1` or `false`, `no`, `n`, `f`, `0`, in any case.
    Boolean,
    /// Point in time.
    Timestamp,
}

/// An identifier, how it is normalised and what is made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentifierSpec {
    /// Column, or several: the first that has a value counts. Default: the column of the same name.
    #[serde(default)]
    pub column: Option<Names>,
    /// What it is, which says how it is normalised. Default: by its name (`email`, `phone`, `maid`), else `plain`.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// What is made of it; the namespace then ends in the name of the hash: `email_sha256`. Default: `sha256` for an
    /// e-mail address or a phone number, `none` for the rest. `none` on those two keeps raw personal data.
    #[serde(default)]
    pub hash: Option<Hash>,
    /// Country of phone numbers that come without `+` and country code: two letters, `DE`.
    #[serde(default)]
    pub region: Option<String>,
}

/// The name of the event, from a column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventSpec {
    /// Column, or several: the first that has a value counts.
    pub column: Names,
    /// Other names for some values: `{ buy = "purchase" }`. A value that is not listed stays as it is.
    #[serde(default)]
    pub map: BTreeMap<String, String>,
}

/// What to do with a property or attribute that cannot be read as its type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnBadValue {
    /// The row goes to the dead letters.
    #[default]
    Reject,
    /// The row stays, without the value.
    Null,
}

/// A small table that is joined to every row: products, campaigns.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogueSpec {
    /// Its file, CSV, JSONL or Parquet; it is held in memory.
    pub path: String,
    /// Its column that names a row; of several rows with one key the first counts.
    pub key: String,
    /// Column of the events that holds the key. Default: the one of the same name.
    #[serde(default)]
    pub on: Option<Names>,
    /// Columns to join: a list, or `name = "column"`. They can be used wherever a column is named, and hide a column
    /// of the same name; one that no other option uses becomes a property. Null where the key is not found.
    pub columns: Renames,
    /// Format, where the name of the file does not tell.
    #[serde(default)]
    pub format: Option<Format>,
    /// How the file is written, when it is text.
    #[serde(default)]
    pub text: TextConfig,
}

/// A list of columns, or a table of new name and column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renames(pub Vec<(String, String)>);

impl From<Names> for TimeSpec {
    fn from(column: Names) -> Self {
        Self { column, ..Self::default() }
    }
}

impl From<Names> for ValueSpec {
    fn from(column: Names) -> Self {
        Self { column: Some(column), ..Self::default() }
    }
}

impl From<Names> for IdentifierSpec {
    fn from(column: Names) -> Self {
        Self { column: Some(column), ..Self::default() }
    }
}

impl ValueSpec {
    /// A value of this type in these columns.
    pub fn new(columns: &[&str], kind: Type) -> Self {
        Self { kind: Some(kind), ..Self::from(Names::from(columns)) }
    }

    /// The same with a type where none is declared.
    #[must_use]
    pub fn or_type(mut self, kind: Type) -> Self {
        self.kind.get_or_insert(kind);
        self
    }

    /// How its timestamps are written.
    pub(crate) fn time(&self) -> TimeSpec {
        TimeSpec {
            column: Names::default(),
            format: self.format.clone(),
            timezone: self.timezone.clone(),
            unit: self.unit,
        }
    }
}

impl IdentifierSpec {
    /// How its values are normalised and hashed, for an identifier of this name.
    pub fn rule(&self, name: &str) -> Rule {
        let kind = self.kind.unwrap_or(match name {
            "email" => Kind::Email,
            "phone" => Kind::Phone,
            "maid" => Kind::Maid,
            _ => Kind::Plain,
        });
        let personal = matches!(kind, Kind::Email | Kind::EmailGoogle | Kind::Phone | Kind::PhoneMeta);
        let hash = self.hash.unwrap_or(if personal { Hash::Sha256 } else { Hash::None });
        Rule { kind, hash, region: self.region.clone() }
    }
}

impl<'de> Deserialize<'de> for Renames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expect;
        impl<'de> Visitor<'de> for Expect {
            type Value = Renames;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of column names, or a table of name and column")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Renames, A::Error> {
                let names = Vec::<String>::deserialize(value::SeqAccessDeserializer::new(list))?;
                Ok(Renames(names.into_iter().map(|name| (name.clone(), name)).collect()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Renames, A::Error> {
                let table = BTreeMap::deserialize(value::MapAccessDeserializer::new(map))?;
                Ok(Renames(table.into_iter().collect()))
            }
        }
        deserializer.deserialize_any(Expect)
    }
}

impl JsonSchema for Renames {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Renames".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "anyOf": [
            { "type": "array", "items": { "type": "string" } },
            { "type": "object", "additionalProperties": { "type": "string" } },
        ] })
    }
}

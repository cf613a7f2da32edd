//! Shapes that options of the file sources share: one name or several, a name in place of a table, a set of columns.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value},
};
use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

/// One string or a list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

/// A table, or one string (or list) that stands for the table with only its column set: `time = "sold_at"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Short<T>(pub T);

/// A constant, or a table that says which column to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConstantOr<T> {
    /// The same for every row.
    Constant(String),
    /// From a column.
    Table(T),
}

/// Columns to take: `"*"` for all that nothing else uses, a list of names, or a table `name = column`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Columns<T> {
    /// All that no other option uses.
    All,
    /// These, as name and where it comes from.
    Listed(Vec<(String, T)>),
}

impl From<&str> for Names {
    fn from(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }
}

impl From<&[&str]> for Names {
    fn from(names: &[&str]) -> Self {
        Self(names.iter().map(|name| (*name).to_owned()).collect())
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("` or `"))
    }
}

impl<T> Default for Columns<T> {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expect;
        impl<'de> Visitor<'de> for Expect {
            type Value = Names;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a list of names")
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Names, E> {
                Ok(name.into())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Names, A::Error> {
                let names = Vec::deserialize(value::SeqAccessDeserializer::new(list))?;
                if names.is_empty() { Err(A::Error::invalid_length(0, &self)) } else { Ok(Names(names)) }
            }
        }
        deserializer.deserialize_any(Expect)
    }
}

impl<'de, T: Deserialize<'de> + From<Names>> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expect<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + From<Names>> Visitor<'de> for Expect<T> {
            type Value = Short<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column name, a list of column names, or a table")
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Short<T>, E> {
                Ok(Short(T::from(name.into())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Short<T>, A::Error> {
                Names::deserialize(value::SeqAccessDeserializer::new(list)).map(|names| Short(T::from(names)))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Short<T>, A::Error> {
                T::deserialize(value::MapAccessDeserializer::new(map)).map(Short)
            }
        }
        deserializer.deserialize_any(Expect(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ConstantOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expect<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Expect<T> {
            type Value = ConstantOr<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a constant, or a table with `column`")
            }
            fn visit_str<E: Error>(self, constant: &str) -> Result<ConstantOr<T>, E> {
                Ok(ConstantOr::Constant(constant.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ConstantOr<T>, A::Error> {
                T::deserialize(value::MapAccessDeserializer::new(map)).map(ConstantOr::Table)
            }
        }
        deserializer.deserialize_any(Expect(PhantomData))
    }
}

impl<'de, T: Deserialize<'de> + From<Names>> Deserialize<'de> for Columns<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expect<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + From<Names>> Visitor<'de> for Expect<T> {
            type Value = Columns<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`*`, a list of column names, or a table of name and column")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Columns<T>, E> {
                if text == "*" {
                    Ok(Columns::All)
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Str(text), &self))
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Columns<T>, A::Error> {
                let names = Vec::<String>::deserialize(value::SeqAccessDeserializer::new(list))?;
                Ok(Columns::Listed(
                    names.into_iter().map(|name| (name.clone(), T::from(Names(vec![name])))).collect(),
                ))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Columns<T>, A::Error> {
                let table =
                    BTreeMap::<String, Short<T>>::deserialize(value::MapAccessDeserializer::new(map))?;
                Ok(Columns::Listed(table.into_iter().map(|(name, spec)| (name, spec.0)).collect()))
            }
        }
        deserializer.deserialize_any(Expect(PhantomData))
    }
}

impl JsonSchema for Names {
    fn schema_name() -> Cow<'static, str> {
        "Names".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }] })
    }
}

impl<T: JsonSchema> JsonSchema for Short<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}OrColumn", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (names, table) = (generator.subschema_for::<Names>(), generator.subschema_for::<T>());
        json_schema!({ "anyOf": [names, table] })
    }
}

impl<T: JsonSchema> JsonSchema for ConstantOr<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}OrConstant", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [{ "type": "string" }, table] })
    }
}

impl<T: JsonSchema> JsonSchema for Columns<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}Set", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let entry = generator.subschema_for::<Short<T>>();
        json_schema!({ "anyOf": [
            { "const": "*" },
            { "type": "array", "items": { "type": "string" } },
            { "type": "object", "additionalProperties": entry },
        ] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{TimeSpec, ValueSpec};
    use kindred_plugin_api::options;

    #[test]
    fn a_string_stands_for_a_table() {
        let short: Short<TimeSpec> = options::parse(r#""sold_at""#).unwrap();
        let table: Short<TimeSpec> = options::parse(r#"{ "column": ["sold_at"] }"#).unwrap();
        assert_eq!(short, table);
    }

    #[test]
    fn columns_are_all_or_listed() {
        type Set = Columns<ValueSpec>;
        assert_eq!(options::parse::<Set>(r#""*""#).unwrap(), Set::All);
        let list: Set = options::parse(r#"["a"]"#).unwrap();
        assert_eq!(list, options::parse(r#"{ "a": "a" }"#).unwrap());
        assert!(options::parse::<Set>(r#""a""#).unwrap_err().message.contains("expected `*`, a list"));
    }

    #[test]
    fn an_error_inside_keeps_its_place() {
        let fault = options::parse::<Columns<ValueSpec>>(r#"{ "a": { "type": "float" } }"#).unwrap_err();
        assert_eq!(fault.problems[0].path, "/a/type");
        assert!(fault.message.contains("unknown variant `float`"), "{}", fault.message);
    }

    #[test]
    fn no_names_are_refused() {
        assert!(options::parse::<Names>("[]").is_err());
    }
}

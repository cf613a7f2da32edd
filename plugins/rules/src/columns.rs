//! The columns of profile batches by name, found in logarithmic time however many segments there are.

use crate::ast::Type;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use kindred_plugin_api::columns::{EVENT_TIME, profile};
use std::{collections::BTreeMap, sync::Arc};

/// A schema of profile batches, looked through once.
#[derive(Debug)]
pub(crate) struct Columns {
    profile: BTreeMap<String, (usize, DataType)>,
    events: BTreeMap<String, (usize, DataType)>,
}

impl Columns {
    pub(crate) fn new(schema: &Schema) -> Self {
        Self { profile: by_name(schema.fields()), events: by_name(event_fields(schema)) }
    }

    /// Position and type of a column of the batch.
    pub(crate) fn of_profile(&self, name: &str) -> Option<&(usize, DataType)> {
        self.profile.get(name)
    }

    /// Position and type of a column of the events.
    pub(crate) fn of_events(&self, name: &str) -> Option<&(usize, DataType)> {
        self.events.get(name)
    }

    pub(crate) fn has_events(&self) -> bool {
        self.events.contains_key(EVENT_TIME)
    }

    /// Names of the columns of the batch that start with something.
    pub(crate) fn starting<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let from = self.profile.range(prefix.to_owned()..);
        from.map(|(name, _)| name.as_str()).take_while(move |name| name.starts_with(prefix))
    }

    /// Names of the columns of the events.
    pub(crate) fn event_names(&self) -> impl Iterator<Item = &str> {
        self.events.keys().map(String::as_str)
    }
}

/// The type of a column, if rules can read it.
pub(crate) fn type_of(kind: &DataType) -> Option<Type> {
    Some(match kind {
        DataType::Utf8 => Type::Text,
        DataType::Dictionary(key, value) => match (&**key, &**value) {
            (DataType::UInt8 | DataType::UInt16 | DataType::UInt32, DataType::Utf8) => Type::Text,
            _ => return None,
        },
        kind if kind.is_integer() && *kind != DataType::UInt64 => Type::Int,
        DataType::Float64 => Type::Float,
        DataType::Boolean => Type::Bool,
        DataType::Timestamp(TimeUnit::Microsecond, _) => Type::Time,
        _ => return None,
    })
}

/// The fields of the events, none if there are no events.
fn event_fields(schema: &Schema) -> &[Arc<Field>] {
    match schema.field_with_name(profile::EVENTS).map(Field::data_type) {
        Ok(DataType::List(item)) => match item.data_type() {
            DataType::Struct(fields) => fields,
            _ => &[],
        },
        _ => &[],
    }
}

/// Of two columns with one name the first, as Arrow has it.
fn by_name(fields: &[Arc<Field>]) -> BTreeMap<String, (usize, DataType)> {
    let mut names = BTreeMap::new();
    for (index, field) in fields.iter().enumerate() {
        names.entry(field.name().clone()).or_insert_with(|| (index, field.data_type().clone()));
    }
    names
}

//! `[sources.NAME.schema]`: what the rows of a source must look like, and what happens to those that do not.

use super::{
    file::{ColumnSpec, ColumnTable, SchemaTable},
    problem::{Problem, Span, position},
    tree::Node,
};
use crate::store::columns::ColumnType;
use kindred_plugin_api::columns::{CONSENT, CONSENT_VERSION, EVENT, EVENT_ID, EVENT_TIME, ID, is_reserved};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is agreed with a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Contract {
    /// By name, as the source hands them out.
    pub columns: BTreeMap<String, Declared>,
    /// What happens to rows that are otherwise.
    pub drift: Drift,
}

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Declared {
    /// What its values are.
    pub kind: ColumnType,
    /// Every row must have a value; of a property, every row with an event.
    pub required: bool,
}

/// `drift = { new = "evolve", missing = "quarantine", changed = "quarantine" }`, which is the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Drift {
    /// Of a column that is not declared: `evolve` takes it in, `quarantine` sets the rows aside that have a value in it, `stop`
    /// ends the source.
    pub new: Policy,
    /// Of a declared column that the source does not bring, and of a required one without a value: `evolve` leaves it empty.
    pub missing: Policy,
    /// Of a value of another type: `evolve` takes numbers for numbers where nothing of them is lost, and sets the row aside
    /// where something would be. An integer is always taken for a decimal that is exactly it.
    pub changed: Policy,
}

impl Default for Drift {
    fn default() -> Self {
        Self { new: Policy::Evolve, missing: Policy::Quarantine, changed: Policy::Quarantine }
    }
}

/// What happens when rows are not as agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// The rows are taken, as far as nothing is lost.
    Evolve,
    /// The row waits in the dead letters until it is replayed.
    Quarantine,
    /// The source ends with a fault; what it brought with the row is not committed.
    Stop,
}

/// The contracts of all sources: an event column has one type in the store, whoever brings it.
#[derive(Default)]
pub(super) struct Contracts {
    /// Type, source and place of the first declaration of each property.
    known: BTreeMap<String, (ColumnType, String, Span)>,
}

impl Contracts {
    /// What a table says; it counts only when no problem was found.
    pub(super) fn read(
        &mut self,
        source: &str,
        table: SchemaTable,
        node: &Node,
        text: &str,
        problems: &mut Vec<Problem>,
    ) -> Contract {
        let mut columns = BTreeMap::new();
        let places = node.get("columns").unwrap_or(node);
        for (name, spec) in table.columns {
            let declared = match spec {
                ColumnSpec::Kind(kind) => Declared { kind, required: false },
                ColumnSpec::Table(ColumnTable { kind, required }) => Declared { kind, required },
            };
            let place = places.get(&name).unwrap_or(places);
            let span = place.get("type").unwrap_or(place).span.clone();
            let path = format!("sources.{source}.schema.columns.{name}");
            match fixed(&name) {
                Some(kind) if kind != declared.kind => {
                    let message =
                        format!("`{path}` is {}, it is {} by its name", declared.kind.name(), kind.name());
                    let help = format!("write `{}`, or leave the column out", kind.name());
                    problems.push(Problem::at(&span, message).found(declared.kind.name()).help(help));
                }
                None if !is_reserved(&name) => {
                    self.agree(source, &name, declared.kind, (&path, span, text), problems)
                }
                _ => {}
            }
            columns.insert(name, declared);
        }
        Contract { columns, drift: table.drift }
    }

    /// Whether a property has the type that another source declares; integers go into a decimal column.
    fn agree(
        &mut self,
        source: &str,
        name: &str,
        kind: ColumnType,
        (path, span, text): (&str, Span, &str),
        problems: &mut Vec<Problem>,
    ) {
        let Some((held, other, first)) = self.known.get(name) else {
            self.known.insert(name.to_owned(), (kind, source.to_owned(), span));
            return;
        };
        if *held != kind {
            let (line, _) = position(text, first.start.min(text.len()));
            let message = format!(
                "`{path}` is {}, source `{other}` declares it as {} in line {line}",
                kind.name(),
                held.name()
            );
            let help = "an event column has one type in the store: declare the same, or give one of them another name";
            problems.push(Problem::at(&span, message).found(kind.name()).help(help));
        }
    }
}

/// The type of a column whose name has a meaning of its own.
fn fixed(name: &str) -> Option<ColumnType> {
    match name {
        EVENT_TIME => Some(ColumnType::Time),
        EVENT_ID | EVENT | CONSENT | CONSENT_VERSION => Some(ColumnType::Text),
        name if name.starts_with(ID) => Some(ColumnType::Text),
        _ => None,
    }
}

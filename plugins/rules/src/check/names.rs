//! Names in rules: of columns, attributes and segments.

use super::Checker;
use crate::{
    ast::Type,
    call::{INTEREST_PATH, near},
    columns::{Columns, type_of},
    source::problem,
};
use arrow::datatypes::DataType;
use kindred_plugin_api::columns::{ATTR, profile};
use std::{cell::Cell, collections::HashMap, ops::Range};

/// What is known of the columns.
#[derive(Clone, Copy)]
pub(crate) enum Catalog<'a> {
    /// Nothing.
    Unseen,
    /// The columns of profile batches, and the segments that are evaluated together.
    Seen {
        columns: &'a Columns,
        own: &'a HashMap<String, usize>,
        /// How many more misspelt names are compared with all others; thousands would take minutes.
        guesses: &'a Cell<usize>,
    },
}

impl Checker<'_> {
    pub(super) fn has_events(&mut self, range: &Range<usize>) -> bool {
        let Catalog::Seen { columns, .. } = self.catalog else { return true };
        if !columns.has_events() {
            self.problems.push(problem(range.clone(), "there are no events"));
        }
        columns.has_events()
    }

    pub(super) fn event_column(&mut self, name: &str, range: &Range<usize>) -> Type {
        let Catalog::Seen { columns, .. } = self.catalog else { return Type::Any };
        if let Some((_, kind)) = columns.of_events(name) {
            return self.readable(name, kind, range);
        }
        let help = if name == INTEREST_PATH {
            Some("the enrichment `taxonomy` makes this column".to_owned())
        } else {
            let near = self.guess(name, columns.event_names());
            near.map(|near| format!("did you mean `{near}`? text is written in single quotes"))
        };
        self.missing(&format!("events have no column `{name}`"), help, range)
    }

    pub(super) fn column(&mut self, name: &str, noun: &str, range: &Range<usize>) -> Type {
        let Catalog::Seen { columns, .. } = self.catalog else { return Type::Any };
        if let Some((_, kind)) = columns.of_profile(name) {
            return self.readable(name, kind, range);
        }
        let shown = |name: &str| name.strip_prefix(ATTR).unwrap_or(name).to_owned();
        let near = self.guess(name, columns.starting(ATTR));
        let help = near.map(|near| format!("did you mean `{}`?", shown(near)));
        self.missing(&format!("there is no {noun} `{}`", shown(name)), help, range)
    }

    pub(super) fn segment(&mut self, name: &str, range: &Range<usize>) -> Type {
        let Catalog::Seen { columns, own, .. } = self.catalog else { return Type::Bool };
        let column = format!("{}{name}", profile::IN);
        if own.contains_key(name) {
            return Type::Bool;
        }
        match columns.of_profile(&column) {
            Some((_, DataType::Boolean)) => {}
            Some((_, other)) => {
                let message = format!("column `{column}` has the type {other}, a membership is Boolean");
                self.missing(&message, None, range);
            }
            None => {
                let others = columns.starting(profile::IN).filter_map(|name| name.strip_prefix(profile::IN));
                let near = self.guess(name, own.keys().map(String::as_str).chain(others));
                let help = near.map(|near| format!("did you mean `{near}`?"));
                self.missing(&format!("there is no segment `{name}`"), help, range);
            }
        }
        Type::Bool
    }

    pub(super) fn identifiers(&mut self, range: &Range<usize>) -> Type {
        if let Catalog::Seen { columns, .. } = self.catalog
            && columns
                .of_profile(profile::IDENTIFIERS)
                .is_none_or(|(_, kind)| *kind != profile::identifiers())
        {
            self.missing("there are no identifiers", None, range);
        }
        Type::Bool
    }

    fn guess<'a>(&self, name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        let Catalog::Seen { guesses, .. } = self.catalog else { return None };
        guesses.set(guesses.get().checked_sub(1)?);
        near(name, names)
    }

    fn readable(&mut self, name: &str, kind: &DataType, range: &Range<usize>) -> Type {
        type_of(kind).unwrap_or_else(|| {
            let message = format!("column `{name}` has the type {kind}, which rules do not read");
            let help = "types are text, Int64, Float64, Boolean and Timestamp(µs)".to_owned();
            self.missing(&message, Some(help), range)
        })
    }

    fn missing(&mut self, message: &str, help: Option<String>, range: &Range<usize>) -> Type {
        let found = problem(range.clone(), message);
        self.problems.push(match help {
            Some(help) => found.help(help),
            None => found,
        });
        Type::Any
    }
}

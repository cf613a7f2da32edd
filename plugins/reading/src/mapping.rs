//! Which columns of a file become which columns of an event batch, as a plugin's options say it.

use crate::{
    options::{Columns, ConstantOr, Names, Short},
    plan::Plan,
    spec::{CatalogueSpec, EventSpec, IdentifierSpec, OnBadValue, TimeSpec, ValueSpec},
};
use kindred_plugin_api::{Problem, columns};
use std::collections::BTreeMap;

/// What a plugin fills in from its options and hands to [`FileSource`](crate::FileSource).
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    /// Identifiers by name, which with the hash makes the namespace.
    pub identifiers: Vec<Field<IdentifierSpec>>,
    /// Time of the event or attributes.
    pub time: Option<Field<ConstantOr<TimeSpec>>>,
    /// Name of the event; without it rows carry only identifiers and attributes.
    pub event: Option<Field<ConstantOr<EventSpec>>>,
    /// Columns that together name the event. A row in which an optional one is empty, and every row without this
    /// option, is named by file and row number.
    pub event_id: Option<Field<Vec<Names>>>,
    /// Properties, and attributes with the prefix `attr.`.
    pub values: Vec<Field<ValueSpec>>,
    /// All columns that nothing else uses.
    pub rest: Option<Rest>,
    /// Consent.
    pub consent: Option<Field<Names>>,
    /// What the consent was derived from.
    pub consent_version: Option<Field<Names>>,
    /// Table to join.
    pub catalogue: Option<CatalogueSpec>,
    /// What happens to properties and attributes that cannot be read.
    pub on_bad_value: OnBadValue,
    /// The file holds personal data: rejects show neither rows nor values.
    pub personal: bool,
    /// A column may be used once only.
    pub exclusive: bool,
    /// Names that events may have; empty for any.
    pub events: &'static [&'static str],
    /// Events that may come without any identifier.
    pub anonymous: &'static [&'static str],
    /// A row may come without the name of an event: it carries only identifiers and attributes.
    pub eventless: bool,
    /// Columns that a resend of the same event may come with another value in, by their names in the batch.
    pub received: Vec<String>,
}

/// One mapped column.
#[derive(Clone, Debug)]
pub struct Field<T> {
    /// Name of what comes out.
    pub name: String,
    /// Place in the options, as a JSON pointer.
    pub at: String,
    /// Where it comes from.
    pub spec: T,
    /// The column must be there.
    pub required: bool,
}

/// All columns that nothing else uses.
#[derive(Clone, Debug)]
pub struct Rest {
    /// Put before their names.
    pub prefix: &'static str,
    /// Place in the options.
    pub at: String,
    /// All but these.
    pub exclude: Vec<String>,
}

impl<T> Field<T> {
    /// A column that must be there.
    pub fn new(name: impl Into<String>, at: impl Into<String>, spec: T) -> Self {
        Self { name: name.into(), at: at.into(), spec, required: true }
    }

    /// The same, null where it is not there.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.required = false;
        self
    }
}

impl Mapping {
    /// Identifiers of a table `name = column`, which stands at `at` in the options.
    pub fn add_identifiers(&mut self, at: &str, table: &BTreeMap<String, Short<IdentifierSpec>>) {
        let fields = table.iter().map(|(name, spec)| Field::new(name, child(at, name), spec.0.clone()));
        self.identifiers.extend(fields);
    }

    /// Properties (no prefix) or attributes (`attr.`) that stand at `at` in the options.
    pub fn add_values(&mut self, prefix: &'static str, at: &str, set: &Columns<ValueSpec>) {
        match set {
            Columns::All => self.rest = Some(Rest { prefix, at: at.to_owned(), exclude: Vec::new() }),
            Columns::Listed(list) => {
                let field = |(name, spec): &(String, ValueSpec)| {
                    let column = spec.column.clone().unwrap_or_else(|| name.as_str().into());
                    let spec = ValueSpec { column: Some(column), ..spec.clone() };
                    Field::new(format!("{prefix}{name}"), child(at, name), spec)
                };
                self.values.extend(list.iter().map(field));
            }
        }
    }

    /// Columns that together name the event.
    pub fn set_event_id(&mut self, columns: &Names) {
        let parts = columns.0.iter().map(|name| Names::from(name.as_str())).collect();
        self.event_id = Some(Field::new(columns::EVENT_ID, "/event_id", parts));
    }

    /// What is wrong with it, as far as can be told without looking at files.
    pub fn problems(&self) -> Vec<Problem> {
        Plan::compile(self, None, None).err().unwrap_or_default()
    }

    /// Rejects hold neither rows nor values: the plugin says so, or an identifier is normalised or hashed, so that
    /// its raw form is personal.
    pub(crate) fn keeps_secrets(&self) -> bool {
        use kindred_identifiers::{Hash, Kind};
        let plain = |field: &Field<IdentifierSpec>| {
            let rule = field.spec.rule(&field.name);
            rule.hash == Hash::None && matches!(rule.kind, Kind::Plain | Kind::Maid | Kind::Idfa | Kind::Aaid)
        };
        self.personal || !self.identifiers.iter().all(plain)
    }
}

/// A JSON pointer one step deeper.
pub(crate) fn child(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

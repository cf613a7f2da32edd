//! The options of the plugin.

use kindred_plugin_api::prelude::*;
use kindred_reading::{
    Columns, ConstantOr, Field as Mapped, IdentifierSpec, Mapping, Names, OnBadValue, Short, TimeSpec, Type,
    ValueSpec,
};
use std::collections::{BTreeMap, BTreeSet};

/// Keys and attributes out of a database.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The database, as `host=db.example dbname=crm user=kindred password=${env:CRM_PASSWORD}` or as an address
    /// `postgresql://…`. Connections to other machines are encrypted unless it says `sslmode=disable`.
    pub(crate) connection: String,
    /// Path of certificates to trust besides the usual authorities, as PEM. Relative to the pipeline file.
    #[serde(default)]
    pub(crate) ca: Option<String>,
    /// The table or view: `customers`, `crm.customers`; or `query`.
    #[serde(default)]
    pub(crate) table: Option<String>,
    /// A query in place of a table: `SELECT … FROM … JOIN …`, without a semicolon.
    #[serde(default)]
    pub(crate) query: Option<String>,
    /// Columns that name a row, one or a list: unique, never null; rows are read in their order. Default: the primary key
    /// of the table.
    #[serde(default)]
    pub(crate) primary_key: Option<Names>,
    /// Column that grows with each change, such as `updated_at` or a number out of a sequence: after the whole table,
    /// only rows at or above its last value are read. Without it the whole table is read again.
    #[serde(default)]
    pub(crate) cursor: Option<String>,
    /// How far behind the last value of `cursor` each look begins, so that transactions that were still open are not
    /// missed: seconds of a time, steps of a number. The rows in between come again, which changes nothing. Default: 60
    /// seconds, 1000 steps.
    #[serde(default)]
    pub(crate) overlap: Option<u32>,
    /// Without `cursor`: seconds before the whole table is read again. Default: 3600.
    #[serde(default = "hour")]
    pub(crate) reread_s: u32,
    /// Keys, by namespace: a column, or a table with `column`, `kind`, `hash`, `region`. A key named `email` or `phone`,
    /// or of such a kind, is hashed with SHA-256 and its namespace ends in `_sha256`; `hash = "none"` keeps it raw.
    keys: BTreeMap<String, Short<IdentifierSpec>>,
    /// Attributes: `"*"` for all other columns, a list of columns, or a table `name = column` where a column may be a
    /// table with `type`; types are those of the database. Default: `"*"`.
    #[serde(default = "all")]
    attributes: Columns<ValueSpec>,
    /// Columns that `"*"` leaves out.
    #[serde(default)]
    exclude: Vec<String>,
    /// Since when it is so: a date for all rows, a column, or a table with `column`, `format`, `timezone`, `unit`.
    /// Default: unknown.
    #[serde(default)]
    as_of: Option<ConstantOr<TimeSpec>>,
    /// Column that holds consent: `granted`, `true`, `yes`, `1` or `denied`, `false`, `no`, `0`.
    #[serde(default)]
    consent: Option<Names>,
    /// What happens to an attribute that cannot be read: `reject` the row, or `null`.
    #[serde(default)]
    on_bad_value: OnBadValue,
}

fn all() -> Columns<ValueSpec> {
    Columns::All
}

fn hour() -> u32 {
    3600
}

impl Config {
    /// Which columns mean what.
    pub(crate) fn mapping(&self) -> Mapping {
        let mut mapping = Mapping {
            time: self.as_of.clone().map(|time| Mapped::new(columns::EVENT_TIME, "/as_of", time)),
            consent: self.consent.clone().map(|names| Mapped::new(columns::CONSENT, "/consent", names)),
            on_bad_value: self.on_bad_value,
            personal: true,
            ..Mapping::default()
        };
        mapping.add_identifiers("/keys", &self.keys);
        mapping.add_values(columns::ATTR, "/attributes", &self.attributes);
        if let Some(rest) = &mut mapping.rest {
            rest.exclude.clone_from(&self.exclude);
        }
        mapping
    }

    /// Columns whose every digit counts: keys, and attributes that are to be text.
    pub(crate) fn exact(&self) -> BTreeSet<String> {
        let or_name = |column: &Option<Names>, name: &String| {
            column.as_ref().map_or_else(|| vec![name.clone()], |names| names.0.clone())
        };
        let keys = self.keys.iter().flat_map(|(name, spec)| or_name(&spec.0.column, name));
        let listed = match &self.attributes {
            Columns::All => &[][..],
            Columns::Listed(list) => list,
        };
        let texts = listed.iter().filter(|(_, spec)| spec.kind == Some(Type::String));
        keys.chain(texts.flat_map(|(name, spec)| or_name(&spec.column, name))).collect()
    }

    /// What the rows come from, as messages say it.
    pub(crate) fn origin(&self) -> &str {
        self.table.as_deref().unwrap_or("query")
    }

    /// What is wrong with them.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut found = self.mapping().problems();
        let mut problem =
            |at: &str, message: &str, help: &str| found.push(Problem::new(at, message).help(help));
        // The parser's own words may repeat what it found, which may be a password.
        if self.connection.parse::<postgres::Config>().is_err() {
            problem(
                "/connection",
                "this is no connection",
                "such as `host=db.example dbname=crm user=kindred`",
            );
        }
        match (&self.table, &self.query) {
            (Some(_), None) => {}
            (None, Some(query)) => {
                if query.trim_end().ends_with(';') {
                    problem("/query", "a query ends without a semicolon", "it becomes part of another query");
                }
                if self.primary_key.is_none() {
                    problem(
                        "/primary_key",
                        "a query does not say what names its rows",
                        "list the columns that do",
                    );
                }
            }
            _ => problem("/table", "rows come from a `table` or from a `query`", "give one of both"),
        }
        if self.keys.is_empty() {
            problem("/keys", "no key", "attributes need at least one to find their profile");
        }
        if !self.exclude.is_empty() && self.attributes != Columns::All {
            problem("/exclude", "`exclude` is for `attributes = \"*\"`", "leave the columns out of the list");
        }
        if self.overlap.is_some() && self.cursor.is_none() {
            problem("/overlap", "there is no `cursor` that it would be behind", "name one");
        }
        found
    }
}

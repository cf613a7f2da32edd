//! CRM exports: keys as identifiers, everything else as attributes. E-mail addresses and phone numbers are hashed
//! unless the options say otherwise, and no reject shows what a row held.
//!
//! ```toml
//! [sources.crm]
//! plugin = "crm-import"
//! [sources.crm.config]
//! path = "customers.csv"
//! keys = { crm = "customer_id", email = { column = "mail", kind = "email", hash = "sha256" } }
//! attributes = { country = "country", born = { column = "dob", type = "timestamp", format = "%d.%m.%Y" } }
//! as_of = "2026-01-31"
//! ```

use kindred_plugin_api::prelude::*;
use kindred_reading::{
    Columns, ConstantOr, Field as Mapped, FileConfig, FilePlugin, Files, Format, IdentifierSpec, Mapping,
    Names, OnBadValue, Short, StoreConfig, TextConfig, TimeSpec, ValueSpec,
};
use std::collections::BTreeMap;

/// Attributes out of CRM exports.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A file, a folder or a glob, or a list of them: `exports/*.csv`, relative to the pipeline file, or `s3://bucket/exports/*.csv`.
    path: Names,
    /// How the store of an address is reached: `region`, `endpoint`, credentials … Default: as the environment says.
    #[serde(default)]
    store: StoreConfig,
    /// Format of the files: `csv`, `tsv`, `jsonl` or `parquet`. Default: by their extensions.
    #[serde(default)]
    format: Option<Format>,
    /// How text files are written: header, delimiter, encoding, longest row.
    #[serde(default)]
    text: TextConfig,
    /// Keys, by namespace: a column, or a table with `column`, `kind`, `hash`, `region`. A key named `email` or `phone`,
    /// or of such a kind, is hashed with SHA-256 and its namespace ends in `_sha256`; `hash = "none"` keeps it raw.
    keys: BTreeMap<String, Short<IdentifierSpec>>,
    /// Attributes: `"*"` for all other columns, a list of columns, or a table `name = column` where a column may be a
    /// table with `type`, `format`, `decimal`, `thousands`. Default: `"*"`.
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

impl FileConfig for Config {
    const MANIFEST: Manifest =
        manifest!("crm-import", "reads keys and attributes from CRM exports", ["ordered", "network"]);

    fn parts(&self) -> (Files, Mapping) {
        let mut mapping = Mapping {
            time: self.as_of.clone().map(|time| Mapped::new("event_time", "/as_of", time)),
            consent: self.consent.clone().map(|names| Mapped::new("consent", "/consent", names)),
            on_bad_value: self.on_bad_value,
            personal: true,
            exclusive: true,
            ..Mapping::default()
        };
        mapping.add_identifiers("/keys", &self.keys);
        mapping.add_values(columns::ATTR, "/attributes", &self.attributes);
        if let Some(rest) = &mut mapping.rest {
            rest.exclude.clone_from(&self.exclude);
        }
        (Files::new(&self.path, &self.store, self.format, &self.text), mapping)
    }

    fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        if self.keys.is_empty() {
            found.push(Problem::new("/keys", "no key; attributes need at least one to find their profile"));
        }
        if !self.exclude.is_empty() && self.attributes != Columns::All {
            found.push(Problem::new(
                "/exclude",
                "`exclude` is for `attributes = \"*\"`; leave the columns out of the list",
            ));
        }
        found
    }
}

/// The plugin.
pub type CrmImport = FilePlugin<Config>;

register!(source CrmImport);

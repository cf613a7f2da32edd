//! Transactions, or any other events, from Parquet, CSV and JSON lines: the options say which column means what, and
//! a catalogue adds what the events leave out.
//!
//! ```toml
//! [sources.till]
//! plugin = "file-events"
//! [sources.till.config]
//! path = "transactions.parquet"
//! time = "transaction_timestamp"
//! event = "purchase"
//! event_id = ["basket_id", "product_id"]
//! identifiers = { household = "household_id" }
//! properties = ["quantity", "sales_value"]
//! catalogue = { path = "products.parquet", key = "product_id", columns = { category = "product_category" } }
//! ```

use kindred_plugin_api::prelude::*;
use kindred_reading::{
    CatalogueSpec, Columns, ConstantOr, EventSpec, Field as Mapped, FileConfig, FilePlugin, Files, Format,
    IdentifierSpec, Mapping, Names, OnBadValue, Short, StoreConfig, TextConfig, TimeSpec, ValueSpec,
};
use std::collections::BTreeMap;

/// Events out of files.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A file, a folder or a glob, or a list of them: `logs/*.csv.gz`, relative to the pipeline file, or `s3://bucket/logs/*.csv.gz`.
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
    /// When it happened: a column, or a table with `column`, `format`, `timezone`, `unit`.
    time: Short<TimeSpec>,
    /// The name of all events: `"purchase"`; or a table with `column` and `map`.
    event: ConstantOr<EventSpec>,
    /// Columns that together name an event, joined by `:`, so that a second delivery is known. Default: file and row.
    #[serde(default)]
    event_id: Option<Names>,
    /// Identifiers, by namespace: a column, or a table with `column`, `kind`, `hash`, `region`.
    identifiers: BTreeMap<String, Short<IdentifierSpec>>,
    /// Properties of the event: a list of columns, a table `name = column` where a column may be a table with `type`,
    /// `format`, `decimal` …, or `"*"` for all other columns. Columns of JSON lines are paths: `cart.total`.
    #[serde(default)]
    properties: Columns<ValueSpec>,
    /// Column that holds consent: `granted`, `true`, `yes`, `1` or `denied`, `false`, `no`, `0`.
    #[serde(default)]
    consent: Option<Names>,
    /// A small table that is joined to every row.
    #[serde(default)]
    catalogue: Option<CatalogueSpec>,
    /// What happens to a property that cannot be read: `reject` the row, or `null`.
    #[serde(default)]
    on_bad_value: OnBadValue,
}

impl FileConfig for Config {
    const MANIFEST: Manifest =
        manifest!("file-events", "reads events from Parquet, CSV and JSON lines", ["ordered", "network"]);

    fn parts(&self) -> (Files, Mapping) {
        let mut mapping = Mapping {
            time: Some(Mapped::new("event_time", "/time", ConstantOr::Table(self.time.0.clone()))),
            event: Some(Mapped::new("event", "/event", self.event.clone())),
            consent: self.consent.clone().map(|names| Mapped::new("consent", "/consent", names)),
            catalogue: self.catalogue.clone(),
            on_bad_value: self.on_bad_value,
            ..Mapping::default()
        };
        if let Some(columns) = &self.event_id {
            mapping.set_event_id(columns);
        }
        mapping.add_identifiers("/identifiers", &self.identifiers);
        mapping.add_values("", "/properties", &self.properties);
        (Files::new(&self.path, &self.store, self.format, &self.text), mapping)
    }

    fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        if self.identifiers.is_empty() {
            found.push(Problem::new(
                "/identifiers",
                "no identifier; an event needs at least one to find its profile",
            ));
        }
        found
    }
}

/// The plugin.
pub type FileEvents = FilePlugin<Config>;

register!(source FileEvents);

//! Web logs: events of browsers that are known by a cookie, from JSON lines and CSV.
//!
//! ```toml
//! [sources.web]
//! plugin = "cookies"
//! config = { path = "logs/*.jsonl.gz" }
//! ```
//!
//! With nothing but a path it reads `cookie`, `event` or `type`, `time` or `timestamp`, an id from `id`, `event_id` or
//! `messageId`, and the properties `url`, `referrer`, `category` and `value` where they are there.

use kindred_plugin_api::prelude::*;
use kindred_reading::{
    Columns, ConstantOr, EventSpec, Field as Mapped, FileConfig, FilePlugin, Files, Format, IdentifierSpec,
    Mapping, Names, OnBadValue, Short, TextConfig, TimeSpec, Type, ValueSpec,
};
use std::collections::BTreeMap;

/// Properties that a web log usually has.
const USUAL: [(&str, Type); 4] =
    [("url", Type::String), ("referrer", Type::String), ("category", Type::String), ("value", Type::Decimal)];

/// Cookie events out of web logs.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A file, a folder or a glob, or a list of them: `logs/*.jsonl.gz`. Relative to the pipeline file.
    path: Names,
    /// Format of the files: `csv`, `tsv`, `jsonl` or `parquet`. Default: by their extensions.
    #[serde(default)]
    format: Option<Format>,
    /// How text files are written: header, delimiter, encoding, longest row.
    #[serde(default)]
    text: TextConfig,
    /// Column of the cookie. Default: `cookie`.
    #[serde(default)]
    cookie: Short<IdentifierSpec>,
    /// Further identifiers, by namespace: a column, or a table with `column`, `kind`, `hash`, `region`. A row may lack
    /// them.
    #[serde(default)]
    identifiers: BTreeMap<String, Short<IdentifierSpec>>,
    /// One name for all events: `"page_view"`; or a table with `column` and `map`. Default: the column `event` or `type`.
    #[serde(default = "event")]
    event: ConstantOr<EventSpec>,
    /// When it happened: a column, or a table with `column`, `format`, `timezone`, `unit`. Default: the column `time` or
    /// `timestamp`.
    #[serde(default = "time")]
    time: Short<TimeSpec>,
    /// Columns that together name an event, joined by `:`, so that a second delivery is known. Default: the first of
    /// `id`, `event_id` and `messageId` that has a value, else file and row.
    #[serde(default)]
    event_id: Option<Names>,
    /// Further properties: a list of columns, or a table `name = column` where a column may be a table with `type`,
    /// `format`, `decimal` …; one named `url`, `referrer`, `category` or `value` replaces the usual one. Columns of JSON
    /// lines are paths: `page.title`.
    #[serde(default)]
    properties: Columns<ValueSpec>,
    /// Column that holds consent: `granted`, `true`, `yes`, `1` or `denied`, `false`, `no`, `0`.
    #[serde(default)]
    consent: Option<Names>,
    /// What happens to a property that cannot be read: `reject` the row, or `null`.
    #[serde(default)]
    on_bad_value: OnBadValue,
}

fn event() -> ConstantOr<EventSpec> {
    ConstantOr::Table(EventSpec { column: Names::from(&["event", "type"][..]), ..EventSpec::default() })
}

fn time() -> Short<TimeSpec> {
    Short(Names::from(&["time", "timestamp"][..]).into())
}

impl FileConfig for Config {
    const MANIFEST: Manifest =
        manifest!("cookies", "reads web logs of cookie-identified events", ["ordered"]);

    fn parts(&self) -> (Files, Mapping) {
        let mut mapping = Mapping {
            identifiers: vec![Mapped::new("cookie", "/cookie", self.cookie.0.clone())],
            time: Some(Mapped::new("event_time", "/time", ConstantOr::Table(self.time.0.clone()))),
            event: Some(Mapped::new("event", "/event", self.event.clone())),
            consent: self.consent.clone().map(|names| Mapped::new("consent", "/consent", names)),
            on_bad_value: self.on_bad_value,
            ..Mapping::default()
        };
        match &self.event_id {
            Some(columns) => mapping.set_event_id(columns),
            None => {
                let usual = vec![Names::from(&["id", "event_id", "messageId"][..])];
                mapping.event_id = Some(Mapped::new("event_id", "/event_id", usual).optional());
            }
        }
        mapping.add_identifiers("/identifiers", &self.identifiers);
        mapping.add_values("", "/properties", &self.properties);
        for (name, kind) in USUAL {
            if mapping.values.iter().all(|field| field.name != name) {
                let spec = ValueSpec::new(&[name], kind);
                mapping.values.push(Mapped::new(name, "/properties", spec).optional());
            }
        }
        (Files::new(&self.path, self.format, &self.text), mapping)
    }
}

/// The plugin.
pub type Cookies = FilePlugin<Config>;

register!(source Cookies);

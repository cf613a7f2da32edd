//! Web logs: events of browsers that are known by a cookie, from JSON lines and CSV, or as they happen, over HTTP.
//!
//! ```toml
//! [sources.web]
//! plugin = "cookies"
//! config = { path = "logs/*.jsonl.gz" }
//! ```
//!
//! With nothing but a path it reads `cookie`, `event` or `type`, `time` or `timestamp`, an id from `id`, `event_id` or
//! `messageId`, and the properties `url`, `referrer`, `category` and `value` where they are there.
//!
//! With the table `collector` in place of a path it listens for events (docs/collector.md):
//!
//! ```toml
//! [sources.web.config.collector]
//! listen = "127.0.0.1:8080"
//! sites.shop = { key = "wk_shop_1", origins = ["https://shop.example"] }
//! ```

use kindred_collector::{Collector, CollectorConfig, Shared};
use kindred_plugin_api::prelude::*;
use kindred_reading::{
    Columns, ConstantOr, EventSpec, Field as Mapped, FileSource, Files, Format, IdentifierSpec, Mapping,
    Names, OnBadValue, Short, StoreConfig, TextConfig, TimeSpec, Type, ValueSpec,
};
use std::collections::BTreeMap;

/// Properties that a web log usually has.
const USUAL: [(&str, Type); 4] =
    [("url", Type::String), ("referrer", Type::String), ("category", Type::String), ("value", Type::Decimal)];

/// Cookie events out of web logs, or over HTTP.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A file, a folder or a glob, or a list of them: `logs/*.jsonl.gz`, relative to the pipeline file, or `s3://bucket/logs/*.jsonl.gz`.
    #[serde(default)]
    path: Option<Names>,
    /// How the store of an address is reached: `region`, `endpoint`, credentials … Default: as the environment says.
    #[serde(default)]
    store: StoreConfig,
    /// In place of `path`: takes events in over HTTP. Of the other options only `identifiers`, `properties`,
    /// `on_bad_value` and the `map` of `event` count then; columns are paths such as `properties.price`, and one without
    /// a dot is looked for in the event's properties and traits.
    #[serde(default)]
    collector: Option<CollectorConfig>,
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

impl Config {
    /// The files, and the part that each column plays.
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
        let path = self.path.clone().unwrap_or_default();
        (Files::new(&path, &self.store, self.format, &self.text), mapping)
    }

    /// What the collector shares with files.
    fn shared(&self) -> Shared {
        let events = match &self.event {
            ConstantOr::Table(spec) => spec.map.clone(),
            ConstantOr::Constant(_) => BTreeMap::new(),
        };
        Shared {
            identifiers: self.identifiers.clone(),
            properties: self.properties.clone(),
            events,
            on_bad_value: self.on_bad_value,
        }
    }

    /// Options that mean nothing to a collector.
    fn only_of_files(&self) -> Vec<Problem> {
        let set = [
            ("path", self.path.is_some()),
            ("store", self.store != StoreConfig::default()),
            ("format", self.format.is_some()),
            ("text", self.text != TextConfig::default()),
            ("cookie", self.cookie != Short::default()),
            ("event_id", self.event_id.is_some()),
            ("consent", self.consent.is_some()),
            ("time", self.time != time()),
            ("event", matches!(self.event, ConstantOr::Constant(_))),
        ];
        let set = set.into_iter().filter(|(_, set)| *set);
        set.map(|(name, _)| {
            Problem::new(format!("/{name}"), format!("`{name}` is of files; a `collector` has none"))
                .help("leave out one of them")
        })
        .collect()
    }
}

/// The plugin: files, or a collector.
pub enum Cookies {
    /// Reads files.
    Files(Box<FileSource>),
    /// Listens.
    Collector(Box<Collector>),
    /// Would listen, and is only asked for its schema.
    Look(SchemaRef),
}

impl Source for Cookies {
    const MANIFEST: Manifest = manifest!(
        "cookies",
        "reads cookie-identified events from web logs, or takes them in over HTTP",
        ["ordered", "network"]
    );
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        match &config.collector {
            None if config.path.is_none() => {
                let problem = Problem::new("", "there is neither `path` nor `collector`");
                vec![problem.help("`path` reads files, `[sources.NAME.config.collector]` listens")]
            }
            None => {
                let (files, mapping) = config.parts();
                kindred_reading::problems(&files, &mapping)
            }
            Some(collector) => {
                let mut problems = config.only_of_files();
                problems.extend(kindred_collector::problems(collector, &config.shared(), "/collector"));
                problems
            }
        }
    }

    fn check(config: &Config, context: &Context) -> Result<()> {
        if config.collector.is_some() {
            return Ok(());
        }
        let (files, mapping) = config.parts();
        kindred_reading::check(&files, &mapping, context)
    }

    fn open(config: Config, context: Context) -> Result<Self> {
        if let Some(collector) = &config.collector {
            if context.looks_only() {
                return Ok(Self::Look(kindred_collector::schema(collector, &config.shared())?));
            }
            let collector = Collector::open(collector, &config.shared(), context)?;
            return Ok(Self::Collector(Box::new(collector)));
        }
        let (files, mapping) = config.parts();
        Ok(Self::Files(Box::new(FileSource::open(&files, &mapping, context)?)))
    }

    fn schema(&mut self) -> Result<SchemaRef> {
        Ok(match self {
            Self::Files(files) => files.schema(),
            Self::Collector(collector) => collector.schema(),
            Self::Look(schema) => schema.clone(),
        })
    }

    fn poll(&mut self, max_rows: usize, deadline_ms: u64) -> Result<Poll> {
        match self {
            Self::Files(files) => files.poll(max_rows),
            Self::Collector(collector) => collector.poll(max_rows, deadline_ms),
            Self::Look(_) => Ok(Poll::End),
        }
    }

    fn ack(&mut self, position: &[u8]) -> Result<()> {
        match self {
            Self::Files(_) | Self::Look(_) => Ok(()),
            Self::Collector(collector) => collector.ack(position),
        }
    }

    fn close(&mut self) -> Result<()> {
        if let Self::Collector(collector) = self {
            collector.close();
        }
        Ok(())
    }
}

register!(source Cookies);

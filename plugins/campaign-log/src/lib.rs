//! What campaigns did: impressions, clicks, conversions and spend, from the logs of ad servers and mail tools.
//!
//! ```toml
//! [sources.mailings]
//! plugin = "campaign-log"
//! [sources.mailings.config]
//! path = "campaigns.csv"
//! event = "impression"
//! time = "start_date"
//! identifiers = { household = "household_id" }
//! catalogue = { path = "campaign_descriptions.csv", key = "campaign_id", columns = ["start_date"] }
//! ```

use kindred_plugin_api::prelude::*;
use kindred_reading::{
    CatalogueSpec, Columns, ConstantOr, EventSpec, Field as Mapped, FileConfig, FilePlugin, Files, Format,
    IdentifierSpec, Mapping, Names, OnBadValue, Short, StoreConfig, TextConfig, TimeSpec, Type, ValueSpec,
};
use std::collections::BTreeMap;

/// The events of a campaign log.
const EVENTS: &[&str] = &["impression", "click", "conversion", "spend"];

/// Campaign events out of files.
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
    /// `impression`, `click`, `conversion` or `spend` for all rows; or a table with `column`, and `map` from what the
    /// log says to one of the four. Default: the column `event` or `type`.
    #[serde(default = "event")]
    event: ConstantOr<EventSpec>,
    /// When it happened: a column, or a table with `column`, `format`, `timezone`, `unit`. Default: the column `time`,
    /// `timestamp` or `date`.
    #[serde(default = "time")]
    time: Short<TimeSpec>,
    /// Columns that together name an event, joined by `:`, so that a second delivery is known. Default: file and row.
    #[serde(default)]
    event_id: Option<Names>,
    /// Identifiers, by namespace: a column, or a table with `column`, `kind`, `hash`, `region`. Only spend needs none.
    #[serde(default)]
    identifiers: BTreeMap<String, Short<IdentifierSpec>>,
    /// Column of the campaign. Default: `campaign` or `campaign_id`, if there.
    #[serde(default)]
    campaign: Option<Short<ValueSpec>>,
    /// Column of the creative. Default: `creative` or `creative_id`, if there.
    #[serde(default)]
    creative: Option<Short<ValueSpec>>,
    /// Column of what it cost, a decimal number. Default: `cost`, if there.
    #[serde(default)]
    cost: Option<Short<ValueSpec>>,
    /// Column of what it earned, a decimal number. Default: `revenue`, if there.
    #[serde(default)]
    revenue: Option<Short<ValueSpec>>,
    /// Further properties: a list of columns, a table `name = column`, or `"*"` for all other columns.
    #[serde(default)]
    properties: Columns<ValueSpec>,
    /// Column that holds consent: `granted`, `true`, `yes`, `1` or `denied`, `false`, `no`, `0`.
    #[serde(default)]
    consent: Option<Names>,
    /// A small table that is joined to every row, such as the dates of the campaigns.
    #[serde(default)]
    catalogue: Option<CatalogueSpec>,
    /// What happens to a property that cannot be read: `reject` the row, or `null`.
    #[serde(default)]
    on_bad_value: OnBadValue,
}

fn event() -> ConstantOr<EventSpec> {
    ConstantOr::Table(EventSpec { column: Names::from(&["event", "type"][..]), ..EventSpec::default() })
}

fn time() -> Short<TimeSpec> {
    Short(Names::from(&["time", "timestamp", "date"][..]).into())
}

impl FileConfig for Config {
    const MANIFEST: Manifest = manifest!(
        "campaign-log",
        "reads impressions, clicks, conversions and spend from log files",
        ["ordered", "network"]
    );

    fn parts(&self) -> (Files, Mapping) {
        let mut mapping = Mapping {
            time: Some(Mapped::new("event_time", "/time", ConstantOr::Table(self.time.0.clone()))),
            event: Some(Mapped::new("event", "/event", self.event.clone())),
            consent: self.consent.clone().map(|names| Mapped::new("consent", "/consent", names)),
            catalogue: self.catalogue.clone(),
            on_bad_value: self.on_bad_value,
            events: EVENTS,
            anonymous: &["spend"],
            ..Mapping::default()
        };
        if let Some(columns) = &self.event_id {
            mapping.set_event_id(columns);
        }
        mapping.add_identifiers("/identifiers", &self.identifiers);
        let own = [
            ("campaign", &self.campaign, &["campaign", "campaign_id"][..], Type::String),
            ("creative", &self.creative, &["creative", "creative_id"], Type::String),
            ("cost", &self.cost, &["cost"], Type::Decimal),
            ("revenue", &self.revenue, &["revenue"], Type::Decimal),
        ];
        for (name, option, columns, kind) in own {
            mapping.values.push(match option {
                Some(Short(spec)) => Mapped::new(name, format!("/{name}"), spec.clone().or_type(kind)),
                None => Mapped::new(name, format!("/{name}"), ValueSpec::new(columns, kind)).optional(),
            });
        }
        mapping.add_values("", "/properties", &self.properties);
        (Files::new(&self.path, &self.store, self.format, &self.text), mapping)
    }

    fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        if self.identifiers.is_empty() && self.event != ConstantOr::Constant("spend".to_owned()) {
            found.push(Problem::new("/identifiers", "no identifier; only spend can do without"));
        }
        found
    }
}

/// The plugin.
pub type CampaignLog = FilePlugin<Config>;

register!(source CampaignLog);

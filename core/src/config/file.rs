//! The keys of a pipeline file, once. These structs and their comments are what the reader accepts, what its errors say,
//! the JSON Schema for editors and the reference page.

use super::{ConsentDefault, OnError, Party, Purpose, Scope, contract::Drift};
use crate::store::columns::ColumnType;
use kindred_plugin_api::Mode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// Names of sources, enrichments, segments and destinations.
pub(super) const NAME: &str = "[a-z0-9][a-z0-9_-]*";

/// The plugin of a segment that names none.
pub(super) const RULES: &str = "rules";

/// Options of the plugin.
pub(super) type Options = Map<String, Json>;

/// A Kindred pipeline: from sources to audiences to destinations.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "only its schema is used: the parts are read one by one, so that one bad part hides none"
)]
pub(super) struct File {
    /// What holds for the whole pipeline: `[pipeline]`, with a `store` at least.
    pipeline: PipelineTable,
    /// Variables: `${NAME}` anywhere in a string is replaced, `--set NAME=VALUE` overrides. `${env:NAME}` is a secret from
    /// the environment; `$${` stands for the characters `${`.
    #[schemars(default)]
    vars: BTreeMap<String, Variable>,
    /// Where rows come from: `[sources.NAME]`.
    #[schemars(default, extend("propertyNames" = {"pattern": format!("^{NAME}$")}))]
    sources: BTreeMap<String, SourceTable>,
    /// What happens to the rows, in this order: `[[enrichments]]`.
    #[schemars(default)]
    enrichments: Vec<EnrichmentTable>,
    /// Who belongs to which audience: `[segments.NAME]`.
    #[schemars(default, extend("propertyNames" = {"pattern": format!("^{NAME}$")}))]
    segments: BTreeMap<String, SegmentTable>,
    /// Where audiences go: `[destinations.NAME]`.
    #[schemars(default, extend("propertyNames" = {"pattern": format!("^{NAME}$")}))]
    destinations: BTreeMap<String, DestinationTable>,
    /// What segments must answer: `[[tests]]`, for `kindred test FILE`.
    #[schemars(default)]
    tests: Vec<TestTable>,
    /// Where whole audiences are computed: `[engine]`. Default: in this process.
    #[schemars(with = "EngineTable", default)]
    engine: Option<EngineTable>,
    /// How `kindred serve` works: `[serve]`.
    #[schemars(with = "ServeTable", default)]
    serve: Option<ServeTable>,
}

/// A string or a number.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum Variable {
    Text(String),
    Number(f64),
}

/// `[pipeline]`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PipelineTable {
    /// Name of the pipeline. Default: the file's name.
    pub(super) name: Option<String>,
    /// Folder of the store, from the folder of the file.
    #[schemars(required)]
    pub(super) store: Option<String>,
    /// Age at which events are dropped: `13 months`, `400 days`.
    #[serde(default = "retention")]
    pub(super) retention: String,
    /// The moment that audiences are true at: `wall` (the wall clock), `events` (the latest event time, of events that are
    /// not in the future, for replays of old data), or a moment such as `2026-01-31T00:00:00Z`.
    #[serde(default = "clock")]
    pub(super) clock: String,
    /// Rows that are taken from each source at once; a step takes up to eight times as many while more wait.
    #[serde(default = "step_rows")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(super) step_rows: usize,
    /// Memory for events that were read and may be asked for again: `1 GiB`, `500 MB`. With less, more is read from the disk;
    /// audiences are the same.
    #[serde(default = "cache")]
    pub(super) cache: String,
    /// Namespaces whose raw values may be stored, such as `email` and `phone`; others are refused unless hashed.
    #[serde(default)]
    pub(super) raw_identifiers: Vec<String>,
}

/// `[engine]`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EngineTable {
    /// In this process, or on the workers; the audiences are the same.
    #[serde(default)]
    pub(super) kind: EngineKind,
    /// Addresses of the workers, `HOST:PORT`, as given to `kindred worker --listen`; of `distributed` only, as all below.
    #[serde(default)]
    pub(super) workers: Vec<String>,
    /// Directory that this machine and every worker see, from the folder of the file.
    pub(super) shared: Option<String>,
    /// A job that takes longer is given to another worker: `60 s`, `5 minutes`.
    #[serde(default = "deadline")]
    pub(super) deadline: String,
    /// How often a job is sent again, and how often a lost worker is tried again.
    #[serde(default = "retries")]
    #[schemars(range(max = 100))]
    pub(super) retries: u32,
}

/// Where whole audiences are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum EngineKind {
    /// In this process.
    #[default]
    Embedded,
    /// On workers.
    Distributed,
}

/// `[serve]`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ServeTable {
    /// Address of health, metrics and the Profile API, `HOST:PORT`; a proxy in front of it speaks TLS.
    #[serde(default = "listen")]
    pub(super) listen: String,
    /// How often destinations get what has changed: `60 s`, `5 minutes`.
    #[serde(default = "deliver_every")]
    pub(super) deliver_every: String,
    /// How often models, percentiles and SQL segments follow what has changed.
    #[serde(default = "fit_every")]
    pub(super) fit_every: String,
    /// How often a source that has ended is looked at again: files that are new or have grown.
    #[serde(default = "look_every")]
    pub(super) look_every: String,
    /// Name of the id cookie that collectors set, so that a visitor's page may ask for `/v1/profiles/me`. Default: none.
    pub(super) cookie: Option<String>,
    /// Callers of the Profile API: `[serve.keys.NAME]`.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": format!("^{NAME}$")}))]
    pub(super) keys: BTreeMap<String, KeyTable>,
}

/// `[serve.keys.NAME]`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyTable {
    /// The secret that the caller shows, at least 16 characters: `${env:SHOP_KEY}`.
    pub(super) key: String,
    /// What it may ask.
    #[serde(default = "scopes")]
    pub(super) scopes: Vec<Scope>,
    /// Attributes that it is shown: `crm.country`.
    #[serde(default)]
    pub(super) attributes: Vec<String>,
    /// Segments that it is shown. Default: all.
    pub(super) segments: Option<Vec<String>>,
    /// What it uses them for, hence how far a profile's consent must reach.
    #[serde(default)]
    pub(super) purpose: Purpose,
    /// Web pages that may use it, by their origin: `https://shop.example`.
    #[serde(default)]
    pub(super) origins: Vec<String>,
}

/// `[sources.NAME]`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceTable {
    /// A built-in, an entry of `kindred.lock`, or a library such as `./libacme.so`.
    pub(super) plugin: String,
    /// Whose data it is.
    #[serde(default)]
    pub(super) party: Party,
    /// What a row without a consent of its own counts as.
    #[serde(default)]
    pub(super) consent: ConsentDefault,
    /// How long its events and attributes count, from their own time on: `30 days`. Its events never count longer than
    /// `pipeline.retention`. Default: events as all others, attributes always.
    pub(super) ttl: Option<String>,
    /// Destinations that may get what its data makes of profiles; all others get no segment that depends on it, and no
    /// identifier that only it has brought. Default: all.
    pub(super) destinations: Option<Vec<String>>,
    /// What a thousand delivered members cost that depend on it, of bought data:
    /// `price_per_thousand = { amount = "2.50", currency = "EUR" }`.
    #[schemars(with = "PriceTable", default)]
    pub(super) price_per_thousand: Option<PriceTable>,
    /// What its rows must look like: `[sources.NAME.schema]`. Default: whatever the source brings, as far as it fits what the
    /// store holds.
    #[schemars(with = "SchemaTable", default)]
    pub(super) schema: Option<SchemaTable>,
    /// Options of the plugin.
    #[serde(default)]
    #[expect(dead_code, reason = "read with its places, by the plugin's own schema")]
    config: Options,
}

/// `price_per_thousand = { amount = "2.50", currency = "EUR" }`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PriceTable {
    /// Digits with at most six behind the point, as text, so that no digit is lost: `2.50`.
    pub(super) amount: String,
    /// Three letters of ISO 4217: `EUR`.
    pub(super) currency: String,
}

/// `[sources.NAME.schema]`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemaTable {
    /// Columns as the source hands them out, before any enrichment, by name, with their types: `"attr.country" = "text"`,
    /// `price = { type = "decimal", required = true }`.
    #[schemars(required)]
    pub(super) columns: BTreeMap<String, ColumnSpec>,
    /// What happens to rows that are otherwise.
    #[serde(default)]
    pub(super) drift: Drift,
}

/// A type, or a table of it.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum ColumnSpec {
    Kind(ColumnType),
    Table(ColumnTable),
}

/// A column: `{ type = "decimal", required = true }`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnTable {
    /// What its values are.
    #[serde(rename = "type")]
    pub(super) kind: ColumnType,
    /// Every row must have a value; of a property, every row with an event.
    #[serde(default)]
    pub(super) required: bool,
}

/// `[[enrichments]]`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EnrichmentTable {
    /// Name of this step. Default: the plugin's name.
    pub(super) name: Option<String>,
    /// A built-in, an entry of `kindred.lock`, or a library such as `./libacme.so`.
    pub(super) plugin: String,
    /// Sources that it applies to. Default: all.
    pub(super) from: Option<Vec<String>>,
    /// Options of the plugin.
    #[serde(default)]
    #[expect(dead_code, reason = "as in SourceTable")]
    config: Options,
}

/// `[segments.NAME]`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SegmentTable {
    /// Title for people. Default: the name.
    pub(super) title: Option<String>,
    /// A built-in, an entry of `kindred.lock`, or a library such as `./libacme.so`.
    #[serde(default = "rules")]
    pub(super) plugin: String,
    /// The rule, a condition on profiles; of plugin `rules` only.
    #[expect(dead_code, reason = "as in SourceTable")]
    #[schemars(with = "String", default)]
    rule: Option<String>,
    /// A query that answers with a column `profile_id`, in place of a rule or a plugin; docs/query.md.
    pub(super) sql: Option<String>,
    /// How often the query is asked: `30 minutes`, `1 hour`. Default: at the end of each run that changed a profile.
    pub(super) every: Option<String>,
    /// Options of the plugin.
    #[serde(default)]
    #[expect(dead_code, reason = "as in SourceTable")]
    config: Options,
}

/// `[destinations.NAME]`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DestinationTable {
    /// A built-in, an entry of `kindred.lock`, or a library such as `./libacme.so`.
    pub(super) plugin: String,
    /// Segments whose audiences it gets.
    #[schemars(required, length(min = 1))]
    pub(super) segments: Option<Vec<String>>,
    /// Changes since the last delivery, or whole audiences.
    #[serde(default = "mode")]
    pub(super) mode: Mode,
    /// Audiences with fewer members are not sent; removals always are.
    #[serde(default = "minimum_audience")]
    #[schemars(range(min = 50))]
    pub(super) minimum_audience: u64,
    /// Where the plugin runs.
    #[serde(default)]
    pub(super) isolation: Isolation,
    /// What failures lead to.
    #[serde(default)]
    pub(super) on_error: OnError,
    /// Options of the plugin.
    #[serde(default)]
    #[expect(dead_code, reason = "as in SourceTable")]
    config: Options,
}

/// Where a plugin runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Isolation {
    /// In this process.
    #[default]
    None,
    /// In a process of its own; not available in this version.
    Process,
}

/// `[[tests]]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used: `cases` reads the tree, which knows times from texts")]
pub(super) struct TestTable {
    /// What is tested, in a few words.
    name: String,
    /// The moment that the expectations are for, such as `2026-01-31T12:00:00Z`.
    as_of: String,
    /// Who did what: `[tests.profiles.KEY]`.
    #[schemars(default)]
    profiles: BTreeMap<String, TestProfileTable>,
    /// Types of event columns and of attributes (`"attr.crm.age"`) that a rule reads and that no test has a value of.
    #[schemars(default)]
    columns: BTreeMap<String, ColumnType>,
    /// The members of each segment, by their keys: `{ coat-lookers = ["anna"] }`; all other profiles must be outside.
    expect: BTreeMap<String, Vec<String>>,
}

/// `[tests.profiles.KEY]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "as in TestTable")]
struct TestProfileTable {
    /// Namespace and value of each identifier; profiles that share one are one. Default: the key, in namespace `test`.
    #[schemars(default)]
    identifiers: BTreeMap<String, String>,
    /// `SOURCE.NAME` and value: `{ "crm.country" = "DE" }`.
    #[schemars(default)]
    attributes: BTreeMap<String, Scalar>,
    /// What the profile said, `granted` unless told otherwise; a denial comes after its events.
    #[schemars(default)]
    consent: TestConsent,
    /// Events as segments see them, enriched: `{ time = "-3 days", event = "purchase", amount = 9.5 }`.
    #[schemars(default)]
    events: Vec<TestEventTable>,
}

/// An entry of `events`
#[derive(JsonSchema)]
#[expect(dead_code, reason = "as in TestTable")]
struct TestEventTable {
    /// A moment such as `2026-01-31T12:00:00Z`, or its distance from `as_of`: `-3 days`, `-90 minutes`.
    time: String,
    /// Name of the event.
    event: String,
    /// The source that it came from. Default: the only one, or `test` where there are several.
    #[schemars(default, with = "String")]
    source: Option<String>,
    /// Any other column.
    #[serde(flatten)]
    columns: BTreeMap<String, Scalar>,
}

/// A text, a number, true or false, or a time.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "as in TestTable")]
enum Scalar {
    Text(String),
    Number(f64),
    Boolean(bool),
}

/// What a profile of a test said.
#[derive(Default, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "as in TestTable")]
enum TestConsent {
    /// It agreed.
    #[default]
    Granted,
    /// It agreed at first, and then no more.
    Denied,
}

/// How long events are kept where a file does not say.
pub(crate) const RETENTION: &str = "13 months";

fn retention() -> String {
    RETENTION.to_owned()
}

fn clock() -> String {
    "wall".to_owned()
}

fn step_rows() -> usize {
    65_536
}

fn cache() -> String {
    "1 GiB".to_owned()
}

pub(super) fn listen() -> String {
    "127.0.0.1:8181".to_owned()
}

pub(super) fn deliver_every() -> String {
    "60 s".to_owned()
}

pub(super) fn fit_every() -> String {
    "15 minutes".to_owned()
}

pub(super) fn look_every() -> String {
    "60 s".to_owned()
}

fn scopes() -> Vec<Scope> {
    vec![Scope::Profile]
}

fn deadline() -> String {
    "60 s".to_owned()
}

fn retries() -> u32 {
    5
}

fn rules() -> String {
    RULES.to_owned()
}

fn mode() -> Mode {
    Mode::Delta
}

fn minimum_audience() -> u64 {
    1000
}

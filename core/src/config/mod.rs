//! The pipeline file: what it may hold, what it means, and everything that is wrong with it at once.
//!
//! `load` goes through one file like this: `syntax` reads TOML, `tree` keeps the place of every value, `vars` puts
//! variables and secrets in, `shape` holds the tree against the JSON Schema of `file`, `build` resolves names and
//! hands each `config` to its plugin through `options`, and `graph` orders the segments. Nobody stops at the first
//! problem: each adds to one list, which `problem` sorts and `render` shows.

pub(crate) mod age;
mod build;
pub mod cases;
pub mod contract;
mod engine;
mod file;
pub(crate) use file::RETENTION;
mod graph;
mod options;
mod price;
mod problem;
mod render;
mod schema;
mod serve;
mod shape;
pub mod size;
mod syntax;
mod terms;
mod text;
mod tree;
mod vars;
mod written;

pub use price::Price;
pub use problem::{Problem, Problems};
pub use schema::schema;
pub use serve::{Key, Purpose, Scope, Serve};
pub use vars::set_argument;
pub use written::Written;

use crate::plugin::Plugins;
use cases::Cases;
use contract::Contract;
use kindred_plugin_api::Mode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Reads a pipeline file; `sets` override its variables.
///
/// # Errors
/// Everything that is wrong with it, sorted by position.
pub fn load(file: &Path, sets: &[(String, String)], plugins: &dyn Plugins) -> Result<Pipeline, Problems> {
    load_text(file, &syntax::read(file)?, sets, plugins)
}

/// The same for a text that would stand in `file`, which need not exist.
///
/// # Errors
/// As [`load`].
pub fn load_text(
    file: &Path,
    text: &str,
    sets: &[(String, String)],
    plugins: &dyn Plugins,
) -> Result<Pipeline, Problems> {
    let mut problems = Vec::new();
    let mut secrets = Vec::new();
    let pipeline = syntax::parse(text, &mut problems).and_then(|mut root| {
        secrets = vars::apply(&mut root, sets, &mut problems);
        build::pipeline(file, text, &root, plugins, &mut problems)
    });
    match pipeline {
        Some(mut pipeline) if problems.is_empty() => {
            Arc::make_mut(&mut pipeline.written).secrets = secrets;
            Ok(pipeline)
        }
        _ => Err(Problems::new(file, text, problems, &secrets)),
    }
}

/// A pipeline file, checked: names are unique, references resolve, plugins exist and accept their options. What is
/// serialised is its effective definition: what it does to data, wherever it lies.
#[derive(Clone, Debug, Serialize)]
pub struct Pipeline {
    /// The file it was read from.
    #[serde(skip)]
    pub file: PathBuf,
    /// Folder that its relative paths start from.
    #[serde(skip)]
    pub base_dir: PathBuf,
    /// `pipeline.name`.
    pub name: String,
    /// Folder of the store, `pipeline.store`, resolved.
    #[serde(skip)]
    pub store: PathBuf,
    /// Age at which events are dropped, microseconds; `pipeline.retention`, default 13 months (395 days).
    pub retention_us: i64,
    /// What `as_of` is; `pipeline.clock`.
    pub clock: Clock,
    /// Rows that are taken from each source at once; `pipeline.step_rows`, default 65,536.
    pub step_rows: usize,
    /// Bytes of events that stay in memory once they were read; `pipeline.cache`, default 1 GiB. What is answered does not
    /// depend on it, so it is no part of a plan.
    #[serde(skip)]
    pub cache: u64,
    /// Namespaces whose raw values may be stored (`email`, `phone`); `pipeline.raw_identifiers`, default none.
    pub raw_identifiers: Vec<String>,
    /// Where whole audiences are computed; `[engine]`, default embedded.
    /// Audiences are the same whichever it is, so it is no part of a plan.
    #[serde(skip)]
    pub engine: Engine,
    /// How `kindred serve` works; `[serve]`.
    #[serde(skip)]
    pub serve: Serve,
    /// Sorted by name.
    pub sources: Vec<Source>,
    /// In the order of the file.
    pub enrichments: Vec<Enrichment>,
    /// Sorted by name.
    pub segments: Vec<Segment>,
    /// Sorted by name.
    pub destinations: Vec<Destination>,
    /// Expectations of the segments.
    #[serde(skip)]
    pub tests: Cases,
    /// Where all this stands.
    #[serde(skip)]
    pub written: Arc<Written>,
}

impl Pipeline {
    /// Whether the answer of a segment depends on a source, or may.
    pub fn depends(&self, segment: &str, source: &str) -> bool {
        terms::depends(&self.segments, segment, source)
    }

    /// Whose data the answer of a segment depends on, or may.
    pub fn parties(&self, segment: &str) -> BTreeSet<Party> {
        let sources = self.sources.iter().filter(|source| self.depends(segment, &source.name));
        sources.map(|source| source.party).collect()
    }

    /// The `ttl` of each source that a segment reads itself, or may, as far as they have one; microseconds.
    pub fn ttl_us(&self, segment: &Segment) -> BTreeMap<&str, i64> {
        let reads = |name: &String| segment.reads.as_ref().is_none_or(|reads| reads.contains(name));
        let sources = self.sources.iter().filter(|source| reads(&source.name));
        sources.filter_map(|source| Some((source.name.as_str(), source.ttl_us?))).collect()
    }

    /// The same with only these segments and those that they build on.
    pub fn narrowed(&self, segments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let known: BTreeMap<&str, &Segment> = self.segments.iter().map(|s| (s.name.as_str(), s)).collect();
        let mut wanted = BTreeSet::new();
        let mut next: Vec<String> = segments.into_iter().map(Into::into).collect();
        while let Some(name) = next.pop() {
            let below = known.get(name.as_str()).map(|s| s.depends_on.as_slice()).unwrap_or_default();
            if wanted.insert(name) {
                next.extend_from_slice(below);
            }
        }
        let mut narrowed = self.clone();
        narrowed.segments.retain(|s| wanted.contains(&s.name));
        narrowed
    }
}

/// What the moment of evaluation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Clock {
    /// The wall clock: `wall`, the default.
    Wall,
    /// The latest event time that was committed: `events`, for replays of old data.
    Events,
    /// A moment, microseconds since 1970: an RFC 3339 text.
    Fixed(i64),
}

/// Where whole audiences are computed; the answers are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// In this process: `embedded`.
    #[default]
    Embedded,
    /// On workers: `distributed`.
    Distributed(Distributed),
}

/// `[engine]` with `kind = "distributed"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distributed {
    /// `HOST:PORT` of each; at least one.
    pub workers: Vec<String>,
    /// Directory that this process and every worker see, resolved.
    pub shared: PathBuf,
    /// A job that takes longer is given to another worker, milliseconds; default a minute.
    pub deadline_ms: u64,
    /// How often a job is sent again and a lost worker is tried again; default 5.
    pub retries: u32,
}

/// Whose data it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// Collected by the operator.
    #[default]
    First,
    /// A partner's.
    Second,
    /// Bought.
    Third,
}

/// What a row without a consent of its own counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConsentDefault {
    /// The operator vouches for this source: `granted`.
    Granted,
    /// Not without a grant in the row: `required`, the default.
    #[default]
    Required,
}

/// One `[sources.NAME]`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Built-in name, lock entry or path as written.
    pub plugin: String,
    /// First, second or third.
    pub party: Party,
    /// For rows that carry no consent.
    pub consent: ConsentDefault,
    /// How long its events and attributes count, microseconds; none for as long as all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_us: Option<i64>,
    /// Destinations that may get what its data makes of profiles; none for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Vec<String>>,
    /// What a thousand delivered members cost that depend on it.
    #[serde(skip)]
    pub price: Option<Price>,
    /// What its rows must look like, where that is declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Contract>,
    /// The plugin's options.
    pub config: serde_json::Value,
}

impl Source {
    /// Whether what its data makes of profiles may go to a destination.
    pub fn allows(&self, destination: &str) -> bool {
        self.destinations.as_ref().is_none_or(|allowed| allowed.iter().any(|name| name == destination))
    }
}

/// One `[[enrichments]]`.
#[derive(Clone, Debug, Serialize)]
pub struct Enrichment {
    /// Its name: `name`, or the plugin's name.
    pub name: String,
    /// Built-in name, lock entry or path as written.
    pub plugin: String,
    /// Sources it applies to.
    pub from: Vec<String>,
    /// The plugin's options.
    pub config: serde_json::Value,
}

/// One `[segments.NAME]`.
#[derive(Clone, Debug, Serialize)]
pub struct Segment {
    /// Its name.
    pub name: String,
    /// For people; defaults to the name.
    pub title: String,
    /// Built-in name, lock entry or path as written; default `rules`.
    pub plugin: String,
    /// The plugin's options; for `rules` the text under `rule` as `{"rule": "…"}`.
    pub config: serde_json::Value,
    /// Segments whose membership must be known first.
    pub depends_on: Vec<String>,
    /// It must be fitted on everybody, whatever its plugin's other segments are.
    pub model: bool,
    /// Sources whose attributes and events it reads itself; none where it may be any.
    #[serde(skip)]
    pub reads: Option<Vec<String>>,
    /// The query of an SQL segment, which has no plugin.
    pub sql: Option<Sql>,
}

/// `sql = "SELECT profile_id FROM …"`, evaluated by the query engine at the end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sql {
    /// The query.
    pub text: String,
    /// Asked again after this time, microseconds; none for whenever profiles changed.
    pub every_us: Option<i64>,
}

/// One `[destinations.NAME]`.
#[derive(Clone, Debug, Serialize)]
pub struct Destination {
    /// Its name.
    pub name: String,
    /// Built-in name, lock entry or path as written.
    pub plugin: String,
    /// Audiences that it gets.
    pub segments: Vec<String>,
    /// Changes or everything; `mode`, default `delta`.
    pub mode: Mode,
    /// Audiences below this size are not sent (removals are); `minimum_audience`, default 1,000, at least 50.
    pub minimum_audience: u64,
    /// What happens to failures.
    pub on_error: OnError,
    /// The plugin's options.
    pub config: serde_json::Value,
}

/// `on_error = { transient = "retry", data = "dead-letter", permanent = "stop" }`, which is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OnError {
    /// `retry` (with back-off, the delivery stays pending when tries run out) or `stop`.
    pub transient: Transient,
    /// `dead-letter` or `stop`.
    pub data: Data,
    /// `stop` or `skip` (the delivery stays pending, the other destinations go on).
    pub permanent: Permanent,
}

/// What a transient failure leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transient {
    /// Try again.
    #[default]
    Retry,
    /// End the run.
    Stop,
}

/// What wrong data leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Data {
    /// Keep the row in the dead letters.
    #[default]
    DeadLetter,
    /// End the run.
    Stop,
}

/// What a permanent failure leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Permanent {
    /// End the run.
    #[default]
    Stop,
    /// Leave the delivery pending.
    Skip,
}

//! The `user-agent` enrichment: the User-Agent header of an event becomes device, operating system and browser.
//!
//! ```toml
//! [[enrichments]]
//! plugin = "user-agent"
//! config = { bots = "drop" }
//! ```
//!
//! What is known stands in uap-core, the list that the parsers of most languages share; `device` is made of what it finds.
//! An iPad that asks for the desktop's pages calls itself a Mac, and counts as `desktop`.

use agent::Agent;
use kindred_enriching::{Distinct, Plan, text, unbound};
use kindred_plugin_api::{
    arrow::{array::BooleanArray, compute::filter_record_batch},
    prelude::*,
};
use quick_cache::unsync::Cache;
use std::{collections::BTreeSet, sync::Arc};

mod agent;

/// User agents that are remembered from batch to batch. A day of a large site has some ten thousands.
const REMEMBERED: usize = 16_384;

/// Options of `user-agent`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Column with the user agent. Default `user_agent`.
    #[serde(default = "column")]
    column: String,
    /// New columns. Default: all of them.
    #[serde(default = "all")]
    columns: BTreeSet<New>,
    /// What happens to events of bots.
    #[serde(default)]
    bots: Bots,
    /// Keep the user agent itself, which may tell one person from another. Default false.
    #[serde(default)]
    keep: bool,
}

/// A new column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum New {
    /// `desktop`, `mobile`, `tablet`, `tv`, `bot` or `other`.
    Device,
    /// Operating system: `Windows`, `iOS`.
    Os,
    /// Its major version, which need not be a number: `10`, `XP`.
    OsVersion,
    /// Browser: `Chrome`, `Mobile Safari`.
    Browser,
    /// Its major version.
    BrowserVersion,
    /// True for a bot that says so.
    Bot,
}

impl New {
    const ALL: [Self; 6] =
        [Self::Device, Self::Os, Self::OsVersion, Self::Browser, Self::BrowserVersion, Self::Bot];

    fn field(self) -> Field {
        let (name, kind) = match self {
            Self::Device => ("device", DataType::Utf8),
            Self::Os => ("os", DataType::Utf8),
            Self::OsVersion => ("os_version", DataType::Utf8),
            Self::Browser => ("browser", DataType::Utf8),
            Self::BrowserVersion => ("browser_version", DataType::Utf8),
            Self::Bot => ("bot", DataType::Boolean),
        };
        Field::new(name, kind, true)
    }

    fn column(self, rows: &Distinct<'_>, found: &[Arc<Agent>]) -> ArrayRef {
        match self {
            Self::Device => rows.column(found, |agent| Some(agent.device)),
            Self::Os => rows.column(found, |agent| agent.os.as_deref()),
            Self::OsVersion => rows.column(found, |agent| agent.os_version.as_deref()),
            Self::Browser => rows.column(found, |agent| agent.browser.as_deref()),
            Self::BrowserVersion => rows.column(found, |agent| agent.browser_version.as_deref()),
            Self::Bot => Arc::new(rows.spread(found).map(|one| one.map(is_bot)).collect::<BooleanArray>()),
        }
    }
}

/// What happens to events of bots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Bots {
    /// They go on, with `bot` true.
    #[default]
    Flag,
    /// They go to the dead letters with the code `bot`.
    Drop,
}

fn column() -> String {
    "user_agent".to_owned()
}

fn all() -> BTreeSet<New> {
    New::ALL.into()
}

fn is_bot(agent: &Arc<Agent>) -> bool {
    agent.device == agent::BOT
}

/// Reads user agents.
pub struct UserAgent {
    config: Config,
    known: Cache<String, Arc<Agent>>,
    bound: Option<(usize, Plan)>,
}

impl Enrichment for UserAgent {
    const MANIFEST: Manifest =
        manifest!("user-agent", "device, operating system and browser of user agents; knows bots");
    type Config = Config;

    fn open(config: Config, _context: Context) -> Result<Self> {
        // Now rather than with the first batch: it takes a moment.
        agent::extractor();
        Ok(Self { config, known: Cache::new(REMEMBERED), bound: None })
    }

    fn bind(&mut self, input: SchemaRef) -> Result<SchemaRef> {
        let column = text(&input, "/column", &self.config.column)?;
        let gone: &[usize] = if self.config.keep { &[] } else { &[column] };
        let new = self.config.columns.iter().map(|new| new.field()).collect();
        let plan = Plan::new(&input, gone, new, "/columns")?;
        let output = plan.output();
        self.bound = Some((column, plan));
        Ok(output)
    }

    fn process(&mut self, batch: RecordBatch) -> Result<Processed> {
        let (column, plan) = self.bound.as_ref().ok_or_else(unbound)?;
        let rows = Distinct::of(batch.column(*column));
        let found: Vec<Arc<Agent>> =
            rows.values().iter().map(|value| look_up(&mut self.known, value)).collect();
        let new = self.config.columns.iter().map(|new| new.column(&rows, &found)).collect();
        let made = plan.apply(&batch, new)?;
        if self.config.bots == Bots::Flag {
            return Ok(made.into());
        }
        let goes_on: Vec<bool> = rows.spread(&found).map(|one| !one.is_some_and(is_bot)).collect();
        let rejects =
            (0..).zip(&goes_on).filter(|(_, goes_on)| !**goes_on).map(|(row, _)| bot(row)).collect();
        Ok(Processed { batch: filter_record_batch(&made, &goes_on.into())?, rejects })
    }
}

fn look_up(known: &mut Cache<String, Arc<Agent>>, value: &str) -> Arc<Agent> {
    let value = agent::cut(value);
    if let Some(agent) = known.get(value) {
        return agent.clone();
    }
    let agent = Arc::new(Agent::read(value));
    known.insert(value.to_owned(), agent.clone());
    agent
}

fn bot(row: u64) -> Reject {
    let message = "the user agent is a bot's".to_owned();
    Reject { row, code: "bot".to_owned(), message, payload: String::new(), origin: String::new() }
}

register!(enrichment UserAgent);

#[cfg(test)]
mod tests;

//! Plugins that only have options: what a pipeline file is checked against in these tests. They cross the real boundary.

use kindred_core::plugin::{FindError, Origin, Plugin, Plugins};
use kindred_plugin_api::{Kind, abi::register, prelude::*};
use std::{collections::BTreeMap, path::Path};

/// The plugins of these tests; whatever else is named does not exist.
pub(crate) struct Shelf(Vec<Plugin>);

impl Shelf {
    pub(crate) fn new() -> Self {
        let all = [
            register::source::<Events>(),
            register::enrichment::<Tags>(),
            register::segmentation::<Rules>(),
            register::segmentation::<Lookalike>(),
            register::destination::<Out>(),
        ];
        Self(all.into_iter().map(|raw| Plugin::new(raw, Origin::BuiltIn).unwrap()).collect())
    }
}

impl Plugins for Shelf {
    fn find(&self, name: &str, base_dir: &Path) -> Result<Plugin, FindError> {
        if name.contains('/') || name.ends_with(".so") {
            let message = format!("library `{}` does not exist", base_dir.join(name).display());
            return Err(FindError { message, help: Some("build it first".to_owned()) });
        }
        let found = self.0.iter().find(|plugin| plugin.manifest.name == name).cloned();
        found.ok_or_else(|| FindError { message: format!("unknown plugin `{name}`"), help: None })
    }

    fn names(&self, kind: Kind) -> Vec<String> {
        self.0.iter().filter(|p| p.manifest.kind == kind).map(|p| p.manifest.name.clone()).collect()
    }
}

/// Options of `events`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsConfig {
    /// Files to read; `*` stands for any characters.
    path: String,
    /// How a file is written.
    #[serde(default)]
    format: Format,
    /// Columns of the file and what they become.
    #[serde(default)]
    columns: BTreeMap<String, Column>,
    /// Rows to skip at the start of each file.
    #[serde(default)]
    skip: Option<u8>,
    /// Where a row begins: a number of bytes or a word.
    #[serde(default)]
    begin: Option<Begin>,
}

/// How a file is written.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// Comma-separated values.
    Csv,
    /// Apache Parquet.
    Parquet,
}

/// What a column becomes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Column {
    /// Name of the column.
    name: String,
    /// Words that are dropped.
    #[serde(default)]
    drop: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its shape matters")]
enum Begin {
    Bytes(u64),
    Word(String),
}

/// A source.
pub(crate) struct Events;

impl Source for Events {
    const MANIFEST: Manifest = kindred_plugin_api::manifest!("events", "reads events from files");
    type Config = EventsConfig;

    fn validate(config: &EventsConfig) -> Vec<Problem> {
        let _ = (&config.format, &config.skip, &config.begin);
        let stars = config.path.matches('*').count();
        let mut problems = Vec::new();
        if stars > 1 {
            let message = format!("`path` has {stars} stars, at most one is allowed");
            problems.push(Problem::new("/path", message).help("leave all but one out"));
        }
        for (key, column) in &config.columns {
            for (i, _) in column.drop.iter().enumerate().filter(|(_, word)| word.is_empty()) {
                let path = format!("/columns/{}/drop/{i}", key.replace('/', "~1"));
                problems.push(Problem::new(path, format!("column `{}` drops an empty word", column.name)));
            }
        }
        problems
    }

    fn open(_: EventsConfig, _: Context) -> kindred_plugin_api::Result<Self> {
        Ok(Self)
    }

    fn schema(&mut self) -> kindred_plugin_api::Result<SchemaRef> {
        Err(Fault::unsupported("never runs"))
    }

    fn poll(&mut self, _: usize, _: u64) -> kindred_plugin_api::Result<Poll> {
        Ok(Poll::End)
    }
}

/// Options of `tags`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TagsConfig {
    /// What each value becomes.
    #[serde(rename = "map")]
    _map: BTreeMap<String, String>,
}

/// An enrichment.
pub(crate) struct Tags;

impl Enrichment for Tags {
    const MANIFEST: Manifest = kindred_plugin_api::manifest!("tags", "adds tags");
    type Config = TagsConfig;

    fn open(_: TagsConfig, _: Context) -> kindred_plugin_api::Result<Self> {
        Ok(Self)
    }

    fn bind(&mut self, input: SchemaRef) -> kindred_plugin_api::Result<SchemaRef> {
        Ok(input)
    }

    fn process(&mut self, batch: RecordBatch) -> kindred_plugin_api::Result<kindred_plugin_api::Processed> {
        Ok(batch.into())
    }
}

/// Options of `rules`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RulesConfig {
    /// A condition on profiles.
    rule: String,
}

/// A segmentation whose rules are words, of which it knows some functions.
pub(crate) struct Rules;

impl Segmentation for Rules {
    const MANIFEST: Manifest = kindred_plugin_api::manifest!("rules", "evaluates rules", ["nests"]);
    type Config = RulesConfig;

    fn validate(config: &RulesConfig) -> Vec<Problem> {
        let chars: Vec<char> = config.rule.chars().collect();
        let mut problems = Vec::new();
        for end in (0..chars.len()).filter(|&i| chars[i] == '(') {
            let length = chars[..end].iter().rev().take_while(|c| c.is_alphabetic() || **c == '_').count();
            let word: String = chars[end - length..end].iter().collect();
            if !["", "count", "did", "attr", "in_segment"].contains(&word.as_str()) {
                let problem = Problem::new("/rule", format!("unknown function `{word}`"));
                problems.push(
                    problem.help("functions: `attr`, `count`, `did`, `in_segment`").range(end - length, end),
                );
            }
        }
        let (open, close) = (config.rule.matches('(').count(), config.rule.matches(')').count());
        if open > close {
            problems.push(Problem::new("/rule", "a `(` is not closed").range(chars.len(), chars.len()));
        }
        problems
    }

    fn facts(config: &RulesConfig) -> Facts {
        let names = config.rule.split("in_segment('").skip(1).filter_map(|rest| rest.split('\'').next());
        // `attr('crm.x')` and nothing else says where it looks.
        let attributes = config.rule.split("attr('").skip(1).filter_map(|rest| rest.split('.').next());
        let events = ["count(", "did("].iter().any(|call| config.rule.contains(call));
        let reads = (!events).then(|| attributes.map(str::to_owned).collect());
        Facts { depends_on: names.map(str::to_owned).collect(), reads, ..Facts::default() }
    }

    fn open(
        _: Vec<kindred_plugin_api::Segment<RulesConfig>>,
        _: Context,
    ) -> kindred_plugin_api::Result<Self> {
        Ok(Self)
    }

    fn plan(&mut self, _: &Schema) -> kindred_plugin_api::Result<Needs> {
        Ok(Needs::default())
    }

    fn bind(&mut self, _: SchemaRef) -> kindred_plugin_api::Result<()> {
        Ok(())
    }

    fn evaluate(&mut self, _: &RecordBatch) -> kindred_plugin_api::Result<Evaluated> {
        Err(Fault::unsupported("never runs"))
    }
}

/// Options of `lookalike`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookalikeConfig {
    /// Segment to learn from.
    seed: String,
    /// Share of profiles to take, above 0 and at most 1.
    top: f64,
}

/// A model.
pub(crate) struct Lookalike;

impl Segmentation for Lookalike {
    const MANIFEST: Manifest =
        kindred_plugin_api::manifest!("lookalike", "finds more of the same", ["model"]);
    type Config = LookalikeConfig;

    fn validate(config: &LookalikeConfig) -> Vec<Problem> {
        assert!(config.top < 9.0, "a bug of the plugin");
        Vec::new()
    }

    fn facts(config: &LookalikeConfig) -> Facts {
        Facts { depends_on: vec![config.seed.clone()], ..Facts::default() }
    }

    fn open(
        _: Vec<kindred_plugin_api::Segment<LookalikeConfig>>,
        _: Context,
    ) -> kindred_plugin_api::Result<Self> {
        Ok(Self)
    }

    fn plan(&mut self, _: &Schema) -> kindred_plugin_api::Result<Needs> {
        Ok(Needs::default())
    }

    fn bind(&mut self, _: SchemaRef) -> kindred_plugin_api::Result<()> {
        Ok(())
    }

    fn evaluate(&mut self, _: &RecordBatch) -> kindred_plugin_api::Result<Evaluated> {
        Err(Fault::unsupported("never runs"))
    }
}

/// Options of `out`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutConfig {
    /// Folder to write to.
    path: String,
    /// How to sign in.
    #[serde(default)]
    auth: Option<Auth>,
}

/// How to sign in.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its shape matters")]
enum Auth {
    /// With a token.
    Token {
        /// The token.
        token: String,
    },
    /// With a name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
}

/// A destination.
pub(crate) struct Out;

impl Destination for Out {
    const MANIFEST: Manifest = kindred_plugin_api::manifest!("out", "writes files", ["idempotent"]);
    type Config = OutConfig;

    fn validate(config: &OutConfig) -> Vec<Problem> {
        let _ = &config.auth;
        let long = config.path.len() > 9 && config.path.starts_with('/');
        if long { vec![Problem::new("/path", format!("`{}` is too long", config.path))] } else { Vec::new() }
    }

    fn open(_: OutConfig, _: Context) -> kindred_plugin_api::Result<Self> {
        Ok(Self)
    }

    fn bind(&mut self, _: SchemaRef) -> kindred_plugin_api::Result<()> {
        Ok(())
    }

    fn begin(&mut self, _: &Delivery) -> kindred_plugin_api::Result<()> {
        Ok(())
    }

    fn write(&mut self, _: RecordBatch) -> kindred_plugin_api::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> kindred_plugin_api::Result<Flushed> {
        Err(Fault::unsupported("never runs"))
    }
}

//! The `taxonomy` enrichment: the category of an event becomes an id of a taxonomy and the path to it.
//!
//! ```toml
//! [[enrichments]]
//! plugin = "taxonomy"
//! config = { column = "category", map = { "winter-coats" = "IAB 483" }, map_file = "categories.csv" }
//! ```
//!
//! Column `interest` holds the id (`483`), `interest_path` the ids from the root (`/206/481/483/`), so that a subtree
//! is `interest_path LIKE '%/481/%'`, which rules write `interest('IAB 481')` as long as `output` is left as it is. A
//! category that is not mapped gives nulls.

use kindred_categories::{
    Tree,
    mapping::{self, Ids, Interest, Mapping},
};
use kindred_enriching::{Distinct, Plan, reserved, text, unbound};
use kindred_plugin_api::prelude::*;
use std::{collections::BTreeMap, sync::LazyLock};

/// Options of `taxonomy`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Column with the category. Default `category`.
    #[serde(default = "category")]
    column: String,
    /// Category, exactly as in the rows, to id: `"IAB 483"` or `"483"`. Goes before `map_file`.
    #[serde(default)]
    map: BTreeMap<String, String>,
    /// CSV file with the columns `category` and `id`; a relative path starts at the pipeline file.
    #[serde(default)]
    map_file: Option<String>,
    /// The taxonomy that the ids are of.
    #[serde(default)]
    taxonomy: Version,
    /// Name of the new column; the path goes to `OUTPUT_path`. Default `interest`.
    #[serde(default = "interest")]
    output: String,
}

/// Taxonomies that come with the plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
enum Version {
    /// IAB Tech Lab Audience Taxonomy 1.1.
    #[default]
    #[serde(rename = "audience-1.1")]
    Audience11,
}

impl Version {
    fn ids(self) -> Ids<'static> {
        let allowed = "ids of the Audience Taxonomy 1.1, as `483` or `IAB 483`";
        match self {
            Self::Audience11 => Ids { tree: audience_1_1(), node: Tree::node, allowed },
        }
    }
}

/// Audience Taxonomy 1.1 of IAB Tech Lab.
fn audience_1_1() -> &'static Tree {
    static TREE: LazyLock<Tree> = LazyLock::new(|| {
        Tree::parse(include_str!("../data/audience-1.1.tsv")).unwrap_or_else(|why| panic!("{why}"))
    });
    &TREE
}

fn category() -> String {
    "category".to_owned()
}

fn interest() -> String {
    "interest".to_owned()
}

/// Maps categories to the ids of a taxonomy.
pub struct Taxonomy {
    config: Config,
    mapping: Mapping,
    bound: Option<(usize, Plan)>,
}

impl Enrichment for Taxonomy {
    const MANIFEST: Manifest = manifest!("taxonomy", "maps categories to the ids of a versioned taxonomy");
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = mapping::inline(&config.map, config.taxonomy.ids()).err().unwrap_or_default();
        if config.map.is_empty() && config.map_file.is_none() {
            problems.push(Problem::new("", "nothing to map").help("set `map` or `map_file`"));
        }
        problems.extend(reserved("/output", &config.output));
        problems
    }

    fn check(config: &Config, context: &Context) -> Result<()> {
        load(config, context).map(drop)
    }

    fn open(config: Config, context: Context) -> Result<Self> {
        let mapping = load(&config, &context)?;
        Ok(Self { config, mapping, bound: None })
    }

    fn bind(&mut self, input: SchemaRef) -> Result<SchemaRef> {
        let column = text(&input, "/column", &self.config.column)?;
        let names = [self.config.output.clone(), format!("{}_path", self.config.output)];
        let new = names.into_iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
        let plan = Plan::new(&input, &[], new, "/output")?;
        let output = plan.output();
        self.bound = Some((column, plan));
        Ok(output)
    }

    fn process(&mut self, batch: RecordBatch) -> Result<Processed> {
        let (column, plan) = self.bound.as_ref().ok_or_else(unbound)?;
        let rows = Distinct::of(batch.column(*column));
        let found: Vec<Option<&Interest>> =
            rows.values().iter().map(|value| self.mapping.get(*value)).collect();
        let ids = rows.column(&found, |found| found.map(|found| found.id.as_str()));
        let paths = rows.column(&found, |found| found.map(|found| found.path.as_str()));
        Ok(plan.apply(&batch, vec![ids, paths])?.into())
    }
}

register!(enrichment Taxonomy);

/// The mapping of the file under that of the options.
fn load(config: &Config, context: &Context) -> Result<Mapping> {
    let ids = config.taxonomy.ids();
    let mut mapping = match &config.map_file {
        Some(path) => mapping::from_file(&context.path(path), ids).map_err(Fault::config)?,
        None => Mapping::new(),
    };
    mapping.extend(mapping::inline(&config.map, ids).map_err(Fault::config)?);
    Ok(mapping)
}

#[cfg(test)]
mod tests;

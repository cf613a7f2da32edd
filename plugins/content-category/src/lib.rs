//! The `content-category` enrichment: what a page is about, as an id of the IAB Content Taxonomy and the path to it.
//!
//! ```toml
//! [[enrichments]]
//! plugin = "content-category"
//! config = { map = { "running-shoes" = "IAB 227" } }
//! ```
//!
//! It does for pages what `taxonomy` does for interests: column `content` holds the id (`227`), `content_path` the ids from
//! the root to it (`/223/225/227/`), so that a subtree is `content_path LIKE '%/225/%'`. A row may have a category of one's
//! own, by `map`; an id; an id of Content Taxonomy 1.0 (`IAB17-3`); or a name. Anything else gives nulls.

use ids::Version;
use kindred_categories::mapping::{self, Interest, Mapping};
use kindred_enriching::{Distinct, Plan, reserved, text, unbound};
use kindred_plugin_api::prelude::*;
use std::collections::BTreeMap;

mod ids;

/// Options of `content-category`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Column with the category. Default `category`.
    #[serde(default = "category")]
    column: String,
    /// Category, exactly as in the rows, to id: `"IAB 227"`, `"227"`, or of 1.0 `"IAB17-3"`. Goes before `map_file`, and
    /// that before what a category says by itself.
    #[serde(default)]
    map: BTreeMap<String, String>,
    /// CSV file with the columns `category` and `id`; a relative path starts at the pipeline file.
    #[serde(default)]
    map_file: Option<String>,
    /// The taxonomy that the ids are of. Ids of 1.0 become those of it where it has them.
    #[serde(default)]
    taxonomy: Version,
    /// Name of the new column; the path goes to `OUTPUT_path`. Default `content`.
    #[serde(default = "content")]
    output: String,
}

fn category() -> String {
    "category".to_owned()
}

fn content() -> String {
    "content".to_owned()
}

/// Maps categories of pages to the ids of the Content Taxonomy.
pub struct ContentCategory {
    config: Config,
    mapping: Mapping,
    bound: Option<(usize, Plan)>,
}

impl Enrichment for ContentCategory {
    const MANIFEST: Manifest =
        manifest!("content-category", "maps categories of pages to the ids of the IAB Content Taxonomy");
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = mapping::inline(&config.map, config.taxonomy.ids()).err().unwrap_or_default();
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
        let found: Vec<Option<Interest>> = rows.values().iter().map(|value| self.find(value)).collect();
        let ids = rows.column(&found, |found| found.as_ref().map(|found| found.id.as_str()));
        let paths = rows.column(&found, |found| found.as_ref().map(|found| found.path.as_str()));
        Ok(plan.apply(&batch, vec![ids, paths])?.into())
    }
}

impl ContentCategory {
    fn find(&self, category: &str) -> Option<Interest> {
        if let Some(mapped) = self.mapping.get(category) {
            return Some(mapped.clone());
        }
        let ids = self.config.taxonomy.ids();
        let node = (ids.node)(ids.tree, category).or_else(|| self.config.taxonomy.named(category))?;
        Some(Interest::of(ids.tree, node))
    }
}

register!(enrichment ContentCategory);

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

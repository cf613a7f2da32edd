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

use kindred_plugin_api::prelude::*;
use mapping::{Ids, Interest, Mapping};
use std::{collections::BTreeMap, sync::Arc};

pub mod mapping;
mod tree;

pub use tree::{Node, Tree};

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
            Self::Audience11 => Ids { tree: Tree::audience_1_1(), node: Tree::node, allowed },
        }
    }
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
    column: usize,
    output: SchemaRef,
}

impl Enrichment for Taxonomy {
    const MANIFEST: Manifest = manifest!("taxonomy", "maps categories to the ids of a versioned taxonomy");
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = mapping::inline(&config.map, config.taxonomy.ids()).err().unwrap_or_default();
        if config.map.is_empty() && config.map_file.is_none() {
            problems.push(Problem::new("", "nothing to map").help("set `map` or `map_file`"));
        }
        if config.output.is_empty() || columns::is_reserved(&config.output) {
            let message = format!("`{}` cannot be a new column", config.output);
            problems
                .push(Problem::new("/output", message).help("allowed: a name without a meaning of its own"));
        }
        problems
    }

    fn check(config: &Config, context: &Context) -> Result<()> {
        load(config, context).map(drop)
    }

    fn open(config: Config, context: Context) -> Result<Self> {
        let mapping = load(&config, &context)?;
        Ok(Self { config, mapping, column: 0, output: Arc::new(Schema::empty()) })
    }

    fn bind(&mut self, input: SchemaRef) -> Result<SchemaRef> {
        let (name, output) = (&self.config.column, &self.config.output);
        self.column = input.index_of(name).map_err(|_| missing(name, &input))?;
        let found = input.field(self.column).data_type();
        if !is_text(found) {
            let message = format!("column `{name}` is {found}; allowed: Utf8, or a dictionary of it");
            return Err(Fault::config(vec![Problem::new("/column", message)]));
        }
        let mut fields = input.fields().to_vec();
        for new in [output.clone(), format!("{output}_path")] {
            if input.index_of(&new).is_ok() {
                let message = format!("the rows already have a column `{new}`");
                return Err(Fault::config(vec![Problem::new("/output", message).help("name another")]));
            }
            fields.push(Arc::new(Field::new(new, DataType::Utf8, true)));
        }
        self.output = Arc::new(Schema::new_with_metadata(fields, input.metadata().clone()));
        Ok(self.output.clone())
    }

    fn process(&mut self, batch: RecordBatch) -> Result<Processed> {
        let found = self.interests(batch.column(self.column));
        let ids: StringArray = found.iter().map(|found| found.map(|interest| &interest.id)).collect();
        let paths: StringArray = found.iter().map(|found| found.map(|interest| &interest.path)).collect();
        let mut columns = batch.columns().to_vec();
        columns.extend([Arc::new(ids) as ArrayRef, Arc::new(paths)]);
        Ok(RecordBatch::try_new(self.output.clone(), columns)?.into())
    }
}

impl Taxonomy {
    /// The interest of each row; of a dictionary, looked up once per value.
    fn interests(&self, categories: &dyn Array) -> Vec<Option<&Interest>> {
        let look_up = |values: &dyn Array| -> Vec<Option<&Interest>> {
            values.as_string::<i32>().iter().map(|category| self.mapping.get(category?)).collect()
        };
        match categories.as_any_dictionary_opt() {
            None => look_up(categories),
            Some(coded) if coded.values().is_empty() => vec![None; coded.len()],
            Some(coded) => {
                let known = look_up(coded.values().as_ref());
                let keys = coded.normalized_keys().into_iter().enumerate();
                keys.map(|(row, key)| known[key].filter(|_| coded.is_valid(row))).collect()
            }
        }
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

fn is_text(found: &DataType) -> bool {
    match found {
        DataType::Dictionary(_, value) => **value == DataType::Utf8,
        other => *other == DataType::Utf8,
    }
}

fn missing(name: &str, input: &Schema) -> Fault {
    let text: Vec<&str> =
        input.fields().iter().filter(|f| is_text(f.data_type())).map(|f| f.name().as_str()).collect();
    let problem = Problem::new("/column", format!("no column `{name}` in the rows"));
    Fault::config(vec![problem.help(format!("columns with text: {}", text.join(", ")))])
}

#[cfg(test)]
mod tests;

//! The `hash-identifiers` enrichment: raw identifiers in, normalised and hashed ones out.
//!
//! ```toml
//! [[enrichments]]
//! plugin = "hash-identifiers"
//! from = ["crm"]
//! [enrichments.config.columns]
//! email = { kind = "email", hash = "sha256" }                                  # id.email → id.email_sha256
//! email_google = { from = "email", kind = "email-google", hash = "sha256" }    # id.email → id.email_google_sha256
//! phone = { kind = "phone", hash = "sha256", region = "DE" }                   # id.phone → id.phone_sha256
//! ```

use kindred_identifiers::{Hash, Kind, Rule, apply, namespace};
use kindred_plugin_api::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

mod rewrite;

/// Options of `hash-identifiers`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Identifiers to make. The key is the namespace of the new identifier, to which the hash is appended: key
    /// `email` with hash `sha256` makes `id.email_sha256`.
    columns: BTreeMap<String, Column>,
    /// Keep the raw columns beside the new ones. Default false: raw identifiers go no further.
    #[serde(default)]
    keep_raw: bool,
    /// What happens to a row with a value that its rule refuses.
    #[serde(default)]
    on_invalid: OnInvalid,
}

/// How one new identifier is made.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Column {
    /// Namespace of the raw identifier: column `id.FROM`. Default: the key.
    #[serde(default)]
    from: Option<String>,
    /// What the value is, hence how it is normalised.
    kind: Kind,
    /// What is made of the normalised value. Default: the value itself.
    #[serde(default)]
    hash: Hash,
    /// Country of phone numbers that come without `+`: two letters of ISO 3166-1, `DE`.
    #[serde(default)]
    region: Option<String>,
}

/// What happens to a row with a refused value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum OnInvalid {
    /// The row goes to the dead letters, without its values.
    #[default]
    Reject,
    /// The identifier becomes null, the row goes on.
    Null,
}

impl Column {
    fn rule(&self) -> Rule {
        Rule { kind: self.kind, hash: self.hash, region: self.region.clone() }
    }
}

/// Names of columns, from the key of an entry.
fn names(key: &str, column: &Column) -> (String, String) {
    let from = column.from.as_deref().unwrap_or(key);
    (format!("{}{from}", columns::ID), format!("{}{}", columns::ID, namespace(key, &column.rule())))
}

/// Normalises identifiers and replaces them by their hashes.
pub struct HashIdentifiers {
    config: Config,
    context: Context,
    plan: Option<rewrite::Plan>,
}

impl Enrichment for HashIdentifiers {
    const MANIFEST: Manifest =
        manifest!("hash-identifiers", "normalises identifiers and replaces them by their hashes");
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if config.columns.is_empty() {
            problems.push(
                Problem::new("/columns", "no column named")
                    .help("name at least one: email = { kind = \"email\", hash = \"sha256\" }"),
            );
        }
        let mut made = BTreeSet::new();
        for (key, column) in &config.columns {
            let at = format!("/columns/{}", key.replace('~', "~0").replace('/', "~1"));
            if let Err(why) = column.rule().validate() {
                problems.push(Problem::new(format!("{at}/region"), why));
            }
            let (from, to) = names(key, column);
            if config.keep_raw && from == to {
                problems.push(
                    Problem::new(&at, format!("`{to}` would be both the raw column and the new one"))
                        .help("hash it, name it differently with `from`, or leave `keep_raw` out"),
                );
            }
            if !made.insert(to.clone()) {
                problems.push(Problem::new(&at, format!("`{to}` is made twice")));
            }
        }
        problems
    }

    fn open(config: Config, context: Context) -> Result<Self> {
        Ok(Self { config, context, plan: None })
    }

    fn bind(&mut self, input: SchemaRef) -> Result<SchemaRef> {
        let plan = rewrite::Plan::new(&self.config, &input).map_err(Fault::config)?;
        let output = plan.output.clone();
        self.plan = Some(plan);
        Ok(output)
    }

    fn process(&mut self, batch: RecordBatch) -> Result<Processed> {
        let Some(plan) = &self.plan else { return Err(Fault::permanent("order", "process before bind")) };
        let (processed, refused) = plan.apply(&batch, self.config.on_invalid)?;
        if refused > 0 {
            self.context.count("identifiers_refused", refused as f64);
        }
        Ok(processed)
    }
}

register!(enrichment HashIdentifiers);

#[cfg(test)]
mod tests;

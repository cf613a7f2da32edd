//! The `url` enrichment: the address of a page becomes host, path, campaign and category, the one before it a channel.
//!
//! ```toml
//! [[enrichments]]
//! plugin = "url"
//! [enrichments.config]
//! keep_query = ["q"]
//! categories = [
//!     { path = "/coats/winter/**", category = "winter-coats" },
//!     { path = "/coats/**", category = "coats" },
//! ]
//! ```
//!
//! The URLs themselves go on without user, password, fragment and query, as e-mail addresses and tokens are mostly there;
//! they are written by the URL Standard (<https://url.spec.whatwg.org>), so two spellings of one address become one. A URL
//! that cannot be read becomes null. What stands in the path stays.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use kindred_enriching::{Distinct, Plan, text, unbound};
use kindred_plugin_api::prelude::*;
use new::New;
use page::Page;
use std::{collections::BTreeSet, sync::Arc};

mod new;
mod origin;
mod page;

/// Options of `url`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Column with the URL of the page, which may start with its path. Default `url`.
    #[serde(default = "url")]
    url: String,
    /// Column with the URL of the page before. Default: `referrer` where the rows have it; without it `referrer_host` and
    /// `referrer_class` are not made.
    #[serde(default)]
    referrer: Option<String>,
    /// New columns. Default: all but `click_id_value`, which tells one person from another.
    #[serde(default = "New::usual")]
    columns: BTreeSet<New>,
    /// Parameters that stay in the URLs. Default: none.
    #[serde(default)]
    keep_query: BTreeSet<String>,
    /// Hosts that are one's own, each with those below it: `example.com`. The host of the page always is.
    #[serde(default)]
    internal: Vec<String>,
    /// Rules that make a column `category` of the path, or fill it where it is null. The first that fits is taken.
    #[serde(default)]
    categories: Vec<Rule>,
    /// Let the rules replace a category that a row has. Default false.
    #[serde(default)]
    overwrite: bool,
}

/// Which pages are of a category.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// Glob of the path, as people read it (`/mäntel/*`, not `/m%C3%A4ntel/*`): `*` stands for one step or a part of it,
    /// `**` for any number of steps, `{a,b}` for one of both.
    path: String,
    /// The category.
    category: String,
}

fn url() -> String {
    "url".to_owned()
}

const CATEGORY: &str = "category";

/// Takes URLs apart.
pub struct Urls {
    config: Config,
    rules: GlobSet,
    bound: Option<Bound>,
}

/// The columns of the input, and the plan.
struct Bound {
    url: usize,
    referrer: Option<usize>,
    category: Option<usize>,
    new: Vec<New>,
    plan: Plan,
}

impl Enrichment for Urls {
    const MANIFEST: Manifest =
        manifest!("url", "parts of URLs, campaigns, where visits come from, categories by path");
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = globs(config).err().unwrap_or_default();
        for (at, host) in config.internal.iter().enumerate() {
            if host.is_empty() || host.contains(['/', ':', '*']) || *host != host.to_lowercase() {
                problems.push(
                    Problem::new(format!("/internal/{at}"), format!("`{host}` is no host"))
                        .help("allowed: a name in lower case, such as `example.com`"),
                );
            }
        }
        problems
    }

    fn open(config: Config, _context: Context) -> Result<Self> {
        let rules = globs(&config).map_err(Fault::config)?;
        Ok(Self { config, rules, bound: None })
    }

    fn bind(&mut self, input: SchemaRef) -> Result<SchemaRef> {
        let config = &self.config;
        let url = text(&input, "/url", &config.url)?;
        let referrer = match &config.referrer {
            Some(name) => Some(text(&input, "/referrer", name)?),
            None => text(&input, "/referrer", "referrer").ok(),
        };
        let category = input.index_of(CATEGORY).ok().filter(|_| !config.categories.is_empty());
        if category.is_some() {
            text(&input, "/categories", CATEGORY)?;
        }
        let gone: Vec<usize> = [Some(url), referrer, category].into_iter().flatten().collect();
        let new: Vec<New> =
            config.columns.iter().copied().filter(|new| referrer.is_some() || !new.of_referrer()).collect();
        let names =
            [Some(url), referrer].into_iter().flatten().map(|column| input.field(column).name().as_str());
        let names = names.chain((!config.categories.is_empty()).then_some(CATEGORY));
        let names = names.chain(new.iter().map(|new| new.name()));
        let fields = names.map(|name| Field::new(name, DataType::Utf8, true)).collect();
        let plan = Plan::new(&input, &gone, fields, "/columns")?;
        let output = plan.output();
        self.bound = Some(Bound { url, referrer, category, new, plan });
        Ok(output)
    }

    fn process(&mut self, batch: RecordBatch) -> Result<Processed> {
        let bound = self.bound.as_ref().ok_or_else(unbound)?;
        let read = |rows: &Distinct<'_>| -> Vec<Option<Page>> {
            rows.values().iter().map(|value| Page::read(value, &self.config.keep_query)).collect()
        };
        let urls = Distinct::of(batch.column(bound.url));
        let pages = read(&urls);
        let mut new = vec![kept(&urls, &pages)];
        let referrers = bound.referrer.map(|column| Distinct::of(batch.column(column)));
        let before = referrers.as_ref().map(|rows| (rows, read(rows)));
        new.extend(before.as_ref().map(|(rows, pages)| kept(rows, pages)));
        if !self.config.categories.is_empty() {
            new.push(self.categories(
                &urls,
                &pages,
                bound.category.map(|column| batch.column(column).as_ref()),
            ));
        }
        let before = before.as_ref().map(|(rows, pages)| (*rows, pages.as_slice()));
        new.extend(bound.new.iter().map(|one| one.column((&urls, &pages), before, &self.config.internal)));
        Ok(bound.plan.apply(&batch, new)?.into())
    }
}

impl Urls {
    fn categories(&self, urls: &Distinct<'_>, pages: &[Option<Page>], there: Option<&dyn Array>) -> ArrayRef {
        let rule = |page: &Option<Page>| -> Option<&str> {
            let first = self.rules.matches(page.as_ref()?.readable_path()).into_iter().min()?;
            Some(&self.config.categories[first].category)
        };
        let by_rule: Vec<Option<&str>> = pages.iter().map(rule).collect();
        let made = urls.spread(&by_rule).map(|found| found.copied().flatten());
        let Some(there) = there else { return Arc::new(made.collect::<StringArray>()) };
        let there = Distinct::of(there);
        let there = there.spread(there.values()).map(|value| value.copied());
        let overwrite = self.config.overwrite;
        let both =
            made.zip(there).map(|(made, there)| if overwrite { made.or(there) } else { there.or(made) });
        Arc::new(both.collect::<StringArray>())
    }
}

fn kept(rows: &Distinct<'_>, pages: &[Option<Page>]) -> ArrayRef {
    rows.column(pages, |page| page.as_ref().map(|page| page.kept.as_str()))
}

register!(enrichment Urls);

fn globs(config: &Config) -> Result<GlobSet, Vec<Problem>> {
    let (mut set, mut problems) = (GlobSetBuilder::new(), Vec::new());
    for (at, rule) in config.categories.iter().enumerate() {
        match GlobBuilder::new(&rule.path).literal_separator(true).backslash_escape(true).build() {
            Ok(glob) => drop(set.add(glob)),
            Err(error) => {
                let message = format!("`{}` is no glob: {}", rule.path, error.kind());
                problems.push(Problem::new(format!("/categories/{at}/path"), message));
            }
        }
    }
    let set = set.build().map_err(|error| vec![Problem::new("/categories", error.to_string())]);
    if problems.is_empty() { set } else { Err(problems) }
}

#[cfg(test)]
mod tests;

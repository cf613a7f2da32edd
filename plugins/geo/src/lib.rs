//! The `geo` enrichment: the IP address of an event becomes a country, a region and a city.
//!
//! ```toml
//! [[enrichments]]
//! plugin = "geo"
//! config = { database = "GeoLite2-City.mmdb" }
//! ```
//!
//! The last byte of an IPv4 address and all but the first 48 bits of an IPv6 address are cut off *before* the look-up, so
//! that nothing finer than a neighbourhood can come out; where the file divides a /24 further, its first part answers for
//! all of it. What the file answers is what it says now: a newer file may say otherwise of rows that come again.

use kindred_enriching::{Distinct, Plan, text, unbound};
use kindred_plugin_api::prelude::*;
use place::{Database, Place};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

mod place;

/// Options of `geo`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A file in the MaxMind DB format with countries or cities; a relative path starts at the pipeline file.
    database: String,
    /// Column with the address. Default `ip`. What is no address gives nulls.
    #[serde(default = "column")]
    column: String,
    /// New columns. Default: `country`, `region` and `city`.
    #[serde(default = "usual")]
    columns: BTreeSet<New>,
    /// Keep the shortened address in the place of the whole one. Default false: the column goes.
    #[serde(default)]
    keep: bool,
}

/// A new column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum New {
    /// Two letters of ISO 3166-1: `GB`.
    Country,
    /// The largest part of the country, by ISO 3166-2: `GB-ENG`.
    Region,
    /// English name: `London`.
    City,
    /// `Europe/London`.
    Timezone,
}

impl New {
    fn name(self) -> &'static str {
        match self {
            Self::Country => "country",
            Self::Region => "region",
            Self::City => "city",
            Self::Timezone => "timezone",
        }
    }

    fn of(self, place: &Place) -> Option<&str> {
        match self {
            Self::Country => place.country.as_deref(),
            Self::Region => place.region.as_deref(),
            Self::City => place.city.as_deref(),
            Self::Timezone => place.timezone.as_deref(),
        }
    }
}

fn column() -> String {
    "ip".to_owned()
}

fn usual() -> BTreeSet<New> {
    [New::Country, New::Region, New::City].into()
}

/// Finds addresses.
pub struct Geo {
    config: Config,
    context: Context,
    database: Arc<Database>,
    bound: Option<(usize, Plan)>,
}

impl Enrichment for Geo {
    const MANIFEST: Manifest = manifest!("geo", "country, region and city of shortened IP addresses");
    type Config = Config;

    fn check(config: &Config, context: &Context) -> Result<()> {
        opened(config, context).map(drop)
    }

    fn open(config: Config, context: Context) -> Result<Self> {
        let database = opened(&config, &context)?;
        Ok(Self { config, context, database, bound: None })
    }

    fn bind(&mut self, input: SchemaRef) -> Result<SchemaRef> {
        let column = text(&input, "/column", &self.config.column)?;
        let kept = self.config.keep.then_some(self.config.column.as_str()).into_iter();
        let names = kept.chain(self.config.columns.iter().map(|new| new.name()));
        let new = names.map(|name| Field::new(name, DataType::Utf8, true)).collect();
        let plan = Plan::new(&input, &[column], new, "/columns")?;
        let output = plan.output();
        self.bound = Some((column, plan));
        Ok(output)
    }

    fn process(&mut self, batch: RecordBatch) -> Result<Processed> {
        let (column, plan) = self.bound.as_ref().ok_or_else(unbound)?;
        let rows = Distinct::of(batch.column(*column));
        let ips: Vec<Option<IpAddr>> = rows.values().iter().map(|value| place::shortened(value)).collect();
        let places: Vec<Place> = ips.iter().map(|ip| self.find(*ip)).collect();
        let mut new = Vec::new();
        if self.config.keep {
            let shortened: Vec<Option<String>> =
                ips.iter().map(|ip| Some(ip.as_ref()?.to_string())).collect();
            new.push(rows.column(&shortened, Option::as_deref));
        }
        new.extend(self.config.columns.iter().map(|one| rows.column(&places, |place| one.of(place))));
        Ok(plan.apply(&batch, new)?.into())
    }
}

impl Geo {
    /// A record that cannot be read costs its rows their place, and is counted.
    fn find(&self, ip: Option<IpAddr>) -> Place {
        let found = ip.map(|ip| place::find(&self.database, ip)).transpose();
        if found.is_err() {
            self.context.count("geo_unreadable", 1.0);
        }
        found.ok().flatten().unwrap_or_default()
    }
}

register!(enrichment Geo);

/// The file, if it can answer what is asked.
fn opened(config: &Config, context: &Context) -> Result<Arc<Database>> {
    let path = context.path(&config.database);
    let refused = |at: &str, what: String, help: &str| {
        Err(Fault::config(vec![Problem::new(at, format!("`{}` {what}", path.display())).help(help)]))
    };
    let help = "needed: a file in the MaxMind DB format, such as GeoLite2-City.mmdb";
    let database = match place::open(&path) {
        Ok(database) => database,
        Err(error) => return refused("/database", format!("cannot be read: {error}"), help),
    };
    let kind = &database.metadata().database_type;
    if ["ASN", "ISP", "Domain", "Connection-Type", "Anonymous-IP"].iter().any(|no| kind.contains(no)) {
        return refused("/database", format!("is a {kind} database, which has no places"), help);
    }
    let finer = config.columns.iter().find(|new| **new != New::Country);
    match finer.filter(|_| kind.contains("Country")) {
        Some(new) => {
            let what = format!("is a {kind} database, which has no `{}`", new.name());
            refused("/columns", what, "set `columns = [\"country\"]`, or take a database of cities")
        }
        None => Ok(database),
    }
}

#[cfg(test)]
mod tests;

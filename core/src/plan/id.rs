//! What a plan was made for, in a few characters: the pipeline's effective definition and the state of the store.

use crate::{
    Error, Result,
    config::Pipeline,
    plugin::{Origin, Plugins, registry::Registry},
    segment::applied,
    store::Store,
};
use serde::{Serialize, Serializer};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// Hexadecimal digits of each half: enough that two plans of one operator never meet.
const DIGITS: usize = 12;

/// `3f2a9c01b7de-88ab01c2d3e4`: the first half stands for the pipeline, with every variable put in and the versions of
/// its plugins, the second for the store's commits and the definitions that it applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id {
    pipeline: String,
    store: String,
}

impl Id {
    /// Of a plan made now; a store that does not exist is one without commits.
    ///
    /// # Errors
    /// When a plugin is not there or the database fails.
    pub fn of(pipeline: &Pipeline, registry: &Registry, store: Option<&Store>) -> Result<Self> {
        let sources = pipeline.sources.iter().map(|s| &s.plugin);
        let enrichments = pipeline.enrichments.iter().map(|e| &e.plugin);
        let segments = pipeline.segments.iter().map(|s| &s.plugin);
        let destinations = pipeline.destinations.iter().map(|d| &d.plugin);
        let mut names: Vec<&String> =
            sources.chain(enrichments).chain(segments).chain(destinations).collect();
        names.sort();
        names.dedup();
        let mut plugins = Vec::new();
        for name in names {
            let plugin = registry.find(name, &pipeline.base_dir).map_err(|e| Error::NotFound(e.message))?;
            let bytes = match &plugin.origin {
                Origin::BuiltIn => None,
                Origin::Library { sha256, .. } => Some(sha256.clone()),
            };
            plugins.push((plugin.manifest.name, plugin.manifest.version, bytes));
        }
        let applied = store.map(applied::applied).transpose()?.unwrap_or_default();
        let commits = store.map_or(0, |store| store.totals.commits);
        Ok(Self { pipeline: digest(&json!([pipeline, plugins])), store: digest(&json!([commits, applied])) })
    }

    /// Nothing when `now` is the same.
    ///
    /// # Errors
    /// [`Error::Moved`], naming what is different.
    pub fn must_be(&self, now: &Self) -> Result<()> {
        let what = match (self.pipeline == now.pipeline, self.store == now.store) {
            (true, true) => return Ok(()),
            (false, true) => "the pipeline has changed since",
            (true, false) => "the store has other commits since",
            (false, false) => "the pipeline and the store have changed since",
        };
        Err(Error::Moved { planned: self.to_string(), now: now.to_string(), what })
    }
}

fn digest(value: &serde_json::Value) -> String {
    let digest = Sha256::digest(value.to_string().as_bytes());
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    digits[..DIGITS].to_owned()
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.pipeline, self.store)
    }
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let half = |half: &str| half.len() == DIGITS && half.bytes().all(|b| b.is_ascii_hexdigit());
        match text.split_once('-') {
            Some((pipeline, store)) if half(pipeline) && half(store) => {
                Ok(Self { pipeline: pipeline.to_owned(), store: store.to_owned() })
            }
            _ => {
                Err("a plan's id is what `kindred plan FILE` prints, such as 3f2a9c01b7de-88ab01c2d3e4"
                    .into())
            }
        }
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = Id { pipeline: "3f2a9c01b7de".into(), store: "88ab01c2d3e4".into() };
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        for bad in
            ["", "3f2a9c01b7de", "3f2a9c01b7de-", "3f2a9c01b7de-88ab01c2d3e", "3f2a9c01b7dg-88ab01c2d3e4"]
        {
            assert!(bad.parse::<Id>().is_err(), "{bad}");
        }
        let other = Id { store: "000000000000".into(), ..id.clone() };
        assert!(id.must_be(&id).is_ok());
        let said = id.must_be(&other).unwrap_err().to_string();
        assert!(said.contains("the store has other commits"), "{said}");
    }
}

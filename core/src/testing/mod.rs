//! Tests of segments: the profiles of each `[[tests]]` go the way that real rows go, through consent gate, identity,
//! store and plugin boundary, in a store of their own that is gone afterwards. What comes out is held against what the
//! file expects; each profile that is wrong is told with the reason that the plugin gives.

mod rows;
mod values;

use crate::{
    Error, Result,
    config::{
        Pipeline,
        cases::{Case, CaseProfile},
    },
    plugin::registry::Registry,
    profile::batch::Moment,
    segment::Segments,
    step::{bound::Bound, gathering::Gathering, load::Load},
    store::Store,
};
use kindred_plugin_api::{Reason, columns::ATTR};
use serde::Serialize;
use std::{collections::BTreeSet, path::Path};
use tempfile::TempDir;

/// What became of one test.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Its name.
    pub test: String,
    /// Whether everything was as expected.
    pub passed: bool,
    /// What could not be tried at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The segments that it has expectations of.
    pub segments: Vec<Outcome>,
}

/// One segment of a test.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Its name.
    pub segment: String,
    /// Keys of the profiles that should be in it.
    pub expected: BTreeSet<String>,
    /// Keys of the profiles that are.
    pub found: BTreeSet<String>,
    /// Should be in it and are not.
    pub missing: Vec<Wrong>,
    /// Are in it and should not.
    pub unexpected: Vec<Wrong>,
}

/// A profile on the wrong side.
#[derive(Clone, Debug, Serialize)]
pub struct Wrong {
    /// Its key.
    pub profile: String,
    /// Whether it consents; who does not is in no segment.
    pub consents: bool,
    /// Why it is where it is, from plugins that say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Runs one test.
pub fn run(pipeline: &Pipeline, registry: &Registry, case: &Case) -> Verdict {
    let test = case.name.clone();
    match segments(pipeline, registry, case) {
        Ok(segments) => {
            let passed = segments.iter().all(|s| s.missing.is_empty() && s.unexpected.is_empty());
            Verdict { test, passed, error: None, segments }
        }
        Err(error) => {
            let help = error.help().map(|help| format!("; {help}")).unwrap_or_default();
            Verdict { test, passed: false, error: Some(format!("{error}{help}")), segments: Vec::new() }
        }
    }
}

fn segments(pipeline: &Pipeline, registry: &Registry, case: &Case) -> Result<Vec<Outcome>> {
    let folder = folder()?;
    let mut store = Store::open(folder.path())?;
    for (name, kind) in &pipeline.tests.columns {
        match name.strip_prefix(ATTR) {
            Some(attribute) => store.profiles.declare(attribute.to_owned(), *kind),
            None => drop(store.columns.declare(name, *kind, "the tests")?),
        }
    }
    let mut gathering = take(&mut store, pipeline, case)?;
    let pipeline = pipeline.narrowed(case.expect.keys().cloned());
    let moment = &Moment::of(&pipeline, case.as_of_us);
    let mut segments = Segments::open(&pipeline, registry, &store)?;
    let mut change = store.tables.change();
    let events = gathering.segment(&store.columns)?;
    store.totals.changes += 1;
    let staged = store.stage(&mut change, events, &moment.kept())?;
    segments.evaluate(&mut store, &gathering.touched, moment)?;
    segments.save(&store, &mut change, moment.as_of_us)?;
    store.commit(change, staged)?;
    let mut change = store.tables.change();
    if segments.settle(&mut store, &mut change, moment)? {
        segments.save(&store, &mut change, moment.as_of_us)?;
        store.commit(change, Vec::new())?;
    }
    case.expect.keys().map(|name| outcome(&mut store, &segments, case, name, moment)).collect()
}

/// For a store that nobody needs afterwards: in memory where the system has such a place and nobody named another,
/// because a store waits for its disk.
pub(crate) fn folder() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    if std::env::var_os("TMPDIR").is_none()
        && let Ok(folder) = tempfile::tempdir_in(memory)
    {
        return Ok(folder);
    }
    tempfile::tempdir().map_err(Error::io(std::env::temp_dir()))
}

/// All rows of a test, source by source.
fn take(store: &mut Store, pipeline: &Pipeline, case: &Case) -> Result<Gathering> {
    let mut gathering = Gathering::default();
    // These profiles are nobody, so whatever identifies them may be stored.
    let raw: Vec<String> = case.profiles.values().flat_map(|p| p.identifiers.keys().cloned()).collect();
    for (source, batch) in rows::batches(case, &pipeline.tests.columns)? {
        let mut refused = Vec::new();
        let bound = Bound::new(store, &source, &batch.schema(), &raw)?;
        bound.take(store, &Load::of(batch), &mut gathering, &mut refused)?;
        if let Some(refused) = refused.first() {
            let message = &refused.reject.message;
            return Err(Error::Column(format!("a row of source `{}`: {message}", source.name)));
        }
    }
    Ok(gathering)
}

fn outcome(
    store: &mut Store,
    segments: &Segments,
    case: &Case,
    name: &str,
    moment: &Moment,
) -> Result<Outcome> {
    let expected = case.expect.get(name).cloned().unwrap_or_default();
    let mut outcome = Outcome {
        segment: name.to_owned(),
        found: BTreeSet::new(),
        missing: Vec::new(),
        unexpected: Vec::new(),
        expected,
    };
    for (key, profile) in &case.profiles {
        let Some(number) = number(store, profile)? else {
            return Err(Error::NotFound(format!("profile `{key}` did not reach the store")));
        };
        let inside = segments.members().get(name).is_some_and(|members| members.contains(number));
        if inside {
            outcome.found.insert(key.clone());
        }
        if inside == outcome.expected.contains(key) {
            continue;
        }
        let consents = store.profiles.get(&store.tables, number)?.consents();
        // Not every plugin gives reasons.
        let reason = segments.explain(store, name, number, moment).ok();
        let wrong = Wrong { profile: key.clone(), consents, reason };
        if inside { outcome.unexpected.push(wrong) } else { outcome.missing.push(wrong) }
    }
    Ok(outcome)
}

fn number(store: &mut Store, profile: &CaseProfile) -> Result<Option<u32>> {
    let Some((namespace, value)) = profile.identifiers.first_key_value() else { return Ok(None) };
    store.identity.find(&store.tables, namespace, value)
}

//! The plan: what a run would change, before it changes anything. Compares a pipeline file with what the store last
//! applied, evaluates what is new on the stored profiles, and writes nothing: the changes that evaluation gathers are
//! dropped. Rows that wait at the sources are not part of it.

mod check;
mod id;
mod warnings;

pub use check::check;
pub use id::Id;
pub use warnings::Warning;

use crate::{
    Result,
    activate::{self, Outlook},
    config::{Destination, Party, Pipeline},
    plugin::registry::Registry,
    profile::batch::Moment,
    segment::{
        Segments,
        applied::{self, Definition, Stored},
    },
    step,
    store::Store,
};
use kindred_plugin_api::Mode;
use roaring::RoaringBitmap;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Members by segment.
type Members = BTreeMap<String, RoaringBitmap>;

/// What a run would change.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// What it was made for; `kindred run --plan-id` compares.
    pub plan_id: Id,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Commits of the store; none when there is no store, and then sizes are unknown.
    pub commits: Option<u64>,
    /// The moment that sizes are for, RFC 3339.
    pub as_of: Option<String>,
    /// Segments of the file and of the store, by name.
    pub segments: Vec<SegmentPlan>,
    /// Destinations of the file.
    pub destinations: Vec<DestinationPlan>,
    /// What the operator should look at.
    pub warnings: Vec<Warning>,
}

/// One segment.
#[derive(Clone, Debug, Serialize)]
pub struct SegmentPlan {
    /// Its name.
    pub segment: String,
    /// Name of the plugin.
    pub plugin: String,
    /// What happened to its definition.
    pub change: Change,
    /// Segments that it builds on whose definitions changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// Options, JSON, that the store last applied; where they changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<serde_json::Value>,
    /// Options that the file has; where they changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<serde_json::Value>,
    /// Members; none without a store.
    pub size: Option<Sizes>,
}

/// How a segment's members would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Members now.
    pub before: u64,
    /// Members then.
    pub after: u64,
    /// Who would be new.
    pub entering: u64,
    /// Who would be gone.
    pub leaving: u64,
}

/// What happened to a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The store does not know it.
    Added,
    /// The store applied another.
    Changed,
    /// The file does not have it any more.
    Removed,
    /// As the store applied it.
    Unchanged,
}

/// One destination.
#[derive(Clone, Debug, Serialize)]
pub struct DestinationPlan {
    /// Its name.
    pub destination: String,
    /// Changes or everything.
    pub mode: Mode,
    /// Whose data its audiences depend on, or may.
    pub parties: BTreeSet<Party>,
    /// Rows of a delivery that waits and is sent first.
    pub waiting: u64,
    /// Audiences; none without a store.
    pub audiences: Option<Vec<Outlook>>,
}

/// Makes the plan, for now or for another moment.
///
/// # Errors
/// When a plugin refuses the pipeline, or the store fails.
pub fn make(pipeline: &Pipeline, registry: &Registry, as_of_us: Option<i64>) -> Result<Plan> {
    let definitions = applied::definitions(pipeline, registry)?;
    if !Store::is_at(&pipeline.store) {
        return without_store(pipeline, registry, &definitions);
    }
    let mut store = Store::look(&pipeline.store)?;
    store.events.set_room(pipeline.cache);
    let plan_id = Id::of(pipeline, registry, Some(&store))?;
    let mut warnings = warnings::of_sources(pipeline, registry, Some(&mut store));
    warnings.extend(warnings::of_ages(pipeline));
    warnings.extend(warnings::of_segments(pipeline));
    warnings.extend(warnings::of_leftovers(pipeline, &store)?);
    let now = step::moment(pipeline, &store);
    let moment = now.at(as_of_us.unwrap_or(now.as_of_us));
    let known = applied::applied(&store)?;
    let before = applied::stored(&store)?;
    let changed = changed(&definitions, &known, &before);
    let affected = affected(pipeline, &changed);
    let everybody = as_of_us.is_some();
    let after = evaluated(pipeline, registry, &mut store, &affected, (&moment, everybody))?;
    let mut because: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for segment in &pipeline.segments {
        let below = segment.depends_on.iter().filter(|below| changed.contains(*below));
        because.insert(&segment.name, below.cloned().collect());
    }
    let mut segments = Vec::new();
    for name in definitions.keys().chain(before.keys()).collect::<BTreeSet<_>>() {
        let change = match (definitions.contains_key(name), before.contains_key(name)) {
            (false, _) => Change::Removed,
            (true, false) => Change::Added,
            _ if changed.contains(name) => Change::Changed,
            _ => Change::Unchanged,
        };
        let size = sizes(before.get(name).map(|stored| &stored.members), after.get(name));
        let because = because.remove(name.as_str()).unwrap_or_default();
        segments.push(segment(name, change, (definitions.get(name), known.get(name)), because, size));
    }
    let mut destinations = Vec::new();
    for destination in &pipeline.destinations {
        let audiences = activate::outlook(&mut store, (destination, &pipeline.sources), &after)?;
        warnings.extend(warnings::of_sizes(destination, &audiences));
        let waiting = activate::pending(&store, &destination.name)?;
        let waiting = waiting.iter().flat_map(|w| &w.delivery.segments).map(|s| s.adds + s.removes).sum();
        destinations.push(planned(pipeline, destination, waiting, Some(audiences)));
    }
    Ok(Plan {
        plan_id,
        pipeline: pipeline.name.clone(),
        commits: Some(store.totals.commits),
        as_of: step::text(moment.as_of_us),
        segments,
        destinations,
        warnings,
    })
}

/// Nothing was ever applied: everything is new, and nobody knows how large.
fn without_store(
    pipeline: &Pipeline,
    registry: &Registry,
    definitions: &BTreeMap<String, Definition>,
) -> Result<Plan> {
    let mut warnings = warnings::of_sources(pipeline, registry, None);
    warnings.extend(warnings::of_ages(pipeline));
    warnings.extend(warnings::of_segments(pipeline));
    let segments = definitions
        .iter()
        .map(|(name, definition)| segment(name, Change::Added, (Some(definition), None), Vec::new(), None));
    Ok(Plan {
        plan_id: Id::of(pipeline, registry, None)?,
        pipeline: pipeline.name.clone(),
        commits: None,
        as_of: None,
        segments: segments.collect(),
        destinations: pipeline.destinations.iter().map(|d| planned(pipeline, d, 0, None)).collect(),
        warnings,
    })
}

/// Segments of the file whose definition is not the one that the store applied.
fn changed(
    definitions: &BTreeMap<String, Definition>,
    known: &BTreeMap<String, Definition>,
    stored: &BTreeMap<String, Stored>,
) -> BTreeSet<String> {
    let other = |name: &String, new: &Definition| known.get(name) != Some(new) || !stored.contains_key(name);
    definitions.iter().filter(|(name, new)| other(name, new)).map(|(name, _)| name.clone()).collect()
}

/// The changed ones and all that build on them.
fn affected(pipeline: &Pipeline, changed: &BTreeSet<String>) -> BTreeSet<String> {
    let mut above: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for segment in &pipeline.segments {
        segment.depends_on.iter().for_each(|below| above.entry(below).or_default().push(&segment.name));
    }
    let mut affected = BTreeSet::new();
    let mut next: Vec<&String> = changed.iter().collect();
    while let Some(name) = next.pop() {
        if affected.insert(name.clone()) {
            next.extend(above.get(name.as_str()).into_iter().flatten());
        }
    }
    affected
}

/// Members as a run would commit them: of affected segments for everybody, of the others for those whose time has come.
fn evaluated(
    pipeline: &Pipeline,
    registry: &Registry,
    store: &mut Store,
    affected: &BTreeSet<String>,
    (moment, everybody): (&Moment, bool),
) -> Result<Members> {
    let all = store.identity.all();
    let open = |names: &mut dyn Iterator<Item = &String>, store: &Store| {
        Segments::open(&pipeline.narrowed(names.cloned()), registry, store)
    };
    let mut rest =
        open(&mut pipeline.segments.iter().map(|s| &s.name).filter(|n| !affected.contains(*n)), store)?;
    let due = step::waiting(store)? | rest.due(store, moment.as_of_us)?;
    // Models are fitted on everybody: those that did not change stay as they are.
    if everybody {
        rest.preview(store, &all, moment)?;
    } else {
        rest.preview_rules(store, &due, moment)?;
    }
    let mut members = rest.members().clone();
    if !affected.is_empty() {
        let mut new = open(&mut affected.iter(), store)?;
        new.preview(store, &all, moment)?;
        let new = new.members().iter().filter(|(name, _)| affected.contains(*name));
        members.extend(new.map(|(name, members)| (name.clone(), members.clone())));
    }
    Ok(members)
}

fn sizes(before: Option<&RoaringBitmap>, after: Option<&RoaringBitmap>) -> Option<Sizes> {
    let empty = RoaringBitmap::new();
    let (before, after) = (before.unwrap_or(&empty), after.unwrap_or(&empty));
    Some(Sizes {
        before: before.len(),
        after: after.len(),
        entering: after.difference_len(before),
        leaving: before.difference_len(after),
    })
}

fn segment(
    name: &str,
    change: Change,
    (new, old): (Option<&Definition>, Option<&Definition>),
    because: Vec<String>,
    size: Option<Sizes>,
) -> SegmentPlan {
    let json = |definition: &Definition| serde_json::from_str(&definition.config).ok();
    let differs = change != Change::Unchanged;
    SegmentPlan {
        segment: name.to_owned(),
        plugin: new.or(old).map(|d| d.plugin.clone()).unwrap_or_default(),
        change,
        because,
        applied: old.filter(|_| differs).and_then(json),
        config: new.filter(|_| differs).and_then(json),
        size,
    }
}

fn planned(
    pipeline: &Pipeline,
    destination: &Destination,
    waiting: u64,
    audiences: Option<Vec<Outlook>>,
) -> DestinationPlan {
    let parties = destination.segments.iter().flat_map(|segment| pipeline.parties(segment)).collect();
    let (name, mode) = (destination.name.clone(), destination.mode);
    DestinationPlan { destination: name, mode, parties, waiting, audiences }
}

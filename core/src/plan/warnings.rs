//! What an operator should look at before a run: sources that nothing comes through, audiences that nobody gets.

use crate::{
    Error, Result,
    activate::{Delivered, Outlook},
    config::{ConsentDefault, Destination, Party, Pipeline, Source},
    plugin::registry::Registry,
    step::{bound::Bound, schema},
    store::{Store, tables},
};
use arrow::datatypes::{Schema, SchemaRef};
use kindred_plugin_api::columns::CONSENT;
use serde::Serialize;
use std::collections::BTreeSet;

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// For machines: `no-consent-basis`, `source-unknown`, `store-unknown`, `column-unsure`, `bought-for-ever`, `ttl-beyond-retention`, `segment-unused`, `below-minimum`,
    /// `destination-gone`.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// What to do.
    pub help: String,
}

pub(super) fn warning(code: &'static str, message: String, help: &str) -> Warning {
    Warning { code, message, help: help.to_owned() }
}

/// Asks each source what it would bring, tells the store's columns of it, and looks for a basis of consent.
pub(super) fn of_sources(
    pipeline: &Pipeline,
    registry: &Registry,
    mut store: Option<&mut Store>,
) -> Vec<Warning> {
    let mut found = Vec::new();
    for source in &pipeline.sources {
        let schema = ask(pipeline, registry, source, store.as_deref());
        let bound = schema.and_then(|schema| {
            if let Some(store) = store.as_deref_mut() {
                Bound::new(store, source, &schema, &pipeline.raw_identifiers)?;
            }
            Ok(schema)
        });
        found.extend(match bound {
            Ok(schema) => without_basis(pipeline, source, &schema),
            Err(error) => Some(silent(source, &error)),
        });
    }
    found
}

/// What a source would bring, where it goes on in a store.
pub(super) fn ask(
    pipeline: &Pipeline,
    registry: &Registry,
    source: &Source,
    store: Option<&Store>,
) -> Result<SchemaRef> {
    let position = store.map(|store| store.position(&source.name)).transpose()?.flatten();
    schema::schema(pipeline, registry, source, position)
}

/// Of a source that did not answer.
pub(super) fn silent(source: &Source, error: &Error) -> Warning {
    warning(
        "source-unknown",
        format!("source `{}` does not tell what it brings: {error}", source.name),
        "a run would stop here; its consent and its new columns are not part of this",
    )
}

/// Of a source that nobody's consent comes with.
pub(super) fn without_basis(pipeline: &Pipeline, source: &Source, schema: &Schema) -> Option<Warning> {
    let without = source.consent == ConsentDefault::Required && schema.index_of(CONSENT).is_err();
    without.then(|| {
        let destinations = destinations(pipeline, source);
        let message = format!(
            "source `{}` has no consent column and nobody vouches for it: no row of it reaches {destinations}",
            source.name
        );
        let help = "map a consent column, or set `consent = \"granted\"` where you hold everyone's grant";
        warning("no-consent-basis", message, help)
    })
}

/// The destinations that get something which a source makes of profiles.
fn destinations(pipeline: &Pipeline, source: &Source) -> String {
    let depends = |destination: &&Destination| {
        destination.segments.iter().any(|segment| pipeline.depends(segment, &source.name))
    };
    let names: Vec<String> =
        pipeline.destinations.iter().filter(depends).map(|d| format!("`{}`", d.name)).collect();
    if names.is_empty() { "a profile".to_owned() } else { names.join(", ") }
}

/// Whether there may be columns that nobody told.
pub(super) fn hides_columns(warning: &Warning) -> bool {
    ["source-unknown", "store-unknown"].contains(&warning.code)
}

/// Segments that go nowhere.
pub(super) fn of_segments(pipeline: &Pipeline) -> Vec<Warning> {
    let sent = pipeline.destinations.iter().flat_map(|d| &d.segments);
    let built_on = pipeline.segments.iter().flat_map(|s| &s.depends_on);
    let used: BTreeSet<&String> = sent.chain(built_on).collect();
    let unused = pipeline.segments.iter().map(|s| &s.name).filter(|name| !used.contains(name));
    unused
        .map(|name| {
            let message = format!("segment `{name}` goes to no destination, and no segment builds on it");
            warning("segment-unused", message, "add it to the `segments` of a destination, or take it out")
        })
        .collect()
}

/// Bought data that counts for ever, and sources that are to count longer than events are kept.
pub(super) fn of_ages(pipeline: &Pipeline) -> Vec<Warning> {
    let bought = pipeline.sources.iter().filter(|source| source.party == Party::Third);
    let for_ever = bought.filter(|source| source.ttl_us.is_none()).map(|source| {
        let message = format!("source `{}` is of a third party and has no ttl", source.name);
        warning("bought-for-ever", message, "set `ttl` to how long its vendor says that it holds")
    });
    let long = pipeline.sources.iter().filter(|source| source.ttl_us > Some(pipeline.retention_us));
    let long = long.map(|source| {
        let name = &source.name;
        let message =
            format!("the ttl of source `{name}` is longer than `pipeline.retention`, which its events go by");
        warning(
            "ttl-beyond-retention",
            message,
            "only its attributes count for so long: shorten it, or keep events longer",
        )
    });
    for_ever.chain(long).collect()
}

/// Audiences that are too small to be sent.
pub(super) fn of_sizes(destination: &Destination, audiences: &[Outlook]) -> Vec<Warning> {
    let small = audiences.iter().filter_map(|audience| Some((audience, audience.held_back?)));
    small
        .map(|(audience, size)| {
            let (segment, name, least) = (&audience.segment, &destination.name, destination.minimum_audience);
            let message = format!(
                "`{segment}` has {size} members, `{name}` takes {least} at least: none would be added"
            );
            warning("below-minimum", message, "removals are sent; additions wait until it has grown")
        })
        .collect()
}

/// Destinations that left the file and still have members.
pub(super) fn of_leftovers(pipeline: &Pipeline, store: &Store) -> Result<Vec<Warning>> {
    let mut found = Vec::new();
    for (name, delivered) in tables::scan(&store.tables.delivered, [])? {
        let name = String::from_utf8_lossy(&name).into_owned();
        let delivered: Delivered = postcard::from_bytes(&delivered)?;
        if !delivered.members.is_empty() && pipeline.destinations.iter().all(|d| d.name != name) {
            let message =
                format!("destination `{name}` left the file and keeps {} audiences", delivered.members.len());
            let help = "to empty them, put it back with other segments, run, and take it out then";
            found.push(warning("destination-gone", message, help));
        }
    }
    Ok(found)
}

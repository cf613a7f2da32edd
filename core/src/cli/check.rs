//! `kindred check` and `kindred schema`.

use super::{File, Outcome, load, out::say, print_json};
use crate::{config, plugin::registry::Registry};
use std::process::ExitCode;

pub(super) fn check(registry: &Registry, file: &File, json: bool) -> Outcome {
    let pipeline = load(registry, file, json)?;
    let (sources, segments) = (pipeline.sources.len(), pipeline.segments.len());
    let (enrichments, destinations) = (pipeline.enrichments.len(), pipeline.destinations.len());
    if json {
        print_json(&serde_json::json!({
            "pipeline": pipeline.name, "sources": sources, "enrichments": enrichments, "segments": segments,
            "destinations": destinations, "problems": [],
        }));
    } else {
        say!(
            "{}: pipeline `{}` is fine: {sources} sources, {enrichments} enrichments, {segments} segments, \
             {destinations} destinations",
            file.file.display(),
            pipeline.name
        );
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn schema(registry: &Registry) -> Outcome {
    say!("{:#}", config::schema(registry));
    Ok(ExitCode::SUCCESS)
}

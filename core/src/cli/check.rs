//! `kindred check` and `kindred schema`.

use super::{Failure, File, Outcome, load, out::say, plan, print_json, report};
use crate::{
    config::{self, Pipeline},
    plan::check as columns,
    plugin::registry::Registry,
    publish::Manifest,
    query::{self, Engine},
};
use std::process::ExitCode;

pub(super) fn check(registry: &Registry, file: &File, json: bool) -> Outcome {
    let pipeline = load(registry, file, json)?;
    let warnings = columns(&pipeline, registry)?;
    queries(&pipeline, json)?;
    let (sources, segments) = (pipeline.sources.len(), pipeline.segments.len());
    let (enrichments, destinations) = (pipeline.enrichments.len(), pipeline.destinations.len());
    if json {
        print_json(&serde_json::json!({
            "pipeline": pipeline.name, "sources": sources, "enrichments": enrichments, "segments": segments,
            "destinations": destinations, "problems": [], "warnings": warnings,
        }));
    } else {
        plan::warn(&warnings);
        say!(
            "{}: pipeline `{}` is fine: {sources} sources, {enrichments} enrichments, {segments} segments, \
             {destinations} destinations",
            file.file.display(),
            pipeline.name
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Plans the queries of SQL segments, where the query engine is there and tables were published.
fn queries(pipeline: &Pipeline, json: bool) -> Result<(), Failure> {
    let dir = query::published(pipeline);
    let (Ok(engine), Ok(Some(manifest))) = (Engine::find(&pipeline.engine), Manifest::find(&dir)) else {
        return Ok(());
    };
    let mut wrong = false;
    for segment in &pipeline.segments {
        let Some(sql) = &segment.sql else { continue };
        if let Err(error) = engine.check(&dir, manifest.as_of_us, &sql.text) {
            report(&format!("segment `{}`: {error}", segment.name), error.help(), json);
            wrong = true;
        }
    }
    if wrong { Err(Failure::Reported) } else { Ok(()) }
}

pub(super) fn schema(registry: &Registry) -> Outcome {
    say!("{:#}", config::schema(registry));
    Ok(ExitCode::SUCCESS)
}

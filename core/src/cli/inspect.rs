//! Looking into a store: `kindred segments`, `kindred explain`, `kindred dead-letters`.

use super::{Failure, File, Outcome, load, out::say, print_json, table};
use crate::{
    Error,
    config::Pipeline,
    plugin::registry::Registry,
    segment::Segments,
    step::{moment, text},
    store::Store,
};
use clap::{Args, Subcommand};
use kindred_plugin_api::Reason;
use serde_json::json;
use std::process::ExitCode;
use table::number;

#[derive(Debug, Args)]
pub(super) struct SegmentsOptions {
    #[command(flatten)]
    file: File,
    /// List the members of this segment, one identifier a line.
    #[arg(long, value_name = "SEGMENT")]
    members: Option<String>,
    /// With --members: only identifiers of this namespace.
    #[arg(long, value_name = "NAMESPACE", requires = "members")]
    namespace: Option<String>,
}

pub(super) fn segments(registry: &Registry, options: &SegmentsOptions, json: bool) -> Outcome {
    let pipeline = load(registry, &options.file, json)?;
    let mut store = Store::existing(&pipeline.store)?;
    let segments = Segments::open(&pipeline, registry, &store)?;
    if let Some(name) = &options.members {
        return members(&mut store, &segments, name, options.namespace.as_deref(), json);
    }
    let sizes = pipeline.segments.iter().map(|s| (s, segments.members().get(&s.name).map_or(0, |m| m.len())));
    if json {
        let sizes = sizes.map(|(s, size)| json!({"segment": s.name, "title": s.title, "size": size}));
        print_json(&sizes.collect::<Vec<_>>());
    } else {
        let rows = sizes.map(|(s, size)| vec![s.name.clone(), s.title.clone(), number(size)]).collect();
        table::print("", &["segment", "", ">size"], rows);
    }
    Ok(ExitCode::SUCCESS)
}

fn members(
    store: &mut Store,
    segments: &Segments,
    name: &str,
    namespace: Option<&str>,
    json: bool,
) -> Outcome {
    let Some(members) = segments.members().get(name) else { return Err(unknown(name)) };
    let mut found = Vec::new();
    for profile in members {
        let record = store.profiles.get(&store.tables, profile)?;
        found.extend(
            record.identifiers.iter().filter(|(n, _)| namespace.is_none_or(|wanted| wanted == n)).cloned(),
        );
    }
    found.sort();
    if json {
        let found: Vec<_> = found.iter().map(|(n, value)| json!({"namespace": n, "value": value})).collect();
        print_json(&found);
    } else {
        found.iter().for_each(|(namespace, value)| say!("{namespace}:{value}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn unknown(segment: &str) -> Failure {
    Error::NotFound(format!("there is no segment `{segment}` in the pipeline")).into()
}

#[derive(Debug, Args)]
pub(super) struct ExplainOptions {
    #[command(flatten)]
    file: File,
    /// The segment.
    segment: String,
    /// An identifier of the profile, `NAMESPACE:VALUE`.
    identifier: String,
    /// Ask about another moment, RFC 3339.
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
}

pub(super) fn explain(registry: &Registry, options: &ExplainOptions, json: bool) -> Outcome {
    let pipeline = load(registry, &options.file, json)?;
    let Some((namespace, value)) = options.identifier.split_once(':') else {
        return Err(Failure::Usage(format!("`{}` is not NAMESPACE:VALUE", options.identifier)));
    };
    let mut store = Store::existing(&pipeline.store)?;
    let moment = at(&pipeline, &store, options.as_of.as_deref())?;
    let mut segments = Segments::open(&pipeline, registry, &store)?;
    if !segments.members().contains_key(&options.segment) {
        return Err(unknown(&options.segment));
    }
    let Some(profile) = store.identity.find(&store.tables, namespace, value)? else {
        return Err(
            Error::NotFound(format!("no profile has an identifier `{namespace}` with this value")).into()
        );
    };
    let inside = segments.members().get(&options.segment).is_some_and(|m| m.contains(profile));
    let reason = segments.explain(&mut store, &options.segment, profile, moment)?;
    let consents = store.profiles.get(&store.tables, profile)?.consents();
    let as_of = text(moment.as_of_us);
    if json {
        print_json(&json!({
            "segment": options.segment, "profile": profile, "as_of": as_of, "member": inside, "consent": consents,
            "reason": reason,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    let is = if reason.holds == Some(true) && consents { "is in" } else { "is not in" };
    say!("{} {is} `{}` as of {}", options.identifier, options.segment, as_of.unwrap_or_default());
    if !consents {
        say!("✗ consent: denied or never given");
    }
    print_reason(&reason, 0);
    Ok(ExitCode::SUCCESS)
}

fn at(
    pipeline: &Pipeline,
    store: &Store,
    as_of: Option<&str>,
) -> Result<crate::profile::batch::Moment, Failure> {
    let mut moment = moment(pipeline, store);
    if let Some(given) = as_of {
        let time: jiff::Timestamp = given
            .parse()
            .map_err(|e| Failure::Usage(format!("`{given}` is not a time like 2026-01-31T12:00:00Z: {e}")))?;
        moment.as_of_us = time.as_microsecond();
    }
    Ok(moment)
}

fn print_reason(reason: &Reason, depth: usize) {
    let mark = match reason.holds {
        Some(true) => "✓",
        Some(false) => "✗",
        None => "?",
    };
    let value = reason.value.as_ref().map(|v| format!("  = {v}")).unwrap_or_default();
    let indent = "  ".repeat(depth);
    say!("{indent}{mark} {}{value}", reason.condition);
    reason.evidence.iter().for_each(|line| say!("{indent}    · {line}"));
    reason.because.iter().for_each(|below| print_reason(below, depth + 1));
}

#[derive(Debug, Subcommand)]
pub(super) enum DeadLetters {
    /// List them, oldest first.
    List {
        #[command(flatten)]
        file: File,
        /// Only this source, enrichment or destination.
        #[arg(long)]
        instance: Option<String>,
        /// Only this reason code.
        #[arg(long)]
        code: Option<String>,
        /// At most so many; 0 for all.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
}

pub(super) fn dead_letters(registry: &Registry, command: &DeadLetters, json: bool) -> Outcome {
    let DeadLetters::List { file, instance, code, limit } = command;
    let pipeline = load(registry, file, json)?;
    let store = Store::existing(&pipeline.store)?;
    let wanted = |asked: &Option<String>, is: &str| asked.as_ref().is_none_or(|a| a == is);
    let mut letters = store.dead_letters()?;
    letters.retain(|l| wanted(instance, &l.instance) && wanted(code, &l.code));
    let all = letters.len();
    letters.truncate(if *limit == 0 { all } else { *limit });
    if json {
        print_json(&letters);
        return Ok(ExitCode::SUCCESS);
    }
    let rows = letters.iter().map(|l| {
        let payload: String =
            l.payload.chars().take(60).map(|c| if c.is_control() { '·' } else { c }).collect();
        let place = format!("{}:{}", l.origin, l.row);
        vec![
            l.number.to_string(),
            format!("{} {}", l.stage, l.instance),
            place,
            l.code.clone(),
            l.message.clone(),
            payload,
        ]
    });
    table::print("", &[">#", "where", "row", "code", "reason", "as found"], rows.collect());
    say!("{} of {} dead letters", number(letters.len() as u64), number(all as u64));
    Ok(ExitCode::SUCCESS)
}

//! `kindred segments`.

use super::{File, Outcome, load, out::say, print_json, table, unknown_segment};
use crate::{
    Error,
    config::Pipeline,
    plugin::registry::Registry,
    segment::{
        applied::{self, Definition, Size, Stored},
        due::{Due, Queue},
        timers::Timers,
    },
    step::{moment, text, waiting},
    store::Store,
};
use clap::Args;
use serde_json::json;
use std::{collections::BTreeMap, process::ExitCode};
use table::number;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: File,
    /// List the members of this segment, one identifier a line.
    #[arg(long, value_name = "SEGMENT")]
    members: Option<String>,
    /// With --members: only identifiers of this namespace.
    #[arg(long, value_name = "NAMESPACE", requires = "members")]
    namespace: Option<String>,
}

/// Segments whose next change is looked for.
const LOOKED_AHEAD: usize = 100;

/// One line.
struct Line<'a> {
    name: &'a str,
    title: &'a str,
    plugin: String,
    /// `fresh`, `stale`, `new`, `removed`.
    state: &'static str,
    stored: Stored,
    sizes: Vec<Size>,
    due: Option<Due>,
}

pub(super) fn segments(registry: &Registry, options: &Options, json: bool) -> Outcome {
    let pipeline = load(registry, &options.file, json)?;
    let mut store = Store::look(&pipeline.store)?;
    let mut stored = applied::stored(&store)?;
    if let Some(name) = &options.members {
        if pipeline.segments.iter().all(|s| s.name != *name) {
            return Err(unknown_segment(name));
        }
        return members(&mut store, &stored.remove(name).unwrap_or_default(), options, json);
    }
    let waits = !waiting(&store)?.is_empty();
    let mut lines = lines(&pipeline, &applied::definitions(&pipeline, registry)?, &store, stored)?;
    look_ahead(&pipeline, registry, &mut store, &mut lines)?;
    if json {
        print_json(&lines.iter().map(told).collect::<Vec<_>>());
        return Ok(ExitCode::SUCCESS);
    }
    let rows = lines.iter().map(row).collect();
    table::print(
        "",
        &["segment", "", "plugin", ">size", "over time", "changed", "next due", "definition"],
        rows,
    );
    if lines.iter().any(|line| line.state != "fresh") {
        say!("`kindred plan FILE` tells what a run would change");
    }
    if waits {
        say!("the last run was interrupted: some profiles wait for their evaluation");
    }
    Ok(ExitCode::SUCCESS)
}

fn lines<'a>(
    pipeline: &'a Pipeline,
    definitions: &BTreeMap<String, Definition>,
    store: &Store,
    mut stored: BTreeMap<String, Stored>,
) -> Result<Vec<Line<'a>>, Error> {
    let known = applied::applied(store)?;
    let mut sizes = applied::sizes(store)?;
    let mut lines = Vec::new();
    for segment in &pipeline.segments {
        let name = &segment.name;
        let definition = definitions.get(name);
        let state = match (stored.get(name), known.get(name)) {
            (None, _) => "new",
            (Some(_), known) if known == definition => "fresh",
            _ => "stale",
        };
        let stored = stored.remove(name).unwrap_or_default();
        lines.push(Line {
            name,
            title: &segment.title,
            plugin: definition.map(|d| d.plugin.clone()).unwrap_or_default(),
            state,
            sizes: sizes.remove(name).unwrap_or_default(),
            due: None,
            stored,
        });
    }
    Ok(lines)
}

/// When each segment can change with no new event. Each is a question of its own, so the first ones are asked about.
fn look_ahead(
    pipeline: &Pipeline,
    registry: &Registry,
    store: &mut Store,
    lines: &mut [Line<'_>],
) -> Result<(), Error> {
    let queue = Queue::new(&Timers::open(&store.tables)?);
    let now = moment(pipeline, store);
    for line in lines.iter_mut().filter(|line| line.state == "fresh").take(LOOKED_AHEAD) {
        line.due = queue.of((pipeline, registry), store, line.name, &now)?;
    }
    Ok(())
}

/// `next_due` is when somebody can enter or leave with no new event; `not_due_before` stands where that is not known.
fn told(line: &Line<'_>) -> serde_json::Value {
    let sizes = line.sizes.iter().map(|s| json!({"as_of": text(s.as_of_us), "size": s.members}));
    let is_known = line.state != "new";
    json!({
        "segment": line.name, "title": line.title, "plugin": line.plugin, "definition": line.state,
        "size": line.stored.members.len(), "sizes": sizes.collect::<Vec<_>>(),
        "changed": is_known.then(|| text(line.stored.changed_us)),
        "next_due": match line.due { Some(Due::At(us)) => text(us), _ => None },
        "not_due_before": match line.due { Some(Due::After(us)) => text(us), _ => None },
    })
}

fn row(line: &Line<'_>) -> Vec<String> {
    let time = |us: i64| short(&text(us).unwrap_or_default());
    vec![
        line.name.to_owned(),
        if line.title == line.name { String::new() } else { line.title.to_owned() },
        line.plugin.clone(),
        if line.state == "new" { String::new() } else { number(line.stored.members.len()) },
        spark(line.sizes.iter().map(|s| s.members)),
        if line.state == "new" { String::new() } else { time(line.stored.changed_us) },
        match line.due {
            Some(Due::At(us)) => time(us),
            Some(Due::After(us)) => format!("after {}", time(us)),
            Some(Due::Never) => "never".to_owned(),
            None => String::new(),
        },
        line.state.to_owned(),
    ]
}

/// To the minute.
fn short(time: &str) -> String {
    time.get(..16).map(|minutes| minutes.replace('T', " ")).unwrap_or_default()
}

/// A line of blocks, from the least to the most of the values; nothing for one value.
fn spark(sizes: impl Iterator<Item = u64> + Clone) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (Some(least), Some(most)) = (sizes.clone().min(), sizes.clone().max()) else { return String::new() };
    let block = |size: u64| match most - least {
        0 => BLOCKS[0],
        span => BLOCKS[((size - least) as f64 / span as f64 * 7.0).round() as usize],
    };
    sizes.map(block).collect()
}

fn members(store: &mut Store, stored: &Stored, options: &Options, json: bool) -> Outcome {
    let wanted = |namespace: &String| options.namespace.as_ref().is_none_or(|wanted| wanted == namespace);
    let mut found = Vec::new();
    for profile in &stored.members {
        let record = store.profiles.get(&store.tables, profile)?;
        found.extend(record.identifiers.iter().filter(|(namespace, _)| wanted(namespace)).cloned());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spark_line_goes_from_the_least_to_the_most() {
        assert_eq!(spark([10, 20, 80, 45].into_iter()), "▁▂█▅");
        assert_eq!(spark([7, 7].into_iter()), "▁▁");
        assert_eq!(spark([].into_iter()), "");
        assert_eq!(spark([0, u64::MAX].into_iter()), "▁█");
    }
}

//! `kindred bench`: how quickly this machine answers for the stored profiles, and how long a step takes. Nothing is
//! committed and nothing sent; steps are taken on a copy of the store.

use super::{File, Outcome, load, out::say, print_json, table};
use crate::{
    Error, Result,
    config::Pipeline,
    plugin::registry::Registry,
    profile::batch::Moment,
    segment::{Segments, overlap::overlaps},
    step::{drill, moment},
    store::{self, Store},
};
use clap::Args;
use serde::Serialize;
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};
use table::number;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: File,
    /// Passes over all profiles; the first one warms up and does not count.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Instead of passes, take so many steps on a copy of the store, beside it and removed again.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// Events of one step; each is a stored one that happens again now.
    #[arg(long, value_name = "N", default_value_t = 1_000, requires = "steps",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    events: u32,
    /// Which stored events happen again.
    #[arg(long, value_name = "WHICH", default_value = "events", requires = "steps")]
    draw: drill::Draw,
}

/// What was measured; seconds, each the median of the runs.
#[derive(Debug, Serialize)]
struct Figures {
    events: u64,
    profiles: u64,
    segments: usize,
    /// Opening the store.
    open_seconds: f64,
    /// The first pass, which also reads attributes and opens instances.
    first_pass_seconds: f64,
    /// All segments over all profiles: batches from the store, through the plugins, to bitmaps.
    pass_seconds: f64,
    /// Why a profile is in a segment or is not, with everything open: over a hundred profiles, one segment after the other.
    /// None where no plugin gives reasons.
    reason_seconds: Option<f64>,
    /// Sizes of all pairwise intersections.
    overlaps_seconds: f64,
    overlaps: usize,
    /// The greatest resident size of this process, in MiB.
    peak_mib: u64,
    sizes: std::collections::BTreeMap<String, u64>,
}

pub(super) fn bench(registry: &Registry, options: &Options, json: bool) -> Outcome {
    let pipeline = load(registry, &options.file, json)?;
    if let Some(steps) = options.steps {
        let figures = steps_of(&pipeline, registry, steps, (options.events, options.draw))?;
        if json {
            print_json(&figures)
        } else {
            print_steps(&figures)
        }
        return Ok(ExitCode::SUCCESS);
    }
    let begun = Instant::now();
    let mut store = Store::existing(&pipeline.store)?;
    store.events.set_room(pipeline.cache);
    let opened = begun.elapsed();
    let mut segments = Segments::open(&pipeline, registry, &store)?;
    let moment = moment(&pipeline, &store);
    let first = pass(&mut segments, &mut store, &moment)?;
    let passes =
        (0..options.runs).map(|_| pass(&mut segments, &mut store, &moment)).collect::<Result<_>>()?;
    let reason = reasons(&segments, &mut store, &moment);
    let members: Vec<_> = segments.members().values().collect();
    let overlapping = (0..options.runs)
        .map(|_| {
            let begun = Instant::now();
            std::hint::black_box(overlaps(&members));
            begun.elapsed()
        })
        .collect();
    let figures = Figures {
        events: store.events.rows() as u64,
        profiles: store.identity.len() as u64,
        segments: members.len(),
        open_seconds: opened.as_secs_f64(),
        first_pass_seconds: first.as_secs_f64(),
        pass_seconds: median(passes),
        reason_seconds: reason,
        overlaps_seconds: median(overlapping),
        overlaps: members.len() * members.len().saturating_sub(1) / 2,
        peak_mib: peak_mib(),
        sizes: segments.members().iter().map(|(name, members)| (name.clone(), members.len())).collect(),
    };
    if json {
        print_json(&figures);
    } else {
        print(&figures);
    }
    Ok(ExitCode::SUCCESS)
}

/// How long a step takes, in milliseconds: from its events to the durable enter and exit.
#[derive(Debug, Serialize)]
struct StepFigures {
    steps: usize,
    events_per_step: u32,
    segments: usize,
    /// The first step after a start, which is not among the others.
    first_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    events_per_second: f64,
    /// Enters and exits of all steps.
    moved: u64,
    peak_mib: u64,
}

fn steps_of(
    pipeline: &Pipeline,
    registry: &Registry,
    steps: u32,
    drawn: (u32, drill::Draw),
) -> Result<StepFigures> {
    let beside = pipeline.store.parent().filter(|folder| !folder.as_os_str().is_empty());
    let beside = beside.unwrap_or_else(|| std::path::Path::new("."));
    if !Store::is_at(&pipeline.store) {
        Store::existing(&pipeline.store)?;
    }
    let folder =
        tempfile::Builder::new().prefix("kindred-bench-").tempdir_in(beside).map_err(Error::io(beside))?;
    let copy = Pipeline { store: folder.path().join("store"), ..pipeline.clone() };
    store::clone::clone(&pipeline.store, &copy.store)?;
    let drilled = drill::drill(&copy, registry, steps, drawn)?;
    let mut times: Vec<f64> = drilled.steps.iter().map(|step| step.as_secs_f64() * 1e3).collect();
    times.sort_unstable_by(f64::total_cmp);
    let rank = |share: f64| times[((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1];
    let seconds = times.iter().sum::<f64>() / 1e3;
    Ok(StepFigures {
        steps: times.len(),
        events_per_step: drawn.0,
        segments: pipeline.segments.len(),
        first_ms: drilled.first.as_secs_f64() * 1e3,
        p50_ms: rank(0.5),
        p99_ms: rank(0.99),
        max_ms: rank(1.0),
        events_per_second: times.len() as f64 * f64::from(drawn.0) / seconds,
        moved: drilled.moved,
        peak_mib: peak_mib(),
    })
}

fn print_steps(figures: &StepFigures) {
    say!(
        "{} steps of {} events, {} segments",
        number(figures.steps as u64),
        number(figures.events_per_step.into()),
        figures.segments
    );
    let ms = |figure: f64| format!("{figure:.1} ms");
    let rows = [
        ("half of the steps, at most", ms(figures.p50_ms)),
        ("99 of 100, at most", ms(figures.p99_ms)),
        ("the slowest", ms(figures.max_ms)),
        ("the first after a start", ms(figures.first_ms)),
        ("events a second", number(figures.events_per_second as u64)),
        ("enters and exits", number(figures.moved)),
        ("peak memory", format!("{} MiB", number(figures.peak_mib))),
    ];
    let rows = rows.into_iter().map(|(what, figure)| vec![what.to_owned(), figure]).collect();
    table::print("", &["", ">"], rows);
}

fn pass(segments: &mut Segments, store: &mut Store, moment: &Moment) -> Result<Duration> {
    let everybody = store.identity.all();
    let begun = Instant::now();
    segments.answer(store, &everybody, moment)?;
    Ok(begun.elapsed())
}

fn reasons(segments: &Segments, store: &mut Store, moment: &Moment) -> Option<f64> {
    let everybody = store.identity.all();
    let names = segments.members().keys().cycle();
    let profiles = everybody.iter().step_by((everybody.len() as usize / 100).max(1));
    let took = profiles.zip(names).filter_map(|(profile, name)| {
        let begun = Instant::now();
        segments.explain(store, name, profile, moment).ok().map(|_| begun.elapsed())
    });
    let took: Vec<Duration> = took.collect();
    (!took.is_empty()).then(|| median(took))
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, Duration::as_secs_f64)
}

/// From the kernel; 0 where it does not tell.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn print(figures: &Figures) {
    let ms = |seconds: f64| format!("{:.1} ms", seconds * 1e3);
    say!(
        "{} events of {} profiles, {} segments",
        number(figures.events),
        number(figures.profiles),
        figures.segments
    );
    let rows = [
        ("open the store", ms(figures.open_seconds)),
        ("first pass", ms(figures.first_pass_seconds)),
        ("a pass over everybody", ms(figures.pass_seconds)),
        ("a reason", figures.reason_seconds.map_or("none is given".into(), ms)),
        (
            "pairwise overlaps",
            format!("{} for {}", ms(figures.overlaps_seconds), number(figures.overlaps as u64)),
        ),
        ("peak memory", format!("{} MiB", number(figures.peak_mib))),
    ];
    let rows = rows.into_iter().map(|(what, figure)| vec![what.to_owned(), figure]).collect();
    table::print("", &["", ">"], rows);
    let sizes = figures.sizes.iter().map(|(name, size)| vec![name.clone(), number(*size)]).collect();
    table::print("", &["segment", ">size"], sizes);
}

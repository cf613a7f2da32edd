//! `kindred bench`: how quickly this machine answers for the stored profiles. Nothing is committed and nothing sent.

use super::{File, Outcome, load, out::say, print_json, table};
use crate::{
    Result,
    plugin::registry::Registry,
    profile::batch::Moment,
    segment::{Segments, overlap::overlaps},
    step::moment,
    store::Store,
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
    /// Sizes of all pairwise intersections.
    overlaps_seconds: f64,
    overlaps: usize,
    /// The greatest resident size of this process, in MiB.
    peak_mib: u64,
    sizes: std::collections::BTreeMap<String, u64>,
}

pub(super) fn bench(registry: &Registry, options: &Options, json: bool) -> Outcome {
    let pipeline = load(registry, &options.file, json)?;
    let begun = Instant::now();
    let mut store = Store::existing(&pipeline.store)?;
    let opened = begun.elapsed();
    let mut segments = Segments::open(&pipeline, registry, &store)?;
    let moment = moment(&pipeline, &store);
    let first = pass(&mut segments, &mut store, moment)?;
    let passes = (0..options.runs).map(|_| pass(&mut segments, &mut store, moment)).collect::<Result<_>>()?;
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

fn pass(segments: &mut Segments, store: &mut Store, moment: Moment) -> Result<Duration> {
    let everybody = store.identity.all();
    let begun = Instant::now();
    segments.answer(store, &everybody, moment)?;
    Ok(begun.elapsed())
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

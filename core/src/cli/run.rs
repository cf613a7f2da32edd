//! `kindred run`.

use super::{
    File, MakeEngine, Outcome, beside, load,
    out::say,
    print_json,
    progress::Progress,
    signals::{self, Signal},
    table,
};
use crate::{
    config::Engine,
    log, plan,
    plugin::registry::Registry,
    step::{self, summary::Summary},
};
use clap::Args;
use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use table::{count, number};

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: File,
    /// Run only what was planned: refuse, with exit code 3, if the pipeline has changed or the store has other commits
    /// since `kindred plan FILE` printed this id. Rows that sources bring since then are taken all the same.
    #[arg(long, value_name = "ID")]
    plan_id: Option<plan::Id>,
    /// No progress line.
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(registry: &Registry, options: &Options, json: bool, make: Option<MakeEngine>) -> Outcome {
    let pipeline = load(registry, &options.file, json)?;
    let engine = match (&pipeline.engine, make) {
        (Engine::Embedded, _) => None,
        (Engine::Distributed(options), Some(make)) => Some(make(options)?),
        (Engine::Distributed(_), None) => {
            return Err(beside::go_on_as(beside::CLUSTER, std::env::args_os().skip(1)).into());
        }
    };
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    // The first signal drains, the second ends at once: what was committed is safe either way.
    signals::on_signal(move |signal| match signal {
        Signal::Reload => log::warn("a run does not reload; `kindred serve` does"),
        Signal::Stop if seen.swap(true, Ordering::AcqRel) => std::process::exit(130),
        Signal::Stop => log::warn("stopping after this step; once more to stop at once"),
    })?;
    let progress = Progress::start(options.quiet || json);
    let how = step::How { plan: options.plan_id.as_ref(), engine };
    let summary = step::run_with(&pipeline, registry, &progress, &stop, how)?;
    drop(progress);
    if json {
        print_json(&summary);
    } else {
        print(&summary);
    }
    Ok(if summary.interrupted {
        ExitCode::from(130)
    } else if summary.destinations.values().any(|d| d.pending.is_some()) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

pub(super) fn print(summary: &Summary) {
    let sources = summary.sources.iter().map(|(name, s)| {
        let reasons: Vec<String> =
            s.reasons.iter().map(|(code, n)| format!("{code} {}", number(*n))).collect();
        let rejected = match s.rejected {
            0 => String::new(),
            n => format!("{} ({})", number(n), reasons.join(", ")),
        };
        let cells = [s.read, s.events, s.attributes, s.duplicates, s.suppressed].map(count);
        [name.clone()].into_iter().chain(cells).chain([rejected]).collect()
    });
    let header =
        ["source", ">rows read", ">events", ">attributes", ">duplicates", ">no consent", ">rejected"];
    table::print("", &header, sources.collect());
    let segments = summary.segments.iter().map(|(name, s)| {
        vec![name.clone(), s.title.clone(), number(s.size), count(s.entered), count(s.left)]
    });
    table::print("", &["segment", "", ">size", ">entered", ">left"], segments.collect());
    models(summary);
    let destinations = summary.destinations.iter().map(|(name, d)| {
        let held: Vec<String> = d.held_back.iter().map(|(s, n)| format!("{s} ({n})")).collect();
        let cells = [d.delivered, d.rejected].map(count);
        let pending = d.pending.clone().unwrap_or_default();
        let costs: Vec<String> = d
            .costs
            .iter()
            .map(|(source, cost)| format!("{source} {} {}", cost.amount, cost.currency))
            .collect();
        [name.clone()].into_iter().chain(cells).chain([costs.join(", "), held.join(", "), pending]).collect()
    });
    let header =
        ["destination", ">rows delivered", ">rejected", "bought data", "below minimum audience", "pending"];
    table::print("", &header, destinations.collect());
    let read: u64 = summary.sources.values().map(|s| s.read).sum();
    let rate = read as f64 / summary.seconds.max(1e-9);
    say!(
        "{}{} profiles, {} events in the store; {} rows in {:.2} s ({} rows/s), {} commits{}",
        if summary.interrupted { "interrupted; " } else { "" },
        number(summary.profiles),
        number(summary.events),
        number(read),
        summary.seconds,
        number(rate as u64),
        summary.steps,
        summary.as_of.as_ref().map(|t| format!(", as of {t}")).unwrap_or_default(),
    );
    let rejected: u64 = summary.sources.values().map(|s| s.rejected).sum();
    if rejected > 0 {
        say!(
            "see rejected rows with `kindred dead-letters list FILE`, send them once more with `… replay FILE`"
        );
    }
}

fn models(summary: &Summary) {
    for model in &summary.models {
        if let Some(problem) = &model.problem {
            say!("model of `{}`: {problem}\n", model.segment);
            continue;
        }
        let figures: Vec<String> = model.figures.iter().map(|(name, value)| figure(name, *value)).collect();
        let drivers = model.drivers.iter().map(|(name, weight)| vec![name.clone(), format!("{weight:+.3}")]);
        let title = format!("model of `{}`: {}", model.segment, figures.join(", "));
        table::print(&title, &["driver", ">weight"], drivers.collect());
    }
}

/// A count without decimals, a ratio with three.
fn figure(name: &str, value: f64) -> String {
    if value.fract() == 0.0 { format!("{name} {value}") } else { format!("{name} {value:.3}") }
}

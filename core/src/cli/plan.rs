//! `kindred plan`.

use super::{
    File, Outcome, load,
    out::say,
    paint::Paint,
    print_json,
    table::{self, count, number},
};
use crate::{
    plan::{self, Change, Plan, SegmentPlan, Warning},
    plugin::registry::Registry,
};
use clap::Args;
use serde_json::Value;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: File,
    /// Evaluate for another moment, RFC 3339; what destinations would get is for that moment, too.
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    as_of: Option<i64>,
}

pub(super) fn plan(registry: &Registry, options: &Options, json: bool) -> Outcome {
    let pipeline = load(registry, &options.file, json)?;
    let plan = plan::make(&pipeline, registry, options.as_of)?;
    if json {
        print_json(&plan);
    } else {
        print(&plan, &options.file);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(plan: &Plan, file: &File) {
    let paint = Paint::stdout();
    let name = paint.strong(&plan.pipeline);
    match (&plan.commits, &plan.as_of) {
        (Some(commits), Some(as_of)) => say!("{name} as of {as_of}, against {} commits\n", number(*commits)),
        _ => say!("{name}: there is no store yet, so everything is added and sizes are unknown\n"),
    }
    let header = ["", "segment", "plugin", ">now", ">entering", ">leaving", ">then", "because of"];
    table::print("", &header, plan.segments.iter().map(row).collect());
    plan.segments.iter().filter(|s| s.change == Change::Changed).for_each(|s| definition(paint, s));
    destinations(plan);
    warn(&plan.warnings);
    say!("plan {}: nothing was sent or changed; apply it with", paint.strong(&plan.plan_id.to_string()));
    let sets: String = file.set.iter().map(|set| format!(" --set {set}")).collect();
    say!("  kindred run {}{sets} --plan-id {}", file.file.display(), plan.plan_id);
}

/// What the operator should look at.
pub(super) fn warn(warnings: &[Warning]) {
    let paint = Paint::stdout();
    for warning in warnings {
        say!("{} {}", paint.unsure("warning:"), warning.message);
        say!("  {}", paint.faint(&format!("help: {}", warning.help)));
    }
    if !warnings.is_empty() {
        say!("");
    }
}

fn row(segment: &SegmentPlan) -> Vec<String> {
    let mark = match segment.change {
        Change::Added => "+ added",
        Change::Changed => "~ changed",
        Change::Removed => "- removed",
        Change::Unchanged => "",
    };
    let cells = match segment.size {
        Some(s) => [number(s.before), count(s.entering), count(s.leaving), number(s.after)],
        None => ["?", "?", "", "?"].map(str::to_owned),
    };
    let names = [mark.to_owned(), segment.segment.clone(), segment.plugin.clone()];
    names.into_iter().chain(cells).chain([segment.because.join(", ")]).collect()
}

/// What a changed definition was and is.
fn definition(paint: Paint, segment: &SegmentPlan) {
    say!("{}", paint.strong(&segment.segment));
    for (sign, value) in [('-', &segment.applied), ('+', &segment.config)] {
        let Some(value) = value else { continue };
        for line in written(value).lines().filter(|line| !line.trim().is_empty()) {
            let line = format!("  {sign} {line}");
            say!("{}", if sign == '-' { paint.bad(&line) } else { paint.good(&line) });
        }
    }
    say!("");
}

/// A rule as its text, other options as JSON.
fn written(config: &Value) -> String {
    match config.as_object().map(|options| (options.len(), &config["rule"])) {
        Some((1, Value::String(rule))) => rule.clone(),
        _ => format!("{config:#}"),
    }
}

fn destinations(plan: &Plan) {
    let mut rows = Vec::new();
    for destination in &plan.destinations {
        let name = &destination.destination;
        if destination.waiting > 0 {
            rows.push(vec![name.clone(), "a delivery that waits".into(), number(destination.waiting)]);
        }
        for audience in destination.audiences.iter().flatten() {
            let small = audience.held_back.map(|n| format!("below minimum ({})", number(n)));
            let cells = [count(audience.adds), count(audience.removes), small.unwrap_or_default()];
            rows.push([name.clone(), audience.segment.clone()].into_iter().chain(cells).collect());
        }
        if destination.audiences.is_none() {
            rows.push(vec![name.clone(), String::new(), "?".into(), "?".into()]);
        }
    }
    table::print("", &["destination", "segment", ">rows to add", ">to remove", ""], rows);
}

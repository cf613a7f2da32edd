//! `kindred serve`.

use super::{
    Failure, File, Outcome, load, print_json, run,
    signals::{self, Signal},
};
use crate::{
    log,
    plugin::registry::Registry,
    serve::{self, Signals},
};
use clap::Args;
use std::{process::ExitCode, time::Instant};

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: File,
    /// How log lines look: for people, or a JSON object a line.
    #[arg(long, value_enum, default_value_t = log::Format::Text)]
    log: log::Format,
}

pub(super) fn run(registry: &Registry, options: &Options, json: bool) -> Outcome {
    log::set_format(options.log);
    let pipeline = load(registry, &options.file, json)?;
    let signals = Signals::default();
    let heard = signals.clone();
    signals::on_signal(move |signal| match signal {
        Signal::Reload => heard.reload(),
        Signal::Stop if heard.stop() => std::process::exit(130),
        Signal::Stop => end_by(Instant::now() + serve::DRAIN),
    })?;
    let again = || match load(registry, &options.file, json) {
        Ok(pipeline) => Some(pipeline),
        Err(Failure::Usage(message)) => {
            log::error(&message);
            None
        }
        // Told already.
        Err(_) => None,
    };
    let ready = |address| log::info(&format!("serving; health, metrics and profiles at http://{address}"));
    let summary = serve::serve(pipeline, registry, &again, &signals, &ready)?;
    if json {
        print_json(&summary);
    } else {
        run::print(&summary);
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends the process then, if something hangs that keeps it from ending by itself.
fn end_by(until: Instant) {
    let end = move || {
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        log::error("the end took too long and is not waited for; what was committed or acknowledged is safe");
        std::process::exit(1);
    };
    if let Err(error) = std::thread::Builder::new().name("deadline".into()).spawn(end) {
        log::warn(&format!("there is no deadline for the end, for want of a thread: {error}"));
    }
}

//! Progress on standard error: a line with rows/s while work goes on, or with profiles while new definitions are evaluated
//! for everybody; nothing where nobody looks.

use crate::{log, step::Observer};
use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};
use std::{fmt::Write, io::IsTerminal, sync::Arc, time::Duration};

/// The progress line of a run.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Shown on a terminal only.
    pub fn start(quiet: bool) -> Self {
        let bar = if quiet || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            let bar = ProgressBar::new(0);
            count(&bar, "rows");
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        };
        let below = bar.clone();
        log::set_printer(Some(Arc::new(move |line| below.suspend(|| eprintln!("{line}")))));
        Self(bar)
    }
}

/// What the line counts.
fn count(bar: &ProgressBar, what: &str) {
    let line = format!(
        "{{spinner}} {{msg:<15}} {{human_pos}} {what}  {{rate}} {what}/s  {{wide_bar}} {{percent}}%  {{elapsed}}"
    );
    if let Ok(style) = ProgressStyle::with_template(&line) {
        let rate = |state: &ProgressState, out: &mut dyn Write| {
            // What cannot be written to a progress line is not worth an error.
            let _ = write!(out, "{}", HumanCount(state.per_sec() as u64));
        };
        bar.set_style(style.with_key("rate", rate));
    }
}

impl Observer for Progress {
    fn backfilled(&self, done: u64, all: u64) {
        count(&self.0, "profiles");
        self.0.set_message("new definitions");
        self.0.set_length(all);
        self.0.set_position(done);
    }

    fn rows(&self, read: u64, backlog: u64) {
        count(&self.0, "rows");
        self.0.set_length(read + backlog);
        self.0.set_position(read);
    }

    fn stage(&self, stage: &str) {
        self.0.set_message(stage.to_owned());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
        log::set_printer(None);
    }
}

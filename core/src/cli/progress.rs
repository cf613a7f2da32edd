//! Progress on standard error: a line with rows/s while work goes on, nothing where nobody looks.

use crate::step::Observer;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::IsTerminal,
    sync::{Mutex, PoisonError},
    time::Duration,
};

static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Prints above the progress line, if there is one.
pub fn above(print: impl FnOnce()) {
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match bar {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

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
            let line = "{spinner} {msg:<15} {human_pos} rows  {per_sec}  {wide_bar} {percent}%  {elapsed}";
            if let Ok(style) = ProgressStyle::with_template(line) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        };
        *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
        Self(bar)
    }
}

impl Observer for Progress {
    fn rows(&self, read: u64, backlog: u64) {
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
        *BAR.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

//! Duties of every kind about threads and files: what an instance takes, it gives back.

use super::{Duty, Subject, destination, enrichment, segmentation, source};
use kindred_plugin_api::Kind;
use std::time::{Duration, Instant};

/// Last, because a leak of an earlier duty would show here too.
pub(super) const DUTIES: &[Duty] = &[
    ("gives back what it took when it is closed", closed),
    ("gives back what it took when it is only dropped", dropped),
];

/// Lives that are counted. Other tests of the process come and go meanwhile, so that a few threads or files more
/// mean nothing; one a life would be many, and would stay.
const LIVES: usize = 100;
const NOISE: usize = 20;
const PATIENCE: Duration = Duration::from_secs(20);

fn closed(subject: &Subject<'_>) -> Result<(), String> {
    lives(subject, true)
}

fn dropped(subject: &Subject<'_>) -> Result<(), String> {
    lives(subject, false)
}

fn lives(subject: &Subject<'_>, close: bool) -> Result<(), String> {
    let life = match subject.plugin.manifest.kind {
        Kind::Source => source::life,
        Kind::Enrichment => enrichment::life,
        Kind::Segmentation => segmentation::life,
        Kind::Destination => destination::life,
    };
    // The first lives may fill caches and start a runtime that stays.
    (0..5).try_for_each(|_| life(subject, close))?;
    let before = taken();
    (0..LIVES).try_for_each(|_| life(subject, close))?;
    let until = Instant::now() + PATIENCE;
    loop {
        let after = taken();
        let pairs = [("threads", before.0, after.0), ("open files", before.1, after.1)];
        match pairs.into_iter().find(|(_, before, after)| *after > before + NOISE) {
            None => return Ok(()),
            Some((what, before, after)) if Instant::now() > until => {
                return Err(format!("{before} {what} before {LIVES} lives, {after} after"));
            }
            Some(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Threads and open files of this process.
fn taken() -> (usize, usize) {
    let count = |folder: &str| std::fs::read_dir(folder).map_or(0, Iterator::count);
    (count("/proc/self/task"), count("/proc/self/fd"))
}

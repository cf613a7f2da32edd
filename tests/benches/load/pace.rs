//! Work at a steady rate on several threads, and the distribution of what it took.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Calls `work` at the times that `rate` a second asks for, on so many threads, each with a state of its own. Each call
/// is told its number and when it was due: latency counts from there, also when the one before it was late.
pub(crate) fn steadily<S: Send>(
    states: Vec<S>,
    rate: f64,
    lasts: Duration,
    work: impl Fn(&mut S, u64, Instant) + Sync,
) -> Vec<S> {
    let (start, threads, work) = (Instant::now(), states.len() as u64, &work);
    let last = (rate * lasts.as_secs_f64()) as u64;
    thread::scope(|scope| {
        let run = |(first, mut state): (u64, S)| {
            scope.spawn(move || {
                for number in (first..last).step_by(threads as usize) {
                    let due = start + Duration::from_secs_f64(number as f64 / rate);
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    work(&mut state, number, due);
                }
                state
            })
        };
        let running: Vec<_> = (0..threads).zip(states).map(run).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}

/// How many, and their distribution in milliseconds.
pub(crate) fn distribution(what: &str, mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |share: f64| {
        let index = ((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1));
        took.get(index).map_or(0.0, |took| took.as_secs_f64() * 1e3)
    };
    let (p50, p99, most) = (at(0.5), at(0.99), at(1.0));
    format!("{what}: {} of them, p50 {p50:.1} ms, p99 {p99:.1} ms, longest {most:.1} ms", took.len())
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

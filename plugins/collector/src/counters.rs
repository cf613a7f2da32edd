//! Counts without a lock, handed to the host whenever it polls.

use kindred_plugin_api::Context;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted; the names are those of the metrics.
#[derive(Default)]
pub(crate) struct Counters {
    /// Events that were answered with success and are on disk.
    pub(crate) stored: AtomicU64,
    /// Events that were dropped for want of consent.
    pub(crate) denied: AtomicU64,
    /// Events of a batch that were refused and wait as rejects.
    pub(crate) flawed: AtomicU64,
    /// Requests that were refused, and events lost with them or sent again.
    pub(crate) refused: AtomicU64,
    /// Id cookies that were set.
    pub(crate) cookies: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, value: usize) {
    counter.fetch_add(value as u64, Ordering::Relaxed);
}

impl Counters {
    /// Hands over what was counted since the last time.
    pub(crate) fn flush(&self, context: &Context) {
        for (name, counter) in [
            ("collector_events_stored", &self.stored),
            ("collector_events_without_consent", &self.denied),
            ("collector_events_flawed", &self.flawed),
            ("collector_requests_refused", &self.refused),
            ("collector_cookies_set", &self.cookies),
        ] {
            let value = counter.swap(0, Ordering::Relaxed);
            if value > 0 {
                context.count(name, value as f64);
            }
        }
    }
}

//! How the server is doing: health for who watches it, figures for Prometheus. Names and counts, never an identifier.

use super::{told::Told, view::View};
use crate::{
    clock,
    step::{Run, Tended},
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};
use utoipa::ToSchema;

/// A loop that has not come round for so long is stuck.
const STUCK_US: i64 = 120_000_000;

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge>;

/// How the server is doing.
#[derive(Debug)]
pub(super) struct Status {
    pipeline: String,
    ready: AtomicBool,
    /// The store's disk is full.
    full: AtomicBool,
    /// When the loop last came round, microseconds since 1970.
    beat_us: AtomicI64,
    /// Failures one after the other, by source.
    sources: Mutex<BTreeMap<String, u32>>,
    /// Why a delivery waits, by destination.
    pending: Mutex<BTreeMap<String, String>>,
    figures: Figures,
    registry: Registry,
}

#[derive(Debug)]
struct Figures {
    rows: Counters,
    backlog: Gauge,
    up: Gauges,
    delivered: Counters,
    refused: Counters,
    waiting: Gauges,
    members: Gauges,
    profiles: Gauge,
    events: Gauge,
    full: Gauge,
    steps: Histogram,
    reloads: Counters,
    requests: Counters,
    took: Histogram,
}

/// The answer of `/readyz`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// Takes rows and answers.
    ready: bool,
    /// Name of the pipeline.
    pipeline: String,
    /// `open`, or `full` while nothing is taken in because its disk is full.
    store: &'static str,
    /// `running`, or how often it failed in a row, by source.
    sources: BTreeMap<String, String>,
    /// Why a delivery waits, by destination.
    pending: BTreeMap<String, String>,
}

impl Status {
    pub(super) fn new(pipeline: &str) -> Self {
        let mut registry = Registry::with_prefix("kindred");
        let figures = Figures::new(&mut registry);
        Self {
            pipeline: pipeline.to_owned(),
            ready: AtomicBool::new(false),
            full: AtomicBool::new(false),
            beat_us: AtomicI64::new(clock::now_us()),
            sources: Mutex::default(),
            pending: Mutex::default(),
            figures,
            registry,
        }
    }

    /// It takes rows now, or no more.
    pub(super) fn ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// The store's disk is full, or has room again; it takes rows once it is ready.
    pub(super) fn full(&self, full: bool) {
        self.ready(false);
        self.full.store(full, Ordering::Release);
        self.figures.full.set(i64::from(full));
    }

    /// It lives, although the loop does not come round.
    pub(super) fn beat(&self) {
        self.beat_us.store(clock::now_us(), Ordering::Release);
    }

    /// A step was made.
    pub(super) fn step(&self, took: Duration) {
        self.figures.steps.observe(took.as_secs_f64());
    }

    /// The file was read again, and taken over or not.
    pub(super) fn reloaded(&self, taken: bool) {
        let outcome = if taken { "taken" } else { "refused" };
        self.figures.reloads.get_or_create(&vec![("outcome", outcome.to_owned())]).inc();
    }

    /// A request was answered.
    pub(super) fn request(&self, route: &str, status: u16, took: Duration) {
        let labels = vec![("route", route.to_owned()), ("status", status.to_string())];
        self.figures.requests.get_or_create(&labels).inc();
        self.figures.took.observe(took.as_secs_f64());
    }

    /// The loop came round.
    pub(super) fn note(&self, run: &Run<'_>, tended: &[Tended]) {
        self.beat();
        let figures = &self.figures;
        figures.backlog.set(run.backlog().cast_signed());
        let (profiles, events) = run.stored();
        figures.profiles.set(profiles.cast_signed());
        figures.events.set(events.cast_signed());
        let mut failing = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        failing.clear();
        for (name, tended) in run.sources(tended) {
            failing.insert(name.to_owned(), tended.failures);
            figures.up.get_or_create(&source(name, None)).set(i64::from(tended.failures == 0));
        }
        let summary = run.summary();
        for (name, s) in &summary.sources {
            let rows = [
                ("event", s.events),
                ("attributes", s.attributes),
                ("duplicate", s.duplicates),
                ("no-consent", s.suppressed),
                ("rejected", s.rejected),
            ];
            rows.iter().for_each(|(what, rows)| raise(&figures.rows, source(name, Some(what)), *rows));
        }
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.clear();
        for (name, d) in &summary.destinations {
            let to = vec![("destination", name.clone())];
            raise(&figures.delivered, to.clone(), d.delivered);
            raise(&figures.refused, to.clone(), d.rejected);
            figures.waiting.get_or_create(&to).set(i64::from(d.pending.is_some()));
            pending.extend(d.pending.clone().map(|why| (name.clone(), why)));
        }
    }

    /// Whether the loop still comes round.
    pub(super) fn is_alive(&self) -> bool {
        clock::now_us() - self.beat_us.load(Ordering::Acquire) < STUCK_US
    }

    pub(super) fn readiness(&self) -> Readiness {
        let failing = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |(name, failures): (&String, &u32)| {
            let how = if *failures == 0 { "running".to_owned() } else { format!("failed {failures} times") };
            (name.clone(), how)
        };
        Readiness {
            ready: self.ready.load(Ordering::Acquire) && self.is_alive(),
            pipeline: self.pipeline.clone(),
            store: if self.full.load(Ordering::Acquire) { "full" } else { "open" },
            sources: failing.iter().map(told).collect(),
            pending: self.pending.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// All figures, in the text format of OpenMetrics.
    pub(super) fn metrics(&self, view: &View) -> String {
        for (name, members) in &view.members().of {
            let segment = vec![("segment", name.clone())];
            self.figures.members.get_or_create(&segment).set(members.len().cast_signed());
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl Readiness {
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }
}

fn source(name: &str, what: Option<&str>) -> Labels {
    [("source", name)]
        .into_iter()
        .chain(what.map(|what| ("outcome", what)))
        .map(|(k, v)| (k, v.to_owned()))
        .collect()
}

/// Brings a counter up to a total that another place counts.
fn raise(counters: &Counters, labels: Labels, total: u64) {
    let counter = counters.get_or_create(&labels);
    counter.inc_by(total.saturating_sub(counter.get()));
}

impl Figures {
    fn new(registry: &mut Registry) -> Self {
        registry.register_collector(Box::new(Told));
        let figures = Self {
            rows: Counters::default(),
            backlog: Gauge::default(),
            up: Gauges::default(),
            delivered: Counters::default(),
            refused: Counters::default(),
            waiting: Gauges::default(),
            members: Gauges::default(),
            profiles: Gauge::default(),
            events: Gauge::default(),
            full: Gauge::default(),
            steps: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            reloads: Counters::default(),
            requests: Counters::default(),
            took: Histogram::new(exponential_buckets(0.000_05, 2.0, 16)),
        };
        registry.register("source_rows", "Rows by what became of them", figures.rows.clone());
        registry.register("source_backlog_rows", "Rows known to wait in sources", figures.backlog.clone());
        registry.register("source_up", "Whether a source works", figures.up.clone());
        registry.register("destination_rows", "Rows acknowledged by destinations", figures.delivered.clone());
        registry.register("destination_rejected", "Rows refused by destinations", figures.refused.clone());
        registry.register("destination_pending", "Whether a delivery waits", figures.waiting.clone());
        registry.register("segment_members", "Profiles in a segment", figures.members.clone());
        registry.register("profiles", "Profiles in the store", figures.profiles.clone());
        registry.register("events", "Events in the store", figures.events.clone());
        registry.register("store_full", "Whether the store's disk is full", figures.full.clone());
        registry.register(
            "step_seconds",
            "From the first row of a step to its commit",
            figures.steps.clone(),
        );
        registry.register("reloads", "Times that the file was read again", figures.reloads.clone());
        registry.register("http_requests", "Requests answered", figures.requests.clone());
        registry.register("http_request_seconds", "From request to answer", figures.took.clone());
        figures
    }
}

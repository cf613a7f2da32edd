//! The step: a bounded number of batches from each source, carried through to the outbox, committed once. `run` repeats
//! it until the sources end, then settles: models, deliveries.
//!
//! A step takes its batches in the order of the sources' names and waits for each, so that the same files give the
//! same steps however fast the threads are.

mod agree;
pub mod bell;
pub mod bound;
mod cells;
pub mod chain;
mod content;
mod contract;
pub mod drill;
mod exact;
mod gate;
pub mod gathering;
pub mod intake;
pub mod load;
mod open;
mod prove;
pub mod replay;
pub mod schema;
mod serve;
mod steps;
pub mod summary;
mod threads;

use crate::{
    Result, activate, clock,
    config::{Clock, Pipeline},
    plan,
    plugin::{self, registry::Registry},
    profile::batch::Moment,
    segment::{Segments, applied::Record, bitmap, engine::Engine},
    store::{Store, tables},
};
pub(crate) use open::Opening;
pub(crate) use prove::Schemas;
pub(crate) use serve::Tended;

use bound::Bound;
use chain::Chain;
use roaring::RoaringBitmap;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use summary::{DestinationSummary, SegmentSummary, Summary};

const WAITING: &str = "waiting-for-evaluation";
/// Receipts of a destination that a summary has, the latest ones.
const RECEIPTS: usize = 1000;

/// Told how far a run is.
pub trait Observer {
    /// Rows read so far, and rows known to wait.
    fn rows(&self, read: u64, backlog: u64);
    /// What the run does now: `reading`, `fitting models`, `delivering`.
    fn stage(&self, stage: &str);
    /// Profiles that were asked about new definitions so far, and how many are.
    fn backfilled(&self, _done: u64, _all: u64) {}
}

/// Runs a pipeline until its sources end or `stop` is set; then everything read is committed.
///
/// # Errors
/// When a plugin or the store fails; what was committed before stays.
pub fn run(
    pipeline: &Pipeline,
    registry: &Registry,
    observer: &dyn Observer,
    stop: &Arc<AtomicBool>,
) -> Result<Summary> {
    run_with(pipeline, registry, observer, stop, How::default())
}

/// How a run differs from an ordinary one.
#[derive(Debug, Default)]
pub struct How<'a> {
    /// It must be what was planned.
    pub plan: Option<&'a plan::Id>,
    /// It does full passes.
    pub engine: Option<Box<dyn Engine>>,
}

/// The same, as it is said.
///
/// # Errors
/// [`crate::Error::Moved`] before anything is read or sent, when the world has moved since the plan; else as [`run`], and when
/// the engine fails.
pub fn run_with(
    pipeline: &Pipeline,
    registry: &Registry,
    observer: &dyn Observer,
    stop: &Arc<AtomicBool>,
    how: How<'_>,
) -> Result<Summary> {
    let begun = Instant::now();
    let store = Store::open(&pipeline.store)?;
    if let Some(planned) = how.plan {
        planned.must_be(&plan::Id::of(pipeline, registry, Some(&store))?)?;
    }
    let mut run = Run::open(pipeline, registry, observer, store)?;
    run.segments.set_engine(how.engine);
    let interrupted = run.drain(stop)?;
    if !interrupted {
        run.settle()?;
        run.deliver()?;
    }
    let (summary, store) = run.close(begun, interrupted)?;
    store.close()?;
    Ok(summary)
}

pub(crate) struct Run<'a> {
    pipeline: &'a Pipeline,
    registry: &'a Registry,
    observer: &'a dyn Observer,
    store: Store,
    chains: Vec<(Chain, Bound)>,
    segments: Segments,
    record: Record,
    before: BTreeMap<String, RoaringBitmap>,
    summary: Summary,
    first_commit: u64,
    backlog: BTreeMap<String, u64>,
    /// Touched and not evaluated yet; part of each commit.
    waiting: RoaringBitmap,
    /// Rounds since the last evaluation.
    behind: u32,
    /// Of each chain, where it is once the last commit is durable.
    positions: BTreeMap<usize, Vec<u8>>,
    /// Rows that may wait behind a step that evaluates what it touched.
    patience: u64,
}

impl<'a> Run<'a> {
    /// Steps until every source ended; true when it was stopped before.
    fn drain(&mut self, stop: &AtomicBool) -> Result<bool> {
        self.observer.stage("reading");
        let mut running = vec![true; self.chains.len()];
        while running.contains(&true) {
            if stop.load(Ordering::Acquire) {
                self.settle_commits()?;
                return Ok(true);
            }
            let mut step = self.begin();
            self.read(&mut running, &mut step)?;
            if step.rounds > 0 {
                self.finish(step)?;
            }
        }
        self.settle_commits()?;
        self.store.compact(&self.moment().kept())?;
        // Definitions and due times move without rows, too.
        let due = self.segments.due(&self.store, self.moment().as_of_us)?;
        if self.segments.is_stale() || !due.is_empty() || !self.waiting.is_empty() {
            let step = self.begin();
            self.finish(step)?;
        }
        while self.segments.is_redefined() {
            if stop.load(Ordering::Acquire) {
                return Ok(true);
            }
            let step = self.begin();
            self.finish(step)?;
        }
        Ok(false)
    }

    /// Sends what an earlier run froze and could not deliver.
    pub(crate) fn resend(&mut self) -> Result<()> {
        for destination in &self.pipeline.destinations {
            let sent = activate::send_pending(&mut self.store, self.pipeline, self.registry, destination)?;
            self.note(&destination.name, sent);
        }
        Ok(())
    }

    /// Fits models and evaluates what builds on them.
    pub(crate) fn settle(&mut self) -> Result<()> {
        self.observer.stage("fitting models");
        let mut change = self.store.tables.change();
        let moment = self.moment();
        if self.segments.settle(&mut self.store, &mut change, &moment)? {
            self.segments.save(&self.store, &mut change, moment.as_of_us)?;
            self.record.note(&self.store, &mut change, &self.segments, moment.as_of_us)?;
            self.store.commit(change, Vec::new())?;
        }
        Ok(())
    }

    /// Sends what an earlier run froze, as far as nobody has revoked since, freezes what each destination should get, and
    /// sends that.
    fn deliver(&mut self) -> Result<()> {
        self.observer.stage("delivering");
        self.resend()?;
        self.cut(|_| false)?;
        self.resend()
    }

    /// Freezes what each destination should get, in one commit; what waits and was revoked is withdrawn before, unless it
    /// is under way.
    pub(crate) fn cut(&mut self, under_way: impl Fn(&str) -> bool) -> Result<()> {
        for destination in self.pipeline.destinations.iter().filter(|to| !under_way(&to.name)) {
            activate::withdraw(&mut self.store, &destination.name)?;
        }
        let as_of_us = self.moment().as_of_us;
        let mut change = self.store.tables.change();
        let mut rows = 0;
        for destination in &self.pipeline.destinations {
            let members = self.segments.members();
            let to = (destination, &self.pipeline.sources[..]);
            let cut = activate::cut(&mut self.store, &mut change, to, members, as_of_us)?;
            rows += cut.rows;
            self.summary.destinations.entry(destination.name.clone()).or_default().held_back =
                cut.held_back.into_iter().collect();
        }
        if rows > 0 {
            self.store.commit(change, Vec::new())?;
        }
        Ok(())
    }

    pub(crate) fn note(&mut self, destination: &str, sent: Option<activate::Sent>) {
        let summary: &mut DestinationSummary =
            self.summary.destinations.entry(destination.to_owned()).or_default();
        let Some(sent) = sent else { return };
        for (segment, adds) in sent.adds.iter().filter(|(_, adds)| **adds > 0) {
            for party in self.pipeline.parties(segment) {
                *summary.parties.entry(party).or_default() += adds;
            }
        }
        for source in &self.pipeline.sources {
            let Some(price) = &source.price else { continue };
            let used = sent.adds.iter().filter(|(segment, _)| self.pipeline.depends(segment, &source.name));
            let used: u64 = used.map(|(_, adds)| adds).sum();
            if used > 0 {
                let cost = summary.costs.entry(source.name.clone()).or_default();
                cost.members += used;
                (cost.amount, cost.currency) = (price.of(cost.members), price.currency.clone());
                let (name, currency) = (&source.name, &price.currency);
                let receipt = format!("{used} members with data of `{name}`: {} {currency}", price.of(used));
                summary.receipts.push(receipt);
            }
        }
        summary.delivered += sent.rows;
        summary.rejected += sent.rejected;
        summary.receipts.extend(sent.receipts);
        // A server delivers without an end.
        let old = summary.receipts.len().saturating_sub(RECEIPTS);
        summary.receipts.drain(..old);
        summary.pending = sent.pending;
    }

    pub(crate) fn moment(&self) -> Moment {
        moment(self.pipeline, &self.store)
    }

    /// What it did, and the store back.
    pub(crate) fn close(mut self, begun: Instant, interrupted: bool) -> Result<(Summary, Store)> {
        plugin::cancel_all();
        for (chain, _) in self.chains.drain(..) {
            chain.stop();
        }
        let mut summary = self.summary;
        for segment in &self.pipeline.segments {
            let empty = RoaringBitmap::new();
            let now = self.segments.members().get(&segment.name).unwrap_or(&empty);
            let before = self.before.get(&segment.name).unwrap_or(&empty);
            summary.segments.insert(
                segment.name.clone(),
                SegmentSummary {
                    title: segment.title.clone(),
                    size: now.len(),
                    entered: (now - before).len(),
                    left: (before - now).len(),
                },
            );
        }
        summary.models = self.segments.reports(&self.store)?;
        summary.as_of = text(moment(self.pipeline, &self.store).as_of_us);
        summary.seconds = begun.elapsed().as_secs_f64();
        summary.interrupted = interrupted;
        summary.steps = self.store.totals.commits - self.first_commit;
        summary.profiles = self.store.identity.len() as u64;
        summary.events = self.store.totals.events;
        Ok((summary, self.store))
    }
}

/// The moment that answers are for, by the pipeline's clock, and what counts at it. Of a source that left the file it is what
/// was said of it last.
pub fn moment(pipeline: &Pipeline, store: &Store) -> Moment {
    let as_of_us = match pipeline.clock {
        Clock::Fixed(time) => time,
        // An event from the future does not move everybody there.
        Clock::Events if store.totals.latest_us > i64::MIN => store.totals.latest_us.min(clock::now_us()),
        Clock::Wall | Clock::Events => clock::now_us(),
    };
    let mut moment = Moment::of(pipeline, as_of_us);
    for (source, ttl_us) in store.ages.ttl_us() {
        if pipeline.sources.iter().all(|known| known.name != *source) {
            moment.ttl_us.insert(source.clone(), *ttl_us);
        }
    }
    moment
}

/// Profiles that were touched and not evaluated yet, because a run ended while it caught up.
///
/// # Errors
/// When the database fails.
pub fn waiting(store: &Store) -> Result<RoaringBitmap> {
    bitmap(&tables::read::<Vec<u8>>(&store.tables.meta, WAITING)?.unwrap_or_default())
}

/// A time as RFC 3339.
pub fn text(time_us: i64) -> Option<String> {
    jiff::Timestamp::from_microsecond(time_us).ok().map(|t| t.to_string())
}

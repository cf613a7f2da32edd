//! Steps without an end: a step takes whatever is there, and a source that ends or fails is opened again later. What a
//! step does with its rows is what a step of a run does.

use super::{
    Opening, Run, Schemas,
    bell::Bell,
    bound::Bound,
    chain::{Carried, Chain, PATIENCE},
    open::start,
    steps::{ROUNDS, Step},
};
use crate::{
    Result, activate,
    activate::{Courier, Sent},
    config::{Destination, Pipeline},
    log, plugin,
    profile::batch::Moment,
    segment::Segments,
    store::Store,
};
use kindred_plugin_api::{Fault, FaultKind, Flushed};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TryRecvError;

/// First and longest wait before a source that failed is opened again.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How a source is doing.
#[derive(Debug, Default)]
pub(crate) struct Tended {
    /// Opened again then; none while it runs.
    again: Option<Instant>,
    /// Failures one after the other.
    pub(crate) failures: u32,
}

impl Run<'_> {
    /// Makes ready to be served: rows that wait behind a step do not keep it from evaluating, unless they are many.
    pub(crate) fn serve(&mut self) -> Vec<Tended> {
        self.patience = self.pipeline.step_rows as u64;
        let tended = |(chain, _): &(Chain, Bound)| match chain.is_closed() {
            true => Tended { again: Some(Instant::now() + FIRST_WAIT), failures: 1 },
            false => Tended::default(),
        };
        self.chains.iter().map(tended).collect()
    }

    /// One step of what is there, if anything is; true when something was committed.
    pub(crate) fn turn(&mut self, tended: &mut [Tended], look_again: Duration) -> Result<bool> {
        let mut step = self.begin();
        self.take_ready(&mut step, tended, look_again)?;
        let due = !self.segments.due(&self.store, self.moment().as_of_us)?.is_empty();
        // Some may still wait for their evaluation, because a run ended or a backlog grew and vanished.
        let waits = !self.waiting.is_empty() && self.backlog.values().sum::<u64>() <= self.patience;
        let turned = step.rounds > 0 || due || waits || self.segments.is_stale();
        if turned {
            self.finish(step)?;
        }
        Ok(turned)
    }

    fn take_ready(&mut self, step: &mut Step, tended: &mut [Tended], look_again: Duration) -> Result<()> {
        let mut more = true;
        while std::mem::take(&mut more) && step.rounds < ROUNDS {
            for (at, tended) in tended.iter_mut().enumerate() {
                match self.chains[at].0.out.try_recv() {
                    Ok(Carried::Rows(load)) => {
                        (more, tended.failures) = (true, 0);
                        self.take(step, at, load)?;
                    }
                    Ok(Carried::End) => self.pause(tended, at, look_again),
                    Ok(Carried::Failed { stage, instance, fault }) => {
                        tended.failures += 1;
                        let wait = back_off(tended.failures, &fault);
                        let again = format!("opened again in {} s", wait.as_secs_f32());
                        log::error(&format!("{stage} `{instance}`: {fault}; {again}"));
                        self.pause(tended, at, wait);
                    }
                    Ok(Carried::Idle) | Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
                }
            }
            step.rounds += u32::from(more);
        }
        Ok(())
    }

    fn pause(&mut self, tended: &mut Tended, at: usize, wait: Duration) {
        self.backlog.remove(&self.chains[at].0.source.name);
        tended.again = Some(Instant::now() + wait);
    }

    /// Opens sources again whose time has come, behind what is committed.
    pub(crate) fn open_again(&mut self, tended: &mut [Tended], bell: &Bell) -> Result<()> {
        for (at, tended) in tended.iter_mut().enumerate() {
            if tended.again.is_none_or(|again| again > Instant::now()) {
                continue;
            }
            self.settle_commits()?;
            match self.reopen(at, bell) {
                Ok(()) => tended.again = None,
                Err(error) => {
                    tended.failures += 1;
                    let wait = back_off(tended.failures, &Fault::transient("open", ""));
                    log::error(&format!("{error}; tried again in {} s", wait.as_secs_f32()));
                    tended.again = Some(Instant::now() + wait);
                }
            }
        }
        Ok(())
    }

    /// Ends what is left of a chain, then opens it again: two of them would want the same port, spool or group.
    fn reopen(&mut self, at: usize, bell: &Bell) -> Result<()> {
        let (chain, bound) = &mut self.chains[at];
        chain.close();
        let source = chain.source.clone();
        let opened = start(self.pipeline, self.registry, &source, &self.store, Some(bell))?;
        match Bound::new(&mut self.store, &source, &opened.schema, &self.pipeline.raw_identifiers) {
            Ok(agreed) => {
                (*chain, *bound) = (opened, agreed);
                // It may have widened what others bring, too.
                for (chain, bound) in &mut self.chains {
                    let raw = &self.pipeline.raw_identifiers;
                    *bound = Bound::new(&mut self.store, &chain.source, &chain.schema, raw)?;
                }
                Ok(())
            }
            Err(error) => {
                opened.stop();
                Err(error)
            }
        }
    }

    /// Sources that run, with those that are paused.
    pub(crate) fn sources<'t>(&self, tended: &'t [Tended]) -> impl Iterator<Item = (&str, &'t Tended)> {
        self.chains.iter().map(|(chain, _)| chain.source.name.as_str()).zip(tended)
    }

    /// Asks all sources to end, and takes what they still hand out, until they have ended or the time is over.
    pub(crate) fn run_dry(&mut self, tended: &mut [Tended], bell: &Bell, until: Instant) -> Result<()> {
        self.chains.iter().for_each(|(chain, _)| chain.cancel());
        while tended.iter().any(|tended| tended.again.is_none()) && Instant::now() < until {
            if !self.turn(tended, LONGEST_WAIT)? {
                bell.wait(until.saturating_duration_since(Instant::now()).min(Duration::from_millis(100)));
            }
        }
        self.settle_commits()
    }

    /// Ends all sources. Plugins that hang are left behind then.
    pub(crate) fn end_chains(&mut self, until: Instant) {
        plugin::cancel_all();
        self.chains.drain(..).for_each(|(chain, _)| chain.stop_by(until));
    }

    /// Gives up what is not committed, and the store, which is to be opened again from the last commit. Answers what the
    /// sources bring.
    pub(crate) fn give_up(mut self, until: Instant) -> Schemas {
        let brings = |(chain, _): &(Chain, Bound)| (chain.source.name.clone(), chain.schema.clone());
        let known = self.chains.iter().map(brings).collect();
        self.end_chains(until);
        known
    }

    /// What a new pipeline begins with: the store, and the chains that it goes on with; the others are ended.
    pub(crate) fn part(mut self, next: &Pipeline, tended: &[Tended], known: Schemas) -> Result<Opening> {
        self.settle_commits()?;
        let (mut running, until) = (Vec::new(), Instant::now() + PATIENCE);
        for ((chain, _), tended) in self.chains.drain(..).zip(tended) {
            if chain.is_of(next) && tended.again.is_none() && self.pipeline.step_rows == next.step_rows {
                running.push(chain);
            } else {
                chain.stop_by(until);
            }
        }
        Ok(Opening { store: self.store, running, known })
    }

    /// Sets out with what waits at a destination.
    pub(crate) fn send(&mut self, destination: &Destination, bell: &Bell) -> Result<Option<Courier>> {
        let bell = bell.clone();
        Courier::start(&mut self.store, self.pipeline, self.registry, destination, move || bell.ring())
    }

    /// A courier is back with an acknowledgement.
    pub(crate) fn sent(
        &mut self,
        destination: &Destination,
        (waiting, flushed): (activate::Pending, Flushed),
    ) -> Result<Sent> {
        activate::acknowledge(&mut self.store, destination, waiting, flushed)
    }

    /// Merges files of events where that is worth it.
    pub(crate) fn compact(&mut self) -> Result<()> {
        let kept = self.moment().kept();
        self.store.compact(&kept)
    }

    /// The store, the segments and the moment, for who asks between two steps.
    pub(crate) fn look(&mut self) -> (&mut Store, &mut Segments, Moment) {
        let moment = self.moment();
        (&mut self.store, &mut self.segments, moment)
    }

    /// Rows known to wait in sources.
    pub(crate) fn backlog(&self) -> u64 {
        self.backlog.values().sum()
    }

    /// Profiles and events in the store.
    pub(crate) fn stored(&self) -> (u64, u64) {
        (self.store.identity.len() as u64, self.store.totals.events)
    }

    /// Figures so far.
    pub(crate) fn summary(&self) -> &super::summary::Summary {
        &self.summary
    }
}

fn back_off(failures: u32, fault: &Fault) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << failures.min(16).saturating_sub(1));
    let asked = Duration::from_millis(fault.retry_after_ms);
    match fault.kind {
        FaultKind::Transient => doubled.max(asked).min(LONGEST_WAIT),
        // What is not said to pass by itself waits for somebody.
        _ => LONGEST_WAIT,
    }
}

//! One step: batches are taken until nothing waits or it is large enough, then everything that they cause is committed
//! once.

use super::{Run, WAITING, chain::Carried, gathering::Gathering, load::Load, summary::SourceSummary};
use crate::{
    Error, Result,
    profile::batch::Moment,
    segment::bytes,
    store::{dead_letters::Refused, tables},
};
use arrow::array::RecordBatch;
use kindred_plugin_api::Reject;
use std::collections::BTreeMap;

/// Batches that a step takes from a source while more wait behind them: a commit costs much the same for few rows as
/// for many, and files that are large from the start are merged less often.
pub(super) const ROUNDS: u32 = 8;
/// Rounds of batches that evaluation may be put off for while a source catches up.
const CATCH_UP: u32 = 64;

/// A step in the making.
pub(crate) struct Step {
    pub(super) change: tables::Change,
    pub(super) gathering: Gathering,
    /// Rows that go no further: their source, why, and what it handed out.
    refused: Vec<(String, Vec<Refused>, RecordBatch)>,
    /// Of each chain, behind what was taken from it.
    positions: BTreeMap<usize, Vec<u8>>,
    /// Rounds of batches that were taken.
    pub(super) rounds: u32,
}

impl Run<'_> {
    pub(super) fn begin(&self) -> Step {
        Step {
            change: self.store.tables.change(),
            gathering: Gathering::default(),
            refused: Vec::new(),
            positions: BTreeMap::new(),
            rounds: 0,
        }
    }

    /// A batch from each source, and further ones from those where more wait. Which batches a step takes depends on what
    /// the sources hold and on nothing else.
    pub(super) fn read(&mut self, running: &mut [bool], step: &mut Step) -> Result<()> {
        let mut waits = running.to_vec();
        while waits.contains(&true) && step.rounds < ROUNDS {
            for at in 0..self.chains.len() {
                if !std::mem::take(&mut waits[at]) {
                    continue;
                }
                match self.chains[at].0.out.blocking_recv() {
                    Some(Carried::Rows(load)) => {
                        waits[at] = load.backlog > 0;
                        self.take(step, at, load)?;
                    }
                    Some(Carried::Idle) => {}
                    Some(Carried::End) | None => {
                        running[at] = false;
                        self.backlog.remove(&self.chains[at].0.source.name);
                    }
                    Some(Carried::Failed { stage, instance, fault }) => {
                        return Err(Error::plugin(stage, &instance)(fault));
                    }
                }
            }
            if step.positions.is_empty() {
                break;
            }
            step.rounds += 1;
        }
        Ok(())
    }

    /// Everything that the step's rows cause, committed once. While more rows wait, the commit goes on behind the next
    /// step.
    pub(super) fn finish(&mut self, step: Step) -> Result<()> {
        let Step { mut change, mut gathering, refused, positions, rounds } = step;
        self.store.deny(&gathering.denied)?;
        for (source, mut refused, rows) in refused {
            for denied in
                refused.iter_mut().filter(|r| r.who.iter().any(|who| gathering.denied.contains(who)))
            {
                denied.keep = false;
                denied.reject.payload.clear();
            }
            self.store.dead_letter(&mut change, &source, &refused, &rows)?;
        }
        for (at, position) in &positions {
            change.put_bytes(&self.store.tables.positions, &self.chains[*at].0.source.name, position);
        }
        let events = gathering.segment(&self.store.columns)?;
        if let Some(segment) = &events {
            self.store.totals.latest_us = self.store.totals.latest_us.max(segment.times_us().1);
        }
        self.store.totals.changes += u64::from(gathering.changed);
        let moment = self.moment();
        self.segments.forget(&self.store, &gathering.merged)?;
        // Events must be in place before they are evaluated; they count only once the commit names them.
        let staged = self.store.stage(&mut change, events, &moment.kept())?;
        self.behind += rounds;
        self.evaluate(&mut change, &gathering, &moment)?;
        self.segments.save(&self.store, &mut change, moment.as_of_us)?;
        self.record.note(&self.store, &mut change, &self.segments, moment.as_of_us)?;
        self.store.begin_commit(change, staged)?;
        self.acknowledge();
        self.positions = positions;
        if self.backlog.values().sum::<u64>() <= self.patience {
            self.settle_commits()?;
        }
        match self.segments.backfilled() {
            Some((done, all)) => self.observer.backfilled(done, all),
            None => {
                let read = self.summary.sources.values().map(|s| s.read).sum();
                self.observer.rows(read, self.backlog.values().sum());
            }
        }
        Ok(())
    }

    /// Waits until all steps are durable, and tells the sources.
    pub(crate) fn settle_commits(&mut self) -> Result<()> {
        self.store.settle()?;
        self.acknowledge();
        Ok(())
    }

    /// Tells the sources which positions are durable.
    fn acknowledge(&mut self) {
        for (at, position) in std::mem::take(&mut self.positions) {
            self.chains[at].0.ack(position);
        }
    }

    /// Evaluates who was touched or is due. While a source has more rows waiting than a step takes, evaluation is put
    /// off, because its answer would be replaced by that of the next step before anybody reads it.
    fn evaluate(
        &mut self,
        change: &mut tables::Change,
        gathering: &Gathering,
        moment: &Moment,
    ) -> Result<()> {
        self.waiting -= &gathering.merged;
        self.waiting |= &gathering.touched;
        // What this step brought is not committed yet, and others cannot see it.
        let too_early = self.segments.needs_commit() && (gathering.changed || !gathering.touched.is_empty());
        if !too_early && (self.backlog.values().sum::<u64>() <= self.patience || self.behind >= CATCH_UP) {
            if self.segments.is_stale() {
                // A full pass elsewhere, and the record of a definition, go by what is committed.
                self.store.settle()?;
            }
            let profiles =
                std::mem::take(&mut self.waiting) | self.segments.due(&self.store, moment.as_of_us)?;
            self.segments.evaluate(&mut self.store, &profiles, moment)?;
            self.behind = 0;
        }
        change.put(&self.store.tables.meta, WAITING, &bytes(&self.waiting))
    }

    /// One load: its rejects into the dead letters, its rows through the gate.
    pub(super) fn take(&mut self, step: &mut Step, at: usize, load: Load) -> Result<()> {
        let name = self.chains[at].0.source.name.clone();
        let mut refused = self.take_rows(step, at, &load)?;
        refused.extend(load.rejects.into_iter().map(|reject| Refused::unkept("source", &name, reject)));
        if !refused.is_empty() {
            step.refused.push((name.clone(), refused, load.source));
        }
        self.backlog.insert(name, load.backlog);
        step.positions.insert(at, load.position);
        Ok(())
    }

    /// The rows of a load through the gate; answers those that go no further.
    pub(super) fn take_rows(&mut self, step: &mut Step, at: usize, load: &Load) -> Result<Vec<Refused>> {
        let (chain, bound) = &self.chains[at];
        let mut refused = Vec::new();
        let taken = bound.take(&mut self.store, load, &mut step.gathering, &mut refused)?;
        let summary = self.summary.sources.entry(chain.source.name.clone()).or_default();
        summary.read += load.read();
        summary.events += taken.events;
        summary.attributes += taken.attributes;
        summary.duplicates += taken.duplicates;
        summary.suppressed += taken.suppressed;
        count(summary, load.rejects.iter().chain(refused.iter().map(|refused| &refused.reject)));
        Ok(refused)
    }
}

fn count<'a>(summary: &mut SourceSummary, rejects: impl Iterator<Item = &'a Reject>) {
    for reject in rejects {
        summary.rejected += 1;
        *summary.reasons.entry(reject.code.clone()).or_default() += 1;
    }
}

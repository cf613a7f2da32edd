//! One pipeline is served: a step of what is there, questions, deliveries, fitting when it is time, round after round.

use super::{CLOSE, DELIVER, Ended, RUN_DRY, Reloaded, Server, deliveries::Deliveries, full, reload::Proved};
use crate::{
    Result,
    config::{Clock, Pipeline},
    log,
    step::{Observer, Opening, Run, Tended},
};
use std::time::{Duration, Instant};

/// Longest sleep of the loop: due times are looked for so often at least.
const NAP: Duration = Duration::from_millis(200);
/// After a step the next one is waited for so many times as long as it took, and at most so long: what comes meanwhile is
/// one step, which costs about as much as one of a few events, and the processors are free for those who collect.
const RESTS: u32 = 3;
const REST: Duration = Duration::from_millis(25);
/// Between two looks at whether files of events should be merged.
const COMPACT: Duration = Duration::from_secs(60);

/// How the sources of a pipeline are doing, and its deliveries.
struct Tending {
    tended: Vec<Tended>,
    deliveries: Deliveries,
}

/// When what is done now and then is done next.
struct Timetable {
    deliver: Instant,
    fit: Instant,
    compact: Instant,
}

impl Server<'_> {
    /// One pipeline, until the end or until another one takes its place, or until its store's disk was full.
    pub(super) fn tend(&self, pipeline: &Pipeline, opening: Opening, begun: Instant) -> Result<Ended> {
        let bell = &self.signals.bell;
        let mut run = Run::open_with(pipeline, self.registry, &Silent, opening, Some(bell))?;
        let mut tending = Tending { tended: run.serve(), deliveries: Deliveries::default() };
        match self.rounds(&mut run, pipeline, &mut tending) {
            Ok(None) => self.end(run, pipeline, tending, begun),
            Ok(Some(Proved { next, listener, known })) => {
                let opening = run.part(&next, &tending.tended, known)?;
                Ok(Ended::Reloaded(Box::new(Reloaded { next, listener, opening })))
            }
            Err(error) if full::says(&error, &pipeline.store) => {
                self.wait_for_room(&pipeline.store, &error);
                tending.deliveries.give_up(bell, Instant::now() + RUN_DRY);
                let known = run.give_up(Instant::now() + RUN_DRY);
                match self.signals.stopped() {
                    Some(_) => Err(error),
                    None => Ok(Ended::Full(known)),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Rounds until it is to end; or until another pipeline, which would open, is to take its place.
    fn rounds(
        &self,
        run: &mut Run<'_>,
        pipeline: &Pipeline,
        Tending { tended, deliveries }: &mut Tending,
    ) -> Result<Option<Proved>> {
        let bell = &self.signals.bell;
        // Definitions may be new, and a start is as good a time as any to fit what was not.
        run.turn(tended, wait(pipeline.serve.look_every_ms))?;
        run.settle()?;
        self.reset(run, pipeline.clock)?;
        self.status.ready(true);
        let now = Instant::now();
        let mut next = Timetable {
            deliver: now + wait(pipeline.serve.deliver_every_ms).min(Duration::from_secs(1)),
            fit: now + wait(pipeline.serve.fit_every_ms),
            compact: now + COMPACT,
        };
        while self.signals.stopped().is_none() {
            if self.signals.reloads()
                && let Some(proved) = self.reload(run, pipeline)
            {
                deliveries.finish(run, &pipeline.destinations, (bell, Instant::now() + RUN_DRY))?;
                run.settle_commits()?;
                return Ok(Some(proved));
            }
            let turned = self.go_round(run, pipeline, tended)?;
            deliveries.tend(run, &pipeline.destinations, bell)?;
            self.now_and_then(run, pipeline, deliveries, &mut next)?;
            self.status.note(run, tended);
            match turned {
                // Who is behind goes on at once.
                Some(took) if run.backlog() == 0 => std::thread::sleep((took * RESTS).min(REST)),
                Some(_) => {}
                None => bell.wait(NAP),
            }
        }
        Ok(None)
    }

    /// A step, if there is anything for one, then who asks; answers how long the step took.
    fn go_round(
        &self,
        run: &mut Run<'_>,
        pipeline: &Pipeline,
        tended: &mut [Tended],
    ) -> Result<Option<Duration>> {
        let begun = Instant::now();
        let turned = run.turn(tended, wait(pipeline.serve.look_every_ms))?.then(|| begun.elapsed());
        if let Some(took) = turned {
            self.status.step(took);
            self.refresh(run);
        }
        run.open_again(tended, &self.signals.bell)?;
        for question in self.questions.try_iter() {
            question.answer(run.look());
        }
        Ok(turned)
    }

    fn now_and_then(
        &self,
        run: &mut Run<'_>,
        pipeline: &Pipeline,
        deliveries: &mut Deliveries,
        next: &mut Timetable,
    ) -> Result<()> {
        let now = Instant::now();
        if next.fit <= now {
            run.settle()?;
            self.refresh(run);
            next.fit = now + wait(pipeline.serve.fit_every_ms);
        }
        if next.deliver <= now {
            deliveries.begin(run, &pipeline.destinations, &self.signals.bell)?;
            next.deliver = now + wait(pipeline.serve.deliver_every_ms);
        }
        if next.compact <= now && run.backlog() == 0 {
            run.compact()?;
            next.compact = now + COMPACT;
        }
        Ok(())
    }

    /// Takes what sources still answer for, delivers, and ends.
    fn end(
        &self,
        mut run: Run<'_>,
        pipeline: &Pipeline,
        Tending { mut tended, mut deliveries }: Tending,
        begun: Instant,
    ) -> Result<Ended> {
        self.status.ready(false);
        log::info("stopping: what was taken in is committed and delivered first");
        let (since, bell) = (self.signals.stopped().unwrap_or_else(Instant::now), &self.signals.bell);
        run.run_dry(&mut tended, bell, since + RUN_DRY)?;
        self.refresh(&mut run);
        deliveries.begin(&mut run, &pipeline.destinations, bell)?;
        deliveries.finish(&mut run, &pipeline.destinations, (bell, since + DELIVER))?;
        run.end_chains(since + CLOSE);
        Ok(Ended::Stopped(Box::new(run.close(begun, false)?)))
    }

    fn reset(&self, run: &mut Run<'_>, clock: Clock) -> Result<()> {
        let (store, segments, moment) = run.look();
        self.view.reset(store, segments, (moment, clock))
    }

    fn refresh(&self, run: &mut Run<'_>) {
        let (_, segments, moment) = run.look();
        self.view.refresh(segments, moment);
    }
}

fn wait(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

struct Silent;

impl Observer for Silent {
    fn rows(&self, _read: u64, _backlog: u64) {}
    fn stage(&self, stage: &str) {
        log::debug(stage);
    }
    fn backfilled(&self, done: u64, all: u64) {
        log::info(&format!("new definitions: {done} of {all} profiles were asked"));
    }
}

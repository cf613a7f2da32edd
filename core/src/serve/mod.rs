//! `kindred serve`: the steps of a run without an end, what others may ask meanwhile, and a way out that loses nothing.
//!
//! ```text
//! sources ─▶ step ─▶ commit ─▶ view ─▶ Profile API, changes
//!              ▲ bell             └──▶ deliveries, a thread for each that is under way
//! ```
//!
//! One thread owns the store and goes round: a step of what is there, questions, deliveries, fitting when it is time.
//! Whatever comes in rings its bell. Readers see the last commit and never wait for a step.

mod api;
mod ask;
mod deliveries;
mod status;
mod told;
mod view;

use crate::{
    Result,
    config::{Clock, Pipeline},
    log,
    plugin::registry::Registry,
    step::{Observer, Run, Tended, bell::Bell, chain::Chain, summary::Summary},
    store::Store,
};
use api::Api;
use ask::{Question, asking};
use deliveries::Deliveries;
use status::Status;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Receiver,
    },
    time::{Duration, Instant},
};
use view::View;

/// From the signal to the end.
const DRAIN: Duration = Duration::from_secs(30);
/// Of it, for sources to hand out what they answer for; the rest is for deliveries.
const RUN_DRY: Duration = Duration::from_secs(12);
/// Longest sleep of the loop: due times are looked for so often at least.
const NAP: Duration = Duration::from_millis(200);
/// After a step the next one is waited for so many times as long as it took, and at most so long: what comes meanwhile is
/// one step, which costs about as much as one of a few events, and the processors are free for those who collect.
const RESTS: u32 = 3;
const REST: Duration = Duration::from_millis(25);
/// Between two looks at whether files of events should be merged.
const COMPACT: Duration = Duration::from_secs(60);

/// What the outside tells a server.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    bell: Bell,
}

impl Signals {
    /// Ends it, with nothing lost; true when that was said before.
    pub fn stop(&self) -> bool {
        let before = self.stop.swap(true, Ordering::AcqRel);
        self.bell.ring();
        before
    }

    /// Has it read its file again.
    pub fn reload(&self) {
        self.reload.store(true, Ordering::Release);
        self.bell.ring();
    }
}

/// Serves a pipeline until it is told to stop. `load` reads its file again and is none, having told why, when that is
/// wrong; `ready` is told the address of the API.
///
/// # Errors
/// When a plugin or the store fails; what was committed before stays.
pub fn serve(
    pipeline: Pipeline,
    registry: &Registry,
    load: &dyn Fn() -> Option<Pipeline>,
    signals: &Signals,
    ready: &dyn Fn(SocketAddr),
) -> Result<Summary> {
    let begun = Instant::now();
    let store = Store::open(&pipeline.store)?;
    let status = Arc::new(Status::new(&pipeline.name));
    let view = Arc::new(View::new(&store));
    let (asker, questions) = asking(&signals.bell);
    let mut api = Api::start(&pipeline.serve, (&view, &status, &asker))?;
    ready(api.address());
    let (mut pipeline, mut from) = (pipeline, (store, Vec::new()));
    loop {
        let server = Server { registry, signals, view: &view, status: &status, questions: &questions };
        match server.tend(&pipeline, from, load, begun)? {
            Ended::Stopped(ended) => {
                let (summary, store) = *ended;
                // Who reads has parts of the store, which closes when nobody has.
                api.stop();
                drop(view);
                store.close()?;
                return Ok(summary);
            }
            Ended::Reloaded(next, store, chains) => {
                if next.serve != pipeline.serve {
                    api.stop();
                    api = Api::start(&next.serve, (&view, &status, &asker))?;
                }
                (pipeline, from) = (*next, (*store, chains));
            }
        }
    }
}

struct Server<'a> {
    registry: &'a Registry,
    signals: &'a Signals,
    view: &'a View,
    status: &'a Status,
    questions: &'a Receiver<Question>,
}

/// Why the loop ended.
enum Ended {
    Stopped(Box<(Summary, Store)>),
    /// Another pipeline takes over the store and the chains that it has, too.
    Reloaded(Box<Pipeline>, Box<Store>, Vec<Chain>),
}

/// When what is done now and then is done next.
struct Timetable {
    deliver: Instant,
    fit: Instant,
    compact: Instant,
}

impl Server<'_> {
    /// One pipeline, until the end or until another one takes its place.
    fn tend(
        &self,
        pipeline: &Pipeline,
        (store, chains): (Store, Vec<Chain>),
        load: &dyn Fn() -> Option<Pipeline>,
        begun: Instant,
    ) -> Result<Ended> {
        let bell = &self.signals.bell;
        let mut run = Run::open_with(pipeline, self.registry, &Silent, store, (chains, Some(bell)))?;
        let mut tended = run.serve();
        let mut deliveries = Deliveries::default();
        // Definitions may be new, and a start is as good a time as any to fit what was not.
        run.turn(&mut tended, wait(pipeline.serve.look_every_ms))?;
        run.settle()?;
        self.reset(&mut run, pipeline.clock)?;
        self.status.ready(true);
        let now = Instant::now();
        let mut next = Timetable {
            deliver: now + wait(pipeline.serve.deliver_every_ms).min(Duration::from_secs(1)),
            fit: now + wait(pipeline.serve.fit_every_ms),
            compact: now + COMPACT,
        };
        while !self.signals.stop.load(Ordering::Acquire) {
            if self.signals.reload.swap(false, Ordering::AcqRel)
                && let Some(another) = self.reload(pipeline, load)
            {
                deliveries.finish(&mut run, &pipeline.destinations, (bell, Instant::now() + RUN_DRY))?;
                let (store, kept) = run.part(&another, &tended)?;
                return Ok(Ended::Reloaded(Box::new(another), Box::new(store), kept));
            }
            let turned = self.go_round(&mut run, pipeline, &mut tended)?;
            deliveries.tend(&mut run, &pipeline.destinations, bell)?;
            self.now_and_then(&mut run, pipeline, &mut deliveries, &mut next)?;
            self.status.note(&run, &tended);
            match turned {
                // Who is behind goes on at once.
                Some(took) if run.backlog() == 0 => std::thread::sleep((took * RESTS).min(REST)),
                Some(_) => {}
                None => bell.wait(NAP),
            }
        }
        self.end(run, pipeline, (tended, deliveries), begun)
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

    /// The file, read again; none, and the old one goes on, where it is wrong.
    fn reload(&self, pipeline: &Pipeline, load: &dyn Fn() -> Option<Pipeline>) -> Option<Pipeline> {
        let Some(next) = load() else {
            log::error("the file was not taken over; the pipeline goes on as it was");
            self.status.reloaded(false);
            return None;
        };
        if next.store != pipeline.store {
            log::error("the file names another store, which needs a restart; the pipeline goes on as it was");
            self.status.reloaded(false);
            return None;
        }
        log::info("the file is taken over");
        self.status.reloaded(true);
        Some(next)
    }

    /// Takes what sources still answer for, delivers, and ends.
    fn end(
        &self,
        mut run: Run<'_>,
        pipeline: &Pipeline,
        (mut tended, mut deliveries): (Vec<Tended>, Deliveries),
        begun: Instant,
    ) -> Result<Ended> {
        self.status.ready(false);
        log::info("stopping: what was taken in is committed and delivered first");
        let (now, bell) = (Instant::now(), &self.signals.bell);
        run.run_dry(&mut tended, bell, now + RUN_DRY)?;
        self.refresh(&mut run);
        deliveries.begin(&mut run, &pipeline.destinations, bell)?;
        deliveries.finish(&mut run, &pipeline.destinations, (bell, now + DRAIN - Duration::from_secs(4)))?;
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

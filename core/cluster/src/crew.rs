//! Who does which job: every worker gets as many as it does at a time; what a worker loses, is late with or gets wrong
//! goes to the others, and the worker is tried again after a pause. The rest is given up when the tries run out.

use crate::{
    client::Client,
    job::{Answer, Failure, Job, Reply},
};
use datafusion::common::Result;
use kindred_core::log;
use std::{collections::VecDeque, time::Duration};
use tokio::task::JoinSet;

/// Before a lost worker is tried again; doubled each time.
pub(crate) const PAUSE: Duration = Duration::from_millis(250);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// How long to wait and how often to try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For one job.
    pub(crate) deadline: Duration,
    /// Times that a job is sent again, and that a lost worker is tried again without one right answer between.
    pub(crate) retries: u32,
}

/// Why there are no answers.
#[derive(Debug)]
pub(crate) enum GivenUp {
    /// A plugin failed, and would fail anywhere.
    Plugin(Failure),
    /// Workers failed.
    Workers(String),
}

/// Has all jobs done; answers in their order. `proof` says what is wrong with an answer.
pub(crate) async fn work(
    addresses: &[String],
    jobs: Vec<Job>,
    patience: Patience,
    proof: impl Fn(&Job, &Answer) -> Result<(), String>,
) -> Result<Vec<Answer>, GivenUp> {
    let workers = addresses.iter().map(|address| Worker::new(address)).collect();
    let mut crew = Crew { workers, tasks: JoinSet::new(), patience };
    let mut board = Board::new(jobs);
    (0..crew.workers.len()).for_each(|at| crew.greet(at));
    while !board.is_done() {
        crew.assign(&mut board);
        let Some(event) = crew.tasks.join_next().await else { return Err(crew.nobody_left(&board)) };
        match event {
            Ok(Event::Greeted(at, Ok((client, slots)))) => {
                log::debug(&format!("worker {} is there and does {slots} jobs at a time", crew.name(at)));
                crew.workers[at].present = Some((client, slots));
            }
            Ok(Event::Greeted(at, Err(reason))) => crew.lose(at, reason),
            Ok(Event::Replied { worker, visit, job, reply }) => {
                let checked = match reply {
                    Ok(Ok(answer)) => proof(&board.jobs[job].work, &answer).map(|()| answer),
                    Ok(Err(failure)) => return Err(GivenUp::Plugin(failure)),
                    Err(reason) => Err(reason),
                };
                crew.freed(worker, visit);
                match checked {
                    Ok(answer) => {
                        crew.workers[worker].strikes = 0;
                        board.jobs[job].answer = Some(answer);
                    }
                    Err(reason) => {
                        let told = format!("bucket {}: {reason}", board.jobs[job].work.bucket);
                        board.give_back(job, worker, &patience, &told, crew.name(worker))?;
                        // Several jobs of one visit may be lost together; the worker is lost once.
                        if crew.workers[worker].visit == visit {
                            crew.lose(worker, told);
                        }
                    }
                }
            }
            Err(error) => return Err(GivenUp::Workers(format!("a task of the host failed: {error}"))),
        }
    }
    Ok(board.jobs.into_iter().filter_map(|job| job.answer).collect())
}

/// What happened.
enum Event {
    Greeted(usize, Result<(Client, usize), String>),
    Replied { worker: usize, visit: u32, job: usize, reply: Result<Reply, String> },
}

struct Crew {
    workers: Vec<Worker>,
    tasks: JoinSet<Event>,
    patience: Patience,
}

#[derive(Debug)]
struct Worker {
    address: String,
    /// While it is there: how to reach it, and how many more jobs it takes.
    present: Option<(Client, usize)>,
    /// Counts how often it came; what is left of an earlier visit changes nothing.
    visit: u32,
    /// Losses since the last right answer.
    strikes: u32,
    last: String,
}

impl Worker {
    fn new(address: &str) -> Self {
        Self { address: address.to_owned(), present: None, visit: 0, strikes: 0, last: String::new() }
    }
}

impl Crew {
    fn name(&self, at: usize) -> &str {
        &self.workers[at].address
    }

    /// Greets a worker, after a pause where it was lost before.
    fn greet(&mut self, at: usize) {
        let (address, strikes) = (self.workers[at].address.clone(), self.workers[at].strikes);
        let pause = match strikes {
            0 => Duration::ZERO,
            n => PAUSE.saturating_mul(1 << (n - 1).min(8)).min(LONGEST_PAUSE),
        };
        self.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            let greeted = Client::connect(&address).await;
            Event::Greeted(at, greeted.map_err(|e| e.strip_backtrace()))
        });
    }

    /// A worker failed: it comes again later, unless it failed too often.
    fn lose(&mut self, at: usize, reason: String) {
        let worker = &mut self.workers[at];
        log::debug(&format!("worker {}: {reason}", worker.address));
        (worker.present, worker.last) = (None, reason);
        worker.visit += 1;
        worker.strikes += 1;
        if worker.strikes <= self.patience.retries {
            self.greet(at);
        }
    }

    fn freed(&mut self, at: usize, visit: u32) {
        let worker = &mut self.workers[at];
        if let Some((_, slots)) = worker.present.as_mut().filter(|_| worker.visit == visit) {
            *slots += 1;
        }
    }

    /// Gives jobs to whoever has room, one each in turn.
    fn assign(&mut self, board: &mut Board) {
        loop {
            let mut given = false;
            let there: Vec<usize> =
                (0..self.workers.len()).filter(|at| self.workers[*at].present.is_some()).collect();
            for &at in &there {
                let Worker { present: Some((client, slots)), visit, .. } = &mut self.workers[at] else {
                    continue;
                };
                if *slots == 0 {
                    continue;
                }
                let Some(job) = board.next(at, &there) else { continue };
                *slots -= 1;
                given = true;
                let (client, work, visit) = (client.clone(), board.jobs[job].work.clone(), *visit);
                let deadline = self.patience.deadline;
                self.tasks.spawn(async move {
                    let reply = match tokio::time::timeout(deadline, client.ask(work)).await {
                        Ok(reply) => reply.map_err(|e| e.strip_backtrace()),
                        Err(_) => Err(format!("no answer within {} ms", deadline.as_millis())),
                    };
                    Event::Replied { worker: at, visit, job, reply }
                });
            }
            if !given {
                return;
            }
        }
    }

    fn nobody_left(&self, board: &Board) -> GivenUp {
        let told: Vec<String> = self.workers.iter().map(|w| format!("{} ({})", w.address, w.last)).collect();
        let missing = board.jobs.iter().filter(|job| job.answer.is_none()).count();
        GivenUp::Workers(format!(
            "no worker is left, {missing} of {} jobs have no answer: {}",
            board.jobs.len(),
            told.join(", ")
        ))
    }
}

/// All jobs of a pass.
struct Board {
    jobs: Vec<Task>,
    waiting: VecDeque<usize>,
}

struct Task {
    work: Job,
    answer: Option<Answer>,
    /// Workers that failed at it, one entry a try.
    failed: Vec<usize>,
}

impl Board {
    fn new(jobs: Vec<Job>) -> Self {
        let waiting = (0..jobs.len()).collect();
        let task = |work| Task { work, answer: None, failed: Vec::new() };
        Self { jobs: jobs.into_iter().map(task).collect(), waiting }
    }

    fn is_done(&self) -> bool {
        self.jobs.iter().all(|job| job.answer.is_some())
    }

    /// The next job for a worker: one that nobody who is there failed at less often.
    fn next(&mut self, worker: usize, there: &[usize]) -> Option<usize> {
        let fits = |job: &usize| {
            let failed = |who: usize| self.jobs[*job].failed.iter().filter(|f| **f == who).count();
            there.iter().all(|other| failed(*other) >= failed(worker))
        };
        let at = self.waiting.iter().position(fits)?;
        self.waiting.remove(at)
    }

    fn give_back(
        &mut self,
        job: usize,
        worker: usize,
        patience: &Patience,
        reason: &str,
        name: &str,
    ) -> Result<(), GivenUp> {
        let task = &mut self.jobs[job];
        task.failed.push(worker);
        if task.failed.len() > patience.retries as usize {
            let tries = task.failed.len();
            return Err(GivenUp::Workers(format!("{reason} (worker {name}, try {tries} of {tries})")));
        }
        // Before those that nobody has tried, so that a pass that cannot end says so early.
        self.waiting.push_front(job);
        Ok(())
    }
}

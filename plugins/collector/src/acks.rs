//! The way of requests to the spool and back. What the requests of one thread have ready at a time goes to the spool
//! together, so that one sync takes it. The spool says on its own thread what became of a whole group; to wake each request
//! from there would cost a system call each, so a task of the requests' own thread is woken once and wakes them.

use kindred_plugin_api::spool::{Position, Refused, Spool};
use std::{
    cell::RefCell,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    runtime::{self, Handle},
    sync::{Notify, oneshot},
};

/// What became of a record.
pub(crate) type Outcome = Result<Position, Refused>;

/// Things on their way, which a task takes when it is told.
struct Tray<T> {
    held: Mutex<Vec<T>>,
    bell: Notify,
}

/// What the requests of one thread hand over, and what they are told.
struct Lane {
    spool: Spool,
    records: Tray<(Vec<u8>, oneshot::Sender<Outcome>)>,
    outcomes: Tray<(oneshot::Sender<Outcome>, Outcome)>,
}

thread_local! {
    /// That of the runtime that this thread runs.
    static HERE: RefCell<Option<(runtime::Id, Arc<Lane>)>> = const { RefCell::new(None) };
}

/// Hands a record over; what is returned is told what became of it. To be called in a task of a runtime, whose requests
/// all have the same spool.
pub(crate) fn append(spool: &Spool, record: Vec<u8>) -> oneshot::Receiver<Outcome> {
    let (sender, outcome) = oneshot::channel();
    here(spool).records.put((record, sender));
    outcome
}

fn here(spool: &Spool) -> Arc<Lane> {
    let runtime = Handle::current().id();
    HERE.with_borrow_mut(|here| match here {
        Some((known, lane)) if *known == runtime => Arc::clone(lane),
        _ => {
            let lane =
                Arc::new(Lane { spool: spool.clone(), records: Tray::default(), outcomes: Tray::default() });
            tokio::spawn(Arc::clone(&lane).hand_over());
            tokio::spawn(Arc::clone(&lane).pass_on());
            *here = Some((runtime, Arc::clone(&lane)));
            lane
        }
    })
}

impl Lane {
    /// Runs behind all requests that were ready with the first one.
    async fn hand_over(self: Arc<Self>) {
        loop {
            let records = self.records.next().await;
            let told = records.into_iter().map(|(record, sender)| {
                let lane = Arc::clone(&self);
                (record.into(), move |outcome| lane.outcomes.put((sender, outcome)))
            });
            self.spool.append_all(told);
        }
    }

    async fn pass_on(self: Arc<Self>) {
        loop {
            for (sender, outcome) in self.outcomes.next().await {
                // A client that went away does not need to know.
                let _ = sender.send(outcome);
            }
        }
    }
}

impl<T> Default for Tray<T> {
    fn default() -> Self {
        Self { held: Mutex::default(), bell: Notify::new() }
    }
}

impl<T> Tray<T> {
    fn held(&self) -> MutexGuard<'_, Vec<T>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, thing: T) {
        let mut held = self.held();
        held.push(thing);
        if held.len() == 1 {
            drop(held);
            self.bell.notify_one();
        }
    }

    async fn next(&self) -> Vec<T> {
        self.bell.notified().await;
        std::mem::take(&mut *self.held())
    }
}

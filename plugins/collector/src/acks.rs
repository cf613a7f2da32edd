//! Tells requests what became of their records. The spool says it on its own thread, of a whole group at once; to wake
//! each request from there would cost a system call each. So a task of the requests' own thread is woken once and wakes
//! them, which costs none.

use kindred_plugin_api::spool::{Position, Refused};
use std::{
    cell::RefCell,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    runtime::{self, Handle},
    sync::{Notify, oneshot},
};

/// What became of a record.
pub(crate) type Outcome = Result<Position, Refused>;

/// What was said and not yet passed on.
#[derive(Default)]
struct Acks {
    said: Mutex<Vec<(oneshot::Sender<Outcome>, Outcome)>>,
    bell: Notify,
}

thread_local! {
    /// Those of the runtime that this thread runs.
    static HERE: RefCell<Option<(runtime::Id, Arc<Acks>)>> = const { RefCell::new(None) };
}

/// What the spool is to call, and where its answer arrives. To be called in a task of a runtime.
pub(crate) fn expected() -> (impl FnOnce(Outcome) + Send + 'static, oneshot::Receiver<Outcome>) {
    let (sender, outcome) = oneshot::channel();
    let acks = here();
    (move |outcome| acks.say(sender, outcome), outcome)
}

fn here() -> Arc<Acks> {
    let runtime = Handle::current().id();
    HERE.with_borrow_mut(|here| match here {
        Some((known, acks)) if *known == runtime => Arc::clone(acks),
        _ => {
            let acks = Arc::<Acks>::default();
            tokio::spawn(Arc::clone(&acks).pass_on());
            *here = Some((runtime, Arc::clone(&acks)));
            acks
        }
    })
}

impl Acks {
    fn say(&self, sender: oneshot::Sender<Outcome>, outcome: Outcome) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push((sender, outcome));
        if said.len() == 1 {
            drop(said);
            self.bell.notify_one();
        }
    }

    async fn pass_on(self: Arc<Self>) {
        loop {
            self.bell.notified().await;
            let said = std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner));
            for (sender, outcome) in said {
                // A client that went away does not need to know.
                let _ = sender.send(outcome);
            }
        }
    }
}

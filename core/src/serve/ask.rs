//! Questions that only the loop can answer, because they need the store: asked between two steps.

use crate::{Error, Result, profile::batch::Moment, segment::Segments, step::bell::Bell, store::Store};
use kindred_plugin_api::Reason;
use std::{
    path::Path,
    sync::mpsc::{Receiver, Sender, channel},
};
use tokio::sync::oneshot;

/// A question.
pub(super) struct Question {
    segment: String,
    profile: u32,
    answer: oneshot::Sender<Result<Reason>>,
}

/// Asks the loop.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    questions: Sender<Question>,
    bell: Bell,
}

/// Both ends.
pub(super) fn asking(bell: &Bell) -> (Asker, Receiver<Question>) {
    let (questions, asked) = channel();
    (Asker { questions, bell: bell.clone() }, asked)
}

impl Asker {
    /// Why a profile is in a segment or is not.
    ///
    /// # Errors
    /// As [`Segments::explain`], and when the server is ending.
    pub(super) async fn explain(&self, segment: String, profile: u32) -> Result<Reason> {
        let (answer, answered) = oneshot::channel();
        let ending = || Error::NotFound("the server is ending".into());
        self.questions.send(Question { segment, profile, answer }).map_err(|_| ending())?;
        self.bell.ring();
        answered.await.map_err(|_| ending())?
    }
}

impl Question {
    /// There is no answer now.
    pub(super) fn refuse(self, store: &Path) {
        // Who asked may have gone.
        let _ = self.answer.send(Err(Error::NoRoom(store.to_owned())));
    }

    /// Answers it.
    pub(super) fn answer(self, (store, segments, moment): (&mut Store, &mut Segments, Moment)) {
        let reason = segments.explain(store, &self.segment, self.profile, &moment);
        // Who asked may have gone.
        let _ = self.answer.send(reason);
    }
}

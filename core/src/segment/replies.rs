//! Instances that work side by side: a question goes to the one that has the fewest, and what they answer is taken in the
//! order of the questions. An instance that shares its processor with somebody gets fewer of them, and no other waits for it.

use crate::plugin::{SegmentationHandle, Worker};
use kindred_plugin_api::Fault;
use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, Sender, channel},
};

/// Questions that wait at an instance, on average, before an answer is waited for.
const AHEAD: usize = 3;

/// Where a question went: the instance, and how many that one was asked before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    instance: usize,
    pub(super) number: u32,
}

/// Answers on their way, each with what it is about.
pub(super) struct Replies<'a, About, T> {
    workers: Vec<&'a Worker<SegmentationHandle>>,
    /// Per instance, what it was asked so far, and how much of that it has not answered.
    asked: Vec<(u32, usize)>,
    /// The oldest first; those behind it may have their answers before.
    waiting: VecDeque<(About, Option<T>)>,
    /// Questions before the oldest that waits.
    taken: usize,
    answers: (Sender<Answer<T>>, Receiver<Answer<T>>),
}

struct Answer<T> {
    question: usize,
    instance: usize,
    answer: Result<T, Fault>,
}

/// Sends an answer; or, should the instance's thread end before, that it did.
struct Envelope<T> {
    to: Sender<Answer<T>>,
    question: usize,
    instance: usize,
    is_sent: bool,
}

impl<'a, About, T: Send + 'static> Replies<'a, About, T> {
    pub(super) fn of(workers: impl Iterator<Item = &'a Worker<SegmentationHandle>>) -> Self {
        let workers: Vec<_> = workers.collect();
        let asked = vec![(0, 0); workers.len()];
        Self { workers, asked, waiting: VecDeque::new(), taken: 0, answers: channel() }
    }

    /// Asks an instance that has little to do, and takes the answers that are there; waits for some where many are on their
    /// way.
    ///
    /// # Errors
    /// What an instance answered, or `take` did.
    pub(super) fn ask(
        &mut self,
        about: About,
        question: impl FnOnce(&mut SegmentationHandle) -> Result<T, Fault> + Send + 'static,
        take: impl FnMut(About, T) -> Result<(), Fault>,
    ) -> Result<Place, Fault> {
        let idlest = self.asked.iter().enumerate().min_by_key(|(_, (_, open))| *open);
        let instance = idlest.map_or(0, |(instance, _)| instance);
        let place = Place { instance, number: self.asked[instance].0 };
        self.ask_at(place, about, question, take)?;
        Ok(place)
    }

    /// The same of the instance that a question went to before.
    ///
    /// # Errors
    /// What an instance answered, or `take` did.
    pub(super) fn ask_at(
        &mut self,
        Place { instance, .. }: Place,
        about: About,
        question: impl FnOnce(&mut SegmentationHandle) -> Result<T, Fault> + Send + 'static,
        take: impl FnMut(About, T) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let number = self.taken + self.waiting.len();
        let envelope = Envelope { to: self.answers.0.clone(), question: number, instance, is_sent: false };
        self.waiting.push_back((about, None));
        let (asked, open) = &mut self.asked[instance];
        (*asked, *open) = (*asked + 1, *open + 1);
        self.workers[instance].ask(move |handle| envelope.send(question(handle)));
        self.receive(self.workers.len() * AHEAD, take)
    }

    /// Takes all that are still on their way.
    ///
    /// # Errors
    /// What an instance answered, or `take` did.
    pub(super) fn rest(mut self, take: impl FnMut(About, T) -> Result<(), Fault>) -> Result<(), Fault> {
        self.receive(0, take)
    }

    /// Receives what is there, and more until at most so many questions are open.
    fn receive(
        &mut self,
        most: usize,
        mut take: impl FnMut(About, T) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        loop {
            let open: usize = self.asked.iter().map(|(_, open)| open).sum();
            let received =
                if open > most { self.answers.1.recv().ok() } else { self.answers.1.try_recv().ok() };
            let Some(Answer { question, instance, answer }) = received else { break };
            self.asked[instance].1 -= 1;
            self.waiting[question - self.taken].1 = Some(answer?);
        }
        while let Some((_, Some(_))) = self.waiting.front()
            && let Some((about, Some(answer))) = self.waiting.pop_front()
        {
            self.taken += 1;
            take(about, answer)?;
        }
        Ok(())
    }
}

impl<T> Envelope<T> {
    fn send(mut self, answer: Result<T, Fault>) {
        self.is_sent = true;
        let Self { question, instance, .. } = self;
        // Nobody waits for it any more after a fault.
        let _ = self.to.send(Answer { question, instance, answer });
    }
}

impl<T> Drop for Envelope<T> {
    fn drop(&mut self) {
        if !self.is_sent {
            let answer = Err(Fault::permanent("thread", "the instance's thread ended"));
            let _ = self.to.send(Answer { question: self.question, instance: self.instance, answer });
        }
    }
}

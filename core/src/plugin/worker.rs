//! One thread per open instance. An instance is opened, used, closed and dropped on its own thread, so a plugin may
//! block, keep thread-local state or own an async runtime.

use kindred_plugin_api::Fault;
use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

type Job<H> = Box<dyn FnOnce(&mut H) + Send>;

/// Calls that may wait for an instance; more make the caller wait.
const QUEUE: usize = 4;

/// An instance on its thread.
#[derive(Debug)]
pub struct Worker<H> {
    jobs: Option<SyncSender<Job<H>>>,
    thread: Option<JoinHandle<()>>,
}

/// The answer of a call, when it comes.
#[derive(Debug)]
pub struct Reply<T>(Receiver<T>);

impl<T> Reply<T> {
    /// Waits for it.
    ///
    /// # Errors
    /// Permanent when the thread died.
    pub fn wait(self) -> Result<T, Fault> {
        self.0.recv().map_err(|_| Fault::permanent("thread", "the instance's thread ended"))
    }
}

impl<H: 'static> Worker<H> {
    /// Opens an instance on a thread of its own.
    ///
    /// # Errors
    /// What `open` says, or permanent when no thread can be started.
    pub fn start(
        name: &str,
        open: impl FnOnce() -> Result<H, Fault> + Send + 'static,
    ) -> Result<Self, Fault> {
        let (jobs, queue) = sync_channel::<Job<H>>(QUEUE);
        let (opened, answer) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || match open() {
                Ok(mut handle) => {
                    if opened.send(Ok(())).is_ok() {
                        queue.into_iter().for_each(|job| job(&mut handle));
                    }
                }
                Err(fault) => drop(opened.send(Err(fault))),
            })
            .map_err(|e| Fault::permanent("thread", format!("no thread for `{name}`: {e}")))?;
        Reply(answer).wait()??;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Asks for something to be done; returns at once unless the queue is full.
    pub fn ask<T: Send + 'static>(&self, work: impl FnOnce(&mut H) -> T + Send + 'static) -> Reply<T> {
        let (answer, reply) = sync_channel(1);
        if let Some(jobs) = &self.jobs {
            // A thread that ended drops the job and with it `answer`, which the reply reports.
            let _ = jobs.send(Box::new(move |handle| drop(answer.send(work(handle)))));
        }
        Reply(reply)
    }

    /// Asks and waits.
    ///
    /// # Errors
    /// The call's own, or permanent when the thread died.
    pub fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut H) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.ask(work).wait()?
    }
}

impl<H> Drop for Worker<H> {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic on that thread was already reported as a fault of the call that met it.
            let _ = thread.join();
        }
    }
}

//! Threads that speak HTTP, each with a runtime of its own: a connection is woken, read and answered on one thread, and no
//! request costs two of them a word.

use std::{io, sync::Arc, thread};
use tokio::{
    runtime::{Builder, Handle},
    sync::watch,
};

/// A thread, as those see it that have work for it.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) handle: Handle,
    /// Who has a clone is a connection of this thread.
    taken: Arc<()>,
}

/// All threads. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    threads: Vec<thread::JoinHandle<()>>,
    end: watch::Sender<bool>,
}

impl Lane {
    /// Counts a connection until what is returned is dropped.
    pub(crate) fn take(&self) -> Arc<()> {
        Arc::clone(&self.taken)
    }

    /// Connections, and a constant.
    pub(crate) fn taken(&self) -> usize {
        Arc::strong_count(&self.taken)
    }
}

impl Lanes {
    /// Starts so many threads, at least one.
    pub(crate) fn start(threads: usize) -> io::Result<Self> {
        let (end, ended) = watch::channel(false);
        let mut lanes = Self { lanes: Vec::new(), threads: Vec::new(), end };
        for _ in 0..threads.max(1) {
            let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
            lanes.lanes.push(Lane { handle: runtime.handle().clone(), taken: Arc::default() });
            let mut ended = ended.clone();
            let run = move || {
                // Also when the sender is gone it is over.
                let _ = runtime.block_on(ended.wait_for(|ended| *ended));
            };
            lanes.threads.push(thread::Builder::new().name("http".into()).spawn(run)?);
        }
        Ok(lanes)
    }

    pub(crate) fn first(&self) -> &Lane {
        &self.lanes[0]
    }

    pub(crate) fn all(&self) -> Vec<Lane> {
        self.lanes.clone()
    }

    /// Cuts every connection and waits for the threads.
    pub(crate) fn end(self) {
        // They may have ended by themselves.
        let _ = self.end.send(true);
        for thread in self.threads {
            // A handler that panicked was told by its runtime.
            let _ = thread.join();
        }
    }
}

//! Commits, one after the other, on a thread of their own: when files are synced, the change that names them is committed,
//! then the files that it made superfluous are removed. Meanwhile the next step is prepared.

use super::{files::Syncing, tables::Change};
use crate::{
    Error, Result,
    profile::{self, Saved},
};
use fjall::Keyspace;
use std::{
    fs,
    path::PathBuf,
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
};

/// What makes a step durable.
pub(super) struct Commit {
    /// Written, and on their way to the disk.
    pub(super) files: Vec<Syncing>,
    pub(super) change: Change,
    /// Go into the change, too, in this table.
    pub(super) profiles: Option<(Saved, Keyspace)>,
    /// Superfluous once the change is there.
    pub(super) sweep: Vec<PathBuf>,
}

impl Commit {
    /// Does it.
    ///
    /// # Errors
    /// When the disk refuses; nothing of the change is there then.
    pub(super) fn make(mut self) -> Result<()> {
        if let Some((saved, table)) = &self.profiles {
            profile::put(saved, table, &mut self.change)?;
        }
        self.files.into_iter().try_for_each(Syncing::wait)?;
        self.change.commit()?;
        for path in &self.sweep {
            // A file that stays is found again, and removed, at the next start.
            let _ = fs::remove_file(path);
        }
        Ok(())
    }
}

/// The thread, and whether it works.
#[derive(Debug, Default)]
pub(super) struct Commits {
    thread: Option<Thread>,
    under_way: bool,
}

#[derive(Debug)]
struct Thread {
    commits: Sender<Commit>,
    made: Receiver<Result<()>>,
    handle: JoinHandle<()>,
}

impl Commits {
    /// Begins a commit, when the one before it is made.
    ///
    /// # Errors
    /// That of the one before it; this one is given up then.
    pub(super) fn begin(&mut self, commit: Commit) -> Result<()> {
        self.wait()?;
        if self.thread.is_none() {
            self.thread = Some(Thread::start()?);
        }
        let sent = self.thread.as_ref().is_some_and(|thread| thread.commits.send(commit).is_ok());
        self.under_way = sent;
        if sent { Ok(()) } else { Err(ended()) }
    }

    /// Waits until everything that was begun is durable.
    ///
    /// # Errors
    /// When it is not, and never will be.
    pub(super) fn wait(&mut self) -> Result<()> {
        match &self.thread {
            Some(thread) if std::mem::take(&mut self.under_way) => {
                thread.made.recv().unwrap_or_else(|_| Err(ended()))
            }
            _ => Ok(()),
        }
    }
}

impl Thread {
    fn start() -> Result<Self> {
        let (commits, begun) = channel::<Commit>();
        let (answer, made) = channel();
        let make = move || {
            for commit in begun {
                if answer.send(commit.make()).is_err() {
                    break;
                }
            }
        };
        let handle = std::thread::Builder::new().name("commits".into()).spawn(make);
        Ok(Self { commits, made, handle: handle.map_err(Error::io("the thread of commits"))? })
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        if let Some(Thread { commits, handle, .. }) = self.thread.take() {
            drop(commits);
            // A panic there has printed why; what was not committed comes again.
            let _ = handle.join();
        }
    }
}

fn ended() -> Error {
    Error::io("the thread of commits")(std::io::Error::other("it ended"))
}

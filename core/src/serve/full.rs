//! The store's disk is full: nothing is taken in meanwhile, and the store is opened again, from its last commit, once there
//! is room. Sources keep what nobody has acknowledged to them; readers are shown the last commit.

use super::{Server, ask::Question};
use crate::{Error, Result, log, store::Store};
use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

/// Free room that is worth another attempt: some steps.
const ROOM: usize = 16 << 20;
/// The database writes tables and merges of them behind the scenes, some of 64 MiB.
const TABLES: u64 = 256 << 20;
/// First and longest wait before the next look.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// Between two signs of life.
const NAP: Duration = Duration::from_millis(200);

/// Whether an error of the store means that its disk is full. The database says why once, to whoever met it, and
/// afterwards only that it takes nothing any more.
pub(super) fn says(error: &Error, store: &Path) -> bool {
    let silent = matches!(error, Error::State(fjall::Error::Poisoned));
    error.is_full() || silent && (is_short(store) || has_room(store).is_err_and(|error| error.is_full()))
}

/// Whether less is free than the database may want at once: what it wrote in vain is gone by the time that this is asked.
fn is_short(store: &Path) -> bool {
    rustix::fs::statvfs(store).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < TABLES)
}

/// Writes as much as there must be room for, and removes it.
fn has_room(store: &Path) -> Result<()> {
    let path = store.join("ROOM");
    let written = File::create(&path).and_then(|mut file| {
        let block = vec![1; 1 << 20];
        (0..ROOM / block.len()).try_for_each(|_| file.write_all(&block))?;
        file.sync_all()
    });
    fs::remove_file(&path).and(written).map_err(Error::io(&path))
}

impl Server<'_> {
    /// Waits until the store's disk has room, or until the end.
    pub(super) fn wait_for_room(&self, store: &Path, why: &Error) {
        self.status.full(true);
        log::error(&format!("{why}; nothing is taken in until the disk has room"));
        let mut wait = FIRST_WAIT;
        while self.rest(store, wait) {
            match has_room(store) {
                Ok(()) => break,
                Err(error) => log::debug(&format!("{error}; looked at again later")),
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// The store, opened again from its last commit; who reads waits for it.
    ///
    /// # Errors
    /// When it does not open although there is room, or when it is to end.
    pub(super) fn open_again(&self, store: &Path) -> Result<Store> {
        self.view.close();
        let mut wait = FIRST_WAIT;
        loop {
            match Store::open(store) {
                Ok(opened) => {
                    self.view.open(&opened);
                    self.status.full(false);
                    log::info("the disk has room; everything goes on from the last commit");
                    return Ok(opened);
                }
                // The last thread of the database may hold its lock for a moment.
                Err(error)
                    if (error.is_full() || matches!(error, Error::State(fjall::Error::Locked)))
                        && self.rest(store, wait) =>
                {
                    log::error(&format!("{error}; the store is opened again later"));
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for so long, and answers whoever asks that there is no answer; false when it is to end.
    fn rest(&self, store: &Path, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        while Instant::now() < until && self.signals.stopped().is_none() {
            self.status.beat();
            self.questions.try_iter().for_each(|question: Question| question.refuse(store));
            self.signals.bell.wait(NAP.min(until.saturating_duration_since(Instant::now())));
        }
        self.signals.stopped().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_takes_nothing_means_a_full_disk_only_where_the_disk_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let silent = Error::State(fjall::Error::Poisoned);
        assert_eq!(says(&silent, dir.path()), is_short(dir.path()), "as far as there is room");
        assert!(!says(&Error::NotFound("a".into()), dir.path()));
        assert!(says(&Error::io("a")(std::io::ErrorKind::StorageFull.into()), dir.path()));
        has_room(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "what was written to find out is gone");
        assert!(has_room(&dir.path().join("nowhere")).is_err());
    }
}

//! How full the disk is.

use std::{
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        Mutex,
    },
    time::{Duration, Instant},
};

/// How long an answer of the system is good for.
const FRESH: Duration = Duration::from_millis(100);

/// Asks how full the file system is, not more often than makes sense.
pub(super) struct Disk {
    folder: PathBuf,
    limit: f64,
    over: AtomicBool,
    asked: Mutex<Option<Instant>>,
}

impl Disk {
    pub(super) fn new(folder: &Path, limit: f64) -> Self {
        Self { folder: folder.to_owned(), limit, over: AtomicBool::new(false), asked: Mutex::new(None) }
    }

    /// True when more than the limit is in use.
    pub(super) fn over(&self) -> bool {
        // Whoever finds somebody asking takes the last answer instead of waiting for a slow file system.
        if let Ok(mut asked) = self.asked.try_lock() {
            if asked.is_none_or(|asked| asked.elapsed() >= FRESH) {
                self.over.store(self.ask(), Ordering::Relaxed);
                *asked = Some(Instant::now());
            }
        }
        self.over.load(Ordering::Relaxed)
    }

    /// As `df` counts: what only the administrator may use is neither used nor free. A file system that does not
    /// say is not full; a write will tell.
    #[allow(clippy::cast_precision_loss)] // A share.
    fn ask(&self) -> bool {
        let Ok(system) = rustix::fs::statvfs(&self.folder) else { return false };
        let used = system.f_blocks.saturating_sub(system.f_bfree);
        let all = used + system.f_bavail;
        all > 0 && used as f64 / all as f64 > self.limit
    }
}

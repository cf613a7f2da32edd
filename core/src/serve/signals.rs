//! What the outside tells a server.

use crate::step::bell::Bell;
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// What the outside tells a server; its clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    stop: Arc<OnceLock<Instant>>,
    reload: Arc<AtomicBool>,
    pub(super) bell: Bell,
}

impl Signals {
    /// Ends it, with nothing lost; true when that was said before.
    pub fn stop(&self) -> bool {
        let before = self.stop.set(Instant::now()).is_err();
        self.bell.ring();
        before
    }

    /// Has it read its file again.
    pub fn reload(&self) {
        self.reload.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// Since when it is to end.
    pub(super) fn stopped(&self) -> Option<Instant> {
        self.stop.get().copied()
    }

    /// Whether it is to read its file again; that is told once.
    pub(super) fn reloads(&self) -> bool {
        self.reload.swap(false, Ordering::AcqRel)
    }
}

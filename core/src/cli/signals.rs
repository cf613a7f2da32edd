//! Signals of the system.

use crate::Error;
use std::io;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGINT, SIGTERM.
    Stop,
    /// SIGHUP.
    Reload,
}

/// Calls `act` for each signal, on a thread of its own.
///
/// # Errors
/// When no handler can be installed.
pub(super) fn on_signal(mut act: impl FnMut(Signal) + Send + 'static) -> Result<(), Error> {
    let failed = || Error::io("the signal handler");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed())?;
    // Installed before this returns: a signal that comes at once must not kill.
    let mut handlers = runtime.block_on(async { Handlers::install() }).map_err(failed())?;
    let wait = move || {
        runtime.block_on(async {
            loop {
                act(handlers.next().await);
            }
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map_err(failed())?;
    Ok(())
}

struct Handlers {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Handlers {
    fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}

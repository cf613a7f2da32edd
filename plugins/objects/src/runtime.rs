//! The async runtime of an instance. It runs only while a call waits in it, so nothing of it crosses the boundary and no
//! request lives on between two calls.

use kindred_plugin_api::{Context, Fault, FaultKind, Result};
use std::{fmt, future::Future, pin::pin, time::Duration};
use tokio::runtime::{Builder, Runtime as Tokio};

/// How often a call that waits asks whether the host wants to stop.
const LOOK: Duration = Duration::from_millis(20);

/// The runtime.
pub(crate) struct Runtime {
    /// None only while it is dropped.
    tokio: Option<Tokio>,
    context: Context,
}

impl Runtime {
    /// Makes one.
    ///
    /// # Errors
    /// PERMANENT when the system gives none.
    pub(crate) fn new(context: &Context) -> Result<Self> {
        let made = Builder::new_current_thread().enable_all().build();
        let tokio = made.map_err(|error| Fault::permanent("runtime", format!("no runtime: {error}")))?;
        Ok(Self { tokio: Some(tokio), context: context.clone() })
    }

    /// Does `work` while the host does not want to stop.
    ///
    /// # Errors
    /// What the work says, CANCELLED when the host wants to stop.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let stopped = || Fault::new(FaultKind::Cancelled, "cancelled", "the host wants to stop");
        let Some(tokio) = &self.tokio else { return Err(stopped()) };
        tokio.block_on(async {
            let mut work = pin!(work);
            loop {
                match tokio::time::timeout(LOOK, &mut work).await {
                    Ok(done) => return done,
                    Err(_) if self.context.cancelled() => return Err(stopped()),
                    Err(_) => {}
                }
            }
        })
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // A name that is still being looked up is not waited for.
        if let Some(tokio) = self.tokio.take() {
            tokio.shutdown_background();
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runtime")
    }
}

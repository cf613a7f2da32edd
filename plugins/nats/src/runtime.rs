//! A thread of the instance's own with an async runtime, so that the connection lives on between two calls.

use kindred_plugin_api::{Context, Fault, FaultKind, Result};
use std::{
    future::Future,
    sync::mpsc::{RecvTimeoutError, sync_channel},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// How often a call that waits asks whether the host wants to stop.
const LOOK: Duration = Duration::from_millis(20);
/// Longest wait for what the runtime still does when it ends: a name that is being looked up.
const GRACE: Duration = Duration::from_millis(500);

/// The thread; ended when dropped.
pub(crate) struct Runtime {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Runtime {
    /// Starts the thread.
    ///
    /// # Errors
    /// PERMANENT when the system gives none.
    pub(crate) fn start(name: &str) -> Result<Self> {
        let fail = |error: std::io::Error| {
            Fault::permanent("thread", format!("no thread for a connection: {error}"))
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(fail)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            // An error says that the instance is gone, which is as good.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_timeout(GRACE);
        };
        let thread = std::thread::Builder::new().name(format!("{name}-nats")).spawn(run).map_err(fail)?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Does `work` there and waits for it, at most for `limit`, and with a context while its host does not want to stop.
    ///
    /// # Errors
    /// What the work says, TRANSIENT when it takes too long, CANCELLED when the host wants to stop.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        context: Option<&Context>,
        limit: Duration,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (done, answer) = sync_channel(1);
        let task = self.handle.spawn(async move {
            let late = || Fault::transient("timeout", format!("no answer within {} s", limit.as_secs_f32()));
            let made = tokio::time::timeout(limit, work).await;
            // Nobody may be waiting any more.
            let _ = done.send(made.unwrap_or_else(|_| Err(late())));
        });
        loop {
            match answer.recv_timeout(LOOK) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Fault::permanent("thread", "the connection's thread ended"));
                }
                Err(RecvTimeoutError::Timeout) if context.is_some_and(Context::cancelled) => {
                    task.abort();
                    return Err(Fault::new(FaultKind::Cancelled, "cancelled", "the host wants to stop"));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was printed there.
            let _ = thread.join();
        }
    }
}

//! One connection, from its acceptance to its end.

use crate::{
    Limits, Peer, Respond,
    answer::answer,
    pace::{Pace, Paced, Stage},
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::Poll,
};
use tokio::{
    net::TcpStream,
    sync::{Notify, futures::Notified, watch},
    time::sleep_until,
};

/// A head that is not complete when so much of it is there is answered with 431.
const HEAD_BYTES: usize = 64 << 10;

/// What all connections share.
pub(crate) struct Shared<R> {
    pub(crate) endpoints: R,
    pub(crate) limits: Limits,
    /// Asks one connection that waits for a request to make room; the one that waits longest hears it first.
    pub(crate) crowded: Notify,
}

/// Serves a connection until either side ends it, its time is over, or room is needed.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared<impl Respond>>,
    mut stop: watch::Receiver<bool>,
) {
    let pace = Pace::new(&shared.limits);
    let io = TokioIo::new(Paced { stream, pace: Arc::clone(&pace) });
    let service = service_fn(|request| {
        answer(&shared.endpoints, request, Peer(peer), Arc::clone(&pace), shared.limits.request())
    });
    let connection =
        http1::Builder::new().max_buf_size(HEAD_BYTES).half_close(false).serve_connection(io, service);
    let mut connection = pin!(connection);
    let mut stopped = pin!(async move { stop.wait_for(|stop| *stop).await.is_ok() });
    let mut stopping = false;
    let mut timer = pin!(sleep_until(tokio::time::Instant::now() + shared.limits.header()));
    let mut crowded: Option<std::pin::Pin<Box<Notified<'_>>>> = None;
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if !stopping && stopped.as_mut().poll(cx).is_ready() {
            stopping = true;
            connection.as_mut().graceful_shutdown();
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        if pace.stage() == Stage::Waiting {
            let asked = crowded.get_or_insert_with(|| Box::pin(shared.crowded.notified()));
            if stopping || asked.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
        } else {
            crowded = None;
        }
        let Some(due) = pace.due() else { return Poll::Pending };
        // The timer is put back only when it must ring earlier; when it rings too early it is put forward.
        if due < timer.deadline() {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if pace.due().is_none_or(|due| due <= timer.deadline()) {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    })
    .await;
}

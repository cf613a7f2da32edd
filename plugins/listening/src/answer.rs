//! Answers one request, within the time that a request has.

use crate::{Peer, Respond, pace::Pace};
use axum::{
    body::{Body, HttpBody},
    extract::Request,
    http::{HeaderValue, StatusCode, header::CONNECTION},
    response::Response,
};
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

/// Answers; it cannot fail.
pub(crate) async fn answer(
    endpoints: &impl Respond,
    request: hyper::Request<Incoming>,
    peer: Peer,
    pace: Arc<Pace>,
    within: Duration,
) -> Result<hyper::Response<Answer>, Infallible> {
    pace.request();
    let received = Arc::new(AtomicBool::new(request.body().is_end_stream()));
    let request: Request = match received.load(Ordering::Relaxed) {
        true => request.map(|_| Body::empty()),
        false => request.map(|body| Body::new(Received { body, all: Arc::clone(&received) })),
    };
    let handled = tokio::time::timeout(within, endpoints.respond(peer, request)).await;
    let response = handled.unwrap_or_else(|_| late(received.load(Ordering::Relaxed)));
    pace.answered();
    Ok(response.map(|body| Answer { body, pace }))
}

/// The answer when the time is over; who was late, the client or the handler?
fn late(received: bool) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() =
        if received { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::REQUEST_TIMEOUT };
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The body of an answer; it ends when it is dropped.
pub(crate) struct Answer {
    body: Body,
    pace: Arc<Pace>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.pace.made();
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that notes when all of it is there.
struct Received {
    body: Incoming,
    all: Arc<AtomicBool>,
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.all.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

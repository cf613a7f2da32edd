//! How far a connection is with its request, and until when it must be further. The stream moves it on when bytes
//! pass, the service when a request begins and ends, and the connection's task looks at the time.

use crate::Limits;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Nothing of a request is there.
    Waiting = 0,
    /// Bytes of a head are there.
    Head = 1,
    /// The handler has it.
    Request = 2,
    /// The answer is on its way.
    Sending = 3,
    /// All of the answer is made; not all of it has been taken by the system.
    Made = 4,
}

/// Shared by stream, service and task of one connection. Only one of them runs at a time, so the order of the two
/// stores does not matter.
pub(crate) struct Pace {
    start: Instant,
    stage: AtomicU8,
    due_ms: AtomicU64,
    header: Duration,
    idle: Duration,
}

impl Pace {
    /// A new connection, which has the time of a head from now on.
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            stage: AtomicU8::new(Stage::Waiting as u8),
            due_ms: AtomicU64::new(limits.header_ms),
            header: limits.header(),
            idle: limits.idle(),
        })
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Waiting,
            1 => Stage::Head,
            2 => Stage::Request,
            3 => Stage::Sending,
            _ => Stage::Made,
        }
    }

    /// Until when the connection must be further; none while a handler has the request.
    pub(crate) fn due(&self) -> Option<Instant> {
        (self.stage() != Stage::Request)
            .then(|| self.start + Duration::from_millis(self.due_ms.load(Ordering::Relaxed)))
    }

    fn enter(&self, stage: Stage, within: Duration) {
        let due = self.start.elapsed() + within;
        self.due_ms.store(u64::try_from(due.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// A handler has the request.
    pub(crate) fn request(&self) {
        self.stage.store(Stage::Request as u8, Ordering::Relaxed);
    }

    /// The handler has answered.
    pub(crate) fn answered(&self) {
        self.enter(Stage::Sending, self.idle);
    }

    /// Nothing more belongs to the answer.
    pub(crate) fn made(&self) {
        if self.stage() == Stage::Sending {
            self.stage.store(Stage::Made as u8, Ordering::Relaxed);
        }
    }

    fn received(&self) {
        if self.stage() == Stage::Waiting {
            self.enter(Stage::Head, self.header);
        }
    }

    fn sent(&self) {
        let stage = self.stage();
        if matches!(stage, Stage::Sending | Stage::Made) {
            self.enter(stage, self.idle);
        }
    }

    fn flushed(&self) {
        if self.stage() == Stage::Made {
            self.enter(Stage::Waiting, self.idle);
        }
    }
}

/// A stream that tells its pace.
pub(crate) struct Paced {
    pub(crate) stream: TcpStream,
    pub(crate) pace: Arc<Pace>,
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.pace.received();
        }
        result
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if result.is_ready() {
            self.pace.sent();
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        if result.is_ready() {
            self.pace.flushed();
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        if result.is_ready() {
            self.pace.sent();
        }
        result
    }
}

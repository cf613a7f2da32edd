//! An HTTP/1.1 listener with bounds: what a push source and the host's own endpoints stand on.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use kindred_listening::{Limits, Listener};
//! use std::time::Duration;
//!
//! let router = Router::new().route("/", get(|| async { "hello" }));
//! let serving = Listener::bind("127.0.0.1:8080")?.serve(router, &Limits::default(), 2)?;
//! // …
//! serving.stop(Duration::from_secs(30));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The accept loop is written here, because a bound that begins with the first byte of a request misses the client that
//! never sends one. A handler of a router finds the far end of its connection as the extension [`Peer`].
//!
//! | bound | what is over it |
//! |---|---|
//! | `header_ms` | a request's head, also one that never begins on a new connection: the connection is cut |
//! | `request_ms` | a body that is still on its way: 408; a handler that is still at work: 503 |
//! | `idle_ms` | a connection between two requests, or a client that does not read its answer: closed |
//! | `connections` | waits in the system's backlog, while the connection that has been waiting for a request the longest is closed |
//! | `per_address` | is refused at once |
//! | 64 KiB, about | a request's head: 431 |
//!
//! # HTTP/1.1 only
//!
//! A proxy in front speaks TLS and HTTP/2. So floods of streams, of resets and of settings are no concern here: one
//! connection is one request at a time.

mod answer;
mod connection;
mod lanes;
mod limits;
mod listener;
mod pace;
mod respond;

pub use limits::Limits;
pub use listener::{Listener, Serving};
pub use respond::Respond;

/// The far end of the connection that a request came on: the client, or the proxy before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub std::net::SocketAddr);

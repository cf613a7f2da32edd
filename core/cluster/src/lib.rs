//! The distributed engine: a full pass cut into one job a bucket, given to workers, checked, put together.
//!
//! ```text
//! host                                                          worker (`kindred worker`)
//! publish ─▶ shared directory: buckets, manifest ◀──────────────── reads its bucket
//! [engine] Pass ─▶ [job] one a bucket ─▶ [crew] ─ [client] ─────▶ [node] ─▶ [session] the plugin, as in the host
//!          Passed ◀─ all answers, rows counted ◀─────────────────── answer
//! ```
//!
//! A job and its answer cross as one node of a DataFusion plan (`node`) over datafusion-distributed's worker service,
//! which fails cleanly and retries nothing; who is given what, when, and how often is decided in `crew`.
//!
//! Invariants: an answer counts only when the rows behind it are those of the host's manifest; a job that is sent twice
//! changes nothing, because its answer is a function of the generation and the bucket; a pass is applied whole or not
//! at all; a worker writes nothing.

mod client;
mod crew;
mod engine;
mod job;
mod node;
pub mod query;
mod session;
pub mod worker;

pub use engine::Cluster;

/// What host and worker must agree on, besides the job's own contents: the version of this crate and of what crosses.
const PROTOCOL: &str = concat!("kindred ", env!("CARGO_PKG_VERSION"), " protocol 1");

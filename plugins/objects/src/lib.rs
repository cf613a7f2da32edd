//! Objects of S3, Google Cloud Storage and Azure Blob Storage for a source that reads files: an [`Address`] names a
//! bucket and what of it is meant, [`Stores`] lists that, and an [`Object`] is entered as it is then and read in ranges.
//!
//! ```text
//! s3://bucket/logs/*.gz ─ Address ─▶ Stores ─▶ Store ─ list ─▶ Object ─ enter ─▶ Entered ─ range | read | Blocks ─▶ bytes
//! ```
//!
//! Every call blocks and does all that it does before it returns: between two calls nothing is on its way, so a source that
//! waits for hours meets no connection that timed out meanwhile. No object is held as a whole. Retries are object_store's;
//! what is left of a failure becomes a fault here: CONFIG where an operator must act, TRANSIENT where time may help.

mod address;
mod blocks;
mod entered;
mod http;
mod options;
mod reach;
mod refusal;
mod runtime;
mod store;

pub use address::Address;
pub use blocks::Blocks;
pub use entered::{Entered, Version};
pub use options::StoreConfig;
pub use refusal::GONE;
pub use store::{Object, Stores};

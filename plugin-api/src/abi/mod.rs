//! The boundary itself: raw types, and the only place of this crate with `unsafe` or abi_stable. Plugin authors never
//! come here; the host does.
#![allow(non_local_definitions, reason = "abi_stable 0.11.3's derives trip this lint since Rust 1.79")]

pub mod batch;
mod doors;
mod guard;
#[allow(
    missing_docs,
    clippy::all,
    unreachable_pub,
    reason = "abi_stable's macros generate undocumented items"
)]
pub mod raw;
pub mod register;
pub mod rejects;

pub use abi_stable;
pub use register::{registered, Registered};

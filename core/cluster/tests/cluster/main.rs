//! The distributed engine with real workers, which are processes of their own on loopback: the audiences are those of
//! the embedded engine, bit for bit, whatever happens to the workers meanwhile; or there are none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test stops at the first surprise"
)]

mod beside;
mod faults;
mod kills;
mod processes;
mod retail;
mod sql;

// Linked, so that they register themselves as they do in the binary.
use kindred_plugin_file_events as _;
use kindred_plugin_rules as _;

//! The spool keeps what it acknowledged.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what a test cannot set up, fails it")]

mod basic;

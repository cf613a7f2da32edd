//! What the tests share: libraries built for them, the conformance suite, and a scenario for each built-in plugin.

#![allow(clippy::expect_used, reason = "what a test cannot set up, fails it")]

pub mod artefacts;
pub mod clients;
pub mod collecting;
pub mod conformance;
pub mod disk;
pub mod evolution;
pub mod network;
pub mod oracle;
pub mod sandbox;
pub mod scenarios;
pub mod server;
pub mod services;
pub mod stores;

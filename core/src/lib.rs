//! The runtime of Kindred: reads a pipeline file, loads its plugins and carries rows from sources to audiences to
//! destinations, one committed step after another. It names no concrete plugin.

pub mod activate;
pub mod cli;
pub mod clock;
pub mod config;
pub mod consent;
mod disk;
mod error;
pub mod identity;
pub mod log;
mod near;
pub mod plan;
pub mod plugin;
pub mod profile;
pub mod publish;
pub mod query;
pub mod segment;
pub mod serve;
pub mod step;
pub mod store;
pub mod testing;

pub use error::{Error, Result};

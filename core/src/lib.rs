//! The runtime of Kindred: reads a pipeline file, loads its plugins and carries rows from sources to audiences to
//! destinations, one committed step after another. It names no concrete plugin.

pub mod cli;
pub mod clock;
pub mod config;
pub mod log;
pub mod plugin;

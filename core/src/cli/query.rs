//! `kindred query`: publishes the store if it moved on, and hands the query over to the query engine.

use super::{File, Outcome, load};
use crate::{
    Error, log,
    plugin::registry::Registry,
    publish::Manifest,
    query::{self, Engine},
    step::{moment, text},
    store::Store,
};
use clap::Args;
use std::{path::PathBuf, process::ExitCode};

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: File,
    /// One query over events, profiles, identities and memberships.
    // It may begin with a comment.
    #[arg(allow_hyphen_values = true)]
    sql: String,
    /// Print CSV with a header.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Write an Arrow IPC file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "json"])]
    arrow: Option<PathBuf>,
    /// Print at most so many rows of a table; 0 for all. Default: 100 on a terminal, all elsewhere.
    #[arg(long, value_name = "ROWS")]
    limit: Option<usize>,
    /// Most memory that the query takes, such as 2GiB. Default: half of the machine's.
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Give up after this time, such as 30s or 5m.
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
}

pub(super) fn run(registry: &Registry, options: &Options, json: bool) -> Outcome {
    let pipeline = load(registry, &options.file, json)?;
    let engine = Engine::find(&pipeline.engine)?;
    let dir = query::published(&pipeline);
    let as_of_us = match Store::existing(&pipeline.store) {
        Ok(mut store) => {
            let moment = moment(&pipeline, &store);
            query::refresh(&mut store, &dir, &moment)?;
            moment.as_of_us
        }
        // Whoever works in the store publishes it; what is there is whole, only older.
        Err(held @ Error::Held { .. }) => match Manifest::find(&dir)? {
            Some(manifest) => {
                let when = text(manifest.as_of_us).unwrap_or_default();
                log::warn(&format!("{held}: this is the answer as of {when}"));
                manifest.as_of_us
            }
            None => return Err(held.into()),
        },
        Err(error) => return Err(error.into()),
    };
    let mut command = engine.command(&dir, as_of_us);
    command.args(json.then_some("--json")).args(options.csv.then_some("--csv"));
    let limit = options.limit.map(|rows| rows.to_string());
    for (name, value) in [("--memory", &options.memory), ("--timeout", &options.timeout), ("--limit", &limit)]
    {
        if let Some(value) = value {
            command.args([name, value]);
        }
    }
    if let Some(path) = &options.arrow {
        command.arg("--arrow").arg(path);
    }
    let status = command.arg("--").arg(&options.sql).status().map_err(Error::io("kindred-query"))?;
    match query::ended(status) {
        Some(how) => Err(Error::Query(how).into()),
        None => Ok(status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .map_or(ExitCode::FAILURE, ExitCode::from)),
    }
}

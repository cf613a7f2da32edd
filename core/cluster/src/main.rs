//! The `kindred-cluster` binary: `kindred worker`, queries on workers, and everything that `kindred` does with the distributed engine in it.
//! `kindred` starts it where a command or a pipeline asks for that.

use clap::Parser;
use kindred_cluster::{Cluster, query::Query, worker};
use kindred_core::{Error, cli, config::Distributed, segment::engine::Engine};
use std::process::ExitCode;

use kindred_plugin_campaign_log as _;
use kindred_plugin_consent as _;
use kindred_plugin_content_category as _;
use kindred_plugin_cookies as _;
use kindred_plugin_crm_import as _;
use kindred_plugin_dsp_export as _;
use kindred_plugin_file_events as _;
use kindred_plugin_geo as _;
use kindred_plugin_hash_identifiers as _;
use kindred_plugin_http_pull as _;
use kindred_plugin_kafka as _;
use kindred_plugin_lookalike as _;
use kindred_plugin_nats as _;
use kindred_plugin_postgres as _;
use kindred_plugin_rules as _;
use kindred_plugin_session as _;
use kindred_plugin_taxonomy as _;
use kindred_plugin_url as _;
use kindred_plugin_user_agent as _;

/// Do jobs for pipelines with `[engine] kind = "distributed"`, until ended. Writes nothing; may be ended and started
/// at any time.
#[derive(Debug, Parser)]
#[command(name = "kindred worker", version, max_term_width = 100)]
struct Work {
    #[command(flatten)]
    options: worker::Options,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    match arguments.get(1).and_then(|word| word.to_str()) {
        Some("worker") => work(&Work::parse_from(&arguments[1..]).options),
        // `kindred query` makes of its pipeline file what stands here.
        Some("query") if arguments.iter().any(|word| word == "--workers") => {
            Query::parse_from(&arguments[1..]).run()
        }
        _ => cli::main_with(Some(engine)),
    }
}

fn engine(options: &Distributed) -> kindred_core::Result<Box<dyn Engine>> {
    Ok(Box::new(Cluster::new(options)?))
}

fn work(options: &worker::Options) -> ExitCode {
    let ready = |address| eprintln!("worker: listening on {address}, reading {}", options.shared.display());
    let runtime = tokio::runtime::Runtime::new().map_err(Error::io("the worker's runtime"));
    match runtime.and_then(|runtime| runtime.block_on(worker::serve(options, ready))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

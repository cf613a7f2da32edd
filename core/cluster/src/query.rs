//! `kindred-cluster query`: whole queries on the workers, in the session of `kindred-query`. datafusion-distributed
//! reports a lost worker at once and tries nothing again, so a query that failed is sent again, whole, to the workers
//! that are there then.

use crate::{
    client::{Channels, Client, url},
    crew::{LONGEST_PAUSE, PAUSE, Patience},
};
use clap::Parser;
use datafusion::{common::Result, error::DataFusionError, execution::SessionStateBuilder};
use datafusion_distributed::{DistributedExt, SessionStateBuilderExt, WorkerResolver};
use kindred_core::log;
use kindred_query::{Answer, Arguments, Error, run, start};
use std::{process::ExitCode, time::Duration};
use url::Url;

/// Bytes of Parquet that one partition should read about; below it a scan is not worth a worker.
const PARTITION_BYTES: usize = 1 << 20;

/// SQL over the published tables of a Kindred store, on workers.
#[derive(Debug, Parser)]
#[command(name = "kindred-cluster query", version, max_term_width = 100)]
pub struct Query {
    /// Addresses of the workers, HOST:PORT.
    #[arg(long, value_name = "ADDRESS,…", value_delimiter = ',', required = true)]
    workers: Vec<String>,
    /// Try again after this time, such as 60s or 5m.
    #[arg(long, value_name = "TIME", value_parser = deadline, default_value = "60s")]
    deadline: Duration,
    /// How often to try again.
    #[arg(long, value_name = "TIMES", default_value_t = 5)]
    retries: u32,
    /// Tell what was tried again.
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    arguments: Arguments,
}

impl Query {
    /// Prints the answer, which came whole.
    pub fn run(&self) -> ExitCode {
        log::set_verbose(self.verbose);
        let patience = Patience { deadline: self.deadline, retries: self.retries };
        run(&self.arguments, async |arguments: &Arguments| {
            until_done(&self.workers, patience, arguments).await
        })
    }
}

fn deadline(text: &str) -> Result<Duration, String> {
    let time: Result<jiff::SignedDuration, _> = text.parse();
    match time.map(Duration::try_from) {
        Ok(Ok(time)) if !time.is_zero() => Ok(time),
        _ => Err("write a number and a unit, such as 60s or 5m".into()),
    }
}

/// The answer of the first try that went well; or the query's own failure, which is one that two tries in a row agree on;
/// or what became of the last try.
async fn until_done(workers: &[String], patience: Patience, arguments: &Arguments) -> Result<Answer, Error> {
    let (mut tried, mut last, mut pause) = (0, String::new(), PAUSE);
    loop {
        let failed = match tokio::time::timeout(patience.deadline, once(workers, arguments)).await {
            Ok(Err(Error::Engine(error))) => error,
            Ok(done) => return done,
            Err(_) => {
                let told = format!("no answer within {} ms", patience.deadline.as_millis());
                DataFusionError::Execution(told)
            }
        };
        let told = failed.strip_backtrace();
        log::debug(&format!("the query failed: {told}"));
        if tried == patience.retries || (told == last && !told.contains(NOBODY)) {
            return Err(Error::Engine(failed));
        }
        (tried, last) = (tried + 1, told);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One try, with the workers that answer now.
async fn once(workers: &[String], arguments: &Arguments) -> Result<Answer, Error> {
    let there = there(workers).await.map_err(Error::Engine)?;
    start(arguments, &|builder| distributed(builder, there.clone())).await?.whole().await
}

const NOBODY: &str = "no worker is left";

async fn there(addresses: &[String]) -> Result<Vec<Url>> {
    let greeted = futures::future::join_all(addresses.iter().map(|address| Client::connect(address))).await;
    let (mut there, mut told) = (Vec::new(), Vec::new());
    for (address, greeted) in addresses.iter().zip(greeted) {
        match greeted {
            Ok(_) => there.push(url(address)?),
            Err(error) => told.push(format!("{address} ({})", error.strip_backtrace())),
        }
    }
    match there.is_empty() {
        false => Ok(there),
        true => Err(DataFusionError::Execution(format!("{NOBODY}: {}", told.join(", ")))),
    }
}

/// A session whose plans run on these workers.
fn distributed(builder: SessionStateBuilder, workers: Vec<Url>) -> Result<SessionStateBuilder> {
    builder
        .with_distributed_worker_resolver(Workers(workers))
        .with_distributed_channel_resolver(Channels::default())
        .with_distributed_planner()
        .with_distributed_metrics_collection(false)?
        .with_distributed_file_scan_config_bytes_per_partition(PARTITION_BYTES)
}

struct Workers(Vec<Url>);

impl WorkerResolver for Workers {
    fn get_urls(&self) -> Result<Vec<Url>> {
        Ok(self.0.clone())
    }
}

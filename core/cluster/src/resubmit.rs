//! Whole queries on the workers. datafusion-distributed reports a lost worker at once and tries nothing again, so a query
//! that failed is sent again, whole, to the workers that are there then.

use crate::{
    client::{Channels, Client, url},
    crew::Patience,
};
use datafusion::{
    common::{Result, exec_datafusion_err},
    error::DataFusionError,
    execution::SessionStateBuilder,
};
use datafusion_distributed::{DistributedExt, SessionStateBuilderExt, WorkerResolver};
use kindred_core::log;
use std::time::Duration;
use url::Url;

/// Bytes of Parquet that one partition should read about; below it a scan is not worth a worker.
const PARTITION_BYTES: usize = 4 << 20;
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Runs `attempt` with workers that are there until it succeeds, as often as `patience` says.
///
/// # Errors
/// The query's own failure, which is one that two attempts in a row agree on; or what became of the last attempt.
pub(crate) async fn until_done<T>(
    addresses: &[String],
    patience: Patience,
    attempt: impl AsyncFn(Vec<Url>) -> Result<T>,
) -> Result<T> {
    let mut last: Option<String> = None;
    let mut pause = PAUSE;
    for tried in 0..=patience.retries {
        let there = there(addresses).await;
        let failed = match there {
            Ok(there) => match tokio::time::timeout(patience.deadline, attempt(there)).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) if last.as_ref() == Some(&error.strip_backtrace()) => return Err(error),
                Ok(Err(error)) => error,
                Err(_) => exec_datafusion_err!("no answer within {} ms", patience.deadline.as_millis()),
            },
            Err(error) => error,
        };
        log::debug(&format!("the query failed (try {}): {}", tried + 1, failed.strip_backtrace()));
        if tried == patience.retries {
            return Err(failed);
        }
        last = Some(failed.strip_backtrace());
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Err(exec_datafusion_err!("the query was never tried"))
}

/// Workers that answer now.
async fn there(addresses: &[String]) -> Result<Vec<Url>> {
    let greeted = futures::future::join_all(addresses.iter().map(|address| Client::connect(address))).await;
    let mut there = Vec::new();
    let mut told = Vec::new();
    for (address, greeted) in addresses.iter().zip(greeted) {
        match greeted {
            Ok(_) => there.push(url(address)?),
            Err(error) => told.push(format!("{address} ({})", error.strip_backtrace())),
        }
    }
    match there.is_empty() {
        false => Ok(there),
        true => Err(DataFusionError::Execution(format!("no worker is left: {}", told.join(", ")))),
    }
}

/// A session whose plans run on these workers.
///
/// # Errors
/// When the library refuses a setting.
pub(crate) fn distributed(builder: SessionStateBuilder, workers: Vec<Url>) -> Result<SessionStateBuilder> {
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

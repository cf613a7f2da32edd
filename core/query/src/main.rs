//! The `kindred-query` binary: SQL over what a store published. `kindred query` and SQL segments call it; it can be
//! called by hand, too. It reads one folder, writes to standard output (or the one file that `--arrow` names) and to a
//! folder of its own for what does not fit into memory.

mod arguments;
mod error;
mod intervals;
mod limits;
mod output;
mod session;

use arguments::{Arguments, Work};
use clap::Parser;
use error::{Error, Result};
use futures::StreamExt;
use session::Session;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match limits::apply(&arguments).and_then(|()| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(arguments.json),
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Start)?;
    let result = runtime.block_on(async {
        match arguments.timeout {
            Some(deadline) => tokio::time::timeout(deadline.unsigned_abs(), answer(arguments))
                .await
                .unwrap_or(Err(Error::Deadline(deadline))),
            None => answer(arguments).await,
        }
    });
    // A plan that computes without a pause would hold the process up after its deadline.
    runtime.shutdown_background();
    result
}

async fn answer(arguments: &Arguments) -> Result<()> {
    let session = Session::open(arguments).await?;
    let query = session.plan(&arguments.sql).await?;
    match arguments.work() {
        Work::Check => output::members::check(&query.schema()),
        Work::Members => {
            output::members::check(&query.schema())?;
            output::members::write(query.run().await?).await
        }
        Work::Rows(format) => {
            let schema = query.schema();
            let rows = query.run().await?.map(|batch| batch.map_err(Error::Engine)).boxed();
            output::write(format, rows, schema).await
        }
    }
}

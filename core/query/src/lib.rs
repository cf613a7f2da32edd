//! SQL over what a store published. It reads one folder, writes to standard output (or the one file that `--arrow` names)
//! and to a folder of its own for what does not fit into memory. `kindred-query` executes the plans itself, [`here`];
//! `kindred-cluster` has workers do it, in a session that is otherwise the same ([`start`]).

mod arguments;
mod error;
mod intervals;
mod limits;
mod output;
mod session;

use arguments::Work;
use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    error::DataFusionError,
    execution::SessionStateBuilder,
};
use futures::{StreamExt, TryStreamExt, stream};
use output::Rows;
use session::Session;
use std::process::ExitCode;

pub use arguments::Arguments;
pub use error::{Error, Result};

/// Makes of a session another one, whose plans are executed elsewhere.
pub type Prepare<'a> = &'a dyn Fn(SessionStateBuilder) -> Result<SessionStateBuilder, DataFusionError>;

/// An answer on its way.
pub struct Answer {
    schema: SchemaRef,
    rows: Rows,
    /// What the rows are read from stays as long as they come.
    _session: Session,
}

impl Answer {
    /// The same with all rows in memory: it does not fail any more.
    ///
    /// # Errors
    /// What the engine said meanwhile.
    pub async fn whole(self) -> Result<Self> {
        let rows: Vec<RecordBatch> = self.rows.try_collect().await?;
        Ok(Self { rows: stream::iter(rows.into_iter().map(Ok)).boxed(), ..self })
    }
}

/// Does what the command line asks for; `engine` starts the query.
pub fn run(arguments: &Arguments, engine: impl AsyncFn(&Arguments) -> Result<Answer>) -> ExitCode {
    match limits::apply(arguments).and_then(|()| ask(arguments, engine)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(arguments.json),
    }
}

/// Plans and starts a query in this process.
///
/// # Errors
/// When there are no tables, or the text is not a query over them.
pub async fn here(arguments: &Arguments) -> Result<Answer> {
    start(arguments, &Ok).await
}

/// Plans and starts a query in a session that `prepare` made another one of.
///
/// # Errors
/// As [`here`], and when `prepare` fails.
pub async fn start(arguments: &Arguments, prepare: Prepare<'_>) -> Result<Answer> {
    let session = Session::open(arguments, prepare).await?;
    let query = session.plan(&arguments.sql).await?;
    let schema = query.schema();
    if let Work::Members = arguments.work() {
        output::members::check(&schema)?;
    }
    let rows = query.run().await?.map_err(Error::Engine).boxed();
    Ok(Answer { schema, rows, _session: session })
}

fn ask(arguments: &Arguments, engine: impl AsyncFn(&Arguments) -> Result<Answer>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Start)?;
    let result = runtime.block_on(async {
        match arguments.timeout {
            Some(deadline) => tokio::time::timeout(deadline.unsigned_abs(), answer(arguments, engine))
                .await
                .unwrap_or(Err(Error::Deadline(deadline))),
            None => answer(arguments, engine).await,
        }
    });
    // A plan that computes without a pause would hold the process up after its deadline.
    runtime.shutdown_background();
    result
}

async fn answer(arguments: &Arguments, engine: impl AsyncFn(&Arguments) -> Result<Answer>) -> Result<()> {
    let work = arguments.work();
    if let Work::Check = work {
        let session = Session::open(arguments, &Ok).await?;
        return output::members::check(&session.plan(&arguments.sql).await?.schema());
    }
    let Answer { schema, rows, _session } = engine(arguments).await?;
    match work {
        Work::Check => Ok(()),
        Work::Members => output::members::write(rows).await,
        Work::Rows(format) => output::write(format, rows, schema).await,
    }
}

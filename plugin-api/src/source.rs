//! Sources bring rows in.

use crate::{Context, Manifest, Problem, Result};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// Brings rows in.
///
/// Calls, in order: `validate`, `check`, `open`, `schema`, then `poll` until [`Poll::End`], `ack` after each commit,
/// `close`, drop. An instance lives on a thread of its own, so every call may block up to its deadline.
///
/// * Before `open`, nothing outside may be touched, except by `check`, which leaves no trace.
/// * `open` finds in [`Context::state`] the position that was committed last, and goes on right behind it. The host
///   stores a position only together with everything that its rows caused, so a row is never lost and, after a
///   crash, may come twice; an `event_id` makes the second one harmless.
/// * `poll` is not called while the pipeline is full: that is the back-pressure.
/// * `close` is called once, also after a fault; drop may come without it.
pub trait Source: Sized + Send + 'static {
    /// Who this is.
    const MANIFEST: Manifest;
    /// The options.
    type Config: DeserializeOwned + JsonSchema;

    /// Checks what types cannot say; touches nothing outside.
    fn validate(_config: &Self::Config) -> Vec<Problem> {
        Vec::new()
    }

    /// Checks that the outside is there: the file exists, the server answers.
    ///
    /// # Errors
    /// CONFIG when the operator must act, TRANSIENT when waiting may help.
    fn check(_config: &Self::Config, _context: &Context) -> Result<()> {
        Ok(())
    }

    /// Opens the source at [`Context::state`].
    ///
    /// # Errors
    /// Any; CONFIG and PERMANENT stop the pipeline before it starts.
    fn open(config: Self::Config, context: Context) -> Result<Self>;

    /// The schema of every batch, in the names of [`crate::columns`].
    ///
    /// # Errors
    /// As `open`.
    fn schema(&mut self) -> Result<SchemaRef>;

    /// The next rows: exactly `max_rows` while there are that many, so that a replay makes the same batches.
    ///
    /// # Errors
    /// TRANSIENT is tried again, DATA sends the reported batch to the dead letters, the rest stops the source.
    fn poll(&mut self, max_rows: usize, deadline_ms: u64) -> Result<Poll>;

    /// All rows up to `position` are committed; an upstream may forget them.
    ///
    /// # Errors
    /// Logged; the rows are safe.
    fn ack(&mut self, _position: &[u8]) -> Result<()> {
        Ok(())
    }

    /// Last call.
    ///
    /// # Errors
    /// Logged.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The answer of [`Source::poll`].
#[derive(Debug)]
pub enum Poll {
    /// Rows, rejects, or only a new position.
    Rows(Rows),
    /// Nothing now; ask again after this wait.
    Idle {
        /// Milliseconds.
        wait_ms: u64,
    },
    /// Nothing ever again.
    End,
}

/// Rows and where they end.
#[derive(Debug)]
pub struct Rows {
    /// Rows in the agreed schema; may be empty.
    pub batch: RecordBatch,
    /// Rows that could not be read.
    pub rejects: Vec<Reject>,
    /// Where to go on behind these rows; opaque to the host.
    pub position: Vec<u8>,
    /// Rows known to be waiting behind these, or 0; makes the progress bar.
    pub backlog_rows: u64,
}

/// A row that goes to the dead letters instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Row number: of the file (first data row is 1) in a source, of the batch (from 0) elsewhere.
    pub row: u64,
    /// Short, stable, for machines and for the summary: `ragged-row`.
    pub code: String,
    /// One line for people.
    pub message: String,
    /// The row as it was found, cut at 4 KiB; empty where it may hold what must not be stored.
    pub payload: String,
    /// File, topic or table.
    pub origin: String,
}

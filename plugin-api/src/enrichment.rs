//! Enrichments change or add columns.

use crate::{Context, Manifest, Problem, Reject, Result};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// Changes or adds columns of event batches; never changes which event a row is.
///
/// Calls, in order: `validate`, `check`, `open`, `bind`, then `process` for each batch, `close`, drop. One instance
/// per source that it is applied to, each on a thread of its own. The same batch may come again after a crash and
/// must give the same answer: what an enrichment adds is a function of the row and its options.
pub trait Enrichment: Sized + Send + 'static {
    /// Who this is.
    const MANIFEST: Manifest;
    /// The options.
    type Config: DeserializeOwned + JsonSchema;

    /// Checks what types cannot say; touches nothing outside.
    fn validate(_config: &Self::Config) -> Vec<Problem> {
        Vec::new()
    }

    /// Checks that the outside is there.
    ///
    /// # Errors
    /// CONFIG when the operator must act, TRANSIENT when waiting may help.
    fn check(_config: &Self::Config, _context: &Context) -> Result<()> {
        Ok(())
    }

    /// Opens an instance.
    ///
    /// # Errors
    /// Any; the pipeline does not start.
    fn open(config: Self::Config, context: Context) -> Result<Self>;

    /// Agrees the schemas: told what comes in, answers what goes out.
    ///
    /// # Errors
    /// CONFIG when a column that the options name is missing.
    fn bind(&mut self, input: SchemaRef) -> Result<SchemaRef>;

    /// One batch: rows in = rows out + rejects, in order.
    ///
    /// # Errors
    /// DATA sends the whole batch to the dead letters; TRANSIENT is tried again.
    fn process(&mut self, batch: RecordBatch) -> Result<Processed>;

    /// Last call.
    ///
    /// # Errors
    /// Logged.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The answer of [`Enrichment::process`].
#[derive(Debug)]
pub struct Processed {
    /// Rows that go on, in the agreed schema.
    pub batch: RecordBatch,
    /// Rows of the input, by number from 0, that do not.
    pub rejects: Vec<Reject>,
}

impl From<RecordBatch> for Processed {
    fn from(batch: RecordBatch) -> Self {
        Self { batch, rejects: Vec::new() }
    }
}

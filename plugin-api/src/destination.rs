//! Destinations take audiences out.

use crate::{Context, Manifest, Problem, Reject, Result};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use schemars::JsonSchema;
use serde::{de::DeserializeOwned, Deserialize, Serialize};

/// Takes audiences out.
///
/// Calls, in order: `validate`, `check`, `open`, `bind`, then per delivery `begin`, `write` for each batch, `flush`;
/// `close`, drop. Rows are shaped as [`crate::columns::activation`] says.
///
/// * A delivery has an id. After a crash or a time-out the same delivery, byte for byte, comes again from `begin`:
///   the effect of two must be the effect of one.
/// * `Ok` from `write` means accepted; `Ok` from `flush` means durable at the far side. Nothing of a delivery may be
///   visible to a reader before that.
/// * `begin` forgets an unfinished delivery.
pub trait Destination: Sized + Send + 'static {
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

    /// Agrees the schema of the rows.
    ///
    /// # Errors
    /// CONFIG when something needed is missing.
    fn bind(&mut self, input: SchemaRef) -> Result<()>;

    /// Starts a delivery.
    ///
    /// # Errors
    /// TRANSIENT is tried again.
    fn begin(&mut self, delivery: &Delivery) -> Result<()>;

    /// Some rows of the delivery.
    ///
    /// # Errors
    /// TRANSIENT starts the delivery again.
    fn write(&mut self, batch: RecordBatch) -> Result<()>;

    /// End of the delivery: everything is durable and visible.
    ///
    /// # Errors
    /// TRANSIENT starts the delivery again.
    fn flush(&mut self) -> Result<Flushed>;

    /// Last call.
    ///
    /// # Errors
    /// Logged.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// How a delivery relates to what was delivered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Additions and removals since the last acknowledged delivery.
    Delta,
    /// The whole audience; replaces what was there.
    Full,
}

/// What is being delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// 32 hexadecimal digits; the same on redelivery.
    pub id: String,
    /// 1, 2, 3, … per destination.
    pub sequence: u64,
    /// Delta or full.
    pub mode: Mode,
    /// When it was cut, microseconds since 1970; the same on redelivery.
    pub created_us: i64,
    /// What is inside.
    pub segments: Vec<DeliverySegment>,
}

/// One audience of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverySegment {
    /// Name of the segment.
    pub segment: String,
    /// Members who enter.
    pub adds: u64,
    /// Members who leave.
    pub removes: u64,
}

/// The answer of [`Destination::flush`].
#[derive(Debug, Default)]
pub struct Flushed {
    /// Rows durable at the far side.
    pub rows: u64,
    /// Rows, counted from 0 over the delivery, that the destination cannot take (no identifier of its kind).
    pub rejects: Vec<Reject>,
    /// Files, job ids: what the operator can look up.
    pub receipts: Vec<String>,
}

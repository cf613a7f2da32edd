//! Write a Kindred plugin: implement one of four traits, name your options in one struct, register it.
//!
//! ```
//! use kindred_plugin_api::prelude::*;
//! use std::sync::Arc;
//!
//! /// Options, as they stand in the pipeline file under `config`.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! pub struct Config {
//!     /// Column to write in lower case.
//!     column: String,
//! }
//!
//! pub struct Lowercase {
//!     config: Config,
//!     index: usize,
//! }
//!
//! impl Enrichment for Lowercase {
//!     const MANIFEST: Manifest = manifest!("lowercase", "writes a column in lower case");
//!     type Config = Config;
//!
//!     fn open(config: Config, _context: Context) -> Result<Self> {
//!         Ok(Self { config, index: 0 })
//!     }
//!
//!     fn bind(&mut self, input: SchemaRef) -> Result<SchemaRef> {
//!         let name = &self.config.column;
//!         self.index = input
//!             .index_of(name)
//!             .map_err(|_| Fault::config(vec![Problem::new("/column", format!("no column `{name}`"))]))?;
//!         Ok(input)
//!     }
//!
//!     fn process(&mut self, batch: RecordBatch) -> Result<Processed> {
//!         let lower: StringArray =
//!             batch.column(self.index).as_string::<i32>().iter().map(|v| v.map(str::to_lowercase)).collect();
//!         let mut columns = batch.columns().to_vec();
//!         columns[self.index] = Arc::new(lower);
//!         Ok(RecordBatch::try_new(batch.schema(), columns)?.into())
//!     }
//! }
//!
//! register!(enrichment Lowercase);
//! ```
//!
//! A second crate of type `cdylib` with the one line `kindred_plugin_api::export!(enrichment lowercase::Lowercase);`
//! makes the library that a pipeline file names: `plugin = "./liblowercase.so"`.
//!
//! What crosses the boundary is Arrow record batches with the columns of [`columns`], and plain values. A plugin may
//! own threads or an async runtime; neither crosses. Panics are caught on this side and become faults.

pub mod abi;
pub mod columns;
mod context;
mod destination;
mod enrichment;
mod fault;
pub mod manifest;
pub mod options;
mod segmentation;
mod source;
pub mod spool;

pub use arrow;
pub use context::Context;
pub use destination::{Delivery, DeliverySegment, Destination, Flushed, Mode};
pub use enrichment::{Enrichment, Processed};
pub use fault::{Fault, FaultKind, Problem, Result};
pub use inventory;
pub use manifest::{Kind, Manifest, ReadManifest};
pub use options::Facts;
pub use segmentation::{Evaluated, Fitted, Needs, Reason, Report, Segment, Segmentation};
pub use source::{Poll, Reject, Rows, Source};

/// Everything that a plugin's file usually needs.
pub mod prelude {
    pub use crate::{
        columns, manifest, register, Context, Delivery, Destination, Enrichment, Evaluated, Facts, Fault,
        FaultKind, Fitted, Flushed, Manifest, Mode, Needs, Poll, Problem, Processed, Reason, Reject, Report,
        Result, Rows, Segment, Segmentation, Source,
    };
    pub use arrow::{
        array::{Array, ArrayRef, AsArray, RecordBatch, StringArray},
        datatypes::{DataType, Field, Schema, SchemaRef},
    };
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}

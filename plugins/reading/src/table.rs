//! Rows of a typed table that another crate reads: a database. They go the way of all rows behind `chunk`, by the same
//! mapping.

use crate::{
    assemble::{Origin, assemble},
    chunk::{Chunk, Header},
    mapping::Mapping,
    plan::Plan,
};
use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::{DataType, SchemaRef},
};
use kindred_plugin_api::{Fault, Problem, Reject, Result};
use std::sync::Arc;

/// Reads columns as the rows of a mapping.
pub struct Table {
    plan: Plan,
    name: String,
}

impl Table {
    /// Resolves a mapping against the columns of a table.
    ///
    /// # Errors
    /// CONFIG with all that is wrong with the mapping, and the columns that the table does not have.
    pub fn new(mapping: &Mapping, name: &str, fields: &[(String, DataType)]) -> Result<Self> {
        let header = Header {
            names: fields.iter().map(|(name, _)| name.clone()).collect(),
            types: Some(fields.iter().map(|(_, kind)| kind.clone()).collect()),
        };
        let plan = Plan::compile(mapping, Some(&header), None).map_err(Fault::config)?;
        let lacks: Vec<Problem> = plan.lacks(&header, name);
        if lacks.is_empty() { Ok(Self { plan, name: name.to_owned() }) } else { Err(Fault::config(lacks)) }
    }

    /// The columns to read, in this order.
    pub fn columns(&self) -> &[String] {
        &self.plan.slots
    }

    /// The schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.plan.schema)
    }

    /// The batch of [`Table::columns`], and the rows that are none, by their numbers.
    ///
    /// # Errors
    /// PERMANENT for columns of a type that cannot be converted.
    pub fn batch(&self, columns: Vec<ArrayRef>, rows: Vec<u64>) -> Result<(RecordBatch, Vec<Reject>)> {
        let chunk = Chunk { columns, rows, raw: None, rejects: Vec::new(), odd: Vec::new(), end: false };
        assemble(&self.plan, None, chunk, &Origin { name: &self.name, fingerprint: "" })
    }
}

//! One batch on its way through a chain: the rows as the source handed them out, what became of them so far, and those
//! that were set aside. Who was set aside goes on beside the others, because only the end of the chain knows of each row
//! whether anything of it may be kept.

use arrow::{
    array::{ArrayRef, RecordBatch, UInt32Array, new_null_array},
    compute::take,
    datatypes::{Schema, SchemaRef},
    error::ArrowError,
};
use kindred_plugin_api::{Reject, columns::CONSENT};
use std::{collections::BTreeSet, sync::Arc};

/// One batch on its way.
#[derive(Debug)]
pub struct Load {
    /// Rows so far.
    pub batch: RecordBatch,
    /// The rows as the source handed them out.
    pub source: RecordBatch,
    /// Which of those each row is; none: they are the same.
    pub at: Option<Vec<u32>>,
    /// Rows that go no further.
    pub aside: Vec<Aside>,
    /// Rows that the source itself could not read.
    pub rejects: Vec<Reject>,
    /// Where the source goes on.
    pub position: Vec<u8>,
    /// Rows known to wait behind.
    pub backlog: u64,
    /// Of a replay: number of the letter of each row of `source`.
    pub letters: Vec<u64>,
}

/// Rows that were set aside, in the form that the others have so far.
#[derive(Debug)]
pub struct Aside {
    pub(super) batch: RecordBatch,
    pub(super) rows: Vec<SetAside>,
}

/// A row that was set aside, and why.
#[derive(Clone, Debug)]
pub(super) struct SetAside {
    /// Its row as the source handed it out.
    pub(super) at: u32,
    /// `schema` or `enrichment`.
    pub(super) stage: &'static str,
    pub(super) instance: String,
    pub(super) reject: Reject,
    /// A value was taken out of it.
    pub(super) mutilated: bool,
    /// Its consent can still be told.
    pub(super) known: bool,
}

impl Load {
    /// Rows that a source handed out, with nothing behind or beside them.
    pub fn of(batch: RecordBatch) -> Self {
        Self {
            source: batch.clone(),
            batch,
            at: None,
            aside: Vec::new(),
            rejects: Vec::new(),
            position: Vec::new(),
            backlog: 0,
            letters: Vec::new(),
        }
    }

    /// Rows as they were read, with rejects.
    pub fn read(&self) -> u64 {
        (self.source.num_rows() + self.rejects.len()) as u64
    }

    /// The source's row of a row.
    pub(super) fn at(&self, row: usize) -> u32 {
        self.at.as_ref().map_or(row as u32, |at| at[row])
    }

    /// Goes on with what an enrichment made of the rows, and sets aside those that it rejected.
    pub(super) fn enriched(
        &mut self,
        batch: RecordBatch,
        rejects: Vec<Reject>,
        instance: &str,
    ) -> Result<(), ArrowError> {
        if !rejects.is_empty() {
            let known = !makes_consent(&self.batch.schema(), &batch.schema());
            let set_aside = |reject: Reject| SetAside {
                at: self.at(reject.row as usize),
                stage: "enrichment",
                instance: instance.to_owned(),
                reject,
                mutilated: false,
                known,
            };
            let numbers: Vec<u32> = rejects.iter().map(|reject| reject.row as u32).collect();
            let rows: Vec<SetAside> = rejects.into_iter().map(set_aside).collect();
            let gone: BTreeSet<u32> = numbers.iter().copied().collect();
            let kept: Vec<u32> =
                (0..self.batch.num_rows() as u32).filter(|row| !gone.contains(row)).collect();
            self.aside.push(Aside { batch: around(&self.batch, &numbers, &batch.schema())?, rows });
            self.at = Some(kept.into_iter().map(|row| self.at(row as usize)).collect());
        }
        self.batch = batch;
        Ok(())
    }
}

impl Aside {
    /// Goes on with what an enrichment made of these rows, too.
    pub(super) fn enriched(&mut self, batch: RecordBatch) {
        if makes_consent(&self.batch.schema(), &batch.schema()) {
            // What it was made from may have been the value that is missing.
            self.rows.iter_mut().for_each(|row| row.known &= !row.mutilated);
        }
        self.batch = batch;
    }

    /// Passes an enrichment that could do nothing with these rows.
    pub(super) fn pass(&mut self, output: &SchemaRef) -> Result<(), ArrowError> {
        let known = !makes_consent(&self.batch.schema(), output);
        self.rows.iter_mut().for_each(|row| row.known &= known);
        let all: Vec<u32> = (0..self.batch.num_rows() as u32).collect();
        self.batch = around(&self.batch, &all, output)?;
        Ok(())
    }
}

/// Whether consent is another behind an enrichment than before it.
fn makes_consent(input: &Schema, output: &Schema) -> bool {
    output.field_with_name(CONSENT).is_ok_and(|made| input.field_with_name(CONSENT).ok() != Some(made))
}

/// Some rows in another schema: columns that are in both stay, the others are empty.
fn around(batch: &RecordBatch, rows: &[u32], output: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let rows = UInt32Array::from(rows.to_vec());
    let mut columns: Vec<ArrayRef> = Vec::new();
    for field in output.fields() {
        let same = batch.column_by_name(field.name()).filter(|own| own.data_type() == field.data_type());
        columns.push(match same {
            Some(own) => take(own, &rows, None)?,
            None => new_null_array(field.data_type(), rows.len()),
        });
    }
    let nullable: Vec<_> =
        output.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(nullable)), columns)
}

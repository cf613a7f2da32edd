//! Open instances, typed: the host's end of the boundary for static and dynamic plugins alike. What comes back is
//! checked here, so that nothing behind this file meets a batch of another schema or another number of rows.

use super::{Canceller, Lease};
use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use kindred_plugin_api::{
    Delivery, Evaluated, Fault, Flushed, Needs, Reason, Reject, Report,
    abi::{
        abi_stable::std_types::RResult,
        batch::{Proof, export, export_schema, import, import_schema},
        raw::{Batch, DestinationBox, EnrichmentBox, PollState, R, RawProcessed, SegmentationBox, SourceBox},
        rejects,
    },
    columns,
};
use std::collections::BTreeSet;

/// No deadline of the host's own yet: a call may take this long.
const DEADLINE_MS: u64 = 60_000;

fn done<T>(answer: R<T>) -> Result<T, Fault> {
    match answer {
        RResult::ROk(value) => Ok(value),
        RResult::RErr(fault) => Err(fault.into()),
    }
}

fn rejected(batch: Batch, proof: Proof) -> Result<Vec<Reject>, Fault> {
    if batch.array.is_none() {
        return Ok(Vec::new());
    }
    Ok(rejects::from_batch(&import(batch, &columns::rejects(), proof)?))
}

fn json<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Result<T, Fault> {
    serde_json::from_str(text)
        .map_err(|e| Fault::permanent("json", format!("the {what} cannot be read: {e}")))
}

fn unbound() -> Fault {
    Fault::permanent("not-bound", "used before the schema was agreed")
}

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident, $raw:ident) => {
        $(#[$doc])*
        pub struct $name {
            raw: $raw,
            lease: Lease,
            proof: Proof,
            schema: Option<SchemaRef>,
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("lease", &self.lease).finish_non_exhaustive()
            }
        }

        impl $name {
            pub(super) fn new(raw: $raw, lease: Lease, proof: Proof) -> Self {
                Self { raw, lease, proof, schema: None }
            }

            /// To ask the instance to stop while it is busy.
            pub fn canceller(&self) -> Canceller {
                self.lease.canceller()
            }

            /// Last call.
            ///
            /// # Errors
            /// Whatever the plugin found.
            pub fn close(&mut self) -> Result<(), Fault> {
                done(self.raw.close())
            }
        }
    };
}

handle!(
    /// An open source.
    SourceHandle,
    SourceBox
);
handle!(
    /// An open enrichment.
    EnrichmentHandle,
    EnrichmentBox
);
handle!(
    /// An open segmentation.
    SegmentationHandle,
    SegmentationBox
);
handle!(
    /// An open destination.
    DestinationHandle,
    DestinationBox
);

/// What a source answered.
#[derive(Debug)]
pub enum Polled {
    /// Rows, rejects or a new position.
    Rows {
        /// In the source's schema.
        batch: RecordBatch,
        /// Could not be read.
        rejects: Vec<Reject>,
        /// Where to go on.
        position: Vec<u8>,
        /// Rows known to wait behind, or 0.
        backlog: u64,
    },
    /// Ask again after so many milliseconds.
    Idle(u64),
    /// Nothing ever again.
    End,
}

impl SourceHandle {
    /// The schema of every batch.
    ///
    /// # Errors
    /// Whatever the plugin found.
    pub fn schema(&mut self) -> Result<SchemaRef, Fault> {
        let schema = import_schema(done(self.raw.schema())?)?;
        self.schema = Some(schema.clone());
        Ok(schema)
    }

    /// The next rows.
    ///
    /// # Errors
    /// Whatever the plugin found, and permanent when its batch is not what was agreed.
    pub fn poll(&mut self, max_rows: usize) -> Result<Polled, Fault> {
        let polled = done(self.raw.poll(max_rows as u64, DEADLINE_MS))?;
        match polled.state {
            PollState::BATCH => {
                let agreed = self.schema.as_ref().ok_or_else(unbound)?;
                Ok(Polled::Rows {
                    batch: import(polled.batch, agreed, self.proof)?,
                    rejects: rejected(polled.rejects, self.proof)?,
                    position: polled.position.into(),
                    backlog: polled.backlog_rows,
                })
            }
            PollState::END => Ok(Polled::End),
            PollState::IDLE => Ok(Polled::Idle(polled.wait_ms)),
            other => Err(Fault::permanent("poll-state", format!("unknown poll state {}", other.0))),
        }
    }

    /// Everything up to `position` is committed.
    ///
    /// # Errors
    /// Whatever the plugin found.
    pub fn ack(&mut self, position: &[u8]) -> Result<(), Fault> {
        done(self.raw.ack(position.into()))
    }
}

impl EnrichmentHandle {
    /// Agrees the schemas.
    ///
    /// # Errors
    /// Whatever the plugin found.
    pub fn bind(&mut self, input: &Schema) -> Result<SchemaRef, Fault> {
        let output = import_schema(done(self.raw.bind(export_schema(input)?))?)?;
        self.schema = Some(output.clone());
        Ok(output)
    }

    /// One batch; rows in = rows out + rejects.
    ///
    /// # Errors
    /// Whatever the plugin found, and permanent when rows were lost or made up. Rejected rows are rows of the batch, each once.
    pub fn process(&mut self, batch: &RecordBatch) -> Result<(RecordBatch, Vec<Reject>), Fault> {
        let answer = done(self.raw.process(export(batch), DEADLINE_MS))?;
        let out = import(answer.out, self.schema.as_ref().ok_or_else(unbound)?, self.proof)?;
        let rejects = rejected(answer.rejects, self.proof)?;
        let (came, went) = (batch.num_rows(), out.num_rows() + rejects.len());
        if came != went {
            return Err(Fault::permanent("row-count", format!("{came} rows went in, {went} came out")));
        }
        let mut rows = BTreeSet::new();
        if let Some(wrong) = rejects.iter().find(|r| r.row >= came as u64 || !rows.insert(r.row)) {
            let message =
                format!("row {} of {came} was rejected, which is not there or was already", wrong.row);
            return Err(Fault::permanent("row-number", message));
        }
        Ok((out, rejects))
    }
}

impl SegmentationHandle {
    /// Which columns of the catalogue it reads.
    ///
    /// # Errors
    /// Whatever the plugin found.
    pub fn plan(&mut self, catalog: &Schema) -> Result<Needs, Fault> {
        json(done(self.raw.plan(export_schema(catalog)?))?.as_str(), "needs")
    }

    /// Agrees the schema of the profile batches.
    ///
    /// # Errors
    /// Whatever the plugin found.
    pub fn bind(&mut self, input: &SchemaRef) -> Result<(), Fault> {
        self.schema = Some(input.clone());
        done(self.raw.bind(export_schema(input)?))
    }

    /// One batch of the training pass.
    ///
    /// # Errors
    /// Whatever the plugin found.
    pub fn observe(&mut self, batch: &RecordBatch) -> Result<(), Fault> {
        done(self.raw.observe(self.agreed(batch)?, DEADLINE_MS))
    }

    /// What this instance was shown of everybody, for another one.
    ///
    /// # Errors
    /// Whatever the plugin found.
    pub fn observed(&mut self) -> Result<Vec<u8>, Fault> {
        done(self.raw.observed()).map(Into::into)
    }

    /// What another instance was shown of everybody.
    ///
    /// # Errors
    /// Whatever the plugin found.
    pub fn absorb(&mut self, observed: &[u8]) -> Result<(), Fault> {
        done(self.raw.absorb(observed.into()))
    }

    /// End of the training pass: reports and the state to open with next time.
    ///
    /// # Errors
    /// Whatever the plugin found.
    pub fn fit(&mut self) -> Result<(Vec<Report>, Vec<u8>), Fault> {
        let fitted = done(self.raw.fit())?;
        Ok((json(fitted.report_json.as_str(), "report")?, fitted.state.into()))
    }

    /// Which segments hold for each row.
    ///
    /// # Errors
    /// Whatever the plugin found, and permanent when it did not answer each row.
    pub fn evaluate(&mut self, batch: &RecordBatch) -> Result<Evaluated, Fault> {
        let answer = done(self.raw.evaluate(self.agreed(batch)?, DEADLINE_MS))?;
        self.answered(answer, batch.num_rows())
    }

    /// One batch of the training pass, and which of the segments that need nothing fitted hold for each row.
    ///
    /// # Errors
    /// As [`Self::evaluate`].
    pub fn survey(&mut self, batch: &RecordBatch) -> Result<Evaluated, Fault> {
        let answer = done(self.raw.survey(self.agreed(batch)?, DEADLINE_MS))?;
        self.answered(answer, batch.num_rows())
    }

    /// What another instance was fitted to.
    ///
    /// # Errors
    /// Whatever the plugin found.
    pub fn learn(&mut self, state: &[u8]) -> Result<(), Fault> {
        done(self.raw.learn(state.into()))
    }

    /// Which of the other segments hold for each of so many rows of a batch that was surveyed.
    ///
    /// # Errors
    /// As [`Self::evaluate`], and UNSUPPORTED when the plugin does not remember it.
    pub fn recall(&mut self, batch: u32, rows: usize) -> Result<Evaluated, Fault> {
        let answer = done(self.raw.recall(batch))?;
        self.answered(answer, rows)
    }

    fn answered(&self, answer: RawProcessed, rows: usize) -> Result<Evaluated, Fault> {
        let out = import(answer.out, &columns::evaluated(), self.proof)?;
        rejects::evaluated_from_batch(&out, rows)
    }

    /// Why the one profile of `batch` is in a segment or not.
    ///
    /// # Errors
    /// Whatever the plugin found.
    pub fn explain(&mut self, batch: &RecordBatch, segment: usize) -> Result<Reason, Fault> {
        let segment = u32::try_from(segment).map_err(|_| Fault::permanent("segment", "ordinal too large"))?;
        json(done(self.raw.explain(self.agreed(batch)?, segment))?.as_str(), "reason")
    }

    fn agreed(&self, batch: &RecordBatch) -> Result<Batch, Fault> {
        match &self.schema {
            Some(schema) if schema == batch.schema_ref() => Ok(export(batch)),
            Some(_) => Err(Fault::permanent("schema", "the profile batch is not of the agreed schema")),
            None => Err(unbound()),
        }
    }
}

impl DestinationHandle {
    /// Agrees the schema of the rows.
    ///
    /// # Errors
    /// Whatever the plugin found.
    pub fn bind(&mut self, input: &SchemaRef) -> Result<(), Fault> {
        self.schema = Some(input.clone());
        done(self.raw.bind(export_schema(input)?))
    }

    /// Starts a delivery.
    ///
    /// # Errors
    /// Whatever the plugin found.
    pub fn begin(&mut self, delivery: &Delivery) -> Result<(), Fault> {
        let text = serde_json::json!(delivery).to_string();
        done(self.raw.begin(text.as_str().into()))
    }

    /// Some rows of it.
    ///
    /// # Errors
    /// Whatever the plugin found.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), Fault> {
        done(self.raw.write(export(batch), DEADLINE_MS))
    }

    /// End of it: everything is durable.
    ///
    /// # Errors
    /// Whatever the plugin found.
    pub fn flush(&mut self) -> Result<Flushed, Fault> {
        let flushed = done(self.raw.flush(DEADLINE_MS))?;
        let mut list = Vec::new();
        for batch in flushed.rejects {
            list.extend(rejected(batch, self.proof)?);
        }
        let receipts = json(flushed.receipts_json.as_str(), "receipts")?;
        Ok(Flushed { rows: flushed.rows, rejects: list, receipts })
    }
}

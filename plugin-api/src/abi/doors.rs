//! One door per kind: the author's safe trait behind the raw one.

use super::{
    batch::{export, export_schema, import, import_schema, Proof},
    guard::{guard, Guarded},
    raw::{
        ArrowSchema, Batch, DestinationBox, EnrichmentBox, OpenArgs, PollState, Polled, RawDestination,
        RawDestination_TO, RawEnrichment, RawEnrichment_TO, RawFitted, RawFlushed, RawProcessed,
        RawSegmentation, RawSegmentation_TO, RawSource, RawSource_TO, SegmentationBox, SourceBox, R,
    },
    rejects,
};
use crate::{
    columns, options, Context, Destination, Enrichment, Evaluated, Fault, Poll, Reject, Result, Segment,
    Segmentation, Source,
};
use abi_stable::{
    sabi_trait::TD_Opaque,
    std_types::{RSlice, RStr, RString, RVec},
};
use arrow::{array::RecordBatch, datatypes::SchemaRef};

/// Refuses to send what was not agreed.
fn checked(batch: &RecordBatch, agreed: Option<&SchemaRef>) -> Result<Batch> {
    let agreed = agreed.ok_or_else(unbound)?;
    if batch.schema_ref() != agreed && batch.schema_ref().fields() != agreed.fields() {
        let found =
            batch.schema_ref().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ");
        return Err(Fault::permanent(
            "schema",
            format!("the batch is not of the agreed schema: it has {found}"),
        ));
    }
    Ok(export(batch))
}

fn checked_rejects(list: &[Reject]) -> Result<Batch> {
    if list.is_empty() {
        return Ok(Batch::none());
    }
    Ok(export(&rejects::to_batch(list)?))
}

fn unbound() -> Fault {
    Fault::permanent("not-bound", "called before the schema was agreed")
}

struct SourceDoor<T> {
    inner: Guarded<T>,
    schema: Option<SchemaRef>,
}

impl<T: Source> RawSource for SourceDoor<T> {
    fn schema(&mut self) -> R<ArrowSchema> {
        guard(|| {
            let schema = self.inner.schema()?;
            self.schema = Some(schema.clone());
            export_schema(&schema)
        })
    }

    fn poll(&mut self, max_rows: u64, deadline_ms: u64) -> R<Polled> {
        guard(|| {
            let empty = |state, wait_ms| Polled {
                state,
                wait_ms,
                batch: Batch::none(),
                rejects: Batch::none(),
                position: RVec::new(),
                backlog_rows: 0,
            };
            Ok(match self.inner.poll(max_rows as usize, deadline_ms)? {
                Poll::Idle { wait_ms } => empty(PollState::IDLE, wait_ms),
                Poll::End => empty(PollState::END, 0),
                Poll::Rows(rows) => Polled {
                    state: PollState::BATCH,
                    wait_ms: 0,
                    batch: checked(&rows.batch, self.schema.as_ref())?,
                    rejects: checked_rejects(&rows.rejects)?,
                    position: rows.position.into(),
                    backlog_rows: rows.backlog_rows,
                },
            })
        })
    }

    fn ack(&mut self, position: RSlice<'_, u8>) -> R<()> {
        guard(|| self.inner.ack(position.as_slice()))
    }

    fn close(&mut self) -> R<()> {
        guard(|| self.inner.close())
    }
}

pub(crate) fn open_source<T: Source>(args: OpenArgs) -> R<SourceBox> {
    guard(|| {
        let config = options::parse(args.config_json.as_str())?;
        let context = Context::new(args);
        let inner = Guarded::new(T::open(config, context.clone())?, context);
        Ok(RawSource_TO::from_value(SourceDoor { inner, schema: None }, TD_Opaque))
    })
}

struct EnrichmentDoor<T> {
    inner: Guarded<T>,
    input: Option<SchemaRef>,
    output: Option<SchemaRef>,
}

impl<T: Enrichment> RawEnrichment for EnrichmentDoor<T> {
    fn bind(&mut self, input: ArrowSchema) -> R<ArrowSchema> {
        guard(|| {
            let input = import_schema(input)?;
            let output = self.inner.bind(input.clone())?;
            (self.input, self.output) = (Some(input), Some(output.clone()));
            export_schema(&output)
        })
    }

    fn process(&mut self, batch: Batch, _deadline_ms: u64) -> R<RawProcessed> {
        guard(|| {
            let batch = import(batch, self.input.as_ref().ok_or_else(unbound)?, Proof::Cheap)?;
            let done = self.inner.process(batch)?;
            let rejects = checked_rejects(&done.rejects)?;
            Ok(RawProcessed { out: checked(&done.batch, self.output.as_ref())?, rejects })
        })
    }

    fn checkpoint(&mut self) -> R<RVec<u8>> {
        R::ROk(RVec::new())
    }

    fn close(&mut self) -> R<()> {
        guard(|| self.inner.close())
    }
}

pub(crate) fn open_enrichment<T: Enrichment>(args: OpenArgs) -> R<EnrichmentBox> {
    guard(|| {
        let config = options::parse(args.config_json.as_str())?;
        let context = Context::new(args);
        let inner = Guarded::new(T::open(config, context.clone())?, context);
        Ok(RawEnrichment_TO::from_value(EnrichmentDoor { inner, input: None, output: None }, TD_Opaque))
    })
}

struct SegmentationDoor<T> {
    inner: Guarded<T>,
    input: Option<SchemaRef>,
}

impl<T: Segmentation> SegmentationDoor<T> {
    fn import(&self, batch: Batch) -> Result<RecordBatch> {
        import(batch, self.input.as_ref().ok_or_else(unbound)?, Proof::Cheap)
    }
}

impl<T: Segmentation> RawSegmentation for SegmentationDoor<T> {
    fn plan(&mut self, catalog: ArrowSchema) -> R<RString> {
        guard(|| {
            let needs = self.inner.plan(&*import_schema(catalog)?)?;
            json(&needs)
        })
    }

    fn bind(&mut self, input: ArrowSchema) -> R<()> {
        guard(|| {
            let input = import_schema(input)?;
            self.input = Some(input.clone());
            self.inner.bind(input)
        })
    }

    fn observe(&mut self, batch: Batch, _deadline_ms: u64) -> R<()> {
        guard(|| {
            let batch = self.import(batch)?;
            self.inner.observe(&batch)
        })
    }

    fn fit(&mut self) -> R<RawFitted> {
        guard(|| {
            let fitted = self.inner.fit()?;
            Ok(RawFitted { report_json: json(&fitted.reports)?, state: fitted.state.into() })
        })
    }

    fn evaluate(&mut self, batch: Batch, _deadline_ms: u64) -> R<RawProcessed> {
        guard(|| {
            let batch = self.import(batch)?;
            answered(self.inner.evaluate(&batch)?)
        })
    }

    fn observed(&mut self) -> R<RVec<u8>> {
        guard(|| Ok(self.inner.observed()?.into()))
    }

    fn absorb(&mut self, observed: RSlice<'_, u8>) -> R<()> {
        guard(|| self.inner.absorb(observed.as_slice()))
    }

    fn survey(&mut self, batch: Batch, _deadline_ms: u64) -> R<RawProcessed> {
        guard(|| {
            let batch = self.import(batch)?;
            answered(self.inner.survey(&batch)?)
        })
    }

    fn learn(&mut self, state: RSlice<'_, u8>) -> R<()> {
        guard(|| self.inner.learn(state.as_slice()))
    }

    fn recall(&mut self, batch: u32) -> R<RawProcessed> {
        guard(|| answered(self.inner.recall(batch)?))
    }

    fn explain(&mut self, batch: Batch, segment: u32) -> R<RString> {
        guard(|| {
            let batch = self.import(batch)?;
            let reason = self.inner.explain(&batch, segment as usize)?;
            json(&reason)
        })
    }

    fn close(&mut self) -> R<()> {
        guard(|| self.inner.close())
    }
}

fn answered(answer: Evaluated) -> Result<RawProcessed> {
    let out = rejects::evaluated_to_batch(answer)?;
    Ok(RawProcessed { out: checked(&out, Some(&columns::evaluated()))?, rejects: Batch::none() })
}

pub(crate) fn open_segmentation<T: Segmentation>(args: OpenArgs) -> R<SegmentationBox> {
    guard(|| {
        let segments: Vec<Segment<T::Config>> = options::parse(args.config_json.as_str())?;
        let context = Context::new(args);
        let inner = Guarded::new(T::open(segments, context.clone())?, context);
        Ok(RawSegmentation_TO::from_value(SegmentationDoor { inner, input: None }, TD_Opaque))
    })
}

struct DestinationDoor<T> {
    inner: Guarded<T>,
    input: Option<SchemaRef>,
}

impl<T: Destination> RawDestination for DestinationDoor<T> {
    fn bind(&mut self, input: ArrowSchema) -> R<()> {
        guard(|| {
            let input = import_schema(input)?;
            self.input = Some(input.clone());
            self.inner.bind(input)
        })
    }

    fn begin(&mut self, delivery_json: RStr<'_>) -> R<()> {
        guard(|| self.inner.begin(&options::parse(delivery_json.as_str())?))
    }

    fn write(&mut self, batch: Batch, _deadline_ms: u64) -> R<()> {
        guard(|| {
            let batch = import(batch, self.input.as_ref().ok_or_else(unbound)?, Proof::Cheap)?;
            self.inner.write(batch)
        })
    }

    fn flush(&mut self, _deadline_ms: u64) -> R<RawFlushed> {
        guard(|| {
            let flushed = self.inner.flush()?;
            let mut rejected = RVec::new();
            if !flushed.rejects.is_empty() {
                rejected.push(checked_rejects(&flushed.rejects)?);
            }
            Ok(RawFlushed { rows: flushed.rows, rejects: rejected, receipts_json: json(&flushed.receipts)? })
        })
    }

    fn close(&mut self) -> R<()> {
        guard(|| self.inner.close())
    }
}

pub(crate) fn open_destination<T: Destination>(args: OpenArgs) -> R<DestinationBox> {
    guard(|| {
        let config = options::parse(args.config_json.as_str())?;
        let context = Context::new(args);
        let inner = Guarded::new(T::open(config, context.clone())?, context);
        Ok(RawDestination_TO::from_value(DestinationDoor { inner, input: None }, TD_Opaque))
    })
}

fn json<T: serde::Serialize>(value: &T) -> Result<RString> {
    serde_json::to_string(value).map(Into::into).map_err(|e| Fault::permanent("json", e.to_string()))
}

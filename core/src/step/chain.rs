//! A source and its enrichments: a thread each, bounded channels between them. What comes out at the end is ready for
//! the step; a full channel is the back-pressure.

use super::{bell::Bell, contract::Gate, load::Load};
use crate::{
    Error, Result,
    config::{Enrichment, Pipeline, Source},
    plugin::{Canceller, EnrichmentHandle, Opening, Plugin, Plugins, Polled, registry::Registry},
};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use kindred_plugin_api::{Fault, FaultKind, Reject};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};

/// Batches that may wait between two threads.
const QUEUE: usize = 2;
/// Attempts at a transient failure.
const ATTEMPTS: u32 = 5;

/// What comes out of a chain.
#[derive(Debug)]
pub enum Carried {
    /// Rows, rejects, a new position.
    Rows(Load),
    /// Nothing for now.
    Idle,
    /// The source is finished.
    End,
    /// It failed; nothing comes behind this.
    Failed {
        /// Source or enrichment.
        stage: &'static str,
        /// Its name.
        instance: String,
        /// What it said.
        fault: Fault,
    },
}

/// A running chain.
#[derive(Debug)]
pub struct Chain {
    /// Its source.
    pub source: Source,
    /// Schema of what comes out.
    pub schema: SchemaRef,
    /// The end of it.
    pub out: Receiver<Carried>,
    enrichments: Vec<Enrichment>,
    acks: Option<UnboundedSender<Vec<u8>>>,
    canceller: Option<Canceller>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Chain {
    /// Opens a source and its enrichments and starts reading. With a bell, it is rung for everything that comes out, and
    /// what is idle stays silent.
    ///
    /// # Errors
    /// When one of them refuses.
    pub fn start(
        pipeline: &Pipeline,
        registry: &Registry,
        source: &Source,
        position: Option<Vec<u8>>,
        bell: Option<&Bell>,
    ) -> Result<Self> {
        let plugin = find(registry, pipeline, &source.plugin)?;
        let opened = Opened { plugin, instance: source.name.clone(), config: source.config.clone() };
        let failed = Error::plugin("source", &source.name);
        let (acks, acked) = unbounded_channel();
        let (first, out) = channel(QUEUE);
        let rows = pipeline.step_rows;
        let base_dir = pipeline.base_dir.clone();
        let first = Out { to: first, bell: bell.cloned() };
        let ((schema, canceller), thread) =
            read(opened, source, base_dir, position, rows, acked, first).map_err(failed)?;
        let mut chain = Self {
            source: source.clone(),
            schema,
            out,
            enrichments: enrichments(pipeline, source),
            acks: Some(acks),
            canceller: Some(canceller),
            threads: vec![thread],
        };
        chain.enrich(pipeline, registry, bell)?;
        Ok(chain)
    }

    /// One without its source: its rows are those that are fed. They take the way of rows that the source hands out.
    ///
    /// # Errors
    /// When the rows are not as agreed at all, or an enrichment refuses them.
    pub(super) fn replay(
        pipeline: &Pipeline,
        registry: &Registry,
        source: &Source,
        brought: &SchemaRef,
    ) -> Result<(Self, Feed)> {
        let gate = Gate::new(source, brought).map_err(Error::plugin("source", &source.name))?;
        let schema = gate.as_ref().map_or_else(|| brought.clone(), Gate::schema);
        let (mut chain, to) = Self::fed(source.clone(), schema);
        chain.enrichments = enrichments(pipeline, source);
        chain.enrich(pipeline, registry, None)?;
        Ok((chain, Feed { gate, to }))
    }

    /// Starts the enrichments behind what comes out.
    fn enrich(&mut self, pipeline: &Pipeline, registry: &Registry, bell: Option<&Bell>) -> Result<()> {
        for enrichment in &self.enrichments {
            let plugin = find(registry, pipeline, &enrichment.plugin)?;
            let (instance, config) = (enrichment.name.clone(), enrichment.config.clone());
            let (opened, base_dir, input) =
                (Opened { plugin, instance, config }, pipeline.base_dir.clone(), self.schema.clone());
            let failed = Error::plugin("enrichment", &enrichment.name);
            let (next, end) = channel(QUEUE);
            let next = Out { to: next, bell: bell.cloned() };
            let from = std::mem::replace(&mut self.out, end);
            let (bound, thread) = enrich(opened, base_dir, input, from, next).map_err(failed)?;
            self.schema = bound;
            self.threads.push(thread);
        }
        Ok(())
    }

    /// Whether a pipeline has this very chain: the same source, the same enrichments, the same options.
    pub fn is_of(&self, pipeline: &Pipeline) -> bool {
        let told = |source: &Source, enrichments: &[Enrichment]| serde_json::json!([source, enrichments]);
        let source = pipeline.sources.iter().find(|source| source.name == self.source.name);
        source.is_some_and(|source| {
            told(source, &enrichments(pipeline, source)) == told(&self.source, &self.enrichments)
        })
    }

    /// Asks the source to end once it has handed out everything that it answers for.
    pub fn cancel(&self) {
        if let Some(canceller) = &self.canceller {
            canceller.cancel();
        }
    }

    /// One with no threads: its rows are what is sent.
    pub(super) fn fed(source: Source, schema: SchemaRef) -> (Self, Sender<Carried>) {
        let (feed, out) = channel(QUEUE);
        let (enrichments, threads) = (Vec::new(), Vec::new());
        (Self { source, schema, out, enrichments, acks: None, canceller: None, threads }, feed)
    }

    /// Tells the source that a position is committed.
    pub fn ack(&self, position: Vec<u8>) {
        if let Some(acks) = &self.acks {
            // A source that ended early does not hear it, and needs not.
            let _ = acks.send(position);
        }
    }

    /// Ends the threads; what was read and not committed comes again next time.
    pub fn stop(mut self) {
        self.cancel();
        drop(self.acks.take());
        self.out.close();
        while self.out.try_recv().is_ok() {}
        for thread in self.threads.drain(..) {
            // A plugin's panic was caught at the boundary; a thread of ours that panics has printed why.
            let _ = thread.join();
        }
    }
}

/// Where the rows of a replay go in.
#[derive(Debug)]
pub(super) struct Feed {
    gate: Option<Gate>,
    to: Sender<Carried>,
}

impl Feed {
    /// Feeds rows.
    ///
    /// # Errors
    /// When such a row must stop the source.
    pub(super) fn send(&self, mut load: Load) -> Result<(), Fault> {
        if let Some(gate) = &self.gate {
            gate.pass(&mut load)?;
        }
        let sent = self.to.blocking_send(Carried::Rows(load));
        sent.map_err(|_| Fault::permanent("thread", "the chain ended"))
    }
}

fn enrichments(pipeline: &Pipeline, source: &Source) -> Vec<Enrichment> {
    pipeline.enrichments.iter().filter(|e| e.from.contains(&source.name)).cloned().collect()
}

/// Where a thread of the chain puts what it has.
struct Out {
    to: Sender<Carried>,
    bell: Option<Bell>,
}

impl Out {
    /// False when nobody takes it any more.
    fn send(&self, carried: Carried) -> bool {
        let silent = self.bell.is_some() && matches!(carried, Carried::Idle);
        let sent = silent || self.to.blocking_send(carried).is_ok();
        if let Some(bell) = self.bell.as_ref().filter(|_| sent && !silent) {
            bell.ring();
        }
        sent && !self.to.is_closed()
    }
}

struct Opened {
    plugin: Plugin,
    instance: String,
    config: serde_json::Value,
}

pub(super) fn find(registry: &Registry, pipeline: &Pipeline, name: &str) -> Result<Plugin> {
    registry.find(name, &pipeline.base_dir).map_err(|e| Error::NotFound(e.message))
}

type Started<A> = (A, std::thread::JoinHandle<()>);

/// Opens an instance on a thread of its own and runs its loop there.
fn spawn<H: 'static, A: Send + 'static>(
    name: &str,
    open: impl FnOnce() -> Result<(H, A), Fault> + Send + 'static,
    run: impl FnOnce(H) + Send + 'static,
) -> Result<Started<A>, Fault> {
    let (ready, opened) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || match open() {
            Ok((handle, answer)) => {
                if ready.send(Ok(answer)).is_ok() {
                    run(handle);
                }
            }
            Err(fault) => drop(ready.send(Err(fault))),
        })
        .map_err(|e| Fault::permanent("thread", format!("no thread for `{name}`: {e}")))?;
    let answer = opened.recv().map_err(|_| Fault::permanent("thread", "the instance's thread ended"))??;
    Ok((answer, thread))
}

fn read(
    opened: Opened,
    source: &Source,
    base_dir: PathBuf,
    state: Option<Vec<u8>>,
    rows: usize,
    mut acked: UnboundedReceiver<Vec<u8>>,
    out: Out,
) -> Result<Started<(SchemaRef, Canceller)>, Fault> {
    let Opened { plugin, instance, config } = opened;
    let (name, source) = (instance.clone(), source.clone());
    let open = move || {
        let opening = Opening { instance: &instance, config: &config, base_dir: &base_dir, state };
        plugin.check(&opening)?;
        let mut handle = plugin.open_source(&opening)?;
        let brought = handle.schema()?;
        let gate = Gate::new(&source, &brought)?;
        let answer = (gate.as_ref().map_or(brought, Gate::schema), handle.canceller());
        Ok(((handle, gate), answer))
    };
    let instance = name.clone();
    spawn(&name, open, move |(mut handle, gate)| {
        loop {
            while let Ok(position) = acked.try_recv() {
                if let Err(fault) = handle.ack(&position) {
                    crate::log::warn(&format!("source `{instance}`: {fault}"));
                }
            }
            let (carried, wait_ms) = match retried(|| handle.poll(rows)) {
                Ok(Polled::Rows { batch, rejects, position, backlog }) => {
                    let mut load = Load { rejects, position, backlog, ..Load::of(batch) };
                    match gate.as_ref().map_or(Ok(()), |gate| gate.pass(&mut load)) {
                        Ok(()) => (Carried::Rows(load), 0),
                        Err(fault) => (failed("source", &instance, fault), 0),
                    }
                }
                Ok(Polled::Idle(wait_ms)) => (Carried::Idle, wait_ms),
                Ok(Polled::End) => (Carried::End, 0),
                Err(fault) => (failed("source", &instance, fault), 0),
            };
            let last = matches!(carried, Carried::End | Carried::Failed { .. });
            if !out.send(carried) || last {
                break;
            }
            rest(&handle.canceller(), wait_ms);
        }
        // The last commits are acknowledged until the chain is stopped.
        while let Some(position) = acked.blocking_recv() {
            if let Err(fault) = handle.ack(&position) {
                crate::log::warn(&format!("source `{instance}`: {fault}"));
            }
        }
        if let Err(fault) = handle.close() {
            crate::log::warn(&format!("source `{instance}`: {fault}"));
        }
    })
}

fn enrich(
    opened: Opened,
    base_dir: PathBuf,
    input: SchemaRef,
    mut from: Receiver<Carried>,
    to: Out,
) -> Result<Started<SchemaRef>, Fault> {
    let Opened { plugin, instance, config } = opened;
    let name = instance.clone();
    let open = move || {
        let opening = Opening { instance: &instance, config: &config, base_dir: &base_dir, state: None };
        plugin.check(&opening)?;
        let mut handle = plugin.open_enrichment(&opening)?;
        let output = handle.bind(&input)?;
        Ok(((handle, output.clone()), output))
    };
    let instance = name.clone();
    spawn(&name, open, move |(mut handle, output)| {
        while let Some(carried) = from.blocking_recv() {
            let carried = match carried {
                Carried::Rows(load) => process(&mut handle, &instance, &output, load),
                other => other,
            };
            let last = matches!(carried, Carried::Failed { .. });
            if !to.send(carried) || last {
                break;
            }
        }
        if let Err(fault) = handle.close() {
            crate::log::warn(&format!("enrichment `{instance}`: {fault}"));
        }
    })
}

fn process(handle: &mut EnrichmentHandle, instance: &str, output: &SchemaRef, mut load: Load) -> Carried {
    for aside in &mut load.aside {
        let passed = match retried(|| handle.process(&aside.batch)) {
            Ok((batch, rejects)) if rejects.is_empty() => {
                aside.enriched(batch);
                Ok(())
            }
            _ => aside.pass(output),
        };
        if let Err(error) = passed {
            return failed("enrichment", instance, error.into());
        }
    }
    let (batch, rejects) = match retried(|| handle.process(&load.batch)) {
        Ok(answer) => answer,
        Err(fault) if fault.kind == FaultKind::Data => {
            let reject = |row| Reject {
                row,
                code: fault.code.clone(),
                message: fault.message.clone(),
                payload: String::new(),
                origin: instance.to_owned(),
            };
            let rejects = (0..load.batch.num_rows() as u64).map(reject).collect();
            (RecordBatch::new_empty(output.clone()), rejects)
        }
        Err(fault) => return failed("enrichment", instance, fault),
    };
    match load.enriched(batch, rejects, instance) {
        Ok(()) => Carried::Rows(load),
        Err(error) => failed("enrichment", instance, error.into()),
    }
}

fn failed(stage: &'static str, instance: &str, fault: Fault) -> Carried {
    Carried::Failed { stage, instance: instance.to_owned(), fault }
}

/// Waits before an idle source is asked again; one that is to stop is asked at once.
fn rest(canceller: &Canceller, wait_ms: u64) {
    let until = Instant::now() + Duration::from_millis(wait_ms);
    while !canceller.is_cancelled() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        std::thread::sleep(left.min(Duration::from_millis(20)));
    }
}

fn retried<T>(mut call: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    for attempt in 1.. {
        match call() {
            Err(fault) if fault.kind == FaultKind::Transient && attempt < ATTEMPTS => {
                std::thread::sleep(Duration::from_millis(
                    (100 << attempt).max(fault.retry_after_ms.min(60_000)),
                ));
            }
            answer => return answer,
        }
    }
    unreachable!("the loop returns")
}

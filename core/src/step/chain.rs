//! A source and its enrichments: a thread each, bounded channels between them. What comes out at the end is ready for
//! the step; a full channel is the back-pressure.

use super::{
    bell::Bell,
    contract::Gate,
    load::Load,
    threads::{Opened, Out, enrich, read},
};
use crate::{
    Error, Result,
    config::{Enrichment, Pipeline, Source},
    plugin::{Canceller, Plugin, Plugins, registry::Registry},
};
use arrow::datatypes::SchemaRef;
use kindred_plugin_api::Fault;
use std::{
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedSender, channel, unbounded_channel};

/// Batches that may wait between two threads.
const QUEUE: usize = 2;
/// For a chain to end whose source is opened again; a listener lets its requests finish within ten seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

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
    /// Of the enrichments, which work until all that the source hands out is through.
    enriching: Vec<Canceller>,
    threads: Vec<JoinHandle<()>>,
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
            enriching: Vec::new(),
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
            let ((bound, canceller), thread) = enrich(opened, base_dir, input, from, next).map_err(failed)?;
            self.schema = bound;
            self.enriching.push(canceller);
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
        let chain = Self {
            source,
            schema,
            out,
            enrichments: Vec::new(),
            acks: None,
            canceller: None,
            enriching: Vec::new(),
            threads: Vec::new(),
        };
        (chain, feed)
    }

    /// Tells the source that a position is committed.
    pub fn ack(&self, position: Vec<u8>) {
        if let Some(acks) = &self.acks {
            // A source that ended early does not hear it, and needs not.
            let _ = acks.send(position);
        }
    }

    /// One that is closed, and may be opened later: nothing comes out of it.
    pub(super) fn closed(source: Source, schema: SchemaRef) -> Self {
        Self::fed(source, schema).0
    }

    /// Whether it was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.threads.is_empty()
    }

    /// Ends the threads, so that another one can be opened; nothing comes out of it any more.
    pub(super) fn close(&mut self) {
        let closed = Self::closed(self.source.clone(), self.schema.clone());
        std::mem::replace(self, closed).stop_by(Instant::now() + PATIENCE);
    }

    /// Ends the threads; what was read and not committed comes again next time.
    pub fn stop(mut self) {
        self.let_go();
        self.join();
    }

    /// The same, but a thread that does not end in time, because its plugin hangs, is left behind.
    pub(super) fn stop_by(mut self, until: Instant) {
        self.let_go();
        while !self.threads.iter().all(JoinHandle::is_finished) {
            if until <= Instant::now() {
                let name = &self.source.name;
                crate::log::warn(&format!("source `{name}` does not end and is left behind"));
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.join();
    }

    fn let_go(&mut self) {
        self.cancel();
        self.enriching.iter().for_each(Canceller::cancel);
        drop(self.acks.take());
        self.out.close();
        while self.out.try_recv().is_ok() {}
    }

    fn join(&mut self) {
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

pub(super) fn find(registry: &Registry, pipeline: &Pipeline, name: &str) -> Result<Plugin> {
    registry.find(name, &pipeline.base_dir).map_err(|e| Error::NotFound(e.message))
}

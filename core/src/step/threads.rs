//! The threads of a chain: an instance is opened, used and closed on its own. One reads, one for each enrichment works on
//! what comes out of the one before it.

use super::{bell::Bell, chain::Carried, contract::Gate, load::Load};
use crate::{
    config::Source,
    plugin::{Canceller, EnrichmentHandle, Opening, Plugin, Polled},
};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use kindred_plugin_api::{Fault, FaultKind, Reject};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver};

/// Attempts at a transient failure.
const ATTEMPTS: u32 = 5;
/// Longest wait between two of them, whatever a far side asks for.
const LONGEST_WAIT_MS: u64 = 60_000;

/// Where a thread of the chain puts what it has.
pub(super) struct Out {
    pub(super) to: Sender<Carried>,
    pub(super) bell: Option<Bell>,
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

/// What an instance is opened from.
pub(super) struct Opened {
    pub(super) plugin: Plugin,
    pub(super) instance: String,
    pub(super) config: serde_json::Value,
}

/// What an instance answered when it was opened, and its thread.
pub(super) type Started<A> = (A, std::thread::JoinHandle<()>);

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

/// Opens a source and reads it.
pub(super) fn read(
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
        let canceller = handle.canceller();
        loop {
            while let Ok(position) = acked.try_recv() {
                if let Err(fault) = handle.ack(&position) {
                    crate::log::warn(&format!("source `{instance}`: {fault}"));
                }
            }
            let (carried, wait_ms) = match retried(&canceller, || handle.poll(rows)) {
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
            rest(&canceller, wait_ms);
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

/// Opens an enrichment and lets it work on what comes.
pub(super) fn enrich(
    opened: Opened,
    base_dir: PathBuf,
    input: SchemaRef,
    mut from: Receiver<Carried>,
    to: Out,
) -> Result<Started<(SchemaRef, Canceller)>, Fault> {
    let Opened { plugin, instance, config } = opened;
    let name = instance.clone();
    let open = move || {
        let opening = Opening { instance: &instance, config: &config, base_dir: &base_dir, state: None };
        plugin.check(&opening)?;
        let mut handle = plugin.open_enrichment(&opening)?;
        let output = handle.bind(&input)?;
        let answer = (output.clone(), handle.canceller());
        Ok(((handle, output), answer))
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
    let canceller = handle.canceller();
    for aside in &mut load.aside {
        let passed = match retried(&canceller, || handle.process(&aside.batch)) {
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
    let (batch, rejects) = match retried(&canceller, || handle.process(&load.batch)) {
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

/// Waits before an instance is asked again; one that is to stop is asked at once.
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

/// Tries again what fails for a while. One that is to stop is tried once more at once, and then no more.
fn retried<T>(canceller: &Canceller, mut call: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    let mut attempt = 1;
    loop {
        match call() {
            Err(fault)
                if fault.kind == FaultKind::Transient && attempt < ATTEMPTS && !canceller.is_cancelled() =>
            {
                rest(canceller, (100 << attempt).max(fault.retry_after_ms.min(LONGEST_WAIT_MS)));
                attempt += 1;
            }
            answer => return answer,
        }
    }
}

//! Sends what is frozen: retries with back-off, acknowledges in one commit, and leaves in the outbox what did not
//! get through.

use super::{Delivered, Pending, pending};
use crate::{
    Error, Result,
    config::{Data, Destination, Permanent, Pipeline, Transient},
    log,
    plugin::{DestinationHandle, Opening, Plugins, Worker, registry::Registry},
    store::Store,
};
use arrow::{array::RecordBatch, ipc::reader::StreamReader};
use kindred_plugin_api::{Fault, FaultKind, Flushed, columns};
use std::{io::Cursor, time::Duration};

/// Attempts at a transient failure before the delivery is left pending.
const ATTEMPTS: u32 = 5;
/// Longest wait between attempts, whatever a far side asks for.
const LONGEST_WAIT_MS: u64 = 60_000;

/// What became of a destination's delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Rows acknowledged.
    pub rows: u64,
    /// Rows that the destination could not take.
    pub rejected: u64,
    /// Files, job ids.
    pub receipts: Vec<String>,
    /// Why the delivery is still pending, if it is.
    pub pending: Option<String>,
}

/// Sends the delivery that waits at a destination, if there is one.
///
/// # Errors
/// When the destination's policy says stop, or the store fails.
pub fn send_pending(
    store: &mut Store,
    pipeline: &Pipeline,
    registry: &Registry,
    destination: &Destination,
) -> Result<Option<Sent>> {
    let Some(waiting) = pending(store, &destination.name)? else { return Ok(None) };
    let flushed = open(pipeline, registry, destination).and_then(|worker| attempt(&worker, &waiting));
    match flushed {
        Ok(flushed) => acknowledge(store, destination, waiting, flushed).map(Some),
        Err(fault) if stops(destination, &fault) => {
            Err(Error::plugin("destination", &destination.name)(fault))
        }
        Err(fault) => {
            log::warn(&format!("destination `{}`: {fault}; the delivery stays pending", destination.name));
            Ok(Some(Sent { pending: Some(fault.message), ..Sent::default() }))
        }
    }
}

fn stops(destination: &Destination, fault: &Fault) -> bool {
    match fault.kind {
        FaultKind::Transient => destination.on_error.transient == Transient::Stop,
        _ => destination.on_error.permanent == Permanent::Stop,
    }
}

fn open(
    pipeline: &Pipeline,
    registry: &Registry,
    destination: &Destination,
) -> Result<Worker<DestinationHandle>, Fault> {
    let plugin = registry
        .find(&destination.plugin, &pipeline.base_dir)
        .map_err(|e| Fault::permanent("plugin", e.message))?;
    let (instance, config, base_dir) =
        (destination.name.clone(), destination.config.clone(), pipeline.base_dir.clone());
    Worker::start(&destination.name, move || {
        let opening = Opening { instance: &instance, config: &config, base_dir: &base_dir, state: None };
        let mut handle = plugin.open_destination(&opening)?;
        handle.bind(&columns::activation())?;
        Ok(handle)
    })
}

fn attempt(worker: &Worker<DestinationHandle>, waiting: &Pending) -> Result<Flushed, Fault> {
    let mut tried = 0;
    loop {
        tried += 1;
        let (delivery, rows) = (waiting.delivery.clone(), waiting.rows.clone());
        let once = worker.call(move |handle| {
            handle.begin(&delivery)?;
            for batch in StreamReader::try_new(Cursor::new(rows), None)? {
                let batch: RecordBatch = batch?;
                handle.write(&batch)?;
            }
            handle.flush()
        });
        match once {
            Err(fault) if fault.kind == FaultKind::Transient && tried < ATTEMPTS => {
                let wait_ms = (200 << tried).max(fault.retry_after_ms).min(LONGEST_WAIT_MS);
                log::debug(&format!("attempt {tried} failed ({fault}), next in {wait_ms} ms"));
                std::thread::sleep(Duration::from_millis(wait_ms));
            }
            answer => {
                if let Err(fault) = worker.call(DestinationHandle::close) {
                    log::warn(&format!("while closing: {fault}"));
                }
                return answer;
            }
        }
    }
}

/// What was frozen is now what the destination has.
fn acknowledge(
    store: &mut Store,
    destination: &Destination,
    waiting: Pending,
    flushed: Flushed,
) -> Result<Sent> {
    let mut change = store.tables.change();
    let has = Delivered { sequence: waiting.delivery.sequence, members: waiting.then };
    change.put(&store.tables.delivered, &destination.name, &has)?;
    change.remove(&store.tables.outbox, &destination.name);
    if destination.on_error.data == Data::DeadLetter {
        store.dead_letter(&mut change, ("destination", &destination.name), &flushed.rejects)?;
    } else if let Some(first) = flushed.rejects.first() {
        let fault = Fault::data(first.code.clone(), first.message.clone());
        return Err(Error::plugin("destination", &destination.name)(fault));
    }
    store.commit(change, Vec::new())?;
    let rejected = flushed.rejects.len() as u64;
    Ok(Sent { rows: flushed.rows, rejected, receipts: flushed.receipts, pending: None })
}

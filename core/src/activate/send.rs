//! Sends what is frozen, on a thread of its own: one attempt at a time, acknowledged in one commit. What did not get
//! through stays in the outbox. Before each attempt consent is looked at once more, and a delivery that somebody has
//! revoked meanwhile is withdrawn.

use super::{Delivered, Pending, consenting, delivered, pending};
use crate::{
    Error, Result,
    config::{Data, Destination, Permanent, Pipeline, Transient},
    log,
    plugin::{DestinationHandle, Opening, Plugins, Worker, registry::Registry},
    segment::{bitmap, bytes},
    store::{Store, dead_letters::Refused},
};
use arrow::{array::RecordBatch, ipc::reader::StreamReader};
use kindred_plugin_api::{Fault, FaultKind, Flushed, Mode, Reject, columns};
use roaring::RoaringBitmap;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Cursor,
    sync::mpsc::{Receiver, TryRecvError, sync_channel},
    time::Duration,
};

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
    /// Members added, by segment.
    pub adds: BTreeMap<String, u64>,
    /// Why the delivery is still pending, if it is.
    pub pending: Option<String>,
}

/// Sends the delivery that waits at a destination, if there is one, and tries again for a while.
///
/// # Errors
/// When the destination's policy says stop, or the store fails.
pub fn send_pending(
    store: &mut Store,
    pipeline: &Pipeline,
    registry: &Registry,
    destination: &Destination,
) -> Result<Option<Sent>> {
    let mut tried = 0;
    loop {
        let Some(courier) = Courier::start(store, pipeline, registry, destination, || ())? else {
            return Ok(None);
        };
        tried += 1;
        match courier.wait() {
            Ok((waiting, flushed)) => return acknowledge(store, destination, waiting, flushed).map(Some),
            Err(fault) if fault.kind == FaultKind::Transient && tried < ATTEMPTS => {
                let wait_ms = wait_ms(tried, &fault);
                log::debug(&format!("attempt {tried} failed ({fault}), next in {wait_ms} ms"));
                std::thread::sleep(Duration::from_millis(wait_ms));
            }
            Err(fault) if stops(destination, &fault) => {
                return Err(Error::plugin("destination", &destination.name)(fault));
            }
            Err(fault) => {
                let name = &destination.name;
                log::warn(&format!("destination `{name}`: {fault}; the delivery stays pending"));
                return Ok(Some(Sent { pending: Some(fault.message), ..Sent::default() }));
            }
        }
    }
}

/// Milliseconds to wait before the next attempt.
pub fn wait_ms(tried: u32, fault: &Fault) -> u64 {
    (200_u64 << tried.min(16)).max(fault.retry_after_ms).min(LONGEST_WAIT_MS)
}

/// Whether a destination's policy calls this the end.
pub fn stops(destination: &Destination, fault: &Fault) -> bool {
    match fault.kind {
        FaultKind::Transient => destination.on_error.transient == Transient::Stop,
        _ => destination.on_error.permanent == Permanent::Stop,
    }
}

/// One attempt at a delivery, under way.
#[derive(Debug)]
pub struct Courier {
    waiting: Pending,
    reply: Receiver<Result<Flushed, Fault>>,
}

impl Courier {
    /// Sets out with what waits at a destination; `back` is called when it is back. None when nothing waits, or when it
    /// was withdrawn.
    ///
    /// # Errors
    /// When the store fails.
    pub fn start(
        store: &mut Store,
        pipeline: &Pipeline,
        registry: &Registry,
        destination: &Destination,
        back: impl FnOnce() + Send + 'static,
    ) -> Result<Option<Self>> {
        let Some(waiting) = pending(store, &destination.name)? else { return Ok(None) };
        if withdraw(store, &destination.name)? {
            return Ok(None);
        }
        let plugin = registry.find(&destination.plugin, &pipeline.base_dir);
        let plugin = plugin.map_err(|e| Error::NotFound(e.message))?;
        let (instance, config, base_dir) =
            (destination.name.clone(), destination.config.clone(), pipeline.base_dir.clone());
        let (answer, reply) = sync_channel(1);
        let frozen = waiting.clone();
        let attempt = move || {
            let worker = Worker::start(&instance.clone(), move || {
                let opening =
                    Opening { instance: &instance, config: &config, base_dir: &base_dir, state: None };
                let mut handle = plugin.open_destination(&opening)?;
                handle.bind(&columns::activation())?;
                Ok(handle)
            });
            // Nobody waits any more only when the process ends.
            let _ = answer.send(worker.and_then(|worker| attempt(&worker, frozen)));
            back();
        };
        let name = format!("to {}", destination.name);
        std::thread::Builder::new().name(name).spawn(attempt).map_err(Error::io("a thread"))?;
        Ok(Some(Self { waiting, reply }))
    }

    /// Waits until it is back.
    ///
    /// # Errors
    /// What the destination said.
    pub fn wait(self) -> Result<(Pending, Flushed), Fault> {
        let flushed = self.reply.recv().unwrap_or_else(|_| Err(lost()))?;
        Ok((self.waiting, flushed))
    }

    /// What it brought, if it is back; that is told once.
    pub fn look(&self) -> Option<Result<Flushed, Fault>> {
        match self.reply.try_recv() {
            Ok(flushed) => Some(flushed),
            Err(TryRecvError::Disconnected) => Some(Err(lost())),
            Err(TryRecvError::Empty) => None,
        }
    }

    /// What it set out with.
    pub fn into_waiting(self) -> Pending {
        self.waiting
    }
}

fn lost() -> Fault {
    Fault::permanent("thread", "the delivery's thread ended")
}

fn attempt(worker: &Worker<DestinationHandle>, waiting: Pending) -> Result<Flushed, Fault> {
    let Pending { delivery, rows, .. } = waiting;
    let answer = worker.call(move |handle| {
        handle.begin(&delivery)?;
        for batch in StreamReader::try_new(Cursor::new(rows), None)? {
            let batch: RecordBatch = batch?;
            handle.write(&batch)?;
        }
        handle.flush()
    });
    if let Err(fault) = worker.call(DestinationHandle::close) {
        log::warn(&format!("while closing: {fault}"));
    }
    answer
}

/// Takes the delivery back that waits at a destination, if it would add somebody who consents no more. It may have
/// reached the destination all the same, so whoever it would have added or removed is unsure from now on, until the next
/// delivery says it again.
///
/// # Errors
/// When the store fails.
pub fn withdraw(store: &mut Store, destination: &str) -> Result<bool> {
    let Some(waiting) = pending(store, destination)? else { return Ok(false) };
    let mut has = delivered(store, destination)?;
    let mut revoked = false;
    let segments: BTreeSet<&String> = waiting.then.keys().chain(has.members.keys()).collect();
    let (mut sure, mut unsure) = (BTreeMap::new(), BTreeMap::new());
    for segment in segments {
        let then = bitmap(waiting.then.get(segment).map_or(&[][..], |b| b))?;
        let (before, earlier) = has.of(segment)?;
        let sent = if waiting.delivery.mode == Mode::Full { then.clone() } else { &then - &before };
        let today: RoaringBitmap = sent.iter().map(|profile| store.identity.canonical(profile)).collect();
        revoked |= consenting(store, &today)?.len() < today.len();
        let both = &then & &before;
        unsure.insert(segment.clone(), bytes(&((then | before | earlier) - &both)));
        sure.insert(segment.clone(), bytes(&both));
    }
    if !revoked {
        return Ok(false);
    }
    (has.members, has.unsure) = (sure, unsure);
    log::warn(&format!(
        "destination `{destination}`: consent was revoked while a delivery was pending; it is cut again"
    ));
    has.sequence = waiting.delivery.sequence;
    let mut change = store.tables.change();
    change.put(&store.tables.delivered, destination, &has)?;
    change.remove(&store.tables.outbox, destination);
    store.commit(change, Vec::new())?;
    Ok(true)
}

/// What was frozen is now what the destination has.
///
/// # Errors
/// When its policy says that rejected rows stop it, or the store fails.
pub fn acknowledge(
    store: &mut Store,
    destination: &Destination,
    waiting: Pending,
    flushed: Flushed,
) -> Result<Sent> {
    let mut change = store.tables.change();
    let adds = waiting.delivery.segments.iter().map(|s| (s.segment.clone(), s.adds)).collect();
    let members = waiting.then;
    let has = Delivered { sequence: waiting.delivery.sequence, members, unsure: BTreeMap::new() };
    change.put(&store.tables.delivered, &destination.name, &has)?;
    change.remove(&store.tables.outbox, &destination.name);
    if destination.on_error.data == Data::DeadLetter {
        let refuse = |reject: &Reject| Refused::unkept("destination", &destination.name, reject.clone());
        let refused: Vec<Refused> = flushed.rejects.iter().map(refuse).collect();
        store.dead_letter(&mut change, "", &refused, &RecordBatch::new_empty(columns::activation()))?;
    } else if let Some(first) = flushed.rejects.first() {
        let fault = Fault::data(first.code.clone(), first.message.clone());
        return Err(Error::plugin("destination", &destination.name)(fault));
    }
    store.commit(change, Vec::new())?;
    let rejected = flushed.rejects.len() as u64;
    Ok(Sent { rows: flushed.rows, rejected, receipts: flushed.receipts, adds, pending: None })
}

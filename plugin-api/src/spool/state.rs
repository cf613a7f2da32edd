//! What the appenders, the writer and the reader share.

use super::{
    disk::Disk,
    format::{Header, HEADER, OVERHEAD},
    lock::Lock,
    Backlog, Damage, Damaged, Error, Health, Options, Position, Refused, PAYLOAD_BYTES,
};
use bytes::Bytes;
use std::{
    collections::{BTreeSet, VecDeque},
    panic::{catch_unwind, AssertUnwindSafe},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Bytes that wait in memory for the writer; behind them the disk is too slow, and that is said.
const QUEUE_BYTES: usize = 4 * PAYLOAD_BYTES;
/// How long appends are refused after the disk had no room, and what the senders are told.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(1000);
/// How long appends are refused without asking the disk again.
const BLOCKED: Duration = Duration::from_millis(250);
/// Damage that is remembered one by one; the counters go on.
const REMEMBERED: usize = 1000;

/// Told what became of a record: exactly once, whatever happens to it.
pub(super) struct Done(Option<Answer>);

type Answer = Box<dyn FnOnce(Result<Position, Refused>) + Send>;

impl Done {
    pub(super) fn new(done: impl FnOnce(Result<Position, Refused>) + Send + 'static) -> Self {
        Self(Some(Box::new(done)))
    }

    pub(super) fn call(mut self, result: Result<Position, Refused>) {
        self.say(result);
    }

    fn say(&mut self, result: Result<Position, Refused>) {
        if let Some(done) = self.0.take() {
            // A caller that panics must not stop the writer, on whose thread this runs.
            let _ = catch_unwind(AssertUnwindSafe(|| done(result)));
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        self.say(Err(Refused::Closed));
    }
}

/// A record on its way.
pub(super) struct Pending {
    pub(super) payload: Bytes,
    pub(super) done: Done,
}

impl Pending {
    pub(super) fn bytes(&self) -> usize {
        OVERHEAD + self.payload.len()
    }
}

/// A segment file, as far as it is durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) header: Header,
    /// Behind the last durable record.
    pub(super) end: u64,
}

pub(super) struct State {
    /// Oldest first; the last one is written to. Never empty.
    pub(super) segments: VecDeque<Segment>,
    /// The number of the next record that becomes durable.
    pub(super) next_sequence: u64,
    /// Everything up to here may be forgotten.
    pub(super) trimmed: Position,
    /// Records that were durable by then.
    pub(super) trimmed_sequence: u64,
    /// Durable bytes behind `trimmed`.
    pub(super) backlog_bytes: u64,
    pub(super) queue: Vec<Pending>,
    queued_bytes: usize,
    /// When the first record of the queue came.
    pub(super) queued_at: Instant,
    blocked_until: Option<Instant>,
    pub(super) poisoned: Option<Arc<str>>,
    pub(super) closing: bool,
    pub(super) closed: bool,
    pub(super) lock: Option<Lock>,
    pub(super) damaged: Damaged,
    damage: Vec<Damage>,
    /// Places whose damage is counted already: it may be read again.
    reported: BTreeSet<Position>,
}

pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) disk: Disk,
    state: Mutex<State>,
    /// The writer waits here.
    pub(super) work: Condvar,
    /// Readers wait here.
    pub(super) durable: Condvar,
}

impl State {
    pub(super) fn new(segments: VecDeque<Segment>, next_sequence: u64, lock: Lock) -> Self {
        let first = segments.front().map_or((0, 1), |s| (s.header.segment, s.header.first_sequence));
        let mut state = Self {
            segments,
            next_sequence,
            trimmed: Position { segment: first.0, offset: HEADER },
            trimmed_sequence: first.1.saturating_sub(1),
            backlog_bytes: 0,
            queue: Vec::new(),
            queued_bytes: 0,
            queued_at: Instant::now(),
            blocked_until: None,
            poisoned: None,
            closing: false,
            closed: false,
            lock: Some(lock),
            damaged: Damaged::default(),
            damage: Vec::new(),
            reported: BTreeSet::new(),
        };
        state.count_backlog();
        state
    }

    /// Behind the last durable record.
    pub(super) fn end(&self) -> Position {
        self.segments.back().map_or(self.trimmed, |s| Position { segment: s.header.segment, offset: s.end })
    }

    pub(super) fn count_backlog(&mut self) {
        let trimmed = self.trimmed;
        let bytes = |segment: &Segment| {
            let from = if segment.header.segment == trimmed.segment { trimmed.offset } else { HEADER };
            segment.end.saturating_sub(from)
        };
        self.backlog_bytes =
            self.segments.iter().filter(|s| s.header.segment >= trimmed.segment).map(bytes).sum();
    }

    pub(super) fn backlog(&self) -> Backlog {
        Backlog {
            records: self.next_sequence.saturating_sub(1).saturating_sub(self.trimmed_sequence),
            bytes: self.backlog_bytes,
        }
    }

    pub(super) fn health(&self, options: &Options, disk: &Disk) -> Health {
        match &self.poisoned {
            Some(reason) => Health::Poisoned(reason.clone()),
            None if self.closing => Health::Closed,
            None if self.blocked() || disk.over() || self.backlog_bytes >= options.capacity_bytes => {
                Health::Full
            }
            None => Health::Open,
        }
    }

    fn blocked(&self) -> bool {
        self.blocked_until.is_some_and(|until| Instant::now() < until)
    }

    /// The disk had no room.
    pub(super) fn block(&mut self) {
        self.blocked_until = Some(Instant::now() + BLOCKED);
    }

    /// Why a record cannot be taken in; `over` says that the disk is.
    fn refusal(&self, pending: &Pending, over: bool, options: &Options) -> Option<Refused> {
        let length = pending.payload.len();
        if length > PAYLOAD_BYTES {
            return Some(Refused::TooLarge { bytes: length });
        }
        if let Some(reason) = &self.poisoned {
            return Some(Refused::Poisoned(reason.clone()));
        }
        if self.closing {
            return Some(Refused::Closed);
        }
        let queued = self.queued_bytes + pending.bytes();
        let full = self.backlog_bytes + queued as u64 > options.capacity_bytes
            || queued > QUEUE_BYTES
            || self.blocked()
            || over;
        full.then_some(Refused::Full { retry_after: RETRY_AFTER })
    }

    fn enqueue(&mut self, pending: Pending) {
        self.queued_bytes += pending.bytes();
        self.queue.push(pending);
    }

    /// What waits; it counts until it is settled.
    pub(super) fn take_queue(&mut self) -> Vec<Pending> {
        std::mem::take(&mut self.queue)
    }

    /// The fate of so many bytes of the queue is known.
    pub(super) fn settle(&mut self, bytes: usize) {
        self.queued_bytes = self.queued_bytes.saturating_sub(bytes);
    }

    /// Refuses everything from now on.
    pub(super) fn poison(&mut self, reason: String) -> Arc<str> {
        self.poisoned.get_or_insert_with(|| reason.into()).clone()
    }

    /// Remembers damage, once for each place.
    pub(super) fn report(&mut self, damage: Damage) {
        if !self.reported.insert(damage.position) {
            return;
        }
        self.damaged.ranges += 1;
        self.damaged.bytes += damage.bytes;
        self.damaged.records += damage.records;
        if self.damage.len() < REMEMBERED {
            self.damage.push(damage);
        }
    }

    pub(super) fn forget_reports(&mut self, upto: Position) {
        self.reported = self.reported.split_off(&upto);
    }

    pub(super) fn take_damage(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.damage)
    }

    pub(super) fn usable(&self) -> Result<(), Error> {
        if self.closed {
            return Err(Error::Closed);
        }
        Ok(())
    }
}

impl Shared {
    pub(super) fn new(options: Options, disk: Disk, state: State) -> Self {
        Self { options, disk, state: Mutex::new(state), work: Condvar::new(), durable: Condvar::new() }
    }

    /// No caller's code runs under this lock, so it is consistent even if a thread died with it.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts records into the writer's queue, all at once, or says of each why not.
    pub(super) fn append(&self, records: impl IntoIterator<Item = Pending>) {
        let over = self.disk.over();
        let mut refused = Vec::new();
        let mut state = self.state();
        let waits = !state.queue.is_empty();
        for pending in records {
            match state.refusal(&pending, over, &self.options) {
                Some(reason) => refused.push((pending, reason)),
                None => state.enqueue(pending),
            }
        }
        if !waits && !state.queue.is_empty() {
            state.queued_at = Instant::now();
            self.work.notify_one();
        }
        drop(state);
        for (pending, reason) in refused {
            pending.done.call(Err(reason));
        }
    }

    pub(super) fn wait<'a>(
        condition: &Condvar,
        state: MutexGuard<'a, State>,
        time: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        match time {
            None => condition.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(time) => condition.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0,
        }
    }
}

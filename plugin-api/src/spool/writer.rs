//! The threads that write, in turns. Who has the turn writes everything that waits in one call, and hands the turn on before
//! it syncs, so that the other one writes what came meanwhile. A sync takes all along that was written before it began:
//! nothing is acknowledged that stands behind something which is not durable.

use super::{
    files,
    floor::Floor,
    format::{self, Header, HEADER},
    state::{Pending, Segment, Shared, RETRY_AFTER},
    Error, Position, Refused,
};
use rustix::fs::{fallocate, FallocateFlags};
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Threads that take turns: while one waits for the disk the other one writes.
pub(super) const THREADS: usize = 2;

/// Bytes after which a group is written although more waits: memory, and the senders' patience, have limits.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Bytes that a file is made longer by before they are written: a sync that need not make a new length durable, too, is
/// quicker by a third. They are zeros until then.
const ROOM: u64 = 1024 * 1024;

/// What a group failed of.
enum Failed {
    /// No room; the file is as it was.
    Full,
    /// Anything else.
    Disk(String),
}

/// The segment that is written to, by who has the turn.
struct Writer {
    shared: Arc<Shared>,
    /// One for each thread: the system tells an error of writing once for each.
    files: [Arc<File>; THREADS],
    header: Header,
    /// Behind the last byte that was written.
    end: u64,
    /// Bytes that the file has.
    room: u64,
    next_sequence: u64,
    /// The bytes of the group that is being made.
    buffer: Vec<u8>,
    /// Threads that go on.
    running: usize,
}

/// A group on its way to the disk.
struct Written {
    file: Arc<File>,
    segment: u64,
    end: u64,
    next_sequence: u64,
    /// Where each record ends.
    ends: Vec<u64>,
}

/// One of the threads.
pub(super) struct Thread {
    shared: Arc<Shared>,
    writer: Arc<Mutex<Writer>>,
    /// Which of the files is its own.
    own: usize,
    _leave: Arc<Leave>,
}

impl Thread {
    /// To be run each on a thread of its own.
    ///
    /// # Errors
    /// When the file cannot be opened once more.
    pub(super) fn new(
        shared: &Arc<Shared>,
        file: Arc<File>,
        segment: Segment,
        next_sequence: u64,
    ) -> Result<[Self; THREADS], Error> {
        let Segment { header, end } = segment;
        let path = files::segment_path(&shared.options.folder, header.segment);
        let again = files::options().open(&path).map_err(Error::io(&path))?;
        let writer = Arc::new(Mutex::new(Writer {
            shared: Arc::clone(shared),
            files: [file, Arc::new(again)],
            header,
            end,
            room: end,
            next_sequence,
            buffer: Vec::new(),
            running: THREADS,
        }));
        let leave = Arc::new(Leave(Arc::clone(shared)));
        let one = |own| Self {
            shared: Arc::clone(shared),
            writer: Arc::clone(&writer),
            own,
            _leave: Arc::clone(&leave),
        };
        Ok(std::array::from_fn(one))
    }

    /// Until the spool is closed and nothing waits any more.
    pub(super) fn run(self) {
        while let Some(turn) = Turn::wait(&self.shared) {
            let mut writer = self.writer();
            let part = writer.next_part();
            let written = writer.write(&part, self.own);
            drop((writer, turn));
            let synced = written.and_then(|written| {
                written
                    .file
                    .sync_data()
                    .map_err(|error| broken(&self.shared, "sync", written.segment, &error))?;
                self.publish(&written)?;
                Ok(written)
            });
            self.tell(part, synced);
        }
        let mut writer = self.writer();
        writer.running -= 1;
        writer.finish();
    }

    /// What a thread that panicked left is never written to: `Turn`.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the reader see what is durable now; the other thread may have done so with what came behind it.
    fn publish(&self, written: &Written) -> Result<(), Failed> {
        let mut state = self.shared.state();
        if let Some(reason) = &state.poisoned {
            return Err(Failed::Disk(reason.to_string()));
        }
        state.publish(written.segment, written.end, written.next_sequence);
        self.shared.durable.notify_all();
        Ok(())
    }

    /// Tells senders what became of their records.
    fn tell(&self, part: Vec<Pending>, synced: Result<Written, Failed>) {
        self.shared.state().settle(part.iter().map(Pending::bytes).sum());
        match synced {
            Ok(Written { segment, ends, .. }) => {
                for (pending, offset) in part.into_iter().zip(ends) {
                    pending.done.call(Ok(Position { segment, offset }));
                }
            }
            Err(Failed::Full) => {
                self.shared.state().block();
                for pending in part {
                    pending.done.call(Err(Refused::Full { retry_after: RETRY_AFTER }));
                }
            }
            Err(Failed::Disk(reason)) => {
                let reason = self.shared.state().poison(reason);
                self.shared.durable.notify_all();
                for pending in part {
                    pending.done.call(Err(Refused::Poisoned(reason.clone())));
                }
            }
        }
    }
}

/// The right to write, until it is dropped.
struct Turn<'a>(&'a Shared);

impl<'a> Turn<'a> {
    /// Waits until something is there to be written and nobody writes; none when nothing ever will be.
    fn wait(shared: &'a Shared) -> Option<Self> {
        let mut state = shared.state();
        while state.writing || state.queue.is_empty() {
            if state.closing && state.queue.is_empty() {
                return None;
            }
            state = Shared::wait(&shared.work, state, None);
        }
        state.writing = true;
        Some(Self(shared))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.writing = false;
        if std::thread::panicking() {
            state.poison("a thread that writes has panicked".to_owned());
        }
        if !state.queue.is_empty() || state.closing {
            self.0.work.notify_one();
        }
    }
}

impl Writer {
    /// As much of what waits as goes into this segment, or into the next one where this is full. The rest waits on.
    fn next_part(&self) -> Vec<Pending> {
        let mut state = self.shared.state();
        let until = state.queued_at + Duration::from_micros(self.shared.options.group_us);
        let rest = until.saturating_duration_since(Instant::now());
        if !rest.is_zero() && !state.closing {
            drop(state);
            std::thread::sleep(rest);
            state = self.shared.state();
        }
        let most = self.shared.options.segment_bytes;
        let first = state.queue.first().map_or(0, Pending::bytes) as u64;
        let start = if self.end + first <= most { self.end } else { HEADER };
        let mut bytes = 0;
        let fits = |pending: &&Pending| {
            bytes += pending.bytes();
            bytes <= GROUP_BYTES && start + bytes as u64 <= most
        };
        let count = state.queue.iter().take_while(fits).count();
        state.take(count.max(1))
    }

    /// Writes records behind the others.
    fn write(&mut self, part: &[Pending], own: usize) -> Result<Written, Failed> {
        if let Some(reason) = &self.shared.state().poisoned {
            return Err(Failed::Disk(reason.to_string()));
        }
        let bytes: usize = part.iter().map(Pending::bytes).sum();
        if self.end > HEADER && self.end + bytes as u64 > self.shared.options.segment_bytes {
            self.rotate(own)?;
        }
        self.buffer.clear();
        let mut ends = Vec::with_capacity(part.len());
        let behind = self.end - self.durable_end();
        for (sequence, pending) in (self.next_sequence..).zip(part) {
            let back = behind + self.buffer.len() as u64;
            format::encode(&mut self.buffer, (sequence, back), &pending.payload, self.header.salt);
            ends.push(self.end + self.buffer.len() as u64);
        }
        self.make_room();
        let file = Arc::clone(&self.files[own]);
        file.write_all_at(&self.buffer, self.end).map_err(|error| self.unwritten(&error))?;
        self.end += self.buffer.len() as u64;
        self.next_sequence += part.len() as u64;
        self.buffer.shrink_to(GROUP_BYTES);
        Ok(Written {
            file,
            segment: self.header.segment,
            end: self.end,
            next_sequence: self.next_sequence,
            ends,
        })
    }

    /// How far the segment is durable.
    fn durable_end(&self) -> u64 {
        let state = self.shared.state();
        let last = state.segments.back().filter(|last| last.header.segment == self.header.segment);
        last.map_or(HEADER, |last| last.end)
    }

    /// The last thread leaves the file as it is read best.
    fn finish(&mut self) {
        if self.running > 0 || self.shared.state().poisoned.is_some() {
            return;
        }
        let _ = self.files[0].set_len(self.end); // Opening does it, too.
        let end = Position { segment: self.header.segment, offset: self.end };
        let floor = Floor { end, next_sequence: self.next_sequence };
        let _ = floor.write(&self.shared.options.folder); // Without it nothing is lost: `floor.rs`.
    }

    /// Makes the file as long as it will be, and longer. Where there is no room for that there may still be enough for the
    /// group.
    fn make_room(&mut self) {
        let end = self.end + self.buffer.len() as u64;
        if end > self.room {
            let more = (end + ROOM).min(self.shared.options.segment_bytes.max(end)) - self.room;
            let made = fallocate(&self.files[0], FallocateFlags::empty(), self.room, more);
            self.room = if made.is_ok() { self.room + more } else { end };
        }
    }

    /// A write failed. Without room the file is made as long as it was before, and all is well.
    fn unwritten(&mut self, error: &io::Error) -> Failed {
        if !files::no_room(error) {
            return broken(&self.shared, "write", self.header.segment, error);
        }
        self.room = self.end;
        match self.files[0].set_len(self.end) {
            Ok(()) => Failed::Full,
            Err(error) => broken(&self.shared, "truncate", self.header.segment, &error),
        }
    }

    /// Goes on in a new segment. The old one is durable then, also what the other thread has just written to it.
    fn rotate(&mut self, own: usize) -> Result<(), Failed> {
        // All but the last file end with a record.
        let cut = self.files[own].set_len(self.end).and_then(|()| self.files[own].sync_all());
        cut.map_err(|error| broken(&self.shared, "truncate", self.header.segment, &error))?;
        self.room = self.end;
        let folder = &self.shared.options.folder;
        let failed = |error: Error| match error {
            Error::Io { source, .. } if files::no_room(&source) => Failed::Full,
            error => Failed::Disk(format!("cannot create a segment: {error}")),
        };
        let number = self.header.segment + 1;
        let (file, header) = files::create(folder, number, self.next_sequence, self.end).map_err(failed)?;
        let path = files::segment_path(folder, number);
        let again = files::options().open(&path).map_err(Error::io(&path));
        let again = again.or_else(|error| {
            // Without it the file is one whose making has failed.
            std::fs::remove_file(&path).map_err(|e| Error::io(&path)(io::Error::other(e)))?;
            Err(error)
        });
        self.files = [Arc::new(file), Arc::new(again.map_err(failed)?)];
        let mut state = self.shared.state();
        state.publish(self.header.segment, self.end, self.next_sequence);
        self.header = header;
        (self.end, self.room) = (HEADER, HEADER);
        state.segments.push_back(Segment { header, end: HEADER });
        Ok(())
    }
}

/// What is said of a disk that failed.
fn broken(shared: &Shared, what: &str, segment: u64, error: &io::Error) -> Failed {
    let path = files::segment_path(&shared.options.folder, segment);
    Failed::Disk(format!("cannot {what} `{}`: {error}", path.display()))
}

/// Gives everything back when the threads have ended, however they did.
struct Leave(Arc<Shared>);

impl Drop for Leave {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.closing = true;
        state.closed = true;
        state.lock = None;
        let queue = state.take(usize::MAX);
        drop(state);
        self.0.durable.notify_all();
        drop(queue); // Whoever still waits is told.
    }
}

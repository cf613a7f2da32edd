//! The one thread that writes. Everything that waits goes out in one write and one sync.

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
    sync::Arc,
    time::{Duration, Instant},
};

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

/// The segment that is written to.
pub(super) struct Writer {
    shared: Arc<Shared>,
    file: Arc<File>,
    header: Header,
    end: u64,
    /// Bytes that the file has.
    room: u64,
    next_sequence: u64,
    /// The bytes of the group that is being made.
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, file: Arc<File>, segment: Segment, next_sequence: u64) -> Self {
        let Segment { header, end } = segment;
        Self { shared, file, header, end, room: end, next_sequence, buffer: Vec::new() }
    }

    /// Until the spool is closed and nothing waits any more.
    pub(super) fn run(mut self) {
        let _leave = Leave(self.shared.clone());
        while let Some(group) = self.next_group() {
            self.write(group);
        }
        if self.shared.state().poisoned.is_none() {
            let _ = self.file.set_len(self.end); // Opening does it, too.
            let end = Position { segment: self.header.segment, offset: self.end };
            let floor = Floor { end, next_sequence: self.next_sequence };
            let _ = floor.write(&self.shared.options.folder); // Without it nothing is lost: `floor.rs`.
        }
    }

    /// Everything that waits; none when nothing ever will.
    fn next_group(&self) -> Option<Vec<Pending>> {
        let mut state = self.shared.state();
        while state.queue.is_empty() {
            if state.closing {
                return None;
            }
            state = Shared::wait(&self.shared.work, state, None);
        }
        let until = state.queued_at + Duration::from_micros(self.shared.options.group_us);
        let rest = until.saturating_duration_since(Instant::now());
        if !rest.is_zero() && !state.closing {
            drop(state);
            std::thread::sleep(rest);
            state = self.shared.state();
        }
        Some(state.take_queue())
    }

    /// Cuts a group where a segment is full, or where it becomes too large.
    fn write(&mut self, group: Vec<Pending>) {
        let most = self.shared.options.segment_bytes;
        let mut part: Vec<Pending> = Vec::with_capacity(group.len());
        let (mut bytes, mut start) = (0, self.end);
        for pending in group {
            let next = bytes + pending.bytes();
            if !part.is_empty() && (next > GROUP_BYTES || start + next as u64 > most) {
                self.write_part(std::mem::take(&mut part));
                bytes = 0;
            }
            if part.is_empty() {
                let fits = self.end + pending.bytes() as u64 <= most;
                start = if fits { self.end } else { HEADER };
            }
            bytes += pending.bytes();
            part.push(pending);
        }
        self.write_part(part);
    }

    /// Writes records of one segment and tells their senders.
    fn write_part(&mut self, part: Vec<Pending>) {
        let committed = self.commit(&part);
        self.shared.state().settle(part.iter().map(Pending::bytes).sum());
        match committed {
            Ok(ends) => {
                for (pending, offset) in part.into_iter().zip(ends) {
                    pending.done.call(Ok(Position { segment: self.header.segment, offset }));
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

    /// Makes records durable; answers where each of them ends.
    fn commit(&mut self, part: &[Pending]) -> Result<Vec<u64>, Failed> {
        if let Some(reason) = &self.shared.state().poisoned {
            return Err(Failed::Disk(reason.to_string()));
        }
        let bytes: usize = part.iter().map(Pending::bytes).sum();
        if self.end > HEADER && self.end + bytes as u64 > self.shared.options.segment_bytes {
            self.rotate()?;
        }
        self.buffer.clear();
        let mut ends = Vec::with_capacity(part.len());
        for (sequence, pending) in (self.next_sequence..).zip(part) {
            format::encode(&mut self.buffer, sequence, &pending.payload, self.header.salt);
            ends.push(self.end + self.buffer.len() as u64);
        }
        self.make_room();
        self.file.write_all_at(&self.buffer, self.end).map_err(|error| self.unwritten(&error))?;
        self.file.sync_data().map_err(|error| self.broken("sync", &error))?;
        self.end += self.buffer.len() as u64;
        self.next_sequence += part.len() as u64;
        self.buffer.shrink_to(GROUP_BYTES);
        self.publish();
        Ok(ends)
    }

    /// Makes the file as long as it will be, and longer. Where there is no room for that there may still be enough for the
    /// group.
    fn make_room(&mut self) {
        let end = self.end + self.buffer.len() as u64;
        if end > self.room {
            let more = (end + ROOM).min(self.shared.options.segment_bytes.max(end)) - self.room;
            let made = fallocate(&self.file, FallocateFlags::empty(), self.room, more);
            self.room = if made.is_ok() { self.room + more } else { end };
        }
    }

    /// Lets the reader see what is durable now.
    fn publish(&self) {
        let mut state = self.shared.state();
        if let Some(last) = state.segments.back_mut() {
            let more = self.end - last.end;
            last.end = self.end;
            state.backlog_bytes += more;
        }
        state.next_sequence = self.next_sequence;
        self.shared.durable.notify_all();
    }

    /// A write failed. Without room the file is made as long as it was before, and all is well.
    fn unwritten(&mut self, error: &io::Error) -> Failed {
        if !files::no_room(error) {
            return self.broken("write", error);
        }
        self.room = self.end;
        match self.file.set_len(self.end) {
            Ok(()) => Failed::Full,
            Err(error) => self.broken("truncate", &error),
        }
    }

    fn broken(&self, what: &str, error: &io::Error) -> Failed {
        let path = files::segment_path(&self.shared.options.folder, self.header.segment);
        Failed::Disk(format!("cannot {what} `{}`: {error}", path.display()))
    }

    /// Goes on in a new segment. The old one is durable as it is.
    fn rotate(&mut self) -> Result<(), Failed> {
        // All but the last file end with a record.
        let cut = self.file.set_len(self.end).and_then(|()| self.file.sync_all());
        cut.map_err(|error| self.broken("truncate", &error))?;
        self.room = self.end;
        let folder = &self.shared.options.folder;
        let (file, header) = files::create(folder, self.header.segment + 1, self.next_sequence, self.end)
            .map_err(|error| match error {
                Error::Io { source, .. } if files::no_room(&source) => Failed::Full,
                error => Failed::Disk(format!("cannot create a segment: {error}")),
            })?;
        self.file = Arc::new(file);
        self.header = header;
        (self.end, self.room) = (HEADER, HEADER);
        self.shared.state().segments.push_back(Segment { header, end: HEADER });
        Ok(())
    }
}

/// Gives everything back when the thread ends, however it does.
struct Leave(Arc<Shared>);

impl Drop for Leave {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.closing = true;
        state.closed = true;
        state.lock = None;
        let queue = state.take_queue();
        drop(state);
        self.0.durable.notify_all();
        drop(queue); // Whoever still waits is told.
    }
}

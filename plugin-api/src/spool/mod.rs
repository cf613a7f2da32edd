//! A durable queue on disk for sources that are pushed to.

mod disk;
mod error;
mod files;
mod format;
mod lock;
mod position;
mod quarantine;
mod reader;
mod recover;
mod report;
mod scan;
mod state;
mod trim;
mod writer;

pub use error::{Error, Refused};
pub use position::Position;
pub use report::{Backlog, Damage, Damaged, Health, Record, Recovered};

use bytes::Bytes;
use disk::Disk;
use reader::{Cursor, Limits};
use state::{Done, Shared, State};
use std::{
    fmt,
    path::PathBuf,
    sync::{mpsc, Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

/// Bytes that a record may have: 16 MiB.
pub const PAYLOAD_BYTES: usize = 16 * 1024 * 1024;

/// Where the spool is and how large it may grow.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder; made (0700) where it is missing. One spool has it at a time.
    pub folder: PathBuf,
    /// Bytes after which a new file is begun: 64 MiB. Room comes back a file at a time.
    pub segment_bytes: u64,
    /// Bytes of records that are not trimmed, waiting ones included: 1 GiB. On disk it may be one segment more.
    pub capacity_bytes: u64,
    /// Microseconds that the first record of a group waits for others, at most 2000. 0: a group is what came while
    /// the last one was synced.
    pub group_us: u64,
    /// Share of the disk in use, by anybody, above which records are refused: 0.85. 1 never refuses.
    pub disk_limit: f64,
}

impl Options {
    /// The usual sizes.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            segment_bytes: 64 << 20,
            capacity_bytes: 1 << 30,
            group_us: 0,
            disk_limit: 0.85,
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.group_us > 2000 {
            return Err(Error::Options(format!("group_us is {}; at most 2000 are allowed", self.group_us)));
        }
        if !(self.disk_limit > 0.0 && self.disk_limit <= 1.0) {
            return Err(Error::Options(format!(
                "disk_limit is {}; a share above 0 and up to 1 is allowed",
                self.disk_limit
            )));
        }
        Ok(())
    }
}

/// The spool. Clones are the same spool; the last one that goes closes it.
#[derive(Clone)]
pub struct Spool {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    cursor: Mutex<Option<Cursor>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    recovered: Recovered,
}

impl Spool {
    /// Takes the folder, repairs what a crash left, and finds the end.
    ///
    /// # Errors
    /// [`Error::Options`], [`Error::Held`] while somebody else has the folder, [`Error::Version`] and [`Error::Io`].
    pub fn open(options: Options) -> Result<Self, Error> {
        options.validate()?;
        files::make_folder(&options.folder)?;
        let lock = lock::lock(&options.folder)?;
        let opened = recover::recover(&options.folder)?;
        let disk = Disk::new(&options.folder, options.disk_limit);
        let mut state = State::new(opened.segments, opened.next_sequence, lock);
        opened.recovered.damage.iter().for_each(|damage| state.report(damage.clone()));
        let segment = *state.segments.back().ok_or(Error::Closed)?;
        let folder = options.folder.clone();
        let shared = Arc::new(Shared::new(options, disk, state));
        let writer = writer::Writer::new(shared.clone(), opened.file, segment, opened.next_sequence);
        let thread = std::thread::Builder::new()
            .name("spool".into())
            .spawn(move || writer.run())
            .map_err(Error::io(&folder))?;
        let handle = Handle {
            shared,
            cursor: Mutex::new(None),
            thread: Mutex::new(Some(thread)),
            recovered: opened.recovered,
        };
        Ok(Self { handle: Arc::new(handle) })
    }

    /// What opening found.
    pub fn recovered(&self) -> &Recovered {
        &self.handle.recovered
    }

    /// Hands a record over and returns. `done` is called exactly once: with the position behind the record when it is
    /// durable, from the spool's thread, so it must be quick; or with the reason why it never will be, at once and
    /// from this thread where that is known at once.
    pub fn append(
        &self,
        record: impl Into<Bytes>,
        done: impl FnOnce(Result<Position, Refused>) + Send + 'static,
    ) {
        self.handle.shared.append(record.into(), Done::new(done));
    }

    /// Hands a record over and waits until it is durable.
    ///
    /// # Errors
    /// The reason why it never will be.
    pub fn append_wait(&self, record: impl Into<Bytes>) -> Result<Position, Refused> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.append(record, move |result| {
            let _ = sender.send(result);
        });
        receiver.recv().unwrap_or(Err(Refused::Closed))
    }

    /// Durable records behind a position, or from the oldest that is kept; waits up to `wait` for the first one. Stops
    /// at `max_records`, or with the record that reaches `max_bytes` of payload. A call that goes on where the last
    /// one ended reads no byte twice.
    ///
    /// # Errors
    /// [`Error::Position`] when the position lies behind the end, [`Error::Io`], [`Error::Closed`].
    pub fn read(
        &self,
        after: Option<Position>,
        max_records: usize,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Record>, Error> {
        let limits = Limits { records: max_records, bytes: max_bytes };
        let mut cursor = self.handle.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        reader::read(&self.handle.shared, &mut cursor, after, &limits, wait)
    }

    /// Everything up to here is committed elsewhere: files whose records all are, are removed.
    ///
    /// # Errors
    /// [`Error::Position`] when the position lies behind the end, [`Error::Io`], [`Error::Closed`].
    pub fn trim(&self, upto: Position) -> Result<(), Error> {
        trim::trim(&self.handle.shared, upto)
    }

    /// What is durable and not trimmed.
    pub fn backlog(&self) -> Backlog {
        self.handle.shared.state().backlog()
    }

    /// Whether records are taken in.
    pub fn health(&self) -> Health {
        let shared = &self.handle.shared;
        shared.state().health(&shared.options, &shared.disk)
    }

    /// Damage that was found since this was asked last, at opening and by reading. A source logs and counts it.
    pub fn take_damage(&self) -> Vec<Damage> {
        self.handle.shared.state().take_damage()
    }

    /// Damage since the spool was opened.
    pub fn damaged(&self) -> Damaged {
        self.handle.shared.state().damaged
    }

    /// Takes nothing more in, makes durable what waits, and gives the folder back.
    pub fn close(&self) {
        self.handle.close();
    }
}

impl Handle {
    fn close(&self) {
        let mut state = self.shared.state();
        state.closing = true;
        self.shared.work.notify_all();
        self.shared.durable.notify_all();
        drop(state);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last clone may go in a `done`, which runs on that very thread; it ends by itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("folder", &self.handle.shared.options.folder).finish_non_exhaustive()
    }
}

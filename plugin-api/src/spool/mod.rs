//! A durable queue on disk for sources that are pushed to, so that a "2xx" means "survives a power cut".
//!
//! A source that is pushed to (a collector, a receiver of webhooks) cannot ask again: what it has answered with 2xx is
//! gone on the far side. So it appends each request to a spool, and answers when the spool says that it is durable.
//! The host reads from the spool at its own pace, and what it has committed is removed.
//!
//! ```
//! use kindred_plugin_api::{arrow::datatypes::Schema, prelude::*, spool::{Options, Position, Refused, Spool}};
//! use std::{sync::Arc, time::Duration};
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     /// Folder for what was received and is not yet processed.
//!     spool: std::path::PathBuf,
//! }
//!
//! struct Hook {
//!     spool: Spool,
//!     position: Option<Position>,
//!     context: Context,
//! }
//!
//! /// What the server calls for each request; `answer` sends the status.
//! fn receive(spool: &Spool, body: Vec<u8>, answer: impl FnOnce(u16) + Send + 'static) {
//!     spool.append(body, |durable| {
//!         answer(match durable {
//!             Ok(_) => 202,
//!             Err(Refused::TooLarge { .. }) => 413,
//!             Err(_) => 503, // and `Retry-After`, where it says when
//!         });
//!     });
//! }
//!
//! impl Source for Hook {
//!     const MANIFEST: Manifest = manifest!("hook", "takes in what is posted to it");
//!     type Config = Config;
//!
//!     fn open(config: Config, context: Context) -> Result<Self> {
//!         let spool = Spool::open(Options::new(context.path(&config.spool)))?;
//!         let position = context.state().map(Position::from_bytes).transpose()?;
//!         if let Some(position) = position {
//!             spool.trim(position)?; // The last run may have ended between the commit and its `ack`.
//!         }
//!         // Here the server starts; its handlers call `receive` with a clone of the spool.
//!         Ok(Self { spool, position, context })
//!     }
//!
//!     fn schema(&mut self) -> Result<SchemaRef> {
//!         Ok(Arc::new(Schema::new(vec![Field::new("body", DataType::Utf8, true)])))
//!     }
//!
//!     fn poll(&mut self, max_rows: usize, deadline_ms: u64) -> Result<Poll> {
//!         let wait = Duration::from_millis(deadline_ms / 2);
//!         let records = self.spool.read(self.position, max_rows, 16 << 20, wait)?;
//!         for damage in self.spool.take_damage() {
//!             self.context.warn(&damage.to_string());
//!             self.context.count("spool_lost_records", damage.records as f64);
//!         }
//!         self.spool.check()?; // A disk that failed stops the source; it may be opened again.
//!         let Some(last) = records.last() else { return Ok(Poll::Idle { wait_ms: 0 }) };
//!         self.position = Some(last.position);
//!         let rows: StringArray = records.iter().map(|r| std::str::from_utf8(&r.payload).ok()).collect();
//!         Ok(Poll::Rows(Rows {
//!             batch: RecordBatch::try_new(self.schema()?, vec![Arc::new(rows)])?,
//!             rejects: Vec::new(),
//!             position: last.position.to_bytes().to_vec(),
//!             backlog_rows: self.spool.backlog().records,
//!         }))
//!     }
//!
//!     fn ack(&mut self, position: &[u8]) -> Result<()> {
//!         Ok(self.spool.trim(Position::from_bytes(position)?)?)
//!     }
//!
//!     fn close(&mut self) -> Result<()> {
//!         self.spool.close();
//!         Ok(())
//!     }
//! }
//!
//! # let folder = std::env::temp_dir().join(format!("kindred-spool-doc-{}", std::process::id()));
//! # let config = || Config { spool: "spool".into() };
//! # let mut hook = Hook::open(config(), Context::detached(&folder))?;
//! # let (sender, answers) = std::sync::mpsc::channel();
//! # receive(&hook.spool, b"first".to_vec(), move |status| sender.send(status).unwrap());
//! # assert_eq!(answers.recv(), Ok(202));
//! # let Poll::Rows(rows) = hook.poll(10, 1000)? else { panic!() };
//! # assert_eq!(rows.batch.num_rows(), 1);
//! # hook.ack(&rows.position)?;
//! # hook.close()?;
//! # let mut hook = Hook::open(config(), Context::detached(&folder).with_state(Some(rows.position)))?;
//! # assert!(matches!(hook.poll(10, 2)?, Poll::Idle { .. }));
//! # hook.close()?;
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), Fault>(())
//! ```
//!
//! # The promise
//!
//! * `done(Ok(_))` comes after an `fdatasync` that covers the record, and after its file's name is durable. From then
//!   on every [`Spool::read`] behind an earlier position gives the record, once and in order, until it is trimmed.
//! * A record that was refused is not acknowledged. It may be read nevertheless, if a crash or a failed disk came
//!   between writing and answering: then its sender sends it again, and an `event_id` makes one of the two harmless.
//! * What is trimmed never comes again when reading goes on at the committed position.
//! * No payload is ever given back other than it was appended. What is damaged is skipped to the next whole record,
//!   copied to the folder `quarantine`, counted, and told by [`Spool::take_damage`]. A missing number is told, too.
//! * The disk must keep what it says it flushed; one that lies loses what it lied about.
//!
//! # Errors
//!
//! [`Refused::Full`] passes by itself: the capacity is reached, the disk is above its limit, no room is left (the file is
//! cut back to its last durable byte), or the disk is too slow for what comes. Any other error of a write, and every
//! error of a sync, **poisons** the spool: after a failed sync nobody knows what is on the disk, and syncing again
//! would say that all is well. Nothing is acknowledged any more; what was durable can still be read and trimmed.
//! Opening the spool again is the way on: it proves what is there and writes the last group once more.
//!
//! # Files
//!
//! `NUMBER.spool` are the segments, header and records; the format stands in `format.rs`. `lock` names the process
//! that has the folder. `closed` notes the end at the last clean close, so that a record that is missing there is not
//! taken for a torn one. All are 0600. Segments are written by one thread, with everything that waits in one write and
//! one sync, and read with plain reads: no mapped memory, whose errors are signals, and nothing that a tracer of
//! system calls would not see. The last one is made longer in advance, a MiB at a time, because a sync that need not make a
//! new length durable, too, is quicker by a third (docs/benchmarks.md): zeros behind its last record are room, anything
//! else there is torn.

mod disk;
mod error;
mod files;
mod floor;
mod format;
mod lock;
mod place;
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
use place::Place;
use reader::Limits;
use state::{Done, Pending, Shared, State};
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
    last: Mutex<Option<Place>>,
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
            last: Mutex::new(None),
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
        self.append_all([(record.into(), done)]);
    }

    /// Hands several records over, as [`Self::append`] does each: they wait for the disk together, and its thread is woken
    /// once. Records of other appenders do not come between them.
    pub fn append_all<D>(&self, records: impl IntoIterator<Item = (Bytes, D)>)
    where
        D: FnOnce(Result<Position, Refused>) + Send + 'static,
    {
        let pending = |(payload, done)| Pending { payload, done: Done::new(done) };
        self.handle.shared.append(records.into_iter().map(pending).collect::<Vec<_>>());
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
        let mut last = self.handle.last.lock().unwrap_or_else(PoisonError::into_inner);
        reader::read(&self.handle.shared, &mut last, after, &limits, wait)
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

    /// The same as an error, for `poll`: a spool that failed takes nothing in until it is opened again.
    ///
    /// # Errors
    /// [`Error::Poisoned`] with the reason.
    pub fn check(&self) -> Result<(), Error> {
        self.handle.shared.state().poisoned.clone().map_or(Ok(()), |reason| Err(Error::Poisoned(reason)))
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

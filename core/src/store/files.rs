//! Files of the store: written and synced first, then named by a step's commit; anything else in the folder is a
//! leftover of a step that never committed.

use super::{
    block::{Index, Piece},
    commits::Commit,
    tables::{self, Change, Tables},
    widths::Width,
};
use crate::{Error, Result, disk::sync_folder, profile::base::Section};
use arrow::buffer::{Buffer, MutableBuffer};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    thread::JoinHandle,
};
use xxhash_rust::xxh3::xxh3_64;

/// What a committed file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Events, event ids or profiles.
    pub content: Content,
    /// Length.
    pub bytes: u64,
    /// XXH3 of all bytes, or, of a file of events, of those behind its last block; the blocks have their own.
    pub checksum: u64,
    /// Events, ids or profiles inside.
    pub rows: u64,
    /// Day of ingestion, days since 1970.
    pub day: i64,
    /// Of a file of events.
    pub layout: Layout,
    /// Of a file of profiles.
    pub sections: Vec<Section>,
}

/// What lies where in a file of events. Blocks follow each other from the first byte on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Names and widths of the columns, by name.
    pub columns: Vec<(String, Width)>,
    /// By profile.
    pub blocks: Vec<Index>,
}

/// Kinds of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A segment of events in profile order.
    Events,
    /// Ids of ingested events.
    Ids,
    /// Attributes and consent by column.
    Profiles,
    /// Ids of ingested events, in order.
    SortedIds,
}

/// The files of a store.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    next: u64,
    known: BTreeMap<String, Entry>,
    /// Written, and synced while the step goes on.
    syncing: Vec<Syncing>,
}

/// A file or folder on its way to the disk, on a thread of its own: the waits of a step's files are one wait, and behind
/// what else there is to do.
#[derive(Debug)]
pub(super) struct Syncing {
    path: PathBuf,
    thread: JoinHandle<io::Result<()>>,
}

impl Syncing {
    fn start(path: PathBuf, sync: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<Self> {
        let thread = std::thread::Builder::new().name("sync".into()).spawn(sync).map_err(Error::io(&path))?;
        Ok(Self { path, thread })
    }

    /// Waits until it is there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn wait(self) -> Result<()> {
        let ended = || Err(io::Error::other("its thread ended"));
        self.thread.join().unwrap_or_else(|_| ended()).map_err(Error::io(&self.path))
    }
}

impl Files {
    /// Reads the list and removes what was never committed.
    pub(super) fn open(dir: PathBuf, tables: &Tables) -> Result<Self> {
        fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
        let mut known: BTreeMap<String, Entry> = BTreeMap::new();
        for (name, value) in tables::scan(&tables.files, [])? {
            known.insert(String::from_utf8_lossy(&name).into_owned(), postcard::from_bytes(&value)?);
        }
        let mut missing: BTreeSet<&String> = known.keys().collect();
        for entry in fs::read_dir(&dir).map_err(Error::io(&dir))? {
            let path = entry.map_err(Error::io(&dir))?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if !known.contains_key(&name) {
                fs::remove_file(&path).map_err(Error::io(&path))?;
            }
            missing.remove(&name);
        }
        // Some are read only when somebody asks, and then it would be late to say so.
        if let Some(name) = missing.first() {
            return Err(Error::Damaged { path: dir.join(name), reason: "it is missing".into() });
        }
        let next = known
            .keys()
            .next_back()
            .and_then(|name| name.get(..16))
            .map_or(0, |hex| u64::from_str_radix(hex, 16).map_or(0, |n| n + 1));
        Ok(Self { dir, next, known, syncing: Vec::new() })
    }

    /// Committed files of one kind, oldest first.
    pub fn of(&self, content: Content) -> impl Iterator<Item = (&String, &Entry)> {
        self.known.iter().filter(move |(_, entry)| entry.content == content)
    }

    /// Writes a file and names it in the change, which [`Self::commit`] makes durable, too.
    pub(super) fn add(
        &mut self,
        tables: &Tables,
        change: &mut Change,
        content: Content,
        rows: usize,
        bytes: &[u8],
    ) -> Result<()> {
        let (name, path, mut file) = self.create(content)?;
        file.write_all(bytes).map_err(Error::io(&path))?;
        let entry = Entry::new(content, bytes.len() as u64, xxh3_64(bytes), rows as u64);
        self.name(tables, change, &name, &file, entry)
    }

    /// Creates a file, to be written and given to [`Self::name`].
    pub(crate) fn create(&mut self, content: Content) -> Result<(String, PathBuf, File)> {
        let kind = match content {
            Content::Events => "events",
            Content::Ids => "ids",
            Content::Profiles => "profiles",
            Content::SortedIds => "run",
        };
        let name = format!("{:016x}.{kind}", self.next);
        self.next += 1;
        let path = self.dir.join(&name);
        let options = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        Ok((name, path.clone(), options.map_err(Error::io(&path))?))
    }

    /// Names a file that is written in the change, and begins to sync it; [`Self::commit`] makes both durable.
    pub(crate) fn name(
        &mut self,
        tables: &Tables,
        change: &mut Change,
        name: &str,
        file: &File,
        entry: Entry,
    ) -> Result<()> {
        let path = self.dir.join(name);
        let file = file.try_clone().map_err(Error::io(&path))?;
        let dir = self.dir.clone();
        self.syncing.push(Syncing::start(path, move || file.sync_data())?);
        self.syncing.push(Syncing::start(dir.clone(), move || sync_folder(&dir))?);
        change.put(&tables.files, name, &entry)?;
        self.known.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Takes a file out of the list; its bytes go once that is committed.
    pub(crate) fn retire(&mut self, tables: &Tables, change: &mut Change, name: &str) {
        change.remove(&tables.files, name);
        self.known.remove(name);
    }

    /// What makes a change durable with all files that were added since the last one; retired ones go.
    pub(super) fn commit(&mut self, change: Change, retired: &[String]) -> Commit {
        Commit {
            files: std::mem::take(&mut self.syncing),
            change,
            profiles: None,
            sweep: retired.iter().map(|name| self.dir.join(name)).collect(),
        }
    }

    /// Reads a committed file of ids, whole and proved.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.dir.join(name);
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        let damaged = |reason: String| Error::Damaged { path: path.clone(), reason };
        let entry = self.known.get(name).ok_or_else(|| damaged("it was never committed".into()))?;
        if entry.bytes != bytes.len() as u64 {
            return Err(damaged(format!("{} bytes, committed were {}", bytes.len(), entry.bytes)));
        }
        if entry.checksum != xxh3_64(&bytes) {
            return Err(damaged("its checksum is wrong".into()));
        }
        Ok(bytes)
    }

    /// Opens a committed file of events: its length and what lies behind the blocks are proved, the blocks are when they
    /// are read.
    pub(super) fn open_events(&self, name: &str, entry: &Entry) -> Result<Source> {
        let source = self.open_source(name, entry)?;
        let last = entry.layout.blocks.last();
        let last = last.map_or(0, |block| block.columns.last().map_or(block.head.end, |column| column.end));
        source.read(&Piece { start: last, values: last, end: entry.bytes, checksum: entry.checksum })?;
        Ok(source)
    }

    /// Opens a committed file whose pieces are proved when they are read; its length is proved now.
    pub(crate) fn open_source(&self, name: &str, entry: &Entry) -> Result<Source> {
        let path = self.dir.join(name);
        let file = File::open(&path).map_err(Error::io(&path))?;
        let bytes = file.metadata().map_err(Error::io(&path))?.len();
        if bytes != entry.bytes {
            let reason = format!("{bytes} bytes, committed were {}", entry.bytes);
            return Err(Error::Damaged { path, reason });
        }
        Ok(Source::new(path, file))
    }
}

impl Entry {
    /// Of a file that is written today.
    pub(crate) fn new(content: Content, bytes: u64, checksum: u64, rows: u64) -> Self {
        let day = crate::clock::now_us().div_euclid(super::DAY_US);
        Self { content, bytes, checksum, rows, day, layout: Layout::default(), sections: Vec::new() }
    }
}

/// A file of pieces, open for reading.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    file: File,
    /// Bytes.
    read: AtomicU64,
}

impl Source {
    pub(super) fn new(path: PathBuf, file: File) -> Self {
        Self { path, file, read: AtomicU64::default() }
    }

    /// Bytes that were ever read of it.
    pub(super) fn read_so_far(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// What is wrong with it.
    pub(super) fn damaged(&self, reason: &str) -> Error {
        Error::Damaged { path: self.path.clone(), reason: reason.into() }
    }

    /// Reads some bytes and proves them; they begin where Arrow wants values to begin.
    pub(crate) fn read(&self, piece: &Piece) -> Result<Buffer> {
        self.read.fetch_add(piece.end - piece.start, Ordering::Relaxed);
        let mut bytes = MutableBuffer::from_len_zeroed((piece.end - piece.start) as usize);
        self.file.read_exact_at(bytes.as_slice_mut(), piece.start).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("it ends too early"),
            _ => Error::Io { path: self.path.clone(), source },
        })?;
        if xxh3_64(&bytes) != piece.checksum {
            return Err(self.damaged("its checksum is wrong"));
        }
        Ok(bytes.into())
    }
}

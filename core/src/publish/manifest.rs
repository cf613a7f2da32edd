//! The manifest: which files belong together, and what is in them.

use super::write;
use crate::{Error, Result, profile::batch::Moment};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, io::Write, path::Path};

/// Its name in the folder.
pub const MANIFEST: &str = "manifest.json";
/// Version of the layout.
pub(super) const VERSION: u32 = 1;

/// The published tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// One row an event.
    Events,
    /// One row a profile.
    Profiles,
    /// One row an identifier.
    Identities,
    /// One row a profile and segment that it is in.
    Memberships,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Events, Self::Profiles, Self::Identities, Self::Memberships];

    /// Its name in SQL and its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Profiles => "profiles",
            Self::Identities => "identities",
            Self::Memberships => "memberships",
        }
    }
}

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the layout; 1.
    pub version: u32,
    /// Folder of the files, beside the manifest.
    pub generation: String,
    /// The store's commit that was published.
    pub commit: u64,
    /// The moment it was published for, microseconds since 1970.
    pub as_of_us: i64,
    /// Latest event time in the store; none before the first event.
    pub latest_us: Option<i64>,
    /// Events older than this at `as_of_us` were left out, microseconds.
    pub retention_us: i64,
    /// Events and attributes of these sources that were older, neither, microseconds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ttl_us: BTreeMap<String, i64>,
    /// Buckets of each table; [`super::bucket`] says which profile is in which.
    pub buckets: u32,
    /// By table, in the order of their buckets. A bucket with no rows has no file, except that a table has its first
    /// one always, so that its columns are known.
    pub tables: BTreeMap<Table, Vec<File>>,
}

/// One file of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// From the folder of the manifest, with `/`.
    pub path: String,
    /// Whose profiles.
    pub bucket: u32,
    /// Rows inside.
    pub rows: u64,
    /// Length.
    pub bytes: u64,
    /// XXH3 (64 bits, no seed) of all bytes, 16 hexadecimal digits.
    pub xxh3: String,
}

impl Manifest {
    /// Reads the manifest of a folder.
    ///
    /// # Errors
    /// [`Error::NotFound`] where nothing was published, [`Error::OtherFormat`], [`Error::Damaged`].
    pub fn read(dir: &Path) -> Result<Self> {
        Self::find(dir)?.ok_or_else(|| {
            Error::NotFound(format!("nothing was published in {}: there is no {MANIFEST}", dir.display()))
        })
    }

    /// The same; none where nothing was published.
    ///
    /// # Errors
    /// As [`Self::read`], without [`Error::NotFound`].
    pub fn find(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(MANIFEST);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { path, source }),
        };
        Self::parse(&text, &path).map(Some)
    }

    /// From the bytes of a manifest; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::OtherFormat`], [`Error::Damaged`].
    pub fn parse(text: &[u8], path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let damaged = |e: serde_json::Error| Error::Damaged { path: path.to_owned(), reason: e.to_string() };
        let Version { version } = serde_json::from_slice(text).map_err(damaged)?;
        if version > VERSION {
            return Err(Error::OtherFormat { path: path.to_owned(), found: version, known: VERSION });
        }
        serde_json::from_slice(text).map_err(damaged)
    }

    /// The moment it was published for, and what counted at it.
    pub fn moment(&self) -> Moment {
        Moment { as_of_us: self.as_of_us, retention_us: self.retention_us, ttl_us: self.ttl_us.clone() }
    }

    /// Files of a table, in the order of their buckets.
    pub fn files(&self, table: Table) -> &[File] {
        self.tables.get(&table).map_or(&[], Vec::as_slice)
    }

    /// The file of a bucket; none when the bucket has no rows.
    pub fn file(&self, table: Table, bucket: u32) -> Option<&File> {
        self.files(table).iter().find(|file| file.bucket == bucket)
    }

    /// Rows of a table.
    pub fn rows(&self, table: Table) -> u64 {
        self.files(table).iter().map(|file| file.rows).sum()
    }

    /// Keeps the files of this manifest from being removed until the answer is dropped or the process ends. None when
    /// they are gone already: read the manifest again.
    ///
    /// # Errors
    /// When the folder cannot be locked.
    pub fn hold(&self, dir: &Path) -> Result<Option<Hold>> {
        let folder = dir.join(&self.generation);
        let open = match fs::File::open(&folder) {
            Ok(open) => open,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { path: folder, source }),
        };
        open.lock_shared().map_err(Error::io(&folder))?;
        // Between opening and locking the publisher may have removed it.
        Ok(folder.exists().then_some(Hold(open)))
    }

    /// Puts the manifest in place; its files are complete and synced.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let (path, temporary) = (dir.join(MANIFEST), dir.join("manifest.json.new"));
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::Damaged { path: path.clone(), reason: e.to_string() })?;
        let mut file = fs::File::create(&temporary).map_err(Error::io(&temporary))?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(Error::io(&temporary))?;
        fs::rename(&temporary, &path).map_err(Error::io(&path))?;
        write::sync_folder(dir)
    }
}

/// A generation that stays while this lives.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "held, never read")] fs::File);

/// Whether a folder's name is one that [`super::publish`] gives.
pub(super) fn is_generation(name: &str) -> bool {
    let digits = |text: &str, least: usize| text.len() >= least && text.bytes().all(|b| b.is_ascii_digit());
    name.split_once('-').is_some_and(|(commit, number)| digits(commit, 12) && digits(number, 4))
}

/// Whether a reader holds a generation; a folder that cannot be asked is left alone, too.
pub(super) fn is_held(folder: &Path) -> bool {
    fs::File::open(folder).map_or(true, |open| open.try_lock().is_err())
}

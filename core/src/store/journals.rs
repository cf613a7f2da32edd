//! The journals of the state database. It reads them whole at every start, also what has long been in its tables, and
//! begins a new one only behind 64 MB: half a second and more before the first answer. A store that is closed therefore
//! has everything written into tables, and then empties what nobody needs any more (docs/decisions/0024).
//!
//! A store that was killed has its journals, and the next start reads them.

use crate::{Error, Result};
use fjall::{AbstractTree, Database, KeyspaceCreateOptions};
use std::{
    fs::{self, File, TryLockError},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Bytes of journals that are read within some milliseconds, and so may stay.
const SHORT: u64 = 256 << 10;
/// The database's own lock, free once nobody in this process has any part of it.
const LOCK: &str = "lock";

/// Whether reading the journals would take longer than opening the rest.
pub(super) fn are_long(dir: &Path) -> Result<bool> {
    let mut bytes = 0;
    for (_, path) in journals(dir)? {
        // A journal is created long and empty: what is written counts, not how long it is.
        bytes += fs::metadata(&path).map_err(Error::io(&path))?.blocks() * 512;
    }
    Ok(bytes > SHORT)
}

/// Writes what only the journals have into tables, durably.
pub(super) fn flush(db: &Database) -> Result<()> {
    for name in db.list_keyspace_names() {
        let keyspace = db.keyspace(&name, KeyspaceCreateOptions::default)?;
        // Nobody reads any more, so only the last version of a record is kept.
        keyspace.tree.flush_active_memtable(db.seqno()).map_err(fjall::Error::from)?;
        let left = keyspace.tree.active_memtable().len() + keyspace.tree.sealed_memtable_count();
        if left > 0 {
            return Err(Error::Column(format!("table `{name}` of the state database was not written out")));
        }
    }
    Ok(())
}

/// Empties the journals of a database that was flushed and closed. A journal stays, because its place among them says
/// which is the newest; where somebody still holds a part of the database, all stay as they are.
pub(super) fn empty(dir: &Path) -> Result<()> {
    let path = dir.join(LOCK);
    let lock = File::options().read(true).write(true).open(&path).map_err(Error::io(&path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(source)) => return Err(Error::Io { path, source }),
    }
    let mut all = journals(dir)?;
    let newest = all.pop();
    for (_, path) in all {
        fs::remove_file(&path).map_err(Error::io(&path))?;
    }
    if let Some((_, path)) = newest {
        let journal = File::options().write(true).open(&path).map_err(Error::io(&path))?;
        journal.set_len(0).map_err(Error::io(&path))?;
    }
    Ok(())
}

/// Number and path of each, oldest first.
fn journals(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse().ok());
        found.extend(number.map(|number| (number, path)));
    }
    found.sort();
    Ok(found)
}

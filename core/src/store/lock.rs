//! One process at a time: an exclusive lock on a file that also says who holds it.

use crate::{Error, Result};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
};

/// The lock, held until dropped; the system drops it when the process dies.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "held, never read")] File);

impl Lock {
    /// Takes the lock of a store.
    ///
    /// # Errors
    /// [`Error::Held`] naming the holder.
    pub(super) fn take(dir: &Path) -> Result<Self> {
        let path = dir.join("LOCK");
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.map_err(Error::io(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).map_err(Error::io(&path))?;
                let holder = holder.lines().next().unwrap_or("another process").to_owned();
                return Err(Error::Held { path: dir.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(Error::Io { path, source }),
        }
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let since = jiff::Timestamp::now();
        let text = format!("process {} on {host} since {since:.0}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(Error::io(&path))?;
        Ok(Self(file))
    }
}

//! One process at a time in the folder.

use super::{files, Error};
use std::{
    fs::{File, TryLockError},
    io::{Read, Write},
    path::Path,
};

/// The lock. The system gives it back after a crash.
pub(super) struct Lock(File);

impl Drop for Lock {
    /// Closing the file is not enough: a process that is just being started still has it, until it becomes another program.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Locks the folder.
pub(super) fn lock(folder: &Path) -> Result<Lock, Error> {
    let path = folder.join("lock");
    let mut file = files::options().create(true).truncate(false).open(&path).map_err(Error::io(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text); // Without the number the message is still true.
            return Err(Error::Held { folder: folder.to_owned(), pid: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(source)) => return Err(Error::Io { path, source }),
    }
    // A number that cannot be written (no room) makes a poorer message later, not a reason not to start.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Lock(file))
}

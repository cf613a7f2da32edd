//! Bytes that are no records are kept for people to look at.

use super::{files, scan, Position};
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

fn folder(spool: &Path) -> io::Result<PathBuf> {
    let path = spool.join("quarantine");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
    Ok(path)
}

/// Copies the bytes from `from` to the offset `to`. None where that is not possible: the damage is reported anyway.
pub(super) fn keep(spool: &Path, file: &File, from: Position, to: u64) -> Option<PathBuf> {
    let copy = || -> io::Result<PathBuf> {
        let path = folder(spool)?.join(format!("{:020}-{}.bytes", from.segment, from.offset));
        let bytes = scan::read_at(file, from.offset, to - from.offset)?;
        let mut copy = files::options().create(true).truncate(true).open(&path)?;
        copy.write_all(&bytes)?;
        copy.sync_all()?;
        Ok(path)
    };
    if to <= from.offset {
        return None;
    }
    copy().ok()
}

/// Moves a whole segment away.
pub(super) fn move_segment(spool: &Path, number: u64) -> io::Result<PathBuf> {
    let to = folder(spool)?.join(format!("{number:020}.spool"));
    fs::rename(files::segment_path(spool, number), &to)?;
    files::sync_folder(spool)?;
    Ok(to)
}

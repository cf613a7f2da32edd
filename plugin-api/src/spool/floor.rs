//! A note of what had become durable when the spool was closed.
//!
//! The last group of the last file cannot be told from one that a crash interrupted, unless something says that there
//! was no crash. The note stays true for ever, so nothing depends on when it is removed; nothing is lost without it.

use super::{files, Position};
use std::{fs, io, path::Path};

/// What the note says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Floor {
    /// Behind the last durable record.
    pub(super) end: Position,
    /// The number of the record that would have come next.
    pub(super) next_sequence: u64,
}

const NAME: &str = "closed";

impl Floor {
    /// Position, number, CRC32C of both.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let mut bytes = self.end.to_bytes().to_vec();
        bytes.extend_from_slice(&self.next_sequence.to_be_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        let path = folder.join(NAME);
        let file = files::options().create(true).truncate(true).open(&path)?;
        io::Write::write_all(&mut &file, &bytes)?;
        file.sync_all()
    }

    /// The last note; none where there is none, or only a part of one.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let bytes = fs::read(folder.join(NAME)).ok()?;
        let (fields, crc) = bytes.split_last_chunk::<4>()?;
        let (end, number) = fields.split_last_chunk::<8>()?;
        let sound = crc32c::crc32c(fields) == u32::from_be_bytes(*crc);
        let end = Position::from_bytes(end).ok()?;
        sound.then(|| Self { end, next_sequence: u64::from_be_bytes(*number) })
    }
}

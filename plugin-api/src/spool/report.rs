//! What the spool answers.

use super::Position;
use bytes::Bytes;
use std::{fmt, path::PathBuf, sync::Arc};

/// A durable record.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Behind it: reading goes on here.
    pub position: Position,
    /// What was appended.
    pub payload: Bytes,
}

impl fmt::Debug for Record {
    /// Without the payload, which may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("position", &self.position)
            .field("bytes", &self.payload.len())
            .finish()
    }
}

/// What is durable and not trimmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Records.
    pub records: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// Whether records are taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Yes.
    Open,
    /// Not now: the capacity is reached or the disk is full.
    Full,
    /// Never again: the disk failed, for this reason.
    Poisoned(Arc<str>),
    /// Never again: it was closed.
    Closed,
}

/// Records that were lost, or may have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where.
    pub position: Position,
    /// Bytes that are no records; 0 where records are missing without a trace.
    pub bytes: u64,
    /// Records that are missing, by their numbers; 0 where that is not known.
    pub records: u64,
    /// True when something had been durable here for certain. False where it may have been a part of the last group
    /// before a crash, whose senders may never have got an answer.
    pub acknowledged: bool,
    /// Where the bytes were copied to; none when there are none or the copy failed.
    pub kept: Option<PathBuf>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, bytes, records, .. } = self;
        write!(
            f,
            "damage of the spool at {position}: {bytes} bytes that are no records, {records} records missing"
        )?;
        match &self.kept {
            Some(path) => write!(f, ", kept as `{}`", path.display()),
            None => Ok(()),
        }
    }
}

/// Totals of damage since the spool was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damaged {
    /// Places.
    pub ranges: u64,
    /// Bytes that are no records.
    pub bytes: u64,
    /// Records that are missing, as far as that is known.
    pub records: u64,
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Bytes behind the last whole record that were cut off: a group that a crash interrupted.
    pub torn_bytes: u64,
    /// Where they were copied to.
    pub torn_kept: Option<PathBuf>,
    /// Damage of headers, and of the end where there had been more. Records are proved when they are read.
    pub damage: Vec<Damage>,
}

//! What can go wrong: with a record, and with the spool.

use crate::{Fault, FaultKind, Problem};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Why a record will never be durable. The sender has to be told, and sends it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No room: answer 503 with `Retry-After`.
    Full {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// Larger than [`super::PAYLOAD_BYTES`]: answer 413.
    TooLarge {
        /// Bytes of the record.
        bytes: usize,
    },
    /// The disk failed; nothing is taken in before the source is opened anew: answer 503.
    Poisoned(Arc<str>),
    /// The spool is closed: answer 503.
    Closed,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { retry_after } => {
                write!(f, "the spool is full; try again in {} ms", retry_after.as_millis())
            }
            Self::TooLarge { bytes } => {
                write!(f, "a record of {bytes} bytes is too large; {} are allowed", super::PAYLOAD_BYTES)
            }
            Self::Poisoned(reason) => write!(f, "the spool has failed: {reason}"),
            Self::Closed => f.write_str("the spool is closed"),
        }
    }
}

impl std::error::Error for Refused {}

/// Why the spool cannot be opened, read or trimmed.
#[derive(Debug)]
pub enum Error {
    /// An option is out of its range.
    Options(String),
    /// Another process, or another spool of this one, has the folder.
    Held {
        /// The folder.
        folder: PathBuf,
        /// The process, where the lock's file names it.
        pid: Option<u32>,
    },
    /// The system refused something on a file.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A segment was written by a newer version.
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A position that this spool never gave, or that lies behind everything that it holds.
    Position(String),
    /// The spool has failed.
    Poisoned(Arc<str>),
    /// The spool is closed.
    Closed,
}

impl Error {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(message) | Self::Position(message) => f.write_str(message),
            Self::Held { folder, pid: Some(pid) } => {
                write!(f, "the spool `{}` is in use by process {pid}", folder.display())
            }
            Self::Held { folder, pid: None } => {
                write!(f, "the spool `{}` is in use by another process", folder.display())
            }
            Self::Io { path, source } => write!(f, "`{}`: {source}", path.display()),
            Self::Version { path, found } => write!(
                f,
                "`{}` has version {found} of the spool's format; this program reads up to {}",
                path.display(),
                super::format::VERSION
            ),
            Self::Poisoned(reason) => write!(f, "the spool has failed: {reason}"),
            Self::Closed => f.write_str("the spool is closed"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let (kind, code) = match &error {
            Error::Options(message) => return Self::config(vec![Problem::new("", message.clone())]),
            Error::Held { .. } => (FaultKind::Transient, "spool-held"),
            Error::Io { source, .. } if super::files::no_room(source) => (FaultKind::Transient, "spool-full"),
            Error::Io { .. } => (FaultKind::Permanent, "spool-io"),
            Error::Version { .. } => (FaultKind::Permanent, "spool-version"),
            Error::Position(_) => (FaultKind::Permanent, "spool-position"),
            Error::Poisoned(_) => (FaultKind::Permanent, "spool-failed"),
            Error::Closed => (FaultKind::Cancelled, "spool-closed"),
        };
        Self::new(kind, code, error.to_string())
    }
}

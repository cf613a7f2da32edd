//! The one error type of the core.

use crate::config::Problems;
use kindred_plugin_api::{Fault, FaultKind};
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// What can go wrong in the runtime. Messages are one line; `help` says what to do where that is known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store is out of action while its disk is full.
    #[error("the store {} is out of action until its disk has room", .0.display())]
    NoRoom(PathBuf),
    /// Another process works in the store.
    #[error("the store {} is in use by {holder}", path.display())]
    Held {
        /// The store.
        path: PathBuf,
        /// Process, host and start, as it wrote them.
        holder: String,
    },
    /// The store is of a format that this version does not read.
    #[error("the store {} has format {found}, this version reads format {known}", path.display())]
    OtherFormat {
        /// The store.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The one that is read.
        known: u32,
    },
    /// A file of the store is not what was committed.
    #[error("the store is damaged: {}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How it shows.
        reason: String,
    },
    /// The state database.
    #[error("state database: {0}")]
    State(#[from] fjall::Error),
    /// A record of the state database.
    #[error("a record of the state database cannot be read: {0}")]
    Record(#[from] postcard::Error),
    /// What is wrong with a pipeline file, once its columns are known.
    #[error("{}", .0.in_short())]
    Refused(Box<Problems>),
    /// Columns.
    #[error("columns: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// A plugin instance.
    #[error("{stage} `{instance}`: {fault}")]
    Plugin {
        /// Source, enrichment, segment or destination.
        stage: &'static str,
        /// Its name in the pipeline file.
        instance: String,
        /// What it said.
        fault: Box<Fault>,
    },
    /// The query engine.
    #[error("{0}")]
    Query(String),
    /// A column that does not fit what the store holds.
    #[error("{0}")]
    Column(String),
    /// A plan was made for another pipeline or another state of the store.
    #[error("the plan {planned} is out of date: {what}; it would be {now} now")]
    Moved {
        /// The plan that was to be applied.
        planned: String,
        /// What a plan made now would be.
        now: String,
        /// What moved.
        what: &'static str,
    },
    /// Workers of the distributed engine.
    #[error("distributed engine: {0}")]
    Engine(String),
    /// Something the operator asked for is not there.
    #[error("{0}")]
    NotFound(String),
}

impl Error {
    /// An input or output error at a path.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { path, source }
    }

    /// A plugin's fault.
    pub fn plugin(stage: &'static str, instance: &str) -> impl FnOnce(Fault) -> Self + use<> {
        let instance = instance.to_owned();
        move |fault| Self::Plugin { stage, instance, fault: Box::new(fault) }
    }

    /// Whether a disk of ours is full, however deep that is said.
    pub fn is_full(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            if matches!(io, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// Whether what the store has is not what it was given.
    fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Record(_) => true,
            // What the system refuses is no damage; what is not there or ends early is.
            Self::State(fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error))) => {
                let kinds = [ErrorKind::NotFound, ErrorKind::UnexpectedEof, ErrorKind::InvalidData];
                kinds.contains(&error.kind())
            }
            Self::State(error) => !matches!(error, fjall::Error::Locked | fjall::Error::Poisoned),
            _ => false,
        }
    }

    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<String> {
        match self {
            full if full.is_full() => {
                Some("make room and run again: everything committed so far is safe".into())
            }
            Self::Held { .. } => Some("wait for it to end, or give this pipeline a store of its own".into()),
            Self::OtherFormat { .. } => Some(
                "use the version of kindred that wrote it, or remove the store to build it again from the sources".into(),
            ),
            damaged if damaged.is_damage() => Some(
                "restore the store from a backup, or remove it to build it again from the sources".into(),
            ),
            Self::Moved { .. } => Some("look at `kindred plan FILE` again, and run with its id".into()),
            Self::Engine(_) => Some(
                "nothing was changed; start the workers with `kindred worker --listen ADDRESS --shared DIRECTORY` and run again"
                    .into(),
            ),
            Self::Plugin { fault, .. } => match fault.kind {
                FaultKind::Config => fault.problems.first().and_then(|p| p.help.clone()),
                FaultKind::Transient => Some("run again: it goes on where it stopped".into()),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The core's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn a_full_disk_is_known_whoever_says_so() {
        let full = || io::Error::from(ErrorKind::StorageFull);
        let said: [Error; 5] = [
            Error::io("a")(full()),
            Error::io("a")(io::Error::from_raw_os_error(28)),
            Error::State(fjall::Error::Io(full())),
            Error::State(fjall::Error::Storage(fjall::LsmError::Io(full()))),
            Error::Arrow(full().into()),
        ];
        for error in said {
            assert!(error.is_full(), "{error}");
            assert!(error.help().unwrap().contains("make room"), "{error}");
        }
        let other = Error::io("a")(io::Error::from(ErrorKind::PermissionDenied));
        assert!(!other.is_full() && !Error::State(fjall::Error::Poisoned).is_full());
    }
}

//! Failures: their kind decides what the host does, their text is what an operator reads.

use serde::{Deserialize, Serialize};

/// What went wrong, seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u32)]
pub enum FaultKind {
    /// The options are wrong; the pipeline does not start.
    Config = 1,
    /// It may work later; the host tries again.
    Transient = 2,
    /// It will not work however often it is tried.
    Permanent = 3,
    /// The host asked to stop.
    Cancelled = 4,
    /// The plugin panicked.
    Panic = 5,
    /// The plugin does not do this.
    Unsupported = 6,
    /// The data is wrong; the batch goes to the dead letters.
    Data = 7,
}

impl FaultKind {
    /// From the number that crosses; an unknown one is permanent.
    pub fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Config,
            2 => Self::Transient,
            4 => Self::Cancelled,
            5 => Self::Panic,
            6 => Self::Unsupported,
            7 => Self::Data,
            _ => Self::Permanent,
        }
    }
}

/// One thing wrong with the options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where, as a JSON pointer into the options: `/columns/0/name`, or empty for all of them.
    pub path: String,
    /// What was found.
    pub message: String,
    /// What is allowed or what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Characters of the string at `path` that are meant, start and end, when only a part of it is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(usize, usize)>,
}

impl Problem {
    /// A problem at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), help: None, range: None }
    }

    /// Adds what is allowed.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Narrows the place to some characters of the string at `path`.
    #[must_use]
    pub fn range(mut self, start: usize, end: usize) -> Self {
        self.range = Some((start, end));
        self
    }
}

/// A failed call. Messages are lowercase, name the thing, what was found and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Decides what the host does next.
    pub kind: FaultKind,
    /// Zero, or the wait that the far side asked for.
    pub retry_after_ms: u64,
    /// Short, stable, for machines: `file-not-found`.
    pub code: String,
    /// One line for people.
    pub message: String,
    /// With CONFIG: each thing wrong and its place.
    pub problems: Vec<Problem>,
}

impl Fault {
    /// A fault of any kind.
    pub fn new(kind: FaultKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, retry_after_ms: 0, code: code.into(), message: message.into(), problems: Vec::new() }
    }

    /// Wrong options.
    pub fn config(problems: Vec<Problem>) -> Self {
        let message = problems.first().map(|p| p.message.clone()).unwrap_or_default();
        Self { problems, ..Self::new(FaultKind::Config, "config", message) }
    }

    /// May work later.
    pub fn transient(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(FaultKind::Transient, code, message)
    }

    /// Will not work.
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(FaultKind::Permanent, code, message)
    }

    /// Wrong data.
    pub fn data(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(FaultKind::Data, code, message)
    }

    /// Not something this plugin does.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Unsupported, "unsupported", message)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl From<arrow::error::ArrowError> for Fault {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::permanent("arrow", error.to_string())
    }
}

/// The result of every call of a plugin.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

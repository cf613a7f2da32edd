//! What can go wrong, in words for the operator.

use datafusion::error::DataFusionError;
use jiff::SignedDuration;
use std::{path::PathBuf, process::ExitCode};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The published tables.
    #[error(transparent)]
    Snapshot(#[from] kindred_core::Error),
    /// The text is not one query that reads.
    #[error("only a query can be run here: {0}")]
    Refused(String),
    /// The engine, while planning.
    #[error("{}", plain(.0))]
    Plan(DataFusionError),
    /// The engine, while running.
    #[error("{}", plain(.0))]
    Engine(DataFusionError),
    /// The columns of a segment's query.
    #[error("a segment's query must answer with a column `profile_id` of whole numbers: {0}")]
    Segment(String),
    /// Longer than `--timeout`.
    #[error("the query took longer than {0:#}")]
    Deadline(SignedDuration),
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Rows that cannot be shown.
    #[error("rows: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The runtime or a limit of the system.
    #[error("the query cannot be started: {0}")]
    Start(std::io::Error),
}

/// An answer, or why there is none.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Snapshot(error) => error.help(),
            Self::Refused(_) => Some(
                "one SELECT, WITH, VALUES, EXPLAIN, DESCRIBE or SHOW; the tables are events, profiles, identities and \
                 memberships"
                    .into(),
            ),
            Self::Engine(error) if is_memory(error) => Some(
                "allow more with --memory, or ask for less: fewer columns, a filter, no count(DISTINCT …) side by side"
                    .into(),
            ),
            Self::Segment(_) => Some("SELECT profile_id FROM …".into()),
            Self::Deadline(_) => Some("allow more with --timeout, or ask for less".into()),
            _ => None,
        }
    }

    /// Prints it; 2 for what the operator wrote, 1 for the rest.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if json {
            let text = serde_json::json!({"error": self.to_string(), "help": self.help()});
            // Nobody reads standard output any more: the exit code tells it.
            let _ = crate::output::line(&text.to_string());
        } else {
            eprintln!("error: {self}");
            if let Some(help) = self.help() {
                eprintln!("help: {help}");
            }
        }
        match self {
            Self::Refused(_) | Self::Plan(_) | Self::Segment(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

fn is_memory(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}

/// The message of the error below all contexts, in one line.
fn plain(error: &DataFusionError) -> String {
    let root = error.find_root();
    let text = match root {
        DataFusionError::Plan(text) | DataFusionError::NotImplemented(text) => text.clone(),
        DataFusionError::ResourcesExhausted(text) => {
            format!("the query needs more memory than it is allowed: {text}")
        }
        DataFusionError::SchemaError(error, _) => error.to_string(),
        DataFusionError::SQL(error, _) => error.to_string(),
        other => other.strip_backtrace(),
    };
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

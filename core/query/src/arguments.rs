//! The command line.

use crate::output::Format;
use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use std::{io::IsTerminal, path::PathBuf};

/// Rows of a table on a terminal unless `--limit` says otherwise.
const ON_A_TERMINAL: usize = 100;

/// SQL over the published tables of a Kindred store: events, profiles, identities, memberships.
#[derive(Debug, Parser)]
#[command(name = "kindred-query", version, max_term_width = 100)]
pub struct Arguments {
    /// Folder that a store was published into.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) snapshot: PathBuf,
    /// Most memory that this process takes, such as 2GiB. Default: half of the machine's.
    #[arg(long, value_name = "SIZE", value_parser = kindred_core::config::size::parse)]
    pub(crate) memory: Option<u64>,
    /// Give up after this time, such as 30s or 5m.
    #[arg(long, value_name = "TIME", value_parser = crate::limits::time)]
    pub(crate) timeout: Option<SignedDuration>,
    /// What `now()` answers, RFC 3339. Default: the moment that the tables were published for.
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<Timestamp>,
    /// Folder for what does not fit into memory. Default: the system's for temporary files.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) spill: Option<PathBuf>,
    /// Print one JSON array of objects.
    #[arg(long, group = "format")]
    pub(crate) json: bool,
    /// Print CSV with a header.
    #[arg(long, group = "format")]
    csv: bool,
    /// Write an Arrow IPC file.
    #[arg(long, value_name = "FILE", group = "format")]
    arrow: Option<PathBuf>,
    /// Print at most so many rows of a table; 0 for all. Default: 100 on a terminal, all elsewhere.
    #[arg(long, value_name = "ROWS")]
    limit: Option<usize>,
    /// Write the profiles of the column `profile_id` as a roaring bitmap, portable format.
    #[arg(long, group = "format")]
    members: bool,
    /// Plan the query as that of a segment, and run nothing.
    #[arg(long, group = "format")]
    check: bool,
    /// One query.
    pub(crate) sql: String,
}

/// What is asked for.
pub(crate) enum Work {
    Check,
    Members,
    Rows(Format),
}

impl Arguments {
    pub(crate) fn work(&self) -> Work {
        if self.check {
            return Work::Check;
        }
        if self.members {
            return Work::Members;
        }
        Work::Rows(if self.json {
            Format::Json
        } else if self.csv {
            Format::Csv
        } else if let Some(path) = &self.arrow {
            Format::Arrow(path.clone())
        } else {
            let default = if std::io::stdout().is_terminal() { ON_A_TERMINAL } else { 0 };
            Format::Table { limit: Some(self.limit.unwrap_or(default)).filter(|rows| *rows > 0) }
        })
    }
}

//! What the file sources share: which files, how they are read, how far, and which column means what.
//!
//! A plugin turns its options into [`Files`] (where the rows are) and a [`Mapping`] (what they mean) and wraps a
//! [`FileSource`]. A row goes this way:
//!
//! ```text
//! path ─ files ─ input ─▶ window ─ csv | json ─▶ text ─┐
//!                  └───────────── parquet ─────────────┴▶ chunk ─ catalogue ─ convert ─▶ assemble ─▶ batch, rejects
//! ```
//!
//! Everything behind `chunk` works on whole columns. Nothing here depends on the size of a file: text slides through
//! a window, Parquet comes row group by row group, only a catalogue is held in memory. A file lies on this machine or in
//! an object store (kindred-objects); everything behind `input` does not know which.
//!
//! # Positions
//!
//! A position says of each file that was begun its name, a hash of its first 4 KiB, and how many rows are read.
//! A file that was read to its end is not opened again; one that grew is read on where it ended, a last line without
//! line end once more; one whose beginning changed is read as a new file. Of an object it says the e-tag too: one with
//! the same is not asked for again, and one that was written anew without having grown is read again.
//!
//! # Rejects
//!
//! | code | the row |
//! |---|---|
//! | `ragged-row` | has more or fewer fields than the header |
//! | `unclosed-quote` | opens a quote that the row limit or the file does not close; reading goes on with the next line |
//! | `row-too-long` | is longer than `text.max_row_bytes` |
//! | `nul-byte`, `encoding` | holds a NUL, or bytes that are not valid in the file's encoding |
//! | `json` | is not one JSON object |
//! | `truncated`, `corrupt` | is the first that a packed file could not give; the file ends there |
//! | `value` | holds something that cannot be read as what the options say |
//! | `identifier` | holds an identifier that its kind refuses |
//! | `no-identifier` | holds none at all |

mod assemble;
mod bucket;
mod catalogue;
mod chunk;
mod convert;
mod csv;
mod documents;
mod files;
mod flaws;
mod input;
mod json;
mod mapping;
mod meaning;
mod number;
mod options;
mod parquet;
mod plan;
mod plugin;
mod position;
mod read;
mod source;
mod spec;
mod stored;
mod table;
mod text;
mod time;
mod window;
mod written;

pub use documents::{Documents, Filling, Own};
pub use files::Format;
pub use kindred_objects::StoreConfig;
pub use mapping::{Field, Mapping, Rest};
pub use meaning::Meaning;
pub use options::{Columns, ConstantOr, Names, Short};
pub use plugin::{FileConfig, FilePlugin};
pub use source::{FileSource, Files, check, problems};
pub use spec::{
    CatalogueSpec, EventSpec, IdentifierSpec, OnBadValue, Renames, TimeSpec, Type, Unit, ValueSpec,
};
pub use stored::{position_bytes, position_from};
pub use table::Table;
pub use time::moment;
pub use written::{HeaderRow, TextConfig};

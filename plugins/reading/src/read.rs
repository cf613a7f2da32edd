//! Opens a file of any format.

use crate::{
    chunk::{Chunk, Header, Reader},
    files::{File, Format},
    input::Input,
    parquet,
    position::Mark,
    text,
    written::TextConfig,
};
use kindred_plugin_api::{Context, Result};

/// A file that is open, and its columns when it says them before its first row.
pub(crate) struct Opened {
    pub(crate) reader: Box<dyn Reader>,
    pub(crate) header: Option<Header>,
}

/// Opens a file behind `mark` to read some columns, with or without the text of its rows.
///
/// # Errors
/// CONFIG, PERMANENT or TRANSIENT, as the readers say; each names the file. CANCELLED when the host stops
/// while rows are passed over.
pub(crate) fn open(
    (file, input): (&File, &Input),
    config: &TextConfig,
    columns: &[String],
    payloads: bool,
    mark: Mark,
    context: &Context,
) -> Result<Opened> {
    if file.format == Format::Parquet {
        return Ok(match parquet::open((file, input), columns, mark)? {
            Some((reader, header)) => Opened { reader: Box::new(reader), header: Some(header) },
            None => Opened { reader: Box::new(Nothing), header: None },
        });
    }
    let (reader, header) = text::open((file, input), config, columns, payloads, mark, context)?;
    Ok(Opened { reader: Box::new(reader), header })
}

/// An empty file.
struct Nothing;

impl Reader for Nothing {
    fn next(&mut self, _max: usize) -> Result<Chunk> {
        let (columns, rows, rejects, odd) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Chunk { columns, rows, raw: None, rejects, odd, end: true })
    }
    fn mark(&self) -> Mark {
        Mark::default()
    }
    fn bytes(&self) -> u64 {
        0
    }
    fn passed(&self) -> u64 {
        0
    }
    fn backlog(&self) -> u64 {
        0
    }
}

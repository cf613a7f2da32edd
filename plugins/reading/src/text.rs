//! Reads text files row by row: counts rows, checks bytes, rejects what is no row, and builds text columns. What a row
//! is, a [`Dialect`] knows: CSV or JSON lines.

use crate::{
    chunk::{Chunk, Header, Raw, Reader, cut, payload},
    csv::Csv,
    files::{File, Format},
    input::{Input, unreadable},
    json::Json,
    position::Mark,
    window::Window,
    written::TextConfig,
};
use arrow::array::{ArrayBuilder, ArrayRef, StringBuilder};
use kindred_plugin_api::{Context, Fault, FaultKind, Problem, Reject, Result};
use std::{io, sync::Arc};

/// A poll ends early once its rows hold this much text, so that memory stays bounded whatever a row holds.
const CHUNK_BYTES: usize = 64 << 20;

/// What stands at the beginning of the window.
pub(crate) enum Scan {
    /// A row of so many bytes; `closed` when a line end stands behind it.
    Row { bytes: usize, closed: bool },
    /// A quote that is not closed; the first line has so many bytes.
    Unclosed { bytes: usize },
    /// A line that is longer than a row may be.
    TooLong,
    /// Nothing.
    End,
}

/// Why a row is no row: code and message.
pub(crate) type Flaw = (&'static str, String);

/// Knows what a row is.
pub(crate) trait Dialect: Send {
    /// Finds the first row of the window, filling the window as far as needed.
    fn scan(&mut self, window: &mut Window, max_bytes: usize) -> io::Result<Scan>;

    /// Takes the row that was scanned apart.
    fn cells(&mut self, row: &str, cells: &mut Cells<'_>) -> Result<(), Flaw>;
}

/// Columns under construction.
pub(crate) struct Cells<'a> {
    builders: Vec<StringBuilder>,
    nulls: &'a [String],
    bytes: usize,
    odd: Vec<(usize, usize)>,
}

impl<'a> Cells<'a> {
    /// So many columns without a cell.
    pub(crate) fn new(columns: usize, nulls: &'a [String]) -> Self {
        Self {
            builders: (0..columns).map(|_| StringBuilder::new()).collect(),
            nulls,
            bytes: 0,
            odd: Vec::new(),
        }
    }

    /// The columns, into a chunk.
    pub(crate) fn finish(self, chunk: &mut Chunk) {
        chunk.odd = self.odd;
        chunk.columns =
            self.builders.into_iter().map(|mut builder| Arc::new(builder.finish()) as ArrayRef).collect();
    }

    /// The next cell of a column is neither text nor a number.
    pub(crate) fn odd(&mut self, column: usize) {
        self.odd.push((column, self.builders[column].len()));
    }

    /// Adds a cell to a column; every column gets one for each good row.
    pub(crate) fn push(&mut self, column: usize, cell: Option<&str>) {
        let cell = cell.filter(|cell| !self.nulls.iter().any(|null| null == cell));
        self.bytes += cell.map_or(0, str::len);
        self.builders[column].append_option(cell);
    }
}

/// One text file.
pub(crate) struct TextReader {
    name: String,
    window: Window,
    dialect: Box<dyn Dialect>,
    columns: usize,
    config: TextConfig,
    payloads: bool,
    rows: u64,
    size: u64,
    /// Before a last row without a line end: where to go on should the file grow.
    open_tail: Option<Mark>,
    /// The file was given up at this size.
    gave_up: Option<u64>,
}

/// Opens a text file at `mark` for some columns. JSON lines have no header; an empty file has none either.
///
/// # Errors
/// CONFIG for a header that is no text, TRANSIENT when the file cannot be read.
pub(crate) fn open(
    (file, input): (&File, &Input),
    config: &TextConfig,
    columns: &[String],
    payloads: bool,
    mark: Mark,
    context: &Context,
) -> Result<(TextReader, Option<Header>)> {
    let fail = |error: io::Error| unreadable(&file.name, &error);
    let mut window = Window::open(input, config.encoding()).map_err(fail)?;
    let (dialect, header): (Box<dyn Dialect>, _) = if file.format == Format::Jsonl {
        (Box::new(Json::new(columns)), None)
    } else {
        let (csv, header) = Csv::open(file, config, columns, &mut window)?;
        (Box::new(csv), header)
    };
    let size = input.size().map_err(fail)?;
    let mut reader = TextReader {
        name: file.name.clone(),
        window,
        dialect,
        columns: columns.len(),
        config: config.clone(),
        payloads,
        rows: 0,
        size,
        open_tail: None,
        gave_up: None,
    };
    let entered = match mark.offset {
        Some(offset) => reader.window.seek(input, offset).map_err(fail)?,
        None => false,
    };
    if entered {
        reader.rows = mark.rows;
    } else {
        reader.skip(mark.rows, context)?;
    }
    Ok((reader, header))
}

impl Reader for TextReader {
    fn next(&mut self, max: usize) -> Result<Chunk> {
        let config = self.config.clone();
        let mut cells = Cells::new(self.columns, &config.nulls);
        let mut chunk = Chunk {
            columns: Vec::new(),
            rows: Vec::new(),
            raw: self.payloads.then(Raw::default),
            rejects: Vec::new(),
            odd: Vec::new(),
            end: self.gave_up.is_some(),
        };
        while !chunk.end && chunk.rows.len() + chunk.rejects.len() < max && cells.bytes < CHUNK_BYTES {
            match self.row(&mut cells, &mut chunk) {
                Ok(more) => chunk.end = !more,
                Err(error) => self.give_up(error, &mut chunk)?,
            }
        }
        // A stream that failed stays failed, so the next call sees it too.
        chunk.end = chunk.end || self.window.at_end().unwrap_or(false);
        cells.finish(&mut chunk);
        Ok(chunk)
    }

    fn mark(&self) -> Mark {
        self.open_tail.unwrap_or(Mark { rows: self.rows, offset: self.window.offset() })
    }

    fn bytes(&self) -> u64 {
        self.gave_up.unwrap_or_else(|| self.window.read())
    }

    fn passed(&self) -> u64 {
        self.window.offset().unwrap_or_else(|| self.window.read())
    }

    fn backlog(&self) -> u64 {
        let read = self.passed();
        let rest = self.size.saturating_sub(read);
        (u128::from(rest) * u128::from(self.rows) / u128::from(read.max(1))) as u64
    }
}

impl TextReader {
    /// Reads one row into the cells or the rejects; false at the end.
    fn row(&mut self, cells: &mut Cells<'_>, chunk: &mut Chunk) -> io::Result<bool> {
        let limit = self.config.max_row_bytes;
        let before = Mark { rows: self.rows, offset: self.window.offset() };
        let (bytes, flaw) = match self.dialect.scan(&mut self.window, limit)? {
            Scan::End => return Ok(false),
            Scan::Row { bytes, closed } => {
                self.open_tail = (!closed).then_some(before);
                (bytes, self.take(bytes, cells, chunk).err())
            }
            Scan::Unclosed { bytes } => (
                bytes,
                Some(("unclosed-quote", format!("a quote is not closed within {limit} bytes or the file"))),
            ),
            Scan::TooLong => (0, Some(("row-too-long", format!("the row is longer than {limit} bytes")))),
        };
        self.rows += 1;
        if let Some((code, message)) = flaw {
            let shown = if bytes == 0 { self.window.bytes() } else { &self.window.bytes()[..bytes] };
            let payload = if self.payloads { payload(shown) } else { String::new() };
            chunk.rejects.push(self.reject(code, message, payload));
        } else {
            chunk.rows.push(self.rows);
        }
        if bytes == 0 {
            self.window.skip_line()?;
        }
        self.window.consume(bytes);
        Ok(true)
    }

    /// Checks a row of so many bytes and takes it apart.
    fn take(&mut self, bytes: usize, cells: &mut Cells<'_>, chunk: &mut Chunk) -> Result<(), Flaw> {
        let row = &self.window.bytes()[..bytes];
        if let Some(place) = memchr::memchr(0, row) {
            return Err(("nul-byte", format!("byte {} of the row is NUL", place + 1)));
        }
        let row = std::str::from_utf8(row).map_err(|error| {
            let found = row[error.valid_up_to()];
            let place = error.valid_up_to() + 1;
            (
                "encoding",
                format!("byte {place} of the row ({found:#04x}) is not valid {}", self.encoding_name()),
            )
        })?;
        self.dialect.cells(row, cells)?;
        if let Some(raw) = &mut chunk.raw {
            let row = row.trim_end_matches(['\r', '\n']);
            cells.bytes += cut(row).len();
            raw.push(row);
        }
        Ok(())
    }

    fn encoding_name(&self) -> &'static str {
        self.config.encoding().name()
    }

    /// A stream that cannot be unpacked any further ends the file, with a reject that says where.
    fn give_up(&mut self, error: io::Error, chunk: &mut Chunk) -> Result<()> {
        if !self.window.is_broken(&error) {
            return Err(unreadable(&self.name, &error));
        }
        self.gave_up = Some(self.size.max(self.window.read()));
        chunk.end = true;
        let code = if error.kind() == io::ErrorKind::UnexpectedEof { "truncated" } else { "corrupt" };
        let message = format!(
            "the packed file ends badly after {} unpacked bytes, {} of {} packed: {error}; the {} rows before that are read",
            self.window.passed() + self.window.bytes().len() as u64,
            self.window.read(),
            self.size,
            self.rows,
        );
        chunk.rejects.push(Reject { row: self.rows + 1, ..self.reject(code, message, String::new()) });
        Ok(())
    }

    fn reject(&self, code: &str, message: String, payload: String) -> Reject {
        Reject { row: self.rows, code: code.to_owned(), message, payload, origin: self.name.clone() }
    }

    /// Passes over rows that were read before.
    fn skip(&mut self, rows: u64, context: &Context) -> Result<()> {
        let limit = self.config.max_row_bytes;
        while self.rows < rows {
            if self.rows.is_multiple_of(65_536) && context.cancelled() {
                return Err(Fault::new(
                    FaultKind::Cancelled,
                    "cancelled",
                    format!("`{}`: stopped", self.name),
                ));
            }
            match self.dialect.scan(&mut self.window, limit) {
                Ok(Scan::End) => break,
                Ok(Scan::Row { bytes, .. } | Scan::Unclosed { bytes }) => self.window.consume(bytes),
                Ok(Scan::TooLong) => {
                    self.window.skip_line().map_err(|error| unreadable(&self.name, &error))?
                }
                Err(error) if self.window.is_broken(&error) => break,
                Err(error) => return Err(unreadable(&self.name, &error)),
            }
            self.rows += 1;
        }
        Ok(())
    }
}

/// The fault of a file whose header is not what it should be.
pub(crate) fn bad_header(file: &File, message: &str) -> Fault {
    Fault::config(vec![Problem::new("/text", format!("`{}`: {message}", file.name))])
}

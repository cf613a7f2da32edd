//! Rows of CSV and TSV files by RFC 4180, lenient where the csv crate is: a quote inside an unquoted field is a
//! character, any of `\n`, `\r\n` and `\r` ends a row, blank lines do not count.

use crate::{
    chunk::Header,
    files::{File, Format},
    input::unreadable,
    text::{Cells, Dialect, Flaw, Scan, bad_header},
    window::Window,
    written::{HeaderRow, TextConfig},
};
use csv_core::ReadRecordResult;
use kindred_plugin_api::Result;
use std::io;

/// Fields of the row that was scanned last, behind each other, and where each ends.
pub(crate) struct Csv {
    core: csv_core::Reader,
    fields: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
    /// Fields that a row must have.
    width: usize,
    /// The field of each asked column, if there is one.
    asked: Vec<Option<usize>>,
}

impl Csv {
    /// Finds out delimiter and header; the window is then at the first row of data.
    ///
    /// # Errors
    /// CONFIG for a header that is no text, TRANSIENT when the file cannot be read.
    pub(crate) fn open(
        file: &File,
        config: &TextConfig,
        columns: &[String],
        window: &mut Window,
    ) -> Result<(Self, Option<Header>)> {
        let delimiter = match (config.delimiter, file.format) {
            (Some(mark), _) => mark as u8,
            (None, Format::Tsv) => b'\t',
            (None, _) => sniff(window),
        };
        let core = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        let mut csv =
            Self { core, fields: vec![0; 1024], ends: vec![0; 64], count: 0, width: 0, asked: Vec::new() };
        let bytes = match csv.scan(window, config.max_row_bytes) {
            Ok(Scan::Row { bytes, .. }) => bytes,
            Ok(Scan::End) => return Ok((csv, None)),
            Ok(_) => {
                return Err(bad_header(
                    file,
                    "the first row has no end: a quote is not closed or it is too long",
                ));
            }
            // A packed file that is broken this early shows when its rows are read.
            Err(error) if window.is_broken(&error) => return Ok((csv, None)),
            Err(error) => return Err(unreadable(&file.name, &error)),
        };
        let first = csv.text().map_err(|(_, message)| bad_header(file, &format!("first row: {message}")))?;
        let first: Vec<String> = first.map(|cell| cell.trim().to_owned()).collect();
        let named = match config.header {
            HeaderRow::Yes => true,
            HeaderRow::No => false,
            HeaderRow::Auto => columns.iter().any(|c| !c.starts_with('#')) || looks_like_names(&first),
        };
        let places = |_: &String, index: usize| format!("#{}", index + 1);
        let names = if named { first } else { first.iter().enumerate().map(|(i, c)| places(c, i)).collect() };
        if named {
            window.consume(bytes);
        }
        csv.width = names.len();
        let header = Header { names, types: None };
        csv.asked = columns.iter().map(|column| header.find(column).ok().flatten()).collect();
        Ok((csv, Some(header)))
    }

    /// The fields of the row that was scanned last.
    fn text(&self) -> Result<impl Iterator<Item = &str>, Flaw> {
        let end = if self.count == 0 { 0 } else { self.ends[self.count - 1] };
        let invalid = || ("encoding", "not valid UTF-8; set `text.encoding`, such as `latin-1`".to_owned());
        let text = std::str::from_utf8(&self.fields[..end]).map_err(|_| invalid())?;
        Ok((0..self.count).map(move |field| self.field(text, field)))
    }

    fn field<'a>(&self, text: &'a str, field: usize) -> &'a str {
        let start = if field == 0 { 0 } else { self.ends[field - 1] };
        text.get(start..self.ends[field]).unwrap_or_default()
    }

    /// Feeds some bytes to the parser; true once a row is complete.
    fn feed(&mut self, input: &[u8], made: &mut usize) -> (bool, usize) {
        let mut fed = 0;
        // No input at all would mean the end of the file to the parser.
        while fed < input.len() {
            let (result, taken, bytes, ends) =
                self.core.read_record(&input[fed..], &mut self.fields[*made..], &mut self.ends[self.count..]);
            (fed, *made, self.count) = (fed + taken, *made + bytes, self.count + ends);
            match result {
                ReadRecordResult::Record => return (true, fed),
                ReadRecordResult::OutputFull => self.fields.resize(self.fields.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
            }
        }
        (false, fed)
    }

    /// The row has no end within the limit or the file. Only quotes let a row go on over a line end.
    fn no_end(&mut self, window: &Window, limit: usize) -> Scan {
        self.core.reset();
        let bytes = window.bytes();
        match memchr::memchr(b'\n', &bytes[..bytes.len().min(limit)]) {
            Some(end) => Scan::Unclosed { bytes: end + 1 },
            None if bytes.len() > limit => Scan::TooLong,
            None => Scan::Unclosed { bytes: bytes.len() },
        }
    }
}

impl Dialect for Csv {
    fn scan(&mut self, window: &mut Window, max_bytes: usize) -> io::Result<Scan> {
        self.count = 0;
        if window.at_end()? {
            return Ok(Scan::End);
        }
        self.core.reset();
        let (mut fed, mut made) = (0, 0);
        loop {
            let ready = &window.bytes()[fed..];
            let room = (max_bytes + 1).saturating_sub(fed);
            let (complete, taken) = self.feed(&ready[..ready.len().min(room)], &mut made);
            fed += taken;
            if complete && fed <= max_bytes {
                return Ok(Scan::Row { bytes: fed, closed: true });
            }
            if fed > max_bytes {
                return Ok(self.no_end(window, max_bytes));
            }
            if !window.fill()? {
                // With a line end of our own, a last row is complete, unless it is inside quotes.
                let (complete, _) = self.feed(b"\n", &mut made);
                let row = Scan::Row { bytes: fed, closed: false };
                return Ok(if complete { row } else { self.no_end(window, max_bytes) });
            }
        }
    }

    fn cells(&mut self, _row: &str, cells: &mut Cells<'_>) -> Result<(), Flaw> {
        if self.count != self.width {
            return Err(("ragged-row", format!("{} fields, expected {}", self.count, self.width)));
        }
        let end = if self.count == 0 { 0 } else { self.ends[self.count - 1] };
        let text = std::str::from_utf8(&self.fields[..end])
            .map_err(|_| ("encoding", "a field is not valid UTF-8".to_owned()))?;
        for (column, field) in self.asked.iter().enumerate() {
            let cell = field.map(|field| self.field(text, field)).filter(|cell| !cell.is_empty());
            cells.push(column, cell);
        }
        Ok(())
    }
}

/// The delimiter that the first line has most of, outside quotes.
fn sniff(window: &mut Window) -> u8 {
    // A failure shows when the rows are read.
    while window.bytes().len() < 64 * 1024
        && !window.bytes().contains(&b'\n')
        && window.fill().unwrap_or(false)
    {}
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
    for byte in window.bytes().iter().take_while(|b| **b != b'\n') {
        quoted ^= *byte == b'"';
        for (mark, count) in &mut counts {
            *count += usize::from(mark == byte && !quoted);
        }
    }
    // Of equals the first listed.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(mark, _)| *mark)
}

/// Names are there, differ, and are neither numbers nor dates.
fn looks_like_names(cells: &[String]) -> bool {
    let value =
        |cell: &String| cell.is_empty() || !cell.contains(|c: char| c.is_alphabetic()) || cell.contains('@');
    let mut sorted: Vec<_> = cells.iter().collect();
    sorted.sort();
    sorted.dedup();
    sorted.len() == cells.len() && !cells.iter().any(value)
}

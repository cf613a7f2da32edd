//! Goes through a segment record by record, and finds its way again behind damage.

use super::format::{Frame, Header, HEADER, OVERHEAD};
use bytes::Bytes;
use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc};

/// Bytes that are read at once.
pub(super) const CHUNK: u64 = 256 * 1024;

/// What the scanner came upon.
#[derive(Debug)]
pub(super) enum Found {
    /// A record.
    Record(Entry),
    /// Bytes that are no record, and where the next one starts, or the end.
    Damage {
        /// The first byte.
        from: u64,
        /// Behind the last one.
        to: u64,
    },
    /// Nothing more.
    End,
}

/// A record and where it lies.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    /// Where the group starts in which it was written.
    pub(super) group: u64,
    /// Behind it.
    pub(super) end: u64,
    pub(super) payload: Bytes,
}

/// A place in a segment file.
#[derive(Debug)]
pub(super) struct Scanner {
    file: Arc<File>,
    header: Header,
    /// The next record starts here.
    pub(super) offset: u64,
    /// The smallest sequence number that may come.
    least: u64,
    window: Bytes,
    window_at: u64,
}

impl Scanner {
    /// Starts at `offset`.
    pub(super) fn new(file: Arc<File>, header: Header, offset: u64) -> Self {
        let offset = offset.max(HEADER);
        Self { file, header, offset, least: header.first_sequence, window: Bytes::new(), window_at: 0 }
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// The number of the record that starts here, if one does.
    pub(super) fn number(&mut self, end: u64) -> io::Result<Option<u64>> {
        Ok(self.record_at(self.offset, end)?.map(|(frame, _)| frame.sequence))
    }

    /// The next thing before `end`.
    pub(super) fn next(&mut self, end: u64) -> io::Result<Found> {
        if self.offset >= end {
            return Ok(Found::End);
        }
        if let Some((frame, Some(payload))) = self.record_at(self.offset, end)? {
            let start = self.offset;
            self.offset += frame.total();
            self.least = frame.sequence + 1;
            return Ok(Found::Record(Entry {
                sequence: frame.sequence,
                group: start.saturating_sub(u64::from(frame.back)).max(HEADER),
                end: self.offset,
                payload,
            }));
        }
        let from = self.offset;
        self.offset = self.search(end)?;
        Ok(Found::Damage { from, to: self.offset })
    }

    /// Where the next whole record starts, or `end`.
    fn search(&mut self, end: u64) -> io::Result<u64> {
        let mut at = self.offset;
        while at < end {
            at += match self.record_at(at, end)? {
                Some((_, Some(_))) => return Ok(at),
                // The frame says where the next record starts, and nobody but the writer can make a frame.
                Some((frame, None)) => frame.total(),
                None => 1,
            };
        }
        Ok(end)
    }

    /// The record at `at`, without its payload where that is damaged.
    fn record_at(&mut self, at: u64, end: u64) -> io::Result<Option<(Frame, Option<Bytes>)>> {
        let Some(fixed) = self.look(at, OVERHEAD as u64, end)? else { return Ok(None) };
        // Each record before it took room, so a number cannot be arbitrarily large.
        let most = self.header.first_sequence.saturating_add((at - HEADER) / OVERHEAD as u64);
        let numbers = self.least..=most;
        let Some(frame) = Frame::decode(&self.window[fixed], numbers, self.header.salt) else {
            return Ok(None);
        };
        let Some(payload) = self.look(at + OVERHEAD as u64, frame.length as u64, end)? else {
            return Ok(None);
        };
        let payload = self.window.slice(payload);
        let sound = frame.fits(&payload, self.header.salt).then_some(payload);
        Ok(Some((frame, sound)))
    }

    /// Where in the window `length` bytes at `at` are; none when they go beyond `end`, or beyond the file.
    fn look(&mut self, at: u64, length: u64, end: u64) -> io::Result<Option<Range<usize>>> {
        if at + length > end {
            return Ok(None);
        }
        if at < self.window_at || at + length > self.window_at + self.window.len() as u64 {
            self.window = read_at(&self.file, at, length.max(CHUNK.min(end - at)))?;
            self.window_at = at;
        }
        let from = usize::try_from(at - self.window_at).unwrap_or(usize::MAX);
        let to = from.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        Ok((to <= self.window.len()).then_some(from..to))
    }
}

/// Up to `length` bytes at `at`; fewer where the file ends.
pub(super) fn read_at(file: &File, at: u64, length: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], at + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(done);
    Ok(bytes.into())
}

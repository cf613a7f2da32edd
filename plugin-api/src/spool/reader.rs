//! Reads what is durable, while more is written.

use super::{
    files,
    format::HEADER,
    quarantine,
    scan::{Found, Scanner},
    state::{Segment, Shared},
    Damage, Error, Position, Record,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Where the last call of `read` stopped: the next one mostly goes on there.
pub(super) struct Cursor {
    scanner: Scanner,
    at: Position,
    /// The number of the next record, once one was read.
    expected: Option<u64>,
}

/// What `read` may answer at most.
pub(super) struct Limits {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// Reads durable records behind `after`.
pub(super) fn read(
    shared: &Shared,
    cursor: &mut Option<Cursor>,
    after: Option<Position>,
    limits: &Limits,
    wait: Duration,
) -> Result<Vec<Record>, Error> {
    let until = Instant::now().checked_add(wait);
    let Some(mut place) = place(shared, cursor.take(), after)? else { return Ok(Vec::new()) };
    let mut records = Vec::new();
    while wait_for(shared, place.at, until)? {
        fill(shared, &mut place, limits, &mut records)?;
        if !records.is_empty() || limits.records == 0 {
            break;
        }
    }
    *cursor = Some(place);
    Ok(records)
}

/// Waits until there is something behind `at`; false when the time is over.
fn wait_for(shared: &Shared, at: Position, until: Option<Instant>) -> Result<bool, Error> {
    let mut state = shared.state();
    loop {
        state.usable()?;
        if state.end() > at {
            return Ok(true);
        }
        let rest = until.map(|until| until.saturating_duration_since(Instant::now()));
        if rest.is_some_and(|rest| rest.is_zero()) || state.closing || state.poisoned.is_some() {
            return Ok(false);
        }
        state = Shared::wait(&shared.durable, state, rest);
    }
}

/// The place to read from: the last one, or a new one.
fn place(shared: &Shared, last: Option<Cursor>, after: Option<Position>) -> Result<Option<Cursor>, Error> {
    if let (Some(last), Some(after)) = (last, after) {
        if last.at == after {
            return Ok(Some(last));
        }
    }
    loop {
        let (segment, offset, lost) = find(shared, after)?;
        if let Some(lost) = lost {
            shared.state().report(lost);
        }
        if let Some(cursor) = open(shared, segment, offset)? {
            return Ok(Some(cursor));
        }
    }
}

/// The segment and the offset behind a position, and what is missing between them.
fn find(shared: &Shared, after: Option<Position>) -> Result<(Segment, u64, Option<Damage>), Error> {
    let state = shared.state();
    state.usable()?;
    let oldest = *state.segments.front().ok_or(Error::Closed)?;
    let Some(after) = after else { return Ok((oldest, HEADER, None)) };
    if after > state.end() {
        return Err(beyond(after, state.end()));
    }
    let next = *state.segments.iter().find(|s| s.header.segment >= after.segment).unwrap_or(&oldest);
    if next.header.segment == after.segment {
        return Ok((next, after.offset, None));
    }
    let whole = next.header.segment == after.segment + 1 && next.header.previous_end == after.offset;
    let lost = Damage { position: after, bytes: 0, records: 0, acknowledged: true, kept: None };
    Ok((next, HEADER, (!whole).then_some(lost)))
}

pub(super) fn beyond(position: Position, end: Position) -> Error {
    Error::Position(format!(
        "position {position} lies behind the spool's end {end}: it is of another spool, or files were lost"
    ))
}

/// Opens a segment; none when it was trimmed meanwhile.
fn open(shared: &Shared, segment: Segment, offset: u64) -> Result<Option<Cursor>, Error> {
    let number = segment.header.segment;
    match files::open(&shared.options.folder, number) {
        Ok((file, _)) => Ok(Some(Cursor {
            expected: (offset <= HEADER).then_some(segment.header.first_sequence),
            scanner: Scanner::new(Arc::new(file), segment.header, offset),
            at: Position { segment: number, offset: offset.max(HEADER) },
        })),
        Err(Error::Io { path, source }) if source.kind() == std::io::ErrorKind::NotFound => {
            if shared.state().segments.iter().any(|s| s.header.segment == number) {
                return Err(Error::Io { path, source });
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Reads until a limit, or the end of what is durable.
fn fill(
    shared: &Shared,
    place: &mut Cursor,
    limits: &Limits,
    records: &mut Vec<Record>,
) -> Result<(), Error> {
    let mut bytes = 0;
    let mut damage = None;
    while records.len() < limits.records && bytes < limits.bytes {
        let (end, next, next_sequence) = around(shared, place.at.segment)?;
        let path = || files::segment_path(&shared.options.folder, place.at.segment);
        let found = place.scanner.next(end).map_err(|source| Error::Io { path: path(), source })?;
        match found {
            Found::Record(entry) => {
                settle(shared, place, damage.take(), entry.sequence, entry.group);
                place.at.offset = entry.end;
                place.expected = Some(entry.sequence + 1);
                bytes += entry.payload.len();
                records.push(Record { position: place.at, payload: entry.payload });
            }
            Found::Damage { from, to } => {
                place.expected = Some(match place.expected {
                    Some(expected) => expected,
                    None => sequence_at(&place.scanner, from)
                        .map_err(|source| Error::Io { path: path(), source })?,
                });
                damage = Some((from, to));
            }
            Found::End => {
                settle(shared, place, damage.take(), next_sequence, u64::MAX);
                place.at.offset = place.at.offset.max(end);
                match next {
                    Some(next) => match open(shared, next, HEADER)? {
                        Some(opened) => *place = Cursor { expected: Some(next_sequence), ..opened },
                        None => break,
                    },
                    None => break,
                }
            }
        }
    }
    Ok(())
}

/// The durable end of a segment, the segment behind it, and the number of the first record behind that end.
fn around(shared: &Shared, number: u64) -> Result<(u64, Option<Segment>, u64), Error> {
    let state = shared.state();
    state.usable()?;
    let mut segments = state.segments.iter().skip_while(|s| s.header.segment < number).copied();
    let this = segments.next().filter(|s| s.header.segment == number);
    let this =
        this.ok_or_else(|| Error::Position(format!("segment {number} was trimmed while it was read")))?;
    let next = segments.next();
    Ok((this.end, next, next.map_or(state.next_sequence, |next| next.header.first_sequence)))
}

/// Reports damage, or records that are missing without a trace, before the record `sequence`.
fn settle(shared: &Shared, place: &mut Cursor, damage: Option<(u64, u64)>, sequence: u64, group: u64) {
    let missing = place.expected.map_or(0, |expected| sequence.saturating_sub(expected));
    place.expected = Some(sequence);
    if damage.is_none() && missing == 0 {
        return;
    }
    let (from, to) = damage.unwrap_or((place.at.offset, place.at.offset));
    let position = Position { offset: from, ..place.at };
    let kept = quarantine::keep(&shared.options.folder, place.scanner.file(), position, to);
    shared.state().report(Damage {
        position,
        bytes: to - from,
        records: missing,
        acknowledged: from < group,
        kept,
    });
}

/// The number of the first record at or behind `offset`.
fn sequence_at(scanner: &Scanner, offset: u64) -> std::io::Result<u64> {
    let mut from_start = Scanner::new(scanner.file().clone(), *scanner.header(), HEADER);
    let mut next = scanner.header().first_sequence;
    loop {
        match from_start.next(offset)? {
            Found::Record(entry) => next = entry.sequence + 1,
            Found::Damage { .. } => {}
            Found::End => return Ok(next),
        }
    }
}

/// The number of the first record behind a position.
pub(super) fn sequence_behind(shared: &Shared, position: Position) -> Result<u64, Error> {
    let (segment, offset, _) = find(shared, Some(position))?;
    let (end, _, next_sequence) = around(shared, segment.header.segment)?;
    if offset >= end {
        return Ok(next_sequence);
    }
    let Some(mut cursor) = open(shared, segment, offset)? else { return Ok(next_sequence) };
    let path = files::segment_path(&shared.options.folder, segment.header.segment);
    let sequence = match cursor.scanner.frame(end) {
        Ok(Some(sequence)) => Ok(sequence),
        Ok(None) => sequence_at(&cursor.scanner, offset),
        Err(error) => Err(error),
    };
    sequence.map_err(|source| Error::Io { path, source })
}

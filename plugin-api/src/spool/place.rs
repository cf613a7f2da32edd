//! Finds places in the folder: where a reader starts, and which number a position has.

use super::{
    files,
    format::HEADER,
    scan::{Found, Scanner},
    state::{Segment, Shared},
    Damage, Error, Position,
};
use std::{io, sync::Arc};

/// A place from which records are read one after the other.
pub(super) struct Place {
    pub(super) scanner: Scanner,
    pub(super) at: Position,
    /// The number of the next record, where that is known.
    pub(super) expected: Option<u64>,
}

/// What lies around a place.
pub(super) struct Around {
    /// Behind the last durable record of the segment.
    pub(super) end: u64,
    /// The segment behind it.
    pub(super) next: Option<Segment>,
    /// The number of the first record behind `end`.
    pub(super) next_sequence: u64,
}

/// The place behind a position, or at the oldest segment.
pub(super) fn seek(shared: &Shared, after: Option<Position>) -> Result<Place, Error> {
    loop {
        let (segment, offset, lost) = find(shared, after)?;
        if let Some(lost) = lost {
            shared.state().report(lost);
        }
        if let Some(place) = open(shared, segment, offset)? {
            return Ok(place);
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
    let same = next.header.segment == after.segment;
    let whole = if same {
        after.offset <= next.end
    } else {
        next.header.segment == after.segment + 1 && next.header.previous_end == after.offset
    };
    let lost = Damage { position: after, bytes: 0, records: 0, acknowledged: true, kept: None };
    Ok((next, if same { after.offset } else { HEADER }, (!whole).then_some(lost)))
}

pub(super) fn beyond(position: Position, end: Position) -> Error {
    Error::Position(format!(
        "position {position} lies behind the spool's end {end}: it is of another spool, or files were lost"
    ))
}

/// Opens a segment; none when it was trimmed meanwhile.
pub(super) fn open(shared: &Shared, segment: Segment, offset: u64) -> Result<Option<Place>, Error> {
    let number = segment.header.segment;
    match files::open(&shared.options.folder, number) {
        Ok((file, _)) => Ok(Some(Place {
            expected: (offset <= HEADER).then_some(segment.header.first_sequence),
            scanner: Scanner::new(Arc::new(file), segment.header, offset),
            at: Position { segment: number, offset: offset.max(HEADER) },
        })),
        Err(Error::Io { source, .. })
            if source.kind() == io::ErrorKind::NotFound && around(shared, number)?.is_none() =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What lies around a segment; none when it was trimmed meanwhile.
pub(super) fn around(shared: &Shared, number: u64) -> Result<Option<Around>, Error> {
    let state = shared.state();
    state.usable()?;
    let mut segments = state.segments.iter().skip_while(|s| s.header.segment < number).copied();
    let this = segments.next().filter(|s| s.header.segment == number);
    let next = segments.next();
    let next_sequence = next.map_or(state.next_sequence, |next| next.header.first_sequence);
    Ok(this.map(|this| Around { end: this.end, next, next_sequence }))
}

/// The number of the first record behind a position.
pub(super) fn sequence_behind(shared: &Shared, position: Position) -> Result<u64, Error> {
    let (segment, offset, _) = find(shared, Some(position))?;
    let Some(around) = around(shared, segment.header.segment)? else { return Ok(0) };
    if offset >= around.end {
        return Ok(around.next_sequence);
    }
    let Some(mut place) = open(shared, segment, offset)? else { return Ok(0) };
    let path = files::segment_path(&shared.options.folder, segment.header.segment);
    let sequence = match place.scanner.number(around.end) {
        Ok(Some(sequence)) => Ok(sequence),
        Ok(None) => sequence_at(&place.scanner, offset),
        Err(error) => Err(error),
    };
    sequence.map_err(|source| Error::Io { path, source })
}

/// The number behind the last whole record before `offset`.
pub(super) fn sequence_at(scanner: &Scanner, offset: u64) -> io::Result<u64> {
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

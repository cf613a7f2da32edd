//! Reads what is durable, while more is written.

use super::{
    files,
    format::HEADER,
    place::{around, open, seek, sequence_at, Around, Place},
    quarantine,
    scan::Found,
    state::Shared,
    Damage, Error, Position, Record,
};
use std::time::{Duration, Instant};

/// What `read` may answer at most.
pub(super) struct Limits {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// Reads durable records behind `after`. `last` is where the last call stopped: the next one mostly goes on there.
pub(super) fn read(
    shared: &Shared,
    last: &mut Option<Place>,
    after: Option<Position>,
    limits: &Limits,
    wait: Duration,
) -> Result<Vec<Record>, Error> {
    let until = Instant::now().checked_add(wait);
    let mut place = match last.take() {
        Some(last) if Some(last.at) == after => last,
        _ => seek(shared, after)?,
    };
    let mut records = Vec::new();
    while records.is_empty() && limits.records > 0 && wait_for(shared, place.at, until)? {
        fill(shared, &mut place, limits, &mut records)?;
    }
    *last = Some(place);
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

/// Reads until a limit, or the end of what is durable.
fn fill(shared: &Shared, place: &mut Place, limits: &Limits, records: &mut Vec<Record>) -> Result<(), Error> {
    let (mut bytes, mut damage) = (0, None);
    let mut known: Option<Around> = None;
    while records.len() < limits.records && (bytes < limits.bytes || records.is_empty()) {
        // Asked for once for all records that are there: appenders wait while it is answered.
        let here = match known.take() {
            None => around(shared, place.at.segment)?,
            known => known,
        };
        let Some(around) = here else {
            // The segment was trimmed; nobody is missing what was in it.
            *place = seek(shared, Some(place.at))?;
            continue;
        };
        match place.scanner.next(around.end).map_err(|source| broken(shared, place, source))? {
            Found::Record(entry) => {
                settle(shared, place, damage.take(), entry.sequence, entry.group);
                place.at.offset = entry.end;
                place.expected = Some(entry.sequence + 1);
                bytes += entry.payload.len();
                records.push(Record { position: place.at, payload: entry.payload });
                known = Some(around);
            }
            Found::Damage { from, to } => {
                if place.expected.is_none() {
                    let sequence = sequence_at(&place.scanner, from);
                    place.expected = Some(sequence.map_err(|source| broken(shared, place, source))?);
                }
                damage = Some((from, to));
                known = Some(around);
            }
            Found::End => {
                settle(shared, place, damage.take(), around.next_sequence, u64::MAX);
                if !step(shared, place, &around)? {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// From the end of a segment into the next one; false when there is none.
fn step(shared: &Shared, place: &mut Place, around: &Around) -> Result<bool, Error> {
    place.at.offset = place.at.offset.max(around.end);
    let Some(next) = around.next else { return Ok(false) };
    match open(shared, next, HEADER)? {
        Some(opened) => *place = opened,
        None => *place = seek(shared, Some(place.at))?,
    }
    Ok(true)
}

fn broken(shared: &Shared, place: &Place, source: std::io::Error) -> Error {
    Error::Io { path: files::segment_path(&shared.options.folder, place.at.segment), source }
}

/// Reports damage, or records that are missing without a trace, before the record `sequence`.
fn settle(shared: &Shared, place: &mut Place, damage: Option<(u64, u64)>, sequence: u64, group: u64) {
    let missing = place.expected.map_or(0, |expected| sequence.saturating_sub(expected));
    if place.expected.is_some() {
        place.expected = Some(sequence);
    }
    if damage.is_none() && missing == 0 {
        return;
    }
    let (from, to) = damage.unwrap_or((place.at.offset, place.at.offset));
    let position = Position { offset: from, ..place.at };
    let kept = quarantine::keep(&shared.options.folder, place.scanner.file(), position, to);
    let acknowledged = from < group;
    shared.state().report(Damage { position, bytes: to - from, records: missing, acknowledged, kept });
}

//! Opens the folder after whatever happened to it.

use super::{
    files,
    floor::Floor,
    format::{Header, Opening, HEADER},
    quarantine,
    scan::{self, Found, Scanner},
    state::Segment,
    Damage, Error, Position, Recovered,
};
use std::{collections::VecDeque, fs, fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

/// What is in the folder, ready to go on.
pub(super) struct Opened {
    pub(super) segments: VecDeque<Segment>,
    /// The last segment.
    pub(super) file: Arc<File>,
    pub(super) next_sequence: u64,
    pub(super) recovered: Recovered,
}

/// Repairs the folder and finds its end.
pub(super) fn recover(folder: &Path) -> Result<Opened, Error> {
    let mut recovered = Recovered::default();
    let mut segments = VecDeque::new();
    let numbers = files::list(folder)?;
    for &number in &numbers {
        segments.extend(segment(folder, number, numbers.last() == Some(&number), &mut recovered)?);
    }
    let floor = Floor::read(folder);
    abandoned(folder, &mut segments)?;
    // Of the files that had records: those that are left, and those that were put away.
    let left = segments.back().map_or(0, |last| last.header.segment);
    let highest = recovered.damage.iter().map(|damage| damage.position.segment).fold(left, u64::max);
    let tail = match segments.back_mut() {
        Some(last) => Some(repair(folder, last, floor, &mut recovered)?),
        None => None,
    };
    let last = segments.back().copied();
    let (next_sequence, previous_end) = match (&tail, last, floor) {
        (Some(tail), Some(last), _) => (tail.next_sequence, last.end),
        (_, _, Some(floor)) => (floor.next_sequence, 0),
        _ => (1, 0),
    };
    // Behind a tail that was cut off, offsets start anew: a position in what is gone must not mean another record.
    if let (Some(tail), Some(last)) = (tail, last) {
        if recovered.torn_bytes == 0 && !tail.short && last.header.segment == highest {
            return Ok(Opened { segments, file: tail.file, next_sequence, recovered });
        }
    }
    let highest = highest.max(floor.map_or(0, |floor| floor.end.segment));
    let (file, header) = files::create(folder, highest + 1, next_sequence, previous_end)?;
    segments.push_back(Segment { header, end: HEADER });
    Ok(Opened { segments, file: Arc::new(file), next_sequence, recovered })
}

/// A segment by its header; none when it has no header and was put away.
fn segment(
    folder: &Path,
    number: u64,
    last: bool,
    recovered: &mut Recovered,
) -> Result<Option<Segment>, Error> {
    let path = files::segment_path(folder, number);
    let (file, opening) = files::open(folder, number)?;
    let length = file.metadata().map_err(Error::io(&path))?.len();
    let position = Position { segment: number, offset: 0 };
    let mut damage = Damage { position, bytes: length, records: 0, acknowledged: true, kept: None };
    match opening {
        Opening::Header { header, whole } => {
            if !whole {
                damage.bytes = HEADER;
                recovered.damage.push(damage);
            }
            Ok(Some(Segment { header, end: length.max(HEADER) }))
        }
        Opening::Version(found) => Err(Error::Version { path, found }),
        // Nothing in it was acknowledged: the header is durable before the first record is written.
        Opening::None if last && length <= HEADER => {
            fs::remove_file(&path).map_err(Error::io(&path))?;
            Ok(None)
        }
        Opening::None => {
            damage.kept = Some(quarantine::move_segment(folder, number).map_err(Error::io(&path))?);
            recovered.damage.push(damage);
            Ok(None)
        }
    }
}

/// Removes a last segment without records if the one before it does not end where it says: its making had failed, and
/// the one before it went on.
fn abandoned(folder: &Path, segments: &mut VecDeque<Segment>) -> Result<(), Error> {
    let before = segments.iter().rev().nth(1).map(|before| (before.header.segment + 1, before.end));
    let goes_on = |last: &Segment| before == Some((last.header.segment, last.header.previous_end));
    let last = segments.back().filter(|last| before.is_some() && last.end == HEADER && !goes_on(last));
    let Some(last) = last else { return Ok(()) };
    let path = files::segment_path(folder, last.header.segment);
    fs::remove_file(&path).map_err(Error::io(&path))?;
    segments.pop_back();
    Ok(())
}

/// The end of the last segment.
struct Tail {
    file: Arc<File>,
    next_sequence: u64,
    /// There had been more.
    short: bool,
}

/// Finds the end of the last segment, cuts off what is torn, and makes the rest durable.
fn repair(
    folder: &Path,
    last: &mut Segment,
    floor: Option<Floor>,
    recovered: &mut Recovered,
) -> Result<Tail, Error> {
    let path = files::segment_path(folder, last.header.segment);
    let file = Arc::new(files::options().open(&path).map_err(Error::io(&path))?);
    let written = written(&file, last.end).map_err(Error::io(&path))?;
    let survey = survey(&file, last.header, (written, last.end)).map_err(Error::io(&path))?;
    let position = Position { segment: last.header.segment, offset: survey.end };
    recovered.torn_bytes = written.saturating_sub(survey.end);
    if recovered.torn_bytes > 0 {
        recovered.torn_kept = quarantine::keep(folder, &file, position, written);
    }
    last.end = survey.end;
    make_durable(&file, &survey).map_err(Error::io(&path))?;
    let floor = floor.filter(|floor| floor.end > position);
    if let Some(floor) = floor {
        recovered.damage.push(Damage {
            position,
            bytes: recovered.torn_bytes,
            records: floor.next_sequence.saturating_sub(survey.next_sequence),
            acknowledged: true,
            kept: recovered.torn_kept.clone(),
        });
    }
    let next_sequence = survey.next_sequence.max(floor.map_or(0, |floor| floor.next_sequence));
    Ok(Tail { file, next_sequence, short: floor.is_some() })
}

/// Cuts the file behind the last whole record. The last group may have been written and never synced; after a failed
/// sync it may be in memory only, with the system believing that it was written. Writing it once more makes that true
/// before anybody reads it.
fn make_durable(file: &File, survey: &Survey) -> io::Result<()> {
    let bytes = scan::read_at(file, survey.group, survey.end - survey.group)?;
    file.set_len(survey.end)?;
    file.write_all_at(&bytes, survey.group)?;
    file.sync_all()
}

struct Survey {
    /// Behind the last whole record.
    end: u64,
    /// Where its group starts.
    group: u64,
    next_sequence: u64,
}

/// Behind the last byte that is not zero, or behind the header: what follows is room that was made in advance, or the
/// end of a payload.
fn written(file: &File, length: u64) -> io::Result<u64> {
    let mut end = length;
    while end > HEADER {
        let start = end.saturating_sub(scan::CHUNK).max(HEADER);
        if let Some(last) = scan::read_at(file, start, end - start)?.iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(end)
}

fn survey(file: &Arc<File>, header: Header, (written, length): (u64, u64)) -> io::Result<Survey> {
    let mut scanner = Scanner::new(file.clone(), header, HEADER);
    let mut survey = Survey { end: HEADER, group: HEADER, next_sequence: header.first_sequence };
    loop {
        if scanner.offset >= written {
            return Ok(survey);
        }
        match scanner.next(length)? {
            Found::Record(entry) => {
                survey = Survey { end: entry.end, group: entry.group, next_sequence: entry.sequence + 1 };
            }
            Found::Damage { .. } => {}
            Found::End => return Ok(survey),
        }
    }
}

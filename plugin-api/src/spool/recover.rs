//! Opens the folder after whatever happened to it.

use super::{
    files,
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
    let highest = numbers.last().copied().unwrap_or(0);
    let Some(last) = segments.back_mut() else {
        let (file, header) = files::create(folder, highest + 1, 1, 0)?;
        segments.push_back(Segment { header, end: HEADER });
        return Ok(Opened { segments, file: Arc::new(file), next_sequence: 1, recovered });
    };
    let path = files::segment_path(folder, last.header.segment);
    let file = Arc::new(files::options().open(&path).map_err(Error::io(&path))?);
    let next_sequence = repair(folder, &file, last, &mut recovered).map_err(Error::io(&path))?;
    let last = *last;
    if last.header.segment == highest {
        return Ok(Opened { segments, file, next_sequence, recovered });
    }
    let (file, header) = files::create(folder, highest + 1, next_sequence, last.end)?;
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
    let mut damage = Damage {
        position: Position { segment: number, offset: 0 },
        bytes: length,
        records: 0,
        acknowledged: true,
        kept: None,
    };
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

/// Finds the end of the last segment, cuts off what is torn, and makes the rest durable. Answers the next number.
fn repair(folder: &Path, file: &Arc<File>, last: &mut Segment, recovered: &mut Recovered) -> io::Result<u64> {
    let (end, group, next_sequence) = survey(file, last.header, last.end)?;
    let torn = scan::read_at(file, end, last.end - end)?;
    recovered.torn_bytes = last.end - end;
    if torn.iter().any(|byte| *byte != 0) {
        let from = Position { segment: last.header.segment, offset: end };
        recovered.torn_kept = quarantine::keep(folder, file, from, last.end);
    }
    last.end = end;
    file.set_len(end)?;
    // The last group may have been written and never synced; after a failed sync it may even be in memory only,
    // with the system believing it was written. Writing it once more makes that true before anybody reads it.
    let group = scan::read_at(file, group, end - group).map(|bytes| (bytes, group))?;
    file.write_all_at(&group.0, group.1)?;
    file.sync_all()?;
    Ok(next_sequence)
}

/// The end of the last whole record, where its group starts, and the next number.
fn survey(file: &Arc<File>, header: Header, length: u64) -> io::Result<(u64, u64, u64)> {
    let mut scanner = Scanner::new(file.clone(), header, HEADER);
    let mut found = (HEADER, HEADER, header.first_sequence);
    loop {
        match scanner.next(length)? {
            Found::Record(entry) => found = (entry.end, entry.group, entry.sequence + 1),
            Found::Damage { .. } => {}
            Found::End => return Ok(found),
        }
    }
}

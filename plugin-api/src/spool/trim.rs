//! Forgets what was committed elsewhere.

use super::{files, place, state::Shared, Error, Position};
use std::{fs, io};

/// Removes the files whose records all lie before `upto`.
pub(super) fn trim(shared: &Shared, upto: Position) -> Result<(), Error> {
    {
        let state = shared.state();
        state.usable()?;
        if upto > state.end() {
            return Err(place::beyond(upto, state.end()));
        }
        if upto <= state.trimmed {
            return Ok(());
        }
    }
    let next_sequence = place::sequence_behind(shared, upto)?;
    for number in forget(shared, upto, next_sequence) {
        let path = files::segment_path(&shared.options.folder, number);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Takes segments off the list. The last one stays: its header carries the numbers on.
fn forget(shared: &Shared, upto: Position, next_sequence: u64) -> Vec<u64> {
    let mut state = shared.state();
    if upto <= state.trimmed {
        return Vec::new();
    }
    state.forget_reports(upto);
    state.trimmed = upto;
    state.trimmed_sequence = next_sequence.saturating_sub(1);
    let mut numbers = Vec::new();
    while state.segments.len() > 1 {
        let done =
            state.segments.front().filter(|s| Position { segment: s.header.segment, offset: s.end } <= upto);
        let Some(done) = done else { break };
        numbers.push(done.header.segment);
        state.segments.pop_front();
    }
    state.count_backlog();
    numbers
}

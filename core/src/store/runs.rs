//! Which rows of which parts make an answer, in its order. Rows that lie side by side are one run, so that most answers
//! are a slice of one block and the others are copied run by run.

use super::{columns::Columns, order, segment::Part};
use crate::Result;
use std::ops::Range;

/// Rows of some parts.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// Part, first row, row behind the last.
    runs: Vec<(u32, u32, u32)>,
    rows: usize,
}

impl Runs {
    /// How many rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Rows that follow each other in a part.
    pub(super) fn push(&mut self, part: usize, rows: Range<usize>) {
        if rows.is_empty() {
            return;
        }
        self.rows += rows.len();
        let (part, start, end) = (part as u32, rows.start as u32, rows.end as u32);
        match self.runs.last_mut() {
            Some(last) if last.0 == part && last.2 == start => last.2 = end,
            _ => self.runs.push((part, start, end)),
        }
    }

    /// The events of one profile from several places, in the order of [`super::order`]; takes the pieces up.
    ///
    /// # Errors
    /// When a column cannot be read.
    pub(super) fn weave(
        &mut self,
        pieces: &mut [(usize, Range<usize>)],
        parts: &[Part<'_>],
        known: &Columns,
    ) -> Result<()> {
        let times = pieces.iter().map(|(part, _)| parts[*part].times()).collect::<Result<Vec<_>>>()?;
        let next_us = |pieces: &[(usize, Range<usize>)], at: usize| {
            let rows = &pieces[at].1;
            (!rows.is_empty()).then(|| times[at][rows.start])
        };
        loop {
            let mut first: Option<(usize, i64)> = None;
            for at in 0..pieces.len() {
                let Some(time) = next_us(pieces, at) else { continue };
                let before = match first {
                    None => true,
                    Some((other, earliest)) if time == earliest => {
                        let row = |at: usize| (&parts[pieces[at].0], pieces[at].1.start);
                        order::between(row(at), row(other), known)?.is_lt()
                    }
                    Some((_, earliest)) => time < earliest,
                };
                if before {
                    first = Some((at, time));
                }
            }
            let Some((first, _)) = first else { return Ok(()) };
            let others = (0..pieces.len()).filter(|at| *at != first);
            let until_us = others.filter_map(|at| next_us(pieces, at)).min();
            let (part, rows) = &mut pieces[first];
            // All that is earlier than the others; at least the one that was chosen.
            let earlier = until_us.map_or(rows.len(), |until| {
                times[first][rows.clone()].partition_point(|time| *time < until).max(1)
            });
            let start = rows.start;
            rows.start += earlier;
            self.push(*part, start..start + earlier);
        }
    }

    /// The one part that all rows lie side by side in.
    pub(super) fn single(&self) -> Option<(usize, Range<usize>)> {
        if self.runs.len() == 1 { self.iter().next() } else { None }
    }

    /// Part and rows of each run.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        self.runs.iter().map(|(part, start, end)| (*part as usize, *start as usize..*end as usize))
    }
}

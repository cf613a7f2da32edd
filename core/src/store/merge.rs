//! Several segments as one: read block by block, woven profile by profile, written block by block, so that what is in
//! memory at a time is a block of each.

use super::{
    block::{Block, Head},
    columns::Columns,
    files::{Files, Layout, Source},
    runs::Runs,
    segment::{Part, Segment, ends, is_full, times_of},
    span::{Coded, Cut, Span},
    tables::{Change, Tables},
    widths::Width,
    write::Writer,
};
use crate::Result;
use kindred_plugin_api::columns::EVENT_TIME;
use std::{collections::BTreeMap, ops::Range};

/// Writes several segments as one, with the events that are kept; none when no event is left.
///
/// # Errors
/// When a block is damaged, columns of one name differ in type, or what the disk says.
pub(super) fn merge(
    segments: &[&Segment],
    kept: &Span,
    known: &Columns,
    (files, tables, change): (&mut Files, &Tables, &mut Change),
) -> Result<Option<(String, Layout, Source)>> {
    let mut columns: BTreeMap<&String, Width> = BTreeMap::new();
    for (name, width) in segments.iter().flat_map(|segment| segment.columns()) {
        let joined = columns.get(name).map_or(Ok(*width), |held| held.join(*width))?;
        columns.insert(name, joined);
    }
    let columns: Vec<(String, Width)> =
        columns.into_iter().map(|(name, width)| (name.clone(), width)).collect();
    let mut merge = Merge {
        kept: kept.coded(known),
        known,
        inputs: segments.iter().map(|segment| Input { segment, next: 0, at: None }).collect(),
        open: Vec::new(),
        runs: Runs::default(),
        profiles: Vec::new(),
        offsets: vec![0],
    };
    let mut writer: Option<Writer> = None;
    while merge.fill()? {
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(Writer::create(files, columns.clone())?),
        };
        merge.flush(writer, &columns)?;
    }
    writer.map(|writer| writer.finish(files, tables, change)).transpose()
}

struct Merge<'a> {
    kept: Coded,
    known: &'a Columns,
    inputs: Vec<Input<'a>>,
    /// Blocks that the rows of the next block come from, each with its input.
    open: Vec<(usize, Block)>,
    runs: Runs,
    profiles: Vec<u32>,
    offsets: Vec<i32>,
}

struct Input<'a> {
    segment: &'a Segment,
    /// Its next block to be opened.
    next: usize,
    /// Which of the open blocks it is at, and the place in that block's list of profiles.
    at: Option<(usize, usize)>,
}

impl Merge<'_> {
    /// Gathers the rows of the next block; false when there are none.
    fn fill(&mut self) -> Result<bool> {
        let mut pieces: Vec<(usize, Range<usize>)> = Vec::new();
        while let Some(profile) = self.next_profile()? {
            if self.profiles.last().is_some_and(|last| is_full(self.runs.rows(), *last, profile)) {
                break;
            }
            pieces.clear();
            for input in &mut self.inputs {
                let Some((open, place)) = input.at else { continue };
                let block = &self.open[open].1;
                let head = block.head()?;
                if head.profiles[place] != profile {
                    continue;
                }
                let cut = Cut::of(&Part::new(block, input.segment.columns()), &self.kept)?;
                cut.clip(head.rows(place), &mut None, |rows| pieces.push((open, rows)));
                input.at = (place + 1 < head.profiles.len()).then_some((open, place + 1));
            }
            match &mut pieces[..] {
                [] => continue,
                [(open, rows)] => self.runs.push(*open, rows.clone()),
                several => self.runs.weave(several, &parts(&self.open, &self.inputs), self.known)?,
            }
            self.profiles.push(profile);
            self.offsets.push(self.runs.rows() as i32);
        }
        Ok(self.runs.rows() > 0)
    }

    /// The lowest profile that was not taken yet, with the blocks open that it may be in.
    fn next_profile(&mut self) -> Result<Option<u32>> {
        let mut lowest: Option<u32> = None;
        for (number, input) in self.inputs.iter_mut().enumerate() {
            if input.at.is_none() && input.next < input.segment.blocks().len() {
                // A copy: what is read of it goes when it is done.
                self.open.push((number, input.segment.blocks()[input.next].clone()));
                input.next += 1;
                input.at = Some((self.open.len() - 1, 0));
            }
            if let Some((open, place)) = input.at {
                let profile = self.open[open].1.head()?.profiles[place];
                lowest = Some(lowest.map_or(profile, |lowest| lowest.min(profile)));
            }
        }
        Ok(lowest)
    }

    /// Writes what was gathered and lets go of the blocks that are done.
    fn flush(&mut self, writer: &mut Writer, columns: &[(String, Width)]) -> Result<()> {
        let sources = parts(&self.open, &self.inputs);
        let mut copied = Vec::with_capacity(columns.len());
        let mut times_us = (i64::MAX, i64::MIN);
        for (name, width) in columns {
            let own = sources.iter().map(|part| part.column(name)).collect::<Result<Vec<_>>>()?;
            let values = width.copy(&self.runs, &own)?;
            if name == EVENT_TIME {
                times_us = ends(times_of(&values)?);
            }
            copied.push(values);
        }
        let head = Head {
            profiles: std::mem::take(&mut self.profiles).into(),
            offsets: std::mem::replace(&mut self.offsets, vec![0]).into(),
        };
        writer.write(&head, copied, times_us)?;
        self.runs = Runs::default();
        let mut open = Vec::new();
        for (number, input) in self.inputs.iter_mut().enumerate() {
            if let Some((at, place)) = input.at {
                open.push((number, self.open[at].1.clone()));
                input.at = Some((open.len() - 1, place));
            }
        }
        self.open = open;
        Ok(())
    }
}

fn parts<'a>(open: &'a [(usize, Block)], inputs: &'a [Input<'_>]) -> Vec<Part<'a>> {
    open.iter().map(|(input, block)| Part::new(block, inputs[*input].segment.columns())).collect()
}

//! A segment: events in profile order, in blocks, written once. Its file is an Arrow IPC file that other tools read, too:
//! a record batch a block, with one row a profile and its events as a list.

use super::{
    block::{Block, Head},
    columns::Columns,
    files::{Layout, Source},
    order::Content,
    page,
    widths::Width,
};
use crate::{Error, Result};
use arrow::{
    array::{ArrayRef, AsArray, UInt32Array},
    compute::{cast, take},
    datatypes::TimestampMicrosecondType,
};
use kindred_plugin_api::columns::EVENT_TIME;
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// A block ends at the first border of pages behind so many events: a large segment has about a block a page, and what a
/// step brings has few.
const BLOCK_EVENTS: usize = 16_384;

/// Events of some profiles: ascending by profile, then time.
#[derive(Debug)]
pub struct Segment {
    /// Names and widths, by name.
    columns: Vec<(String, Width)>,
    blocks: Vec<Block>,
}

/// A block of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    /// Itself.
    pub(super) block: &'a Block,
    columns: &'a [(String, Width)],
}

impl Segment {
    /// From rows in any order: the profile of each, and its columns.
    ///
    /// # Errors
    /// When there is no `event_time` column, or a type that is not stored.
    pub fn from_rows(profiles: &[u32], columns: BTreeMap<String, ArrayRef>, known: &Columns) -> Result<Self> {
        let times = columns.get(EVENT_TIME).ok_or_else(timeless)?;
        let times = times_of(times)?;
        let content = Content::new(&columns, known);
        let mut order: Vec<u32> = (0..profiles.len() as u32).collect();
        let key = |row: u32| (profiles[row as usize], times[row as usize]);
        order.sort_unstable_by(|&a, &b| {
            key(a).cmp(&key(b)).then_with(|| content.compare(a as usize, b as usize))
        });
        let mut found = Vec::new();
        let mut offsets = Vec::new();
        for (position, row) in order.iter().enumerate() {
            let profile = profiles[*row as usize];
            if found.last() != Some(&profile) {
                found.push(profile);
                offsets.push(position as i32);
            }
        }
        offsets.push(order.len() as i32);
        let order = UInt32Array::from(order);
        let mut segment = Self { columns: Vec::with_capacity(columns.len()), blocks: Vec::new() };
        let mut sorted = Vec::with_capacity(columns.len());
        for (name, values) in &columns {
            let width = Width::of(values)?;
            sorted.push(take(&cast(values, &width.arrow())?, &order, None)?);
            segment.columns.push((name.clone(), width));
        }
        for places in cuts(&found, &offsets) {
            let (start, end) = (offsets[places.start], offsets[places.end]);
            let head = Head {
                profiles: found[places.clone()].to_vec().into(),
                offsets: offsets[places.start..=places.end].iter().map(|o| o - start).collect(),
            };
            let rows = (start as usize, (end - start) as usize);
            let columns: Vec<ArrayRef> = sorted.iter().map(|values| values.slice(rows.0, rows.1)).collect();
            segment.push(head, columns)?;
        }
        Ok(segment)
    }

    fn push(&mut self, head: Head, columns: Vec<ArrayRef>) -> Result<()> {
        let at = self.place(EVENT_TIME).ok_or_else(timeless)?;
        let times_us = ends(times_of(&columns[at])?);
        self.blocks.push(Block::resident(head, columns, times_us));
        Ok(())
    }

    /// One that was committed; nothing of it is read yet.
    pub(super) fn committed(layout: &Layout, source: Source) -> Self {
        let source = Arc::new(source);
        let block = |index: &super::block::Index| Block::committed(index.clone(), source.clone());
        Self { columns: layout.columns.clone(), blocks: layout.blocks.iter().map(block).collect() }
    }

    /// It was written; what is here stays.
    pub(super) fn written(&mut self, layout: &Layout, source: Source) {
        let source = Arc::new(source);
        for (block, index) in self.blocks.iter_mut().zip(&layout.blocks) {
            block.written(index.clone(), source.clone());
        }
    }

    /// Events inside.
    pub fn rows(&self) -> usize {
        self.blocks.iter().map(|block| block.index().events as usize).sum()
    }

    /// Earliest and latest event, microseconds.
    pub fn times_us(&self) -> (i64, i64) {
        let all = self.blocks.iter().map(|block| block.index().times_us);
        all.fold((i64::MAX, i64::MIN), |(first, last), (from, to)| (first.min(from), last.max(to)))
    }

    /// Names and widths of the columns, by name.
    pub(super) fn columns(&self) -> &[(String, Width)] {
        &self.columns
    }

    /// Blocks, by profile.
    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The same, to let go of them.
    pub(super) fn blocks_mut(&mut self) -> &mut [Block] {
        &mut self.blocks
    }

    /// Bytes that were ever read of its file.
    pub(super) fn read_so_far(&self) -> u64 {
        self.blocks.first().map_or(0, Block::read_so_far)
    }

    /// A block with the names of its columns.
    pub(super) fn part(&self, block: usize) -> Part<'_> {
        Part { block: &self.blocks[block], columns: &self.columns }
    }

    /// The block that has the profiles of a page, if there is one.
    pub(super) fn block_of(&self, page: u32) -> Option<usize> {
        let at = self.blocks.partition_point(|block| block.index().pages.1 < page);
        self.blocks.get(at).filter(|block| block.index().pages.0 <= page).map(|_| at)
    }

    fn place(&self, name: &str) -> Option<usize> {
        place(&self.columns, name)
    }
}

impl<'a> Part<'a> {
    /// Of columns that lie in a block in this order.
    pub(super) fn new(block: &'a Block, columns: &'a [(String, Width)]) -> Self {
        Self { block, columns }
    }

    /// A column as it lies there; none where the segment is older than it.
    ///
    /// # Errors
    /// [`Error::Damaged`], or what the disk says.
    pub(super) fn column(&self, name: &str) -> Result<Option<&'a ArrayRef>> {
        let Some(at) = place(self.columns, name) else { return Ok(None) };
        self.block.column(at, self.columns[at].1).map(Some)
    }

    /// A column of codes with its texts, if it is of this width there.
    ///
    /// # Errors
    /// [`Error::Damaged`], or what the disk says.
    pub(super) fn shown(&self, name: &str, width: Width, known: &Columns) -> Result<Option<&'a ArrayRef>> {
        match place(self.columns, name).filter(|at| self.columns[*at].1 == width) {
            Some(at) => self.block.shown(at, width, |stored| known.show(name, stored)).map(Some),
            None => Ok(None),
        }
    }

    /// Event times, microseconds.
    ///
    /// # Errors
    /// [`Error::Damaged`], or what the disk says.
    pub(super) fn times(&self) -> Result<&'a [i64]> {
        times_of(self.column(EVENT_TIME)?.ok_or_else(timeless)?)
    }
}

/// Whether a block with so many events that ends with one profile must not take the next.
pub(super) fn is_full(events: usize, last: u32, next: u32) -> bool {
    events >= BLOCK_EVENTS && page(last) != page(next)
}

/// The places of the profiles of each block.
fn cuts(profiles: &[u32], offsets: &[i32]) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    let mut start = 0;
    for at in 1..profiles.len() {
        if is_full((offsets[at] - offsets[start]) as usize, profiles[at - 1], profiles[at]) {
            cuts.push(start..at);
            start = at;
        }
    }
    if start < profiles.len() {
        cuts.push(start..profiles.len());
    }
    cuts
}

/// The first and the last of some times.
pub(super) fn ends(times: &[i64]) -> (i64, i64) {
    times.iter().fold((i64::MAX, i64::MIN), |(first, last), time| (first.min(*time), last.max(*time)))
}

fn place(columns: &[(String, Width)], name: &str) -> Option<usize> {
    columns.binary_search_by(|(held, _)| held.as_str().cmp(name)).ok()
}

pub(super) fn times_of(values: &ArrayRef) -> Result<&[i64]> {
    let times = values.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(timeless)?;
    Ok(times.values())
}

fn timeless() -> Error {
    Error::Column("a segment without event times".into())
}

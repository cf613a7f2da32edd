//! All segments of a store: events go in a step at a time and come out as list columns, in profile order.

pub use super::{gather::Gathered, span::Span};

use super::{
    block::Block,
    columns::Columns,
    files::{self, Files, Layout, Source},
    gather::Search,
    merge::merge,
    page,
    segment::Segment,
    tables::{Change, Tables},
    widths::Width,
    write::Writer,
};
use crate::{Result, identity::Identity};
use arrow::datatypes::Fields;
use std::collections::BTreeMap;

/// Segments of one size class that are merged into one.
const FAN_IN: usize = 4;
/// Segments that together have at most this part of the largest's events stay beside it.
const SMALL: usize = 8;
/// Bytes of what was read that stay.
const ROOM: u64 = 1 << 30;

/// The events of a store, read as they are asked for.
#[derive(Debug)]
pub struct Events {
    /// Oldest first.
    segments: Vec<Segment>,
    /// The files of the segments.
    names: Vec<String>,
    /// Bytes of what was read that may stay.
    room: u64,
    /// Bytes that were there when they were last counted, and how many had been read of the files; none where files have
    /// come since.
    counted: Option<(u64, u64)>,
    /// The block that is next to let go, of all in order.
    hand: usize,
}

impl Events {
    /// Opens the files; nothing of a block is read yet.
    pub(super) fn open(files: &Files) -> Result<Self> {
        let (segments, names) = (Vec::new(), Vec::new());
        let mut events = Self { segments, names, room: ROOM, counted: None, hand: 0 };
        for (name, entry) in files.of(files::Content::Events) {
            events.push(name.clone(), Segment::committed(&entry.layout, files.open_events(name, entry)?));
        }
        Ok(events)
    }

    fn push(&mut self, name: String, segment: Segment) {
        self.names.push(name);
        self.segments.push(segment);
        self.counted = None;
    }

    /// How many bytes of what was read may stay; 1 GiB unless this is said.
    pub fn set_room(&mut self, bytes: u64) {
        self.room = bytes;
    }

    /// Bytes of what was read and is still here.
    pub fn held(&self) -> u64 {
        self.segments.iter().flat_map(Segment::blocks).map(Block::held).sum()
    }

    /// Lets go of blocks that nobody has looked into for long, where what was read takes more than its room.
    pub fn let_go(&mut self) {
        let read = self.segments.iter().map(Segment::read_so_far).sum();
        let most = self.counted.map_or(u64::MAX, |(held, before)| held + (read - before));
        if most <= self.room {
            return;
        }
        let mut held = self.held();
        if held > self.room {
            let mut blocks: Vec<&mut Block> =
                self.segments.iter_mut().flat_map(Segment::blocks_mut).collect();
            // Twice around: whoever was used is passed by once.
            for _ in 0..2 * blocks.len() {
                self.hand = (self.hand + 1) % blocks.len();
                let block = &mut *blocks[self.hand];
                if !block.was_used() {
                    held -= block.held();
                    block.let_go();
                }
                if held <= self.room - self.room / 8 {
                    break;
                }
            }
        }
        self.counted = Some((held, read));
    }

    /// Whether any event has a value in a column.
    pub(super) fn has(&self, column: &str) -> bool {
        self.segments.iter().any(|segment| segment.columns().iter().any(|(name, _)| name == column))
    }

    /// The whole numbers and codes of each column in the narrowest width that holds all of them.
    ///
    /// # Errors
    /// When a column is of whole numbers in one segment and of something else in another.
    pub fn widths(&self) -> Result<BTreeMap<String, Width>> {
        let mut widths: BTreeMap<String, Width> = BTreeMap::new();
        for (name, width) in self.segments.iter().flat_map(Segment::columns) {
            match widths.get_mut(name) {
                Some(held) => *held = held.join(*width)?,
                None => {
                    widths.insert(name.clone(), *width);
                }
            }
        }
        Ok(widths)
    }

    /// About how many events the profiles of a page have.
    pub fn of_page(&self, page: u32) -> usize {
        let blocks = self
            .segments
            .iter()
            .filter_map(|segment| Some(segment.blocks()[segment.block_of(page)?].index()));
        blocks.map(|block| block.events as usize / (block.pages.1 - block.pages.0 + 1) as usize).sum()
    }

    /// How many events profiles, ascending, have under their own numbers.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub fn lengths(&self, profiles: &[u32]) -> Result<Vec<usize>> {
        let mut lengths = vec![0; profiles.len()];
        for segment in &self.segments {
            let mut rest = &mut lengths[..];
            for profiles in profiles.chunk_by(|a, b| page(*a) == page(*b)) {
                let (here, behind) = rest.split_at_mut(profiles.len());
                rest = behind;
                let Some(block) = segment.block_of(page(profiles[0])) else { continue };
                let head = segment.blocks()[block].head()?;
                let mut from = head.of_page(page(profiles[0])).start;
                for (length, profile) in here.iter_mut().zip(profiles) {
                    *length += head.seek(*profile, &mut from).map_or(0, |rows| rows.len());
                }
            }
        }
        Ok(lengths)
    }

    /// Events in the store.
    pub fn rows(&self) -> usize {
        self.segments.iter().map(Segment::rows).sum()
    }

    /// Writes a step's segment, and merges segments when enough of a size came together; answers names to sweep.
    pub(super) fn append(
        &mut self,
        segment: Segment,
        kept: &Span,
        columns: &Columns,
        (files, tables, change): (&mut Files, &Tables, &mut Change),
    ) -> Result<Vec<String>> {
        let mut tail = self.segments.len();
        let mut class = size_class(segment.rows());
        // Merging four of a class makes one of the next, which may be the fourth there.
        loop {
            let same =
                self.segments[..tail].iter().rev().take_while(|s| size_class(s.rows()) <= class).count();
            if same + 1 < FAN_IN {
                break;
            }
            tail -= same;
            class =
                size_class(self.segments[tail..].iter().map(Segment::rows).sum::<usize>() + segment.rows());
        }
        self.replace(tail, Some(segment), kept, columns, (files, tables, change))
    }

    /// Makes one segment of all where those beside the largest weigh something against it, so that what is asked of
    /// many profiles is a slice; answers names to sweep.
    pub(super) fn compact(
        &mut self,
        kept: &Span,
        columns: &Columns,
        disk: (&mut Files, &Tables, &mut Change),
    ) -> Result<Vec<String>> {
        let largest = self.segments.iter().map(Segment::rows).max().unwrap_or(0);
        if (self.rows() - largest) * SMALL <= largest {
            return Ok(Vec::new());
        }
        self.replace(0, None, kept, columns, disk)
    }

    /// One segment in place of those from `tail` on and a new one.
    fn replace(
        &mut self,
        tail: usize,
        new: Option<Segment>,
        kept: &Span,
        columns: &Columns,
        (files, tables, change): (&mut Files, &Tables, &mut Change),
    ) -> Result<Vec<String>> {
        let old: Vec<Segment> = self.segments.drain(tail..).collect();
        let retired = self.names.split_off(tail);
        self.counted = None;
        for name in &retired {
            files.retire(tables, change, name);
        }
        match new {
            Some(mut segment) if old.is_empty() => {
                let (name, layout, source) = write(&segment, (files, tables, change))?;
                segment.written(&layout, source);
                self.push(name, segment);
            }
            new => {
                let parts: Vec<&Segment> = old.iter().chain(&new).collect();
                if let Some((name, layout, source)) = merge(&parts, kept, columns, (files, tables, change))? {
                    self.push(name, Segment::committed(&layout, source));
                }
            }
        }
        Ok(retired)
    }

    /// The events of some profiles, ascending, each with those of the profiles that were merged into it, as a list
    /// column. Where one block has them all, only what is wider at the boundary than in the store is copied.
    ///
    /// # Errors
    /// When a field is not a column of the store, or a block cannot be read.
    pub fn gather(
        &self,
        profiles: &[u32],
        identity: &Identity,
        fields: &Fields,
        span: &Span,
        columns: &Columns,
    ) -> Result<Gathered> {
        let mut search = Search::new(&self.segments, identity, columns, span);
        search.all(profiles)?;
        let columns = search.columns(fields)?;
        search.found().answer(fields, columns)
    }
}

/// Writes what a step brought.
fn write(
    segment: &Segment,
    (files, tables, change): (&mut Files, &Tables, &mut Change),
) -> Result<(String, Layout, Source)> {
    let mut writer = Writer::create(files, segment.columns().to_vec())?;
    for block in segment.blocks() {
        let columns = segment.columns().iter().enumerate();
        let columns = columns.map(|(at, (_, width))| Ok(block.column(at, *width)?.clone()));
        writer.write(block.head()?, columns.collect::<Result<_>>()?, block.index().times_us)?;
    }
    writer.finish(files, tables, change)
}

fn size_class(rows: usize) -> u32 {
    (rows.max(1)).ilog2() / FAN_IN.ilog2()
}

//! A block: the events of some pages of profiles, a record batch of its file. Each part of it, the list of its profiles
//! and every column, is read and proved on its own when it is first asked for, and stays until its room is needed.

use super::{files::Source, page, widths::Width};
use crate::Result;
use arrow::{
    array::ArrayRef,
    buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer},
};
use serde::{Deserialize, Serialize};
use std::{
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// What is known of a block before anything of it is read; committed with its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Pages of its first and its last profile; no other block of the file has these.
    pub pages: (u32, u32),
    /// Profiles.
    pub profiles: u32,
    /// Events.
    pub events: u32,
    /// Earliest and latest event, microseconds.
    pub times_us: (i64, i64),
    /// The numbers of the profiles (`u32`, ascending) and, behind them, the offsets of their events (`i32`, one more).
    pub head: Piece,
    /// Where the offsets lie in the file.
    pub offsets: u64,
    /// The columns, in the order of the file's.
    pub columns: Vec<Piece>,
}

/// Bytes of a file that are read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// First byte; the piece before it ends here.
    pub start: u64,
    /// Where the values begin; a validity bitmap lies before them, or what Arrow tells other readers.
    pub values: u64,
    /// Byte behind the last.
    pub end: u64,
    /// XXH3 of them all.
    pub checksum: u64,
}

/// Whose events a block has.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// Ascending.
    pub(super) profiles: ScalarBuffer<u32>,
    /// One more than profiles; events of profile `i` are rows `offsets[i]..offsets[i + 1]`.
    pub(super) offsets: ScalarBuffer<i32>,
}

/// A block, and what was read of it so far.
#[derive(Debug)]
pub(super) struct Block {
    index: Index,
    /// None before it is written; everything is here then.
    source: Option<Arc<Source>>,
    head: OnceLock<Head>,
    columns: Box<[OnceLock<ArrayRef>]>,
    /// Codes with their texts, as they were first asked for; texts that came later have no codes here.
    shown: Box<[OnceLock<ArrayRef>]>,
    /// The time of the first event of each profile, as it was first asked for: times lie far apart.
    firsts: OnceLock<Box<[i64]>>,
    /// Since its room was last wanted.
    used: AtomicBool,
}

impl Clone for Block {
    fn clone(&self) -> Self {
        let Self { index, source, head, columns, shown, firsts, used: _ } = self;
        let (index, source, head) = (index.clone(), source.clone(), head.clone());
        Self {
            index,
            source,
            head,
            columns: columns.clone(),
            shown: shown.clone(),
            firsts: firsts.clone(),
            used: AtomicBool::default(),
        }
    }
}

impl Block {
    /// One that was committed.
    pub(super) fn committed(index: Index, source: Arc<Source>) -> Self {
        let empty = || index.columns.iter().map(|_| OnceLock::new()).collect();
        let (columns, shown, used) = (empty(), empty(), AtomicBool::default());
        let (head, firsts) = (OnceLock::new(), OnceLock::new());
        Self { index, source: Some(source), head, columns, shown, firsts, used }
    }

    /// One that is not written yet, with all its columns.
    pub(super) fn resident(head: Head, columns: Vec<ArrayRef>, times_us: (i64, i64)) -> Self {
        let ends = [head.profiles.first(), head.profiles.last()].map(|p| page(p.copied().unwrap_or(0)));
        let index = Index {
            pages: (ends[0], ends[1]),
            profiles: head.profiles.len() as u32,
            events: head.offsets.last().map_or(0, |end| end.cast_unsigned()),
            times_us,
            head: Piece { start: 0, values: 0, end: 0, checksum: 0 },
            offsets: 0,
            columns: Vec::new(),
        };
        Self {
            index,
            source: None,
            head: OnceLock::from(head),
            shown: columns.iter().map(|_| OnceLock::new()).collect(),
            columns: columns.into_iter().map(OnceLock::from).collect(),
            firsts: OnceLock::new(),
            used: AtomicBool::default(),
        }
    }

    /// It was written; what is here stays.
    pub(super) fn written(&mut self, index: Index, source: Arc<Source>) {
        (self.index, self.source) = (index, Some(source));
    }

    /// Bytes of what is here and could be read again.
    pub(super) fn held(&self) -> u64 {
        let columns =
            self.index.columns.iter().zip(&self.columns).filter(|(_, column)| column.get().is_some());
        let head = self.head.get().map(|_| &self.index.head);
        let pieces = columns.map(|(piece, _)| piece).chain(head).map(|piece| piece.end - piece.start);
        pieces.chain(self.firsts.get().map(|firsts| size_of_val(&**firsts) as u64)).sum()
    }

    /// Whether it was looked into since this was last asked.
    pub(super) fn was_used(&mut self) -> bool {
        std::mem::take(self.used.get_mut())
    }

    /// Lets go of what can be read again.
    pub(super) fn let_go(&mut self) {
        if let Some(source) = self.source.take() {
            *self = Self::committed(self.index.clone(), source);
        }
    }

    /// What is known of it.
    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// Whose events it has.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`], or what the disk says.
    pub(super) fn head(&self) -> Result<&Head> {
        self.used.store(true, Ordering::Relaxed);
        if let Some(head) = self.head.get() {
            return Ok(head);
        }
        let Index { head: piece, profiles, offsets, .. } = &self.index;
        let bytes = self.bytes(piece)?;
        let ends = bytes.slice((offsets - piece.start) as usize);
        let head = Head {
            profiles: ScalarBuffer::new(
                bytes.slice((piece.values - piece.start) as usize),
                0,
                *profiles as usize,
            ),
            offsets: ScalarBuffer::new(ends, 0, *profiles as usize + 1),
        };
        Ok(self.head.get_or_init(|| head))
    }

    /// A column, by its place among the file's.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`], or what the disk says.
    pub(super) fn column(&self, at: usize, width: Width) -> Result<&ArrayRef> {
        if let Some(values) = self.columns[at].get() {
            return Ok(values);
        }
        let (piece, rows) = (&self.index.columns[at], self.index.events as usize);
        let bytes = self.bytes(piece)?;
        let nulls =
            (piece.values > piece.start).then(|| NullBuffer::new(BooleanBuffer::new(bytes.clone(), 0, rows)));
        let values = width.read(bytes.slice((piece.values - piece.start) as usize), rows, nulls);
        Ok(self.columns[at].get_or_init(|| values))
    }

    /// A column of codes with its texts; `show` brings the two together and proves them.
    ///
    /// # Errors
    /// As [`Self::column`], and when a code has no text.
    pub(super) fn shown(
        &self,
        at: usize,
        width: Width,
        show: impl FnOnce(ArrayRef) -> Result<ArrayRef>,
    ) -> Result<&ArrayRef> {
        if let Some(shown) = self.shown[at].get() {
            return Ok(shown);
        }
        let shown = show(self.column(at, width)?.clone())?;
        Ok(self.shown[at].get_or_init(|| shown))
    }

    /// The time of the first event of each of its profiles, where `times` are those of all events.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub(super) fn firsts(&self, times: &[i64]) -> Result<&[i64]> {
        let offsets = &self.head()?.offsets;
        let firsts = || offsets[..offsets.len() - 1].iter().map(|first| times[*first as usize]).collect();
        Ok(self.firsts.get_or_init(firsts))
    }

    /// Bytes that were ever read of its file.
    pub(super) fn read_so_far(&self) -> u64 {
        self.source.as_ref().map_or(0, |source| source.read_so_far())
    }

    fn bytes(&self, piece: &Piece) -> Result<Buffer> {
        match &self.source {
            Some(source) => source.read(piece),
            None => Err(crate::Error::Column("a block that was never written is not complete".into())),
        }
    }
}

impl Head {
    /// The rows of the profile at a place of the list.
    pub(super) fn rows(&self, at: usize) -> Range<usize> {
        self.offsets[at] as usize..self.offsets[at + 1] as usize
    }

    /// The part of the list that is of a page.
    pub(super) fn of_page(&self, number: u32) -> Range<usize> {
        let start = self.profiles.partition_point(|profile| page(*profile) < number);
        start..start + self.profiles[start..].partition_point(|profile| page(*profile) == number)
    }

    /// The rows of a profile, found from the place `from` where the search for a lower one ended; `from` moves along.
    pub(super) fn seek(&self, profile: u32, from: &mut usize) -> Option<Range<usize>> {
        let all = &self.profiles;
        // The next profile is near: steps double before they halve.
        let (mut low, mut step) = (*from, 1);
        while all.get(low + step - 1).is_some_and(|there| *there < profile) {
            (low, step) = (low + step, step * 2);
        }
        let high = (low + step).min(all.len());
        let at = low.min(high) + all[low.min(high)..high].partition_point(|here| *here < profile);
        let found = all.get(at) == Some(&profile);
        *from = at + usize::from(found);
        found.then(|| self.rows(at))
    }
}

//! All segments of a store: events go in a step at a time and come out as list columns, in profile order.

use super::{
    columns::Columns,
    files::{self, Files},
    runs::{Content, Runs},
    segment::Segment,
    tables::{Change, Tables},
};
use crate::{Result, identity::Identity};
use arrow::{
    array::{Array, ArrayRef, ListArray, StructArray},
    buffer::{OffsetBuffer, ScalarBuffer},
    datatypes::{DataType, Field, Fields},
};
use std::{ops::Range, sync::Arc};

/// Segments of one size class that are merged into one.
const FAN_IN: usize = 4;
/// Segments that together have at most this part of the largest's events stay beside it.
const SMALL: usize = 8;

/// The events of a store, resident.
#[derive(Debug, Default)]
pub struct Events {
    /// Oldest first, with their file names.
    segments: Vec<(String, Segment)>,
}

/// Which events are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Later than this.
    pub after_us: i64,
    /// Not later than this.
    pub until_us: i64,
}

/// Events of some profiles.
#[derive(Debug)]
pub struct Gathered {
    /// One row a profile; a struct of the fields asked for, ascending by time.
    pub events: ListArray,
    /// For each profile its first event later than the span, if there is one.
    pub next_us: Vec<Option<i64>>,
}

impl Events {
    pub(super) fn open(files: &Files) -> Result<Self> {
        let mut segments = Vec::new();
        for (name, _) in files.of(files::Content::Events) {
            segments.push((name.clone(), Segment::decode(files.read(name)?)?));
        }
        Ok(Self { segments })
    }

    /// Events in the store.
    pub fn rows(&self) -> usize {
        self.segments.iter().map(|(_, s)| s.rows()).sum()
    }

    /// Writes a step's segment, and merges segments when enough of a size came together; answers names to sweep.
    pub(super) fn append(
        &mut self,
        segment: Segment,
        since_us: i64,
        columns: &Columns,
        (files, tables, change): (&mut Files, &Tables, &mut Change),
    ) -> Result<Vec<String>> {
        let mut tail = self.segments.len();
        let mut class = size_class(segment.rows());
        // Merging four of a class makes one of the next, which may be the fourth there.
        loop {
            let same =
                self.segments[..tail].iter().rev().take_while(|(_, s)| size_class(s.rows()) <= class).count();
            if same + 1 < FAN_IN {
                break;
            }
            tail -= same;
            class = size_class(
                self.segments[tail..].iter().map(|(_, s)| s.rows()).sum::<usize>() + segment.rows(),
            );
        }
        self.replace(tail, Some(segment), since_us, columns, (files, tables, change))
    }

    /// Makes one segment of all where those beside the largest weigh something against it, so that what is asked of
    /// many profiles is a slice; answers names to sweep.
    pub(super) fn compact(
        &mut self,
        since_us: i64,
        columns: &Columns,
        disk: (&mut Files, &Tables, &mut Change),
    ) -> Result<Vec<String>> {
        let largest = self.segments.iter().map(|(_, s)| s.rows()).max().unwrap_or(0);
        if (self.rows() - largest) * SMALL <= largest {
            return Ok(Vec::new());
        }
        self.replace(0, None, since_us, columns, disk)
    }

    /// One segment in place of those from `tail` on and a new one.
    fn replace(
        &mut self,
        tail: usize,
        new: Option<Segment>,
        since_us: i64,
        columns: &Columns,
        (files, tables, change): (&mut Files, &Tables, &mut Change),
    ) -> Result<Vec<String>> {
        let old: Vec<(String, Segment)> = self.segments.drain(tail..).collect();
        let merged = if old.is_empty() {
            new
        } else {
            let parts: Vec<&Segment> = old.iter().map(|(_, s)| s).chain(&new).collect();
            Segment::merge(&parts, since_us, columns)?
        };
        let retired: Vec<String> = old.into_iter().map(|(name, _)| name).collect();
        for name in &retired {
            files.retire(tables, change, name);
        }
        if let Some(segment) = merged {
            let name =
                files.add(tables, change, files::Content::Events, segment.rows(), &segment.encode()?)?;
            self.segments.push((name, segment));
        }
        Ok(retired)
    }

    /// The events of some profiles, ascending, each with those of the profiles that were merged into it, as a list
    /// column. Not copied where they lie side by side in one segment.
    ///
    /// # Errors
    /// When a field is not a column of the store.
    pub fn gather(
        &mut self,
        profiles: &[u32],
        identity: &Identity,
        fields: &Fields,
        span: Span,
        columns: &mut Columns,
    ) -> Result<Gathered> {
        let (runs, ends, next_us) = self.find(profiles, identity, span, columns)?;
        let arrays =
            fields.iter().map(|field| self.pick(field, &runs, columns)).collect::<Result<Vec<_>>>()?;
        let events = StructArray::try_new_with_length(fields.clone(), arrays, None, runs.rows())?;
        let item = Arc::new(Field::new("item", DataType::Struct(fields.clone()), false));
        let events =
            ListArray::try_new(item, OffsetBuffer::new(ScalarBuffer::from(ends)), Arc::new(events), None)?;
        Ok(Gathered { events, next_us })
    }

    /// Where the events of each profile lie, where its list ends, and the first event behind the span.
    #[allow(clippy::type_complexity, reason = "three lists that belong together here and nowhere else")]
    fn find(
        &self,
        profiles: &[u32],
        identity: &Identity,
        span: Span,
        columns: &Columns,
    ) -> Result<(Runs, Vec<i32>, Vec<Option<i64>>)> {
        let times = self.segments.iter().map(|(_, s)| s.times()).collect::<Result<Vec<_>>>()?;
        let own: Vec<_> = self.segments.iter().map(|(_, s)| s.columns()).collect();
        let content = Content::new(&own, columns);
        let mut cursors = vec![0; self.segments.len()];
        let mut runs = Runs::default();
        let mut ends = Vec::with_capacity(profiles.len() + 1);
        ends.push(0_i32);
        let mut next_us = vec![None; profiles.len()];
        let mut pieces = Vec::new();
        for (profile, next) in profiles.iter().zip(&mut next_us) {
            pieces.clear();
            let mut look = |number: u32, cursors: &mut [usize]| {
                for (part, (_, segment)) in self.segments.iter().enumerate() {
                    let Some(range) = segment.seek(number, &mut cursors[part]) else { continue };
                    let (range, later) = clip(segment.times_us(), times[part], range, span);
                    *next = (*next).into_iter().chain(later).min();
                    if !range.is_empty() {
                        pieces.push((part, range));
                    }
                }
            };
            look(*profile, &mut cursors);
            for number in identity.merged_into(*profile) {
                look(*number, &mut vec![0; self.segments.len()]);
            }
            match &pieces[..] {
                [] => {}
                [(part, range)] => runs.push(*part, range.clone()),
                several => runs.weave(several, &times, &content),
            }
            ends.push(runs.rows() as i32);
        }
        Ok((runs, ends, next_us))
    }

    fn pick(&mut self, field: &Field, runs: &Runs, columns: &mut Columns) -> Result<ArrayRef> {
        let name = field.name();
        let kind = columns.types().get(name).map_or(DataType::UInt32, |k| k.stored());
        if runs.rows() == 0 {
            return columns.show(name, arrow::array::new_empty_array(&kind));
        }
        if let Some((part, rows)) = runs.single() {
            return Ok(self.segments[part].1.shown(name, &kind, columns)?.slice(rows.start, rows.len()));
        }
        let parts: Vec<ArrayRef> = self.segments.iter().map(|(_, s)| s.column(name, &kind)).collect();
        columns.show(name, runs.copy(&parts)?)
    }
}

fn size_class(rows: usize) -> u32 {
    (rows.max(1)).ilog2() / FAN_IN.ilog2()
}

/// The part of a range inside the span, and the time of the first event behind it. `whole` is the segment's first and
/// last time, which mostly spare the search.
fn clip(whole: (i64, i64), times: &[i64], range: Range<usize>, span: Span) -> (Range<usize>, Option<i64>) {
    if span.after_us < whole.0 && whole.1 <= span.until_us {
        return (range, None);
    }
    let part = &times[range.clone()];
    let start = range.start + part.partition_point(|t| *t <= span.after_us);
    let end = range.start + part.partition_point(|t| *t <= span.until_us);
    (start..end.max(start), times[..range.end].get(end).copied())
}

//! All segments of a store: events go in a step at a time and come out as list columns, in profile order.

use super::{
    columns::Columns,
    files::{Content, Files},
    segment::Segment,
    tables::{Change, Tables},
};
use crate::Result;
use arrow::{
    array::{Array, ArrayRef, ListArray, StructArray},
    buffer::{OffsetBuffer, ScalarBuffer},
    compute::interleave,
    datatypes::{DataType, Field, Fields},
};
use std::{ops::Range, sync::Arc};

/// Segments of one size class that are merged into one.
const FAN_IN: usize = 4;

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
        for (name, _) in files.of(Content::Events) {
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
        let old: Vec<(String, Segment)> = self.segments.drain(tail..).collect();
        let merged = if old.is_empty() {
            Some(segment)
        } else {
            let parts: Vec<&Segment> = old.iter().map(|(_, s)| s).chain([&segment]).collect();
            Segment::merge(&parts, since_us)?
        };
        let retired: Vec<String> = old.into_iter().map(|(name, _)| name).collect();
        for name in &retired {
            files.retire(tables, change, name);
        }
        if let Some(segment) = merged {
            let name = files.add(tables, change, Content::Events, segment.rows(), &segment.encode()?)?;
            self.segments.push((name, segment));
        }
        Ok(retired)
    }

    /// The events of some profiles, each with the numbers that it was merged from, as a list column.
    ///
    /// # Errors
    /// When a field is not a column of the store.
    pub fn gather(
        &self,
        profiles: &[Vec<u32>],
        fields: &Fields,
        span: Span,
        columns: &mut Columns,
    ) -> Result<Gathered> {
        let times = self.segments.iter().map(|(_, s)| s.times()).collect::<Result<Vec<_>>>()?;
        let mut rows: Vec<(usize, usize)> = Vec::new();
        let mut ends = vec![0_i32];
        let mut next_us = Vec::with_capacity(profiles.len());
        for numbers in profiles {
            let start = rows.len();
            let mut next: Option<i64> = None;
            let mut parts = 0;
            for number in numbers {
                for (at, (_, segment)) in self.segments.iter().enumerate() {
                    let Some(range) = segment.range(*number) else { continue };
                    let (wanted, later) = clip(times[at], range, span);
                    next = next.into_iter().chain(later).min();
                    parts += usize::from(!wanted.is_empty());
                    rows.extend(wanted.map(|row| (at, row)));
                }
            }
            if parts > 1 {
                rows[start..].sort_by_key(|(segment, row)| times[*segment][*row]);
            }
            ends.push(rows.len() as i32);
            next_us.push(next);
        }
        let arrays =
            fields.iter().map(|field| self.pick(field, &rows, columns)).collect::<Result<Vec<_>>>()?;
        let events = StructArray::try_new_with_length(fields.clone(), arrays, None, rows.len())?;
        let item = Arc::new(Field::new("item", DataType::Struct(fields.clone()), false));
        let events =
            ListArray::try_new(item, OffsetBuffer::new(ScalarBuffer::from(ends)), Arc::new(events), None)?;
        Ok(Gathered { events, next_us })
    }

    /// One column of the rows; not copied when they lie side by side in one segment.
    fn pick(&self, field: &Field, rows: &[(usize, usize)], columns: &mut Columns) -> Result<ArrayRef> {
        let name = field.name();
        let kind = columns.types().get(name).map_or(DataType::UInt32, |k| k.stored());
        if rows.is_empty() {
            return columns.show(name, arrow::array::new_empty_array(&kind));
        }
        if let Some((segment, first)) = side_by_side(rows) {
            let values = self.segments[segment].1.column(name, &kind);
            return columns.show(name, values.slice(first, rows.len()));
        }
        let parts: Vec<ArrayRef> = self.segments.iter().map(|(_, s)| s.column(name, &kind)).collect();
        let parts: Vec<&dyn Array> = parts.iter().map(|a| &**a).collect();
        columns.show(name, interleave(&parts, rows)?)
    }
}

fn size_class(rows: usize) -> u32 {
    (rows.max(1)).ilog2() / FAN_IN.ilog2()
}

/// The part of a range inside the span, and the time of the first event behind it.
fn clip(times: &[i64], range: Range<usize>, span: Span) -> (Range<usize>, Option<i64>) {
    let part = &times[range.clone()];
    let start = range.start + part.partition_point(|t| *t <= span.after_us);
    let end = range.start + part.partition_point(|t| *t <= span.until_us);
    (start..end.max(start), times[..range.end].get(end).copied())
}

fn side_by_side(rows: &[(usize, usize)]) -> Option<(usize, usize)> {
    let (segment, first) = *rows.first()?;
    let ordered = rows.iter().enumerate().all(|(i, row)| *row == (segment, first + i));
    ordered.then_some((segment, first))
}

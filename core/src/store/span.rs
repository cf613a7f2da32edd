//! Which events are asked for, and until when each of them stays. What a source brought may count for a shorter time than
//! all else; whose an event is stands in its column `source`.

use super::{block::Block, columns::Columns, segment::Part, widths::Width};
use crate::Result;
use arrow::{
    array::{Array, ArrayRef, AsArray},
    buffer::NullBuffer,
    datatypes::{UInt8Type, UInt16Type, UInt32Type},
};
use kindred_plugin_api::columns::profile::SOURCE;
use std::{collections::BTreeMap, ops::Range};

/// Which events are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Not later than this.
    pub until_us: i64,
    /// What holds for events of all sources that are not named.
    pub all: Limit,
    /// What holds for events of these.
    pub sources: BTreeMap<String, Limit>,
}

/// From when on events count, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Later than this.
    pub after_us: i64,
    /// An event leaves so long after its time, with nothing new; none where whoever asks knows when.
    pub lasts_us: Option<i64>,
}

impl Span {
    /// All events between two times, later than the first and not later than the second.
    pub fn between(after_us: i64, until_us: i64) -> Self {
        Self { until_us, all: Limit { after_us, lasts_us: None }, sources: BTreeMap::new() }
    }

    /// All events later than a time.
    pub fn after(after_us: i64) -> Self {
        Self::between(after_us, i64::MAX)
    }

    /// What holds for a source.
    pub fn of(&self, source: &str) -> Limit {
        self.sources.get(source).copied().unwrap_or(self.all)
    }

    /// No limit is later than this.
    pub fn latest_after_us(&self) -> i64 {
        self.limits().map(|limit| limit.after_us).max().unwrap_or(self.all.after_us)
    }

    fn limits(&self) -> impl Iterator<Item = Limit> {
        self.sources.values().copied().chain([self.all])
    }

    /// The same by the codes that a store has for its sources.
    pub(crate) fn coded(&self, known: &Columns) -> Coded {
        let mut by_code = Vec::new();
        for (source, limit) in &self.sources {
            let Some(code) = known.code(SOURCE, source) else { continue };
            by_code.resize(by_code.len().max(code as usize + 1), self.all);
            by_code[code as usize] = *limit;
        }
        Coded {
            until_us: self.until_us,
            all: self.all,
            by_code,
            latest_after_us: self.latest_after_us(),
            shortest_us: self.limits().filter_map(|limit| limit.lasts_us).min(),
        }
    }
}

/// A [`Span`] by codes.
pub(crate) struct Coded {
    until_us: i64,
    all: Limit,
    by_code: Vec<Limit>,
    /// What is later is after all limits.
    latest_after_us: i64,
    shortest_us: Option<i64>,
}

impl Coded {
    /// Tells those of a profile's rows that are inside, some that follow each other at a time. `next_us` becomes the
    /// time at which the first one comes in or leaves, if that is earlier.
    pub(crate) fn clip(
        &self,
        times: &[i64],
        sources: &Sources<'_>,
        rows: Range<usize>,
        next_us: &mut Option<i64>,
        mut found: impl FnMut(Range<usize>),
    ) {
        let part = &times[rows.clone()];
        let start = part.partition_point(|time| *time <= self.all.after_us);
        let end = part.partition_point(|time| *time <= self.until_us).max(start);
        let comes_us = part.get(end).copied();
        let leaves = |time: i64, limit: &Limit| limit.lasts_us.map(|lasts| time.saturating_add(lasts));
        let (start, end) = (rows.start + start, rows.start + end);
        let leaves_us = if self.by_code.is_empty() {
            if start < end {
                found(start..end);
            }
            times[start..end].first().and_then(|first| leaves(*first, &self.all))
        } else {
            let mut earliest_us = None;
            let mut run = start..start;
            for (row, time) in (start..end).zip(&times[start..end]) {
                let limit = sources.at(row).and_then(|code| self.by_code.get(code)).unwrap_or(&self.all);
                if *time > limit.after_us {
                    earliest_us = leaves(*time, limit).into_iter().chain(earliest_us).min();
                    run.end = row + 1;
                    continue;
                }
                if !run.is_empty() {
                    found(run);
                }
                run = row + 1..row + 1;
            }
            if !run.is_empty() {
                found(run);
            }
            earliest_us
        };
        *next_us = (*next_us).into_iter().chain(comes_us).chain(leaves_us).min();
    }
}

/// A block as a span cuts it.
pub(super) struct Cut<'a> {
    span: &'a Coded,
    /// It is all inside, and its events leave so long after their times, if they do.
    whole: Option<Option<i64>>,
    times: &'a [i64],
    sources: Sources<'a>,
}

impl<'a> Cut<'a> {
    /// Reads times and sources of a block where they matter.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`], or what the disk says.
    pub(super) fn of(part: &Part<'a>, span: &'a Coded) -> Result<Self> {
        let times_us = part.block.index().times_us;
        let is_inside = span.latest_after_us < times_us.0 && times_us.1 <= span.until_us;
        let is_alike = span.by_code.is_empty() || span.shortest_us.is_none();
        if is_inside && is_alike {
            let times = if span.shortest_us.is_some() { part.times()? } else { &[] };
            return Ok(Self { span, whole: Some(span.shortest_us), times, sources: Sources::None });
        }
        let sources = if span.by_code.is_empty() { None } else { part.column(SOURCE)? };
        Ok(Self { span, whole: None, times: part.times()?, sources: Sources::of(sources) })
    }

    /// Whether it is all inside, and who leaves it does so by age alone.
    pub(super) fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// Of a block that is all inside, when the first event of each of its profiles leaves, if it does.
    ///
    /// # Errors
    /// As [`Block::firsts`].
    pub(super) fn firsts_leave_us(
        &self,
        block: &'a Block,
        places: Range<usize>,
    ) -> Result<impl Iterator<Item = Option<i64>>> {
        let firsts = if self.times.is_empty() { &[] } else { block.firsts(self.times)? };
        Ok(places.map(|place| self.leaves_us(*firsts.get(place)?)))
    }

    /// Of a block that is all inside, when an event of this time leaves, if it does.
    fn leaves_us(&self, time: i64) -> Option<i64> {
        Some(time.saturating_add(self.whole??))
    }

    /// As [`Coded::clip`], for rows of the block.
    pub(super) fn clip(
        &self,
        rows: Range<usize>,
        next_us: &mut Option<i64>,
        mut found: impl FnMut(Range<usize>),
    ) {
        if self.is_whole() {
            let leaves_us = self.times.get(rows.start).and_then(|first| self.leaves_us(*first));
            *next_us = (*next_us).into_iter().chain(leaves_us).min();
            found(rows);
        } else {
            self.span.clip(self.times, &self.sources, rows, next_us, found);
        }
    }
}

/// Whose the rows of a block are, by code.
pub(crate) enum Sources<'a> {
    /// Nobody knows, or nobody asks.
    None,
    /// 8 bits.
    Narrow(&'a [u8], Option<&'a NullBuffer>),
    /// 16 bits.
    Middle(&'a [u16], Option<&'a NullBuffer>),
    /// 32 bits.
    Wide(&'a [u32], Option<&'a NullBuffer>),
}

impl<'a> Sources<'a> {
    /// From the column of codes.
    pub(crate) fn of(codes: Option<&'a ArrayRef>) -> Self {
        let Some(codes) = codes else { return Self::None };
        let nulls = codes.nulls();
        match Width::named(codes.data_type()) {
            Ok(Width::U8) => Self::Narrow(codes.as_primitive::<UInt8Type>().values(), nulls),
            Ok(Width::U16) => Self::Middle(codes.as_primitive::<UInt16Type>().values(), nulls),
            Ok(Width::U32) => Self::Wide(codes.as_primitive::<UInt32Type>().values(), nulls),
            _ => Self::None,
        }
    }

    fn at(&self, row: usize) -> Option<usize> {
        let (code, nulls) = match self {
            Self::None => return None,
            Self::Narrow(codes, nulls) => (usize::from(codes[row]), nulls),
            Self::Middle(codes, nulls) => (usize::from(codes[row]), nulls),
            Self::Wide(codes, nulls) => (codes[row] as usize, nulls),
        };
        nulls.is_none_or(|nulls| nulls.is_valid(row)).then_some(code)
    }
}

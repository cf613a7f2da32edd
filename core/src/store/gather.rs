//! Events of some profiles, as list columns. Profiles are asked for page by page, and a page is mostly one block: then
//! they are found by walking two ascending lists, and the answer is a slice.

use super::{
    columns::Columns,
    page,
    runs::Runs,
    segment::{Part, Segment},
    span::{Coded, Cut, Span},
    widths::Width,
};
use crate::{Result, identity::Identity};
use arrow::{
    array::{ArrayRef, ListArray, StructArray},
    buffer::{OffsetBuffer, ScalarBuffer},
    datatypes::{DataType, Field, Fields},
};
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// Events of some profiles.
#[derive(Debug)]
pub struct Gathered {
    /// One row a profile; a struct of the fields asked for, ascending by time.
    pub events: ListArray,
    /// For each profile the time at which its first event comes into the span or leaves it, if time passes and nothing
    /// happens; never one that has passed by the end of the span.
    pub next_us: Vec<Option<i64>>,
}

/// Where the events of some profiles lie.
pub(super) struct Search<'a> {
    segments: &'a [Segment],
    identity: &'a Identity,
    known: &'a Columns,
    span: Coded,
    /// Blocks that were looked into.
    parts: Vec<Part<'a>>,
    /// By segment and block, their place among the parts.
    places: BTreeMap<(usize, usize), usize>,
    runs: Runs,
    /// Where the list of each profile ends.
    ends: Vec<i32>,
    next_us: Vec<Option<i64>>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        segments: &'a [Segment],
        identity: &'a Identity,
        known: &'a Columns,
        span: &Span,
    ) -> Self {
        Self {
            segments,
            identity,
            known,
            span: span.coded(known),
            parts: Vec::new(),
            places: BTreeMap::new(),
            runs: Runs::default(),
            ends: vec![0],
            next_us: Vec::new(),
        }
    }

    /// Looks for profiles, ascending.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub(super) fn all(&mut self, profiles: &[u32]) -> Result<()> {
        self.ends.reserve(profiles.len());
        self.next_us.reserve(profiles.len());
        for profiles in profiles.chunk_by(|a, b| page(*a) == page(*b)) {
            let Some(first) = profiles.first() else { continue };
            let here = self.parts_of(page(*first));
            let merged = self.identity.is_merged_into(page_range(page(*first)));
            match here[..] {
                [part] if !merged => self.one(part, profiles)?,
                _ => self.several(&here, profiles)?,
            }
        }
        Ok(())
    }

    /// The blocks that have profiles of a page.
    fn parts_of(&mut self, page: u32) -> Vec<usize> {
        let mut found = Vec::new();
        for (number, segment) in self.segments.iter().enumerate() {
            let Some(block) = segment.block_of(page) else { continue };
            let part = *self.places.entry((number, block)).or_insert_with(|| {
                self.parts.push(segment.part(block));
                self.parts.len() - 1
            });
            found.push(part);
        }
        found
    }

    /// Profiles of a page that one block has all events of.
    fn one(&mut self, number: usize, profiles: &[u32]) -> Result<()> {
        let part = self.parts[number];
        let head = part.block.head()?;
        let places = head.of_page(page(profiles[0]));
        let cut = Cut::of(&part, &self.span)?;
        let all = &head.profiles[places.clone()];
        let start = places.start + all.partition_point(|profile| *profile < profiles[0]);
        let same = start..(start + profiles.len()).min(places.end);
        if cut.is_whole() && head.profiles[same.clone()] == *profiles {
            let offsets = &head.offsets[same.start..=same.end];
            let (start, end) = (offsets[0], offsets[offsets.len() - 1]);
            let before = self.runs.rows() as i32 - start;
            self.ends.extend(offsets[1..].iter().map(|offset| offset + before));
            self.runs.push(number, start as usize..end as usize);
            self.next_us.extend(cut.firsts_leave_us(part.block, same)?);
            return Ok(());
        }
        let mut from = places.start;
        for profile in profiles {
            let mut next_us = None;
            if let Some(rows) = head.seek(*profile, &mut from) {
                cut.clip(rows, &mut next_us, |rows| self.runs.push(number, rows));
            }
            self.ends.push(self.runs.rows() as i32);
            self.next_us.push(next_us);
        }
        Ok(())
    }

    /// Profiles whose events lie in several blocks, also under the numbers that were merged into them.
    fn several(&mut self, here: &[usize], profiles: &[u32]) -> Result<()> {
        let mut from = vec![0; here.len()];
        let mut pieces = Vec::new();
        for profile in profiles {
            pieces.clear();
            let mut next_us = None;
            for (part, from) in here.iter().zip(&mut from) {
                self.look(*part, *profile, from, &mut pieces, &mut next_us)?;
            }
            for number in self.identity.merged_into(*profile) {
                for part in self.parts_of(page(*number)) {
                    self.look(part, *number, &mut 0, &mut pieces, &mut next_us)?;
                }
            }
            match &mut pieces[..] {
                [] => {}
                [(part, rows)] => self.runs.push(*part, rows.clone()),
                several => self.runs.weave(several, &self.parts, self.known)?,
            }
            self.end(next_us);
        }
        Ok(())
    }

    fn look(
        &self,
        number: usize,
        profile: u32,
        from: &mut usize,
        pieces: &mut Vec<(usize, Range<usize>)>,
        next_us: &mut Option<i64>,
    ) -> Result<()> {
        let part = &self.parts[number];
        let Some(rows) = part.block.head()?.seek(profile, from) else { return Ok(()) };
        Cut::of(part, &self.span)?.clip(rows, next_us, |rows| pieces.push((number, rows)));
        Ok(())
    }

    fn end(&mut self, next_us: Option<i64>) {
        self.ends.push(self.runs.rows() as i32);
        self.next_us.push(next_us);
    }

    /// The columns of what was found, as segmentations see them. Where they lie in one block, and are as wide there as
    /// they are asked for, nothing is copied.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub(super) fn columns(&self, fields: &Fields) -> Result<Vec<ArrayRef>> {
        let mut used = vec![false; self.parts.len()];
        self.runs.iter().for_each(|(part, _)| used[part] = true);
        let mut columns = Vec::with_capacity(fields.len());
        for field in fields {
            let (name, kind) = (field.name(), field.data_type());
            let width = match kind {
                DataType::Dictionary(codes, _) => Width::named(codes)?,
                _ => Width::named(kind)?,
            };
            if let (Some((part, rows)), DataType::Dictionary(..)) = (self.runs.single(), kind)
                && let Some(shown) = self.parts[part].shown(name, width, self.known)?
            {
                columns.push(shown.slice(rows.start, rows.len()));
                continue;
            }
            // What nothing is taken from is not read.
            let own = self.parts.iter().zip(&used).map(|(part, used)| match used {
                true => part.column(name),
                false => Ok(None),
            });
            let stored = width.copy(&self.runs, &own.collect::<Result<Vec<_>>>()?)?;
            columns.push(self.known.show(name, stored)?);
        }
        Ok(columns)
    }

    /// What was found, without the store.
    pub(super) fn found(self) -> Found {
        Found { rows: self.runs.rows(), ends: self.ends, next_us: self.next_us }
    }
}

/// How the rows that were found belong to the profiles.
pub(super) struct Found {
    rows: usize,
    ends: Vec<i32>,
    next_us: Vec<Option<i64>>,
}

impl Found {
    /// The answer, with its columns as segmentations see them.
    ///
    /// # Errors
    /// None in practice: columns and ends are of the same rows.
    pub(super) fn answer(self, fields: &Fields, columns: Vec<ArrayRef>) -> Result<Gathered> {
        let events = StructArray::try_new_with_length(fields.clone(), columns, None, self.rows)?;
        let item = Arc::new(Field::new("item", DataType::Struct(fields.clone()), false));
        let ends = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        Ok(Gathered {
            events: ListArray::try_new(item, ends, Arc::new(events), None)?,
            next_us: self.next_us,
        })
    }
}

/// The numbers of a page.
fn page_range(page: u32) -> std::ops::RangeInclusive<u32> {
    let first = page * super::PAGE;
    first..=first + (super::PAGE - 1)
}

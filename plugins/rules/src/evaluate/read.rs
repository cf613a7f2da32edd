//! Events in: where the list of each profile lies, which events matter to calls, and which lie in windows.

use super::{Evaluator, Wanted};
use crate::{aggregate::range, bits::Bits, graph::Leaf};
use arrow::{
    array::{Array, AsArray, ListArray, RecordBatch, StructArray},
    datatypes::TimestampMicrosecondType,
};
use kindred_plugin_api::{
    Fault, Result,
    columns::{EVENT_TIME, profile},
};
use std::ops::Range;

impl Evaluator {
    /// Bits of the events that each call is about.
    pub(super) fn read_events(
        &mut self,
        batch: &RecordBatch,
        wanted: Option<&Wanted>,
        shown: bool,
    ) -> Result<()> {
        let rows = self.read_lists(batch)?;
        let Self { program, events, masks, owned, table, wide, .. } = self;
        let some = wanted.map(|wanted| &wanted.events[..]);
        program.events.run(rows.len(), some, &[], events, table, |id, leaf, out| match leaf {
            Leaf::Column(index) => out.load(rows.column(*index), shown || wide[id]),
            other => unreachable!("{other:?} is not of an event"),
        })?;
        let mut present = Bits::default();
        for (at, (mask, (predicate, column))) in masks.iter_mut().zip(program.masks.iter()).enumerate() {
            if wanted.is_some_and(|wanted| !wanted.masks[at]) {
                continue;
            }
            let holds = &events[*predicate].bools().yes;
            match column.map(|column| &events[column]) {
                None => mask.copy(holds),
                Some(column) => {
                    let present = column.valid().unwrap_or_else(|| {
                        column.copy_valid(&mut present);
                        &present
                    });
                    mask.both(holds, present);
                }
            }
            if let Some(owned) = owned {
                mask.and(owned);
            }
        }
        Ok(())
    }

    /// The events of the batch's rows, from the first to the last, and where each row's begin and end.
    fn read_lists(&mut self, batch: &RecordBatch) -> Result<StructArray> {
        let column = batch.column_by_name(profile::EVENTS).and_then(|column| column.as_list_opt::<i32>());
        let list = column.ok_or_else(|| Fault::permanent("schema", "the batch has no list of events"))?;
        let whole = self.place(list);
        let rows = list.values().as_struct().slice(whole.start, whole.len());
        let times =
            rows.column_by_name(EVENT_TIME).and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
        let times = times.ok_or_else(|| Fault::permanent("schema", "events have no event_time"))?;
        if times.null_count() > 0 || rows.null_count() > 0 {
            return Err(Fault::data("event-null", "an event, or the time of one, is null"));
        }
        self.times = times.values().clone();
        let times = &self.times[..];
        // Events of nobody may have any order.
        let sorted = self.ticks.load(times, &self.starts)
            || self.lists.iter().all(|&list| times[range(list)].is_sorted());
        if !sorted {
            return Err(Fault::data("event-order", "the events of a profile do not ascend by time"));
        }
        Ok(rows)
    }

    /// Notes where the list of each row lies, from the first event of the batch on; answers which values those are.
    fn place(&mut self, list: &ListArray) -> Range<usize> {
        /// Rows of events that are written at once, most lists being shorter; the next list overwrites what is too many.
        const STRIDE: usize = 16;
        let offsets = list.value_offsets();
        let base = offsets.first().copied().unwrap_or(0);
        let end = offsets.last().copied().unwrap_or(0);
        let total = (end - base) as usize;
        let within = |offset: i32| offset.saturating_sub(base).max(0) as u32;
        self.lists.clear();
        match list.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => self.lists.extend(offsets.windows(2).map(|pair| (within(pair[0]), within(pair[1])))),
            Some(nulls) => self.lists.extend(offsets.windows(2).zip(nulls).map(|(pair, valid)| {
                let start = within(pair[0]);
                (start, if valid { within(pair[1]) } else { start })
            })),
        }
        self.starts.fill(total, false);
        if self.rows.len() < total + STRIDE {
            self.rows.resize(total + STRIDE, 0);
        }
        let mut owned = 0;
        for (row, &list) in (0_u32..).zip(&self.lists) {
            let list = range(list);
            owned += list.len();
            match list.len() {
                0 => continue,
                1..=STRIDE => self.rows[list.start..list.start + STRIDE].fill(row),
                _ => self.rows[list.clone()].fill(row),
            }
            self.starts.set(list.start);
        }
        // What lies between is of null rows, and belongs to nobody.
        self.owned = (owned < total).then(|| {
            let mut bits = Bits::default();
            bits.fill(total, false);
            self.lists.iter().for_each(|&list| range(list).for_each(|event| bits.set(event)));
            bits
        });
        base as usize..end as usize
    }

    /// Which events lie in which windows, and what each mask has of them.
    pub(super) fn cut(&mut self, as_of: i64, wanted: Option<&Wanted>) {
        let Self { ticks, times, union: edge, later: ties, .. } = self;
        for (at, (window, inside)) in self.program.windows.iter().zip(&mut self.windows).enumerate() {
            if wanted.is_some_and(|wanted| !wanted.windows[at]) {
                continue;
            }
            let (after, until) = window.bounds(as_of);
            if ticks.all_after(after) && ticks.last() <= until {
                *inside = None;
                continue;
            }
            let bits = inside.get_or_insert_default();
            ticks.after(times, after, bits, ties);
            if ticks.last() > until {
                ticks.after(times, until, edge, ties);
                bits.and_not(edge);
            }
        }
        for (&(mask, window), inside) in self.cuts.iter().zip(&mut self.inside) {
            if wanted.is_some_and(|wanted| !wanted.masks[mask] || !wanted.windows[window]) {
                continue;
            }
            match &self.windows[window] {
                None => *inside = None,
                Some(bits) => {
                    inside.get_or_insert_default().both(&self.masks[mask], bits);
                }
            }
        }
    }
}

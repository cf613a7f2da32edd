//! The pass: events to bits, bits to aggregates, aggregates to members, all rules at once.

use crate::{
    aggregate::{Scratch, Span, View, range},
    ast::CompareOp,
    compile::{Call, Program},
    graph::{Id, Leaf, Node},
    kernel,
    logic::{Bits, Bools},
    vector::Vector,
    window::Window,
};
use arrow::{
    array::{Array, AsArray, RecordBatch, StructArray},
    buffer::ScalarBuffer,
    datatypes::{DataType, TimestampMicrosecondType},
};
use kindred_plugin_api::{
    Evaluated, Fault, Result,
    columns::{EVENT_TIME, profile},
};

const NEVER: i64 = i64::MAX;

/// A program and the room it works in, which is kept from batch to batch.
#[derive(Debug)]
pub(crate) struct Evaluator {
    pub(crate) program: Program,
    roots: Vec<Id>,
    /// Which bits in which windows move with time.
    moving: Vec<(usize, usize)>,
    /// Comparisons of an age with a number.
    ages: Vec<(CompareOp, Id, Id)>,
    pub(crate) events: Vec<Vector>,
    pub(crate) profiles: Vec<Vector>,
    pub(crate) masks: Vec<Bits>,
    /// Per window, per profile.
    pub(crate) spans: Vec<Vec<Span>>,
    pub(crate) times: ScalarBuffer<i64>,
    lists: Vec<Span>,
    table: Vec<bool>,
    scratch: Scratch,
    next: Vec<i64>,
}

impl Evaluator {
    /// Makes room for a program with all its rules.
    pub(crate) fn new(program: Program) -> Self {
        let mut moving: Vec<_> = program.calls.iter().map(|call| (call.mask, call.window)).collect();
        moving.sort_unstable();
        moving.dedup();
        let ages = program.profiles.nodes().filter_map(|node| match node {
            Node::CompareDays(op, age, other) => Some((*op, *age, *other)),
            _ => None,
        });
        Self {
            roots: program.roots.iter().flatten().copied().collect(),
            moving,
            ages: ages.collect(),
            events: program.events.vectors(),
            profiles: program.profiles.vectors(),
            masks: vec![Bits::default(); program.masks.len()],
            spans: vec![Vec::new(); program.windows.len()],
            times: ScalarBuffer::default(),
            lists: Vec::new(),
            table: Vec::new(),
            scratch: Scratch::default(),
            next: Vec::new(),
            program,
        }
    }

    /// Which segments hold for each row, and until when.
    pub(crate) fn evaluate(&mut self, batch: &RecordBatch) -> Result<Evaluated> {
        self.run(batch)?;
        self.find_next_change(batch);
        let mut answer = Evaluated::with_capacity(batch.num_rows());
        let members: Vec<&Bits> = self.roots.iter().map(|root| &self.profiles[*root].bools().yes).collect();
        for (row, &next) in self.next.iter().enumerate() {
            let ordinals =
                (0_u32..).zip(&members).filter(|(_, members)| members.get(row)).map(|(ordinal, _)| ordinal);
            answer.push(ordinals, (next != NEVER).then_some(next));
        }
        Ok(answer)
    }

    /// Computes every node for a batch.
    pub(crate) fn run(&mut self, batch: &RecordBatch) -> Result<()> {
        let as_of = as_of(batch)?;
        if !self.program.calls.is_empty() {
            self.read_events(batch)?;
            self.find_spans(as_of);
        }
        let Self { program, events, profiles, masks, spans, times, table, scratch, .. } = self;
        program.profiles.run(batch.num_rows(), profiles, table, |leaf, out| match leaf {
            Leaf::Column(index) => out.load(batch.column(*index)),
            Leaf::Member(index) => {
                out.load(batch.column(*index))?;
                if let Vector::Bools(bools) = out {
                    bools.settle_total();
                }
                Ok(())
            }
            Leaf::Identifier(index, namespace) => has_identifier(batch.column(*index), namespace, out),
            Leaf::Call(position) => {
                let Call { function, column, mask, window } = &program.calls[*position];
                let column = column.map(|id| &events[id]);
                let view = View { spans: &spans[*window], mask: &masks[*mask], column, times, as_of };
                view.compute(*function, scratch, out);
                Ok(())
            }
        })
    }

    /// Bits of the events that each call is about.
    fn read_events(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = self.read_lists(batch)?;
        let Self { program, events, masks, table, .. } = self;
        program.events.run(rows.len(), events, table, |leaf, out| match leaf {
            Leaf::Column(index) => out.load(rows.column(*index)),
            other => unreachable!("{other:?} is not of an event"),
        })?;
        let mut present = Bits::default();
        for (mask, (predicate, column)) in masks.iter_mut().zip(program.masks.iter()) {
            mask.copy(&events[*predicate].bools().yes);
            if let Some(column) = column {
                events[*column].copy_valid(&mut present);
                mask.and(&present);
            }
        }
        Ok(())
    }

    /// The events of the batch's rows, from the first to the last, and where each row's begin and end.
    fn read_lists(&mut self, batch: &RecordBatch) -> Result<StructArray> {
        let column = batch.column_by_name(profile::EVENTS).and_then(|column| column.as_list_opt::<i32>());
        let list = column.ok_or_else(|| Fault::permanent("schema", "the batch has no list of events"))?;
        let offsets = list.value_offsets();
        let base = offsets.first().copied().unwrap_or(0);
        let end = offsets.last().copied().unwrap_or(0);
        let within = |offset: i32| offset.saturating_sub(base).max(0) as u32;
        self.lists.clear();
        self.lists.extend((0..list.len()).map(|row| {
            let start = within(offsets[row]);
            (start, if list.is_null(row) { start } else { within(offsets[row + 1]) })
        }));
        let rows = list.values().as_struct().slice(base as usize, (end - base) as usize);
        let times =
            rows.column_by_name(EVENT_TIME).and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
        let times = times.ok_or_else(|| Fault::permanent("schema", "events have no event_time"))?;
        if times.null_count() > 0 || rows.null_count() > 0 {
            return Err(Fault::data("event-null", "an event, or the time of one, is null"));
        }
        self.times = times.values().clone();
        let sorted = self.lists.iter().all(|&span| self.times[range(span)].is_sorted());
        if !sorted {
            return Err(Fault::data("event-order", "the events of a profile do not ascend by time"));
        }
        Ok(rows)
    }

    fn find_spans(&mut self, as_of: i64) {
        for (window, spans) in self.program.windows.iter().zip(&mut self.spans) {
            spans.clear();
            spans.extend(self.lists.iter().map(|&list| {
                let inside = window.span(&self.times[range(list)], as_of);
                (list.0 + inside.start as u32, list.0 + inside.end as u32)
            }));
        }
    }

    /// The first moment at which an event that matters leaves or enters a window, or an age passes its number.
    fn find_next_change(&mut self, batch: &RecordBatch) {
        let Self { program, next, masks, spans, lists, times, profiles, ages, .. } = self;
        next.clear();
        next.resize(batch.num_rows(), NEVER);
        for &(mask, window) in &self.moving {
            let Window { older_us, newer_us } = program.windows[window];
            let mask = &masks[mask];
            for ((next, &(start, end)), &(_, last)) in next.iter_mut().zip(&spans[window]).zip(lists.iter()) {
                // What is beyond the window enters it.
                if end < last
                    && let Some(event) = mask.first(range((end, last)))
                {
                    *next = (*next).min(times[event].saturating_add(newer_us));
                }
                if let Some(older_us) = older_us
                    && let Some(event) = mask.first(range((start, end)))
                {
                    *next = (*next).min(times[event].saturating_add(older_us));
                }
            }
        }
        let as_of = as_of(batch).unwrap_or(NEVER);
        for (op, age, other) in ages {
            for (row, next) in next.iter_mut().enumerate() {
                if let Some(later) = kernel::days_change_us(*op, &profiles[*age], &profiles[*other], row) {
                    *next = (*next).min(as_of.saturating_add(later));
                }
            }
        }
    }
}

/// The moment asked about, the same in all rows; any for a batch with none.
fn as_of(batch: &RecordBatch) -> Result<i64> {
    let column =
        batch.column_by_name(profile::AS_OF).and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let column = column.ok_or_else(|| Fault::permanent("schema", "the batch has no as_of"))?;
    Ok(column.values().first().copied().unwrap_or(0))
}

fn has_identifier(column: &dyn Array, namespace: &str, out: &mut Vector) -> Result<()> {
    let wrong = || Fault::permanent("schema", "the identifiers are not a list of namespaces and values");
    let list = column.as_list_opt::<i32>().ok_or_else(wrong)?;
    let pairs = list.values().as_struct_opt().ok_or_else(wrong)?;
    let spaces = pairs.columns().first().filter(|c| *c.data_type() == DataType::Utf8).ok_or_else(wrong)?;
    let (spaces, offsets) = (spaces.as_string::<i32>(), list.value_offsets());
    let Vector::Bools(Bools { yes, no }) = out else { unreachable!("having an identifier is a condition") };
    let mut has = |row: usize| {
        let mut own = offsets[row] as usize..offsets[row + 1] as usize;
        list.is_valid(row) && own.any(|pair| spaces.is_valid(pair) && spaces.value(pair) == namespace)
    };
    yes.pack(list.len(), &mut has);
    no.copy(yes);
    no.invert();
    Ok(())
}

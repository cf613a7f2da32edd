//! The pass: events to bits, bits to aggregates, aggregates to members, all rules at once.

use crate::{
    aggregate::{Scratch, Span, View, range},
    ast::{CompareOp, Function, Literal},
    audience::Known,
    bits::Bits,
    compile::{Call, Program, Steps},
    graph::{Id, Leaf, Node},
    identifiers::Identifiers,
    sequence::Finder,
    vector::Vector,
};
use arrow::{
    array::{AsArray, RecordBatch},
    buffer::ScalarBuffer,
    datatypes::TimestampMicrosecondType,
};
use kindred_plugin_api::{Evaluated, Fault, Result, columns::profile};
use std::sync::Arc;

mod late;
mod read;
mod shift;
mod ticks;
mod wanted;

use late::Late;
use ticks::Ticks;
use wanted::Wanted;

const NEVER: i64 = Evaluated::NEVER;

/// A program and the room it works in, which is kept from batch to batch.
#[derive(Debug)]
pub(crate) struct Evaluator {
    pub(crate) program: Program,
    roots: Vec<Id>,
    /// The masks that calls ask about, with the window of each.
    cuts: Vec<(usize, usize)>,
    /// Per call, its place in `cuts`.
    cut_of: Vec<usize>,
    /// Per window, the masks that it cuts.
    cut_by: Vec<Vec<usize>>,
    /// Comparisons of an age with a number.
    ages: Vec<(CompareOp, Id, Id)>,
    /// Per node over events, whether whole numbers are looked at in 64 bits whatever bits they come in.
    wide: Vec<bool>,
    pub(crate) events: Vec<Vector>,
    pub(crate) profiles: Vec<Vector>,
    masks: Vec<Bits>,
    /// Per window, the events inside; none when all are.
    windows: Vec<Option<Bits>>,
    /// Per cut, the events of its mask inside of its window; none when that is the whole mask.
    inside: Vec<Option<Bits>>,
    pub(crate) times: ScalarBuffer<i64>,
    /// Per profile, its events.
    lists: Vec<Span>,
    /// The first event of each list that has one.
    starts: Bits,
    /// Per event, the row of its profile; any for events of nobody.
    rows: Vec<u32>,
    /// The events of rows that are not null, where others lie between them.
    owned: Option<Bits>,
    ticks: Ticks,
    as_of: i64,
    union: Bits,
    later: Bits,
    firsts: Bits,
    table: Vec<bool>,
    scratch: Scratch,
    finder: Finder,
    /// The program's figures, if everybody was seen.
    pub(crate) known: Vec<Known>,
    /// What the figures are computed from.
    census: Arc<Wanted>,
    late: Late,
    /// All but what is late.
    early: Arc<Wanted>,
    next: Vec<i64>,
}

impl Evaluator {
    /// Makes room for a program with all its rules.
    pub(crate) fn new(program: Program) -> Self {
        let steps = program.sequences.iter().flat_map(|s| s.masks.iter().map(|&mask| (mask, s.window)));
        let calls = program.calls.iter().map(|call| (call.mask, call.window));
        let mut cuts: Vec<_> = calls.chain(steps).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let place = |call: &Call| cuts.partition_point(|cut| *cut < (call.mask, call.window));
        let mut cut_by = vec![Vec::new(); program.windows.len()];
        cuts.iter().for_each(|&(mask, window)| cut_by[window].push(mask));
        let ages = program.profiles.nodes().filter_map(|node| match node {
            Node::CompareDays(op, age, other) => Some((*op, *age, *other)),
            _ => None,
        });
        let late = Late::of(&program);
        Self {
            roots: program.roots.iter().flatten().copied().collect(),
            cut_of: program.calls.iter().map(place).collect(),
            cut_by,
            ages: ages.collect(),
            wide: wide(&program),
            events: program.events.vectors(),
            profiles: program.profiles.vectors(),
            masks: vec![Bits::default(); program.masks.len()],
            windows: vec![None; program.windows.len()],
            inside: vec![None; cuts.len()],
            times: ScalarBuffer::default(),
            lists: Vec::new(),
            starts: Bits::default(),
            rows: Vec::new(),
            owned: None,
            ticks: Ticks::default(),
            as_of: 0,
            union: Bits::default(),
            later: Bits::default(),
            firsts: Bits::default(),
            table: Vec::new(),
            scratch: Scratch::default(),
            finder: Finder::default(),
            known: Vec::new(),
            census: Arc::new(Wanted::by(&program, program.figures.iter().map(|figure| figure.value()))),
            early: Arc::new(Wanted::but(&program, &late)),
            late,
            next: Vec::new(),
            cuts,
            program,
        }
    }

    /// Which segments hold for each row, and until when.
    pub(crate) fn evaluate(&mut self, batch: &RecordBatch) -> Result<Evaluated> {
        self.compute(batch, None, false)?;
        self.find_next_change(batch, |_, _| true);
        let (ends, ordinals) = self.members(batch.num_rows(), |_| true);
        Evaluated::from_parts(ends, ordinals, std::mem::take(&mut self.next))
    }

    /// By profile, from bits by segment: how many each has, where its own begin, and then their ordinals. Of the rules that
    /// are late, or are not, as `wanted` says.
    fn members(&self, rows: usize, wanted: impl Fn(bool) -> bool) -> (Vec<i32>, Vec<u32>) {
        let mut ends = vec![0_i32; rows];
        let roots = (0_u32..).zip(&self.roots).filter(|(_, root)| wanted(self.late.has(**root)));
        let members: Vec<(u32, &Bits)> =
            roots.map(|(ordinal, root)| (ordinal, &self.profiles[*root].bools().yes)).collect();
        members.iter().for_each(|(_, members)| members.each(|row| ends[row] += 1));
        let mut start = 0;
        for end in &mut ends {
            start += std::mem::replace(end, start);
        }
        let mut ordinals = vec![0_u32; start as usize];
        for (ordinal, members) in members {
            members.each(|row| {
                ordinals[ends[row] as usize] = ordinal;
                ends[row] += 1;
            });
        }
        (ends, ordinals)
    }

    /// The events that a call is about: its mask inside of its window.
    pub(crate) fn inside(&self, mask: usize, window: usize) -> &Bits {
        let at = self.cuts.partition_point(|cut| *cut < (mask, window));
        self.inside[at].as_ref().unwrap_or(&self.masks[mask])
    }

    /// The events of a sequence in the one profile that was run; none if there is no such sequence.
    pub(crate) fn found(&self, sequence: usize) -> Option<Vec<usize>> {
        let Steps { masks, window, within_us } = self.program.sequences[sequence].clone();
        let steps: Vec<&Bits> = masks.iter().map(|&mask| self.inside(mask, window)).collect();
        let list = range(self.lists.first().copied()?);
        let mut finder = Finder::default();
        finder.begin(&steps);
        finder.find(&steps, &self.times, list, within_us).map(<[usize]>::to_vec)
    }

    /// Computes every node for a batch, so that all of them can be shown.
    pub(crate) fn run(&mut self, batch: &RecordBatch) -> Result<()> {
        self.compute(batch, None, true)
    }

    /// Computes the values that the figures are about, and what they need.
    pub(crate) fn run_census(&mut self, batch: &RecordBatch) -> Result<()> {
        let wanted = self.census.clone();
        self.compute(batch, Some(&wanted), false)
    }

    fn compute(&mut self, batch: &RecordBatch, wanted: Option<&Wanted>, shown: bool) -> Result<()> {
        let as_of = as_of(batch)?;
        self.as_of = as_of;
        if !self.cuts.is_empty() {
            self.read_events(batch, wanted, shown)?;
            self.cut(as_of, wanted);
        }
        let Self {
            program,
            known,
            events,
            profiles,
            masks,
            cuts,
            inside,
            cut_of,
            lists,
            rows,
            starts,
            times,
            table,
            scratch,
            finder,
            ..
        } = self;
        let some = wanted.map(|wanted| &wanted.profiles[..]);
        program.profiles.run(batch.num_rows(), some, known, profiles, table, |_, leaf, out| match leaf {
            Leaf::Column(index) => out.load(batch.column(*index), true),
            Leaf::Member(index) => {
                out.load(batch.column(*index), true)?;
                if let Vector::Bools(bools) = out {
                    bools.settle_total();
                }
                Ok(())
            }
            Leaf::Identifier(index, namespace) => {
                Identifiers::of(batch.column(*index))?.have(namespace, out);
                Ok(())
            }
            Leaf::Sequence(position) => {
                let Steps { masks: steps, window, within_us } = &program.sequences[*position];
                let bits = |mask: &usize| {
                    let at = cuts.partition_point(|cut| *cut < (*mask, *window));
                    inside[at].as_ref().unwrap_or(&masks[*mask])
                };
                let steps: Vec<&Bits> = steps.iter().map(bits).collect();
                let Vector::Bools(out) = out else { unreachable!("a sequence is there or not") };
                out.yes.fill(lists.len(), false);
                finder.begin(&steps);
                let mut looked_at = None;
                // Where nothing is the last step there is no sequence.
                let last = steps.last().into_iter();
                last.for_each(|last| {
                    last.each(|event| {
                        let row = rows[event] as usize;
                        if looked_at.replace(row) != Some(row)
                            && finder.find(&steps, times, range(lists[row]), *within_us).is_some()
                        {
                            out.yes.set(row);
                        }
                    })
                });
                out.settle_total();
                Ok(())
            }
            Leaf::Total(figure) => {
                Known::sum(known.get(*figure), batch.num_rows(), out);
                Ok(())
            }
            Leaf::Call(position) => {
                let Call { function, column, zone, mask, .. } = &program.calls[*position];
                let column = column.map(|id| &events[id]);
                let mask = inside[cut_of[*position]].as_ref().unwrap_or(&masks[*mask]);
                let view = View { lists, rows, starts, mask, column, zone: zone.as_ref(), times, as_of };
                view.compute(*function, scratch, out);
                Ok(())
            }
        })
    }
}

/// Per node over events, whether something looks at its values as they are: comparisons with whole numbers and sums take
/// them in as few bits as they come in.
fn wide(program: &Program) -> Vec<bool> {
    let mut wide = vec![false; program.events.nodes().count()];
    for node in program.events.nodes() {
        if !matches!(node, Node::CompareLiteral(_, _, Literal::Int(_) | Literal::Time(_)) | Node::Is(..)) {
            node.operands().for_each(|id| wide[id] = true);
        }
    }
    let others = program.calls.iter().filter(|call| call.function != Function::Sum);
    others.filter_map(|call| call.column).for_each(|column| wide[column] = true);
    wide
}

/// The moment asked about, the same in all rows; any for a batch with none.
fn as_of(batch: &RecordBatch) -> Result<i64> {
    let column =
        batch.column_by_name(profile::AS_OF).and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let column = column.ok_or_else(|| Fault::permanent("schema", "the batch has no as_of"))?;
    Ok(column.values().first().copied().unwrap_or(0))
}

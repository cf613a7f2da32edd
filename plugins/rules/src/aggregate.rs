//! Aggregate calls: one value per profile, from the bits of the events that matter.
//!
//! Most calls match few events, so the bits are walked and each event's value goes to its profile's row; where bits are
//! many, a profile's events are looked at together.

use crate::{
    ast::Function,
    bits::Bits,
    calendar::{DAY_US, Zone},
    kernel::compare_floats,
    vector::{Narrow, Numbers, Vector, narrow},
};
use arrow::datatypes::ArrowNativeType;
use std::{cmp::Ordering, ops::Range};

/// Positions of events, of one profile.
pub(crate) type Span = (u32, u32);

/// What a call sees of a batch.
pub(crate) struct View<'a> {
    /// Per profile, its events.
    pub(crate) lists: &'a [Span],
    /// Per event, the row of its profile.
    pub(crate) rows: &'a [u32],
    /// The first event of each list that has one.
    pub(crate) starts: &'a Bits,
    /// The events that matter and lie in the window.
    pub(crate) mask: &'a Bits,
    pub(crate) column: Option<&'a Vector>,
    /// Whose calendar counts days.
    pub(crate) zone: Option<&'a Zone>,
    pub(crate) times: &'a [i64],
    pub(crate) as_of: i64,
}

/// Room that calls use one after the other.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    picks: Vec<u32>,
    distinct: Vec<u64>,
    some: Bits,
    firsts: Bits,
}

/// No event.
const NONE: u32 = u32::MAX;
/// So many different texts are looked for one after the other, 64 events at a time.
const FEW: usize = 4;

impl View<'_> {
    /// Computes a call for every profile.
    pub(crate) fn compute(&self, function: Function, scratch: &mut Scratch, out: &mut Vector) {
        match (function, self.column, out) {
            (Function::Count | Function::Did, _, Vector::Ints(out)) => self.count(&mut scratch.picks, out),
            (Function::CountDistinctDays, _, Vector::Ints(out)) => self.count_days(out),
            (Function::DaysSince, _, Vector::Ints(out)) => self.age(out),
            (Function::Sum, Some(Vector::Ints(column)), Vector::Ints(out)) => match &column.narrow {
                Some(narrow) => {
                    narrow!(narrow, values => self.sum_ints(|event| i64::from(values[event]), out))
                }
                None => self.sum_ints(|event| column.values[event], out),
            },
            (Function::Sum, Some(Vector::Floats(column)), Vector::Floats(out)) => self.each(out, |events| {
                let (sum, count) = self.sum_floats(column, events);
                (count > 0 && !sum.is_nan()).then_some(sum)
            }),
            (Function::Avg, Some(Vector::Ints(column)), Vector::Floats(out)) => self.each(out, |events| {
                let (sum, count) = self.wide_sum(&|event| column.values[event], events);
                (count > 0).then(|| sum as f64 / count as f64)
            }),
            (Function::Avg, Some(Vector::Floats(column)), Vector::Floats(out)) => self.each(out, |events| {
                let (sum, count) = self.sum_floats(column, events);
                (count > 0 && !sum.is_nan()).then(|| sum / count as f64)
            }),
            (Function::CountDistinct, Some(column), Vector::Ints(out)) => {
                self.count_distinct(column, scratch, out);
            }
            (_, Some(column), out) => {
                let picks = &mut scratch.picks;
                match function {
                    Function::First => self.pick(picks, |_, _| false),
                    Function::Last => self.pick(picks, |_, _| true),
                    Function::Min => {
                        self.pick(picks, |event, best| order(column, event, best) == Ordering::Less)
                    }
                    _ => self.pick(picks, |event, best| order(column, event, best) == Ordering::Greater),
                }
                out.gather(column, picks);
            }
            _ => unreachable!("{function:?} is compiled with its column"),
        }
    }

    fn count(&self, room: &mut Vec<u32>, out: &mut Numbers<i64>) {
        let rows = self.lists.len();
        let values = out.values.clear();
        // Walking an event costs about as much as looking a list up.
        if self.mask.total() < rows / 2 {
            values.resize(rows, 0);
            self.each_of_row(|_, row, before: i64| {
                values[row] = before + 1;
                before + 1
            });
        } else {
            self.mask.counts(self.lists, room, values);
        }
        out.valid.fill(rows, true);
    }

    /// Of the last event; those of a profile ascend.
    fn age(&self, out: &mut Numbers<i64>) {
        let rows = self.lists.len();
        let values = out.values.clear();
        values.resize(rows, 0);
        out.valid.fill(rows, false);
        self.mask.each(|event| {
            let row = self.rows[event] as usize;
            values[row] = self.as_of.saturating_sub(self.times[event]);
            out.valid.set(row);
        });
    }

    /// The events of a profile ascend, so that a day is new where it is not that of the event before.
    fn count_days(&self, out: &mut Numbers<i64>) {
        let rows = self.lists.len();
        let values = out.values.clear();
        values.resize(rows, 0);
        out.valid.fill(rows, true);
        let Some(zone) = self.zone else { return };
        if zone.is_utc() {
            return self.each_of_row(|event, row, (last, days): (i64, i64)| {
                let day = self.times[event].div_euclid(DAY_US);
                // The first event of a profile has no day before it.
                let days = days + i64::from(days == 0 || day != last);
                values[row] = days;
                (day, days)
            });
        }
        let mut day = 0..0;
        let mut last = NONE;
        self.mask.each(|event| {
            let (row, time) = (self.rows[event], self.times[event]);
            let known = day.contains(&time);
            if known && last == row {
                return;
            }
            if !known {
                // Beyond the calendar there are no days.
                let Some((_, start, end)) = zone.day(time) else { return };
                day = start..end;
            }
            last = row;
            values[row as usize] += 1;
        });
    }

    fn sum_ints(&self, value: impl Fn(usize) -> i64, out: &mut Numbers<i64>) {
        let rows = self.lists.len();
        let values = out.values.clear();
        values.resize(rows, 0);
        out.valid.fill(rows, false);
        let mut fits = true;
        self.mask.each(|event| {
            let row = self.rows[event] as usize;
            let (sum, over) = values[row].overflowing_add(value(event));
            values[row] = sum;
            fits &= !over;
            out.valid.set(row);
        });
        if !fits {
            self.each(out, |events| {
                let (sum, count) = self.wide_sum(&value, events);
                if count > 0 { i64::try_from(sum).ok() } else { None }
            });
        }
    }

    /// Shows each event that matters with its row, and what `see` answered for the one before it in that row, at first the
    /// default. That is kept here, because reading back what was just written costs more than all the rest; and it is
    /// chosen without a branch, because whether the next event is of the same row cannot be foreseen.
    #[inline(always)]
    fn each_of_row<S: Copy + Default>(&self, mut see: impl FnMut(usize, usize, S) -> S) {
        let (mut last, mut state) = (NONE, S::default());
        self.mask.each(
            #[inline(always)]
            |event| {
                let row = self.rows[event];
                let before = std::hint::select_unpredictable(row == last, state, S::default());
                state = see(event, row as usize, before);
                last = row;
            },
        );
    }

    fn each<T: ArrowNativeType>(
        &self,
        out: &mut Numbers<T>,
        mut value: impl FnMut(Range<usize>) -> Option<T>,
    ) {
        out.fill_with(self.lists.len(), |row| value(range(self.lists[row])));
    }

    /// Wide enough for any number of integers.
    fn wide_sum(&self, value: &impl Fn(usize) -> i64, events: Range<usize>) -> (i128, usize) {
        let add = |(sum, count), event: usize| (sum + i128::from(value(event)), count + 1);
        self.mask.ones(events).fold((0, 0), add)
    }

    /// Neumaier's sum: what each addition loses is added at the end, so that the order hardly matters.
    fn sum_floats(&self, column: &Numbers<f64>, events: Range<usize>) -> (f64, usize) {
        let (mut sum, mut lost, mut count) = (0.0_f64, 0.0_f64, 0);
        for event in self.mask.ones(events) {
            let value = column.values[event];
            let next = sum + value;
            lost += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
            (sum, count) = (next, count + 1);
        }
        // Beyond the greatest number there is nothing left to correct.
        (if sum.is_finite() { sum + lost } else { sum }, count)
    }

    /// Per profile the event whose value is the answer: each later one that is `better` takes the place.
    fn pick(&self, picks: &mut Vec<u32>, better: impl Fn(usize, usize) -> bool) {
        picks.clear();
        picks.resize(self.lists.len(), NONE);
        self.mask.each(|event| {
            let best = &mut picks[self.rows[event] as usize];
            if *best == NONE || better(event, *best as usize) {
                *best = event as u32;
            }
        });
    }

    fn count_distinct(&self, column: &Vector, scratch: &mut Scratch, out: &mut Numbers<i64>) {
        let room = &mut scratch.distinct;
        match column {
            Vector::Ints(numbers) => {
                if !self.count_distinct_near(&numbers.values, room, out) {
                    self.count_distinct_any(|event| numbers.values[event] as u64, room, out);
                }
            }
            // Adding zero makes one of the two zeros.
            Vector::Floats(numbers) => {
                self.count_distinct_any(|event| (numbers.values[event] + 0.0).to_bits(), room, out);
            }
            Vector::Bools(bools) => {
                self.count_distinct_any(|event| u64::from(bools.yes.get(event)), room, out);
            }
            Vector::Texts(texts) => match texts.bytes() {
                Some((bytes, same)) if is_few(&same) => self.count_few(bytes, &same, scratch, out),
                Some((bytes, same)) if same.iter().all(|code| *code < 64) => {
                    let mut bits = [0; 256];
                    bits.iter_mut().zip(same).for_each(|(bit, code)| *bit = 1 << code);
                    self.count_bits(|event| bits[usize::from(bytes[event])], room, out);
                }
                _ => {
                    let (codes, count) = texts.codes();
                    if count <= 64 {
                        self.count_bits(|event| 1 << codes[event], room, out);
                    } else {
                        self.count_distinct_any(|event| u64::from(codes[event]), room, out);
                    }
                }
            },
        }
    }

    /// How many of few texts the events of each profile have: of each text, whether there is a first event.
    fn count_few(
        &self,
        bytes: &[u8],
        same: &[u8],
        Scratch { some, firsts, .. }: &mut Scratch,
        out: &mut Numbers<i64>,
    ) {
        let rows = self.lists.len();
        let values = out.values.clear();
        values.resize(rows, 0);
        out.valid.fill(rows, true);
        for code in 0..same.len() as u8 {
            some.pack_each(bytes, |byte| byte == code);
            some.and(self.mask);
            firsts.firsts(some, self.starts);
            firsts.each(|event| values[self.rows[event] as usize] += 1);
        }
    }

    /// How many different bits the events of each profile have.
    fn count_bits(&self, bit: impl Fn(usize) -> u64, bits: &mut Vec<u64>, out: &mut Numbers<i64>) {
        bits.clear();
        bits.resize(self.lists.len(), 0);
        self.each_of_row(|event, row, before: u64| {
            let seen = before | bit(event);
            bits[row] = seen;
            seen
        });
        out.values.clear().extend(bits.iter().map(|seen| i64::from(seen.count_ones())));
        out.valid.fill(bits.len(), true);
    }

    /// A bit for each value where they lie within 64 of each other, as days of a window and codes of short
    /// dictionaries do; false when they do not.
    fn count_distinct_near(&self, values: &[i64], bits: &mut Vec<u64>, out: &mut Numbers<i64>) -> bool {
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        self.mask.each(|event| {
            least = least.min(values[event]);
            most = most.max(values[event]);
        });
        if least <= most && most.checked_sub(least).is_none_or(|width| width >= 64) {
            return false;
        }
        self.count_bits(|event| 1 << (values[event] - least), bits, out);
        true
    }

    fn count_distinct_any(&self, value: impl Fn(usize) -> u64, room: &mut Vec<u64>, out: &mut Numbers<i64>) {
        self.each(out, |events| {
            room.clear();
            room.extend(self.mask.ones(events).map(&value));
            room.sort_unstable();
            room.dedup();
            Some(room.len() as i64)
        });
    }
}

/// As positions.
pub(crate) fn range((start, end): Span) -> Range<usize> {
    start as usize..end as usize
}

/// Whether there are few texts, and each has one code.
fn is_few(same: &[u8]) -> bool {
    same.len() <= FEW && (0..).zip(same).all(|(code, same): (u8, _)| code == *same)
}

fn order(column: &Vector, a: usize, b: usize) -> Ordering {
    match column {
        Vector::Ints(numbers) => numbers.values[a].cmp(&numbers.values[b]),
        Vector::Floats(numbers) => compare_floats(numbers.values[a], numbers.values[b]),
        Vector::Texts(texts) => texts.get(a).cmp(&texts.get(b)),
        Vector::Bools(bools) => bools.get(a).cmp(&bools.get(b)),
    }
}

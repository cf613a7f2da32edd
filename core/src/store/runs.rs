//! Which rows of which segments make an answer, in its order. Rows that lie side by side are one run, so that most
//! answers are a slice of one segment and the others are copied in blocks.

use super::columns::{Columns, Dictionary};
use crate::Result;
use arrow::{
    array::{Array, ArrayData, ArrayRef, AsArray, MutableArrayData, make_array},
    datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType, UInt32Type},
};
use std::{cmp::Ordering, collections::BTreeSet, ops::Range};

/// Rows of some parts.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// Part, first row, row behind the last.
    runs: Vec<(u32, u32, u32)>,
    rows: usize,
}

impl Runs {
    /// How many rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Rows that follow each other in a part.
    pub(super) fn push(&mut self, part: usize, rows: Range<usize>) {
        if rows.is_empty() {
            return;
        }
        self.rows += rows.len();
        let (part, start, end) = (part as u32, rows.start as u32, rows.end as u32);
        match self.runs.last_mut() {
            Some(last) if last.0 == part && last.2 == start => last.2 = end,
            _ => self.runs.push((part, start, end)),
        }
    }

    /// The events of one profile from several parts, by time, and by content where times are equal: the order in
    /// which they arrived plays no part.
    pub(super) fn weave(
        &mut self,
        pieces: &[(usize, Range<usize>)],
        times: &[&[i64]],
        content: &Content<'_>,
    ) {
        let mut rows: Vec<(usize, usize)> =
            pieces.iter().flat_map(|(part, range)| range.clone().map(|row| (*part, row))).collect();
        rows.sort_by(|a, b| times[a.0][a.1].cmp(&times[b.0][b.1]).then_with(|| content.compare(*a, *b)));
        for (part, row) in rows {
            self.push(part, row..row + 1);
        }
    }

    /// The one part that all rows lie side by side in.
    pub(super) fn single(&self) -> Option<(usize, Range<usize>)> {
        match self.runs[..] {
            [(part, start, end)] => Some((part as usize, start as usize..end as usize)),
            _ => None,
        }
    }

    /// One column of the rows; `parts` has it for each part, all of one type.
    ///
    /// # Errors
    /// When the texts or lists in it grow beyond what Arrow counts.
    pub(super) fn copy(&self, parts: &[ArrayRef]) -> Result<ArrayRef> {
        let data: Vec<ArrayData> = parts.iter().map(|part| part.to_data()).collect();
        let mut out = MutableArrayData::new(data.iter().collect(), false, self.rows);
        for (part, start, end) in &self.runs {
            out.try_extend(*part as usize, *start as usize, *end as usize)?;
        }
        Ok(make_array(out.freeze()))
    }
}

/// What events hold, to order those of one profile and one moment. Text is compared as text, because its codes depend on
/// the order of arrival.
#[derive(Debug)]
pub(super) struct Content<'a> {
    /// By name of the column: for each part its values, none where the part is older than the column.
    columns: Vec<(Vec<Option<&'a ArrayRef>>, Option<&'a Dictionary>)>,
}

impl<'a> Content<'a> {
    /// Of parts that each know their columns by name.
    pub(super) fn new(
        parts: &[&'a std::collections::BTreeMap<String, ArrayRef>],
        columns: &'a Columns,
    ) -> Self {
        let names: BTreeSet<&String> = parts.iter().flat_map(|part| part.keys()).collect();
        let column =
            |name: &&String| (parts.iter().map(|part| part.get(*name)).collect(), columns.dictionary(name));
        Self { columns: names.iter().map(column).collect() }
    }

    /// The order of two rows, each of a part.
    pub(super) fn compare(&self, a: (usize, usize), b: (usize, usize)) -> Ordering {
        let unequal = self.columns.iter().map(|(parts, dictionary)| {
            let valid = |(part, row): (usize, usize)| parts[part].filter(|values| values.is_valid(row));
            match (valid(a), valid(b)) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => Ordering::Less,
                (Some(_), None) => Ordering::Greater,
                (Some(left), Some(right)) => compare((left, a.1), (right, b.1), *dictionary),
            }
        });
        unequal.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

fn compare(
    (left, a): (&ArrayRef, usize),
    (right, b): (&ArrayRef, usize),
    dictionary: Option<&Dictionary>,
) -> Ordering {
    match left.data_type() {
        DataType::UInt32 => {
            let (a, b) =
                (left.as_primitive::<UInt32Type>().value(a), right.as_primitive::<UInt32Type>().value(b));
            let text = |code| dictionary.and_then(|d| d.text(code));
            if a == b { Ordering::Equal } else { text(a).cmp(&text(b)) }
        }
        DataType::Int64 => {
            left.as_primitive::<Int64Type>().value(a).cmp(&right.as_primitive::<Int64Type>().value(b))
        }
        DataType::Float64 => left
            .as_primitive::<Float64Type>()
            .value(a)
            .total_cmp(&right.as_primitive::<Float64Type>().value(b)),
        DataType::Boolean => left.as_boolean().value(a).cmp(&right.as_boolean().value(b)),
        _ => {
            let time = |values: &ArrayRef, row| {
                values.as_primitive_opt::<TimestampMicrosecondType>().map(|times| times.value(row))
            };
            time(left, a).cmp(&time(right, b))
        }
    }
}

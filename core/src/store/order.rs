//! The order of events of one profile: by time, and by what they hold where times are equal, so that the order in which
//! they arrived plays no part. Text is compared as text, because its codes depend on the order of arrival.

use super::{
    columns::{ColumnType, Columns, Dictionary},
    segment::Part,
    widths::whole,
};
use crate::Result;
use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{Float64Type, TimestampMicrosecondType},
};
use std::{cmp::Ordering, collections::BTreeMap};

/// What the rows of one list of columns hold.
pub(super) struct Content<'a> {
    /// By name.
    columns: Vec<(&'a ArrayRef, Kind<'a>)>,
}

/// How a column's values are compared.
#[derive(Clone, Copy)]
struct Kind<'a> {
    kind: ColumnType,
    texts: Option<&'a Dictionary>,
}

impl<'a> Kind<'a> {
    fn of(name: &str, kind: ColumnType, known: &'a Columns) -> Self {
        Self { kind, texts: known.dictionary(name) }
    }
}

impl<'a> Content<'a> {
    pub(super) fn new(columns: &'a BTreeMap<String, ArrayRef>, known: &'a Columns) -> Self {
        let kind = |name: &String| known.types().get(name).map(|kind| Kind::of(name, *kind, known));
        Self { columns: columns.iter().filter_map(|(name, values)| Some((values, kind(name)?))).collect() }
    }

    /// The order of two rows.
    pub(super) fn compare(&self, a: usize, b: usize) -> Ordering {
        let orders =
            self.columns.iter().map(|(values, kind)| compare((Some(values), a), (Some(values), b), *kind));
        first_unequal(orders)
    }
}

/// The order of two rows, each of a part; columns are read as far as they are needed.
///
/// # Errors
/// When a column cannot be read.
pub(super) fn between(a: (&Part<'_>, usize), b: (&Part<'_>, usize), known: &Columns) -> Result<Ordering> {
    for (name, kind) in known.types() {
        let (left, right) = (a.0.column(name)?, b.0.column(name)?);
        let order = compare((left, a.1), (right, b.1), Kind::of(name, *kind, known));
        if order.is_ne() {
            return Ok(order);
        }
    }
    Ok(Ordering::Equal)
}

fn first_unequal(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Nothing comes before something.
fn compare(
    (left, a): (Option<&ArrayRef>, usize),
    (right, b): (Option<&ArrayRef>, usize),
    Kind { kind, texts }: Kind<'_>,
) -> Ordering {
    let valid = |values: Option<&ArrayRef>, row| values.is_some_and(|values: &ArrayRef| values.is_valid(row));
    let (Some(left), Some(right)) = (left.filter(|_| valid(left, a)), right.filter(|_| valid(right, b)))
    else {
        return valid(left, a).cmp(&valid(right, b));
    };
    match kind {
        ColumnType::Text => {
            let text = |code: i64| texts.and_then(|texts| texts.text(u32::try_from(code).ok()?));
            match (whole(left, a), whole(right, b)) {
                (one, other) if one == other => Ordering::Equal,
                (one, other) => one.and_then(text).cmp(&other.and_then(text)),
            }
        }
        ColumnType::Integer => whole(left, a).cmp(&whole(right, b)),
        ColumnType::Decimal => {
            let decimal = |values: &ArrayRef, row| values.as_primitive::<Float64Type>().value(row);
            decimal(left, a).total_cmp(&decimal(right, b))
        }
        ColumnType::Boolean => left.as_boolean().value(a).cmp(&right.as_boolean().value(b)),
        ColumnType::Time => {
            let time = |values: &ArrayRef, row| values.as_primitive::<TimestampMicrosecondType>().value(row);
            time(left, a).cmp(&time(right, b))
        }
    }
}

//! CASE, row by row.

use crate::{graph::Id, logic::Bools, vector::Vector};

/// Refills `out` with the result of the first branch whose condition is true; a result that is none is null.
pub(crate) fn choose(
    rows: usize,
    branches: &[(Id, Option<Id>)],
    otherwise: Option<Id>,
    done: &[Vector],
    out: &mut Vector,
) {
    let conditions: Vec<(&Bools, Option<Id>)> =
        branches.iter().map(|(condition, result)| (done[*condition].bools(), *result)).collect();
    let chosen = |row: usize| {
        conditions
            .iter()
            .find(|(condition, _)| condition.yes.get(row))
            .map_or(otherwise, |(_, result)| *result)
    };
    match out {
        Vector::Bools(out) => {
            let at = |row: usize| done[chosen(row)?].bools().get(row);
            out.yes.pack(rows, |row| at(row) == Some(true));
            out.no.pack(rows, |row| at(row) == Some(false));
        }
        Vector::Ints(out) => out.fill_with(rows, |row| match &done[chosen(row)?] {
            Vector::Ints(result) => result.get(row),
            _ => unreachable!("results have one type"),
        }),
        Vector::Floats(out) => out.fill_with(rows, |row| match &done[chosen(row)?] {
            Vector::Floats(result) => result.get(row),
            _ => unreachable!("results have one type"),
        }),
        Vector::Texts(out) => out.fill_with(rows, |row| match &done[chosen(row)?] {
            Vector::Texts(result) => result.get(row),
            _ => unreachable!("results have one type"),
        }),
    }
}

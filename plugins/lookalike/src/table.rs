//! What the training pass saw, kept sparse: most profiles have few of the features.

use crate::{extract::Entries, feature::Feature};
use std::collections::{BTreeMap, HashMap};

/// Rows of the training pass, in the order in which they came.
#[derive(Default)]
pub(crate) struct Table {
    profiles: Vec<u32>,
    in_seed: Vec<bool>,
    ends: Vec<usize>,
    entries: Entries,
}

/// One profile of the training pass.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) profile: u32,
    pub(crate) in_seed: bool,
    pub(crate) entries: &'a [(u32, f32)],
}

impl Table {
    pub(crate) fn push(&mut self, profile: u32, in_seed: bool, entries: &[(u32, f32)]) {
        self.profiles.push(profile);
        self.in_seed.push(in_seed);
        self.entries.extend_from_slice(entries);
        self.ends.push(self.entries.len());
    }

    /// Rows by number of profile. A profile that came twice (a pass that was given up) counts as it came last.
    pub(crate) fn rows(&self) -> Vec<Row<'_>> {
        let last: BTreeMap<u32, usize> = self.profiles.iter().copied().zip(0..).collect();
        last.into_values().map(|i| self.row(i)).collect()
    }

    fn row(&self, i: usize) -> Row<'_> {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        let entries = &self.entries[start..self.ends[i]];
        Row { profile: self.profiles[i], in_seed: self.in_seed[i], entries }
    }

    /// Gives the entries of all rows the numbers of the features that a model keeps, and drops the others.
    pub(crate) fn renumber(&mut self, numbers: &[Option<u32>]) {
        let old = std::mem::take(&mut self.entries);
        let mut start = 0;
        for end in &mut self.ends {
            let kept = old[start..*end].iter().filter_map(|&(n, value)| Some((numbers[n as usize]?, value)));
            start = *end;
            let from = self.entries.len();
            self.entries.extend(kept);
            self.entries[from..].sort_unstable_by_key(|&(number, _)| number);
            *end = self.entries.len();
        }
    }
}

/// Which of the features met are kept, sorted, so that the order of rows leaves no trace: of each category column the
/// `top` values that most profiles have. Second: the new number of each feature met.
pub(crate) fn keep(
    met: &[Option<Feature<String>>],
    rows: &[Row<'_>],
    top: usize,
) -> (Vec<Feature<String>>, Vec<Option<u32>>) {
    let mut support = vec![0_u64; met.len()];
    rows.iter().flat_map(|row| row.entries).for_each(|&(number, _)| support[number as usize] += 1);
    let favourites = favourites(met, &support, top);
    let is_kept = |feature: &&Feature<String>| match feature {
        Feature::Category { column, value, .. } => {
            favourites.get(column.as_str()).is_some_and(|values| values.contains(&value.as_str()))
        }
        _ => true,
    };
    let mut kept: Vec<Feature<String>> = met.iter().flatten().filter(is_kept).cloned().collect();
    kept.sort_unstable();
    let new: HashMap<&Feature<String>, u32> = kept.iter().zip(0..).collect();
    let numbers = met.iter().map(|feature| new.get(feature.as_ref()?).copied()).collect();
    (kept, numbers)
}

/// By category column, the values that most profiles have; of equals the first by name.
fn favourites<'a>(
    met: &'a [Option<Feature<String>>],
    support: &[u64],
    top: usize,
) -> HashMap<&'a str, Vec<&'a str>> {
    let mut columns: HashMap<&str, BTreeMap<&str, u64>> = HashMap::new();
    for (feature, support) in met.iter().zip(support) {
        if let Some(Feature::Category { column, value, .. }) = feature {
            *columns.entry(column).or_default().entry(value).or_default() += support;
        }
    }
    let best = |values: BTreeMap<&'a str, u64>| {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by_key(|&(_, support)| std::cmp::Reverse(support));
        values.into_iter().take(top).map(|(value, _)| value).collect()
    };
    columns.into_iter().map(|(column, values)| (column, best(values))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_came_twice_counts_as_it_came_last() {
        let mut table = Table::default();
        table.push(7, false, &[(0, 1.0)]);
        table.push(3, true, &[]);
        table.push(7, true, &[(1, 2.0), (2, 3.0)]);
        let rows: Vec<_> = table.rows().iter().map(|r| (r.profile, r.in_seed, r.entries.to_vec())).collect();
        assert_eq!(rows, [(3, true, vec![]), (7, true, vec![(1, 2.0), (2, 3.0)])]);

        table.renumber(&[None, Some(5), Some(1)]);
        assert_eq!(table.rows()[1].entries, [(1, 3.0), (5, 2.0)]);
    }

    #[test]
    fn of_a_category_the_commonest_values_are_kept() {
        let value = |value: &str| {
            Some(Feature::Category { event: "buy".into(), column: "category".into(), value: value.into() })
        };
        let met = [value("rare"), Some(Feature::ActiveDays), value("b"), None, value("a")];
        let mut table = Table::default();
        table.push(0, false, &[(0, 1.0), (2, 1.0), (3, 1.0), (4, 1.0)]);
        table.push(1, false, &[(2, 9.0), (4, 9.0)]);
        let (kept, numbers) = keep(&met, &table.rows(), 2);
        let names: Vec<_> = kept.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["count of buy in a (log)", "count of buy in b (log)", "active days (log)"]);
        assert_eq!(numbers, [None, Some(2), Some(1), None, Some(0)]);
    }
}

//! Rows of a chunk that turn out to be no events, and why. The first reason counts: a row is rejected once.

use crate::spec::OnBadValue;
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray},
    util::display::array_value_to_string,
};
use std::collections::BTreeMap;

/// Reasons by row of the chunk.
pub(crate) struct Flaws {
    rows: BTreeMap<usize, (&'static str, String)>,
    on_bad_value: OnBadValue,
    personal: bool,
}

impl Flaws {
    pub(crate) fn new(on_bad_value: OnBadValue, personal: bool) -> Self {
        Self { rows: BTreeMap::new(), on_bad_value, personal }
    }

    /// Number of flawed rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Takes the flaws one by one, by row.
    pub(crate) fn into_rows(self) -> impl Iterator<Item = (usize, (&'static str, String))> {
        self.rows.into_iter()
    }

    /// True for the rows that have none.
    pub(crate) fn keep(&self, rows: usize) -> BooleanArray {
        (0..rows).map(|row| Some(!self.rows.contains_key(&row))).collect()
    }

    /// A row that cannot be used, whatever the options say.
    pub(crate) fn reject(&mut self, row: usize, code: &'static str, message: String) {
        self.rows.entry(row).or_insert((code, message));
    }

    /// A value that cannot be read and that the row cannot do without.
    pub(crate) fn bad(&mut self, row: usize, column: &str, found: Option<&str>, expected: &str) {
        let found = match found {
            None => "nothing".to_owned(),
            Some(text) if self.personal => format!("text like `{}`", shape(text)),
            Some(text) => format!("`{}`", text.chars().take(60).collect::<String>()),
        };
        self.reject(row, "value", format!("column `{column}`: found {found}, expected {expected}"));
    }

    /// Reports the values that a conversion lost, unless the options let them go.
    pub(crate) fn lost(&mut self, column: &str, before: &ArrayRef, after: &ArrayRef, expected: &str) {
        if self.on_bad_value == OnBadValue::Reject {
            self.lost_any(column, before, after, expected);
        }
    }

    /// Reports the values that a conversion lost. Blank text is no value, so it is no loss.
    pub(crate) fn lost_any(&mut self, column: &str, before: &ArrayRef, after: &ArrayRef, expected: &str) {
        if after.null_count() <= before.logical_null_count() {
            return;
        }
        let texts = before.as_string_opt::<i32>();
        for row in (0..after.len()).filter(|row| after.is_null(*row) && before.is_valid(*row)) {
            if texts.is_none_or(|texts| !texts.value(row).trim().is_empty()) {
                let found = array_value_to_string(before, row).unwrap_or_default();
                self.bad(row, column, Some(&found), expected);
            }
        }
    }
}

/// Letters and digits made unreadable, for messages about personal data.
fn shape(text: &str) -> String {
    text.chars()
        .take(32)
        .map(|c| match c {
            c if c.is_numeric() => '9',
            c if c.is_alphabetic() => 'a',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_values_are_shown_as_a_shape() {
        let mut flaws = Flaws::new(OnBadValue::Reject, true);
        flaws.bad(0, "born", Some("31.12.1999 Zoë"), "a time");
        let (_, (code, message)) = flaws.into_rows().next().unwrap();
        assert_eq!(
            (code, message.as_str()),
            ("value", "column `born`: found text like `99.99.9999 aaa`, expected a time")
        );
    }
}

//! Rows as they come out of a file, before the mapping.

use crate::position::Mark;
use arrow::array::ArrayRef;
use kindred_plugin_api::{Reject, Result};

/// The longest payload of a reject.
const PAYLOAD_BYTES: usize = 4096;

/// Some rows of one file.
pub(crate) struct Chunk {
    /// One array per asked column, of one length; text for text files.
    pub(crate) columns: Vec<ArrayRef>,
    /// Number of each row in the file; the first is 1.
    pub(crate) rows: Vec<u64>,
    /// The text of each row, where the file is text and payloads are wanted.
    pub(crate) raw: Option<Raw>,
    /// Rows that could not be read, in order.
    pub(crate) rejects: Vec<Reject>,
    /// Column and row, counted from 0, of values that are neither text nor a number: JSON's true and false, objects and
    /// lists.
    pub(crate) odd: Vec<(usize, usize)>,
    /// The file has no more.
    pub(crate) end: bool,
}

/// Reads one file from its start to its end.
pub(crate) trait Reader: Send {
    /// The next rows: `max` good and bad ones together while there are that many.
    ///
    /// # Errors
    /// TRANSIENT for a failed read, PERMANENT for a file that cannot be read on.
    fn next(&mut self, max: usize) -> Result<Chunk>;

    /// Where the next row begins.
    fn mark(&self) -> Mark;

    /// Bytes of the file that were read; after the end its size.
    fn bytes(&self) -> u64;

    /// Bytes of the file before the mark, about.
    fn passed(&self) -> u64;

    /// Rows behind the mark; an estimate for text.
    fn backlog(&self) -> u64;
}

/// Columns of a file, as far as it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Names, `#1`, `#2` … where there are none.
    pub(crate) names: Vec<String>,
    /// Types, where the file has types.
    pub(crate) types: Option<Vec<arrow::datatypes::DataType>>,
}

impl Header {
    /// The position of a column, by its name or as `#1`.
    ///
    /// # Errors
    /// A name that stands for several columns.
    pub(crate) fn find(&self, name: &str) -> Result<Option<usize>, String> {
        let mut found = self.names.iter().enumerate().filter(|(_, n)| *n == name).map(|(i, _)| i);
        match (found.next(), found.next()) {
            (Some(first), None) => Ok(Some(first)),
            (Some(first), Some(second)) => Err(format!(
                "column `{name}` is there twice; write `#{}` or `#{}` to name it by its place",
                first + 1,
                second + 1
            )),
            (None, _) => Ok(name
                .strip_prefix('#')
                .and_then(|digits| digits.parse::<usize>().ok())
                .filter(|place| (1..=self.names.len()).contains(place))
                .map(|place| place - 1)),
        }
    }

    /// What else a misspelt name may have meant, and what there is.
    pub(crate) fn help(&self, name: &str) -> String {
        let lower = name.to_lowercase();
        let near = self
            .names
            .iter()
            .map(|n| (strsim::damerau_levenshtein(&n.to_lowercase(), &lower), n))
            .filter(|(distance, n)| *distance <= 1 + n.chars().count().min(name.chars().count()) / 4)
            .min();
        let listed: Vec<_> = self.names.iter().take(30).map(String::as_str).collect();
        let rest = if self.names.len() > 30 { ", …" } else { "" };
        match near {
            Some((_, near)) => format!("did you mean `{near}`? columns: {}{rest}", listed.join(", ")),
            None => format!("columns: {}{rest}", listed.join(", ")),
        }
    }
}

/// The beginnings of many rows, one behind the other.
#[derive(Default)]
pub(crate) struct Raw {
    text: String,
    ends: Vec<usize>,
}

impl Raw {
    pub(crate) fn push(&mut self, row: &str) {
        self.text.push_str(cut(row));
        self.ends.push(self.text.len());
    }

    pub(crate) fn row(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start..self.ends[index]]
    }
}

/// The part of a row that a payload may hold.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(PAYLOAD_BYTES)]
}

/// The part of a row that a payload may hold, of bytes that may be no text.
pub(crate) fn payload(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(PAYLOAD_BYTES)]);
    cut(text.trim_end_matches(['\r', '\n'])).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_place() {
        let header = Header { names: ["id", "mail", "mail", ""].map(String::from).to_vec(), types: None };
        assert_eq!(header.find("id"), Ok(Some(0)));
        assert_eq!(header.find("#4"), Ok(Some(3)));
        assert_eq!(header.find("#5"), Ok(None));
        assert!(header.find("mail").unwrap_err().contains("`#2` or `#3`"));
    }

    #[test]
    fn help_names_the_near_column_only_when_it_is_near() {
        let header = Header { names: ["household_id", "age"].map(String::from).to_vec(), types: None };
        assert_eq!(header.help("Houshold_id"), "did you mean `household_id`? columns: household_id, age");
        assert_eq!(header.help("basket"), "columns: household_id, age");
    }

    #[test]
    fn payloads_are_cut_between_characters() {
        let long = "é".repeat(3000);
        assert_eq!(cut(&long).len(), 4096);
        assert_eq!(payload(b"a\xff\r\n"), "a\u{fffd}");
        assert!(payload(&[0xff; 5000]).len() <= 4096);
    }
}

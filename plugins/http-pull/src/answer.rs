//! What an answer holds: the records, where the next page is, and the highest cursor. Records keep their text.

use crate::options::{Config, Paging};
use kindred_plugin_api::{Fault, Result};
use serde_json::value::RawValue;
use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap};

type Object<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// A page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The records, each as it came.
    pub(crate) records: Vec<String>,
    /// Address or token of the next page, as the body gives it.
    pub(crate) next: Option<String>,
}

impl Answer {
    /// Reads a body.
    ///
    /// # Errors
    /// TRANSIENT for one that is cut, PERMANENT for one that is no JSON or has no list at its place.
    pub(crate) fn read(config: &Config, body: &[u8]) -> Result<Self> {
        let whole: &RawValue = match serde_json::from_slice(body) {
            Ok(whole) => whole,
            Err(error) if error.is_eof() => return Err(Fault::transient("truncated", "the answer is cut")),
            Err(_) => return Err(Fault::permanent("json", "the answer is no JSON")),
        };
        let path = config.records.as_deref().unwrap_or_default();
        let place = if path.is_empty() { "at its top".to_owned() } else { format!("at `{path}`") };
        let no_list = || Fault::permanent("records", format!("the answer has no list {place}"));
        let list = at(whole, path).ok_or_else(no_list)?;
        let records: Vec<&RawValue> = match list.get() {
            "null" => Vec::new(),
            list => serde_json::from_str(list).map_err(|_| no_list())?,
        };
        let next = match &config.paging {
            Some(Paging { next: Some(path), .. }) => at(whole, path).and_then(text),
            _ => None,
        };
        Ok(Self { records: records.into_iter().map(|record| record.get().to_owned()).collect(), next })
    }
}

/// The value at a dotted path.
fn at<'a>(value: &'a RawValue, path: &str) -> Option<&'a RawValue> {
    if path.is_empty() {
        return Some(value);
    }
    path.split('.').try_fold(value, |value, step| {
        serde_json::from_str::<Object<'a>>(value.get()).ok()?.get(step).copied()
    })
}

/// A string or a number as text; nothing for what says that there is none.
fn text(value: &RawValue) -> Option<String> {
    match value.get() {
        "null" | "false" | "\"\"" => None,
        quoted if quoted.starts_with('"') => serde_json::from_str(quoted).ok(),
        number if number.starts_with(|first: char| first.is_ascii_digit() || first == '-') => {
            Some(number.to_owned())
        }
        _ => None,
    }
}

/// The value of a record's field as text.
pub(crate) fn field(record: &str, path: &str) -> Option<String> {
    at(serde_json::from_str(record).ok()?, path).and_then(text)
}

/// The order of two cursors: of whole numbers by value, else as text, as times in ISO 8601 have it.
pub(crate) fn order(a: &str, b: &str) -> Ordering {
    match (a.parse::<i128>(), b.parse::<i128>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> Config {
        let json = format!(r#"{{ "url": "https://a.example", "identifiers": {{ "u": "id" }} {more} }}"#);
        kindred_plugin_api::options::parse(&json).unwrap()
    }

    #[test]
    fn records_and_the_next_page_are_found_at_their_paths() {
        let config = config(r#", "records": "data.items", "paging": { "next": "meta.next" }"#);
        let body = br#"{"data":{"items":[{"id": 1.50},7]},"meta":{"next":"/a\u0062"}}"#;
        let answer = Answer::read(&config, body).unwrap();
        assert_eq!(answer.records, [r#"{"id": 1.50}"#, "7"], "each as it came");
        assert_eq!(answer.next.as_deref(), Some("/ab"));
        for none in ["null", "\"\"", "false", "{}"] {
            let body = format!(r#"{{"data":{{"items":null}},"meta":{{"next":{none}}}}}"#);
            assert_eq!(Answer::read(&config, body.as_bytes()).unwrap(), Answer::default());
        }
    }

    #[test]
    fn cut_answers_may_come_whole_later_and_others_never() {
        let code = |body: &[u8]| Answer::read(&config(""), body).unwrap_err().code;
        assert_eq!(code(br#"[{"id":1},{"i"#), "truncated");
        assert_eq!(code(b"<html>"), "json");
        assert_eq!(code(br#"{"data":[]}"#), "records");
    }

    #[test]
    fn cursors_are_numbers_or_texts() {
        assert_eq!(order("9", "10"), Ordering::Less);
        assert_eq!(order("2026-01-09", "2026-01-10"), Ordering::Less);
        assert_eq!(order("99999999999999999999", "9"), Ordering::Greater);
    }
}

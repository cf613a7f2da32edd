//! Rows of JSON lines: one object a line. A column is a dotted path into the object; a key that itself holds dots is
//! found too. Only what is asked for is taken apart, numbers keep their digits.

use crate::{
    text::{Cells, Dialect, Flaw, Scan},
    window::Window,
};
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt, io};

/// The asked paths and what the last line held.
pub(crate) struct Json {
    paths: Node,
    columns: usize,
}

#[derive(Default)]
struct Node {
    columns: Vec<usize>,
    children: Vec<(String, Node)>,
}

impl Json {
    pub(crate) fn new(columns: &[String]) -> Self {
        Self::of(columns, |_| true)
    }

    /// Finds only some of the columns; the others stay without a value.
    pub(crate) fn of(columns: &[String], wanted: impl Fn(&str) -> bool) -> Self {
        let mut paths = Node::default();
        for (index, column) in columns.iter().enumerate().filter(|(_, column)| wanted(column)) {
            column.split('.').fold(&mut paths, Node::child).columns.push(index);
            if column.contains('.') {
                paths.child(column).columns.push(index);
            }
        }
        Self { paths, columns: columns.len() }
    }

    /// Notes the values of the columns that `row` has, one object.
    pub(crate) fn find<'de>(
        &self,
        row: &'de str,
        found: &mut [Option<&'de str>],
    ) -> Result<(), serde_json::Error> {
        object(&self.paths, row, found)
    }
}

impl Node {
    fn child(&mut self, name: &str) -> &mut Node {
        let index = self.children.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
            self.children.push((name.to_owned(), Node::default()));
            self.children.len() - 1
        });
        &mut self.children[index].1
    }
}

impl Dialect for Json {
    fn scan(&mut self, window: &mut Window, max_bytes: usize) -> io::Result<Scan> {
        loop {
            if window.at_end()? {
                return Ok(Scan::End);
            }
            let mut from = 0;
            let (bytes, closed) = loop {
                let bytes = window.bytes();
                match memchr::memchr(b'\n', &bytes[from..]) {
                    Some(end) => break (from + end + 1, true),
                    None if bytes.len() > max_bytes => return Ok(Scan::TooLong),
                    None => from = bytes.len(),
                }
                if !window.fill()? {
                    break (from, false);
                }
            };
            if bytes > max_bytes + usize::from(closed) {
                return Ok(Scan::TooLong);
            }
            if !window.bytes()[..bytes].iter().all(u8::is_ascii_whitespace) {
                return Ok(Scan::Row { bytes, closed });
            }
            window.consume(bytes);
        }
    }

    fn cells(&mut self, row: &str, cells: &mut Cells<'_>) -> Result<(), Flaw> {
        let mut found: Vec<Option<&str>> = vec![None; self.columns];
        self.find(row, &mut found).map_err(|error| flaw(row, &error))?;
        let texts: Result<Vec<_>, _> = found.iter().map(|raw| raw.map_or(Ok(None), text)).collect();
        let texts = texts.map_err(|error| flaw(row, &error))?;
        for (column, (raw, cell)) in found.iter().zip(&texts).enumerate() {
            if raw.is_some_and(is_odd) {
                cells.odd(column);
            }
            cells.push(column, cell.as_deref());
        }
        Ok(())
    }
}

fn flaw(row: &str, error: &serde_json::Error) -> Flaw {
    if row.trim_start().starts_with('[') {
        return ("json", "the line is an array; this format has one object a line".to_owned());
    }
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    ("json", format!("not one JSON object: {message} at character {}", error.column()))
}

/// Whether a value is neither text nor a number.
pub(crate) fn is_odd(raw: &str) -> bool {
    raw.starts_with(['t', 'f', '{', '['])
}

/// A value as the text of a cell.
pub(crate) fn text(raw: &str) -> Result<Option<Cow<'_, str>>, serde_json::Error> {
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Ok(Some(Cow::Borrowed(plain))),
        Some(_) => serde_json::from_str::<String>(raw).map(|text| Some(Cow::Owned(text))),
        None if raw == "null" => Ok(None),
        None => Ok(Some(Cow::Borrowed(raw))),
    }
}

fn object<'de>(node: &Node, text: &'de str, found: &mut [Option<&'de str>]) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_map(Fields { node, found })?;
    deserializer.end()
}

/// Walks one object.
struct Fields<'a, 'de> {
    node: &'a Node,
    found: &'a mut [Option<&'de str>],
}

impl<'de> Visitor<'de> for Fields<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(child) = map.next_key_seed(Key(self.node))? {
            let Some(child) = child else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value::<&'de RawValue>()?.get();
            for column in &child.columns {
                self.found[*column] = Some(value);
            }
            if !child.children.is_empty() && value.starts_with('{') {
                object(child, value, self.found).map_err(A::Error::custom)?;
            }
        }
        Ok(())
    }
}

/// Reads a key without keeping it: the child that it names, if one does.
struct Key<'a>(&'a Node);

impl<'a, 'de> DeserializeSeed<'de> for Key<'a> {
    type Value = Option<&'a Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Key<'a> {
    type Value = Option<&'a Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.children.iter().find(|(name, _)| name == key).map(|(_, child)| child))
    }
}

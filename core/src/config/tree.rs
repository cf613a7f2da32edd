//! The file as a tree of values that know their place.

use super::{
    problem::{Problem, Span},
    text::Text,
};
use serde_json::{Map, Number, Value as Json};
use toml::de::{DeTable, DeValue};

/// A value and its place. The place of a table is its header, of a dotted one its key.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) value: Value,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(Text),
    Number(Number),
    Bool(bool),
    Datetime(String),
    Array(Vec<Node>),
    /// Sorted by key.
    Table(Vec<Entry>),
    /// Something whose problem was told already.
    Bad,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) node: Node,
}

impl Node {
    /// From the parser's table, whose text is `source`.
    pub(super) fn table(table: &DeTable<'_>, span: Span, source: &str, problems: &mut Vec<Problem>) -> Self {
        let entries = table.iter().map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_span: key.span(),
            node: Self::value(value.get_ref(), value.span(), source, problems),
        });
        Self { span, value: Value::Table(entries.collect()) }
    }

    fn value(value: &DeValue<'_>, span: Span, source: &str, problems: &mut Vec<Problem>) -> Self {
        let value = match value {
            DeValue::String(text) => Value::Text(Text::new(text, &source[span.clone()], &span)),
            DeValue::Boolean(yes) => Value::Bool(*yes),
            DeValue::Datetime(moment) => Value::Datetime(moment.to_string()),
            DeValue::Table(table) => return Self::table(table, span, source, problems),
            DeValue::Array(items) => Value::Array(
                items.iter().map(|item| Self::value(item.get_ref(), item.span(), source, problems)).collect(),
            ),
            DeValue::Integer(_) | DeValue::Float(_) => number(value).map_or_else(
                || {
                    let problem = Problem::at(&span, "a number that cannot be used").found("this number");
                    problems
                        .push(problem.help("integers have 64 bits, and neither `inf` nor `nan` is a value"));
                    Value::Bad
                },
                Value::Number,
            ),
        };
        Self { span, value }
    }

    /// An empty table at `span`.
    pub(super) fn empty(span: &Span) -> Self {
        Self { span: span.clone(), value: Value::Table(Vec::new()) }
    }

    /// The same place, with nothing left to say.
    pub(super) fn told(&self) -> Self {
        Self { span: self.span.clone(), value: Value::Bad }
    }

    /// Whether it is a table without entries.
    pub(super) fn is_empty_table(&self) -> bool {
        matches!(&self.value, Value::Table(entries) if entries.is_empty())
    }

    /// Entries, of a table.
    pub(super) fn entries(&self) -> &[Entry] {
        if let Value::Table(entries) = &self.value { entries } else { &[] }
    }

    /// Items, of an array.
    pub(super) fn items(&self) -> &[Node] {
        if let Value::Array(items) = &self.value { items } else { &[] }
    }

    /// The entry of a key.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// Where the value of `key` is, or the whole.
    pub(super) fn span_of(&self, key: &str) -> Span {
        self.get(key).unwrap_or(self).span.clone()
    }

    /// The value at a JSON pointer, or the last one on the way to it.
    pub(super) fn at(&self, pointer: &str) -> &Node {
        let Some(rest) = pointer.strip_prefix('/') else { return self };
        let (first, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let key = first.replace("~1", "/").replace("~0", "~");
        let item = || self.items().get(first.parse::<usize>().ok()?);
        self.get(&key).or_else(item).map_or(self, |node| node.at(rest))
    }

    /// The strings in it.
    pub(super) fn texts(&self) -> Vec<(&Node, &Text)> {
        match &self.value {
            Value::Text(text) => vec![(self, text)],
            Value::Array(items) => items.iter().flat_map(Node::texts).collect(),
            Value::Table(entries) => entries.iter().flat_map(|entry| entry.node.texts()).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether the problem of something in it was told already.
    pub(super) fn is_bad(&self) -> bool {
        match &self.value {
            Value::Bad => true,
            Value::Array(items) => items.iter().any(Node::is_bad),
            Value::Table(entries) => entries.iter().any(|entry| entry.node.is_bad()),
            _ => false,
        }
    }

    /// As JSON; a moment becomes its text.
    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Text(text) => Json::String(text.value.clone()),
            Value::Number(number) => Json::Number(number.clone()),
            Value::Bool(yes) => Json::Bool(*yes),
            Value::Datetime(moment) => Json::String(moment.clone()),
            Value::Array(items) => items.iter().map(Node::to_json).collect(),
            Value::Table(entries) => {
                Json::Object(entries.iter().map(|e| (e.key.clone(), e.node.to_json())).collect::<Map<_, _>>())
            }
            Value::Bad => Json::Null,
        }
    }
}

fn number(value: &DeValue<'_>) -> Option<Number> {
    if let Some(integer) = value.as_integer() {
        let (digits, radix) = (integer.as_str(), integer.radix());
        let signed = i64::from_str_radix(digits, radix).map(Number::from);
        return signed.or_else(|_| u64::from_str_radix(digits, radix).map(Number::from)).ok();
    }
    Number::from_f64(value.as_float()?.as_str().parse().ok()?)
}

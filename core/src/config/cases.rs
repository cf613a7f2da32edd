//! `[[tests]]`: what segments must answer for made-up profiles. Read from the tree, which still knows a time from a
//! text; the shape was checked before, so whatever is misshapen here was told already and is passed over.

use super::{
    problem::{Problem, Span, position},
    tree::{Entry, Node, Value as Found},
};
use crate::{near::instead, profile::Value, store::columns::ColumnType};
use jiff::{Span as Distance, Timestamp, civil, tz::TimeZone};
use kindred_plugin_api::columns::{ATTR, is_reserved};
use std::collections::{BTreeMap, BTreeSet};

/// The source of a test's events that name none, where a pipeline has several.
const SOURCE: &str = "test";
/// Namespace of profiles that have no identifiers.
const NAMESPACE: &str = "test";
const TIMES: &str = "write a moment such as `2026-01-31T12:00:00Z`";

/// All tests of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cases {
    /// Types of event columns, and of attributes as `attr.SOURCE.NAME`, over all tests.
    pub columns: BTreeMap<String, ColumnType>,
    /// In the order of the file.
    pub list: Vec<Case>,
}

/// One test.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What is tested.
    pub name: String,
    /// Microseconds since 1970.
    pub as_of_us: i64,
    /// By key.
    pub profiles: BTreeMap<String, CaseProfile>,
    /// Segment → keys of its members.
    pub expect: BTreeMap<String, BTreeSet<String>>,
}

/// A profile of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseProfile {
    /// Namespace and value, at least one.
    pub identifiers: BTreeMap<String, String>,
    /// Source and name, value.
    pub attributes: BTreeMap<(String, String), Value>,
    /// False when consent is withdrawn at the end.
    pub granted: bool,
    /// In the order of the file.
    pub events: Vec<CaseEvent>,
}

/// An event of a profile.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseEvent {
    /// Microseconds since 1970.
    pub time_us: i64,
    /// Its name.
    pub event: String,
    /// The source that it came from.
    pub source: String,
    /// All other columns.
    pub columns: BTreeMap<String, Value>,
}

/// Reads all tests; `segments` and `sources` are the names in the file, whose text is `text`.
pub(super) fn read(
    root: &Node,
    text: &str,
    (segments, sources): (&[&str], &[&str]),
    problems: &mut Vec<Problem>,
) -> Cases {
    let mut reader = Reader { text, segments, sources, kinds: BTreeMap::new(), problems };
    let nodes = root.get("tests").map(Node::items).unwrap_or_default();
    let mut list = Vec::new();
    let mut names = BTreeSet::new();
    for node in nodes {
        reader.declared(node);
        let Some(case) = reader.case(node) else { continue };
        if !names.insert(case.name.clone()) {
            let problem = Problem::at(&node.span_of("name"), format!("two tests are called `{}`", case.name));
            reader.problems.push(problem.found("the second").help("give one of them another `name`"));
        }
        list.push(case);
    }
    Cases { columns: reader.kinds.into_iter().map(|(name, (kind, _))| (name, kind)).collect(), list }
}

struct Reader<'a> {
    text: &'a str,
    segments: &'a [&'a str],
    sources: &'a [&'a str],
    /// Types of columns, and where they were first seen.
    kinds: BTreeMap<String, (ColumnType, Span)>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn case(&mut self, node: &Node) -> Option<Case> {
        let name = string(node.get("name")?)?;
        let as_of = node.get("as_of")?;
        let Some(moment) = moment(&string(as_of)?) else {
            self.not_a_time(as_of, "as_of", TIMES.to_owned());
            return None;
        };
        let profiles = node.get("profiles").map(Node::entries).unwrap_or_default();
        let profiles: BTreeMap<String, CaseProfile> =
            profiles.iter().map(|entry| (entry.key.clone(), self.profile(entry, moment))).collect();
        let expect = self.expect(node, &profiles);
        Some(Case { name, as_of_us: moment.as_microsecond(), profiles, expect })
    }

    fn expect(
        &mut self,
        node: &Node,
        profiles: &BTreeMap<String, CaseProfile>,
    ) -> BTreeMap<String, BTreeSet<String>> {
        let keys: Vec<&str> = profiles.keys().map(String::as_str).collect();
        let expect = node.get("expect").map(Node::entries).unwrap_or_default();
        if expect.is_empty() && node.get("expect").is_some_and(Node::is_empty_table) {
            let problem = Problem::at(&node.span_of("expect"), "the test expects nothing").found("empty");
            self.problems
                .push(problem.help("name a segment and the keys of its members: `{ vip = [\"anna\"] }`"));
        }
        let mut found = BTreeMap::new();
        for Entry { key: segment, key_span, node } in expect {
            if !self.segments.contains(&segment.as_str()) {
                let problem = Problem::at(key_span, format!("there is no segment `{segment}`"));
                let help = instead(segment, "segments", self.segments);
                self.problems.push(problem.found("no such segment").help(help));
            }
            for (node, member) in node.texts().into_iter().filter(|(_, m)| !keys.contains(&m.value.as_str()))
            {
                let message = format!("the test has no profile `{}`", member.value);
                let help = instead(&member.value, "profiles of this test", &keys);
                self.problems.push(Problem::at(&node.span, message).found("no such profile").help(help));
            }
            let members = node.texts().into_iter().map(|(_, member)| member.value.clone());
            found.insert(segment.clone(), members.collect());
        }
        found
    }

    fn profile(&mut self, Entry { key, node, .. }: &Entry, as_of: Timestamp) -> CaseProfile {
        let part = |name: &str| node.get(name).map(Node::entries).unwrap_or_default();
        let mut identifiers: BTreeMap<String, String> =
            part("identifiers").iter().filter_map(|e| Some((e.key.clone(), string(&e.node)?))).collect();
        if identifiers.is_empty() {
            identifiers.insert(NAMESPACE.to_owned(), key.clone());
        }
        let attributes = part("attributes").iter().filter_map(|entry| self.attribute(entry)).collect();
        let granted = node.get("consent").and_then(string).is_none_or(|said| said != "denied");
        let events = node.get("events").map(Node::items).unwrap_or_default();
        let events = events.iter().filter_map(|event| self.event(event, as_of)).collect();
        CaseProfile { identifiers, attributes, granted, events }
    }

    fn attribute(&mut self, Entry { key, key_span, node }: &Entry) -> Option<((String, String), Value)> {
        let Some((source, name)) = key.split_once('.').filter(|(_, name)| !name.is_empty()) else {
            let problem = Problem::at(key_span, format!("`{key}` is no attribute")).found("no source");
            self.problems.push(problem.help("attributes are called `SOURCE.NAME`, such as \"crm.country\""));
            return None;
        };
        self.source(source, key_span);
        let value = self.value(&format!("{ATTR}{key}"), node)?;
        Some(((source.to_owned(), name.to_owned()), value))
    }

    fn event(&mut self, node: &Node, as_of: Timestamp) -> Option<CaseEvent> {
        let time = node.get("time")?;
        let written = string(time)?;
        let moment = moment(&written).or_else(|| distant(&written, as_of));
        if moment.is_none() {
            self.not_a_time(time, "time", format!("{TIMES}, or a distance from `as_of` such as `-3 days`"));
        }
        let source = match node.get("source").and_then(string) {
            Some(name) => {
                self.source(&name, &node.span_of("source"));
                name
            }
            None => if let [only] = self.sources { *only } else { SOURCE }.to_owned(),
        };
        let others = node.entries().iter().filter(|e| !["time", "event", "source"].contains(&e.key.as_str()));
        let mut columns = BTreeMap::new();
        for Entry { key, key_span, node } in others {
            if is_reserved(key) {
                let problem = Problem::at(key_span, format!("`{key}` is no column of an event of a test"));
                let help = "an event has a `time`, an `event`, a `source` and columns of its own; identifiers, \
                            attributes and consent belong to its profile";
                self.problems.push(problem.found("has another meaning").help(help));
                continue;
            }
            columns.extend(self.value(key, node).map(|value| (key.clone(), value)));
        }
        let event = string(node.get("event")?)?;
        Some(CaseEvent { time_us: moment?.as_microsecond(), event, source, columns })
    }

    fn source(&mut self, name: &str, span: &Span) {
        if !self.sources.contains(&name) {
            let problem = Problem::at(span, format!("there is no source `{name}`")).found("no such source");
            self.problems.push(problem.help(instead(name, "sources", self.sources)));
        }
    }

    fn value(&mut self, column: &str, node: &Node) -> Option<Value> {
        let value = match &node.value {
            Found::Text(text) => Value::Text(text.value.clone()),
            Found::Bool(flag) => Value::Boolean(*flag),
            Found::Number(number) => match number.as_i64() {
                Some(integer) => Value::Integer(integer),
                None => Value::Decimal(number.as_f64()?),
            },
            Found::Datetime(written) => match moment(written) {
                Some(moment) => Value::Time(moment.as_microsecond()),
                None => {
                    self.not_a_time(node, column, TIMES.to_owned());
                    return None;
                }
            },
            _ => return None,
        };
        self.typed(column, value.kind(), &node.span);
        Some(value)
    }

    /// `columns`: types of what no test has.
    fn declared(&mut self, node: &Node) {
        for Entry { key, node, .. } in node.get("columns").map(Node::entries).unwrap_or_default() {
            if let Some(kind) = string(node).and_then(|name| ColumnType::named(&name)) {
                self.typed(key, kind, &node.span);
            }
        }
    }

    /// A column has one type in all tests; integers stand for decimals too.
    fn typed(&mut self, column: &str, kind: ColumnType, span: &Span) {
        let (held, first) = self.kinds.entry(column.to_owned()).or_insert((kind, span.clone()));
        match (*held, kind) {
            (a, b) if a == b => {}
            (ColumnType::Decimal, ColumnType::Integer) => {}
            (ColumnType::Integer, ColumnType::Decimal) => *held = ColumnType::Decimal,
            (other, _) => {
                let (line, _) = position(self.text, first.start.min(self.text.len()));
                let (is, was) = (kind.name(), other.name());
                let message = format!("column `{column}` is {is} here, and {was} in line {line}");
                let help = "a column has one type, in tests as in the store";
                self.problems.push(Problem::at(span, message).found(is).help(help));
            }
        }
    }

    fn not_a_time(&mut self, node: &Node, key: &str, help: String) {
        self.problems
            .push(Problem::at(&node.span, format!("`{key}` is not a time")).found("not a time").help(help));
    }
}

fn string(node: &Node) -> Option<String> {
    match &node.value {
        Found::Text(text) => Some(text.value.clone()),
        Found::Datetime(moment) => Some(moment.clone()),
        _ => None,
    }
}

/// A moment; UTC when it names no offset.
fn moment(written: &str) -> Option<Timestamp> {
    let moment = written.parse::<Timestamp>().ok();
    let civil = || written.parse::<civil::DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    moment.or_else(|| civil().map(|zoned| zoned.timestamp()))
}

/// A moment by its distance, days of 24 hours and calendar months, in UTC.
fn distant(written: &str, from: Timestamp) -> Option<Timestamp> {
    let signed = written.starts_with(['-', '+']) || written.ends_with("ago");
    let distance = signed.then(|| written.parse::<Distance>().ok())??;
    Some(from.to_zoned(TimeZone::UTC).checked_add(distance).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_from_the_moment() {
        let from = moment("2026-01-31T12:00:00Z").unwrap();
        let at = |written: &str| distant(written, from).map(|moment| moment.to_string());
        assert_eq!(at("-3 days").as_deref(), Some("2026-01-28T12:00:00Z"));
        assert_eq!(at("-90 minutes").as_deref(), Some("2026-01-31T10:30:00Z"));
        assert_eq!(at("30 days ago").as_deref(), Some("2026-01-01T12:00:00Z"));
        assert_eq!(at("+1 hour").as_deref(), Some("2026-01-31T13:00:00Z"));
        assert_eq!(at("-1 month").as_deref(), Some("2025-12-31T12:00:00Z"));
        for bad in ["3 days", "yesterday", "-", "-3 moons", ""] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }

    #[test]
    fn moments_without_an_offset_are_in_utc() {
        for same in ["2026-01-31", "2026-01-31T00:00:00", "2026-01-31T00:00:00Z", "2026-01-31T02:00:00+02:00"]
        {
            assert_eq!(moment(same), moment("2026-01-31T00:00:00Z"), "{same}");
        }
        assert_eq!(moment("31.01.2026"), None);
    }
}

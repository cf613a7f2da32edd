//! Terms of sources: a segment that depends on a source goes only where its terms allow. What depends on it is told by
//! the plugins before anything runs, so that a file that would break them does not start.

use super::{
    Destination, Segment, Source,
    problem::Problem,
    tree::{Node, Value},
};
use crate::near::quoted;
use std::collections::{BTreeMap, BTreeSet};

/// Finds segments that go where they must not.
pub(super) fn check(
    root: &Node,
    (sources, segments, destinations): (&[Source], &[Segment], &[Destination]),
    problems: &mut Vec<Problem>,
) {
    let read = Read { known: segments.iter().map(|s| (s.name.as_str(), s)).collect() };
    for destination in destinations {
        let forbidden: Vec<&Source> = sources.iter().filter(|s| !s.allows(&destination.name)).collect();
        let table = root.get("destinations").and_then(|all| all.get(&destination.name));
        let items = table.and_then(|table| table.get("segments")).map(Node::items).unwrap_or_default();
        for item in items.iter().filter(|_| !forbidden.is_empty()) {
            let Value::Text(segment) = &item.value else { continue };
            let segment = segment.value.as_str();
            for source in &forbidden {
                let Some(why) = read.why(segment, &source.name) else { continue };
                problems.push(problem(item, source, segment, &destination.name, &why));
            }
        }
    }
}

/// Whether a segment depends on a source, or may.
pub(super) fn depends(segments: &[Segment], segment: &str, source: &str) -> bool {
    let read = Read { known: segments.iter().map(|s| (s.name.as_str(), s)).collect() };
    read.known.get_key_value(segment).is_none_or(|(name, _)| read.why(name, source).is_some())
}

fn problem(item: &Node, source: &Source, segment: &str, destination: &str, why: &Why<'_>) -> Problem {
    let name = &source.name;
    let through = if why.segment == segment { String::new() } else { format!(" through `{}`", why.segment) };
    let depends = if why.sure { "depends" } else { "may depend" };
    let message = format!(
        "`{segment}` cannot go to `{destination}`: it {depends} on source `{name}`{through}, whose terms do not allow that"
    );
    let allowed = match source.destinations.as_deref().unwrap_or_default() {
        [] => format!("`{name}` may go to no destination"),
        all => format!("`{name}` may go to {}", quoted(all.iter().map(String::as_str))),
    };
    let narrow = match why.sure {
        true => String::new(),
        false => {
            "; a rule that names its sources, `did(source = 'web' AND …)`, depends on no others".to_owned()
        }
    };
    let help = format!("{allowed}: take the segment out of `{destination}`{narrow}");
    Problem::at(&item.span, message).found(format!("not with data of `{name}`")).help(help)
}

/// What segments read.
struct Read<'a> {
    known: BTreeMap<&'a str, &'a Segment>,
}

/// Why a segment depends on a source.
struct Why<'a> {
    /// The segment that reads it.
    segment: &'a str,
    /// It says so; otherwise it does not say what it reads.
    sure: bool,
}

impl<'a> Read<'a> {
    /// Why a segment, or one that it builds on, depends on a source.
    fn why(&self, segment: &'a str, source: &str) -> Option<Why<'a>> {
        let (mut next, mut seen) = (vec![segment], BTreeSet::new());
        while let Some(name) = next.pop() {
            let Some(segment) = self.known.get(name).filter(|_| seen.insert(name)) else { continue };
            match &segment.reads {
                None => return Some(Why { segment: name, sure: false }),
                Some(reads) if reads.iter().any(|read| read == source) => {
                    return Some(Why { segment: name, sure: true });
                }
                Some(_) => next.extend(segment.depends_on.iter().map(String::as_str)),
            }
        }
        None
    }
}

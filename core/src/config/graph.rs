//! Which segments need which others first.

use super::Segment;
use std::collections::{BTreeMap, BTreeSet};

/// Every cycle once, as the names along it; it starts with the smallest name, which comes after the last again.
pub(super) fn cycles(segments: &[Segment]) -> Vec<Vec<String>> {
    let edges: BTreeMap<&str, &[String]> =
        segments.iter().map(|s| (s.name.as_str(), &s.depends_on[..])).collect();
    let mut search = Search::default();
    for name in edges.keys() {
        search.enter(name);
        // Not by recursion: a file may have ten thousand segments, each upon the next.
        while let Some((name, seen)) = search.path.last_mut() {
            let next = edges.get(name).and_then(|below| below.get(*seen));
            *seen += 1;
            match next {
                Some(next) => search.enter(next),
                None => search.leave(),
            }
        }
    }
    search.cycles.into_iter().collect()
}

#[derive(Default)]
struct Search<'a> {
    done: BTreeSet<&'a str>,
    /// Names, each with how many of those below it were looked at.
    path: Vec<(&'a str, usize)>,
    /// Where each name of the path stands in it.
    places: BTreeMap<&'a str, usize>,
    cycles: BTreeSet<Vec<String>>,
}

impl<'a> Search<'a> {
    fn enter(&mut self, name: &'a str) {
        if let Some(start) = self.places.get(name) {
            let mut cycle: Vec<String> =
                self.path[*start..].iter().map(|(one, _)| (*one).to_owned()).collect();
            let smallest = (0..cycle.len()).min_by_key(|&i| cycle[i].clone()).unwrap_or(0);
            cycle.rotate_left(smallest);
            self.cycles.insert(cycle);
        } else if self.done.insert(name) {
            self.places.insert(name, self.path.len());
            self.path.push((name, 0));
        }
    }

    fn leave(&mut self) {
        if let Some((name, _)) = self.path.pop() {
            self.places.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(edges: &[(&str, &[&str])]) -> Vec<String> {
        let segments: Vec<Segment> = edges
            .iter()
            .map(|(name, needs)| Segment {
                name: (*name).to_owned(),
                title: String::new(),
                plugin: "rules".to_owned(),
                config: serde_json::Value::Null,
                sql: None,
                depends_on: needs.iter().map(|n| (*n).to_owned()).collect(),
                model: false,
                reads: None,
            })
            .collect();
        cycles(&segments).iter().map(|cycle| cycle.join(" ")).collect()
    }

    #[test]
    fn ten_thousand_segments_may_stand_upon_each_other() {
        let names: Vec<String> = (0..=10_000).map(|at| format!("s{at}")).collect();
        let below: Vec<[&str; 1]> = names.iter().skip(1).map(|name| [name.as_str()]).collect();
        let mut edges: Vec<(&str, &[&str])> =
            names.iter().zip(&below).map(|(name, below)| (name.as_str(), &below[..])).collect();
        assert_eq!(found(&edges), Vec::<String>::new());
        edges.push(("s10000", &["s9999"]));
        assert_eq!(found(&edges), ["s10000 s9999"]);
    }

    #[test]
    fn finds_each_cycle_once() {
        assert_eq!(found(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"]), ("d", &["d", "a"])]), ["b c", "d"]);
        assert_eq!(found(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &["gone"])]), Vec::<String>::new());
    }
}

//! Which segments need which others first.

use super::Segment;
use std::collections::{BTreeMap, BTreeSet};

/// Every cycle once, as the names along it; it starts with the smallest name, which comes after the last again.
pub(super) fn cycles(segments: &[Segment]) -> Vec<Vec<String>> {
    let edges: BTreeMap<&str, &[String]> =
        segments.iter().map(|s| (s.name.as_str(), &s.depends_on[..])).collect();
    let mut search =
        Search { edges: &edges, done: BTreeSet::new(), path: Vec::new(), cycles: BTreeSet::new() };
    edges.keys().for_each(|name| search.visit(name));
    search.cycles.into_iter().collect()
}

struct Search<'a> {
    edges: &'a BTreeMap<&'a str, &'a [String]>,
    done: BTreeSet<&'a str>,
    path: Vec<&'a str>,
    cycles: BTreeSet<Vec<String>>,
}

impl<'a> Search<'a> {
    fn visit(&mut self, name: &'a str) {
        if let Some(start) = self.path.iter().position(|one| *one == name) {
            let mut cycle: Vec<String> = self.path[start..].iter().map(|one| (*one).to_owned()).collect();
            let smallest = (0..cycle.len()).min_by_key(|&i| cycle[i].clone()).unwrap_or(0);
            cycle.rotate_left(smallest);
            self.cycles.insert(cycle);
        } else if self.done.insert(name) {
            self.path.push(name);
            self.edges.get(name).into_iter().copied().flatten().for_each(|next| self.visit(next));
            self.path.pop();
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
    fn finds_each_cycle_once() {
        assert_eq!(found(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"]), ("d", &["d", "a"])]), ["b c", "d"]);
        assert_eq!(found(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &["gone"])]), Vec::<String>::new());
    }
}

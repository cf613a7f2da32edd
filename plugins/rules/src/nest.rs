//! Segments that refer to segments: the order to evaluate them in, and the circles that have none.

use crate::{ast::ExprKind, parse::Rule, source::problem};
use kindred_plugin_api::Problem;
use std::{collections::HashMap, ops::Range};

/// Ordinals in an order in which each rule comes after those that it refers to.
///
/// # Errors
/// One problem per circle, in the rule of its first segment; paths start at the list of segments.
pub(crate) fn order(names: &[String], rules: &[Rule]) -> Result<Vec<usize>, Vec<Problem>> {
    let edges = edges(names, rules);
    let mut waiting: Vec<usize> = edges.iter().map(Vec::len).collect();
    let mut users = vec![Vec::new(); rules.len()];
    for (user, used) in edges.iter().enumerate() {
        used.iter().for_each(|(ordinal, _)| users[*ordinal].push(user));
    }
    let mut order: Vec<usize> = (0..rules.len()).filter(|&ordinal| waiting[ordinal] == 0).collect();
    let mut next = 0;
    while let Some(&done) = order.get(next) {
        next += 1;
        for &user in &users[done] {
            waiting[user] -= 1;
            if waiting[user] == 0 {
                order.push(user);
            }
        }
    }
    if order.len() == rules.len() { Ok(order) } else { Err(circles(names, &edges, &waiting)) }
}

/// Names of the segments that a rule refers to, and where.
pub(crate) fn references(rule: &Rule) -> Vec<(&str, Range<usize>)> {
    let mut found = Vec::new();
    rule.root.walk(&mut |expr| {
        if let ExprKind::InSegment(name) = &expr.kind {
            found.push((name.as_str(), expr.range.clone()));
        }
    });
    found
}

/// Puts the problem of one rule in its place in the list of segments.
pub(crate) fn placed(ordinal: usize, problem: Problem) -> Problem {
    Problem { path: format!("/{ordinal}/config{}", problem.path), ..problem }
}

type Edges = Vec<Vec<(usize, Range<usize>)>>;

fn edges(names: &[String], rules: &[Rule]) -> Edges {
    let ordinals: HashMap<&str, usize> =
        names.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let own = |(name, range): (&str, Range<usize>)| Some((*ordinals.get(name)?, range));
    rules.iter().map(|rule| references(rule).into_iter().filter_map(own).collect()).collect()
}

fn circles(names: &[String], edges: &Edges, waiting: &[usize]) -> Vec<Problem> {
    let mut seen = vec![false; edges.len()];
    let mut problems = Vec::new();
    for start in (0..edges.len()).filter(|&ordinal| waiting[ordinal] > 0) {
        let (mut path, mut at) = (Vec::new(), start);
        while !seen[at] {
            seen[at] = true;
            // Whatever waits refers to something that waits.
            let Some((used, range)) = edges[at].iter().find(|(used, _)| waiting[*used] > 0) else { break };
            path.push((at, range.clone()));
            at = *used;
        }
        let Some(first) = path.iter().position(|(ordinal, _)| *ordinal == at) else { continue };
        let circle = &path[first..];
        let shown: Vec<String> = circle.iter().map(|(ordinal, _)| format!("`{}`", names[*ordinal])).collect();
        let message =
            format!("segments refer to each other in a circle: {} → `{}`", shown.join(" → "), names[at]);
        let found = problem(circle[0].1.clone(), message).help("take one of the references out");
        problems.push(placed(at, found));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_of(rules: &[(&str, &str)]) -> Result<Vec<usize>, Vec<Problem>> {
        let names: Vec<String> = rules.iter().map(|(name, _)| (*name).to_owned()).collect();
        let rules: Vec<Rule> = rules.iter().map(|(_, rule)| Rule::parse(rule).unwrap()).collect();
        order(&names, &rules)
    }

    #[test]
    fn users_come_after_what_they_use() {
        let rules = [
            ("a", "in_segment('c')"),
            ("b", "TRUE"),
            ("c", "in_segment('b') OR in_segment('elsewhere')"),
            ("d", "TRUE"),
        ];
        assert_eq!(order_of(&rules), Ok(vec![1, 3, 2, 0]));
    }

    #[test]
    fn each_circle_is_one_problem() {
        let rules = [
            ("user", "in_segment('b')"),
            ("a", "NOT in_segment('b')"),
            ("b", "TRUE AND in_segment('a')"),
            ("self", "in_segment('self')"),
        ];
        let problems = order_of(&rules).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].message.ends_with("`b` → `a` → `b`"), "{}", problems[0].message);
        assert_eq!((problems[0].path.as_str(), problems[0].range), ("/2/config/rule", Some((9, 24))));
        assert_eq!((problems[1].path.as_str(), problems[1].range), ("/3/config/rule", Some((0, 18))));
    }
}

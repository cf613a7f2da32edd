//! Which sources a rule depends on, as far as its text tells: an attribute names its source, and a call over events is
//! about one where its condition says so.

use crate::ast::{CompareOp, Expr, ExprKind, Literal};
use kindred_plugin_api::columns::profile::SOURCE;
use std::collections::BTreeSet;

/// The sources whose attributes and events a rule reads; none where it may be any.
pub(crate) fn sources(rule: &Expr) -> Option<BTreeSet<String>> {
    let mut found = Some(BTreeSet::new());
    rule.walk(&mut |expr| {
        let read = match &expr.kind {
            ExprKind::Attribute(name) => {
                Some(name.split_once('.').map(|(source, _)| BTreeSet::from([source.to_owned()])))
            }
            ExprKind::Aggregate(call) => Some(said(&call.predicate)),
            ExprKind::Sequence(sequence) => Some(union(sequence.steps.iter().map(said))),
            // Whoever brought it.
            ExprKind::HasIdentifier(_) => Some(None),
            _ => None,
        };
        if let Some(read) = read {
            found = found.take().zip(read).map(|(all, read)| all.into_iter().chain(read).collect());
        }
    });
    found
}

/// The sources that an event can be of when a condition holds for it; none where it may be any.
fn said(condition: &Expr) -> Option<BTreeSet<String>> {
    match &condition.kind {
        ExprKind::Compare { op: CompareOp::Eq, left, right } => match (&left.kind, &right.kind) {
            (ExprKind::Column(name), ExprKind::Literal(Literal::Text(source)))
            | (ExprKind::Literal(Literal::Text(source)), ExprKind::Column(name))
                if name == SOURCE =>
            {
                Some(BTreeSet::from([source.clone()]))
            }
            _ => None,
        },
        ExprKind::In { expr, list, negated: false } => match &expr.kind {
            ExprKind::Column(name) if name == SOURCE => list.iter().map(text).collect(),
            _ => None,
        },
        ExprKind::And(parts) => parts.iter().find_map(said),
        ExprKind::Or(parts) => union(parts.iter().map(said)),
        _ => None,
    }
}

fn union(parts: impl Iterator<Item = Option<BTreeSet<String>>>) -> Option<BTreeSet<String>> {
    Some(parts.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
}

fn text(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Literal(Literal::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::Rule;

    #[test]
    fn what_a_rule_can_depend_on() {
        let read = |rule: &str| {
            let rule = Rule::parse(rule).unwrap();
            sources(&rule.root).map(|all| all.into_iter().collect::<Vec<_>>().join(" "))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("attr('crm.country') = 'DE' OR attr('panel.age') > 3"), some("crm panel"));
        assert_eq!(
            read("did(source = 'web') AND NOT did('app' = source AND event = 'buy', '3 days')"),
            some("app web")
        );
        assert_eq!(read("count(source IN ('web', 'app'), '2 days') > 1"), some("app web"));
        assert_eq!(
            read("sum(amount, source = 'web' OR (source = 'app' AND event = 'x'), '2 days') > 1"),
            some("app web")
        );
        assert_eq!(read("sequence(source = 'a' THEN source = 'b' WITHIN '1 day')"), some("a b"));
        assert_eq!(read("in_segment('vip') AND consent() = 'granted'"), some(""));
        for any in [
            "did(event = 'buy')",
            "did(source <> 'panel')",
            "did(NOT source = 'panel')",
            "did(source NOT IN ('panel'))",
            "did(source = 'web' OR event = 'buy')",
            "did(source = event)",
            "did(source LIKE 'w%')",
            "sequence(source = 'a' THEN event = 'b' WITHIN '1 day')",
            "has_identifier('email')",
            "attr('crm.x') = 1 AND did(TRUE)",
        ] {
            assert_eq!(read(any), None, "{any}");
        }
    }
}

//! What rules read: exactly these columns, and no further back than the longest window.

use crate::{ast::ExprKind, parse::Rule};
use kindred_plugin_api::{
    Needs,
    columns::{ATTR, CONSENT, EVENT_TIME, profile},
};
use std::collections::{BTreeSet, HashMap};

/// The needs of all rules together.
pub(crate) fn needs(rules: &[Rule], own: &HashMap<String, usize>) -> Needs {
    let mut columns = BTreeSet::new();
    // Without any call nothing of the past is read.
    let mut look_back_us = Some(0);
    for rule in rules {
        rule.root.walk(&mut |expr| {
            let window = match &expr.kind {
                ExprKind::Aggregate(call) => Some(&call.window),
                ExprKind::Sequence(sequence) => Some(&sequence.window),
                _ => None,
            };
            if let Some(window) = window {
                look_back_us = look_back_us.zip(window.look_back_us()).map(|(longest, one)| one.max(longest));
            }
            columns.extend(match &expr.kind {
                ExprKind::Column(name) => Some(event_column(name)),
                ExprKind::Attribute(name) => Some(format!("{ATTR}{name}")),
                ExprKind::InSegment(name) => {
                    (!own.contains_key(name)).then(|| format!("{}{name}", profile::IN))
                }
                ExprKind::HasIdentifier(_) => Some(profile::IDENTIFIERS.to_owned()),
                ExprKind::Consent => Some(CONSENT.to_owned()),
                ExprKind::Aggregate(_) | ExprKind::Sequence(_) | ExprKind::Day(_) => {
                    Some(event_column(EVENT_TIME))
                }
                _ => None,
            });
        });
    }
    Needs { columns: columns.into_iter().collect(), look_back_us }
}

fn event_column(name: &str) -> String {
    format!("{}.{name}", profile::EVENTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs_of(rules: &[&str]) -> Needs {
        let rules: Vec<Rule> = rules.iter().map(|rule| Rule::parse(rule).unwrap()).collect();
        needs(&rules, &HashMap::from([("own".to_owned(), 0)]))
    }

    #[test]
    fn exactly_what_is_read() {
        let needs = needs_of(&[
            "sum(amount, event = 'purchase', '2 days', '1 day') > attr('crm.limit')",
            "has_identifier('cookie') AND consent() = 'granted' AND did(TRUE, '12 hours')",
            "in_segment('own') AND in_segment('other')",
        ]);
        let columns = [
            "attr.crm.limit",
            "consent",
            "events.amount",
            "events.event",
            "events.event_time",
            "identifiers",
            "in.other",
        ];
        assert_eq!(needs.columns, columns);
        assert_eq!(needs.look_back_us, Some(2 * 86_400_000_000));
    }

    #[test]
    fn a_call_without_a_window_reads_everything() {
        assert_eq!(needs_of(&["did(TRUE, '1 day')", "days_since(TRUE) > 3"]).look_back_us, None);
        assert_eq!(needs_of(&["attr('a') = 1"]).look_back_us, Some(0));
        assert_eq!(needs_of(&["did(TRUE, '2026-01-01', '2026-02-01')"]).look_back_us, None);
        let quarters = needs_of(&["sequence(TRUE THEN TRUE WITHIN '1 day', 'previous quarter')"]);
        assert_eq!(quarters.look_back_us, Some(188 * 86_400_000_000));
        assert_eq!(quarters.columns, ["events.event_time"]);
    }
}

//! The rule language as tables: from them come help texts, `docs/rules.md`, and tests that run every example.

mod forms;
mod functions;
mod page;

pub use forms::FORMS;
pub use functions::FUNCTIONS;
pub use page::page;

/// A function, or another part of the language.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// How it is written.
    pub signature: &'static str,
    /// What its value is.
    pub meaning: &'static str,
    /// What it makes of time.
    pub time: &'static str,
    /// What it makes of nothing.
    pub null: &'static str,
    /// A rule that uses it.
    pub example: Example,
}

/// A rule and its answer, as of 2026-01-31T00:00:00Z.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// The rule.
    pub rule: &'static str,
    /// Everybody there is; the first is the one asked about. A line is an event (`2026-01-30 event=view price=2.5`),
    /// `attr crm.country=DE`, `identifier cookie`, `segment vip` or `consent denied`.
    pub profiles: &'static [&'static [&'static str]],
    /// Whether the rule is true of the first profile.
    pub holds: bool,
}

/// The names that the parser takes for functions.
pub fn parsed() -> impl Iterator<Item = &'static str> {
    crate::call::names()
}

/// How a function is written; none for what is no function.
pub(crate) fn signature(name: &str) -> Option<&'static str> {
    FUNCTIONS.iter().find(|entry| entry.name == name).map(|entry| entry.signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ast::{Expr, ExprKind},
        parse::Rule,
        window::Window,
    };
    use std::collections::BTreeSet;

    /// The entry about a part of a rule; none for what stands in any of them.
    fn entry_of(kind: &ExprKind) -> Option<&'static str> {
        Some(match kind {
            ExprKind::Literal(_) | ExprKind::Column(_) => return None,
            ExprKind::Day(_) => "count_distinct_days",
            ExprKind::Attribute(_) => "attr",
            ExprKind::InSegment(_) => "in_segment",
            ExprKind::HasIdentifier(_) => "has_identifier",
            ExprKind::Consent => "consent",
            ExprKind::Aggregate(call) => call.function.name(),
            ExprKind::Rate { .. } => "rate",
            ExprKind::Sequence(_) => "sequence",
            ExprKind::Percentile(_) => "percentile",
            ExprKind::Total(_) => "total",
            ExprKind::Case { .. } => "choice",
            ExprKind::Not(_) | ExprKind::And(_) | ExprKind::Or(_) => "logic",
            ExprKind::Compare { .. } => "comparison",
            ExprKind::Arithmetic { .. } | ExprKind::Negate(_) => "arithmetic",
            ExprKind::In { .. } => "list",
            ExprKind::Between { .. } => "range",
            ExprKind::Like { .. } => "pattern",
            ExprKind::Is { .. } => "test",
        })
    }

    fn window_of(kind: &ExprKind) -> Option<&'static str> {
        let window = match kind {
            ExprKind::Aggregate(call) => &call.window,
            ExprKind::Sequence(sequence) => &sequence.window,
            _ => return None,
        };
        Some(match window {
            Window::Rolling { .. } => "rolling window",
            Window::Absolute { .. } => "absolute window",
            Window::Calendar { .. } => "calendar window",
        })
    }

    /// The entries about what an example is made of.
    fn entries_of(example: &Example) -> BTreeSet<&'static str> {
        let rule = Rule::parse(example.rule).unwrap_or_else(|problems| panic!("{problems:?}"));
        let mut entries = BTreeSet::new();
        rule.root.walk(&mut |expr: &Expr| {
            entries.extend(entry_of(&expr.kind));
            entries.extend(window_of(&expr.kind));
        });
        entries
    }

    #[test]
    fn every_part_of_a_rule_has_an_entry_and_every_entry_an_example_of_it() {
        let all: BTreeSet<&str> = FUNCTIONS.iter().chain(FORMS).map(|entry| entry.name).collect();
        for Entry { name, example, .. } in FUNCTIONS.iter().chain(FORMS) {
            let used = entries_of(example);
            assert!(used.contains(name), "`{name}`: {} has {used:?}", example.rule);
            assert!(used.is_subset(&all), "`{name}`: {} has {used:?}", example.rule);
        }
    }
}

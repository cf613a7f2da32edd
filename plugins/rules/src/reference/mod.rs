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

/// How a function is written; none for what is no function.
pub(crate) fn signature(name: &str) -> Option<&'static str> {
    FUNCTIONS.iter().find(|entry| entry.name == name).map(|entry| entry.signature)
}

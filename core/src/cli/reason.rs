//! The tree of conditions behind an answer, one a line.

use super::{out::say, paint::Paint};
use kindred_plugin_api::Reason;

/// Prints a reason, moved in by so many steps.
pub(super) fn print(paint: Paint, reason: &Reason, depth: usize) {
    let mark = match reason.holds {
        Some(true) => paint.good("✓"),
        Some(false) => paint.bad("✗"),
        None => paint.unsure("?"),
    };
    let indent = "  ".repeat(depth);
    // Rules may be written on many lines; a condition is one here.
    let condition = reason.condition.split_whitespace().collect::<Vec<_>>().join(" ");
    let value = reason.value.as_ref().map(|v| format!("  = {}", paint.strong(v))).unwrap_or_default();
    // A threshold that stands in the condition need not be told twice.
    let threshold = reason.threshold.as_ref().filter(|threshold| !condition.contains(threshold.as_str()));
    let threshold = threshold.map(|t| paint.faint(&format!("  (needs {t})"))).unwrap_or_default();
    say!("{indent}{mark} {condition}{value}{threshold}");
    reason.evidence.iter().for_each(|line| say!("{indent}    {}", paint.faint(&format!("· {line}"))));
    reason.because.iter().for_each(|below| print(paint, below, depth + 1));
}

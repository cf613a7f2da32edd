//! Seeds of random cases. `KINDRED_CASES=500` tries more of them than the suite does, `KINDRED_SEED=7` one again.

/// First those that a case once failed with, then half of `usual` the same each time and half of them new; only the one of
/// `KINDRED_SEED`, if it is set.
pub fn seeds(failed: &[u64], usual: u64) -> Vec<u64> {
    if let Some(seed) = number("KINDRED_SEED") {
        return vec![seed];
    }
    let elapsed = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock that is past 1970");
    let fresh = elapsed.as_nanos() as u64;
    let seed = |case: u64| if case.is_multiple_of(2) { case / 2 } else { fresh.wrapping_add(case) };
    failed.iter().copied().chain((0..number("KINDRED_CASES").unwrap_or(usual)).map(seed)).collect()
}

/// # Panics
/// When it is set and no number: then it would not be what was meant to be tried.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a whole number")))
}

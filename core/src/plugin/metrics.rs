//! What plugins count, by metric and instance. An instance that is opened again goes on where it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

/// Metrics that one instance may have; a name must not be made of data.
const MOST: usize = 100;
/// Characters of a name.
const LENGTH: usize = 64;

/// A metric of one kind, with its value for each instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Adds up; else it is what it was set to last.
    pub adds: bool,
    /// Values by instance.
    pub values: BTreeMap<String, f64>,
}

/// By name and whether it adds up.
type Table = BTreeMap<(String, bool), BTreeMap<String, f64>>;

#[derive(Default)]
struct Told {
    metrics: Table,
    /// Instances whose metrics were refused once; they were told.
    refused: BTreeSet<String>,
}

fn told() -> MutexGuard<'static, Told> {
    static TOLD: OnceLock<Mutex<Told>> = OnceLock::new();
    TOLD.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a value; why it is not taken, once for each instance.
pub(super) fn take(instance: &str, name: &str, adds: bool, value: f64) -> Option<String> {
    let mut told = told();
    let why = refusal(&told.metrics, instance, (name, adds), value);
    let Some(why) = why else {
        let values = told.metrics.entry((name.to_owned(), adds)).or_default();
        let held = values.entry(instance.to_owned()).or_default();
        *held = if adds { *held + value } else { value };
        return None;
    };
    told.refused.insert(instance.to_owned()).then_some(why)
}

fn refusal(metrics: &Table, instance: &str, (name, adds): (&str, bool), value: f64) -> Option<String> {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if name.len() > LENGTH || !letters || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        let name: String = name.chars().take(LENGTH).collect();
        return Some(format!(
            "`{name}` is no name of a metric: {LENGTH} letters, digits and `_` are allowed, the first a letter"
        ));
    }
    if !value.is_finite() || (adds && value < 0.0) {
        return Some(format!("{value} cannot be a value of the metric `{name}`"));
    }
    let key = (name.to_owned(), adds);
    let is_known = metrics.get(&key).is_some_and(|values| values.contains_key(instance));
    let own = metrics.values().filter(|values| values.contains_key(instance)).count();
    (!is_known && own >= MOST).then(|| format!("the metric `{name}` is one too many: {MOST} are allowed"))
}

/// All metrics.
pub fn metrics() -> Vec<Metric> {
    let told = told();
    let one = |((name, adds), values): (&(String, bool), &BTreeMap<String, f64>)| Metric {
        name: name.clone(),
        adds: *adds,
        values: values.clone(),
    };
    told.metrics.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, instance: &str) -> Option<f64> {
        metrics().iter().find(|metric| metric.name == name)?.values.get(instance).copied()
    }

    #[test]
    fn counters_add_up_and_gauges_are_set() {
        for (name, adds, expected) in [("shipped", true, 5.0), ("waiting", false, 3.0)] {
            assert_eq!(take("adds", name, adds, 2.0), None);
            assert_eq!(take("adds", name, adds, 3.0), None);
            assert_eq!(value(name, "adds"), Some(expected));
        }
        assert_eq!(value("shipped", "another"), None);
    }

    #[test]
    fn what_is_refused_is_told_once_and_changes_nothing() {
        assert_eq!(take("bad", "good", true, 1.0), None);
        assert!(take("bad", "{evil}", true, 1.0).is_some_and(|why| why.contains("{evil}")));
        for (name, value) in [("good", -1.0), ("good", f64::NAN), ("", 1.0), (&"a".repeat(65), 1.0)] {
            assert_eq!(take("bad", name, true, value), None, "it was told once");
        }
        assert_eq!(value("good", "bad"), Some(1.0));
    }

    #[test]
    fn names_are_not_made_without_end() {
        for at in 0..MOST {
            assert_eq!(take("many", &format!("m{at}"), true, 1.0), None);
        }
        assert!(take("many", "another", true, 1.0).is_some_and(|why| why.contains("one too many")));
        assert_eq!(value("another", "many"), None);
        assert_eq!(take("many", "m0", true, 1.0), None);
        assert_eq!(value("m0", "many"), Some(2.0));
    }
}

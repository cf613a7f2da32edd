//! The bounds, as they stand in options.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Bounds of connections and their times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at once; further ones wait, and the one that has been idle for the longest is closed for them.
    pub connections: usize,
    /// Connections at once from one address; further ones are refused. 0 for no bound, which is right behind a proxy.
    pub per_address: usize,
    /// Milliseconds that the head of a request may take, counted from the connection for the first one.
    pub header_ms: u64,
    /// Milliseconds that a request may take once its head is there, body and answer together.
    pub request_ms: u64,
    /// Milliseconds that a connection may stand idle between two requests.
    pub idle_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 4096, per_address: 0, header_ms: 5_000, request_ms: 15_000, idle_ms: 60_000 }
    }
}

impl Limits {
    /// What is wrong with them: the field and a message.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let fields = [
            ("connections", self.connections as u64, 1_000_000),
            ("header_ms", self.header_ms, 600_000),
            ("request_ms", self.request_ms, 600_000),
            ("idle_ms", self.idle_ms, 3_600_000),
        ];
        let wrong = fields.into_iter().filter(|(_, value, most)| !(1..=*most).contains(value));
        wrong.map(|(field, value, most)| (field, format!("{value} is not in 1..={most}"))).collect()
    }

    pub(crate) fn header(&self) -> Duration {
        Duration::from_millis(self.header_ms)
    }

    pub(crate) fn request(&self) -> Duration {
        Duration::from_millis(self.request_ms)
    }

    pub(crate) fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_has_a_default_and_unknown_ones_are_refused() {
        let limits: Limits = serde_json::from_str(r#"{"idle_ms": 7}"#).unwrap();
        assert_eq!(limits, Limits { idle_ms: 7, ..Limits::default() });
        assert!(serde_json::from_str::<Limits>(r#"{"idle": 7}"#).is_err());
    }

    #[test]
    fn zero_is_no_bound_of_time() {
        assert_eq!(Limits::default().problems(), []);
        let limits = Limits { header_ms: 0, ..Limits::default() };
        assert_eq!(limits.problems(), [("header_ms", "0 is not in 1..=600000".to_owned())]);
    }
}

//! Scenarios of the enrichments that read one text column and add what it says.

use super::{Scenario, events};
use arrow::array::StringArray;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn user_agent() -> Scenario {
    let pc = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0";
    let bot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    let tablet = "Mozilla/5.0 (Android 13; Tablet; rv:127.0) Gecko/127.0 Firefox/127.0";
    let agents =
        [Some(pc), Some(bot), None, Some(""), Some(tablet), Some("?"), Some(bot), Some("🦀"), Some(pc), None];
    text("user-agent", json!({ "bots": "drop" }), vec![("user_agent", agents)])
}

/// A scenario with these columns of text.
fn text(plugin: &'static str, config: Value, columns: Vec<(&str, [Option<&str>; 10])>) -> Scenario {
    let columns =
        columns.into_iter().map(|(name, rows)| (name, Arc::new(StringArray::from(rows.to_vec())) as _));
    Scenario { plugin, config, files: Vec::new(), input: Some(events(columns.collect())) }
}

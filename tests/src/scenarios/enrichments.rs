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

pub(super) fn geo() -> Scenario {
    let ips = [
        Some("81.2.69.142"),
        Some("198.51.100.7"),
        None,
        Some(""),
        Some("2001:218::1"),
        Some("::ffff:81.2.69.1"),
        Some("300.1.1.1"),
        Some("jane@example.com"),
        Some("81.2.69.142"),
        None,
    ];
    let scenario = text(
        "geo",
        json!({ "database": "half.mmdb", "columns": ["country"], "keep": true }),
        vec![("ip", ips)],
    );
    Scenario { files: vec![("half.mmdb", half_a_world())], ..scenario }
}

/// A database of one node: 0.0.0.0/1 is in the Netherlands, the rest nowhere. By the MaxMind DB File Format 2.0.
fn half_a_world() -> Vec<u8> {
    let text = |text: &str| [&[0x40 | text.len() as u8], text.as_bytes()].concat();
    let map = |pairs: u8| vec![0xe0 | pairs];
    let number = |kind: u8, value: u8| vec![kind << 5 | 1, value];
    // Left: the record at the start of the data, behind one node and the separator. Right: nothing.
    let tree = vec![0, 0, 1 + 16, 0, 0, 1];
    let record = [map(1), text("country"), map(1), text("iso_code"), text("NL")].concat();
    let metadata = [
        map(9),
        [text("binary_format_major_version"), number(5, 2)].concat(),
        [text("binary_format_minor_version"), vec![0xa0]].concat(),
        [text("build_epoch"), vec![0, 2]].concat(),
        [text("database_type"), text("Half-Country")].concat(),
        [text("description"), map(0)].concat(),
        [text("ip_version"), number(5, 4)].concat(),
        [text("languages"), vec![0, 4]].concat(),
        [text("node_count"), number(6, 1)].concat(),
        [text("record_size"), number(5, 24)].concat(),
    ];
    [tree, vec![0; 16], record, b"\xab\xcd\xefMaxMind.com".to_vec(), metadata.concat()].concat()
}

pub(super) fn url() -> Scenario {
    let urls = [
        Some("https://shop.example/coats/winter/1?utm_source=news&utm_medium=email&token=t#top"),
        Some("https://jane:secret@Shop.Example:443/coats/m%C3%A4ntel/?gclid=abc"),
        None,
        Some(""),
        Some("/coats/winter?q=jane@example.com"),
        Some("mailto:jane@example.com"),
        Some("http://["),
        Some("app://shop/start"),
        Some("https://shop.example/coats/winter/1?utm_source=news"),
        Some("🦀"),
    ];
    let referrers = [
        Some("https://mail.example/inbox?id=1"),
        Some("https://www.google.co.uk/search?q=coats"),
        Some("https://t.co/x"),
        None,
        Some("https://www.shop.example/"),
        Some(""),
        Some("android-app://com.google.android.gm/"),
        Some("?"),
        Some("https://shop.example/"),
        Some("http://["),
    ];
    let categories = [Some("known"), None, None, None, Some(""), None, None, None, None, None];
    let rules = json!([{ "path": "/coats/winter/**", "category": "winter" }, { "path": "/coats/*/", "category": "coats" }]);
    let config = json!({ "keep_query": ["q"], "categories": rules, "internal": ["shop.example"] });
    text("url", config, vec![("url", urls), ("referrer", referrers), ("category", categories)])
}

pub(super) fn content_category() -> Scenario {
    let categories = [
        Some("shoes"),
        Some("227"),
        None,
        Some(""),
        Some("IAB17-3"),
        Some("IAB1"),
        Some("horse racing"),
        Some("bikes"),
        Some("SPSHQ5"),
        Some("unknown"),
    ];
    let config = json!({ "map": { "shoes": "IAB 227" }, "map_file": "categories.csv" });
    let scenario = text("content-category", config, vec![("category", categories)]);
    Scenario { files: vec![("categories.csv", b"category,id\nbikes,IAB17-3\n".to_vec())], ..scenario }
}

pub(super) fn session() -> Scenario {
    let ids =
        [Some("1"), Some("1"), None, Some(""), Some("2"), Some("1"), Some("2"), Some("🦀"), Some("1"), None];
    let cookies = [
        Some("c1"),
        Some("c2"),
        Some("c1"),
        Some("c1"),
        Some("c1"),
        Some("c1"),
        None,
        Some(""),
        Some("c1"),
        None,
    ];
    text("session", json!({ "identifier": "cookie" }), vec![("id.cookie", cookies), ("session_id", ids)])
}

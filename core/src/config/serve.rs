//! `[serve]`: how a pipeline is served, and who may ask it.

use super::{
    age,
    engine::is_address,
    file::{self, KeyTable, ServeTable},
    problem::Problem,
    tree::{Node, Value},
};
use crate::near::instead;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Characters of a key that cannot be guessed.
const SHORTEST_KEY: usize = 16;
const LISTEN_HELP: &str = "write HOST:PORT, such as `127.0.0.1:8181`; port 0 takes any that is free";

/// How `kindred serve` works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serve {
    /// Address of health, metrics and the Profile API, `HOST:PORT`.
    pub listen: String,
    /// Between two deliveries, milliseconds.
    pub deliver_every_ms: u64,
    /// Between two fittings of models, milliseconds.
    pub fit_every_ms: u64,
    /// Between two looks at a source that has ended, milliseconds.
    pub look_every_ms: u64,
    /// Name of the id cookie that stands for `me`.
    pub cookie: Option<String>,
    /// Callers of the Profile API, sorted by name.
    pub keys: Vec<Key>,
}

/// One `[serve.keys.NAME]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name, which may stand in logs.
    pub name: String,
    /// The secret.
    pub key: String,
    /// What it may ask.
    pub scopes: Vec<Scope>,
    /// Attributes that it is shown, `SOURCE.NAME`.
    pub attributes: Vec<String>,
    /// Segments that it is shown; none for all.
    pub segments: Option<Vec<String>>,
    /// How far a profile's consent must reach for this use.
    pub purpose: Purpose,
    /// Web pages that may use it: `https://shop.example`.
    pub origins: Vec<String>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a key may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One profile, by an identifier.
    Profile,
    /// Many profiles at once.
    Bulk,
    /// Who enters and leaves, as it happens.
    Changes,
    /// Why a profile is in a segment.
    Explain,
    /// `/metrics`.
    Metrics,
}

/// What a caller uses profiles for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Personalisation on the operator's own pages: consent must reach `segment`.
    #[default]
    Segment,
    /// Handing data on: consent must reach `activate`.
    Activate,
}

impl Default for ServeTable {
    fn default() -> Self {
        Self {
            listen: file::listen(),
            deliver_every: file::deliver_every(),
            fit_every: file::fit_every(),
            look_every: file::look_every(),
            cookie: None,
            keys: BTreeMap::new(),
        }
    }
}

/// What the table says; it counts only when no problem was found.
pub(super) fn read(table: ServeTable, node: &Node, segments: &[&str], problems: &mut Vec<Problem>) -> Serve {
    let any_port = table.listen.strip_suffix(":0").map(|host| format!("{host}:1"));
    if !is_address(any_port.as_deref().unwrap_or(&table.listen)) {
        let message = format!("`{}` is not an address to listen at", table.listen);
        let problem = Problem::at(&node.span_of("listen"), message).found("not an address");
        problems.push(problem.help(LISTEN_HELP));
    }
    let mut wait_ms = |key: &str, text: &str| {
        age::wait_ms(text).unwrap_or_else(|why| {
            let problem =
                Problem::at(&node.span_of(key), format!("`serve.{key}` is not a time to wait: {why}"));
            problems.push(problem.found("not a time to wait").help(age::WAITS));
            0
        })
    };
    Serve {
        deliver_every_ms: wait_ms("deliver_every", &table.deliver_every),
        fit_every_ms: wait_ms("fit_every", &table.fit_every),
        look_every_ms: wait_ms("look_every", &table.look_every),
        listen: table.listen,
        cookie: table.cookie,
        keys: keys(table.keys, node, segments, problems),
    }
}

fn keys(
    tables: BTreeMap<String, KeyTable>,
    node: &Node,
    segments: &[&str],
    problems: &mut Vec<Problem>,
) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    for (name, table) in tables {
        let Some(node) = node.get("keys").and_then(|keys| keys.get(&name)) else { continue };
        let path = format!("serve.keys.{name}");
        if table.key.chars().count() < SHORTEST_KEY {
            let problem = Problem::at(&node.span_of("key"), format!("`{path}.key` can be guessed"));
            let help = format!("take at least {SHORTEST_KEY} random characters, from `${{env:…}}`");
            problems.push(problem.found("too short").help(help));
        } else if let Some(other) = keys.iter().find(|other| other.key == table.key) {
            let message = format!("`{path}.key` is that of `{}`", other.name);
            problems
                .push(Problem::at(&node.span_of("key"), message).found("the second").help("take another"));
        }
        for item in node.get("origins").map(Node::items).unwrap_or_default() {
            let Value::Text(text) = &item.value else { continue };
            let text = text.value.as_str();
            if !is_origin(text) {
                let problem = Problem::at(&item.span, format!("`{text}` is not the origin of a web page"));
                let help = "write scheme, host and port as browsers send them: `https://shop.example`";
                problems.push(problem.found("not an origin").help(help));
            }
        }
        for item in node.get("segments").map(Node::items).unwrap_or_default() {
            let Value::Text(text) = &item.value else { continue };
            let text = text.value.as_str();
            if !segments.contains(&text) {
                let problem = Problem::at(&item.span, format!("unknown segment `{text}`"));
                problems.push(problem.found("no such segment").help(instead(text, "segments", segments)));
            }
        }
        let KeyTable { key, scopes, attributes, segments, purpose, origins } = table;
        keys.push(Key { name, key, scopes, attributes, segments, purpose, origins });
    }
    keys
}

/// `SCHEME://HOST` or `SCHEME://HOST:PORT`, as browsers send it: RFC 6454, section 6.1.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|host| {
        let with_port = if host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']')) {
            host.to_owned()
        } else {
            format!("{host}:1")
        };
        is_address(&with_port) && !text.chars().any(|c| c.is_ascii_uppercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for good in ["https://shop.example", "http://localhost:3000", "https://[::1]:8443", "http://[::1]"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "*",
            "null",
            "shop.example",
            "https://shop.example/",
            "https://Shop.example",
            "https://",
            "ftp://x",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}

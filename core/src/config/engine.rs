//! `[engine]`: where whole audiences are computed.

use super::{
    Distributed, Engine, age,
    file::{EngineKind, EngineTable},
    problem::Problem,
    tree::{Node, Value},
};
use std::{collections::BTreeSet, path::Path};

/// Keys that are for the distributed engine.
const OTHERS: [&str; 4] = ["workers", "shared", "deadline", "retries"];
const WORKER_HELP: &str = "write HOST:PORT, such as `127.0.0.1:7701`, as given to `kindred worker --listen`";

/// The engine that the table asks for; it counts only when no problem was found.
pub(super) fn read(table: EngineTable, node: &Node, base_dir: &Path, problems: &mut Vec<Problem>) -> Engine {
    if table.kind == EngineKind::Embedded {
        // A kind that is not allowed has its problem, and so has a key that is not known.
        let is_meant =
            node.get("kind").is_none_or(|n| matches!(&n.value, Value::Text(t) if t.value == "embedded"));
        for entry in node.entries().iter().filter(|entry| is_meant && OTHERS.contains(&entry.key.as_str())) {
            let message = format!("`engine.{}` is for the distributed engine", entry.key);
            let problem = Problem::at(&entry.key_span, message).found("the engine is `embedded`");
            problems.push(problem.help("write `kind = \"distributed\"`, or take it out"));
        }
        return Engine::Embedded;
    }
    let shared = table.shared.filter(|shared| !shared.trim().is_empty());
    if shared.is_none() {
        let problem = Problem::at(&node.span_of("shared"), "the distributed engine has no `engine.shared`");
        let help = "name the directory that this machine and every worker see: `shared = \"/mnt/kindred\"`";
        problems.push(problem.found("no shared directory").help(help));
    }
    let deadline_ms = age::wait_ms(&table.deadline).unwrap_or_else(|why| {
        let message = format!("`engine.deadline` is not a time to wait: {why}");
        let problem = Problem::at(&node.span_of("deadline"), message).found("not a time to wait");
        problems.push(problem.help(age::WAITS));
        0
    });
    addresses(node, problems);
    Engine::Distributed(Distributed {
        workers: table.workers,
        shared: base_dir.join(shared.unwrap_or_default()),
        deadline_ms,
        retries: table.retries,
    })
}

fn addresses(node: &Node, problems: &mut Vec<Problem>) {
    let items = node.get("workers").map(Node::items).unwrap_or_default();
    if items.is_empty() {
        let problem = Problem::at(&node.span_of("workers"), "the distributed engine has no `engine.workers`");
        problems.push(problem.found("no workers").help(WORKER_HELP));
    }
    let mut seen = BTreeSet::new();
    for item in items {
        let Value::Text(text) = &item.value else { continue };
        let address = text.value.as_str();
        if !is_address(address) {
            let problem = Problem::at(&item.span, format!("`{address}` is not the address of a worker"));
            problems.push(problem.found("not an address").help(WORKER_HELP));
        } else if !seen.insert(address) {
            let problem = Problem::at(&item.span, format!("`{address}` stands in `engine.workers` twice"));
            problems.push(problem.found("the second").help("take it out"));
        }
    }
}

/// `HOST:PORT`, with brackets around an IPv6 address.
pub(super) fn is_address(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).map_or_else(
            || !host.is_empty() && !host.contains([':', '[', ']']),
            |v6| v6.parse::<std::net::Ipv6Addr>().is_ok(),
        );
        host && text.chars().all(allowed) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["127.0.0.1:7701", "worker-1.local:1", "[::1]:7701"] {
            assert!(is_address(good), "{good}");
        }
        for bad in
            ["127.0.0.1", ":7701", "host:0", "host:99999", "http://host:1", "a b:1", "::1:7701", "[x]:1"]
        {
            assert!(!is_address(bad), "{bad}");
        }
    }
}

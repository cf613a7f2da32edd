//! No way leads from a profile that does not consent to a destination: whatever rows say in whatever order, over runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use kindred_tests::sandbox::{Sandbox, files};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const PIPELINE: &str = r#"
[pipeline]
name = "test"
store = "store"
clock = "2026-02-01T00:00:00Z"

[sources.web]
plugin = "cookies"
config = { path = "logs", consent = "consent" }

[segments.seen]
rule = "did(event = 'view')"

[destinations.out]
plugin = "dsp-export"
segments = ["seen"]
minimum_audience = 50
config = { format = "csv", path = "out", identifier = "cookie" }
"#;

/// How far each word reaches: 0 nothing, 1 collect, 2 segment, 3 activate. A row with what is no word is rejected.
const WORDS: [(&str, Option<u8>); 5] = [
    ("granted", Some(3)),
    ("collect segment", Some(2)),
    ("collect", Some(1)),
    ("denied", Some(0)),
    ("no idea", None),
];

/// A row: cookie, word, and whether its event is the one that the segment asks for.
type Row = (u8, Option<usize>, bool);

fn rows() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let row = (0_u8..8, proptest::option::weighted(0.8, 0..WORDS.len()), proptest::bool::weighted(0.7));
    proptest::collection::vec(proptest::collection::vec(row, 1..12), 1..5)
}

/// What is known of a cookie: its last word and whether it has such an event.
#[derive(Default)]
struct Known {
    reach: Option<u8>,
    seen: bool,
}

/// Who an export says is in the audience: the last row of each counts.
fn delivered(sandbox: &Sandbox) -> BTreeSet<String> {
    let mut inside = BTreeMap::new();
    for (name, text) in files(&sandbox.path("out")) {
        if !name.ends_with(".csv") {
            continue;
        }
        let text = String::from_utf8(text).unwrap();
        let (header, lines) = text.split_once('\n').unwrap();
        assert_eq!(header, "segment,operation,cookie");
        for line in lines.lines() {
            let cells: Vec<&str> = line.split(',').collect();
            inside.insert(cells[2].to_owned(), cells[1] == "add");
        }
    }
    inside.into_iter().filter(|(_, inside)| *inside).map(|(id, _)| id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_sent_who_does_not_consent_to_it(runs in rows()) {
        let sandbox = Sandbox::new();
        sandbox.write("pipeline.toml", PIPELINE);
        // Enough others that the audience may be sent at all.
        let crowd = (0..60).map(|n| line(&format!("x{n}"), &format!("x{n}"), Some("granted"), true, 0));
        sandbox.write("logs/0.jsonl", crowd.collect::<String>());
        let mut known: BTreeMap<u8, Known> = BTreeMap::new();
        let mut minute = 1;
        for (run, rows) in runs.iter().enumerate() {
            let mut text = String::new();
            for (cookie, word, event) in rows {
                minute += 1;
                let word = word.map(|at| WORDS[at]);
                text += &line(&format!("r{minute}"), &format!("c{cookie}"), word.map(|w| w.0), *event, minute);
                // The source takes only rows with a grant, and a denial only of who is known.
                match word.and_then(|(_, reach)| reach) {
                    Some(reach) if reach > 0 => {
                        let known = known.entry(*cookie).or_default();
                        known.reach = Some(reach);
                        known.seen |= event;
                    }
                    Some(reach) => {
                        if let Some(known) = known.get_mut(cookie) {
                            known.reach = Some(reach);
                        }
                    }
                    None => {}
                }
            }
            sandbox.write(&format!("logs/{}.jsonl", run + 1), text);
            sandbox.json(&["run", "pipeline.toml"]);
            let who = |least: u8| -> BTreeSet<String> {
                let reaches = |known: &&Known| known.seen && known.reach >= Some(least);
                known.iter().filter(|(_, k)| reaches(k)).map(|(cookie, _)| format!("c{cookie}")).collect()
            };
            let ours = |all: BTreeSet<String>| -> BTreeSet<String> {
                all.into_iter().filter(|id| id.starts_with('c')).collect()
            };
            let members = sandbox.members(&["pipeline.toml"], "seen", "cookie").into_iter().collect();
            prop_assert_eq!(ours(members), who(2), "members after run {}", run);
            prop_assert_eq!(ours(delivered(&sandbox)), who(3), "delivered after run {}", run);
        }
    }
}

fn line(id: &str, cookie: &str, consent: Option<&str>, event: bool, minute: u32) -> String {
    let time = format!("2026-01-05T{:02}:{:02}:00Z", minute / 60, minute % 60);
    let event = if event { "view" } else { "other" };
    let row =
        serde_json::json!({"id": id, "cookie": cookie, "time": time, "consent": consent, "event": event});
    row.to_string() + "\n"
}

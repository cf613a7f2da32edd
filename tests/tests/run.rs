//! `kindred run` on files that people have: what happens to good rows, bad rows, bad files and bad disks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use kindred_tests::{
    disk::Disk,
    sandbox::{Sandbox, said},
};
use std::fs;

const PIPELINE: &str = r#"
[pipeline]
name = "test"
store = "store"
clock = "events"

[sources.web]
plugin = "cookies"
consent = "granted"
config = { path = "logs" }

[segments.lookers]
rule = "count(event = 'product_view', '30 days') >= 2"

[segments.buyers]
rule = "did(event = 'purchase')"

[destinations.out]
plugin = "dsp-export"
segments = ["lookers", "buyers"]
minimum_audience = 50
config = { format = "csv", path = "out", identifier = "cookie" }
"#;

/// Events of so many cookies, two product views each.
fn log(cookies: std::ops::Range<u32>, day: u32) -> String {
    let line = |cookie: u32, n: u32| {
        format!(
            r#"{{"id":"{cookie}-{day}-{n}","cookie":"c{cookie:04}","event":"product_view","time":"2026-01-{day:02}T1{n}:00:00Z"}}"#
        )
    };
    cookies.flat_map(|c| [line(c, 0), line(c, 1)]).map(|l| l + "\n").collect()
}

fn sandbox(pipeline: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("pipeline.toml", pipeline);
    sandbox
}

#[test]
fn a_second_run_changes_nothing_and_delivers_nothing() {
    let sandbox = sandbox(PIPELINE);
    sandbox.write("logs/1.jsonl", log(0..80, 5));
    let first = sandbox.json(&["run", "pipeline.toml"]);
    assert_eq!(first["sources"]["web"]["events"], 160);
    assert_eq!(first["segments"]["lookers"]["entered"], 80);
    assert_eq!(first["destinations"]["out"]["delivered"], 80);
    let before = kindred_tests::sandbox::files(&sandbox.path("out"));
    let second = sandbox.json(&["run", "pipeline.toml"]);
    assert_eq!(second["steps"], 0, "{second}");
    assert_eq!(second["sources"]["web"]["read"], 0);
    assert_eq!(second["destinations"]["out"]["delivered"], 0);
    assert_eq!(second["segments"]["lookers"]["size"], 80);
    assert_eq!(before, kindred_tests::sandbox::files(&sandbox.path("out")));
}

#[test]
fn the_same_events_in_another_file_count_once() {
    let sandbox = sandbox(PIPELINE);
    sandbox.write("logs/1.jsonl", log(0..60, 5));
    sandbox.json(&["run", "pipeline.toml"]);
    sandbox.write("logs/2.jsonl", format!("{}{}", log(0..60, 5), log(60..70, 5)));
    let second = sandbox.json(&["run", "pipeline.toml"]);
    assert_eq!(second["sources"]["web"]["duplicates"], 120);
    assert_eq!(second["sources"]["web"]["events"], 20);
    assert_eq!(second["destinations"]["out"]["delivered"], 10, "only the new ones");
}

#[test]
fn windows_end_without_events_and_removals_are_delivered() {
    let text = PIPELINE.replace("clock = \"events\"", "clock = \"${now}\"");
    let sandbox = sandbox(&format!("[vars]\nnow = \"2026-01-06T00:00:00Z\"\n{text}"));
    sandbox.write("logs/1.jsonl", log(0..60, 5));
    let run = |now: &str| sandbox.json(&["run", "pipeline.toml", "--set", &format!("now={now}")]);
    assert_eq!(run("2026-01-06T00:00:00Z")["segments"]["lookers"]["size"], 60);
    // The first of two views is at 10:00 on the 5th; half-open, it is out exactly 30 days later.
    assert_eq!(run("2026-02-04T09:59:59.999999Z")["segments"]["lookers"]["left"], 0);
    let after = run("2026-02-04T10:00:00Z");
    assert_eq!(after["segments"]["lookers"]["left"], 60, "{after}");
    assert_eq!(after["destinations"]["out"]["delivered"], 60, "removals flow, however small the audience is");
    assert_eq!(run("2026-02-04T10:00:00Z")["steps"], 0);
}

#[test]
fn ranks_follow_everybody_and_time_and_rules_follow_ranks() {
    let text = PIPELINE
        .replace("clock = \"events\"", "clock = \"${now}\"")
        .replace(
            "rule = \"count(event = 'product_view', '30 days') >= 2\"",
            "rule = \"percentile(count(event = 'product_view', '30 days')) >= 90\"",
        )
        .replace("rule = \"did(event = 'purchase')\"", "rule = \"did(TRUE) AND NOT in_segment('lookers')\"");
    let sandbox = sandbox(&format!("[vars]\nnow = \"2026-01-08T00:00:00Z\"\n{text}"));
    sandbox.write("logs/1.jsonl", log(0..60, 5) + &log(100..105, 6) + &log(100..105, 7));
    let run = |now: &str| {
        let summary = sandbox.json(&["run", "pipeline.toml", "--set", &format!("now={now}")]);
        let size = |name: &str| summary["segments"][name]["size"].as_u64().unwrap();
        ((size("lookers"), size("buyers")), summary)
    };
    // 60 of 65 have fewer views than four: a rank of 92.
    let (sizes, summary) = run("2026-01-08T00:00:00Z");
    assert_eq!(sizes, (5, 60), "{summary}");
    assert_eq!(run("2026-01-08T00:00:00Z").1["steps"], 0, "nothing changed");
    let reason = sandbox.json(&["explain", "pipeline.toml", "lookers", "cookie:c0100"]);
    assert_eq!((&reason["member"], &reason["reason"]["value"]), (&true.into(), &"4".into()), "{reason}");
    // Another file lifts ten of the others above them; six in 65 have a rank of 90 or more.
    sandbox.write("logs/2.jsonl", log(0..6, 6) + &log(0..6, 7) + &log(0..5, 8));
    let (sizes, summary) = run("2026-01-09T00:00:00Z");
    assert_eq!(sizes, (6, 59), "{summary}");
    // With no new data the views get too old, one day after the other.
    let (sizes, summary) = run("2026-02-06T12:00:00Z");
    assert_eq!(sizes, (5, 60), "{summary}");
    let (sizes, summary) = run("2026-03-01T00:00:00Z");
    assert_eq!(sizes, (0, 65), "{summary}");
    assert_eq!(run("2026-03-01T00:00:00Z").1["steps"], 0);
}

#[test]
fn bad_rows_become_dead_letters_and_good_ones_go_on() {
    let sandbox = sandbox(PIPELINE);
    let mut text = log(0..50, 5);
    text.push_str("not json\n");
    text.push_str("{\"id\":\"x1\",\"cookie\":\"\",\"event\":\"view\",\"time\":\"2026-01-05T10:00:00Z\"}\n");
    text.push_str("{\"id\":\"x2\",\"cookie\":\"c1\",\"event\":\"view\",\"time\":\"yesterday\"}\n");
    text.push_str(&log(50..60, 5));
    sandbox.write("logs/1.jsonl", text);
    let summary = sandbox.json(&["run", "pipeline.toml"]);
    let web = &summary["sources"]["web"];
    assert_eq!(web["read"], 123);
    assert_eq!(web["events"], 120);
    assert_eq!(web["rejected"], 3, "{web}");
    let letters = sandbox.json(&["dead-letters", "list", "pipeline.toml"]);
    let letters = letters.as_array().unwrap();
    assert_eq!(letters.len(), 3);
    let rows: Vec<u64> =
        letters.iter().filter(|l| l["stage"] == "source").map(|l| l["row"].as_u64().unwrap()).collect();
    assert!(rows.contains(&101), "the row of the file is named: {letters:?}");
    let shown = said(&sandbox.kindred(&["dead-letters", "list", "pipeline.toml"]));
    assert!(shown.contains("3 of 3 dead letters"), "{shown}");
}

#[test]
fn rows_without_consent_reach_no_profile_and_a_denial_leaves_every_audience() {
    let text = PIPELINE
        .replace("consent = \"granted\"\n", "")
        .replace("path = \"logs\"", "path = \"logs\", consent = \"consent\"");
    let sandbox = sandbox(&text);
    let line = |c: u32, n: u32, consent: &str| {
        format!(
            "{{\"id\":\"{c}-{n}\",\"cookie\":\"c{c}\",\"event\":\"purchase\",\"time\":\"2026-01-05T10:{n:02}:00Z\"{consent}}}\n"
        )
    };
    let granted: String = (0..60).map(|c| line(c, 1, ",\"consent\":\"granted\"")).collect();
    let silent: String = (60..90).map(|c| line(c, 1, "")).collect();
    sandbox.write("logs/1.jsonl", granted + &silent);
    let first = sandbox.json(&["run", "pipeline.toml"]);
    assert_eq!(first["profiles"], 60, "{first}");
    assert_eq!(first["sources"]["web"]["suppressed"], 30);
    assert_eq!(first["segments"]["buyers"]["size"], 60);
    let denied: String = (0..5).map(|c| line(c, 2, ",\"consent\":\"denied\"")).collect();
    sandbox.write("logs/2.jsonl", denied);
    let second = sandbox.json(&["run", "pipeline.toml"]);
    assert_eq!(second["segments"]["buyers"]["left"], 5, "{second}");
    assert_eq!(second["destinations"]["out"]["delivered"], 5, "as removals");
    let members = sandbox.members(&["pipeline.toml"], "buyers", "cookie");
    assert!(!members.contains(&"c3".to_owned()) && members.contains(&"c30".to_owned()));
}

#[test]
fn explain_agrees_with_membership() {
    let sandbox = sandbox(PIPELINE);
    sandbox.write("logs/1.jsonl", log(0..50, 5) + "{\"id\":\"one\",\"cookie\":\"once\",\"event\":\"product_view\",\"time\":\"2026-01-05T10:00:00Z\"}\n");
    sandbox.json(&["run", "pipeline.toml"]);
    let inside = sandbox.json(&["explain", "pipeline.toml", "lookers", "cookie:c0007"]);
    assert_eq!(inside["member"], true);
    assert_eq!(inside["reason"]["holds"], true);
    let outside = sandbox.json(&["explain", "pipeline.toml", "lookers", "cookie:once"]);
    assert_eq!(outside["member"], false);
    assert_eq!(outside["reason"]["holds"], false);
    let text = said(&sandbox.kindred(&["explain", "pipeline.toml", "lookers", "cookie:once"]));
    assert!(text.contains("cookie:once is not in `lookers`"), "{text}");
    assert!(
        sandbox.failure(&["explain", "pipeline.toml", "lookers", "cookie:nobody"]).contains("no profile")
    );
    assert!(
        sandbox
            .failure(&["explain", "pipeline.toml", "loookers", "cookie:once"])
            .contains("no segment `loookers`")
    );
}

#[test]
fn a_changed_rule_is_answered_for_everybody_without_new_events() {
    let sandbox = sandbox(PIPELINE);
    sandbox.write("logs/1.jsonl", log(0..60, 5));
    sandbox.json(&["run", "pipeline.toml"]);
    sandbox.write("pipeline.toml", PIPELINE.replace(">= 2", ">= 3"));
    let second = sandbox.json(&["run", "pipeline.toml"]);
    assert_eq!(second["segments"]["lookers"]["left"], 60, "{second}");
    let gone = PIPELINE
        .replace("[segments.lookers]\nrule = \"count(event = 'product_view', '30 days') >= 2\"\n", "")
        .replace("\"lookers\", ", "");
    sandbox.write("pipeline.toml", gone);
    let third = sandbox.json(&["run", "pipeline.toml"]);
    assert!(third["segments"].get("lookers").is_none());
    assert_eq!(sandbox.json(&["run", "pipeline.toml"])["steps"], 0, "and then there is nothing to do");
}

#[test]
fn raw_identifiers_are_refused_unless_declared() {
    let text = PIPELINE.replace(
        "path = \"logs\"",
        "path = \"logs\", identifiers = { email = { column = \"mail\", hash = \"none\" } }",
    );
    let sandbox = sandbox(&text);
    sandbox.write("logs/1.jsonl", "{\"id\":\"1\",\"cookie\":\"c\",\"mail\":\"a@b.example\",\"event\":\"v\",\"time\":\"2026-01-05T10:00:00Z\"}\n");
    let error = sandbox.failure(&["run", "pipeline.toml"]);
    assert!(error.contains("raw `email` identifiers") && error.contains("raw_identifiers"), "{error}");
    let hashed = format!(
        "{text}\n[[enrichments]]\nplugin = \"hash-identifiers\"\n[enrichments.config.columns]\nemail = {{ kind = \"email\", hash = \"sha256\" }}\n"
    );
    sandbox.write("pipeline.toml", hashed);
    assert_eq!(sandbox.json(&["run", "pipeline.toml"])["sources"]["web"]["events"], 1);
    let everything: Vec<u8> =
        kindred_tests::sandbox::files(&sandbox.path("store")).into_values().flatten().collect();
    assert!(!contains(&everything, b"a@b.example"), "no byte of it in the store");
    assert!(contains(&everything, b"email_sha256"));
}

/// A delivery that waits is cut again when somebody in it revokes: they are removed, should it have arrived after all, and
/// everybody else is added again.
#[test]
fn who_revokes_while_a_delivery_waits_is_taken_out_of_it() {
    let text = PIPELINE
        .replace("config = { path = \"logs\" }", "config = { path = \"logs\", consent = \"consent\" }")
        .replace("minimum_audience = 50", "minimum_audience = 50\non_error = { permanent = \"skip\" }");
    let sandbox = sandbox(&text);
    sandbox.write("logs/1.jsonl", log(0..80, 5));
    // Where files should go is a file.
    sandbox.write("out", "in the way");
    let failed = sandbox.kindred(&["run", "pipeline.toml", "--json"]);
    assert_eq!(failed.status.code(), Some(1), "{}", kindred_tests::sandbox::said(&failed));
    let denial =
        r#"{"id":"no","cookie":"c0007","event":"other","time":"2026-01-06T10:00:00Z","consent":"denied"}"#;
    sandbox.write("logs/2.jsonl", denial.to_owned() + "\n");
    fs::remove_file(sandbox.path("out")).unwrap();
    let second = sandbox.json(&["run", "pipeline.toml"]);
    assert_eq!(second["destinations"]["out"]["delivered"], 80, "{second}");
    let files = kindred_tests::sandbox::files(&sandbox.path("out"));
    let text: String = files.values().map(|file| String::from_utf8_lossy(file).into_owned()).collect();
    assert_eq!(text.lines().filter(|line| line.contains(",add,")).count(), 79);
    assert!(text.contains("lookers,remove,c0007") && !text.contains("add,c0007"), "{text}");
    let third = sandbox.json(&["run", "pipeline.toml"]);
    assert_eq!(third["destinations"]["out"]["delivered"], 0, "what was said again is sure now: {third}");
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}

#[test]
fn a_second_process_is_refused_and_names_the_first() {
    let sandbox = sandbox(PIPELINE);
    sandbox.write("logs/1.jsonl", log(0..60, 5));
    sandbox.json(&["run", "pipeline.toml"]);
    let held = kindred_core::store::Store::open(&sandbox.path("store")).unwrap();
    let error = sandbox.failure(&["run", "pipeline.toml"]);
    assert!(error.contains(&format!("in use by process {}", std::process::id())), "{error}");
    drop(held);
    sandbox.json(&["run", "pipeline.toml"]);
}

#[test]
fn files_that_are_missing_empty_or_broken_are_named() {
    let sandbox = sandbox(PIPELINE);
    let missing = sandbox.failure(&["run", "pipeline.toml"]);
    assert!(missing.contains("logs"), "{missing}");
    fs::create_dir(sandbox.path("logs")).unwrap();
    let nothing = sandbox.failure(&["run", "pipeline.toml"]);
    assert!(nothing.contains("logs"), "{nothing}");
    sandbox.write("logs/1.jsonl", "");
    assert_eq!(sandbox.json(&["run", "pipeline.toml"])["sources"]["web"]["read"], 0);
    sandbox.write("logs/2.jsonl", log(0..3, 5));
    assert_eq!(sandbox.json(&["run", "pipeline.toml"])["sources"]["web"]["events"], 6);
    let error = sandbox.failure(&["dead-letters", "list", "nowhere.toml"]);
    assert!(error.contains("nowhere.toml"), "{error}");
}

/// A disk of 100 MiB is full before the logs are read; what was committed stays, and with room the run goes on.
#[test]
fn a_full_disk_loses_nothing() {
    let sandbox = sandbox(PIPELINE);
    sandbox.write("logs/1.jsonl", log(0..60, 5));
    let Some(disk) = Disk::mount(&sandbox, "100m") else { return };
    sandbox.write("pipeline.toml", PIPELINE.replace("store = \"store\"", "store = \"small/store\""));
    sandbox.json(&["run", "pipeline.toml"]);
    disk.fill();
    sandbox.write("logs/2.jsonl", log(60..20_000, 6));
    let error = sandbox.failure(&["run", "pipeline.toml"]);
    assert!(error.to_lowercase().contains("no space") || error.contains("state database"), "{error}");
    assert!(!error.contains("panicked"), "{error}");
    disk.free();
    let after = sandbox.json(&["run", "pipeline.toml"]);
    assert_eq!(after["events"], 40_000, "{after}");
    assert_eq!(after["segments"]["lookers"]["size"], 20_000);
}

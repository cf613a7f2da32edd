//! SQL segments: answered at the end of a run, consent first; other segments build on them; an error is an error and
//! nobody leaves because of it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

mod support;

use serde_json::json;
use std::fs;
use support::{Place, said};

const PIPELINE: &str = r#"
[pipeline]
name = "test"
store = "store"
clock = "events"

[sources.web]
plugin = "cookies"
consent = "granted"
config = { path = "logs", consent = "consent" }

[segments.buyers]
rule = "did(event = 'purchase')"

[segments.big]
title = "Above the average buyer"
sql = """
WITH spent AS (SELECT profile_id, sum(value) AS v FROM events WHERE event = 'purchase' GROUP BY profile_id)
SELECT profile_id FROM spent WHERE v > (SELECT avg(v) FROM spent)
"""

[segments.not-big]
rule = "in_segment('buyers') AND NOT in_segment('big')"

[destinations.out]
plugin = "dsp-export"
segments = ["big"]
minimum_audience = 50
config = { format = "csv", path = "out", identifier = "cookie" }
"#;

fn event(cookie: u32, value: u32, time: &str, consent: &str) -> String {
    let row = json!({
        "id": format!("{cookie}-{time}-{consent}"), "cookie": format!("c{cookie}"), "event": "purchase", "value": value,
        "time": time, "consent": consent,
    });
    format!("{row}\n")
}

fn place(pipeline: &str) -> Place {
    let place = Place::new(pipeline);
    let log: String = (1..=4).map(|c| event(c, c * 10, "2026-01-01T10:00:00Z", "granted")).collect();
    place.write("logs/1.jsonl", &log);
    place
}

#[test]
fn a_query_makes_an_audience_and_others_build_on_it() {
    let place = place(PIPELINE);
    let first = place.json(&["run", "pipeline.toml"]);
    assert_eq!(first["segments"]["big"]["size"], 2, "{first}");
    assert_eq!(first["segments"]["big"]["title"], "Above the average buyer");
    assert_eq!(place.members("big"), ["c3", "c4"]);
    assert_eq!(place.members("not-big"), ["c1", "c2"]);
    let second = place.json(&["run", "pipeline.toml"]);
    assert_eq!(second["steps"], 0, "nothing changed, nothing is asked: {second}");
    let reason = place.json(&["explain", "pipeline.toml", "big", "cookie:c4"]);
    assert_eq!((&reason["member"], &reason["reason"]["holds"]), (&json!(true), &json!(true)));
    assert!(reason["reason"]["condition"].as_str().unwrap().contains("avg(v)"));

    // The average moves, and with it who is above.
    place.write("logs/2.jsonl", &event(5, 1_000, "2026-01-02T10:00:00Z", "granted"));
    let third = place.json(&["run", "pipeline.toml"]);
    assert_eq!(
        third["segments"]["big"],
        json!({"title": "Above the average buyer", "size": 1, "entered": 1, "left": 2})
    );
    assert_eq!(place.members("not-big"), ["c1", "c2", "c3", "c4"]);
    // A profile that takes its consent back is in no audience, whatever the query says.
    place.write("logs/3.jsonl", &event(5, 1, "2026-01-03T10:00:00Z", "denied"));
    place.json(&["run", "pipeline.toml"]);
    assert!(place.members("big").is_empty(), "{:?}", place.members("big"));
    assert_eq!(place.rows("SELECT count(*) AS n FROM profiles WHERE consent = 'denied'"), [json!({"n": 1})]);
}

#[test]
fn a_new_query_is_asked_and_one_that_is_gone_leaves_nothing() {
    let place = place(PIPELINE);
    place.json(&["run", "pipeline.toml"]);
    place.write("pipeline.toml", &PIPELINE.replace("v > (SELECT avg(v) FROM spent)", "v < 15"));
    place.json(&["run", "pipeline.toml"]);
    assert_eq!(place.members("big"), ["c1"]);
    assert_eq!(place.members("not-big"), ["c2", "c3", "c4"]);
    let nobody = "SELECT arrow_cast(4000000000, 'UInt32') AS profile_id UNION ALL SELECT NULL UNION ALL SELECT 1 UNION ALL SELECT 1";
    place.write("pipeline.toml", &with_query(nobody));
    place.json(&["run", "pipeline.toml"]);
    assert_eq!(place.members("big").len(), 1, "numbers of nobody, nulls and repetitions do not count");
}

/// The pipeline with another query.
fn with_query(sql: &str) -> String {
    let (start, end) = (PIPELINE.find("sql = ").unwrap(), PIPELINE.find("[segments.not-big]").unwrap());
    format!("{}sql = \"\"\"{sql}\"\"\"\n\n{}", &PIPELINE[..start], &PIPELINE[end..])
}

#[test]
fn a_query_that_fails_empties_nothing() {
    let place = place(PIPELINE);
    place.json(&["run", "pipeline.toml"]);
    for (sql, wanted) in [
        ("SELECT nope FROM events", "No field named nope"),
        ("SELECT segment FROM memberships", "must answer with a column `profile_id`"),
        ("SELECT event AS profile_id FROM events", "of whole numbers"),
        ("SELECT -1 AS profile_id", "-1 is not the number of a profile"),
        ("DELETE FROM events", "only a query can be run here"),
        (
            "SELECT arrow_cast(length(repeat('x', 2000000000)) / (value - value), 'Int64') AS profile_id FROM (VALUES (1)) t(value)",
            "segment `big`",
        ),
    ] {
        place.write("pipeline.toml", &with_query(sql));
        place.write(
            "logs/9.jsonl",
            &event(9, 9, &format!("2026-01-05T10:00:{:02}Z", sql.len() % 60), "granted"),
        );
        let failure = place.failure(1, &["run", "pipeline.toml"]);
        assert!(failure.contains("segment `big`") && failure.contains(wanted), "{sql}: {failure}");
        assert_eq!(place.members("big"), ["c3", "c4"], "{sql}");
    }
    let output = place.alone(&["run", "pipeline.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("segment `big`: SQL needs the query engine"), "{}", said(&output));
    assert_eq!(place.members("big"), ["c3", "c4"]);
}

#[test]
fn a_period_says_when_a_query_is_asked_again() {
    let place = place(&PIPELINE.replace("[segments.not-big]", "every = \"1 hour\"\n\n[segments.not-big]"));
    place.json(&["run", "pipeline.toml"]);
    assert_eq!(place.members("big"), ["c3", "c4"]);
    place.write("logs/2.jsonl", &event(5, 1_000, "2026-01-01T10:59:00Z", "granted"));
    place.json(&["run", "pipeline.toml"]);
    assert_eq!(place.members("big"), ["c3", "c4"], "not an hour yet");
    place.write("logs/3.jsonl", &event(6, 1, "2026-01-01T11:00:00Z", "granted"));
    place.json(&["run", "pipeline.toml"]);
    assert_eq!(place.members("big"), ["c5"]);
}

#[test]
fn check_plans_queries_where_it_can() {
    let place = place(&with_query("SELECT nope AS profile_id FROM events"));
    let check = ["check", "pipeline.toml"];
    assert!(place.command(&check).status().unwrap().success(), "no tables yet, only the shape is checked");
    let good = Place::new(PIPELINE);
    fs::remove_dir_all(good.path("store")).ok();
    place.write("pipeline.toml", PIPELINE);
    place.json(&["run", "pipeline.toml"]);
    assert!(place.command(&check).status().unwrap().success());
    place.write("pipeline.toml", &with_query("SELECT nope AS profile_id FROM events"));
    let said = place.failure(2, &check);
    assert!(said.contains("segment `big`: No field named nope"), "{said}");
    assert!(place.alone(&check).status.success(), "without the engine, the shape");
}

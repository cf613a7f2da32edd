//! `kindred segments`: sizes now and over time, and whether definitions are applied.

use super::Shop;
use serde_json::Value;

const PIPELINE: &str = r#"
[pipeline]
store = "store"
clock = "events"
step_rows = 1

[sources.web]
plugin = "cookies"
consent = "granted"
config = { path = "logs" }

[segments.lookers]
rule = "did(event = 'view', '30 days')"

[segments.leavers]
rule = "did(event = 'leave')"
"#;

fn of<'a>(found: &'a Value, name: &str) -> &'a Value {
    found.as_array().unwrap().iter().find(|s| s["segment"] == name).unwrap()
}

fn sizes(segment: &Value) -> Vec<u64> {
    segment["sizes"].as_array().unwrap().iter().map(|s| s["size"].as_u64().unwrap()).collect()
}

#[test]
fn sizes_are_kept_over_the_last_commits_that_changed_them() {
    let shop = Shop::new(PIPELINE);
    for n in 1..=40_u64 {
        let (cookie, time) = (format!("c{n}"), format!("2026-01-05T00:00:{n:02}Z"));
        shop.log(&format!("{n:02}"), &[(&cookie, "view", &time)]);
        if [1, 2, 40].contains(&n) {
            shop.json(&["run", "pipeline.toml"]);
        }
        if n == 2 {
            let found = shop.json(&["segments", "pipeline.toml"]);
            assert_eq!(sizes(of(&found, "lookers")), [1, 2]);
            assert_eq!(sizes(of(&found, "leavers")), [0]);
            assert_eq!(of(&found, "lookers")["sizes"][1]["as_of"], "2026-01-05T00:00:02Z");
        }
    }
    let found = shop.json(&["segments", "pipeline.toml"]);
    let lookers = of(&found, "lookers");
    let sizes = sizes(lookers);
    assert!(sizes.len() <= 32 && sizes.is_sorted() && sizes.last() == Some(&40), "{sizes:?}");
    assert_eq!((&lookers["size"], &lookers["plugin"]), (&40.into(), &"rules".into()));
    assert_eq!(lookers["next_due"], "2026-02-04T00:00:01Z", "the first view is out of its window");
    assert_eq!(lookers["changed"], "2026-01-05T00:00:40Z");
    let (text, _) = shop.text(&["segments", "pipeline.toml"]);
    assert!(text.contains('█') && text.contains("2026-02-04 00:00"), "{text}");
}

/// Who would enter has no place among the members, and each segment has times of its own.
#[test]
fn the_next_change_is_that_of_the_segment() {
    let text = PIPELINE.replace(
        "[segments.leavers]",
        "[segments.away]\nrule = \"days_since(event = 'view') > 60\"\n\n[segments.leavers]",
    );
    let shop = Shop::new(&text);
    let views = [
        ("c1", "view", "2026-01-05T00:00:00Z"),
        ("c2", "view", "2026-01-20T00:00:00Z"),
        ("c3", "leave", "2026-01-21T00:00:00Z"),
    ];
    shop.log("1", &views);
    shop.json(&["run", "pipeline.toml"]);
    let found = shop.json(&["segments", "pipeline.toml"]);
    let due = |name: &str| of(&found, name)["next_due"].clone();
    assert_eq!(due("lookers"), "2026-02-04T00:00:00Z", "the first view is out of its window");
    assert_eq!(of(&found, "away")["size"], 0);
    let away = due("away").as_str().unwrap().to_owned();
    assert!(away.starts_with("2026-03-06"), "the first one will have been away for 60 days: {away}");
    // Events are kept for 395 days, and this one asks for any.
    assert_eq!(due("leavers"), "2027-02-04T00:00:00Z");
    let (text, _) = shop.text(&["segments", "pipeline.toml"]);
    assert!(text.contains("2026-03-06 00:00"), "{text}");
}

/// Years that no calendar of ours has yet, or had: neither moves anybody else.
#[test]
fn events_of_the_years_1_and_9999() {
    let shop = Shop::new(&PIPELINE.replace("step_rows = 1", "step_rows = 2"));
    shop.log(
        "1",
        &[
            ("c1", "view", "0001-01-01T00:00:00Z"),
            ("c2", "view", "9999-12-30T00:00:00Z"),
            ("c3", "view", "2026-01-05T00:00:00Z"),
            ("c4", "leave", "2026-01-04T00:00:00Z"),
        ],
    );
    let run = shop.json(&["run", "pipeline.toml"]);
    let read = &run["sources"]["web"];
    assert_eq!(
        (&read["read"], &read["events"], &read["rejected"]),
        (&4.into(), &4.into(), &0.into()),
        "{run}"
    );
    let members = |segment: &str| shop.json(&["segments", "pipeline.toml", "--members", segment]);
    assert_eq!(members("leavers"), serde_json::json!([{"namespace": "cookie", "value": "c4"}]));
    for who in ["cookie:c1", "cookie:c2"] {
        let why = shop.json(&["explain", "pipeline.toml", "lookers", who]);
        assert_eq!(why["member"], false, "{why}");
    }
    // In its own time the other one counts, too.
    let then =
        shop.json(&["explain", "pipeline.toml", "lookers", "cookie:c2", "--as-of", "9999-12-30T00:00:00Z"]);
    assert_eq!(then["member"], true, "{then}");
}

#[test]
fn definitions_are_fresh_stale_or_new() {
    let shop = Shop::new(PIPELINE);
    shop.log("1", &[("c1", "view", "2026-01-05T00:00:00Z")]);
    shop.json(&["run", "pipeline.toml"]);
    let changed = PIPELINE.replace("'leave'", "'bye'") + "\n[segments.more]\nrule = \"did(TRUE)\"\n";
    shop.write("pipeline.toml", changed);
    let states = |shop: &Shop| {
        let found = shop.json(&["segments", "pipeline.toml"]);
        ["lookers", "leavers", "more"].map(|name| of(&found, name)["definition"].as_str().unwrap().to_owned())
    };
    assert_eq!(states(&shop), ["fresh", "stale", "new"]);
    assert!(shop.text(&["segments", "pipeline.toml"]).0.contains("kindred plan"));
    shop.log("2", &[("c1", "bye", "2026-01-06T00:00:00Z")]);
    shop.json(&["run", "pipeline.toml"]);
    assert_eq!(states(&shop), ["fresh", "fresh", "fresh"]);
    let found = shop.json(&["segments", "pipeline.toml"]);
    assert_eq!(
        of(&found, "lookers")["changed"],
        "2026-01-05T00:00:00Z",
        "others were redefined, not this one"
    );
    assert_eq!(of(&found, "leavers")["changed"], "2026-01-06T00:00:00Z");
}

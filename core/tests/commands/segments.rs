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

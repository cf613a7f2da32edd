//! `kindred plan`: what it says is what a run does, and it does nothing itself.

use super::{Shop, golden};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const PIPELINE: &str = r#"
[vars]
now = "2026-01-10T00:00:00Z"

[pipeline]
name = "shop"
store = "store"
clock = "${now}"

[sources.web]
plugin = "cookies"
consent = "granted"
config = { path = "logs" }

[segments.lookers]
rule = "count(event = 'view', '30 days') >= 5"

[segments.steady]
rule = "in_segment('lookers') AND NOT did(event = 'leave')"

[segments.everybody]
rule = "did(TRUE)"

[destinations.out]
plugin = "dsp-export"
segments = ["lookers", "steady"]
minimum_audience = 50
config = { format = "csv", path = "out", identifier = "cookie" }
"#;

fn shop() -> Shop {
    let shop = Shop::new(PIPELINE);
    shop.lookers("1", 90, "2026-01-05");
    shop
}

fn by_name<'a>(plan: &'a Value, list: &str, key: &str) -> BTreeMap<&'a str, &'a Value> {
    plan[list].as_array().unwrap().iter().map(|one| (one[key].as_str().unwrap(), one)).collect()
}

/// Plans, runs, and holds one against the other.
fn plan_and_run(shop: &Shop, arguments: &[&str]) -> (Value, Value) {
    let plan = shop.json(&[&["plan", "pipeline.toml"], arguments].concat());
    let id = plan["plan_id"].as_str().unwrap();
    let run = shop.json(&[&["run", "pipeline.toml", "--plan-id", id], arguments].concat());
    let segments = by_name(&plan, "segments", "segment");
    for (name, done) in run["segments"].as_object().unwrap() {
        let planned = &segments[name.as_str()]["size"];
        let planned = (&planned["after"], &planned["entering"], &planned["leaving"]);
        assert_eq!(planned, (&done["size"], &done["entered"], &done["left"]), "`{name}` in {plan}");
    }
    for (name, done) in run["destinations"].as_object().unwrap() {
        let destination = by_name(&plan, "destinations", "destination")[name.as_str()];
        let rows = destination["audiences"].as_array().unwrap().iter();
        let rows: u64 = rows.map(|a| a["adds"].as_u64().unwrap() + a["removes"].as_u64().unwrap()).sum();
        assert_eq!(done["delivered"], rows, "`{name}` in {plan}");
    }
    (plan, run)
}

#[test]
fn without_a_store_everything_is_added_and_no_store_is_made() {
    let shop = shop();
    let plan = shop.json(&["plan", "pipeline.toml"]);
    assert_eq!((&plan["commits"], &plan["as_of"]), (&Value::Null, &Value::Null));
    for segment in plan["segments"].as_array().unwrap() {
        assert_eq!((&segment["change"], &segment["size"]), (&json!("added"), &Value::Null));
    }
    assert_eq!(plan["destinations"][0]["audiences"], Value::Null);
    assert!(!shop.0.path().join("store").exists());
    let id = plan["plan_id"].as_str().unwrap();
    assert_eq!(shop.json(&["run", "pipeline.toml", "--plan-id", id])["segments"]["lookers"]["size"], 85);
}

#[test]
fn what_is_planned_is_what_a_run_does() {
    let shop = shop();
    shop.json(&["run", "pipeline.toml"]);
    let (plan, run) = plan_and_run(&shop, &[]);
    assert!(plan["segments"].as_array().unwrap().iter().all(|s| s["change"] == "unchanged"), "{plan}");
    assert_eq!(run["steps"], 0);

    // A changed rule moves what builds on it, too.
    let changed = PIPELINE.replace(">= 5", ">= 20");
    shop.write("pipeline.toml", &changed);
    let (plan, _) = plan_and_run(&shop, &[]);
    let segments = by_name(&plan, "segments", "segment");
    assert_eq!(
        (&segments["lookers"]["change"], &segments["steady"]["change"]),
        (&json!("changed"), &json!("unchanged"))
    );
    assert_eq!(segments["steady"]["because"], json!(["lookers"]));
    assert_eq!(segments["steady"]["size"], json!({"before": 85, "after": 70, "entering": 0, "leaving": 15}));
    assert_eq!(segments["lookers"]["applied"]["rule"], "count(event = 'view', '30 days') >= 5");
    assert_eq!(segments["lookers"]["config"]["rule"], "count(event = 'view', '30 days') >= 20");
    assert_eq!(segments["everybody"]["size"]["entering"], 0);

    // One more, one less.
    let moved = changed.replace(
        "[segments.everybody]\nrule = \"did(TRUE)\"",
        "[segments.leavers]\nrule = \"did(event = 'leave')\"",
    );
    shop.write("pipeline.toml", &moved);
    let (plan, _) = plan_and_run(&shop, &[]);
    let segments = by_name(&plan, "segments", "segment");
    assert_eq!(
        (&segments["leavers"]["change"], &segments["everybody"]["change"]),
        (&json!("added"), &json!("removed"))
    );
    assert_eq!(
        segments["everybody"]["size"],
        json!({"before": 89, "after": 0, "entering": 0, "leaving": 89})
    );

    // Windows end without events; below the minimum only removals flow.
    let later = ["--set", "now=2026-02-04T00:30:00Z"];
    let (plan, run) = plan_and_run(&shop, &later);
    let lookers = &by_name(&plan, "segments", "segment")["lookers"]["size"];
    assert!(lookers["leaving"].as_u64().unwrap() > 0, "{plan}");
    assert_eq!(run["segments"]["lookers"]["size"], lookers["after"]);
}

/// A source that was never read tells its columns, so that rules over them can be planned.
#[test]
fn columns_of_a_new_source_are_known_before_it_is_read() {
    let shop = shop();
    shop.json(&["run", "pipeline.toml"]);
    shop.write("crm.csv", "cookie,country\nc7,DE\nc8,AT\n");
    let crm = "[sources.crm]\nplugin = \"crm-import\"\nconsent = \"granted\"\n\
               config = { path = \"crm.csv\", keys = { cookie = \"cookie\" } }\n";
    let german = "[segments.german]\nrule = \"attr('crm.country') = 'DE'\"\n";
    shop.write("pipeline.toml", format!("{PIPELINE}\n{crm}\n{german}"));
    let plan = shop.json(&["plan", "pipeline.toml"]);
    let segments = by_name(&plan, "segments", "segment");
    assert_eq!(segments["german"]["change"], "added");
    assert_eq!(segments["german"]["size"]["after"], 0, "its rows are not part of a plan");
    assert_eq!(segments["lookers"]["change"], "unchanged");
    let id = plan["plan_id"].as_str().unwrap();
    let run = shop.json(&["run", "pipeline.toml", "--plan-id", id]);
    assert_eq!(run["segments"]["german"]["size"], 1, "{run}");
}

#[test]
fn another_moment_is_what_a_run_at_that_moment_does() {
    let shop = shop();
    shop.json(&["run", "pipeline.toml"]);
    for now in ["2026-01-05T00:20:00Z", "2026-02-04T00:45:00Z"] {
        let plan = shop.json(&["plan", "pipeline.toml", "--as-of", now]);
        assert_eq!(plan["as_of"], now);
        let fresh = shop.json(&["run", "pipeline.toml"]);
        assert_eq!(fresh["steps"], 0, "planning for another moment commits nothing");
        let there = Shop::new(PIPELINE);
        there.lookers("1", 90, "2026-01-05");
        let there = there.json(&["run", "pipeline.toml", "--set", &format!("now={now}")]);
        for (name, planned) in by_name(&plan, "segments", "segment") {
            assert_eq!(planned["size"]["after"], there["segments"][name]["size"], "`{name}` at {now}");
        }
    }
}

#[test]
fn a_plan_that_is_out_of_date_is_refused() {
    let shop = shop();
    shop.json(&["run", "pipeline.toml"]);
    let plan = shop.json(&["plan", "pipeline.toml"]);
    let id = plan["plan_id"].as_str().unwrap();
    assert_eq!(shop.json(&["plan", "pipeline.toml"])["plan_id"], id, "looking does not move the world");
    shop.json(&["segments", "pipeline.toml"]);
    shop.json(&["explain", "pipeline.toml", "lookers", "cookie:c7"]);

    shop.write("pipeline.toml", PIPELINE.replace(">= 5", ">= 6"));
    let (said, code) = shop.text(&["run", "pipeline.toml", "--plan-id", id]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("is out of date: the pipeline has changed since"), "{said}");
    let (said, code) =
        shop.text(&["run", "pipeline.toml", "--plan-id", id, "--set", "now=2026-01-11T00:00:00Z"]);
    assert_eq!(code, 3, "{said}");

    // Comments and tests are not part of what a pipeline does.
    shop.write("pipeline.toml", format!("# looked at\n{PIPELINE}"));
    assert_eq!(shop.json(&["run", "pipeline.toml", "--plan-id", id])["steps"], 0);

    shop.log("2", &[("new", "view", "2026-01-06T00:00:00Z")]);
    shop.json(&["run", "pipeline.toml", "--plan-id", id]);
    let (said, code) = shop.text(&["run", "pipeline.toml", "--plan-id", id]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("the store has other commits since"), "{said}");
    let (said, code) = shop.text(&["run", "pipeline.toml", "--plan-id", "today"]);
    assert_eq!(code, 2, "{said}");
    assert!(shop.text(&["run", "--help"]).0.contains("3 the world has moved since the plan"));
}

#[test]
fn warnings_say_what_nobody_gets() {
    let shop = shop();
    shop.json(&["run", "pipeline.toml"]);
    let text = PIPELINE
        .replace("consent = \"granted\"\n", "")
        .replace("[destinations.out]", "[destinations.elsewhere]")
        .replace(">= 5", ">= 60")
        .replace("path = \"logs\"", "path = \"nowhere\"");
    shop.write("pipeline.toml", text.replace("nowhere", "logs"));
    let codes = |plan: &Value| -> Vec<String> {
        let warnings = plan["warnings"].as_array().unwrap().iter();
        let mut codes: Vec<String> = warnings.map(|w| w["code"].as_str().unwrap().to_owned()).collect();
        codes.sort();
        codes
    };
    let plan = shop.json(&["plan", "pipeline.toml"]);
    let expected =
        ["below-minimum", "below-minimum", "destination-gone", "no-consent-basis", "segment-unused"];
    assert_eq!(codes(&plan), expected, "{plan}");
    shop.write("pipeline.toml", text);
    let plan = shop.json(&["plan", "pipeline.toml"]);
    assert!(codes(&plan).contains(&"source-unknown".to_owned()), "{plan}");
}

#[test]
fn a_terminal_gets_a_table() {
    let shop = shop();
    shop.json(&["run", "pipeline.toml"]);
    shop.write("pipeline.toml", PIPELINE.replace(">= 5", ">= 45"));
    let (said, code) = shop.text(&["plan", "pipeline.toml", "--set", "now=2026-01-11T00:00:00Z"]);
    assert_eq!(code, 0);
    let id = said.lines().last().unwrap().rsplit(' ').next().unwrap();
    golden("plan.txt", &said.replace(id, "PLAN-ID"));
}

//! What may not go to a destination does not: no segment that depends on a source with terms, and no identifier that
//! only such a source has brought.

use super::{Shop, said};
use proptest::prelude::*;
use serde_json::json;
use std::{collections::BTreeSet, fs};

const PIPELINE: &str = r#"
[pipeline]
name = "shop"
store = "store"
clock = "2026-02-01T00:00:00Z"

[sources.web]
plugin = "cookies"
consent = "granted"
config = { path = "logs", identifiers = { device = "device" } }

[sources.panel]
plugin = "cookies"
party = "third"
consent = "granted"
destinations = ["mail"]
config = { path = "panel", identifiers = { device = "device" } }

[segments.visitors]
rule = "did(source = 'web' AND event = 'view')"

[destinations.mail]
plugin = "dsp-export"
segments = ["visitors"]
minimum_audience = 50
config = { format = "csv", path = "mail", identifier = "device" }

[destinations.dsp]
plugin = "dsp-export"
segments = ["visitors"]
minimum_audience = 50
config = { format = "csv", path = "dsp", identifier = "device" }
"#;

/// One event; of some visitors a device is known.
fn line(source: &str, id: usize, visitor: u8, device: bool) -> String {
    let device = if device { format!(",\"device\":\"device-{visitor}-\"") } else { String::new() };
    format!(
        "{{\"id\":\"{source}{id}\",\"cookie\":\"c{visitor}\",\"event\":\"view\",\"time\":\"2026-01-05T10:00:00Z\"{device}}}\n"
    )
}

/// The devices that a destination was ever given.
fn given(shop: &Shop, destination: &str) -> BTreeSet<u8> {
    let mut found = BTreeSet::new();
    let mut folders = vec![shop.0.path().join(destination)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let devices = text
                    .split("device-")
                    .skip(1)
                    .filter_map(|rest| rest.split('-').next()?.parse::<u8>().ok());
                found.extend(devices);
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    /// In whatever order the sources name a device: the destination that the panel's terms exclude is given it only
    /// once somebody else has named it.
    #[test]
    fn only_what_others_brought_goes_where_the_terms_exclude(
        runs in prop::collection::vec(prop::collection::vec((any::<bool>(), 0_u8..90, any::<bool>()), 60..160), 1..4)
    ) {
        let shop = Shop::new(PIPELINE);
        fs::create_dir(shop.0.path().join("panel")).unwrap();
        let (mut by_web, mut by_any, mut visitors) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (run, rows) in runs.iter().enumerate() {
            // Everybody visits, so that the audience is large enough.
            let mut web: String = (0..90).map(|visitor| line("v", 1000 * run + usize::from(visitor), visitor, false)).collect();
            let mut panel = String::new();
            for (at, (of_panel, visitor, device)) in rows.iter().enumerate() {
                let text = if *of_panel { &mut panel } else { &mut web };
                text.push_str(&line(if *of_panel { "p" } else { "w" }, 1000 * run + at, *visitor, *device));
                if *device {
                    by_any.insert(*visitor);
                    if !of_panel {
                        by_web.insert(*visitor);
                    }
                }
            }
            visitors.extend(0..90_u8);
            shop.write(&format!("logs/{run}.jsonl"), web);
            shop.write(&format!("panel/{run}.jsonl"), panel);
            let output = shop.run(&["run", "pipeline.toml"]);
            prop_assert!(output.status.success(), "{}", said(&output));
            let (dsp, mail) = (given(&shop, "dsp"), given(&shop, "mail"));
            prop_assert!(dsp.is_subset(&by_web), "{:?}", dsp.difference(&by_web));
            prop_assert!(mail.is_subset(&by_any));
            if run == 0 {
                // Delivered at once, in full: nothing that may go is held back.
                prop_assert_eq!(&dsp, &by_web);
                prop_assert_eq!(&mail, &by_any);
            }
        }
    }
}

#[test]
fn what_a_delivery_used_of_bought_data_is_counted() {
    let priced = "destinations = [\"mail\"]\nprice_per_thousand = { amount = \"2.50\", currency = \"EUR\" }";
    let text = PIPELINE.replace("destinations = [\"mail\"]", priced);
    let both = "[segments.seen]\nrule = \"did(event = 'view')\"\n\n[destinations.mail]";
    let text = text.replace("[destinations.mail]", both).replacen(
        "segments = [\"visitors\"]",
        "segments = [\"visitors\", \"seen\"]",
        1,
    );
    let shop = Shop::new(&text);
    fs::create_dir(shop.0.path().join("panel")).unwrap();
    shop.write(
        "logs/0.jsonl",
        (0..60).map(|visitor| line("w", visitor.into(), visitor, true)).collect::<String>(),
    );
    shop.write(
        "panel/0.jsonl",
        (40..90).map(|visitor| line("p", visitor.into(), visitor, true)).collect::<String>(),
    );
    let summary = shop.json(&["run", "pipeline.toml"]);
    // `visitors` is about `web` only; `seen` may be anybody's: 90 members of 2.50 a thousand.
    let cost = json!({"panel": {"members": 90, "amount": "0.225", "currency": "EUR"}});
    assert_eq!(summary["destinations"]["mail"]["costs"], cost, "{summary}");
    assert_eq!(summary["destinations"]["dsp"]["costs"], json!({}));
    // Of `seen` nobody knows whose it is; `visitors` has 60.
    assert_eq!(summary["destinations"]["mail"]["parties"], json!({"first": 150, "third": 90}), "{summary}");
    assert_eq!(summary["destinations"]["dsp"]["parties"], json!({"first": 60}));
    let receipts = json!(summary["destinations"]["mail"]["receipts"]).to_string();
    assert!(receipts.contains("90 members with data of `panel`: 0.225 EUR"), "{receipts}");
    // Nothing more is delivered, so nothing more is used.
    assert_eq!(shop.json(&["run", "pipeline.toml"])["destinations"]["mail"]["costs"], json!({}));
}

#[test]
fn a_segment_of_a_source_with_terms_is_refused_before_anything_runs() {
    let shop = Shop::new(&PIPELINE.replace("did(source = 'web' AND event = 'view')", "did(event = 'view')"));
    let (text, code) = shop.text(&["run", "pipeline.toml"]);
    assert_eq!(code, 2);
    assert!(text.contains("`visitors` cannot go to `dsp`: it may depend on source `panel`"), "{text}");
    assert!(text.contains("a rule that names its sources"), "{text}");
    assert!(!shop.0.path().join("store").exists());
    let problems = shop.run(&["check", "pipeline.toml", "--json"]);
    let problems: serde_json::Value = serde_json::from_slice(&problems.stdout).unwrap();
    assert_eq!(problems["problems"].as_array().map(Vec::len), Some(1), "{}", json!(problems));
}

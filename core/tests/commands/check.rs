//! `kindred check` asks the sources what they bring: columns that nobody has, and types that do not fit, at their place in the
//! rule.

use super::{Shop, golden, said};
use serde_json::{Value, json};
use std::fmt::Write;

const SOURCES: &str = r#"
[pipeline]
store = "store"

[sources.web]
plugin = "cookies"
consent = "granted"
config = { path = "logs", properties = { amount = { type = "decimal" }, plan = { type = "string" } } }

[sources.crm]
plugin = "crm-import"
consent = "granted"
config = { path = "crm.csv", keys = { crm = "id" }, attributes = { country = {}, age = { type = "integer" } } }
"#;

const WRONG: &str = r#"
[segments.typo]
rule = "sum(amout, event = 'purchase', '30 days') >= 100"

[segments.nobody-has-it]
rule = """
did(event = 'purchase')
  AND attr('crm.contry') = 'DE'
"""

[segments.text-and-number]
rule = "did(plan > 3)"

[segments.number-and-text]
rule = "attr('crm.age') = 'old' OR in_segment('fine')"

[segments.fine]
rule = "sum(amount, event = 'purchase', '30 days') >= 100 AND attr('crm.age') >= 18"
"#;

fn shop(segments: &str) -> Shop {
    let shop = Shop::new(&format!("{SOURCES}{segments}"));
    shop.log("1", &[("anna", "purchase", "2026-01-05T10:00:00Z")]);
    shop.write("crm.csv", "id,country,age\n1,DE,44\n");
    shop
}

fn problems(shop: &Shop, command: &str) -> Vec<(u64, String)> {
    let output = shop.run(&[command, "pipeline.toml", "--json"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let one = |p: &Value| (p["line"].as_u64().unwrap(), p["message"].as_str().unwrap().to_owned());
    found["problems"].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn what_does_not_fit_the_columns_is_shown_in_its_rule() {
    // Whatever else is served on this machine.
    let shop = shop(&format!("{WRONG}[serve]\nlisten = \"127.0.0.1:0\"\n"));
    let (text, code) = shop.text(&["check", "pipeline.toml"]);
    assert_eq!(code, 2, "{text}");
    golden("check.txt", &text);
    // Whoever opens the rules says the same; nothing was left behind.
    let found = problems(&shop, "check");
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(!shop.0.path().join("store").exists());
    for command in ["run", "serve"] {
        assert_eq!(problems(&shop, command), found, "{command}");
    }
}

#[test]
fn a_store_knows_columns_of_sources_that_left() {
    let shop = shop("[segments.big]\nrule = \"sum(amount, TRUE) > 3\"\n");
    assert!(shop.run(&["run", "pipeline.toml"]).status.success());
    let without = "[segments.big]\nrule = \"sum(amount, TRUE) > 3 AND attr('crm.age') > 3\"\n";
    let web = SOURCES.split("[sources.crm]").next().unwrap();
    shop.write("pipeline.toml", format!("{web}{without}"));
    assert_eq!(shop.json(&["check", "pipeline.toml"])["problems"], json!([]));
    std::fs::remove_dir_all(shop.0.path().join("store")).unwrap();
    assert_eq!(problems(&shop, "check").len(), 1);
}

/// What nobody could be asked about is no error of the file.
#[test]
fn a_source_that_does_not_answer_leaves_its_columns_open() {
    let shop = shop(WRONG);
    std::fs::remove_file(shop.0.path().join("crm.csv")).unwrap();
    let found = shop.json(&["check", "pipeline.toml"]);
    let codes: Vec<&str> =
        found["warnings"].as_array().unwrap().iter().map(|w| w["code"].as_str().unwrap()).collect();
    assert_eq!(codes[0], "source-unknown", "{found}");
    assert!(codes.len() > 1 && codes[1..].iter().all(|code| *code == "column-unsure"), "{found}");
}

#[test]
fn a_column_of_two_types_is_told_at_its_source() {
    let shop = shop("");
    let other = "[sources.app]\nplugin = \"cookies\"\nconsent = \"granted\"\n\
                 config = { path = \"logs\", properties = { amount = { type = \"string\" } } }\n";
    shop.write("pipeline.toml", format!("{SOURCES}{other}"));
    let found = problems(&shop, "check");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].1.contains("column `amount` of source `web` is decimal, the store holds it as text"),
        "{found:?}"
    );
    // Whoever runs it is told the same, and nothing is read as something else.
    let (text, code) = shop.text(&["run", "pipeline.toml"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("column `amount` of source `web`"), "{text}");
    // Integers are decimals, too, whoever comes first.
    shop.write(
        "pipeline.toml",
        format!("{SOURCES}{other}").replace("\"string\" } } }\n", "\"integer\" } } }\n"),
    );
    assert_eq!(shop.json(&["check", "pipeline.toml"])["problems"], json!([]));
    shop.log("1", &[("anna", "purchase", "2026-01-05T10:00:00Z")]);
    shop.json(&["run", "pipeline.toml"]);
}

/// Each upon the next.
#[test]
fn ten_thousand_segments_in_one_file() {
    let mut segments = String::new();
    for at in 0..10_000 {
        let below = if at < 9_999 { format!(" AND NOT in_segment('s{}')", at + 1) } else { String::new() };
        writeln!(
            segments,
            "[segments.s{at}]\nrule = \"did(event = 'e{}', '{} days'){below}\"",
            at % 7,
            at % 90 + 1
        )
        .unwrap();
    }
    let shop = shop(&segments);
    assert_eq!(shop.json(&["check", "pipeline.toml"])["segments"], 10_000);
}

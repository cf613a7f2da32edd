//! `kindred test`: expectations that hold, expectations that do not, and what is told then.

use super::{Shop, golden};
use serde_json::json;

const PIPELINE: &str = r#"
[pipeline]
store = "store"

[sources.web]
plugin = "cookies"
config = { path = "logs" }

[sources.crm]
plugin = "crm-import"
config = { path = "crm.csv", keys = { cookie = "cookie" } }

[segments.buyers]
rule = "sum(amount, event = 'purchase', '30 days') >= 100 AND attr('crm.country') = 'DE'"

[segments.returning]
rule = "in_segment('buyers') AND count(TRUE) >= 3"

[segments.couponists]
rule = "did(coupon = 'x')"
"#;

const TESTS: &str = r#"
[[tests]]
name = "a sum over thirty days"
as_of = 2026-01-31T00:00:00Z
expect = { buyers = ["anna", "twin-of-anna"], returning = ["anna", "twin-of-anna"] }

[tests.profiles.anna]
identifiers = { cookie = "a", crm = "1" }
attributes = { "crm.country" = "DE" }
events = [
  { time = "-1 day", event = "purchase", amount = 60 },
  { time = "-30 days", event = "purchase", amount = 1000 },
]

[tests.profiles.twin-of-anna]         # the same person: they share an identifier
identifiers = { cookie = "b", crm = "1" }
events = [{ time = 2026-01-29T00:00:00Z, event = "purchase", source = "web", amount = 40.0 }]

[tests.profiles.ben]                  # what comes later does not count
attributes = { "crm.country" = "DE" }
events = [{ time = "+1 second", event = "purchase", amount = 1000 }]

[tests.profiles.cleo]                 # no longer consents
attributes = { "crm.country" = "DE" }
consent = "denied"
events = [{ time = "-1 day", event = "purchase", amount = 1000 }]
"#;

#[test]
fn expectations_that_hold() {
    let shop = Shop::new(&format!("{PIPELINE}{TESTS}"));
    let found = shop.json(&["test", "pipeline.toml"]);
    assert_eq!((&found["passed"], &found["failed"]), (&json!(1), &json!(0)));
    assert_eq!(found["tests"][0]["segments"][0]["found"], json!(["anna", "twin-of-anna"]));
    assert!(!shop.0.path().join("store").exists(), "the pipeline's own store is not touched");
    shop.json(&["check", "pipeline.toml"]);
}

#[test]
fn the_difference_is_told_with_its_reasons() {
    let wrong = TESTS.replace("buyers = [\"anna\", \"twin-of-anna\"]", "buyers = [\"ben\", \"cleo\"]");
    let shop = Shop::new(&format!("{PIPELINE}{wrong}"));
    let (said, code) = shop.text(&["test", "pipeline.toml"]);
    assert_eq!(code, 1);
    golden("test.txt", &said);
    let output = shop.run(&["test", "pipeline.toml", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let buyers = &found["tests"][0]["segments"][0];
    assert_eq!((&found["failed"], &found["tests"][0]["passed"]), (&json!(1), &json!(false)));
    assert_eq!(
        (&buyers["missing"][0]["profile"], &buyers["missing"][1]["consents"]),
        (&json!("ben"), &json!(false))
    );
    assert_eq!(buyers["unexpected"][0]["reason"]["holds"], true);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_column_that_no_event_has_can_be_declared() {
    let more = "\n[[tests]]\nname = \"nobody\"\nas_of = 2026-01-31\nexpect = { couponists = [] }\n\
                [tests.profiles.anna]\nevents = [{ time = \"-1 day\", event = \"view\" }]\n";
    let shop = Shop::new(&format!("{PIPELINE}{TESTS}{more}"));
    let (said, code) = shop.text(&["test", "pipeline.toml", "--filter", "nobody"]);
    assert!(code == 1 && said.contains("coupon") && said.contains("0 passed, 1 failed"), "{said}");
    assert_eq!(shop.json(&["test", "pipeline.toml", "--filter", "thirty"])["passed"], 1);
    let declared = more.replace("expect", "columns = { coupon = \"text\" }\nexpect");
    shop.write("pipeline.toml", format!("{PIPELINE}{TESTS}{declared}"));
    assert_eq!(shop.json(&["test", "pipeline.toml"])["passed"], 2);
}

#[test]
fn no_tests_are_no_success() {
    let shop = Shop::new(PIPELINE);
    let (said, code) = shop.text(&["test", "pipeline.toml"]);
    assert!(code == 2 && said.contains("has no tests"), "{said}");
    shop.write("pipeline.toml", format!("{PIPELINE}{TESTS}"));
    let (said, code) = shop.text(&["test", "pipeline.toml", "--filter", "winter"]);
    assert!(code == 2 && said.contains("none of its 1 tests"), "{said}");
}

#[test]
fn the_tests_of_the_example_hold() {
    let shop = Shop::new("");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/retail/pipeline.toml");
    let found = shop.json(&["test", file]);
    assert_eq!((&found["passed"], &found["failed"]), (&json!(3), &json!(0)), "{found}");
}

//! What is not as agreed waits in the dead letters, and goes on once somebody has mended what was wrong.

use super::{Shop, said};
use serde_json::{Value, json};

/// A shop whose events have a price, a number of pieces and a colour.
const PIPELINE: &str = r#"
[pipeline]
name = "shop"
store = "store"
clock = "2026-02-01T00:00:00Z"

[sources.web]
plugin = "cookies"
consent = "granted"
config = { path = "logs", consent = "consent", on_bad_value = "reject", properties = { price = { type = "decimal" }, pieces = { type = "integer" }, colour = "colour" } }

[segments.spenders]
rule = "sum(amount(price), event = 'buy', '60 days') >= 10"
"#;

fn shop(schema: &str) -> Shop {
    let shop = Shop::new("");
    write(&shop, schema);
    shop
}

fn write(shop: &Shop, schema: &str) {
    let rule = PIPELINE.replace("sum(amount(price), event = 'buy', '60 days') >= 10", "did(event = 'buy')");
    shop.write("pipeline.toml", rule.replace("[segments", &format!("{schema}\n[segments")));
}

fn event(id: &str, more: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"cookie\":\"c{id}\",\"event\":\"buy\",\"time\":\"2026-01-05T10:00:00Z\"{more}}}\n"
    )
}

fn letters(shop: &Shop, filter: &[&str]) -> Vec<Value> {
    let found = shop.json(&[&["dead-letters", "list", "pipeline.toml"], filter].concat());
    found.as_array().unwrap().clone()
}

fn replay(shop: &Shop, filter: &[&str]) -> Value {
    shop.json(&[&["dead-letters", "replay", "pipeline.toml"], filter].concat())
}

const STRICT: &str = r#"
[sources.web.schema]
columns = { "id.cookie" = "text", price = "integer", pieces = "integer", colour = "text" }
"#;

#[test]
fn what_is_of_another_type_waits_and_is_replayed_whole_after_the_schema_is_mended() {
    let shop = shop(STRICT);
    let rows = [
        event("1", ",\"price\":9.5,\"colour\":\"red\""),
        event("2", ",\"pieces\":2"),
        event("3", ",\"price\":3"),
    ];
    shop.write("logs/a.jsonl", rows.concat());
    let first = shop.json(&["run", "pipeline.toml"]);
    let web = &first["sources"]["web"];
    assert_eq!((&web["events"], &web["rejected"]), (&json!(1), &json!(2)), "{web}");
    assert_eq!(web["reasons"], json!({"schema-changed": 2}));
    let found = letters(&shop, &["--stage", "schema"]);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["message"], "column `price`: found decimal, expected integer");
    assert_eq!((&found[0]["source"], &found[0]["payload"]), (&json!("web"), &json!("event_id 1")));
    assert!(
        letters(&shop, &["--stage", "identity"]).is_empty() && letters(&shop, &["--number", "2"]).len() == 1
    );

    // Nothing is mended: both stay, with one more attempt; and a look changes nothing.
    assert_eq!(replay(&shop, &[])["sources"]["web"]["rejected"], 2);
    assert_eq!(letters(&shop, &[])[0]["replays"], 1);
    write(&shop, &STRICT.replace("price = \"integer\"", "price = \"decimal\""));
    let look = replay(&shop, &["--dry-run"]);
    assert_eq!((&look["sources"]["web"]["events"], &look["dry_run"]), (&json!(2), &json!(true)), "{look}");
    assert_eq!(letters(&shop, &[]).len(), 2);

    let one = replay(&shop, &["--number", "1"]);
    assert_eq!(one["sources"]["web"]["events"], 1);
    assert_eq!(letters(&shop, &[]).len(), 1);
    let text = said(&shop.run(&["dead-letters", "replay", "pipeline.toml", "--code", "schema-changed"]));
    assert!(text.contains("1 of 1 rows were taken in"), "{text}");
    assert!(letters(&shop, &[]).is_empty());
    // Nothing of the rows was lost on the way, and a replay of nothing is nothing.
    assert_eq!(replay(&shop, &[])["sources"], json!({}));
    let again = shop.json(&["run", "pipeline.toml"]);
    assert_eq!((&again["events"], &again["segments"]["spenders"]["size"]), (&json!(3), &json!(3)));
    // The same file once more, as another one: all ids are known.
    shop.write("logs/b.jsonl", rows.concat());
    assert_eq!(shop.json(&["run", "pipeline.toml"])["sources"]["web"]["duplicates"], 3);
}

#[test]
fn missing_and_new_columns_follow_their_policy() {
    let schema = |columns: &str, drift: &str| {
        format!("[sources.web.schema]\ncolumns = {{ {columns} }}\ndrift = {{ {drift} }}")
    };
    let rows = [event("1", ",\"pieces\":2"), event("2", ",\"price\":1.5"), event("3", ",\"colour\":\"red\"")]
        .concat();
    let counted = |columns: &str, drift: &str| {
        let shop = shop(&schema(columns, drift));
        shop.write("logs/a.jsonl", &rows);
        let summary = shop.json(&["run", "pipeline.toml"]);
        (summary["sources"]["web"]["events"].clone(), summary["sources"]["web"]["reasons"].clone())
    };
    let all = "\"id.cookie\" = \"text\", price = \"decimal\", pieces = \"integer\", colour = \"text\"";
    assert_eq!(counted(all, ""), (json!(3), json!({})));
    let required = all.replace("\"decimal\"", "{ type = \"decimal\", required = true }");
    assert_eq!(counted(&required, ""), (json!(1), json!({"schema-missing": 2})));
    assert_eq!(counted(&required, "missing = \"evolve\""), (json!(3), json!({})));
    let few = "\"id.cookie\" = \"text\", price = \"decimal\"";
    assert_eq!(counted(few, ""), (json!(3), json!({})));
    assert_eq!(counted(few, "new = \"quarantine\""), (json!(1), json!({"schema-new": 2})));
    let more = format!("{all}, size = \"text\"");
    assert_eq!(counted(&more, ""), (json!(0), json!({"schema-missing": 3})));
    assert_eq!(counted(&more, "missing = \"evolve\""), (json!(3), json!({})));

    for (columns, drift, error) in [
        (few, "new = \"stop\"", "column `colour`: it is not declared in the source's schema"),
        (&more[..], "missing = \"stop\"", "column `size`: the source does not bring it"),
        (
            &required,
            "missing = \"stop\"",
            "column `price`: no value, and it is required, in row 0 of a batch",
        ),
        (
            &all.replace("decimal", "boolean"),
            "changed = \"stop\"",
            "column `price`: found decimal, expected boolean",
        ),
        (
            &all.replace("decimal", "integer"),
            "changed = \"stop\"",
            "column `price`: found decimal, expected integer, in row 1",
        ),
    ] {
        let shop = shop(&schema(columns, drift));
        shop.write("logs/a.jsonl", &rows);
        let output = shop.run(&["run", "pipeline.toml"]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(error), "{error}: {}", said(&output));
        let store = shop.json(&["segments", "pipeline.toml"]);
        assert_eq!(store["events"].as_u64().unwrap_or_default(), 0, "nothing was committed: {store}");
    }
}

#[test]
fn numbers_are_taken_for_numbers_only_where_nothing_of_them_is_lost() {
    let schema = "[sources.web.schema]\ncolumns = { pieces = \"decimal\", price = \"integer\" }\ndrift = { changed = \"evolve\" }";
    let shop = shop(schema);
    let rows = [
        event("1", ",\"pieces\":9007199254740993"),
        event("2", ",\"pieces\":9007199254740992"),
        event("3", ",\"price\":4.0"),
        event("4", ",\"price\":4.5"),
    ];
    shop.write("logs/a.jsonl", rows.concat());
    let web = shop.json(&["run", "pipeline.toml"])["sources"]["web"].clone();
    assert_eq!((&web["events"], &web["rejected"]), (&json!(2), &json!(2)), "{web}");
    let found = letters(&shop, &[]);
    let said: Vec<&str> = found.iter().map(|letter| letter["message"].as_str().unwrap()).collect();
    assert_eq!(
        said,
        [
            "column `pieces`: found an integer that no decimal is exactly, expected decimal",
            "column `price`: found a decimal that no integer is exactly, expected integer"
        ]
    );
}

#[test]
fn what_the_store_has_learnt_of_a_column_is_held_against_other_sources() {
    let shop = shop("");
    shop.write("logs/a.jsonl", event("1", ",\"price\":0.5,\"colour\":\"red\""));
    let ints = r#"
[sources.app]
plugin = "cookies"
consent = "granted"
config = { path = "app", properties = { price = { type = "integer" } } }
"#;
    write(&shop, ints);
    std::fs::create_dir(shop.0.path().join("app")).unwrap();
    shop.write(
        "app/a.jsonl",
        [event("8", ",\"price\":7"), event("9", ",\"price\":9007199254740993")].concat(),
    );
    // `app` comes first by its name, so the store would hold integers; the decimals are there already.
    write(&shop, "");
    shop.json(&["run", "pipeline.toml"]);
    write(&shop, ints);
    let app = shop.json(&["run", "pipeline.toml"])["sources"]["app"].clone();
    assert_eq!((&app["events"], &app["reasons"]), (&json!(1), &json!({"schema-changed": 1})), "{app}");
    let found = letters(&shop, &["--source", "app"]);
    let message =
        "column `price`: found an integer that no decimal is exactly, the store holds it as decimal";
    assert_eq!(found[0]["message"], message);
    write(&shop, &ints.replace("type = \"integer\"", "type = \"boolean\""));
    let output = shop.run(&["run", "pipeline.toml"]);
    assert!(
        said(&output).contains("column `price` of source `app` is boolean, the store holds it as decimal"),
        "{}",
        said(&output)
    );
}

#[test]
fn another_event_under_a_used_id_waits_and_the_same_one_counts_once() {
    let shop = shop("");
    shop.write("logs/a.jsonl", event("1", ",\"price\":1.5"));
    shop.json(&["run", "pipeline.toml"]);
    shop.write("logs/b.jsonl", event("1", ",\"price\":1.5"));
    shop.write(
        "logs/c.jsonl",
        [event("1", ",\"price\":2.5"), event("2", ""), event("2", ",\"colour\":\"red\"")].concat(),
    );
    let web = shop.json(&["run", "pipeline.toml"])["sources"]["web"].clone();
    assert_eq!((&web["events"], &web["duplicates"]), (&json!(1), &json!(1)), "{web}");
    assert_eq!(web["reasons"], json!({"id-reused": 2}));
    let found = letters(&shop, &["--code", "id-reused"]);
    assert_eq!((&found[0]["payload"], &found[0]["stage"]), (&json!("event_id 1"), &json!("identity")));
    // A replay does not make it another event.
    assert_eq!(replay(&shop, &[])["sources"]["web"]["reasons"], json!({"id-reused": 2}));
}

#[test]
fn of_who_denies_nothing_is_kept() {
    let shop = shop(STRICT);
    let rows = [
        event("1", ",\"price\":1.5,\"consent\":\"granted\""),
        event("2", ",\"price\":1.5,\"consent\":\"denied\""),
        event("3", ",\"price\":1.5"),
    ];
    shop.write("logs/a.jsonl", rows.concat());
    let first = shop.json(&["run", "pipeline.toml"]);
    assert_eq!(first["sources"]["web"]["rejected"], 3, "{first}");
    let found = letters(&shop, &[]);
    let kept: Vec<bool> = found.iter().map(|letter| letter["kept"].is_u64()).collect();
    assert_eq!(kept, [true, false, true]);
    assert_eq!(found[1]["payload"], "");
    // Who denies later takes with them what waits, even though no profile of them exists.
    let denial = event("9", ",\"consent\":\"denied\"").replace("\"c9\"", "\"c1\"");
    shop.write("logs/b.jsonl", denial);
    shop.json(&["run", "pipeline.toml"]);
    let kept: Vec<bool> = letters(&shop, &[]).iter().map(|letter| letter["kept"].is_u64()).collect();
    assert_eq!(kept, [false, false, true]);
    write(&shop, "");
    let done = replay(&shop, &[]);
    assert_eq!(
        (&done["sources"]["web"]["events"], &done["without_row"]),
        (&json!(1), &json!({"schema": 2})),
        "{done}"
    );
}

#[test]
fn rows_that_their_source_could_not_read_are_said_to_be_lost_to_a_replay() {
    let shop = shop("");
    shop.write("logs/a.jsonl", "no json\n".to_owned() + &event("1", ""));
    shop.json(&["run", "pipeline.toml"]);
    let text = said(&shop.run(&["dead-letters", "replay", "pipeline.toml"]));
    assert!(
        text.contains("1 letters of stage `source` have no row to replay: their source could not read them"),
        "{text}"
    );
    assert_eq!(letters(&shop, &[]).len(), 1);
}

#[test]
fn an_enrichment_that_is_mended_gets_its_rows_once_more() {
    let hashing = |column: &str, more: &str| {
        format!(
            "[[enrichments]]\nplugin = \"hash-identifiers\"\nconfig = {{ columns = {{ {column} }}{more} }}\n"
        )
    };
    for (name, kept) in [("device", true), ("email", false)] {
        let column = match name {
            "device" => "device = { kind = \"maid\" }",
            _ => "email = { kind = \"email\", hash = \"sha256\" }",
        };
        let shop = shop(&hashing(column, ""));
        let identified = |shop: &Shop| {
            let path = shop.0.path().join("pipeline.toml");
            let text = std::fs::read_to_string(&path).unwrap();
            let identifiers =
                format!("identifiers = {{ {name} = {{ kind = \"plain\", hash = \"none\" }} }}, properties");
            std::fs::write(path, text.replacen("properties", &identifiers, 1)).unwrap();
        };
        identified(&shop);
        shop.write(
            "logs/a.jsonl",
            [event("1", &format!(",\"{name}\":\"nonsense\"")), event("2", "")].concat(),
        );
        let first = shop.json(&["run", "pipeline.toml"]);
        assert_eq!(first["sources"]["web"]["rejected"], 1, "{first}");
        let found = letters(&shop, &["--stage", "enrichment"]);
        assert_eq!((&found[0]["source"], &found[0]["instance"]), (&json!("web"), &json!("hash-identifiers")));
        // A raw address that may not be stored is not kept for a replay either.
        assert_eq!(found[0]["kept"].is_u64(), kept, "{found:?}");
        write(&shop, &hashing(column, ", on_invalid = \"null\""));
        identified(&shop);
        let done = replay(&shop, &["--source", "web"]);
        assert_eq!(done["sources"]["web"]["events"], if kept { json!(1) } else { json!(null) }, "{done}");
        assert_eq!(letters(&shop, &[]).len(), usize::from(!kept));
    }
}

#[test]
fn a_replay_that_is_killed_takes_every_row_in_once() {
    let shop = shop(STRICT);
    let small = |shop: &Shop, schema: &str| {
        write(shop, schema);
        let path = shop.0.path().join("pipeline.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replace("name = \"shop\"", "name = \"shop\"\nstep_rows = 64")).unwrap();
    };
    small(&shop, STRICT);
    let rows: String = (0..3000).map(|n| event(&n.to_string(), ",\"price\":1.5")).collect();
    shop.write("logs/a.jsonl", rows);
    assert_eq!(shop.json(&["run", "pipeline.toml"])["sources"]["web"]["rejected"], 3000);
    small(&shop, &STRICT.replace("price = \"integer\"", "price = \"decimal\""));
    let mut killed = 0;
    for round in 0..12_u64 {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_kindred"))
            .current_dir(shop.0.path())
            .args(["dead-letters", "replay", "pipeline.toml", "--quiet"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(40 + round * 17));
        killed += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(killed > 0, "no replay was still under way");
    let rest = letters(&shop, &["--limit", "0"]).len();
    let done = replay(&shop, &[]);
    assert_eq!(done["sources"]["web"]["events"].as_u64().unwrap_or_default(), rest as u64, "{done}");
    assert!(letters(&shop, &[]).is_empty());
    shop.write("logs/b.jsonl", event("new", ""));
    let end = shop.json(&["run", "pipeline.toml"]);
    assert_eq!((&end["events"], &end["profiles"]), (&json!(3001), &json!(3001)), "{end}");
}

#[test]
fn json_that_is_no_text_is_not_made_one_unless_that_is_said() {
    let shop = shop("");
    let rows =
        [event("1", ",\"colour\":true"), event("2", ",\"colour\":{\"a\":1}"), event("3", ",\"colour\":12")];
    shop.write("logs/a.jsonl", rows.concat());
    let web = shop.json(&["run", "pipeline.toml"])["sources"]["web"].clone();
    assert_eq!((&web["events"], &web["reasons"]), (&json!(1), &json!({"value": 2})), "{web}");
    let message = letters(&shop, &[])[0]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("column `colour`: found `true`, expected text; with `type"), "{message}");
}

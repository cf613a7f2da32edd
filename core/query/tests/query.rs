//! `kindred query`: the answers are those of the store, in every format; nothing but reading is allowed; the engine's
//! known traps are closed; memory and time have an end.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

mod support;

use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};
use support::{Place, said};

const PIPELINE: &str = r#"
[pipeline]
name = "test"
store = "store"
clock = "events"

[sources.web]
plugin = "cookies"
consent = "granted"
config = { path = "logs", consent = "consent", identifiers = { crm = "crm" } }

[segments.buyers]
rule = "did(event = 'purchase', '30 days')"
"#;

/// Five cookies, two of which are one profile; values from 1 to 5, one of them missing.
fn place() -> Place {
    let place = Place::new(PIPELINE);
    let mut log = String::new();
    for cookie in 1..=5 {
        for (n, event) in ["product_view", "purchase"].iter().enumerate().take(1 + usize::from(cookie > 2)) {
            let value = if cookie == 4 { Value::Null } else { json!(cookie) };
            let crm = if cookie < 3 { json!("same") } else { Value::Null };
            let row = json!({
                "id": format!("{cookie}-{n}"), "cookie": format!("c{cookie}"), "event": event, "value": value,
                "crm": crm, "time": format!("2026-01-0{cookie}T1{n}:00:00Z"), "consent": "granted",
            });
            log.push_str(&format!("{row}\n"));
        }
    }
    place.write("logs/1.jsonl", &log);
    place.json(&["run", "pipeline.toml"]);
    place
}

#[test]
fn the_tables_hold_what_the_store_holds() {
    let place = place();
    let one = |sql: &str| place.rows(sql)[0].clone();
    assert_eq!(
        one("SELECT count(*) AS n, count(DISTINCT profile_id) AS p, sum(value) AS v FROM events"),
        json!({"n": 8, "p": 4, "v": 19.0})
    );
    assert_eq!(one("SELECT count(*) AS n FROM profiles WHERE consent = 'granted'"), json!({"n": 4}));
    assert_eq!(
        one("SELECT count(*) AS n FROM identities WHERE namespace = 'cookie'"),
        json!({"n": 5}),
        "both cookies of the merged profile"
    );
    let buyers = place.rows(
        "SELECT i.value AS cookie FROM memberships m JOIN identities i USING (profile_id) \
         WHERE segment = 'buyers' AND namespace = 'cookie' ORDER BY 1",
    );
    let listed: Vec<&str> = buyers.iter().map(|row| row["cookie"].as_str().unwrap()).collect();
    assert_eq!(listed, place.members("buyers"));
    assert_eq!(listed, ["c3", "c4", "c5"]);
    assert_eq!(one("SELECT now() AS t"), json!({"t": "2026-01-05T11:00:00Z"}), "the clock of the answers");
    assert_eq!(
        one("SELECT count(*) AS n FROM profiles WHERE array_length(identifiers) = 3"),
        json!({"n": 1}),
        "two cookies and the number that linked them"
    );
}

#[test]
fn a_query_sees_the_last_run_and_what_is_published_is_kept() {
    let place = place();
    let manifest = || fs::read_to_string(place.path("store/published/manifest.json")).unwrap();
    place.rows("SELECT 1");
    let first = manifest();
    place.rows("SELECT 1");
    assert_eq!(first, manifest(), "nothing moved, nothing is written");
    place.write(
        "logs/2.jsonl",
        r#"{"id":"x","cookie":"c9","event":"purchase","time":"2026-01-06T00:00:00Z"}"#,
    );
    place.json(&["run", "pipeline.toml"]);
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0], json!({"n": 9}));
    let held = kindred_core::store::Store::open(&place.path("store")).unwrap();
    let output =
        place.command(&["query", "pipeline.toml", "SELECT count(*) AS n FROM events"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("is in use by process"), "{}", said(&output));
    assert!(said(&output).contains("as of 2026-01-06T00:00:00Z"), "{}", said(&output));
    drop(held);
}

#[test]
fn every_format_has_every_row() {
    let place = place();
    let sql = "SELECT profile_id, event, value FROM events ORDER BY event_time";
    let text = |more: &[&str]| {
        let output = place.command(&["query", "pipeline.toml", sql]).args(more).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let table = text(&[]);
    assert!(table.starts_with(" profile_id   event"), "{table}");
    assert!(table.ends_with("\n8 rows\n"), "{table}");
    let short = text(&["--limit", "3"]);
    assert!(short.ends_with("\nthe first 3 rows; see all with --limit 0, --csv or --json\n"), "{short}");
    assert_eq!(short.lines().count(), 2 + 3 + 2);
    let csv = text(&["--csv"]);
    assert_eq!(csv.lines().next(), Some("profile_id,event,value"));
    assert_eq!(csv.lines().count(), 9);
    assert_eq!(csv.lines().filter(|line| line.ends_with(',')).count(), 2, "nulls are empty");
    let rows: Vec<Value> = serde_json::from_str(&text(&["--json"])).unwrap();
    assert_eq!(rows.len(), 8);
    assert_eq!((&rows[2]["value"], &rows[4]["value"]), (&json!(3.0), &Value::Null), "nulls are said");
    text(&["--arrow", "rows.arrow"]);
    let file = fs::File::open(place.path("rows.arrow")).unwrap();
    let reader = arrow::ipc::reader::FileReader::try_new(file, None).unwrap();
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 8);
    let none =
        place.command(&["query", "pipeline.toml", "SELECT * FROM events WHERE false", "--csv"]).output();
    assert!(said(&none.unwrap()).starts_with("profile_id,event_time,"), "a header without rows");
}

#[test]
fn nothing_but_reading_is_allowed() {
    let place = place();
    place.write("secret.csv", "a\n1\n");
    let secret = place.path("secret.csv").display().to_string();
    let before = fs::read_dir(place.path(".")).unwrap().count();
    for (sql, word) in [
        ("COPY events TO 'out.csv'", "`COPY`"),
        ("COPY (SELECT 1) TO 'out.parquet' STORED AS PARQUET", "`COPY`"),
        (&format!("CREATE EXTERNAL TABLE s STORED AS CSV LOCATION '{secret}'"), "`CreateExternalTable`"),
        ("CREATE TABLE t AS SELECT 1", "`CreateMemoryTable`"),
        ("CREATE VIEW v AS SELECT 1", "`CreateView`"),
        ("SELECT 1 INTO t", "`CreateMemoryTable`"),
        ("DROP TABLE events", "`DropTable`"),
        ("INSERT INTO events SELECT * FROM events", "`Insert Into`"),
        ("DELETE FROM events", "`Delete`"),
        ("SET datafusion.execution.batch_size = 1", "`SetVariable`"),
        ("PREPARE p AS SELECT 1", "`Prepare`"),
        ("EXPLAIN ANALYZE COPY events TO 'out.csv'", "COPY"),
    ] {
        let said = place.failure(2, &["query", "pipeline.toml", sql]);
        assert!(
            said.starts_with("error: only a query can be run here: ") && said.contains(word),
            "{sql}: {said}"
        );
        assert!(said.contains("help: one SELECT"), "{said}");
    }
    for sql in [
        &format!("SELECT * FROM '{secret}'"),
        "SELECT 1; SELECT 2",
        "SELEC 1",
        "BEGIN",
        "",
        "SELECT nope FROM events",
    ] {
        let said = place.failure(2, &["query", "pipeline.toml", sql]);
        assert!(said.starts_with("error: "), "{sql}: {said}");
    }
    assert_eq!(fs::read_dir(place.path(".")).unwrap().count(), before, "no file was made");
    for sql in [
        "SHOW TABLES",
        "DESCRIBE events",
        "EXPLAIN SELECT 1",
        "VALUES (1)",
        "WITH a AS (SELECT 1) SELECT * FROM a",
    ] {
        assert!(!place.rows(sql).is_empty(), "{sql}");
    }
}

/// Without the rule, the engine says that 72 days are at most 3.
#[test]
fn differences_of_times_are_compared_by_their_length() {
    let place = place();
    let from = "FROM (SELECT TIMESTAMP '2026-03-14T00:00:00Z' AS a, TIMESTAMP '2026-01-01T00:00:00Z' AS b)";
    for (condition, wanted) in [
        ("a - b <= INTERVAL '3 days'", json!(false)),
        ("a - b > INTERVAL '3 days'", json!(true)),
        ("INTERVAL '3 days' >= a - b", json!(false)),
        ("a - b = INTERVAL '72 days'", json!(true)),
        ("a - b <> INTERVAL '1728 hours'", json!(false)),
        ("b - a < INTERVAL '-71 days'", json!(true)),
        ("a - b BETWEEN INTERVAL '71 days' AND INTERVAL '73 days'", json!(true)),
        ("a - b NOT BETWEEN INTERVAL '1 day' AND INTERVAL '80 days'", json!(false)),
        ("a - b <= CAST(NULL AS INTERVAL)", Value::Null),
        ("CASE WHEN a - b <= INTERVAL '3 days' THEN 1 ELSE 0 END = 0", json!(true)),
        ("now() - b <= INTERVAL '3 days'", json!(false)),
        ("a <= b + INTERVAL '3 days'", json!(false)),
    ] {
        let rows = place.rows(&format!("SELECT {condition} AS holds {from}"));
        assert_eq!(rows[0]["holds"], wanted, "{condition}");
    }
    // In columns, in a filter, a join and a correlated subquery: pairs of events of one profile, an hour apart.
    let close = |limit: &str| {
        let joined = format!(
            "SELECT count(*) AS n FROM events e JOIN events f ON e.profile_id = f.profile_id \
             AND f.event_time > e.event_time AND f.event_time - e.event_time <= INTERVAL '{limit}'"
        );
        let nested = format!(
            "SELECT count(*) AS n FROM events e WHERE EXISTS (SELECT 1 FROM events f WHERE f.profile_id = e.profile_id \
             AND f.event_time > e.event_time AND f.event_time - e.event_time <= INTERVAL '{limit}')"
        );
        [place.rows(&joined)[0]["n"].clone(), place.rows(&nested)[0]["n"].clone()]
    };
    assert_eq!(close("59 minutes"), [0, 0]);
    assert_eq!(close("1 hour"), [3, 3]);
    assert_eq!(close("1 day"), [4, 4], "and the two cookies of one profile, a day apart");
    for unclear in [
        "a - b <= INTERVAL '1 month'",
        "a - b IN (INTERVAL '3 days')",
        "a - b < (a - b) * 2 + INTERVAL '1 year'",
    ] {
        let said = place.failure(2, &["query", "pipeline.toml", &format!("SELECT {unclear} {from}")]);
        assert!(said.starts_with("error: "), "{unclear}: {said}");
    }
    let said =
        place.failure(2, &["query", "pipeline.toml", &format!("SELECT a - b <= INTERVAL '1 month' {from}")]);
    assert!(said.contains("write `a <= b + INTERVAL '1 month'`"), "{said}");
}

#[test]
fn nulls_come_last_in_either_order() {
    let place = place();
    let values = |sql: &str| place.rows(sql).iter().map(|row| row["v"].clone()).collect::<Vec<_>>();
    let query =
        |order: &str| format!("SELECT max(value) AS v FROM events GROUP BY event_time ORDER BY v {order}");
    assert_eq!(values(&query("DESC LIMIT 1")), [json!(5.0)]);
    assert_eq!(values(&query("ASC")).last(), Some(&Value::Null));
    assert_eq!(values(&query("DESC NULLS FIRST LIMIT 1")), [Value::Null], "unless it is asked for");
    let ranked = "SELECT v FROM (SELECT value AS v, row_number() OVER (ORDER BY value DESC) AS r FROM events) WHERE r = 1";
    assert_eq!(values(ranked), [json!(5.0)], "in windows");
    assert_eq!(
        values("SELECT first_value(value ORDER BY value DESC) AS v FROM events"),
        [json!(5.0)],
        "in aggregates"
    );
}

#[test]
fn time_has_an_end() {
    let place = place();
    let begun = Instant::now();
    let endless = "SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 100000) b";
    let said = place.failure(1, &["query", "pipeline.toml", endless, "--timeout", "1s"]);
    assert!(said.contains("error: the query took longer than 1s"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let said = place.failure(2, &["query", "pipeline.toml", "SELECT 1", "--timeout", "soon"]);
    assert!(said.contains("such as 30s"), "{said}");
}

#[test]
fn without_the_engine_it_is_told_what_to_build() {
    let place = place();
    let output = place.alone(&["query", "pipeline.toml", "SELECT 1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("cargo build --release -p kindred-query"), "{}", said(&output));
}

/// The retail example: every query of the documentation has an answer, and a rule written as SQL has the rule's members.
#[test]
fn the_documentation_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let place = Place::new("");
    let file = root.join("examples/retail/pipeline.toml").display().to_string();
    let with = |command: &[&str], rest: &[&str]| {
        let sets = ["--set", "store=./store", "--set", "out=./out"];
        place.json(&[command, &[file.as_str()], &sets, rest].concat())
    };
    with(&["run"], &[]);
    let text = fs::read_to_string(root.join("docs/query.md")).unwrap();
    let queries: Vec<&str> =
        text.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(queries.len() >= 4);
    for query in queries {
        let rows = with(&["query"], &[query]);
        assert!(rows.as_array().unwrap().len() >= 3, "{query}: {rows}");
    }
    let toml = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let retail = fs::read_to_string(&file)
        .unwrap()
        .replace("${data}", &root.join("examples/retail/data").display().to_string());
    place.write("pipeline.toml", &format!("{retail}\n{toml}"));
    let summary = place.json(&["run", "pipeline.toml"]);
    assert!(summary["segments"]["above-average"]["size"].as_u64().unwrap() > 50, "{summary}");
    for (segment, sql) in [
        (
            "high-spenders",
            "SELECT profile_id FROM events WHERE event = 'purchase' AND event_time > now() - INTERVAL '90 days' \
             GROUP BY profile_id HAVING sum(amount) >= 750",
        ),
        (
            "wine-drinkers",
            "SELECT profile_id FROM events WHERE event = 'purchase' AND category LIKE '%WINE%' \
             AND event_time > now() - INTERVAL '364 days' GROUP BY profile_id HAVING count(DISTINCT basket) >= 2",
        ),
        ("redeemers", "SELECT DISTINCT profile_id FROM events WHERE event = 'conversion'"),
    ] {
        let both = format!(
            "SELECT count(s.profile_id) AS here, count(m.profile_id) AS there, \
             count(CASE WHEN s.profile_id = m.profile_id THEN 1 END) AS both FROM ({sql}) s \
             FULL JOIN (SELECT profile_id FROM memberships WHERE segment = '{segment}') m ON s.profile_id = m.profile_id"
        );
        let row = with(&["query"], &[&both])[0].clone();
        assert!(row["here"].as_u64().unwrap() > 10, "{segment}: {row}");
        assert_eq!((&row["here"], &row["there"]), (&row["both"], &row["both"]), "{segment}");
    }
}

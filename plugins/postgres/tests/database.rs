//! The source against a real database, `test` at 127.0.0.1:5432: every type, changes, ties, and instances that die.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

use kindred_plugin_api::{
    Context, FaultKind, Poll, Rows, Source,
    arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType},
    options,
    prelude::*,
};
use kindred_plugin_postgres::{Config, Postgres};
use postgres::{Client, NoTls};
use std::collections::{BTreeMap, BTreeSet};

const DATABASE: &str = "host=127.0.0.1 port=5432 dbname=test user=postgres";

/// Says that a test is skipped; with `CI=true` it fails.
fn missing<T>(what: &str) -> Option<T> {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} is missing");
    eprintln!("SKIPPED: {what} is missing");
    None
}

/// A schema of the test's own, dropped at its end.
struct Schema {
    name: String,
    client: Client,
}

impl Schema {
    fn new(name: &str) -> Option<Self> {
        let name = format!("kindred_{name}_{}", std::process::id());
        let mut client = match Client::connect(DATABASE, NoTls) {
            Ok(client) => client,
            Err(error) => return missing(&format!("the database at {DATABASE} ({error})")),
        };
        let make =
            format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}; SET search_path = {name}");
        client.batch_execute(&make).unwrap();
        Some(Self { name, client })
    }

    fn run(&mut self, sql: &str) {
        self.client.batch_execute(sql).unwrap();
    }

    fn config(&self, more: serde_json::Value) -> Config {
        let mut config = serde_json::json!({
            "connection": DATABASE, "table": format!("{}.people", self.name), "keys": { "crm": "id" },
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        options::parse(&config.to_string()).unwrap()
    }

    fn open(&self, more: serde_json::Value, state: Option<Vec<u8>>) -> Postgres {
        let config = self.config(more);
        assert_eq!(Postgres::validate(&config), []);
        let context = Context::detached(".").with_state(state);
        Postgres::check(&config, &context).unwrap();
        Postgres::open(config, context).unwrap()
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let _ = self.client.batch_execute(&format!("DROP SCHEMA {} CASCADE", self.name));
    }
}

fn next(source: &mut Postgres, most: usize) -> Option<Rows> {
    match source.poll(most, 1000).unwrap() {
        Poll::Rows(rows) => Some(rows),
        Poll::Idle { .. } => panic!("it has an end"),
        Poll::End => None,
    }
}

/// Keys and values of all rows to the end, and the last position.
fn drain(source: &mut Postgres, most: usize, value: &str) -> (Vec<(String, i64)>, Option<Vec<u8>>) {
    let (mut seen, mut position) = (Vec::new(), None);
    while let Some(rows) = next(source, most) {
        assert_eq!(rows.rejects, []);
        seen.extend(pairs(&rows, value));
        position = Some(rows.position);
    }
    assert!(next(source, most).is_none(), "stays at its end");
    (seen, position)
}

fn pairs(rows: &Rows, value: &str) -> Vec<(String, i64)> {
    let keys = rows.batch.column_by_name("id.crm").unwrap().as_string::<i32>();
    let values = rows.batch.column_by_name(&format!("attr.{value}")).unwrap().as_primitive::<Int64Type>();
    keys.iter().zip(values).map(|(key, value)| (key.unwrap().to_owned(), value.unwrap())).collect()
}

const PEOPLE: &str =
    "CREATE TABLE people (id int8 PRIMARY KEY, score int4 NOT NULL, updated_at timestamptz NOT NULL)";

fn people(schema: &mut Schema, rows: u32) {
    schema.run(PEOPLE);
    // Ten rows share each moment.
    schema.run(&format!(
        "INSERT INTO people SELECT n, n, timestamptz '2026-01-01' + (n / 10) * interval '1 s' FROM generate_series(1, {rows}) AS n"
    ));
}

#[test]
fn every_type_has_a_column_and_null_stays_null() {
    let Some(mut schema) = Schema::new("types") else { return };
    schema.run("CREATE TYPE plan AS ENUM ('free', 'gold'); CREATE DOMAIN points AS int4");
    schema.run(
        "CREATE TABLE people (id numeric PRIMARY KEY, t text, v varchar(9), c char(5), i2 int2, i4 int4, i8 int8, f4 float4,
           f8 float8, n numeric(20,4), exact numeric, b bool, ts timestamp, tz timestamptz, d date, u uuid, e plan, j json,
           jb jsonb, raw bytea, list int4[], p points, span interval, \"odd \"\"name\" text, mail text)",
    );
    schema.run(
        "INSERT INTO people VALUES (9007199254740993, 'ü', 'v', 'c', -2, 4, 9007199254740993, 0.5, 1e300, 12.3456,
           12345678901234567890.5, true, '2026-03-29 03:30', '2026-03-29 03:30+02', '2026-03-29',
           '00000000-0000-0000-0000-00000000000A', 'gold', '{\"a\": 1}', '{\"b\":2}', '\\x00ff', '{1,2}', 7, '1 day', 'o',
           ' Jane@Example.com ')");
    schema.run("INSERT INTO people (id) VALUES (2), (3)");
    schema.run("UPDATE people SET tz = 'infinity', d = '-infinity' WHERE id = 3");
    let mut source = schema.open(
        serde_json::json!({
            "keys": { "crm": "id", "email": "mail" }, "as_of": "tz",
            "attributes": { "t": "t", "v": "v", "c": "c", "i2": "i2", "i4": "i4", "i8": "i8", "f4": "f4", "f8": "f8", "n": "n",
                "exact": { "type": "string" }, "b": "b", "ts": { "timezone": "Europe/Berlin" }, "d": "d", "u": "u", "e": "e",
                "j": "j", "jb": "jb", "raw": "raw", "list": "list", "p": "p", "span": "span", "odd": "odd \"name" },
        }),
        None,
    );
    let schema_before = source.schema().unwrap();
    let rows = next(&mut source, 100).unwrap();
    assert_eq!(rows.batch.schema(), schema_before);
    assert_eq!((rows.batch.num_rows(), &rows.rejects[..]), (3, &[][..]));
    // In the order of the key: 2, 3, 9007199254740993.
    let column = |name: &str| rows.batch.column_by_name(name).unwrap().clone();
    let text = |name: &str| column(name).as_string::<i32>().value(2).to_owned();
    assert_eq!(text("id.crm"), "9007199254740993", "a key keeps its digits");
    let email = text("id.email_sha256");
    assert!(email.len() == 64 && email.bytes().all(|b| b.is_ascii_hexdigit()));
    let texts = ["t", "v", "exact", "u", "e", "j", "jb", "raw", "list", "span", "odd"]
        .map(|c| text(&format!("attr.{c}")));
    let expected = [
        "ü",
        "v",
        "12345678901234567890.5",
        "00000000-0000-0000-0000-00000000000a",
        "gold",
        "{\"a\": 1}",
        "{\"b\": 2}",
        "\\x00ff",
        "{1,2}",
        "P1D",
        "o",
    ];
    assert_eq!(texts, expected);
    let integer = |name: &str| column(name).as_primitive::<Int64Type>().value(2);
    assert_eq!(
        ["i2", "i4", "i8", "p"].map(|c| integer(&format!("attr.{c}"))),
        [-2, 4, 9_007_199_254_740_993, 7]
    );
    let decimal = |name: &str| column(name).as_primitive::<Float64Type>().value(2);
    assert_eq!(["f4", "f8", "n"].map(|c| decimal(&format!("attr.{c}"))), [0.5, 1e300, 12.3456]);
    assert!(column("attr.b").as_boolean().value(2));
    let time = |name: &str| column(name).as_primitive::<TimestampMicrosecondType>().value(2);
    let at = 1_774_747_800_000_000;
    assert_eq!(
        [time("event_time"), time("attr.ts")],
        [at; 2],
        "03:30 in Berlin, on the night the clocks go forward"
    );
    assert_eq!(time("attr.d"), 1_774_742_400_000_000);
    for column in rows.batch.columns().iter().skip(3) {
        assert!(column.is_null(0), "{:?}", column.data_type());
    }
    assert!(column("event_time").is_null(1) && column("attr.d").is_null(1), "infinity is no moment");
    // All columns that nothing else uses.
    let mut source = schema.open(serde_json::json!({ "exclude": ["mail", "raw"] }), None);
    let names: BTreeSet<String> =
        source.schema().unwrap().fields().iter().map(|f| f.name().clone()).collect();
    assert!(names.contains("attr.odd \"name") && !names.contains("attr.mail") && !names.contains("attr.id"));
}

#[test]
fn the_whole_table_comes_once_and_then_what_changed() {
    let Some(mut schema) = Schema::new("changes") else { return };
    people(&mut schema, 20_000);
    let options = || serde_json::json!({ "cursor": "updated_at", "attributes": ["score"], "overlap": 0 });
    let mut source = schema.open(options(), None);
    let first = next(&mut source, 3001).unwrap();
    let mut seen: Vec<(String, i64)> = pairs(&first, "score");
    // While the table is read: a row that was read, one that was not, and a new one.
    schema.run("UPDATE people SET score = -1, updated_at = '2026-02-01' WHERE id IN (5, 19999)");
    schema.run("INSERT INTO people VALUES (0, -2, '2026-02-01'), (20001, -2, '2026-02-01')");
    let (rest, position) = drain(&mut source, 3001, "score");
    seen.extend(rest);
    let whole: Vec<(String, i64)> = (1..=20_000).map(|n| (n.to_string(), n)).collect();
    assert_eq!(seen[..20_000], whole, "the transaction sees one moment");
    let last: BTreeMap<String, i64> = seen.iter().cloned().collect();
    assert_eq!(["0", "5", "19999", "20001"].map(|id| last[id]), [-2, -1, -1, -2]);
    // Ties: six rows of one moment, cut anywhere.
    schema.run("UPDATE people SET score = -3, updated_at = '2026-03-01' WHERE id BETWEEN 100 AND 105");
    for most in [1, 2, 4, 100] {
        let (changed, _) = drain(&mut schema.open(options(), position.clone()), most, "score");
        let expected: Vec<(String, i64)> = (100..=105).map(|n| (n.to_string(), -3)).collect();
        assert_eq!(changed, expected, "{most} at once");
    }
    let (_, position) = drain(&mut schema.open(options(), position), 100, "score");
    let (nothing, same) = drain(&mut schema.open(options(), position), 100, "score");
    assert!(nothing.is_empty() && same.is_none(), "no commit without news");
}

#[test]
fn a_transaction_that_ends_late_is_seen_by_the_next_look() {
    let Some(mut schema) = Schema::new("late") else { return };
    people(&mut schema, 10);
    let options = || serde_json::json!({ "cursor": "updated_at", "attributes": ["score"] });
    let mut late = Client::connect(DATABASE, NoTls).unwrap();
    let mut open = late.transaction().unwrap();
    let insert = format!("INSERT INTO {}.people VALUES (77, 7, '2026-02-01 12:00:00')", schema.name);
    open.batch_execute(&insert).unwrap();
    schema.run("INSERT INTO people VALUES (78, 8, '2026-02-01 12:00:30')");
    let (seen, position) = drain(&mut schema.open(options(), None), 100, "score");
    assert!(!seen.iter().any(|(id, _)| id == "77"));
    open.commit().unwrap();
    let (changed, _) = drain(&mut schema.open(options(), position), 100, "score");
    assert_eq!(changed, [("77".to_owned(), 7), ("78".to_owned(), 8)]);
}

#[test]
fn a_killed_instance_goes_on_behind_the_committed_position() {
    let Some(mut schema) = Schema::new("killed") else { return };
    people(&mut schema, 5000);
    schema.run("ALTER TABLE people DROP CONSTRAINT people_pkey, ADD part text NOT NULL DEFAULT 'it''s', ADD PRIMARY KEY (part, id)");
    let name = schema.name.clone();
    let connection = format!("{DATABASE} application_name={name}");
    let options =
        || serde_json::json!({ "connection": connection, "cursor": "updated_at", "attributes": ["score"] });
    let mut source = schema.open(options(), None);
    let (mut last, mut committed) = (BTreeMap::new(), None);
    for batch in 0..5 {
        let rows = next(&mut source, 700).unwrap();
        if batch < 3 {
            last.extend(pairs(&rows, "score"));
            committed = Some(rows.position);
        }
    }
    assert_eq!(last.len(), 2100);
    drop(source);
    schema.run("UPDATE people SET score = -1, updated_at = '2026-02-01' WHERE id IN (1, 4000)");
    let mut source = schema.open(options(), committed);
    let rows = next(&mut source, 700).unwrap();
    assert_eq!(pairs(&rows, "score")[0].0, "2101", "right behind the commit");
    last.extend(pairs(&rows, "score"));
    // The server ends the connection: the next poll connects anew and goes on.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name =";
    schema.run(&format!("{end} '{name}'"));
    let fault = match source.poll(700, 1000) {
        Err(fault) => fault,
        Ok(polled) => panic!("the connection is gone: {polled:?}"),
    };
    assert_eq!(fault.kind, FaultKind::Transient, "{fault}");
    let (rest, _) = drain(&mut source, 700, "score");
    assert_eq!(rest[0].0, "2801");
    last.extend(rest);
    assert_eq!(last.len(), 5000);
    assert_eq!(
        (last["1"], last["4000"], last["5000"]),
        (-1, -1, 5000),
        "what changed between the two is not lost"
    );
}

#[test]
fn without_a_cursor_the_whole_is_read_again_in_its_time() {
    let Some(mut schema) = Schema::new("whole") else { return };
    people(&mut schema, 30);
    let query =
        format!("SELECT id, score * 2 AS twice FROM {}.people WHERE id > 10 -- the rest", schema.name);
    let options = |reread: u32| serde_json::json!({ "table": null, "query": query, "primary_key": "id", "reread_s": reread });
    let (seen, position) = drain(&mut schema.open(options(3600), None), 7, "twice");
    assert_eq!((seen.len(), &seen[0]), (20, &("11".to_owned(), 22)));
    let (nothing, _) = drain(&mut schema.open(options(3600), position.clone()), 7, "twice");
    assert!(nothing.is_empty());
    let (again, _) = drain(&mut schema.open(options(0), position), 7, "twice");
    assert_eq!(again, seen);
}

#[test]
fn numbers_out_of_a_sequence_are_a_cursor_too() {
    let Some(mut schema) = Schema::new("serial") else { return };
    schema.run("CREATE TABLE people (id text PRIMARY KEY, version int4, score int4)");
    schema.run("INSERT INTO people VALUES ('b', 2147483647, 1), ('a', 5, 2), ('c', NULL, 3)");
    let options = || serde_json::json!({ "cursor": "version", "attributes": ["score"], "overlap": 10 });
    let (seen, position) = drain(&mut schema.open(options(), None), 7, "score");
    let keys: Vec<&str> = seen.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(
        keys,
        ["a", "b", "c", "b"],
        "the look behind the whole begins a little before its highest value"
    );
    let (again, same) = drain(&mut schema.open(options(), position), 7, "score");
    assert_eq!((again, same.is_some()), (vec![("b".to_owned(), 1)], true));
}

#[test]
fn rejects_and_faults_show_nothing_of_a_row() {
    let Some(mut schema) = Schema::new("secret") else { return };
    schema.run("CREATE TABLE people (id int4 PRIMARY KEY, mail text, age text)");
    schema.run(
        "INSERT INTO people VALUES (1, 'jane at example', '7'), (2, 'a@b.de', 'geheim'), (3, 'a@b.de', '8')",
    );
    let options =
        serde_json::json!({ "keys": { "email": "mail" }, "attributes": { "age": { "type": "integer" } } });
    let rows = next(&mut schema.open(options, None), 10).unwrap();
    let codes: Vec<_> = rows.rejects.iter().map(|r| (r.row, r.code.as_str())).collect();
    assert_eq!((rows.batch.num_rows(), codes), (1, vec![(1, "identifier"), (2, "value")]));
    let shown = format!("{:?}", rows.rejects);
    assert!(!shown.contains("jane") && !shown.contains("geheim"), "{shown}");
    // The server's own words hold the value.
    let query = format!("SELECT id, mail, mail::int4 AS age FROM {}.people", schema.name);
    let options =
        serde_json::json!({ "table": null, "query": query, "primary_key": "id", "keys": { "crm": "id" } });
    let fault = schema.open(options, None).poll(10, 1000).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Permanent);
    assert!(fault.message.contains("22P02") && !fault.message.contains("jane"), "{fault}");
}

#[test]
fn what_is_not_there_is_told_by_check() {
    let Some(mut schema) = Schema::new("check") else { return };
    people(&mut schema, 1);
    schema.run("CREATE VIEW keyless AS SELECT * FROM people");
    let check = |more| Postgres::check(&schema.config(more), &Context::detached(".")).unwrap_err();
    let at = |more| {
        let fault = check(more);
        assert_eq!(fault.kind, FaultKind::Config, "{fault}");
        (fault.problems[0].path.clone(), fault.message)
    };
    assert_eq!(at(serde_json::json!({ "table": "no.such" })).0, "/table");
    assert_eq!(at(serde_json::json!({ "table": format!("{}.keyless", schema.name) })).0, "/primary_key");
    assert_eq!(at(serde_json::json!({ "cursor": "updated" })).0, "/cursor");
    assert_eq!(at(serde_json::json!({ "keys": { "crm": "idd" } })).0, "/keys/crm");
    assert_eq!(at(serde_json::json!({ "exclude": ["scores"] })).0, "/exclude");
    let table = serde_json::json!({ "table": "people\"; DROP TABLE people; --" });
    assert_eq!(at(table).0, "/table", "a name is a name");
    let wrong =
        serde_json::json!({ "connection": "host=127.0.0.1 dbname=no_such user=postgres password=geheim" });
    let (path, message) = at(wrong);
    assert!(path == "/connection" && !message.contains("geheim"), "{message}");
    let fault = check(serde_json::json!({ "connection": "host=127.0.0.1 port=9 user=u password=geheim" }));
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(!fault.message.contains("geheim"));
}

#[test]
fn an_encrypted_connection_wants_a_certificate_that_it_can_trust() {
    let Some(mut schema) = Schema::new("tls") else { return };
    people(&mut schema, 1);
    let encrypts: String = schema.client.query_one("SHOW ssl", &[]).unwrap().get(0);
    if encrypts != "on" {
        missing::<()>("`ssl = on` of the database");
        return;
    }
    let connection = format!("{DATABASE} sslmode=require");
    let config = schema.config(serde_json::json!({ "connection": connection }));
    let fault = Postgres::check(&config, &Context::detached(".")).unwrap_err();
    assert!(fault.message.contains("certificate"), "{fault}");
}

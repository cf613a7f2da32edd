//! File sources that read from object stores, as real servers speak for them: the same rows as from a folder, what a later
//! look finds, what is lost when one is killed (nothing), and what is said when a store refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    util::display::{ArrayFormatter, FormatOptions},
};
use kindred_plugin_api::{Context, Fault, FaultKind, Poll, Source, options};
use kindred_plugin_file_events::FileEvents;
use kindred_tests::{
    network::port,
    sandbox::Sandbox,
    stores::{Kind, ObjectStore},
};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use serde_json::{Value, json};
use std::{io::Write, process::Stdio, sync::Arc, time::Duration, time::Instant};

/// A row of every format: id, time, user, note. The note of each is its own, so that files have their size packed too.
fn row(id: usize) -> [String; 4] {
    let note = (id as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    [
        format!("e{id}"),
        format!("2026-01-05T10:{:02}:00Z", id % 60),
        format!("u{}", id % 97),
        format!("{note:x}"),
    ]
}

fn csv(ids: std::ops::Range<usize>) -> String {
    let lines = ids.map(|id| row(id).join(",") + "\n");
    std::iter::once("id,time,user,note\n".to_owned()).chain(lines).collect()
}

fn json_lines(ids: std::ops::Range<usize>) -> String {
    let line = |id| {
        let [id, time, user, note] = row(id);
        json!({ "id": id, "time": time, "user": user, "note": note }).to_string() + "\n"
    };
    ids.map(line).collect()
}

/// Row groups of 4096 rows, so that a large file has many; notes of about so many bytes.
fn parquet(ids: std::ops::Range<usize>, notes: usize) -> Vec<u8> {
    let mut rows: Vec<_> = ids.map(row).collect();
    for [id, _, _, note] in &mut rows {
        let seed: u64 = id[1..].parse().unwrap();
        let random = |n: u64| (seed * 1_000 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
        (1..).take_while(|n| n * 16 < notes as u64).for_each(|n| note.push_str(&format!("{:x}", random(n))));
    }
    let column =
        |at: usize| -> ArrayRef { Arc::new(rows.iter().map(|row| Some(&row[at])).collect::<StringArray>()) };
    let columns = ["id", "time", "user", "note"].into_iter().zip((0..4).map(column));
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(4096)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn gz(text: &str) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap()
}

/// What `logs/2026-*/*` means, and objects beside it that it does not mean.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let bad = csv(0..300) + "e300,2026-01-05T10:00:00Z\ne301,soon,u1,x\ne302,2026-01-05T10:00:00Z,,x\n";
    vec![
        ("logs/2026-01/a.csv.gz", gz(&bad)),
        ("logs/2026-01/b ä+1%2F.jsonl", (json_lines(400..600) + "{\"id\":\n").into_bytes()),
        ("logs/2026-01/c.jsonl.zst", zstd::encode_all(json_lines(600..900).as_bytes(), 1).unwrap()),
        // Larger than what is asked for at once.
        ("logs/2026-02/d.csv", csv(1_000..150_000).into_bytes()),
        ("logs/2026-02/e.parquet", parquet(200_000..250_000, 0)),
        ("logs/2026-02/f.csv.gz", gz(&csv(300_000..300_010))[..90].to_vec()),
        ("logs/2025-12/old.csv", csv(0..1).into_bytes()),
        ("logs/2026-01/README", b"no rows".to_vec()),
        ("logs/2026-01/.hidden.csv", csv(0..1).into_bytes()),
        ("logs/2026-02/deeper/g.csv", csv(0..1).into_bytes()),
        ("logs/2026-02/empty.csv", Vec::new()),
    ]
}

const GLOB: &str = "logs/2026-*/*";

fn config(path: impl Into<Value>, store: Option<Value>) -> Value {
    let mut config = json!({
        "path": path.into(), "time": "time", "event": "view", "event_id": ["id"],
        "identifiers": { "cookie": "user" }, "properties": ["note"],
    });
    if let Some(store) = store {
        config["store"] = store;
    }
    config
}

/// A source, and what it gave: rows, rejects, and how many rows stood before each position.
struct Reading {
    source: FileEvents,
    rows: Vec<String>,
    rejects: Vec<String>,
    positions: Vec<(usize, usize, Vec<u8>)>,
}

impl Reading {
    fn open(sandbox: &Sandbox, config: &Value, state: Option<Vec<u8>>) -> Result<Self, Fault> {
        let context = Context::detached(sandbox.path("")).with_state(state);
        let source = FileEvents::open(options::parse(&config.to_string()).unwrap(), context)?;
        Ok(Self { source, rows: Vec::new(), rejects: Vec::new(), positions: Vec::new() })
    }

    /// Polls once; false at the end.
    fn poll(&mut self, most: usize) -> Result<bool, Fault> {
        let Poll::Rows(given) = self.source.poll(most, 0)? else { return Ok(false) };
        let format = FormatOptions::default().with_null("∅");
        let columns = given.batch.columns().iter();
        let columns: Vec<_> =
            columns.map(|column| ArrayFormatter::try_new(column, &format).unwrap()).collect();
        let row =
            |at| columns.iter().map(|column| column.value(at).to_string()).collect::<Vec<_>>().join("|");
        self.rows.extend((0..given.batch.num_rows()).map(row));
        let reject = |reject: kindred_plugin_api::Reject| {
            format!("{} {} {} {} {}", reject.origin, reject.row, reject.code, reject.message, reject.payload)
        };
        self.rejects.extend(given.rejects.into_iter().map(reject));
        self.positions.push((self.rows.len(), self.rejects.len(), given.position));
        Ok(true)
    }

    fn all(sandbox: &Sandbox, config: &Value, state: Option<Vec<u8>>, most: usize) -> Self {
        let mut reading = Self::open(sandbox, config, state).unwrap();
        while reading.poll(most).unwrap() {}
        reading
    }

    fn last(&self) -> Option<Vec<u8>> {
        self.positions.last().map(|(_, _, position)| position.clone())
    }

    /// The ids of its rows.
    fn ids(&self) -> Vec<String> {
        let is_id = |cell: &&str| cell.starts_with('e') && cell[1..].parse::<u32>().is_ok();
        self.rows.iter().map(|row| row.split('|').find(is_id).unwrap().to_owned()).collect()
    }
}

fn ids(ids: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    ids.map(|id| format!("e{id}"))
}

fn filled(kind: Kind) -> Option<(ObjectStore, Sandbox)> {
    let (mut store, sandbox) = (ObjectStore::start(kind)?, Sandbox::new());
    for (name, bytes) in files() {
        store.put(name, &bytes);
        sandbox.write(name, bytes);
    }
    Some((store, sandbox))
}

fn reads_as_a_folder(kind: Kind) {
    let Some((mut store, sandbox)) = filled(kind) else { return };
    let near = Reading::all(&sandbox, &config(GLOB, None), None, 10_000);
    let far_config = config(store.address(GLOB), Some(store.options()));
    let far = Reading::all(&sandbox, &far_config, None, 10_000);
    let whole = 300 + 200 + 300 + 149_000 + 50_000;
    assert!((whole..whole + 10).contains(&near.rows.len()), "{} rows, {:?}", near.rows.len(), near.rejects);
    assert!(near.rows == far.rows, "{kind:?}: {} rows, {} in a folder", far.rows.len(), near.rows.len());
    let root = store.address("");
    let from_far: Vec<_> = far.rejects.iter().map(|reject| reject.replace(&root, "")).collect();
    assert!(near.rejects.len() == 5, "{:?}", near.rejects);
    assert_eq!(near.rejects, from_far);

    // Whoever is killed goes on behind the last position that was acknowledged.
    assert!(far.positions.len() > 20);
    for (rows, rejects, position) in far.positions.iter().step_by(11) {
        let rest = Reading::all(&sandbox, &far_config, Some(position.clone()), 100_000);
        assert!(
            rest.rows == far.rows[*rows..],
            "{} rows behind {rows} of {}",
            rest.rows.len(),
            far.rows.len()
        );
        assert_eq!(rest.rejects, far.rejects[*rejects..]);
    }

    // What a later look finds: nothing, then what is new, what has grown and what is another.
    let look = |state| Reading::all(&sandbox, &far_config, state, 10_000);
    assert!(look(far.last()).positions.is_empty());
    let other = json_lines(400..600).replace("\"u9", "\"v9") + "{\"id\":\n";
    store.put("logs/2026-01/b ä+1%2F.jsonl", other.as_bytes());
    store.put("logs/2026-02/d.csv", csv(1_000..150_003).as_bytes());
    store.put("logs/2026-03/new.csv", csv(400_000..400_005).as_bytes());
    let news = look(far.last());
    let wanted: Vec<_> = ids(400..600).chain(ids(150_000..150_003)).chain(ids(400_000..400_005)).collect();
    assert_eq!(news.ids(), wanted);
    assert!(news.rows.iter().any(|row| row.contains("|v9")), "{:?}", news.rows[90]);
    assert!(look(news.last()).positions.is_empty());
}

#[test]
fn s3_reads_as_a_folder() {
    reads_as_a_folder(Kind::S3);
}

#[test]
fn google_reads_as_a_folder() {
    reads_as_a_folder(Kind::Gcs);
}

#[test]
fn azure_reads_as_a_folder() {
    reads_as_a_folder(Kind::Azure);
}

/// Objects that are written anew, and one that is deleted, while the source stands before or in them.
fn changes_under_the_reader(kind: Kind) {
    let Some(mut store) = ObjectStore::start(kind) else { return };
    store.put("a.csv", csv(0..100_000).as_bytes());
    store.put("b.parquet", &parquet(100_000..140_000, 500));
    store.put("c.csv", csv(200_000..200_001).as_bytes());
    let config = config(store.address("*"), Some(store.options()));
    let mut reading = Reading::open(&Sandbox::new(), &config, None).unwrap();
    let mut changes = 0;
    let mut poll = |reading: &mut Reading, most| match reading.poll(most) {
        Ok(more) => more,
        Err(fault) => {
            assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::Transient, "changed"), "{fault}");
            changes += 1;
            assert!(changes <= 2, "{fault}");
            true
        }
    };
    assert!(poll(&mut reading, 10));
    // It grows: what was read counts.
    store.put("a.csv", csv(0..100_100).as_bytes());
    store.delete("c.csv");
    while reading.rows.len() < 100_100 {
        assert!(poll(&mut reading, 20_000));
    }
    // Parquet is another file as soon as it is longer.
    assert!(poll(&mut reading, 10_000));
    store.put("b.parquet", &parquet(100_000..140_001, 500));
    while poll(&mut reading, 10_000) {}
    assert_eq!(changes, 2, "not every change was seen");
    let found = reading.ids();
    assert!(ids(0..100_100).eq(found[..100_100].iter().cloned()));
    assert!(ids(100_000..140_001).eq(found[found.len() - 40_001..].iter().cloned()), "{} rows", found.len());
    assert!(!found.contains(&"e200000".to_owned()), "of an object that is gone");
}

#[test]
fn s3_changes_under_the_reader() {
    changes_under_the_reader(Kind::S3);
}

#[test]
fn google_changes_under_the_reader() {
    changes_under_the_reader(Kind::Gcs);
}

#[test]
fn azure_changes_under_the_reader() {
    changes_under_the_reader(Kind::Azure);
}

#[test]
fn google_is_told_not_to_unpack() {
    let Some(mut store) = ObjectStore::start(Kind::Gcs) else { return };
    store.put_packed("a.csv", &gz(&csv(0..50_000)));
    let config = config(store.address("a.csv"), Some(store.options()));
    assert!(ids(0..50_000).eq(Reading::all(&Sandbox::new(), &config, None, 10_000).ids()));
}

/// What is said when a source is opened.
fn refusal(path: &str, store: &Value) -> Fault {
    let config = config(path, Some(store.clone()));
    let opened = Reading::open(&Sandbox::new(), &config, None);
    let checked = FileEvents::check(
        &options::parse(&config.to_string()).unwrap(),
        &Context::detached(Sandbox::new().path("")),
    );
    let fault = opened.err().expect("it is refused");
    assert_eq!(checked.unwrap_err().problems, fault.problems);
    fault
}

fn assert_problem(fault: &Fault, at: &str, says: &str) {
    assert_eq!(fault.kind, FaultKind::Config, "{fault:?}");
    assert_eq!(fault.problems[0].path, at, "{fault:?}");
    assert!(fault.problems[0].message.contains(says), "{fault:?}");
    assert!(fault.problems[0].help.is_some());
}

#[test]
fn what_s3_refuses_is_clear() {
    let Some(mut store) = ObjectStore::start(Kind::S3) else { return };
    store.put("logs/a.csv", csv(0..10).as_bytes());
    let good = store.options();
    let absent = "s3://elsewhere/logs/*.csv";
    assert_problem(
        &refusal(absent, &good),
        "/path",
        "there is no bucket `s3://elsewhere`: HTTP 404: NoSuchBucket",
    );
    assert_problem(
        &refusal("s3://elsewhere/logs/a.csv", &good),
        "/path",
        "there is no bucket `s3://elsewhere`",
    );
    let nothing = refusal(&store.address("logs/*.tsv"), &good);
    assert_problem(&nothing, "/path", "no object to read at `s3://kindred/logs/*.tsv`");
    assert_problem(&refusal(&store.address("logs/b.csv"), &good), "/path", "no object to read at");
    assert!(
        Reading::open(&Sandbox::new(), &config(store.address("logs/"), Some(good.clone())), None).is_ok()
    );

    let (key, secret) = store.strict();
    let mut poor = good.clone();
    (poor["access_key_id"], poor["secret_access_key"]) = (json!(key), json!(secret));
    for path in ["logs/*.csv", "logs/a.csv"] {
        let denied = refusal(&store.address(path), &poor);
        assert_problem(&denied, "/store", "access is denied: HTTP 403");
        assert!(!format!("{denied:?}").contains(&secret));
    }
    let unknown = refusal(&store.address("logs/*.csv"), &good);
    assert_problem(&unknown, "/store", "access is denied: HTTP 403: InvalidAccessKeyId");
}

#[test]
fn what_azure_refuses_is_clear() {
    let Some(mut store) = ObjectStore::start(Kind::Azure) else { return };
    store.put("logs/a.csv", csv(0..10).as_bytes());
    let good = store.options();
    for path in ["az://elsewhere/logs/*.csv", "az://elsewhere/logs/a.csv"] {
        assert_problem(&refusal(path, &good), "/path", "there is no bucket `az://elsewhere`");
    }
    let other = json!({ "account": "devstoreaccount1", "account_key": "bm90IHRoZSBrZXk=", "endpoint": good["endpoint"] });
    for path in ["logs/*.csv", "logs/a.csv"] {
        assert_problem(&refusal(&store.address(path), &other), "/store", "access is denied: HTTP 403");
    }
    let anonymous = json!({ "account": "devstoreaccount1", "anonymous": true, "endpoint": good["endpoint"] });
    assert_problem(&refusal(&store.address("logs/*.csv"), &anonymous), "/store", "access is denied: HTTP 40");
    // The account in the address wins, and its name is Azure's own.
    let long = Reading::all(
        &Sandbox::new(),
        &config("abfss://kindred@devstoreaccount1.dfs.core.windows.net/logs/a.csv", Some(good)),
        None,
        100,
    );
    assert_eq!(long.rows.len(), 10);
}

/// Its emulator knows no rights, and answers with 500 where Google answers with 404.
#[test]
fn what_google_refuses_is_clear() {
    let Some(store) = ObjectStore::start(Kind::Gcs) else { return };
    let absent = refusal("gs://elsewhere/logs/*.csv", &store.options());
    assert_eq!(absent.kind, FaultKind::Transient);
    assert!(absent.message.contains("no bucket named elsewhere"), "{absent}");
    assert_problem(&refusal(&store.address("*.csv"), &store.options()), "/path", "no object to read at");
    let key = json!({ "endpoint": store.options()["endpoint"], "service_account": "{}" });
    assert_problem(&refusal(&store.address("*.csv"), &key), "/store", "cannot be reached so");
}

#[test]
fn a_store_that_does_not_answer_may_answer_later() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = json!({ "endpoint": format!("http://127.0.0.1:{}", port()), "anonymous": true });
    let fault = refusal("s3://bucket/*.csv", &nobody);
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(
        fault.message.contains("`s3://bucket` cannot be read now: ") && fault.message.contains("refused"),
        "{fault}"
    );
    let address = silent.local_addr().unwrap();
    let slow = json!({ "endpoint": format!("http://{address}"), "anonymous": true, "timeout_s": 1 });
    let fault = refusal("s3://bucket/*.csv", &slow);
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(fault.message.ends_with("no answer within 1 s"), "{fault}");
}

#[test]
fn options_of_the_store_keep_their_place() {
    let sandbox = Sandbox::new();
    let file = |path: &str, store: &str| {
        format!(
            "[pipeline]\nname = \"shop\"\nstore = \"store\"\n\n[sources.web]\nplugin = \"cookies\"\n\n\
             [sources.web.config]\npath = \"{path}\"\nstore = {{ {store} }}\n\n\
             [segments.all]\nrule = \"count(event = 'view', '1 day') >= 1\"\n"
        )
    };
    for (path, store, place, says) in [
        ("s3://b/*.csv", "regoin = \"eu\"", "pipeline.toml:10:11", "regoin"),
        ("s3://b/*.csv", "endpoint = \"http://minio.example\"", "pipeline.toml:10:22", "not encrypted"),
        ("s4://b/*.csv", "region = \"eu\"", "pipeline.toml:9:8", "no store is addressed with `s4://`"),
        ("logs/*.csv", "region = \"eu\"", "pipeline.toml:10:9", "`store` is of addresses"),
    ] {
        sandbox.write("pipeline.toml", file(path, store));
        let said = sandbox.failure(&["check", "pipeline.toml"]);
        assert!(said.contains(place) && said.contains(says), "{said}");
    }
}

/// All four file sources, one of them with a catalogue.
fn pipeline(path: impl Fn(&str) -> String) -> String {
    let (views, people, ads, sales, goods) = (
        path("logs/*.jsonl.gz"),
        path("people.csv"),
        path("ads/*"),
        path("sales/*.parquet"),
        path("goods.csv"),
    );
    format!(
        r#"
[pipeline]
name = "shop"
store = "store"
step_rows = 500
clock = "2026-02-01T00:00:00Z"

[sources.web]
plugin = "cookies"
consent = "granted"
config = {{ path = "{views}", cookie = "user", event = "view", properties = ["note"] }}

[sources.crm]
plugin = "crm-import"
consent = "granted"
config = {{ path = "{people}", keys = {{ cookie = "user" }} }}

[sources.ads]
plugin = "campaign-log"
consent = "granted"
config = {{ path = "{ads}", event = "click", event_id = ["id"], identifiers = {{ cookie = "user" }} }}

[sources.till]
plugin = "file-events"
consent = "granted"
[sources.till.config]
path = "{sales}"
time = "time"
event = "purchase"
event_id = ["id"]
identifiers = {{ cookie = "user" }}
catalogue = {{ path = "{goods}", key = "user", columns = ["colour"] }}

[segments.lookers]
rule = "count(event = 'view', '3650 days') >= 21"

[segments.clickers]
rule = "count(event = 'click', '3650 days') >= 21"

[segments.buyers]
rule = "count(event = 'purchase' AND colour = 'red', '3650 days') >= 207"

[segments.germans]
rule = "attr('crm.country') = 'DE'"
"#
    )
}

/// Members of each segment, dead letters.
fn outcome(sandbox: &Sandbox) -> (Vec<Vec<String>>, usize) {
    let members = |segment: &str| sandbox.members(&["pipeline.toml"], segment, "cookie");
    let segments = ["lookers", "clickers", "buyers", "germans"].map(members).to_vec();
    (segments, sandbox.json(&["dead-letters", "list", "pipeline.toml"]).as_array().unwrap().len())
}

/// The usual set-up: nothing in the file, all in the environment.
#[test]
fn a_killed_run_over_s3_goes_on_where_it_stopped() {
    let Some(mut store) = ObjectStore::start(Kind::S3) else { return };
    let people: String = (0..97).map(|n| format!("u{n},{}\n", ["DE", "AT"][n % 2])).collect();
    let goods: String = (0..97).map(|n| format!("u{n},{}\n", ["red", "blue"][n % 2])).collect();
    let (near, far) = (Sandbox::new(), Sandbox::new());
    for (name, bytes) in [
        ("logs/1.jsonl.gz", gz(&(json_lines(0..1500) + "{}\n"))),
        ("logs/2.jsonl.gz", gz(&json_lines(1500..2000))),
        ("people.csv", format!("user,country\n{people}").into_bytes()),
        ("ads/1.csv", (csv(0..1000) + "bad\n").into_bytes()),
        ("ads/2.jsonl", json_lines(1000..2000).into_bytes()),
        ("sales/1.parquet", parquet(0..20_000, 0)),
        ("goods.csv", format!("user,colour\n{goods}").into_bytes()),
    ] {
        store.put(name, &bytes);
        near.write(name, bytes);
    }
    near.write("pipeline.toml", pipeline(str::to_owned));
    far.write("pipeline.toml", pipeline(|path| store.address(path)));
    let reach = store.options();
    let set = |name: &str| reach[name].as_str().unwrap().to_owned();
    let command = |arguments: &[&str]| {
        let mut command = far.command(arguments);
        command.env("AWS_ENDPOINT_URL", set("endpoint")).env("AWS_REGION", set("region"));
        command.env("AWS_ACCESS_KEY_ID", set("access_key_id"));
        command.env("AWS_SECRET_ACCESS_KEY", set("secret_access_key"));
        command
    };
    let whole = near.json(&["run", "pipeline.toml"]);
    let wanted = outcome(&near);
    assert!(wanted.0.iter().all(|members| !members.is_empty()), "{wanted:?}");
    assert_eq!(wanted.1, 2);

    let begun = Instant::now();
    assert!(command(&["run", "pipeline.toml", "--quiet"]).output().unwrap().status.success());
    let takes = begun.elapsed();
    let mut seed = 0x2545_f491_u64;
    for _ in 0..8 {
        std::fs::remove_dir_all(far.path("store")).unwrap();
        for _ in 0..3 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut run = command(&["run", "pipeline.toml", "--quiet"]);
            let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(
                takes.as_micros() as u64 * ((seed >> 33) % 1000) / 1200,
            ));
            run.kill().unwrap();
            run.wait().unwrap();
        }
        let last = command(&["run", "pipeline.toml", "--json"]).output().unwrap();
        assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
        let last: Value = serde_json::from_slice(&last.stdout).unwrap();
        assert_eq!((&last["events"], &last["profiles"]), (&whole["events"], &whole["profiles"]));
        assert_eq!(outcome(&far), wanted);
    }
}

//! `kindred serve` when something around it fails: sources that come back, reloads that cannot be, a store without room,
//! ends that nobody may hold up. Nothing that was acknowledged is lost, and nobody has to restart it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use kindred_core::{activate, store::Store};
use kindred_tests::{
    artefacts,
    collecting::{self, event, send},
    disk::Disk,
    network::port,
    sandbox::Sandbox,
    server::Server,
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::ExitStatus,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// The shop of files, with a destination that does as it is told.
const SHOP: &str = r#"
[pipeline]
name = "shop"
store = "store"

[sources.web]
plugin = "cookies"
consent = "granted"
config = { path = "logs" }

[segments.lookers]
rule = "did(event = 'product_view', '30 days')"

[destinations.out]
plugin = "FAULTY#faulty-destination"
segments = ["lookers"]
minimum_audience = 50
config = OPTIONS

[serve]
listen = "127.0.0.1:0"
deliver_every = "200 ms"
look_every = "100 ms"
"#;

fn shop(options: &str) -> String {
    SHOP.replace("FAULTY", &artefacts::faulty().display().to_string()).replace("OPTIONS", options)
}

/// Sixty people who looked at something.
fn looked() -> String {
    let time = jiff::Timestamp::now();
    let line = |n| format!(r#"{{"id":"{n}","cookie":"c{n:04}","event":"product_view","time":"{time}"}}"#);
    (0..60).map(|n| line(n) + "\n").collect()
}

fn ids(prefix: &str, count: u64) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}-{n}")).collect()
}

fn events(ids: &[String]) -> Vec<Value> {
    ids.iter().map(|id| event(id, 1)).collect()
}

/// A figure of `/metrics`; none where it is not told.
fn figure(server: &Server, name: &str) -> Option<u64> {
    let metrics = server.get("/metrics", None).1;
    let line = metrics.as_str()?.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok())
}

/// Waits until so many events are in the store.
fn stored(server: &mut Server, count: u64) {
    server.wait_for("events", |server| (figure(server, "kindred_events") == Some(count)).then_some(()));
}

/// All are in the store, and each once.
fn all_are_there(sandbox: &Sandbox, store: &str, ids: &[String]) {
    let mut store = Store::open(&sandbox.path(store)).unwrap();
    for id in ids {
        assert!(store.identity.find(&store.tables, "anonymous", id).unwrap().is_some(), "{id} is lost");
    }
    assert_eq!(store.totals.events, ids.len() as u64);
}

/// Ends it and answers how, and how long that took.
fn ended(server: Server) -> (ExitStatus, Duration) {
    let begun = Instant::now();
    let (status, _) = server.stop();
    (status, begun.elapsed())
}

#[test]
fn a_collector_whose_enrichment_failed_is_opened_again() {
    let (sandbox, port) = collecting::sandbox();
    let busy = sandbox.path("busy");
    let text = std::fs::read_to_string(sandbox.path("pipeline.toml")).unwrap();
    let library = artefacts::faulty().display();
    let options = format!("{{ sends = \"passed\", busy_while = {:?} }}", busy.display().to_string());
    let enrichment = format!(
        "\n[[enrichments]]\nname = \"slow\"\nplugin = \"{library}#faulty-enrichment\"\nconfig = {options}\n"
    );
    sandbox.write("pipeline.toml", text + &enrichment);
    let mut server = Server::start(&sandbox, "pipeline.toml", &[]);
    let mut all = ids("before", 5);
    assert_eq!(send(port, &events(&all)), 200);
    stored(&mut server, 5);
    // Longer than its attempts last, and than the first times that it is opened again.
    sandbox.write("busy", "");
    let during = ids("during", 5);
    assert_eq!(send(port, &events(&during)), 200, "its spool takes them");
    all.extend(during);
    server.wait_for("a failure", |server| server.log().contains("busy, as told; opened again").then_some(()));
    server.wait_for("word of it", |server| {
        let ready = server.get("/readyz", None).1;
        ready["sources"]["web"].as_str()?.starts_with("failed").then_some(())
    });
    std::fs::remove_file(busy).unwrap();
    stored(&mut server, 10);
    let after = ids("after", 5);
    server.wait_for("its listener", |_| (send(port, &events(&after)) == 200).then_some(()));
    all.extend(after);
    stored(&mut server, 15);
    assert!(!server.log().contains("in use"), "two of it at a time: {}", server.log());
    assert!(server.stop().0.success());
    all_are_there(&sandbox, "store", &all);
}

/// An address that says to everybody to come again in a minute, and how often it was asked.
fn busy() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/orders", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    // The thread ends with the process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            counter.fetch_add(1, Ordering::SeqCst);
            // Who asks may have gone.
            let head = BufReader::new(&stream).lines().map_while(Result::ok);
            head.take_while(|line| !line.is_empty()).for_each(drop);
            let _ = stream.write_all(
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 60\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    (address, asked)
}

const ORDERS: &str = r#"
[pipeline]
name = "orders"
store = "store"

[sources.orders]
plugin = "http-pull"
consent = "granted"
config = { url = "ADDRESS", identifiers = { cookie = "cookie" }, attributes = ["tier"] }

[segments.gold]
rule = "attr('orders.tier') = 'gold'"

[serve]
listen = "127.0.0.1:0"
"#;

#[test]
fn a_source_that_is_asked_to_wait_holds_up_neither_a_reload_nor_the_end() {
    let (address, asked) = busy();
    let sandbox = Sandbox::new();
    sandbox.write("pipeline.toml", ORDERS.replace("ADDRESS", &address));
    let mut server = Server::start(&sandbox, "pipeline.toml", &[]);
    server.wait_for("a request", |_| (asked.load(Ordering::SeqCst) > 0).then_some(()));
    std::thread::sleep(Duration::from_millis(300));
    let (elsewhere, asked) = busy();
    sandbox.write("pipeline.toml", ORDERS.replace("ADDRESS", &elsewhere));
    let begun = Instant::now();
    server.signal("HUP");
    server.wait_for("a request to the other", |_| (asked.load(Ordering::SeqCst) > 0).then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(10), "the reload took {:?}", begun.elapsed());
    std::thread::sleep(Duration::from_millis(300));
    let (status, took) = ended(server);
    assert!(status.success() && took < Duration::from_secs(10), "{status} after {took:?}");
}

/// What waits for the destination.
fn waits(sandbox: &Sandbox) -> u64 {
    let store = Store::open(&sandbox.path("store")).unwrap();
    let pending = activate::pending(&store, "out").unwrap();
    pending.map_or(0, |pending| pending.delivery.segments.iter().map(|segment| segment.adds).sum())
}

#[test]
fn a_destination_that_hangs_does_not_hold_up_the_end() {
    let sandbox = Sandbox::new();
    sandbox.write("logs/1.jsonl", looked());
    sandbox.write("pipeline.toml", shop("{ hang_in = \"flush\" }"));
    let mut server = Server::start(&sandbox, "pipeline.toml", &[]);
    stored(&mut server, 60);
    std::thread::sleep(Duration::from_secs(1));
    let (status, took) = ended(server);
    assert!(status.success() && took < Duration::from_secs(30), "{status} after {took:?}");
    assert_eq!(waits(&sandbox), 60, "the delivery stays");
    sandbox.write("pipeline.toml", shop("{}"));
    sandbox.json(&["run", "pipeline.toml"]);
    assert_eq!(waits(&sandbox), 0, "the next run delivers it");
}

#[test]
fn what_a_destination_that_is_down_did_not_get_waits_for_the_next_start() {
    let sandbox = Sandbox::new();
    sandbox.write("logs/1.jsonl", looked());
    let down = sandbox.write("down", "");
    sandbox.write("pipeline.toml", shop(&format!("{{ busy_while = {:?} }}", down.display().to_string())));
    let mut server = Server::start(&sandbox, "pipeline.toml", &[]);
    server.wait_for("a delivery that waits", |server| {
        let ready = server.get("/readyz", None).1;
        (ready["pending"]["out"] == "busy, as told").then_some(())
    });
    let (status, took) = ended(server);
    assert!(status.success() && took < Duration::from_secs(30), "{status} after {took:?}");
    assert_eq!(waits(&sandbox), 60);
    std::fs::remove_file(down).unwrap();
    let mut server = Server::start(&sandbox, "pipeline.toml", &[]);
    server.wait_for("its delivery", |server| {
        (server.get("/readyz", None).1["pending"].as_object().is_some_and(serde_json::Map::is_empty)
            && figure(server, "kindred_destination_pending{destination=\"out\"}") == Some(0))
        .then_some(())
    });
    assert!(server.stop().0.success());
    assert_eq!(waits(&sandbox), 0);
}

/// Tells the server to read its file again, which must be refused with these words.
fn refused(server: &mut Server, sandbox: &Sandbox, text: &str, words: &str) {
    let name = "kindred_reloads_total{outcome=\"refused\"}";
    let before = figure(server, name).unwrap_or(0);
    sandbox.write("pipeline.toml", text);
    server.signal("HUP");
    server.wait_for(words, |server| {
        (figure(server, name) == Some(before + 1) && server.log().contains(words)).then_some(())
    });
    assert_eq!(server.get("/readyz", None).0, 200);
}

/// A source of files in a folder of its name.
fn files(name: &str, more: &str) -> String {
    format!(
        "\n[sources.{name}]\nplugin = \"cookies\"\nconsent = \"granted\"\nconfig = {{ path = \"{name}\"{more} }}\n"
    )
}

#[test]
fn a_file_that_would_not_open_is_refused_and_leaves_no_trace() {
    let sandbox = Sandbox::new();
    let priced = r#"{ path = "logs", properties = { price = { type = "decimal" } } }"#;
    let text = shop("{}").replace("{ path = \"logs\" }", priced);
    let line = |id: &str, more: &str| {
        let time = jiff::Timestamp::now();
        format!(r#"{{"id":"{id}","cookie":"c{id}","event":"product_view","time":"{time}",{more}}}"#) + "\n"
    };
    sandbox.write("logs/1.jsonl", line("1", r#""price":5"#));
    sandbox.write("other/1.jsonl", line("2", r#""price":"dear","ghost":"boo""#));
    sandbox.write("mail/1.jsonl", line("3", r#""mail":"a@b.example""#));
    sandbox.write("more/1.jsonl", line("4", r#""colour":"red""#));
    sandbox.write("pipeline.toml", &text);
    let mut server = Server::start(&sandbox, "pipeline.toml", &[]);
    stored(&mut server, 1);
    let raw = files("mail", ", identifiers = { email = { column = \"mail\", hash = \"none\" } }");
    refused(&mut server, &sandbox, &(text.clone() + &raw), "raw `email` identifiers");
    let other =
        files("other", ", properties = { price = { type = \"string\" }, ghost = { type = \"string\" } }");
    refused(&mut server, &sandbox, &(text.clone() + &other), "column `price`");
    let geo = "\n[[enrichments]]\nplugin = \"geo\"\nconfig = { database = \"nowhere.mmdb\" }\n";
    refused(&mut server, &sandbox, &(text.clone() + geo), "nowhere.mmdb");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = taken.local_addr().unwrap().to_string();
    refused(&mut server, &sandbox, &text.replace("127.0.0.1:0", &there), &there);
    // It goes on as it was, which is seen by what it reads; and moves, with a rule on a column that it has not seen yet.
    sandbox.write("logs/2.jsonl", line("5", r#""price":6"#));
    let free = format!("127.0.0.1:{}", port());
    let red = "\n[segments.red]\nrule = \"did(colour = 'red', '30 days')\"\n";
    let moved = text.replace("127.0.0.1:0", &free) + &files("more", ", properties = [\"colour\"]") + red;
    sandbox.write("pipeline.toml", moved);
    server.signal("HUP");
    let before = std::mem::replace(&mut server.address, format!("http://{free}"));
    let red = "kindred_segment_members{segment=\"red\"}";
    server.wait_for("the new segment", |server| (figure(server, red) == Some(1)).then_some(()));
    stored(&mut server, 3);
    assert!(TcpStream::connect(before.trim_start_matches("http://")).is_err(), "the old address is given up");
    assert_eq!(figure(&server, "kindred_reloads_total{outcome=\"taken\"}"), Some(1));
    assert!(server.stop().0.success());
    let store = Store::open(&sandbox.path("store")).unwrap();
    let columns = store.columns.types();
    assert!(columns.contains_key("colour") && !columns.contains_key("ghost"), "{columns:?}");
}

#[test]
fn a_source_whose_port_is_taken_at_a_reload_is_opened_once_it_is_free() {
    let (sandbox, before) = collecting::sandbox();
    let mut server = Server::start(&sandbox, "pipeline.toml", &[]);
    let first = ids("first", 5);
    assert_eq!(send(before, &events(&first)), 200);
    let after = port();
    let taken = TcpListener::bind(("127.0.0.1", after)).unwrap();
    let text = std::fs::read_to_string(sandbox.path("pipeline.toml")).unwrap();
    sandbox.write("pipeline.toml", text.replace(&before.to_string(), &after.to_string()));
    server.signal("HUP");
    server.wait_for("word of it", |server| server.log().contains("it is opened again").then_some(()));
    assert_eq!(server.get("/healthz", None).0, 200);
    drop(taken);
    let second = ids("second", 5);
    server.wait_for("its listener", |_| (send(after, &events(&second)) == 200).then_some(()));
    stored(&mut server, 10);
    assert!(server.stop().0.success());
    all_are_there(&sandbox, "store", &[first, second].concat());
}

/// A collector whose store is on a small disk that is full, and the ids of all that was acknowledged, before and since.
fn without_room(sandbox: &Sandbox, port: u16, disk: &Disk) -> (Server, Vec<String>) {
    let text = std::fs::read_to_string(sandbox.path("pipeline.toml")).unwrap();
    sandbox.write("pipeline.toml", text.replace("store = \"store\"", "store = \"small/store\""));
    let mut server = Server::start(sandbox, "pipeline.toml", &[]);
    let mut all = ids("before", 20);
    assert_eq!(send(port, &events(&all)), 200);
    stored(&mut server, 20);
    disk.fill();
    let mut batches = 0;
    server.wait_for("word of it", |server| {
        let batch = ids(&format!("full{batches}"), 100);
        batches += 1;
        assert_eq!(send(port, &events(&batch)), 200, "the spool is on another disk");
        all.extend(batch);
        let (status, ready) = server.get("/readyz", None);
        (status == 503 && ready["store"] == "full").then_some(())
    });
    assert_eq!(figure(&server, "kindred_store_full"), Some(1));
    assert_eq!(server.get("/healthz", None).0, 200, "it lives");
    assert!(server.log().contains("nothing is taken in until the disk has room"), "{}", server.log());
    let more = ids("later", 20);
    assert_eq!(send(port, &events(&more)), 200);
    all.extend(more);
    (server, all)
}

#[test]
fn a_store_without_room_goes_on_once_there_is_some() {
    let (sandbox, port) = collecting::sandbox();
    let Some(disk) = Disk::mount(&sandbox, "96m") else { return };
    let (mut server, mut all) = without_room(&sandbox, port, &disk);
    disk.free();
    server.wait_for("readiness", |server| (server.get("/readyz", None).0 == 200).then_some(()));
    assert_eq!(figure(&server, "kindred_store_full"), Some(0));
    let last = ids("last", 20);
    server.wait_for("its listener", |_| (send(port, &events(&last)) == 200).then_some(()));
    all.extend(last);
    stored(&mut server, all.len() as u64);
    // And once more: a disk may be full twice.
    disk.fill();
    let again = ids("again", 100);
    assert_eq!(send(port, &events(&again)), 200);
    all.extend(again);
    server.wait_for("word of it", |server| (figure(server, "kindred_store_full") == Some(1)).then_some(()));
    disk.free();
    stored(&mut server, all.len() as u64);
    assert!(server.stop().0.success());
    all_are_there(&sandbox, "small/store", &all);
}

#[test]
fn a_server_that_ends_without_room_says_so_and_loses_nothing() {
    let (sandbox, port) = collecting::sandbox();
    let Some(disk) = Disk::mount(&sandbox, "96m") else { return };
    let (server, all) = without_room(&sandbox, port, &disk);
    let (status, took) = ended(server);
    assert!(!status.success() && took < Duration::from_secs(30), "{status} after {took:?}");
    disk.free();
    let mut server = Server::start(&sandbox, "pipeline.toml", &[]);
    stored(&mut server, all.len() as u64);
    assert!(server.stop().0.success());
    all_are_there(&sandbox, "small/store", &all);
}

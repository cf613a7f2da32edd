//! The collector under a running server, and what happens to it: killed under load, a disk that fails or is full, the same
//! event twice, another event under the same id.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use kindred_core::store::Store;
use kindred_tests::{network::port, sandbox::Sandbox, server::Server};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

const PIPELINE: &str = r#"
[vars]
spool = "spool"

[pipeline]
name = "collect"
store = "store"

[sources.web]
plugin = "cookies"

[sources.web.config.collector]
listen = "127.0.0.1:PORT"
spool = { folder = "${spool}" }
consent = { no_signal = "granted" }
sites = { app = { key = "wk_app_test", secret = "a secret of the app, long" } }

[segments.seen]
rule = "did(event = 'seen', '7 days')"

[serve]
listen = "127.0.0.1:0"
"#;

/// A pipeline with a port that nobody has.
fn sandbox() -> (Sandbox, u16) {
    let port = port();
    let sandbox = Sandbox::new();
    sandbox.write("pipeline.toml", PIPELINE.replace("PORT", &port.to_string()));
    (sandbox, port)
}

fn event(id: &str, value: u64) -> Value {
    json!({"type": "track", "event": "seen", "messageId": id, "anonymousId": id, "properties": {"value": value}})
}

/// The status of a batch; 0 when nobody answers.
fn send(port: u16, events: &[Value]) -> u16 {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let agent: ureq::Agent = config.timeout_global(Some(Duration::from_secs(10))).build().into();
    let request = agent.post(format!("http://127.0.0.1:{port}/v1/batch"));
    let body = json!({"writeKey": "wk_app_test", "batch": events});
    request.send_json(body).map_or(0, |response| response.status().as_u16())
}

fn rows(server: &Server, outcome: &str) -> u64 {
    let metrics = server.get("/metrics", None).1;
    let wanted = format!("outcome=\"{outcome}\"}} ");
    let line = metrics.as_str().unwrap().lines().find(|line| line.contains(&wanted)).map(str::to_owned);
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[test]
fn what_was_acknowledged_survives_being_killed() {
    let rounds = std::env::var("KINDRED_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    let (sandbox, port) = sandbox();
    let (acknowledged, next) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicU64::new(0)));
    for round in 0..rounds {
        let server = Server::start(&sandbox, "pipeline.toml", &[]);
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (acknowledged, next, stop) = (acknowledged.clone(), next.clone(), stop.clone());
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let ids: Vec<String> =
                            (0..20).map(|_| format!("e{}", next.fetch_add(1, Ordering::Relaxed))).collect();
                        let events: Vec<Value> = ids.iter().map(|id| event(id, 1)).collect();
                        if send(port, &events) == 200 {
                            acknowledged.lock().unwrap().extend(ids);
                        }
                    }
                })
            })
            .collect();
        // At another moment in each round, some of them between an answer and its commit.
        std::thread::sleep(Duration::from_millis(150 + 97 * round % 700));
        server.kill();
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
    }
    let server = Server::start(&sandbox, "pipeline.toml", &[]);
    let (status, out) = server.stop();
    assert!(status.success(), "{out}");
    let acknowledged = acknowledged.lock().unwrap();
    assert!(acknowledged.len() > 100, "the clients were hardly heard: {}", acknowledged.len());
    let mut store = Store::open(&sandbox.path("store")).unwrap();
    let lost: Vec<&String> = acknowledged
        .iter()
        .filter(|id| store.identity.find(&store.tables, "anonymous", id).unwrap().is_none())
        .collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), acknowledged.len());
    // Each event is of a profile of its own: as many events as profiles means that none counts twice.
    assert_eq!(store.totals.events, store.identity.len() as u64);
    println!("{} acknowledged events survived {rounds} kills", acknowledged.len());
}

#[test]
fn an_event_counts_once_and_another_one_under_its_id_is_kept_apart() {
    let (sandbox, port) = sandbox();
    let mut server = Server::start(&sandbox, "pipeline.toml", &[]);
    let batch: Vec<Value> = (0..10).map(|n| event(&format!("e{n}"), n)).collect();
    for _ in 0..5 {
        assert_eq!(send(port, &batch), 200);
    }
    assert_eq!(send(port, &[event("e3", 99)]), 200);
    server.wait_for("all rows", |server| {
        (rows(server, "event") + rows(server, "duplicate") + rows(server, "rejected") == 51).then_some(())
    });
    assert_eq!((rows(&server, "event"), rows(&server, "duplicate"), rows(&server, "rejected")), (10, 40, 1));
    assert!(server.stop().0.success());
    let letters = sandbox.json(&["dead-letters", "list", "pipeline.toml"]);
    assert_eq!(letters[0]["code"], "id-reused", "{letters}");
    assert!(!letters.to_string().contains("99"), "no dead letter holds what an event held: {letters}");
}

#[test]
fn nothing_is_acknowledged_once_the_disk_has_failed() {
    let attached = Command::new("strace").arg("-V").output();
    if !attached.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "strace is missing");
        return eprintln!("SKIPPED: a failing disk, because strace is missing");
    }
    let (sandbox, port) = sandbox();
    let server = Server::start(&sandbox, "pipeline.toml", &[]);
    assert_eq!(send(port, &[event("before", 1)]), 200);
    let inject =
        ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1+"];
    let mut strace =
        Command::new("strace").args(inject).args(["-p", &server.pid().to_string()]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let statuses: Vec<u16> = (0..5).map(|n| send(port, &[event(&format!("after{n}"), 1)])).collect();
    // Let go, the calls would work again; who has seen one fail does not believe them any more.
    strace.kill().unwrap();
    strace.wait().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let later: Vec<u16> = (0..3).map(|n| send(port, &[event(&format!("later{n}"), 1)])).collect();
    assert!(statuses.iter().chain(&later).all(|status| *status != 200), "{statuses:?} {later:?}");
}

#[test]
fn a_full_disk_is_said_and_got_over() {
    let (sandbox, port) = sandbox();
    let small = sandbox.path("small");
    std::fs::create_dir(&small).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(&small).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        return eprintln!("SKIPPED: a full disk, because no file system can be mounted here");
    }
    let _mounted = Mounted(&small);
    let spool = format!("spool={}", small.join("spool").display());
    let server = Server::start(&sandbox, "pipeline.toml", &["--set", &spool]);
    assert_eq!(send(port, &[event("before", 1)]), 200);
    std::fs::write(small.join("ballast"), vec![0; 7 << 20]).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(send(port, &[event("full", 1)]), 503);
    assert_eq!(server.get("/healthz", None).0, 200, "the server lives");
    std::fs::remove_file(small.join("ballast")).unwrap();
    let mut server = server;
    server.wait_for("room", |_| (send(port, &[event("again", 1)]) == 200).then_some(()));
    assert!(server.stop().0.success());
    let mut store = Store::open(&sandbox.path("store")).unwrap();
    for (id, there) in [("before", true), ("full", false), ("again", true)] {
        assert_eq!(store.identity.find(&store.tables, "anonymous", id).unwrap().is_some(), there, "{id}");
    }
}

/// Unmounts when dropped.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // What stays mounted is seen when the folder cannot be removed.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

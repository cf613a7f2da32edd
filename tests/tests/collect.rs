//! The collector under a running server, and what happens to it: killed and stopped under load, a disk that fails or is
//! full, a clock that is wrong, the same event twice, another event under the same id.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use kindred_core::store::Store;
use kindred_tests::{
    collecting::{Clients, event, post, sandbox, send},
    disk::Disk,
    sandbox::Sandbox,
    server::Server,
    services,
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    process::Command,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

fn rows(server: &Server, outcome: &str) -> u64 {
    let metrics = server.get("/metrics", None).1;
    let wanted = format!("outcome=\"{outcome}\"}} ");
    let line = metrics.as_str().unwrap().lines().find(|line| line.contains(&wanted)).map(str::to_owned);
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// `KINDRED_KILLS=50` asks for as many, each of which takes some seconds: the store that is opened again grows.
#[test]
fn what_was_acknowledged_survives_being_killed() {
    let rounds: u64 =
        std::env::var("KINDRED_KILLS").map_or(20, |kills| kills.parse().expect("a number of kills"));
    let (sandbox, port) = sandbox();
    let (mut acknowledged, next) = (BTreeSet::new(), Arc::new(AtomicU64::new(0)));
    for round in 0..rounds {
        let server = Server::start(&sandbox, "pipeline.toml", &[]);
        let clients = Clients::start(port, &next);
        // At another moment in each round, some of them between an answer and its commit.
        std::thread::sleep(Duration::from_millis(150 + 97 * round % 700));
        server.kill();
        acknowledged.extend(clients.stop());
    }
    let server = Server::start(&sandbox, "pipeline.toml", &[]);
    let (status, out) = server.stop();
    assert!(status.success(), "{out}");
    assert!(acknowledged.len() > 100, "the clients were hardly heard: {}", acknowledged.len());
    all_are_there(&sandbox, &acknowledged);
    println!("{} acknowledged events survived {rounds} kills", acknowledged.len());
}

/// Each event is of a profile of its own: all are found, and as many events as profiles means that none counts twice.
fn all_are_there(sandbox: &Sandbox, acknowledged: &BTreeSet<String>) {
    let mut store = Store::open(&sandbox.path("store")).unwrap();
    let lost: Vec<&String> = acknowledged
        .iter()
        .filter(|id| store.identity.find(&store.tables, "anonymous", id).unwrap().is_none())
        .collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), acknowledged.len());
    assert_eq!(store.totals.events, store.identity.len() as u64);
}

#[test]
fn what_was_acknowledged_is_handed_on_before_the_end() {
    let (sandbox, port) = sandbox();
    let (mut acknowledged, next) = (BTreeSet::new(), Arc::new(AtomicU64::new(0)));
    // Asked once, and asked again while it drains, at another moment each time.
    for pause_ms in [None, Some(0), Some(20)] {
        let server = Server::start(&sandbox, "pipeline.toml", &[]);
        let clients = Clients::start(port, &next);
        std::thread::sleep(Duration::from_millis(400));
        if let Some(pause_ms) = pause_ms {
            server.signal("TERM");
            std::thread::sleep(Duration::from_millis(pause_ms));
        }
        let (status, out) = server.stop();
        acknowledged.extend(clients.stop());
        if pause_ms.is_none() {
            assert!(status.success(), "{status}: {out}");
            all_are_there(&sandbox, &acknowledged);
        }
    }
    let (status, out) = Server::start(&sandbox, "pipeline.toml", &[]).stop();
    assert!(status.success(), "{out}");
    assert!(acknowledged.len() > 100, "the clients were hardly heard: {}", acknowledged.len());
    all_are_there(&sandbox, &acknowledged);
}

#[test]
fn a_clock_that_is_wrong_by_a_day_loses_nothing_and_nobody() {
    let Some(library) = services::program("faketime", &["-m", "-f", "+0", "printenv", "LD_PRELOAD"]) else {
        return;
    };
    let (sandbox, port) = sandbox();
    let clock = sandbox.write("clock", "+0");
    let mut command = sandbox.command(&["serve", "pipeline.toml"]);
    command.env("LD_PRELOAD", library.trim()).env("FAKETIME_TIMESTAMP_FILE", &clock).env("NO_FAKE_STAT", "1");
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_NO_CACHE", "1");
    let mut server = Server::started(command);
    let mut all = BTreeSet::new();
    // A day ahead and back, a day behind and ahead once more: who is in the audience stays in it.
    for (turn, wrong_by) in ["+0", "+1d", "+0", "-1d", "+1d", "+0"].into_iter().enumerate() {
        sandbox.write("clock", wrong_by);
        std::thread::sleep(Duration::from_millis(1500));
        let ids: Vec<String> = (0..20).map(|n| format!("t{turn}-{n}")).collect();
        let events: Vec<Value> = ids.iter().map(|id| event(id, 1)).collect();
        assert_eq!(send(port, &events), 200, "{wrong_by}");
        all.extend(ids);
        let members = format!("kindred_segment_members{{segment=\"seen\"}} {}\n", all.len());
        server.wait_for(&members, |server| {
            server.get("/metrics", None).1.as_str().is_some_and(|text| text.contains(&members)).then_some(())
        });
        assert_eq!(server.get("/healthz", None).0, 200, "{wrong_by}");
    }
    assert!(server.stop().0.success());
    all_are_there(&sandbox, &all);
}

#[test]
fn an_event_counts_once_and_another_one_under_its_id_is_kept_apart() {
    let (sandbox, port) = sandbox();
    let mut server = Server::start(&sandbox, "pipeline.toml", &[]);
    let batch: Vec<Value> = (0..10).map(|n| event(&format!("e{n}"), n)).collect();
    for _ in 0..5 {
        assert_eq!(send(port, &batch), 200);
    }
    // Longer than any number that a letter holds by itself, times among them.
    let other = 918_273_645_918_273;
    assert_eq!(send(port, &[event("e3", other)]), 200);
    server.wait_for("all rows", |server| {
        (rows(server, "event") + rows(server, "duplicate") + rows(server, "rejected") == 51).then_some(())
    });
    assert_eq!((rows(&server, "event"), rows(&server, "duplicate"), rows(&server, "rejected")), (10, 40, 1));
    assert!(server.stop().0.success());
    let letters = sandbox.json(&["dead-letters", "list", "pipeline.toml"]);
    assert_eq!(letters[0]["code"], "id-reused", "{letters}");
    assert!(
        !letters.to_string().contains(&other.to_string()),
        "no dead letter holds what an event held: {letters}"
    );
}

#[test]
fn nothing_is_acknowledged_once_the_disk_has_failed() {
    if services::program("strace", &["-V"]).is_none() {
        return;
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
    let Some(disk) = Disk::mount(&sandbox, "8m") else { return };
    let spool = format!("spool={}", disk.path().join("spool").display());
    let server = Server::start(&sandbox, "pipeline.toml", &["--set", &spool]);
    assert_eq!(send(port, &[event("before", 1)]), 200);
    disk.fill();
    // What is acknowledged still fits into the room that the file has, and that is not much.
    let batch =
        |number: usize| -> Vec<Value> { (0..100).map(|n| event(&format!("full{number}-{n}"), 1)).collect() };
    let taken = (0..200).take_while(|number| send(port, &batch(*number)) == 200).count();
    let refused = post(port, &batch(taken)).unwrap();
    assert_eq!(refused.status(), 503, "{taken} batches were taken");
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(server.get("/healthz", None).0, 200, "the server lives");
    disk.free();
    let mut server = server;
    server.wait_for("room", |_| (send(port, &[event("again", 1)]) == 200).then_some(()));
    assert!(server.stop().0.success());
    let mut store = Store::open(&sandbox.path("store")).unwrap();
    let acknowledged = (0..taken).map(|number| (format!("full{number}-99"), true));
    let others = [("before", true), ("again", true)].map(|(id, there)| (id.to_owned(), there));
    for (id, there) in acknowledged.chain(others).chain([(format!("full{taken}-0"), false)]) {
        assert_eq!(store.identity.find(&store.tables, "anonymous", &id).unwrap().is_some(), there, "{id}");
    }
}

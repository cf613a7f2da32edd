//! What must not hurt: bombs, depth, broken text, floods of cookies, kills, a full spool.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;
use common::*;

use arrow::array::RecordBatch;
use kindred_collector::Shared;
use kindred_plugin_api::{Context, Poll, Reject};

const AUTH: [(&str, &str); 1] = [("authorization", BEARER)];

fn event(id: &str, properties: &str) -> String {
    format!(r#"{{"type":"track","event":"e","messageId":"{id}","userId":"u","properties":{properties}}}"#)
}

#[test]
fn a_bad_event_is_rejected_alone_and_without_its_text() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let large = format!(r#"{{"a":"{}"}}"#, "secret ".repeat(6000));
    let body = [
        event("1", "{}"),
        event("2", &deep),
        event("3", r#"{"a":"secret \ud800"}"#),
        event("4", r#"{"a":"secret \u0000"}"#),
        event("5", &large),
        event("6", "{}").replace("track", "secret"),
        event("7", "{}").replace(r#""event":"e","#, ""),
        r#""secret""#.to_owned(),
        event("9", "{}").replace(r#""userId":"u","#, ""),
        event("10", r#"{"big":123456789012345678901234567890,"f":1e999}"#),
    ];
    let answer = server.post(
        "/v1/batch",
        &[("authorization", &basic("wk_shop_1"))],
        &format!(r#"{{"batch":[{}]}}"#, body.join(",")),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let (batches, rejects) = server.rows();
    let batch = arrow::compute::concat_batches(&server.collector.schema(), &batches).unwrap();
    assert_eq!(texts(&batch, "event_id"), ["1", "10"]);
    let mut found: Vec<_> = rejects.iter().map(|reject| (reject.row, reject.code.as_str())).collect();
    found.sort_unstable();
    let expected = [
        (2, "depth"),
        (3, "surrogate"),
        (4, "nul"),
        (5, "event-too-large"),
        (6, "type"),
        (7, "event-name"),
        (8, "json"),
        (9, "no-identifier"),
    ];
    assert_eq!(found, expected);
    assert!(rejects.iter().all(|reject| reject.payload.is_empty() && !reject.message.contains("secret")));
}

#[test]
fn a_single_bad_event_is_refused_with_its_request() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(40_000));
    for (body, status) in [
        (event("1", &"[".repeat(10_000)), 400),
        (event("1", &format!("{}1{}", "[".repeat(40), "]".repeat(40))), 400),
        (event("1", r#""\udc00""#), 400),
        (event("1", &large), 413),
        ("{".to_owned(), 400),
        ("[]]".to_owned(), 400),
        (String::new(), 400),
        ("\u{feff}{}".to_owned(), 400),
    ] {
        let shown = &body[..body.len().min(80)];
        assert_eq!(server.post("/v1/events", &AUTH, &body).status, status, "{shown}");
    }
    assert_eq!(server.ask("POST", "/v1/events", &AUTH, b"{\"type\":\"\xff\"}").status, 400);
    assert_eq!(server.rows().0.len(), 0);
}

#[test]
fn bodies_are_bounded_as_sent_and_as_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let gzip_header = |coding| [AUTH[0], ("content-encoding", coding)];
    let fine = gzip(event("1", "{}").as_bytes());
    assert_eq!(server.ask("POST", "/v1/events", &gzip_header("gzip"), &fine).status, 200);
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100_000);
    assert_eq!(server.ask("POST", "/v1/events", &gzip_header("gzip"), &bomb).status, 413);
    assert_eq!(
        server.ask("POST", "/v1/events", &gzip_header("gzip"), &gzip(&bomb)).status,
        400,
        "unpacked once only"
    );
    for coding in ["gzip, gzip", "gzip,deflate", "deflate", "br", "zstd", "nonsense"] {
        assert_eq!(server.ask("POST", "/v1/events", &gzip_header(coding), &fine).status, 415, "{coding}");
    }
    let twice = [AUTH[0], ("content-encoding", "gzip"), ("content-encoding", "gzip")];
    assert_eq!(server.ask("POST", "/v1/events", &twice, &fine).status, 415);
    assert_eq!(server.ask("POST", "/v1/events", &gzip_header("gzip"), &fine[..fine.len() - 5]).status, 400);
    assert_eq!(server.ask("POST", "/v1/events", &gzip_header("gzip"), b"plain").status, 400);
    let long = vec![b' '; 600 << 10];
    assert_eq!(server.ask("POST", "/v1/events", &AUTH, &long).status, 413);
    assert_eq!(texts(&server.batch(), "event_id"), ["1"]);
}

#[test]
fn cookies_of_eight_kilobytes_and_broken_heads_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let cookie = format!("a={}", "x".repeat(8192));
    assert_eq!(server.get("/pixel.gif?k=wk_shop_1", &[("cookie", &cookie)]).status, 431);
    let small = format!("a={}", "x".repeat(4000));
    assert_eq!(server.get("/pixel.gif?k=wk_shop_1", &[("cookie", &small)]).status, 200);
    assert_eq!(
        server.get("/pixel.gif?k=wk_shop_1 HTTP/1.1\r\nx: y\r\n\r\nGET /", &[]).status,
        200,
        "a second request"
    );
    assert_eq!(server.get("/v1/projects/wk_shop_1/settings", &[("x", "a\rb: c")]).status, 400);
}

#[test]
fn one_site_has_its_share() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path(), &config(r#","limits":{"per_second":3}"#), &Shared::default(), None);
    let answers: Vec<_> = (0..12).map(|_| server.get("/pixel.gif?k=wk_shop_1", &[])).collect();
    let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(server.get("/pixel.gif?k=wk_strict_1", &[]).status, 200, "another site has its own");
}

#[test]
fn all_bodies_together_have_a_bound_and_give_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = open(dir.path(), &config(r#","limits":{"memory_mib":1}"#), &Shared::default(), None);
    // Two that say much and stop before their last byte.
    let held: Vec<_> = (0..2)
        .map(|_| {
            use std::io::Write;
            let mut stream = std::net::TcpStream::connect(server.address).unwrap();
            let head = "POST /v1/batch HTTP/1.1\r\nhost: a\r\ncontent-length: 400001\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            let _ = stream.write_all(&vec![b' '; 400_000]);
            stream
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let body = format!("{}{}", event("1", "{}"), " ".repeat(300_000));
    let refused = server.post("/v1/events", &AUTH, &format!("[{body}]"));
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    drop(held);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(server.post("/v1/events", &AUTH, &format!("[{body}]")).status, 200);
    assert_eq!(server.batch().num_rows(), 1);
}

#[test]
fn what_was_answered_survives_a_kill_and_is_forgotten_when_committed() {
    let dir = tempfile::tempdir().unwrap();
    let (config, shared) = (config(""), Shared::default());
    let mut server = open(dir.path(), &config, &shared, None);
    let many: Vec<String> = (0..10).map(|n| event(&n.to_string(), "{}")).collect();
    assert_eq!(server.post("/v1/events", &AUTH, &format!("[{}]", many.join(","))).status, 200);
    let Poll::Rows(first) = server.collector.poll(3, 400).unwrap() else { panic!("no rows") };
    assert_eq!(texts(&first.batch, "event_id"), ["0", "1", "2"]);
    server.collector.ack(&first.position).unwrap();
    let Poll::Rows(second) = server.collector.poll(3, 400).unwrap() else { panic!("no rows") };
    assert_eq!(texts(&second.batch, "event_id"), ["3", "4", "5"]);
    // The second batch was never committed.
    drop(server);
    let mut server = open(dir.path(), &config, &shared, Some(first.position));
    assert_eq!(server.post("/v1/events", &AUTH, &event("10", "{}")).status, 200);
    let batch = server.batch();
    assert_eq!(texts(&batch, "event_id"), ["3", "4", "5", "6", "7", "8", "9", "10"]);
    // What a kill would leave on disk at this moment; nothing was committed, so everything comes again.
    let left = tempfile::tempdir().unwrap();
    let spool = left.path().join("spool/test");
    std::fs::create_dir_all(&spool).unwrap();
    for file in std::fs::read_dir(dir.path().join("spool/test")).unwrap().map(Result::unwrap) {
        if file.file_name().to_str().is_some_and(|name| name.ends_with(".spool")) {
            std::fs::copy(file.path(), spool.join(file.file_name())).unwrap();
        }
    }
    let mut killed = open(left.path(), &config, &shared, None);
    assert_eq!(killed.batch().num_rows(), 11);
}

#[test]
fn a_full_spool_is_told_and_takes_in_again_once_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(r#","spool":{"capacity_mib":1}"#);
    let mut server = open(dir.path(), &config, &Shared::default(), None);
    let body =
        |n: usize| format!("[{}]", event(&n.to_string(), &format!(r#"{{"a":"{}"}}"#, "x".repeat(30_000))));
    let mut stored = 0;
    let refused = loop {
        let answer = server.post("/v1/events", &AUTH, &body(stored));
        if answer.status != 200 {
            break answer;
        }
        stored += 1;
        assert!(stored < 100);
    };
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    let mut rows = 0;
    while let Poll::Rows(batch) = server.collector.poll(1000, 400).unwrap() {
        rows += batch.batch.num_rows();
        server.collector.ack(&batch.position).unwrap();
    }
    assert_eq!(rows, stored);
}

#[test]
fn a_second_collector_on_one_spool_or_address_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let open = |config: &_| {
        kindred_collector::Collector::open(config, &Shared::default(), Context::detached(dir.path()))
            .err()
            .unwrap()
    };
    assert_eq!(open(&config("")).code, "spool-held");
    let mut same = config("");
    same.listen = server.address.to_string();
    assert_eq!(open(&same).problems[0].path, "/collector/listen");
}

#[test]
fn closing_lets_nothing_more_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    assert_eq!(server.post("/v1/events", &AUTH, &event("1", "{}")).status, 200);
    server.collector.close();
    assert!(std::net::TcpStream::connect(server.address).is_err());
    let rows: (Vec<RecordBatch>, Vec<Reject>) = start(dir.path()).rows();
    assert_eq!(rows.0[0].num_rows(), 1);
}

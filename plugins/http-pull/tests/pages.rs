//! The source against a server of the test's own: pages of every kind, and servers that are busy, broken or hostile.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use kindred_plugin_api::{Context, Fault, FaultKind, Poll, Rows, Source, options, prelude::*};
use kindred_plugin_http_pull::{Config, HttpPull};
use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Answers `GET`s with the bytes of a whole response.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<(String, Instant)>>>,
}

impl Server {
    fn new(answer: impl Fn(&str, usize) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<(String, Instant)>>> = Arc::default();
        let log = asked.clone();
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(target) = target(&stream) else { continue };
                let number = {
                    let mut log = log.lock().unwrap();
                    log.push((target.clone(), Instant::now()));
                    log.len()
                };
                let path = target.split('\n').next().unwrap();
                let _ = (&stream).write_all(answer(path, number).as_bytes());
            }
        });
        Self { address, asked }
    }

    /// Path and parameters of each request so far.
    fn paths(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .map(|(target, _)| target.split('\n').next().unwrap().to_owned())
            .collect()
    }
}

/// Path with parameters, and behind it the headers, a line each.
fn target(stream: &TcpStream) -> Option<String> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut target = lines.next()?.split(' ').nth(1)?.to_owned();
    for line in lines.take_while(|line| !line.is_empty()) {
        target.push('\n');
        target.push_str(&line);
    }
    Some(target)
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}", body.len())
}

fn ok(body: &str) -> String {
    response("200 OK", "", body)
}

/// Records of these numbers.
fn items(numbers: std::ops::Range<u64>) -> String {
    let item = |n: u64| format!(r#"{{"id":{n},"user":"u{}","at":"2026-01-01T00:{:02}:00Z"}}"#, n % 3, n % 60);
    format!("[{}]", numbers.map(item).collect::<Vec<_>>().join(","))
}

fn config(url: &str, more: serde_json::Value) -> Config {
    let mut config = serde_json::json!({
        "url": url, "identifiers": { "user": "user" }, "event": "seen", "time": "at",
        "properties": { "number": { "column": "id", "type": "integer" } },
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    options::parse(&config.to_string()).unwrap()
}

fn open(url: &str, more: serde_json::Value, state: Option<Vec<u8>>) -> HttpPull {
    let config = config(url, more);
    assert_eq!(HttpPull::validate(&config), []);
    let mut source = HttpPull::open(config, Context::detached(".").with_state(state)).unwrap();
    source.schema().unwrap();
    source
}

fn numbers(rows: &Rows) -> Vec<i64> {
    let column = rows.batch.column_by_name("number").unwrap();
    column.as_primitive::<kindred_plugin_api::arrow::datatypes::Int64Type>().values().to_vec()
}

/// What comes to the end, and the position behind each batch.
fn drain(source: &mut HttpPull, most: usize) -> (Vec<i64>, Vec<(usize, Vec<u8>)>) {
    let (mut seen, mut positions) = (Vec::new(), Vec::new());
    loop {
        match source.poll(most, 1000).unwrap() {
            Poll::Rows(rows) => {
                assert!(rows.batch.num_rows() <= most && rows.rejects.is_empty());
                seen.extend(numbers(&rows));
                positions.push((seen.len(), rows.position));
            }
            Poll::End => break,
            Poll::Idle { .. } => panic!("it has an end"),
        }
    }
    assert!(matches!(source.poll(most, 1000).unwrap(), Poll::End), "stays at its end");
    (seen, positions)
}

fn fault(url: &str, more: serde_json::Value) -> Fault {
    open(url, more, None).poll(10, 1000).unwrap_err()
}

/// The number that a parameter has.
fn parameter(path: &str, name: &str) -> Option<u64> {
    path.split(['?', '&']).find_map(|pair| pair.strip_prefix(&format!("{name}=")))?.parse().ok()
}

#[test]
fn pages_of_every_kind_and_a_start_at_any_position() {
    let by_address = Server::new(|path, _| {
        let page = parameter(path, "p").unwrap_or(0);
        let next = if page < 3 { format!("\"?p={}\"", page + 1) } else { "null".into() };
        ok(&format!(r#"{{"data":{{"items":{}}},"next":{next}}}"#, items(page * 5..page * 5 + 5)))
    });
    let by_token = Server::new(|path, _| {
        let page = parameter(path, "after").unwrap_or(0);
        let next = if page < 15 { format!(",\"token\":{}", page + 5) } else { String::new() };
        ok(&format!(r#"{{"data":{{"items":{}}}{next}}}"#, items(page..page + 5)))
    });
    let by_page = Server::new(|path, _| {
        let from = (parameter(path, "page").unwrap() - 1) * 7;
        ok(&format!(r#"{{"data":{{"items":{}}}}}"#, items(from.min(20)..(from + 7).min(20))))
    });
    let by_offset = Server::new(|path, _| {
        let from = parameter(path, "from").unwrap();
        ok(&format!(r#"{{"data":{{"items":{}}}}}"#, items(from.min(20)..(from + 5).min(20))))
    });
    let by_link = Server::new(|path, _| {
        let page = parameter(path, "p").unwrap_or(0);
        let link = if page < 3 {
            format!("Link: </a>; rel=prev, </?p={}>; rel=\"next\"\r\n", page + 1)
        } else {
            String::new()
        };
        let body = format!(r#"{{"data":{{"items":{}}}}}"#, items(page * 5..page * 5 + 5));
        response("200 OK", &link, &body)
    });
    for (server, paging, requests) in [
        (&by_address, serde_json::json!({ "next": "next" }), 4),
        (&by_token, serde_json::json!({ "next": "token", "parameter": "after" }), 4),
        (&by_page, serde_json::json!({ "by": "page", "parameter": "page", "size": 7 }), 3),
        (&by_offset, serde_json::json!({ "by": "offset", "parameter": "from" }), 5),
        (&by_link, serde_json::json!({ "link": true }), 4),
    ] {
        let more = || serde_json::json!({ "records": "data.items", "paging": paging });
        let url = format!("{}/v1", server.address);
        let (whole, _) = drain(&mut open(&url, more(), None), 1000);
        assert_eq!(whole, (0..20).collect::<Vec<i64>>(), "{paging}");
        assert_eq!(server.paths().len(), requests, "{paging}");
        for most in [1, 3, 7] {
            let (cut, positions) = drain(&mut open(&url, more(), None), most);
            assert_eq!(cut, whole);
            for (done, position) in positions {
                let (rest, _) = drain(&mut open(&url, more(), Some(position)), most);
                // Behind the last one begins the next look, of everything, because there is no cursor.
                assert!(rest == whole[done..] || done == 20 && rest == whole, "{paging} from {done}");
            }
        }
    }
}

#[test]
fn the_highest_value_is_sent_the_next_time() {
    let server = Server::new(|path, _| {
        let since = parameter(path, "since").unwrap_or(0);
        ok(&items(since.max(8)..12))
    });
    let more = || serde_json::json!({ "cursor": { "field": "id", "parameter": "since", "initial": "3" } });
    let url = format!("{}/?fixed=a%20b", server.address);
    let (seen, positions) = drain(&mut open(&url, more(), None), 2);
    assert_eq!(seen, [8, 9, 10, 11]);
    let middle = positions[0].1.clone();
    assert_eq!(drain(&mut open(&url, more(), Some(middle)), 2).0, [10, 11], "the same look goes on");
    let last = positions.last().unwrap().1.clone();
    assert_eq!(drain(&mut open(&url, more(), Some(last)), 2).0, [11]);
    assert_eq!(server.paths(), ["3", "3", "11"].map(|since| format!("/?fixed=a%20b&since={since}")));
}

#[test]
fn requests_carry_their_headers_and_keep_their_rate() {
    let server = Server::new(|path, _| {
        let page = parameter(path, "page").unwrap();
        ok(&items(page..(page + 1).min(5)))
    });
    let more = serde_json::json!({
        "paging": { "by": "page", "parameter": "page" }, "requests_per_second": 10.0,
        "headers": { "X-Key": "k" }, "user": "u", "password": "p",
    });
    assert_eq!(drain(&mut open(&server.address, more, None), 10).0, [1, 2, 3, 4]);
    let asked = server.asked.lock().unwrap();
    let gaps: Vec<Duration> = asked.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    assert!(gaps.len() == 4 && gaps.iter().all(|gap| gap.as_millis() >= 90), "{gaps:?}");
    let headers = asked[0].0.to_lowercase();
    assert!(headers.contains("x-key: k") && headers.contains("authorization: basic dtpw"), "{headers}");
}

#[test]
fn busy_servers_are_asked_again_when_they_say() {
    for (status, header, wait_ms) in [
        ("429 Too Many Requests", "Retry-After: 7\r\n", 7000),
        ("503 Service Unavailable", "Retry-After: 86400\r\n", 60_000),
        ("503 Service Unavailable", "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n", 1000),
        ("429 Too Many Requests", "", 0),
        ("502 Bad Gateway", "", 0),
    ] {
        let server = Server::new(
            move |_, number| {
                if number == 1 { response(status, header, "") } else { ok(&items(0..2)) }
            },
        );
        let mut source = open(&server.address, serde_json::json!({}), None);
        let fault = source.poll(10, 1000).unwrap_err();
        assert_eq!((fault.kind, fault.retry_after_ms), (FaultKind::Transient, wait_ms), "{fault}");
        assert_eq!(drain(&mut source, 10).0, [0, 1], "the same instance goes on");
    }
}

#[test]
fn broken_answers_lose_no_page() {
    let server = Server::new(|path, number| match (parameter(path, "p").unwrap_or(0), number) {
        // Cut within the body, by the length and by the text.
        (1, 2) => {
            "HTTP/1.1 200 OK\r\nContent-Length: 900\r\nConnection: close\r\n\r\n{\"d\":[{\"id\":3".into()
        }
        (1, 3) => ok("{\"d\":[{\"id\":3,"),
        (1, _) => ok(&format!(r#"{{"d":{}}}"#, items(3..6))),
        _ => ok(&format!(r#"{{"d":{},"n":"/?p=1"}}"#, items(0..3))),
    });
    let mut source =
        open(&server.address, serde_json::json!({ "records": "d", "paging": { "next": "n" } }), None);
    let Poll::Rows(first) = source.poll(10, 1000).unwrap() else { panic!("no rows") };
    assert_eq!(numbers(&first), [0, 1, 2]);
    for _ in 0..2 {
        assert_eq!(source.poll(10, 1000).unwrap_err().kind, FaultKind::Transient);
    }
    assert_eq!(drain(&mut source, 10).0, [3, 4, 5]);
    for (body, code) in
        [("<html>Jane</html>", "json"), (r#"{"d":"Jane"}"#, "records"), (r#"{"e":[]}"#, "records")]
    {
        let server = Server::new(move |_, _| ok(body));
        let fault = fault(&server.address, serde_json::json!({ "records": "d" }));
        assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::Permanent, code));
        assert!(!fault.message.contains("Jane"));
    }
}

#[test]
fn no_answer_leads_elsewhere() {
    let inner = Server::new(|_, _| ok(&items(0..1)));
    let (place, elsewhere) = (inner.address.clone(), inner.address.clone());
    let redirects = Server::new(move |_, _| response("302 Found", &format!("Location: {place}/\r\n"), ""));
    let refused = fault(&redirects.address, serde_json::json!({ "bearer": "geheim" }));
    assert_eq!((refused.kind, refused.code.as_str()), (FaultKind::Permanent, "redirect"));
    assert_eq!(redirects.paths().len(), 1);
    let leads = Server::new(move |_, _| ok(&format!(r#"{{"d":[],"n":"{elsewhere}/x"}}"#)));
    let more = |origins: &[&str]| serde_json::json!({ "records": "d", "paging": { "next": "n" }, "origins": origins });
    let elsewhere = fault(&leads.address, more(&[]));
    assert_eq!((elsewhere.kind, elsewhere.code.as_str()), (FaultKind::Permanent, "elsewhere"));
    assert!(inner.paths().is_empty(), "it was never asked");
    let answered = fault(&leads.address, more(&[&inner.address]));
    assert_eq!((answered.code.as_str(), inner.paths()), ("records", vec!["/x".to_owned()]));
    for next in
        ["file:///etc/passwd", "//169.254.169.254/", "http://u:p@127.0.0.1/", "http://127.0.0.1:x/", "/"]
    {
        let leads = Server::new(move |_, _| ok(&format!(r#"{{"d":[],"n":"{next}"}}"#)));
        let fault = fault(&leads.address, more(&[]));
        assert!(["elsewhere", "endless"].contains(&fault.code.as_str()), "{next}: {fault:?}");
    }
    // Where a position comes from does not matter either.
    let state = br#"{"cursor":null,"highest":null,"page":{"url":"http://192.0.2.1/"},"skip":0,"rows":0,"done":false}"#;
    let mut source = open(&leads.address, more(&[]), Some(state.to_vec()));
    assert_eq!(source.poll(1, 1000).unwrap_err().code, "elsewhere");
}

#[test]
fn large_slow_and_closed_answers_are_faults() {
    let server = Server::new(|_, _| {
        let body = format!("[\"{}\"]", "x".repeat(33 << 20));
        ok(&body)
    });
    assert_eq!(fault(&server.address, serde_json::json!({})).code, "too-large");
    let server = Server::new(|_, _| {
        std::thread::sleep(Duration::from_secs(3));
        ok("[]")
    });
    let began = Instant::now();
    let slow = fault(&server.address, serde_json::json!({ "timeout_s": 1 }));
    assert!(slow.kind == FaultKind::Transient && began.elapsed() < Duration::from_secs(2), "{slow}");
    for (status, kind) in [
        ("401 Unauthorized", FaultKind::Config),
        ("404 Not Found", FaultKind::Config),
        ("400 Bad Request", FaultKind::Permanent),
    ] {
        let server = Server::new(move |_, _| response(status, "", "[]"));
        let url = format!("{}/a?key=geheim", server.address);
        let fault = fault(&url, serde_json::json!({}));
        assert_eq!(fault.kind, kind);
        assert!(!fault.message.contains("geheim"), "{fault}");
    }
}

#[test]
fn bad_records_are_rejects_without_what_they_held() {
    let body = r#"[{"id":1,"user":"u","at":"2026-01-01"},7,{"id":"Jane","user":"u","at":"2026-01-01"},{"id":4,"at":"2026-01-01"}]"#;
    let server = Server::new(move |_, _| ok(body));
    let mut source = open(&format!("{}/v1?key=geheim", server.address), serde_json::json!({}), None);
    let Poll::Rows(rows) = source.poll(10, 1000).unwrap() else { panic!("no rows") };
    let rejects: Vec<_> = rows.rejects.iter().map(|r| (r.row, r.code.as_str(), r.origin.as_str())).collect();
    assert_eq!(numbers(&rows), [1]);
    assert_eq!(
        rejects,
        [(2, "json", "127.0.0.1/v1"), (3, "value", "127.0.0.1/v1"), (4, "no-identifier", "127.0.0.1/v1")]
    );
    assert!(!format!("{:?}", rows.rejects).contains("Jane"));
}

#[test]
fn wrong_options_are_named() {
    let paths = |url: &str, more: serde_json::Value| -> Vec<String> {
        HttpPull::validate(&config(url, more)).into_iter().map(|problem| problem.path).collect()
    };
    let none = || serde_json::json!({});
    assert_eq!(paths("https://a.example", none()), [""; 0]);
    for url in [
        "http://a.example",
        "http://localhost.a.example",
        "ftp://a.example",
        "a.example",
        "https://u:p@a.example",
        "http://10.0.0.1",
    ] {
        assert_eq!(paths(url, none()), ["/url"], "{url}");
    }
    assert_eq!(paths("http://a.example", serde_json::json!({ "allow_http": true })), [""; 0]);
    assert_eq!(paths("https://a.example", serde_json::json!({ "paging": {} })), ["/paging"]);
    assert_eq!(
        paths("https://a.example", serde_json::json!({ "paging": { "by": "page" } })),
        ["/paging/parameter"]
    );
    let more = serde_json::json!({ "headers": { "a": "b\r\nc: d" }, "bearer": "t", "user": "u", "password": "p", "timeout_s": 0,
        "requests_per_second": 0.0, "origins": ["http://a.example"], "time": null });
    let expected = ["/time", "/origins", "/headers", "/bearer", "/requests_per_second", "/timeout_s"];
    assert_eq!(paths("https://a.example", more), expected);
}

#[test]
fn every_option_explains_itself() {
    let schema: serde_json::Value = serde_json::from_str(&options::schema::<Config>()).unwrap();
    let options = schema["properties"].as_object().unwrap();
    let mute: Vec<_> =
        options.iter().filter(|(_, option)| option["description"].as_str().is_none()).collect();
    assert!(options.len() >= 18 && mute.is_empty(), "{mute:?}");
}

//! The listener against clients that dribble, idle, overstay and crowd, over real sockets.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Extension,
    http::StatusCode,
    routing::{get, post},
};
use kindred_listening::{Limits, Listener, Peer, Serving};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// Bytes of a head at most, its end among them.
const HEAD: usize = 64 << 10;
/// More than the system's buffers take.
const LARGE: usize = 64 << 20;

fn router() -> Router {
    Router::new()
        .route("/", get(|Extension(Peer(peer)): Extension<Peer>| async move { peer.ip().to_string() }))
        .route("/large", get(|| async { vec![b'x'; LARGE] }))
        .route("/slow", get(|| async { tokio::time::sleep(Duration::from_millis(400)).await }))
        .route("/never", get(|| async { std::future::pending::<()>().await }))
        .route("/body", post(|body: Body| async { length(body).await }))
}

async fn length(body: Body) -> Result<String, StatusCode> {
    let bytes = to_bytes(body, 1 << 20).await.map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(bytes.len().to_string())
}

fn limits() -> Limits {
    Limits { header_ms: 300, request_ms: 600, idle_ms: 1500, ..Limits::default() }
}

fn serving(limits: &Limits) -> Serving {
    Listener::bind("127.0.0.1:0").unwrap().serve(router(), limits, 2).unwrap()
}

fn connect(serving: &Serving) -> TcpStream {
    let stream = TcpStream::connect(serving.local_address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// The head and body of the next answer, by its length.
fn answer(stream: &mut TcpStream) -> String {
    let (mut text, mut byte) = (Vec::new(), [0; 1]);
    while !text.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => text.push(byte[0]),
            _ => return String::from_utf8(text).unwrap(),
        }
    }
    let head = String::from_utf8(text).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

fn ask(stream: &mut TcpStream, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    answer(stream)
}

/// Waits for the far side to close, and says how long that took.
fn closed(stream: &mut TcpStream) -> Duration {
    let (start, mut rest) = (Instant::now(), Vec::new());
    match stream.read_to_end(&mut rest) {
        Ok(_) => assert_eq!(rest, b""),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    start.elapsed()
}

fn about(found: Duration, expected_ms: u64) {
    let expected = Duration::from_millis(expected_ms);
    assert!(found > expected.mul_f64(0.7) && found < expected + Duration::from_millis(700), "{found:?}");
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let serving = serving(&limits());
    let mut stream = connect(&serving);
    for _ in 0..3 {
        let answer = ask(&mut stream, "/");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"), "{answer}");
    }
    write!(stream, "POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nabcde").unwrap();
    assert!(answer(&mut stream).ends_with("\r\n\r\n5"));
}

#[test]
fn a_connection_that_never_says_a_word_is_cut() {
    let serving = serving(&limits());
    about(closed(&mut connect(&serving)), 300);
}

#[test]
fn a_head_that_dribbles_is_cut_also_as_second_request() {
    let serving = serving(&limits());
    for asked_before in [false, true] {
        let mut stream = connect(&serving);
        if asked_before {
            ask(&mut stream, "/");
            // The time of a head is counted from its first byte.
            std::thread::sleep(Duration::from_millis(500));
        }
        let start = Instant::now();
        let mut head = b"GET / HTTP/1.1\r\nhost: a\r\nx: ".iter().chain(std::iter::repeat(&b'a'));
        while stream.write_all(&[*head.next().unwrap()]).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
            assert!(start.elapsed() < Duration::from_secs(5));
        }
        about(start.elapsed(), 300);
    }
}

#[test]
fn a_body_that_dribbles_is_answered_408_and_a_late_handler_503() {
    let serving = serving(&limits());
    let mut stream = connect(&serving);
    write!(stream, "POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 500\r\n\r\n").unwrap();
    let mut other = stream.try_clone().unwrap();
    let dribble = std::thread::spawn(move || {
        while other.write_all(b"a").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let start = Instant::now();
    assert!(answer(&mut stream).starts_with("HTTP/1.1 408"));
    about(start.elapsed(), 600);
    drop(stream);
    dribble.join().unwrap();
    assert!(ask(&mut connect(&serving), "/never").starts_with("HTTP/1.1 503"));
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let serving = serving(&limits());
    let (mut idle, mut busy) = (connect(&serving), connect(&serving));
    ask(&mut idle, "/");
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1200) {
        assert!(ask(&mut busy, "/slow").starts_with("HTTP/1.1 200"));
    }
    about(closed(&mut idle) + Duration::from_millis(1200), 1500);
    assert!(ask(&mut busy, "/").starts_with("HTTP/1.1 200"));
}

#[test]
fn idle_connections_beyond_the_limit_do_not_keep_others_out() {
    let limits = Limits { connections: 50, header_ms: 20_000, ..limits() };
    let serving = serving(&limits);
    let mut working = connect(&serving);
    write!(working, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let idle: Vec<_> = (0..500).map(|_| connect(&serving)).collect();
    assert!(answer(&mut working).starts_with("HTTP/1.1 200"), "it was at work");
    let start = Instant::now();
    let mut newcomer = connect(&serving);
    let served = ask(&mut newcomer, "/");
    assert!(served.starts_with("HTTP/1.1 200"), "{served}");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    drop(idle);
    let again = ask(&mut connect(&serving), "/");
    assert!(again.starts_with("HTTP/1.1 200"), "{again}");
}

#[test]
fn one_address_has_its_share() {
    let serving = serving(&Limits { per_address: 2, ..limits() });
    let (mut one, mut two) = (connect(&serving), connect(&serving));
    assert!(ask(&mut one, "/").starts_with("HTTP/1.1 200"));
    assert!(ask(&mut two, "/").starts_with("HTTP/1.1 200"));
    assert!(closed(&mut connect(&serving)) < Duration::from_millis(200));
    drop(one);
    std::thread::sleep(Duration::from_millis(100));
    assert!(ask(&mut connect(&serving), "/").starts_with("HTTP/1.1 200"));
}

/// The start of a request, filled up to so many bytes.
fn head(bytes: usize) -> String {
    let start = "GET / HTTP/1.1\r\nhost: a\r\nx: ";
    format!("{start}{}", "a".repeat(bytes - start.len()))
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let serving = serving(&limits());
    let mut stream = connect(&serving);
    write!(stream, "{}\r\n\r\n", head(HEAD - 5)).unwrap();
    let fits = answer(&mut stream);
    assert!(fits.starts_with("HTTP/1.1 200"), "{fits}");
    // As long as a head may be, and not at its end.
    let mut stream = connect(&serving);
    write!(stream, "{}", head(HEAD)).unwrap();
    let refused = answer(&mut stream);
    assert!(refused.starts_with("HTTP/1.1 431"), "{refused}");
    assert!(closed(&mut stream) < Duration::from_millis(200));
    // Who goes on writing may lose the answer to the reset that follows bytes which nobody read; both are right, since
    // nobody has to read on for somebody who does not keep to the bound.
    let mut stream = connect(&serving);
    let _ = write!(stream, "{}\r\n\r\n", head(300_000));
    let lost = answer(&mut stream);
    assert!(lost.is_empty() || lost.starts_with("HTTP/1.1 431"), "{lost}");
}

#[test]
fn http2_is_not_spoken() {
    let serving = serving(&limits());
    let mut stream = connect(&serving);
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    // Who begins like this reads no answer of HTTP/1: there is none, and the connection is closed at once.
    assert!(closed(&mut stream) < Duration::from_millis(200));
    let mut stream = connect(&serving);
    write!(stream, "GET / HTTP/2.0\r\nhost: a\r\n\r\n").unwrap();
    let refused = answer(&mut stream);
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
}

#[test]
fn stopping_finishes_what_is_under_way_and_closes_the_rest() {
    let serving = serving(&limits());
    let address = serving.local_address();
    let (mut idle, mut fresh, mut slow) = (connect(&serving), connect(&serving), connect(&serving));
    ask(&mut idle, "/");
    write!(slow, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    let stopper = std::thread::spawn(move || serving.stop(Duration::from_secs(5)));
    assert!(closed(&mut idle) < Duration::from_millis(200));
    assert!(closed(&mut fresh) < Duration::from_millis(200));
    assert!(answer(&mut slow).starts_with("HTTP/1.1 200"));
    assert!(stopper.join().unwrap());
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn stopping_does_not_wait_longer_than_the_grace() {
    let serving = serving(&Limits { request_ms: 60_000, ..limits() });
    let mut stuck = connect(&serving);
    write!(stuck, "GET /never HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    assert!(!serving.stop(Duration::from_millis(200)));
    assert!(start.elapsed() < Duration::from_secs(1));
    closed(&mut stuck);
}

#[test]
fn an_answer_that_is_read_slowly_is_not_cut_for_others_nor_at_a_stop() {
    let serving = serving(&Limits { connections: 1, ..limits() });
    let mut reader = connect(&serving);
    write!(reader, "GET /large HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut some = vec![0; 1 << 20];
    reader.read_exact(&mut some).unwrap();
    // Somebody at the door, and then the end.
    let _newcomer = connect(&serving);
    std::thread::sleep(Duration::from_millis(200));
    let stopper = std::thread::spawn(move || serving.stop(Duration::from_secs(10)));
    std::thread::sleep(Duration::from_millis(200));
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert!(some.len() + rest.len() > LARGE, "{}", rest.len());
    assert!(stopper.join().unwrap());
}

#[test]
fn an_answer_that_nobody_reads_is_cut() {
    let serving = serving(&Limits { idle_ms: 300, ..limits() });
    let mut reader = connect(&serving);
    write!(reader, "GET /large HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let mut rest = Vec::new();
    let _ = reader.read_to_end(&mut rest);
    assert!(rest.len() < LARGE, "{}", rest.len());
}

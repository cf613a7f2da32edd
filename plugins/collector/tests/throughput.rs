//! How many events a second become durable, and rows. It measures, so it runs only when asked for:
//! `cargo test --release -p kindred-collector --test throughput -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

mod common;
use common::*;

use kindred_collector::Shared;
use kindred_plugin_api::Poll;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const CLIENTS: usize = 32;
const TIME: Duration = Duration::from_secs(5);

/// Sends a request over and over on one connection until the time is over; counts the answers.
fn client(address: SocketAddr, request: &[u8], deadline: Instant, answered: &AtomicU64) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 4096];
    while Instant::now() < deadline {
        stream.write_all(request).unwrap();
        // Answers are shorter than a packet.
        let count = stream.read(&mut buffer).unwrap();
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..count]));
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

fn measure(name: &str, request: &str, events: u64) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut server = open(dir.path(), &config(""), &Shared::default(), None);
    let (address, start, answered) = (server.address, Instant::now(), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (request, answered) = (request.as_bytes().to_vec(), Arc::clone(&answered));
            std::thread::spawn(move || client(address, &request, start + TIME, &answered))
        })
        .collect();
    let mut rows = 0;
    let mut polled = Duration::ZERO;
    loop {
        let begun = Instant::now();
        match server.collector.poll(65_536, 1000).unwrap() {
            Poll::Rows(batch) => {
                rows += batch.batch.num_rows() as u64 + batch.rejects.len() as u64;
                polled += begun.elapsed();
                server.collector.ack(&batch.position).unwrap();
            }
            _ if start.elapsed() > TIME => break,
            _ => {}
        }
    }
    clients.into_iter().for_each(|client| client.join().unwrap());
    let answered = answered.load(Ordering::Relaxed);
    println!(
        "{name}: {:.0} requests/s, {:.0} durable events/s, {:.0} rows/s of polling, {rows} rows",
        answered as f64 / TIME.as_secs_f64(),
        (answered * events) as f64 / TIME.as_secs_f64(),
        rows as f64 / polled.as_secs_f64(),
    );
    assert!(rows <= answered * events && rows + (CLIENTS as u64) * events >= answered * events);
}

#[test]
#[ignore = "a measurement"]
fn batches_of_a_hundred_events() {
    let event = r#"{"type":"track","event":"product_view","messageId":"8f14e45f-ceea-4672-a5c5-a0a3a2b0a1f7","anonymousId":"0c5a1b7e-7c1f-4f7b-9f07-2f8a3c1f9d10","timestamp":"2026-01-09T12:00:00.000Z","properties":{"category":"winter-coats","value":129.9,"sku":"C-1187"},"context":{"page":{"url":"https://shop.example/coats/1187","title":"A coat"},"library":{"name":"analytics-node","version":"3.1.0"}}}"#;
    let body = format!(r#"{{"batch":[{}],"sentAt":"2026-01-09T12:00:01.000Z"}}"#, vec![event; 100].join(","));
    let auth = basic("wk_shop_1");
    let head = format!(
        "POST /v1/batch HTTP/1.1\r\nhost: a\r\nauthorization: {auth}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    measure("batches of 100", &(head + &body), 100);
}

#[test]
#[ignore = "a measurement"]
fn pixels() {
    let request = "GET /pixel.gif?k=wk_shop_1&e=page_view&u=u1&url=https%3A%2F%2Fshop.example%2Fcoats HTTP/1.1\r\nhost: a\r\n\r\n";
    measure("pixels", request, 1);
}

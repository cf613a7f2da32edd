//! Load for a served pipeline at a rate that is kept, which `wrk` cannot do: how long an answer takes, how long an event
//! takes to be seen in the Profile API, and what an hour of it does to memory. Only the standard library, so that
//! `rustc --edition 2024 -O tests/benches/load/main.rs` builds it, too. The pipeline is `benches/serve/pipeline.toml`.
//!
//! ```text
//! load pixel   RATE SECONDS CONNECTIONS          requests a second, one event each
//! load visible EVENTS SECONDS                    events a second, of which one in fifty is looked for
//! load steady  EVENTS SECONDS PID FILE.csv       events a second; the memory of a process every ten seconds
//! ```
#![allow(clippy::print_stdout, reason = "a program for people")]

mod http;
mod pace;
mod steady;
mod visible;

use http::Client;
use pace::{distribution, steadily};
use std::{
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const KEY: &str = "0123456789abcdef";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse::<u64>().unwrap_or(0);
    let seconds = |word: &str| Duration::from_secs(number(word).min(7200));
    match *words.as_slice() {
        ["pixel", rate, lasts, connections] => {
            pixel(number(rate) as f64, seconds(lasts), number(connections).min(512));
        }
        ["visible", rate, lasts] => visible::measure(number(rate), seconds(lasts)),
        ["steady", rate, lasts, pid, file] => {
            return steady::hold(number(rate), seconds(lasts), pid, file);
        }
        _ => {
            println!(
                "load pixel RATE SECONDS CONNECTIONS | visible EVENTS SECONDS | steady EVENTS SECONDS PID FILE.csv"
            );
        }
    }
    ExitCode::SUCCESS
}

/// A port of the pipeline, unless the environment names another one.
fn port(name: &str, usual: u16) -> u16 {
    std::env::var(name).ok().and_then(|port| port.parse().ok()).unwrap_or(usual)
}

fn collector() -> Client {
    Client::new(port("COLLECTOR", 8080))
}

fn api() -> u16 {
    port("API", 8181)
}

/// Another one in each run, so that no event is a repetition.
fn run() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros())
}

fn pixel(rate: f64, lasts: Duration, connections: u64) {
    let run = run();
    let clients = (0..connections).map(|_| (collector(), Vec::new(), 0_u64)).collect();
    let done = steadily(clients, rate, lasts, |(client, took, failed), number, due: Instant| {
        let event = format!("id={run}-{number}&a=a{}", number * 7919 % 200_000);
        let request = format!("GET /pixel.gif?k=wk_app_test&{event} HTTP/1.1\r\nhost: a\r\n\r\n");
        match client.ask(request.as_bytes()) {
            Ok((200, _)) => took.push(due.elapsed()),
            _ => *failed += 1,
        }
    });
    let failed: u64 = done.iter().map(|(_, _, failed)| failed).sum();
    let took = done.into_iter().flat_map(|(_, took, _)| took).collect();
    println!("{}; {failed} failed", distribution("durable answers", took));
}

//! Logging in: a gate that speaks SASL as a broker does, before a broker that has no users.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{Brokers, unique};
use kindred_plugin_api::{Context, Fault, FaultKind, Source};
use kindred_plugin_kafka::Kafka;
use rdkafka::mocking::MockCluster;
use serde_json::json;
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

// Numbers of requests.
const METADATA: i16 = 3;
const HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const AUTHENTICATE: i16 = 36;

/// A gate that lets through who says `password`: its address.
fn gate(broker: &str, password: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, broker) = (listener.local_addr().unwrap().to_string(), broker.to_owned());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let broker = broker.clone();
            // Whoever goes away ends it.
            std::thread::spawn(move || serve(stream, &broker, password).ok());
        }
    });
    address
}

fn serve(mut client: TcpStream, broker: &str, password: &str) -> std::io::Result<()> {
    loop {
        let request = frame(&mut client)?;
        let number = |at: usize| i16::from_be_bytes([request[at], request[at + 1]]);
        let mut answer = request[4..8].to_vec();
        match number(0) {
            API_VERSIONS => {
                // Error 35: this version is too new; the next request has version 0.
                answer.extend(i16::to_be_bytes(if number(2) == 0 { 0 } else { 35 }));
                answer.extend(4_i32.to_be_bytes());
                for (request, from, to) in
                    [(METADATA, 0, 4), (HANDSHAKE, 1, 1), (API_VERSIONS, 0, 0), (AUTHENTICATE, 0, 0)]
                {
                    [request, from, to].iter().for_each(|number| answer.extend(number.to_be_bytes()));
                }
            }
            HANDSHAKE => {
                assert!(request.ends_with(b"\0\x05PLAIN"));
                answer.extend([0, 0, 0, 0, 0, 1]);
                answer.extend(b"\0\x05PLAIN");
            }
            AUTHENTICATE => {
                let token = format!("\0shop\0{password}");
                let right = request.ends_with(token.as_bytes());
                answer.extend(i16::to_be_bytes(if right { 0 } else { 58 }));
                answer.extend(b"\0\x0bwrong login\0\0\0\0");
                write(&mut client, &answer)?;
                if right {
                    return pass(client, TcpStream::connect(broker)?);
                }
                continue;
            }
            // Who asks for more before that is sent away.
            _ => return Ok(()),
        }
        write(&mut client, &answer)?;
    }
}

fn frame(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).map(|()| frame)
}

fn write(stream: &mut TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.write_all(&[&(answer.len() as u32).to_be_bytes(), answer].concat())
}

/// Both ways, to the end.
fn pass(mut client: TcpStream, mut broker: TcpStream) -> std::io::Result<()> {
    let (mut from, mut to) = (broker.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    std::io::copy(&mut client, &mut broker).map(drop)
}

#[test]
fn a_password_opens_the_gate_and_a_wrong_one_is_told_without_it() {
    let topic = unique("login");
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(&topic, 1, 1).unwrap();
    let brokers = Brokers::new(gate(&cluster.bootstrap_servers(), "geheim"));
    let check = |password: &str| -> Result<(), Fault> {
        let config = brokers.config(&[&topic], json!({ "user": "shop", "password": password }));
        Kafka::check(&config, &Context::detached("."))
    };
    check("geheim").unwrap();
    let fault = check("verraten").unwrap_err();
    assert_eq!(fault.kind, FaultKind::Config, "{fault}");
    assert!(fault.problems[0].message.contains("wrong login"), "{fault}");
    assert!(!format!("{fault:?}").contains("verraten"), "{fault:?}");
}

#[cfg(feature = "tls")]
#[test]
fn with_tls_nothing_is_said_in_the_open() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let brokers = Brokers::new(listener.local_addr().unwrap().to_string());
    let heard = std::thread::spawn(move || {
        let mut first = vec![0; 512];
        let (mut stream, _) = listener.accept().unwrap();
        let read = stream.read(&mut first).unwrap();
        first.truncate(read);
        first
    });
    let login = json!({ "tls": true, "user": "shop", "password": "geheim", "mechanism": "scram-sha-256" });
    Kafka::check(&brokers.config(&["t"], login), &Context::detached(".")).unwrap_err();
    // A TLS record of a handshake, which holds a ClientHello.
    let first = heard.join().unwrap();
    assert_eq!((first[0], first[1], first[5]), (22, 3, 1));
}

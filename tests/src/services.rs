//! What sources read from besides files, filled for a test. Where a service of this machine is missing the test is skipped
//! with a line on standard error; with `CI=true` it fails.

use async_nats::jetstream::{self, stream};
use postgres::{Client, NoTls};
use rdkafka::{
    ClientConfig,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

const NATS: &str = "nats://127.0.0.1:4222";
const POSTGRES: &str = "host=127.0.0.1 dbname=test user=postgres";

/// What a program of the system prints; none, with a line that says so, where it is missing.
pub fn program(name: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(name).args(arguments).output() {
        Ok(output) if output.status.success() => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        _ => missing(name),
    }
}

/// Says that a test is skipped; with `CI=true` it fails.
pub fn missing<T>(service: &str) -> Option<T> {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{service} is missing");
    eprintln!("SKIPPED: {service} is missing");
    None
}

/// A JetStream stream of this process with these messages: address of the server, name of the stream.
pub fn stream(prefix: &str, messages: impl Iterator<Item = String>) -> Option<(&'static str, String)> {
    let name = format!("{prefix}-{}", std::process::id());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let filled = runtime.block_on(async {
        let context = jetstream::new(async_nats::connect(NATS).await.ok()?);
        let subjects = vec![format!("{name}.>")];
        // It goes with the server's memory, not with this process.
        let storage = stream::StorageType::Memory;
        let max_age = Duration::from_secs(3600);
        let config = stream::Config { name: name.clone(), subjects, storage, max_age, ..Default::default() };
        context.create_stream(config).await.ok()?;
        for message in messages {
            context.publish(format!("{name}.all"), message.into()).await.ok()?.await.ok()?;
        }
        Some(())
    });
    if filled.is_none() { missing("NATS with JetStream at 127.0.0.1:4222") } else { Some((NATS, name)) }
}

/// A broker of this process with topics of so many partitions, which get these messages in turn, and a tombstone each:
/// its address.
pub fn topics(topics: &[(&str, i32)], messages: impl Iterator<Item = String>) -> String {
    let cluster = MockCluster::new(1).expect("a broker");
    let address = cluster.bootstrap_servers();
    let mut config = ClientConfig::new();
    let producer: BaseProducer = config.set("bootstrap.servers", &address).create().expect("a producer");
    let mut partitions = Vec::new();
    for (topic, count) in topics {
        cluster.create_topic(topic, *count, 1).expect("a topic");
        partitions.extend((0..*count).map(|partition| (*topic, partition)));
    }
    let send = |(topic, partition): (&str, i32), payload: Option<&str>| {
        let record = BaseRecord::<str, str>::to(topic).partition(partition).key("key");
        let record = BaseRecord { payload, ..record };
        producer.send(record).expect("room for a message");
    };
    partitions.iter().for_each(|partition| send(*partition, None));
    for (number, message) in messages.enumerate() {
        send(partitions[number % partitions.len()], Some(&message));
    }
    producer.flush(Duration::from_secs(30)).expect("a broker that takes messages");
    // It ends with the process.
    std::mem::forget(cluster);
    address
}

/// A table of customers, some of them with faults: connection, name of the table. It is the same for all processes.
pub fn table() -> Option<(&'static str, &'static str)> {
    let fill = "SET client_min_messages = warning; SELECT pg_advisory_lock(7236);
        CREATE SCHEMA IF NOT EXISTS kindred_conformance;
        CREATE TABLE IF NOT EXISTS kindred_conformance.customers
          (id int8 PRIMARY KEY, mail text, country text, income numeric, born text, updated_at timestamptz NOT NULL);
        INSERT INTO kindred_conformance.customers
          SELECT n, CASE WHEN n = 5 THEN 'no address' ELSE ' Person' || n || '@Example.com' END, 'DE', n * 1.5,
            CASE WHEN n = 9 THEN 'soon' ELSE '1980-02-0' || n % 9 + 1 END, timestamptz '2026-01-01' + n / 4 * interval '1 h'
          FROM generate_series(1, 25) AS n ON CONFLICT DO NOTHING";
    let filled = Client::connect(POSTGRES, NoTls).and_then(|mut client| client.batch_execute(fill));
    match filled {
        Ok(()) => Some((POSTGRES, "kindred_conformance.customers")),
        Err(error) => missing(&format!("PostgreSQL at 127.0.0.1:5432 ({error})")),
    }
}

/// A server of this process that answers with these records, eight a page, those behind the first `after` of them:
/// its address.
pub fn pages(records: Vec<Value>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of this machine");
    let address = format!("http://{}/v1/orders", listener.local_addr().expect("its address"));
    // The thread ends with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let _ = page(&stream, &records);
        }
    });
    address
}

fn page(mut stream: &TcpStream, records: &[Value]) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let parameter = |name: &str| -> Option<usize> {
        let value =
            request.split(['?', '&', ' ']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        value.parse().ok()
    };
    let (page, after) = (parameter("page").unwrap_or(1), parameter("after").unwrap_or(0));
    let found: Vec<&Value> = records.iter().skip(after).skip((page - 1) * 8).take(8).collect();
    let body = json!({ "items": found }).to_string();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

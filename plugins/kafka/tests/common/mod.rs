//! What the tests against brokers share: messages that are produced, a source that reads them, what it gave.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use kindred_plugin_api::{
    Context, Poll, Rows, Source,
    arrow::{array::AsArray, datatypes::Int64Type},
    options,
};
use kindred_plugin_kafka::{Config, Kafka};
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// Brokers that a test talks to.
pub struct Brokers {
    pub address: String,
    producer: BaseProducer,
}

impl Brokers {
    pub fn new(address: String) -> Self {
        Self::packing(address, "none")
    }

    /// What is produced is compressed.
    pub fn packing(address: String, codec: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &address).set("linger.ms", "5").set("compression.type", codec);
        let producer = config.create().unwrap();
        Self { address, producer }
    }

    /// Produces messages, the first with the number `from` in a header.
    pub fn publish(
        &self,
        topic: &str,
        partition: i32,
        from: usize,
        messages: impl IntoIterator<Item = String>,
    ) {
        for (number, message) in messages.into_iter().enumerate() {
            self.send(topic, partition, Some(message.as_bytes()), from + number);
        }
        self.producer.flush(Duration::from_secs(30)).unwrap();
    }

    /// Produces one message or, without a payload, a tombstone.
    pub fn send(&self, topic: &str, partition: i32, payload: Option<&[u8]>, number: usize) {
        let value = number.to_string();
        let headers = OwnedHeaders::new()
            .insert(Header { key: "Number", value: Some("-1") })
            .insert(Header { key: "Number", value: Some(value.as_str()) });
        let key = format!("k{}", number % 3);
        let mut record = BaseRecord::to(topic).partition(partition).key(&key).headers(headers);
        record.payload = payload;
        while let Err((_, back)) = self.producer.send(record) {
            self.producer.poll(Duration::from_millis(10));
            record = back;
        }
        self.producer.poll(Duration::ZERO);
    }

    pub fn flush(&self) {
        self.producer.flush(Duration::from_secs(30)).unwrap();
    }

    pub fn config(&self, topics: &[&str], more: serde_json::Value) -> Config {
        let mut config = serde_json::json!({
            "brokers": self.address, "topics": topics, "follow": false,
            "identifiers": { "user": "user.id" }, "event": { "column": "kind", "map": { "buy": "purchase" } },
            "properties": {
                "total": { "type": "decimal" }, "key": "kafka.key", "topic": "kafka.topic",
                "number": { "column": "kafka.headers.Number", "type": "integer" },
                "offset": { "column": "kafka.offset", "type": "integer" },
                "partition": { "column": "kafka.partition", "type": "integer" },
            },
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        options::parse(&config.to_string()).unwrap()
    }

    pub fn open(&self, topics: &[&str], more: serde_json::Value, state: Option<Vec<u8>>) -> Kafka {
        let config = self.config(topics, more);
        assert_eq!(Kafka::validate(&config), []);
        let mut source = Kafka::open(config, Context::detached(".").with_state(state)).unwrap();
        source.schema().unwrap();
        source
    }
}

/// A name that no other test has.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("kindred-{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

pub fn event(number: usize) -> String {
    format!(r#"{{"kind":"buy","user":{{"id":"u{}"}},"total":{number}.5}}"#, number % 7)
}

pub fn next(source: &mut Kafka, most: usize) -> Option<Rows> {
    for _ in 0..200 {
        match source.poll(most, 1000).unwrap() {
            Poll::Rows(rows) => return Some(rows),
            Poll::Idle { wait_ms } => std::thread::sleep(Duration::from_millis(wait_ms)),
            Poll::End => return None,
        }
    }
    panic!("neither rows nor an end");
}

/// All that comes until the end, one batch after the other.
pub fn drain(source: &mut Kafka, most: usize) -> Vec<Rows> {
    std::iter::from_fn(|| next(source, most)).collect()
}

pub fn integers(rows: &Rows, column: &str) -> Vec<i64> {
    rows.batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

pub fn numbers(rows: &Rows) -> Vec<i64> {
    integers(rows, "number")
}

pub fn texts(rows: &Rows, column: &str) -> Vec<String> {
    let column = rows.batch.column_by_name(column).unwrap();
    column.as_string::<i32>().iter().map(|text| text.unwrap_or("").to_owned()).collect()
}

pub fn ids(rows: &Rows) -> Vec<String> {
    texts(rows, "event_id")
}

//! The source against a real server, 127.0.0.1:4222 with JetStream: nothing is lost, whatever dies in between.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

use async_nats::jetstream::{self, stream};
use kindred_plugin_api::{Context, FaultKind, Poll, Rows, Source, options, prelude::*};
use kindred_plugin_nats::{Config, Nats};
use std::collections::BTreeSet;

const SERVER: &str = "nats://127.0.0.1:4222";

/// A stream of the test's own, deleted at its end.
struct Stream {
    name: String,
    runtime: tokio::runtime::Runtime,
    context: jetstream::Context,
}

impl Stream {
    fn new(name: &str, retention: stream::RetentionPolicy) -> Option<Self> {
        let name = format!("KINDRED-{name}-{}", std::process::id());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let made = runtime.block_on(async {
            let context = jetstream::new(async_nats::connect(SERVER).await.ok()?);
            let _ = context.delete_stream(&name).await;
            let subjects = vec![format!("{name}.>")];
            let config = stream::Config { name: name.clone(), subjects, retention, ..Default::default() };
            context.create_stream(config).await.ok()?;
            Some(context)
        });
        if made.is_none() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no JetStream at {SERVER}");
            eprintln!("skipped: no JetStream at {SERVER}");
        }
        made.map(|context| Self { name, runtime, context })
    }

    /// Publishes messages on the subject `kind`, the first with the number `from`.
    fn publish(&self, kind: &str, from: usize, messages: impl IntoIterator<Item = String>) {
        self.runtime.block_on(async {
            let mut last = Vec::new();
            for (number, message) in messages.into_iter().enumerate() {
                let mut headers = async_nats::HeaderMap::new();
                headers.insert("Number", (from + number).to_string());
                let subject = format!("{}.{kind}", self.name);
                last.push(self.context.publish_with_headers(subject, headers, message.into()).await.unwrap());
                if last.len() == 500 {
                    for ack in last.drain(..) {
                        ack.await.unwrap();
                    }
                }
            }
            for ack in last {
                ack.await.unwrap();
            }
        });
    }

    fn config(&self, more: serde_json::Value) -> Config {
        let mut config = serde_json::json!({
            "servers": SERVER, "stream": self.name, "follow": false,
            "identifiers": { "user": "user.id" }, "event": { "column": "kind", "map": { "buy": "purchase" } },
            "properties": { "total": { "type": "decimal" }, "number": { "column": "nats.headers.Number", "type": "integer" } },
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        options::parse(&config.to_string()).unwrap()
    }

    fn open(&self, more: serde_json::Value, state: Option<Vec<u8>>) -> Nats {
        let config = self.config(more);
        assert_eq!(Nats::validate(&config), []);
        let context = Context::detached(".").with_state(state);
        Nats::check(&config, &context).unwrap();
        let mut source = Nats::open(config, context).unwrap();
        source.schema().unwrap();
        source
    }

    fn unacknowledged(&self, durable: &str) -> (u64, usize) {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(&self.name).await.unwrap();
            let info = stream.consumer_info(durable).await.unwrap();
            (info.num_pending, info.num_ack_pending)
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.runtime.block_on(self.context.delete_stream(&self.name));
    }
}

fn event(number: usize) -> String {
    format!(r#"{{"kind":"buy","user":{{"id":"u{}"}},"total":{number}.5}}"#, number % 7)
}

fn next(source: &mut Nats, most: usize) -> Option<Rows> {
    for _ in 0..100 {
        match source.poll(most, 1000).unwrap() {
            Poll::Rows(rows) => return Some(rows),
            Poll::Idle { wait_ms } => std::thread::sleep(std::time::Duration::from_millis(wait_ms)),
            Poll::End => return None,
        }
    }
    panic!("neither rows nor an end");
}

fn numbers(rows: &Rows) -> Vec<i64> {
    let column = rows.batch.column_by_name("number").unwrap();
    column.as_primitive::<kindred_plugin_api::arrow::datatypes::Int64Type>().values().to_vec()
}

fn ids(rows: &Rows) -> Vec<String> {
    let column = rows.batch.column_by_name("event_id").unwrap();
    column.as_string::<i32>().iter().map(|id| id.unwrap().to_owned()).collect()
}

#[test]
fn without_a_name_positions_are_the_stores_and_exact() {
    let Some(stream) = Stream::new("PLAIN", stream::RetentionPolicy::Limits) else { return };
    stream.publish("a", 0, (0..10_000).map(event));
    let mut source = stream.open(serde_json::json!({}), None);
    let (mut seen, mut positions) = (Vec::new(), Vec::new());
    while let Some(rows) = next(&mut source, 777) {
        assert_eq!(rows.rejects, []);
        assert_eq!(rows.backlog_rows as usize, 10_000 - seen.len() - rows.batch.num_rows());
        assert!(
            rows.batch.num_rows() == 777 || rows.backlog_rows == 0,
            "batches are full while there is more"
        );
        seen.extend(numbers(&rows));
        positions.push((seen.len(), rows.position));
    }
    assert_eq!(seen, (0..10_000).collect::<Vec<i64>>());
    assert!(matches!(source.poll(10, 1000).unwrap(), Poll::End), "stays at its end");
    source.close().unwrap();
    // Another instance goes on right behind any position, whatever was read since.
    for (done, position) in positions.iter().step_by(5) {
        let mut source = stream.open(serde_json::json!({}), Some(position.clone()));
        let first = next(&mut source, 5);
        assert_eq!(first.map_or(10_000, |rows| numbers(&rows)[0]) as usize, *done);
        source.close().unwrap();
    }
    stream.publish("a", 10_000, [event(1)]);
    let mut source = stream.open(serde_json::json!({}), Some(positions.pop().unwrap().1));
    assert_eq!(numbers(&next(&mut source, 5).unwrap()), [10_000]);
}

#[test]
fn what_was_not_acknowledged_comes_again_after_a_crash() {
    let Some(stream) = Stream::new("CRASH", stream::RetentionPolicy::Limits) else { return };
    stream.publish("a", 0, (0..10_000).map(event));
    let options = || serde_json::json!({ "durable": "kindred", "ack_wait_s": 2 });
    let mut source = stream.open(options(), None);
    let mut committed: BTreeSet<i64> = BTreeSet::new();
    let (mut taken, mut position) = (Vec::new(), None);
    for batch in 0..20 {
        let rows = next(&mut source, 300).unwrap();
        taken.push((numbers(&rows), ids(&rows)));
        if batch == 9 {
            source.ack(&rows.position).unwrap();
            committed = taken.iter().flat_map(|(numbers, _)| numbers.clone()).collect();
            position = Some(rows.position);
        }
    }
    assert_eq!(stream.unacknowledged("kindred"), (4000, 3000));
    // Killed: no close, no further word.
    drop(source);
    let mut source = stream.open(options(), position);
    let mut again: Vec<(i64, String)> = Vec::new();
    while let Some(rows) = next(&mut source, 1000) {
        again.extend(numbers(&rows).into_iter().zip(ids(&rows)));
        source.ack(&rows.position).unwrap();
    }
    let before: BTreeSet<(i64, String)> =
        taken.into_iter().flat_map(|(numbers, ids)| numbers.into_iter().zip(ids)).collect();
    let later: BTreeSet<(i64, String)> = again.iter().cloned().collect();
    assert!(later.iter().all(|(number, _)| !committed.contains(number)), "what is committed stays away");
    assert_eq!(before.intersection(&later).count(), 3000, "with the same ids as before");
    assert_eq!(committed.len() + later.len(), 10_000, "none is lost");
    assert_eq!(stream.unacknowledged("kindred"), (0, 0));
}

#[test]
fn a_source_that_closes_gives_back_what_it_took() {
    let Some(stream) = Stream::new("CLOSE", stream::RetentionPolicy::WorkQueue) else { return };
    stream.publish("a", 0, (0..50).map(event));
    let options = || serde_json::json!({ "durable": "kindred" });
    let mut source = stream.open(options(), None);
    let first = next(&mut source, 20).unwrap();
    source.ack(&first.position).unwrap();
    assert_eq!(numbers(&next(&mut source, 20).unwrap()).len(), 20);
    source.close().unwrap();
    let mut source = stream.open(options(), Some(first.position));
    let mut seen = BTreeSet::new();
    while let Some(rows) = next(&mut source, 100) {
        seen.extend(numbers(&rows));
        source.ack(&rows.position).unwrap();
    }
    assert_eq!(seen, (20..50).collect());
    let mut info = stream.runtime.block_on(stream.context.get_stream(&stream.name)).unwrap();
    let left = stream.runtime.block_on(async { info.info().await.unwrap().state.messages });
    assert_eq!(left, 0, "the server dropped what was acknowledged");
}

#[test]
fn bad_messages_are_rejects_under_their_sequence_and_acknowledged() {
    let Some(stream) = Stream::new("BAD", stream::RetentionPolicy::Limits) else { return };
    let secret = "jane@example.com";
    let messages = [
        event(0),
        format!("{{ not json {secret}"),
        format!(r#"{{"kind":"buy","user":{{"id":"u"}},"total":"{secret}"}}"#),
        r#"{"kind":"buy"}"#.into(),
        r#"{"user":{"id":"u"}}"#.into(),
        String::new(),
        event(6),
    ];
    stream.publish("a", 0, messages);
    stream.publish("other", 7, [event(7)]);
    let subject = format!("{}.a", stream.name);
    let mut source = stream.open(serde_json::json!({ "durable": "bad", "subject": subject }), None);
    let rows = next(&mut source, 100).unwrap();
    assert_eq!(numbers(&rows), [0, 6]);
    let rejects: Vec<_> = rows.rejects.iter().map(|r| (r.row, r.code.as_str())).collect();
    assert_eq!(rejects, [(2, "json"), (3, "value"), (4, "no-identifier"), (5, "value"), (6, "json")]);
    assert!(rows.rejects.iter().all(|r| r.origin == stream.name && r.payload.is_empty()));
    assert!(!format!("{:?}", rows.rejects).contains("jane@"));
    source.ack(&rows.position).unwrap();
    assert_eq!(stream.unacknowledged("bad"), (0, 0));
    let events = rows.batch.column_by_name("event").unwrap();
    assert_eq!(events.as_string::<i32>().value(0), "purchase");
    assert_eq!(rows.batch.column_by_name("event_time").unwrap().null_count(), 0, "the stream says when");
    let other = stream.config(serde_json::json!({ "durable": "bad" }));
    let fault = Nats::open(other, Context::detached(".")).unwrap().poll(1, 1000).unwrap_err();
    assert_eq!((fault.kind, fault.problems[0].path.as_str()), (FaultKind::Config, "/subject"));
}

#[test]
fn a_stream_that_was_made_anew_is_read_from_its_beginning() {
    let Some(stream) = Stream::new("ANEW", stream::RetentionPolicy::Limits) else { return };
    stream.publish("a", 0, (0..5).map(event));
    let mut source = stream.open(serde_json::json!({}), None);
    let before = next(&mut source, 5).unwrap();
    drop(source);
    let name = stream.name.clone();
    let config = stream::Config { subjects: vec![format!("{name}.>")], name, ..Default::default() };
    stream.runtime.block_on(async {
        stream.context.delete_stream(&stream.name).await.unwrap();
        stream.context.create_stream(config).await.unwrap();
    });
    stream.publish("a", 0, (0..2).map(event));
    let mut source = stream.open(serde_json::json!({}), Some(before.position.clone()));
    let after = next(&mut source, 5).unwrap();
    assert_eq!(numbers(&after), [0, 1]);
    assert!(ids(&after).iter().all(|id| !ids(&before).contains(id)), "they are not taken for the old ones");
}

#[test]
fn a_source_that_follows_waits_and_goes_on_when_its_consumer_is_gone() {
    let Some(stream) = Stream::new("FOLLOW", stream::RetentionPolicy::Limits) else { return };
    let mut source = stream.open(serde_json::json!({ "follow": true, "durable": "d" }), None);
    let began = std::time::Instant::now();
    assert!(matches!(source.poll(10, 1000).unwrap(), Poll::Idle { .. }));
    assert!(began.elapsed().as_millis() < 3000);
    stream.publish("a", 0, (0..3).map(event));
    assert_eq!(numbers(&next(&mut source, 10).unwrap()), [0, 1, 2]);
    stream.runtime.block_on(async {
        let told = stream.context.get_stream(&stream.name).await.unwrap();
        told.delete_consumer("d").await.unwrap();
    });
    stream.publish("a", 3, (3..5).map(event));
    let rows = (0..5).find_map(|_| match source.poll(10, 1000) {
        Ok(Poll::Rows(rows)) => Some(rows),
        Ok(_) => None,
        Err(fault) => {
            assert_eq!(fault.kind, FaultKind::Transient, "{fault}");
            None
        }
    });
    assert_eq!(numbers(&rows.unwrap()), [3, 4]);
}

#[test]
fn what_is_not_there_is_told_by_check() {
    let Some(stream) = Stream::new("CHECK", stream::RetentionPolicy::WorkQueue) else { return };
    let check = |more| Nats::check(&stream.config(more), &Context::detached(".")).unwrap_err();
    let fault = check(serde_json::json!({ "stream": "NONE" }));
    assert_eq!((fault.kind, fault.problems[0].path.as_str()), (FaultKind::Config, "/stream"));
    let fault = check(serde_json::json!({}));
    assert_eq!(fault.problems[0].path, "/durable", "a work queue drops what is acknowledged");
    let fault = check(serde_json::json!({ "servers": "nats://user:geheim@127.0.0.1:9" }));
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(!fault.message.contains("geheim"), "{fault}");
}

//! The source against librdkafka's own broker, which speaks the protocol over loopback: nothing is lost, whatever dies in
//! between. What that broker cannot do is in cluster.rs.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{Brokers, drain, event, ids, integers, next, numbers, texts, unique};
use kindred_plugin_api::{
    Context, FaultKind, Poll, Source,
    arrow::array::{Array, AsArray},
    options,
};
use kindred_plugin_kafka::Kafka;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    mocking::MockCluster,
    producer::DefaultProducerContext,
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

type Cluster = MockCluster<'static, DefaultProducerContext>;

/// A cluster of three brokers with these topics.
fn cluster(topics: &[(&str, i32)]) -> (Cluster, Brokers) {
    let cluster = MockCluster::new(3).unwrap();
    for (topic, partitions) in topics {
        cluster.create_topic(topic, *partitions, 1).unwrap();
    }
    let brokers = Brokers::new(cluster.bootstrap_servers());
    (cluster, brokers)
}

/// Where the group is in this partition.
fn committed(brokers: &Brokers, group: &str, topic: &str, partition: i32) -> Offset {
    let mut config = ClientConfig::new();
    let consumer: BaseConsumer =
        config.set("bootstrap.servers", &brokers.address).set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let told = consumer.committed_offsets(list, Duration::from_secs(10)).unwrap();
    told.elements()[0].offset()
}

#[test]
fn positions_are_the_stores_and_exact_in_all_partitions() {
    let topic = unique("plain");
    let (_cluster, brokers) = cluster(&[(&topic, 3)]);
    for partition in 0..3 {
        let first = partition as usize * 15_000;
        brokers.publish(&topic, partition, first, (first..first + 15_000).map(event));
    }
    let mut source = brokers.open(&[&topic], json!({}), None);
    let (mut seen, mut positions) = (Vec::new(), Vec::new());
    while let Some(rows) = next(&mut source, 7777) {
        assert_eq!(rows.rejects, []);
        assert_eq!(rows.backlog_rows as usize, 45_000 - seen.len() - rows.batch.num_rows());
        assert!(
            rows.batch.num_rows() == 7777 || rows.backlog_rows == 0,
            "batches are full while there is more"
        );
        seen.extend(numbers(&rows));
        positions.push((seen.len(), rows.position));
    }
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 45_000);
    assert_eq!(seen.len(), 45_000, "each comes once");
    // No partition waits until another one is read to its end.
    let turns: Vec<i64> = seen.chunk_by(|a, b| a + 1 == *b).map(|run| run[0]).collect();
    assert_eq!(turns, [0, 15_000, 30_000, 10_000, 25_000, 40_000]);
    assert!(matches!(source.poll(10, 1000).unwrap(), Poll::End), "stays at its end");
    source.close().unwrap();
    // Another instance goes on right behind any position, in the same order, however it cuts.
    for (done, position) in positions {
        let mut source = brokers.open(&[&topic], json!({}), Some(position));
        let rest: Vec<i64> = drain(&mut source, 5000).iter().flat_map(numbers).collect();
        assert_eq!(rest, seen[done..]);
    }
}

#[test]
fn a_message_says_where_it_comes_from_and_cannot_say_it_itself() {
    let (orders, visits) = (unique("a-orders"), unique("b-visits"));
    let (_cluster, brokers) = cluster(&[(&orders, 2), (&visits, 1)]);
    brokers.publish(&orders, 1, 4, [event(4)]);
    let forged =
        r#"{"kind":"visit","user":{"id":"u"},"kafka":{"key":"forged","offset":77},"kafka.topic":"forged"}"#;
    brokers.publish(&visits, 0, 5, [forged.into()]);
    let mut source = brokers.open(&[&visits, &orders], json!({}), None);
    let rows = next(&mut source, 10).unwrap();
    assert_eq!(texts(&rows, "topic"), [orders.clone(), visits.clone()]);
    assert_eq!(integers(&rows, "partition"), [1, 0]);
    assert_eq!(integers(&rows, "offset"), [0, 0]);
    assert_eq!(texts(&rows, "key"), ["k1", "k2"]);
    assert_eq!(numbers(&rows), [4, 5], "of two headers with one name the last counts");
    assert_eq!(ids(&rows), [format!("{orders}:1:0"), format!("{visits}:0:0")]);
    assert_eq!(texts(&rows, "event"), ["purchase", "visit"]);
    let times = rows.batch.column_by_name("event_time").unwrap();
    let now = Context::detached(".").now_us();
    let times = times.as_primitive::<kindred_plugin_api::arrow::datatypes::TimestampMicrosecondType>();
    assert!(
        times.null_count() == 0 && times.values().iter().all(|time| (now - 60_000_000..=now).contains(time))
    );
    let mut named = brokers.open(&[&orders], json!({ "event_id": ["user.id", "kafka.key"] }), None);
    assert_eq!(ids(&next(&mut named, 10).unwrap()), ["u4:k1"]);
}

#[test]
fn what_was_not_committed_comes_again_after_a_crash_and_the_group_knows_what_was() {
    let topic = unique("crash");
    let (_cluster, brokers) = cluster(&[(&topic, 2)]);
    for partition in 0..2 {
        brokers.publish(&topic, partition, partition as usize * 5000, (0..5000).map(event));
    }
    let options = || json!({ "group": "shop" });
    let mut source = brokers.open(&[&topic], options(), None);
    let (mut taken, mut position) = (Vec::new(), None);
    for batch in 0..20 {
        let rows = next(&mut source, 300).unwrap();
        taken.push(numbers(&rows).into_iter().zip(ids(&rows)).collect::<Vec<_>>());
        if batch == 16 {
            source.ack(&rows.position).unwrap();
            position = Some(rows.position);
        }
    }
    // Killed: no close, no further word.
    drop(source);
    assert_eq!(committed(&brokers, "shop", &topic, 0), Offset::Offset(5000));
    assert_eq!(committed(&brokers, "shop", &topic, 1), Offset::Offset(17 * 300 - 5000));
    let mut source = brokers.open(&[&topic], options(), position);
    let mut again = Vec::new();
    for rows in drain(&mut source, 1000) {
        again.extend(numbers(&rows).into_iter().zip(ids(&rows)));
        source.ack(&rows.position).unwrap();
    }
    let before = taken.concat();
    assert_eq!(again[..900], before[17 * 300..], "what was lost, in its order, with its ids");
    assert_eq!(17 * 300 + again.len(), 10_000, "none is lost");
    source.close().unwrap();
    assert_eq!(committed(&brokers, "shop", &topic, 1), Offset::Offset(5000));
    // What the group says is no place to begin at.
    let mut source = brokers.open(&[&topic], options(), None);
    assert_eq!(numbers(&next(&mut source, 1).unwrap()), [0]);
}

#[test]
fn bad_messages_are_rejects_under_their_offset_and_tombstones_are_passed_over() {
    let topic = unique("bad");
    let (_cluster, brokers) = cluster(&[(&topic, 2)]);
    let secret = "jane@example.com";
    let messages = [
        event(0),
        format!("{{ not json {secret}"),
        format!(r#"{{"kind":"buy","user":{{"id":"u"}},"total":"{secret}"}}"#),
        r#"{"kind":"buy"}"#.into(),
        r#"{"user":{"id":"u"}}"#.into(),
        String::new(),
        "[1]".into(),
    ];
    brokers.publish(&topic, 0, 0, messages);
    brokers.send(&topic, 0, None, 7);
    brokers.send(&topic, 1, Some(b"\xff{}"), 8);
    brokers.send(&topic, 1, None, 9);
    brokers.publish(&topic, 1, 10, [event(10)]);
    let mut source = brokers.open(&[&topic], json!({}), None);
    let rows = next(&mut source, 100).unwrap();
    assert_eq!(numbers(&rows), [0, 10]);
    let rejects: Vec<_> = rows.rejects.iter().map(|r| (r.origin.as_str(), r.row, r.code.as_str())).collect();
    let (zero, one) = (format!("{topic}/0"), format!("{topic}/1"));
    let zero = |row, code| (zero.as_str(), row, code);
    assert_eq!(
        rejects,
        [
            zero(1, "json"),
            zero(2, "value"),
            zero(3, "no-identifier"),
            zero(4, "value"),
            zero(5, "json"),
            zero(6, "json"),
            (one.as_str(), 0, "json"),
        ]
    );
    assert!(!format!("{:?}", rows.rejects).contains("jane@"));
    let mut after = brokers.open(&[&topic], json!({}), Some(rows.position));
    assert!(next(&mut after, 100).is_none(), "they do not come again");
    // A batch of nothing else still moves the position.
    brokers.send(&topic, 0, None, 11);
    brokers.flush();
    let mut source = brokers.open(&[&topic], json!({}), None);
    let last = drain(&mut source, 1).pop().unwrap();
    assert_eq!((last.batch.num_rows(), last.rejects.len()), (1, 0));
    let only: Vec<_> = drain(&mut brokers.open(&[&topic], json!({}), None), 8);
    assert_eq!(only.iter().map(|rows| rows.batch.num_rows() + rows.rejects.len()).sum::<usize>(), 9);
}

#[test]
fn a_log_that_was_cut_is_an_error_that_names_it_unless_told_otherwise() {
    let topic = unique("cut");
    let (_cluster, brokers) = cluster(&[(&topic, 1)]);
    brokers.publish(&topic, 0, 0, (0..10).map(event));
    let mut source = brokers.open(&[&topic], json!({}), None);
    let first = next(&mut source, 3).unwrap();
    // This broker keeps 5 MiB of a partition.
    let large = format!(r#"{{"kind":"buy","user":{{"id":"u"}},"total":1,"more":"{}"}}"#, "x".repeat(500_000));
    brokers.publish(&topic, 0, 10, (0..30).map(|_| large.clone()));
    drop(source);
    let open = |more| brokers.open(&[&topic], more, Some(first.position.clone()));
    let fault = open(json!({})).poll(10, 1000).unwrap_err();
    assert_eq!((fault.kind, fault.problems[0].path.as_str()), (FaultKind::Config, "/on_lost"));
    let message = &fault.problems[0].message;
    assert!(message.starts_with(&format!("topic `{topic}`, partition 0: offsets 3 to ")), "{message}");
    let rest: Vec<_> = drain(&mut open(json!({ "on_lost": "earliest" })), 100);
    let seen: Vec<i64> = rest.iter().flat_map(numbers).collect();
    assert!(seen.len() >= 5 && seen.ends_with(&[38, 39]) && seen.is_sorted(), "{seen:?}");
    assert!(ids(&rest[0]).iter().all(|id| !id.contains('@')), "no offset comes a second time");
}

#[test]
fn a_topic_that_was_made_anew_is_not_taken_for_the_old_one() {
    let topic = unique("anew");
    let (cluster_before, brokers) = cluster(&[(&topic, 1)]);
    brokers.publish(&topic, 0, 0, (0..5).map(event));
    let before = next(&mut brokers.open(&[&topic], json!({}), None), 5).unwrap();
    drop((brokers, cluster_before));
    let (_cluster, brokers) = cluster(&[(&topic, 1)]);
    brokers.publish(&topic, 0, 0, (0..2).map(event));
    let open = |more| brokers.open(&[&topic], more, Some(before.position.clone()));
    let fault = open(json!({})).poll(5, 1000).unwrap_err();
    let message = &fault.problems[0].message;
    assert!(message.contains("was read up to offset 5, and ends at 2 now"), "{message}");
    let mut source = open(json!({ "on_lost": "earliest" }));
    let after = next(&mut source, 1).unwrap();
    assert_eq!(numbers(&after), [0]);
    assert!(ids(&after).iter().all(|id| !ids(&before).contains(id)), "{:?}", ids(&after));
    let mut source = brokers.open(&[&topic], json!({}), Some(after.position));
    assert_eq!(ids(&next(&mut source, 5).unwrap()), [format!("{topic}:0:1@1")]);
}

#[test]
fn a_source_that_follows_waits_and_goes_on_when_the_brokers_were_away() {
    let topic = unique("follow");
    let (cluster, brokers) = cluster(&[(&topic, 2)]);
    let mut source = brokers.open(&[&topic], json!({ "follow": true }), None);
    assert!(matches!(source.poll(10, 1000).unwrap(), Poll::Idle { .. }));
    brokers.publish(&topic, 1, 0, (0..3).map(event));
    assert_eq!(numbers(&next(&mut source, 10).unwrap()), [0, 1, 2]);
    cluster.broker_down(-1).unwrap();
    // What is down says nothing, which is no fault of a source that waits.
    assert!(matches!(source.poll(10, 1000).unwrap(), Poll::Idle { .. }));
    cluster.broker_up(-1).unwrap();
    brokers.publish(&topic, 0, 3, (3..5).map(event));
    let mut seen = Vec::new();
    let until = Instant::now() + Duration::from_secs(60);
    while seen.len() < 2 && Instant::now() < until {
        match source.poll(10, 1000) {
            Ok(Poll::Rows(rows)) => seen.extend(numbers(&rows)),
            Ok(_) => {}
            Err(fault) => assert_eq!(fault.kind, FaultKind::Transient, "{fault}"),
        }
    }
    assert_eq!(seen, [3, 4]);
    source.close().unwrap();
}

#[test]
fn brokers_that_are_away_while_there_is_more_are_a_fault_that_passes() {
    let topic = unique("away");
    let (cluster, brokers) = cluster(&[(&topic, 1)]);
    brokers.publish(&topic, 0, 0, (0..10).map(event));
    let first = next(&mut brokers.open(&[&topic], json!({}), None), 3).unwrap();
    cluster.broker_down(-1).unwrap();
    let mut source = brokers.open(&[&topic], json!({}), Some(first.position));
    let fault = source.poll(100, 1000).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(fault.message.contains("127.0.0.1"), "says who does not answer and why: {fault}");
    cluster.broker_up(-1).unwrap();
    assert_eq!(numbers(&next(&mut source, 100).unwrap()), (3..10).collect::<Vec<_>>());
    assert!(next(&mut source, 100).is_none());
}

#[test]
fn what_is_not_there_is_told_by_check() {
    let topic = unique("check");
    let (_cluster, brokers) = cluster(&[(&topic, 1)]);
    let check = |topics: &[&str], more| Kafka::check(&brokers.config(topics, more), &Context::detached("."));
    check(&[&topic], json!({})).unwrap();
    let none = unique("none");
    let fault = check(&[&topic, &none], json!({})).unwrap_err();
    assert_eq!((fault.kind, fault.problems[0].path.as_str()), (FaultKind::Config, "/topics"));
    assert!(fault.problems[0].message.contains(&none), "{fault}");
    let refused = json!({ "brokers": "127.0.0.1:9", "user": "u", "password": "geheim" });
    let fault = check(&[&topic], refused).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(fault.message.contains("127.0.0.1:9") && !fault.message.contains("geheim"), "{fault}");
}

#[test]
fn what_is_compressed_is_read() {
    let topic = unique("packed");
    let (cluster, brokers) = cluster(&[(&topic, 1)]);
    for (number, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let packing = Brokers::packing(cluster.bootstrap_servers(), codec);
        packing.publish(&topic, 0, number * 100, (0..100).map(event));
    }
    let rows = next(&mut brokers.open(&[&topic], json!({}), None), 1000).unwrap();
    assert_eq!(numbers(&rows), (0..500).collect::<Vec<_>>());
}

#[test]
fn a_position_of_another_plugin_is_refused() {
    let json = r#"{ "brokers": "127.0.0.1:9", "topics": "T", "identifiers": { "u": "id" } }"#;
    let context = Context::detached(".").with_state(Some(b"{\"made_us\":1}".to_vec()));
    let fault = Kafka::open(options::parse(json).unwrap(), context).err().unwrap();
    assert_eq!(fault.kind, FaultKind::Permanent);
    assert!(fault.message.contains("another plugin"), "{fault}");
}

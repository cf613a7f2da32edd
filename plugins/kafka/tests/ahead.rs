//! However much waits at the brokers, little of it is in memory: of what is fetched ahead, and of a batch. In a process
//! of its own, whose memory is measured.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{Brokers, next, unique};
use kindred_plugin_api::Source;
use rdkafka::mocking::MockCluster;
use std::time::Duration;

const PARTITIONS: usize = 32;
const MESSAGES: usize = 18;
const BYTES: usize = 256 << 10;

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[test]
fn what_is_fetched_ahead_is_bounded_and_so_is_a_batch() {
    let topic = unique("ahead");
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(&topic, PARTITIONS as i32, 1).unwrap();
    let brokers = Brokers::new(cluster.bootstrap_servers());
    let large = format!(r#"{{"kind":"buy","user":{{"id":"u"}},"total":1,"more":"{}"}}"#, "x".repeat(BYTES));
    for partition in 0..PARTITIONS {
        brokers.publish(&topic, partition as i32, 0, (0..MESSAGES).map(|_| large.clone()));
    }
    let whole = PARTITIONS * MESSAGES * BYTES;
    let before = resident();
    let mut source = brokers.open(&[&topic], serde_json::json!({}), None);
    let first = next(&mut source, 1).unwrap();
    assert_eq!(first.batch.num_rows(), 1);
    // Long enough to fetch all of it over loopback.
    std::thread::sleep(Duration::from_secs(3));
    let ahead = resident().saturating_sub(before);
    assert!(ahead < whole / 2, "{} MiB of {} MiB are fetched ahead", ahead >> 20, whole >> 20);
    let batch = next(&mut source, 1_000_000).unwrap();
    let bytes = batch.batch.num_rows() * BYTES;
    assert!((60 << 20..65 << 20).contains(&bytes), "a batch of {} MiB", bytes >> 20);
    source.close().unwrap();
}

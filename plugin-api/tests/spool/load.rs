//! Many appenders, a reader and trimming at the same time.

use crate::{memory, small};
use kindred_plugin_api::spool::{Options, Spool};
use std::{collections::HashMap, sync::mpsc, time::Duration};

#[test]
fn everything_comes_once_and_in_order() {
    const THREADS: u32 = 8;
    const EACH: u32 = 2000;
    for group_us in [0, 500] {
        let folder = memory();
        let spool =
            Spool::open(Options { segment_bytes: 16 * 1024, group_us, ..small(folder.path()) }).unwrap();
        let (sender, acks) = mpsc::channel();
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (spool, sender) = (spool.clone(), sender.clone());
                std::thread::spawn(move || {
                    for n in 0..EACH {
                        let sender = sender.clone();
                        let payload = format!("{thread} {n}");
                        let sent = payload.clone();
                        spool.append(payload, move |result| sender.send((result.unwrap(), sent)).unwrap());
                    }
                })
            })
            .collect();
        drop(sender);
        let (mut after, mut read) = (None, Vec::new());
        while read.len() < (THREADS * EACH) as usize {
            let records = spool.read(after, 700, 50_000, Duration::from_secs(20)).unwrap();
            assert!(!records.is_empty(), "{} of {}", read.len(), THREADS * EACH);
            after = records.last().map(|record| record.position);
            read.extend(
                records.into_iter().map(|r| (r.position, String::from_utf8(r.payload.to_vec()).unwrap())),
            );
            if read.len() % 3 == 0 {
                spool.trim(after.unwrap()).unwrap();
            }
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // What was acknowledged, in the order of the acknowledgements, is what was read.
        assert_eq!(acks.iter().collect::<Vec<_>>(), read);
        let mut next: HashMap<String, u32> = HashMap::new();
        for (_, text) in &read {
            let (thread, n) = text.split_once(' ').unwrap();
            let next = next.entry(thread.to_owned()).or_default();
            assert_eq!(n, next.to_string());
            *next += 1;
        }
        assert_eq!(spool.damaged(), kindred_plugin_api::spool::Damaged::default());
    }
}

#[test]
fn a_callback_that_panics_or_drops_the_spool_harms_nobody() {
    let folder = memory();
    let spool = Spool::open(small(folder.path())).unwrap();
    spool.append("one", |_| panic!("of the caller"));
    spool.append_wait("two").unwrap();
    let last = spool.clone();
    spool.append("three", move |_| drop(last));
    drop(spool);
    // The lock comes back when the thread has ended.
    let open = || Spool::open(small(folder.path()));
    let spool = (0..100).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        open().ok()
    });
    assert_eq!(crate::all(&spool.unwrap(), None).len(), 3);
}

#[test]
fn closing_writes_what_waits_and_ends_waiting_reads() {
    let folder = memory();
    let spool = Spool::open(Options { group_us: 2000, ..small(folder.path()) }).unwrap();
    let reader = spool.clone();
    let end = spool.append_wait("one").unwrap();
    let waiting = std::thread::spawn(move || reader.read(Some(end), 1, 1, Duration::from_secs(60)));
    let (sender, acks) = mpsc::channel();
    for _ in 0..50 {
        let sender = sender.clone();
        spool.append("more", move |result| sender.send(result).unwrap());
    }
    spool.close();
    drop(sender);
    assert_eq!(acks.iter().filter(Result::is_ok).count(), 50);
    let _ = waiting.join().unwrap(); // A record or the news that it is closed: but now.
    assert_eq!(crate::all(&Spool::open(small(folder.path())).unwrap(), None).len(), 51);
}

//! SIGKILL at random moments: what was acknowledged is there, exactly once. `SPOOL_KILLS` sets how often.

use crate::child::{command, number, numbers, payload};
use kindred_plugin_api::spool::{Options, Spool};
use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
    io::Read,
    process::{Child, Stdio},
    time::Duration,
};

/// Kills the child some time after its first answer; answers what it had printed.
fn kill(mut child: Child, after: Duration) -> String {
    let mut out = child.stdout.take().unwrap();
    let mut text = vec![0; 1 << 16];
    let mut length = 0;
    while !text[..length].windows(6).any(|w| w == b"\nacked") {
        let more = out.read(&mut text[length..]).unwrap();
        assert!(more > 0, "the child ended: {}", String::from_utf8_lossy(&text[..length]));
        length += more;
    }
    text.truncate(length);
    let reader = std::thread::spawn(move || {
        out.read_to_end(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    });
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[test]
fn acknowledged_records_survive() {
    let rounds = std::env::var("SPOOL_KILLS").map_or(50, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (mut expected, mut seen, mut after) = (BTreeSet::new(), BTreeSet::new(), None);
    let mut torn = 0;
    for round in 0..rounds {
        let mut command = command(&[], folder.path(), round, Duration::from_secs(60));
        let millis = RandomState::new().hash_one(round) % 120;
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = kill(child, Duration::from_millis(millis));
        expected.extend(numbers(&output, "acked "));
        assert!(numbers(&output, "refused ").is_empty());

        let spool = Spool::open(Options { disk_limit: 1.0, ..Options::new(folder.path()) }).unwrap();
        torn += spool.recovered().torn_bytes;
        for record in crate::all(&spool, after) {
            let number = number(&record.payload);
            assert_eq!(record.payload, payload(number));
            assert!(seen.insert(number), "twice: {number} of round {round}");
            after = Some(record.position);
        }
        let lost: Vec<_> = expected.difference(&seen).collect();
        assert!(lost.is_empty(), "round {round} killed after {millis} ms lost {lost:?}");
        assert_eq!(spool.damaged().ranges, 0);
        if round % 3 == 0 {
            spool.trim(after.unwrap()).unwrap();
        }
        // Every other time nothing is closed before the next process comes.
        if round % 2 == 0 {
            spool.close();
        }
    }
    eprintln!("{} acknowledged, {} found, {torn} bytes torn, {rounds} kills", expected.len(), seen.len());
}

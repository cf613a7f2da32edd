//! Measures the spool against plain write and fdatasync: `cargo run -p kindred-plugin-api --example spool -- FOLDER`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, for whoever runs it")]

use kindred_plugin_api::spool::{Options, Spool};
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

const RECORD: usize = 300;
const TIME: Duration = Duration::from_secs(5);

fn main() {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into).join("spool-measured");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    println!("{:<34} {:>10} {:>9} {:>9} {:>9}", "", "records/s", "p50 us", "p99 us", "max us");
    one_by_one(&folder);
    for (appenders, group_us) in [(1, 0), (16, 0), (256, 0), (1, 1000), (16, 1000), (256, 1000)] {
        spool(&folder, appenders, group_us);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn say(name: &str, mut times: Vec<u64>, whole: Duration) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    let rate = times.len() as u128 * 1_000_000 / whole.as_micros();
    println!("{name:<34} {rate:>10} {:>9} {:>9} {:>9}", at(50), at(99), at(100));
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

type Append = Box<dyn FnMut()>;

/// Appends with plain calls to a file that was prepared.
fn plain(path: &Path, prepare: impl Fn(&File)) -> Append {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path).unwrap();
    prepare(&file);
    file.sync_all().unwrap();
    let mut at = 0;
    Box::new(move || {
        file.write_all_at(&[7; RECORD], at).unwrap();
        file.sync_data().unwrap();
        at += RECORD as u64;
    })
}

/// One appender, several ways, in turns of a few records: whatever else the machine does, disturbs all of them alike.
fn one_by_one(folder: &Path) {
    let options = Options { disk_limit: 1.0, ..Options::new(folder.join("turns")) };
    let spool = Spool::open(options).unwrap();
    let mut ways: Vec<(&str, Append, Vec<u64>)> = vec![
        ("write + fdatasync", plain(&folder.join("grows"), |_| {}), Vec::new()),
        ("the same, fallocate before", plain(&folder.join("allocated"), allocate), Vec::new()),
        ("the same, zeros written before", plain(&folder.join("zeros"), zeros), Vec::new()),
        (
            "spool, 1 appender, in turns",
            Box::new(move || {
                let _ = spool.append_wait(vec![7; RECORD]).unwrap();
            }),
            Vec::new(),
        ),
    ];
    let start = Instant::now();
    while start.elapsed() < 8 * TIME {
        for (_, append, times) in &mut ways {
            for _ in 0..20 {
                let one = Instant::now();
                append();
                times.push(micros(one));
            }
        }
    }
    for (name, _, times) in ways {
        let whole = Duration::from_micros(times.iter().sum());
        say(name, times, whole);
    }
}

fn allocate(file: &File) {
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, 64 << 20).unwrap();
}

fn zeros(file: &File) {
    let zeros = vec![0; 1 << 20];
    (0..64).for_each(|n| file.write_all_at(&zeros, n << 20).unwrap());
}

fn spool(folder: &Path, appenders: usize, group_us: u64) {
    let path = folder.join("spool");
    let options = Options { group_us, disk_limit: 1.0, capacity_bytes: 16 << 30, ..Options::new(&path) };
    let spool = Spool::open(options).unwrap();
    let start = Instant::now();
    let append = || {
        let mut times = Vec::new();
        while start.elapsed() < TIME {
            let one = Instant::now();
            spool.append_wait(vec![7; RECORD]).unwrap();
            times.push(micros(one));
        }
        times
    };
    let times = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..appenders).map(|_| scope.spawn(append)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    say(&format!("spool, {appenders} appenders, group_us {group_us}"), times, start.elapsed());
    spool.close();
    std::fs::remove_dir_all(&path).unwrap();
}

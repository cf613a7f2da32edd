//! The process that is killed, or whose system calls fail: this test program once more.

use kindred_plugin_api::spool::{Health, Options, Spool};
use std::{
    io::Write,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

pub(crate) const THREADS: u64 = 4;
const FOLDER: &str = "SPOOL_CHILD_FOLDER";
const ROUND: &str = "SPOOL_CHILD_ROUND";
const MILLIS: &str = "SPOOL_CHILD_MILLIS";

/// Sets a command up that appends for some time, and prints a line for each answer. `start` stands before the program.
pub(crate) fn command(start: &[&str], folder: &Path, round: u64, time: Duration) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut words = start.iter().map(Into::into).collect::<Vec<std::ffi::OsString>>();
    words.push(program.into());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(["--exact", "child::main", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).env(ROUND, round.to_string()).env(MILLIS, time.as_millis().to_string());
    command
}

/// A payload that says its number and can be checked.
pub(crate) fn payload(number: u64) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(8 + usize::try_from(number % 701).unwrap(), number.to_le_bytes()[0]);
    bytes
}

pub(crate) fn number(payload: &[u8]) -> u64 {
    u64::from_be_bytes(payload[..8].try_into().unwrap())
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // One write a line: a killed process leaves whole lines, but for the last one.
    let _ = out.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| out.flush());
}

/// Not a test: what [`command`] runs. Without its environment it does nothing.
#[test]
fn main() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let read = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let (round, time) = (read(ROUND), Duration::from_millis(read(MILLIS)));
    let options = Options { segment_bytes: 32 * 1024, disk_limit: 1.0, ..Options::new(folder) };
    let spool = Spool::open(options).unwrap();
    let (start, next) = (Instant::now(), AtomicU64::new(round << 32));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while start.elapsed() < time {
                    append(&spool, next.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
    });
    say(if matches!(spool.health(), Health::Poisoned(_)) { "health poisoned" } else { "health good" });
}

/// The answer is printed where it is given, on the spool's thread: the lines are in the order of the answers.
fn append(spool: &Spool, number: u64) {
    let (sender, receiver) = std::sync::mpsc::channel();
    spool.append(payload(number), move |result| {
        say(&format!("{} {number}", if result.is_ok() { "acked" } else { "refused" }));
        sender.send(result.is_ok()).unwrap();
    });
    if !receiver.recv().unwrap() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The numbers of the whole lines that start with a word.
pub(crate) fn numbers(output: &str, word: &str) -> Vec<u64> {
    let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let rests = whole.lines().filter_map(|line| line.strip_prefix(word));
    rests.map(|rest| rest.trim().parse().unwrap()).collect()
}

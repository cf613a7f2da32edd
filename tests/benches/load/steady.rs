//! A steady load, and the memory of the server every ten seconds.

use super::{
    KEY, api, collector,
    http::Client,
    pace::{Random, steadily},
    run,
    visible::event,
};
use std::{
    fs,
    io::{self, Write},
    process::ExitCode,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

const BATCH: u64 = 20;
/// Visitors that come again and again.
const VISITORS: u64 = 20_000;
/// One event in so many is of somebody new.
const NEW: u64 = 1_000;
const EVERY: Duration = Duration::from_secs(10);

/// Batches and questions, as many of one as of the other.
pub(crate) fn hold(rate: u64, lasts: Duration, pid: &str, file: &str) -> ExitCode {
    let (sent, failed, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let run = run();
    let outcome = thread::scope(|scope| {
        let sampler = scope.spawn(|| sample(pid, file, (&sent, &failed), &over));
        let states = (0..4).map(|n| (collector(), Client::new(api()), Random(n + 1))).collect();
        steadily(states, rate as f64 / BATCH as f64, lasts, |(collector, api, random), number, _| {
            let events: Vec<String> = (0..BATCH)
                .map(|at| {
                    let id = format!("{run}-{number}-{at}");
                    let who = match random.below(NEW) {
                        0 => format!("n{id}"),
                        n => format!("a{}", n * 31 % VISITORS + random.below(VISITORS)),
                    };
                    event(if at == 0 { "cart" } else { "page_view" }, &id, &who)
                })
                .collect();
            match collector.batch(&events) {
                Ok(200) => sent.fetch_add(BATCH, Ordering::Relaxed),
                _ => failed.fetch_add(1, Ordering::Relaxed),
            };
            let asked = api.get(&format!("/v1/profiles/anonymous:a{}", random.below(VISITORS)), KEY);
            failed.fetch_add(u64::from(asked.is_err()), Ordering::Relaxed);
        });
        over.store(true, Ordering::Relaxed);
        sampler.join()
    });
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        _ => {
            println!("the memory of process {pid} cannot be read, or `{file}` not written");
            ExitCode::FAILURE
        }
    }
}

fn sample(
    pid: &str,
    file: &str,
    (sent, failed): (&AtomicU64, &AtomicU64),
    over: &AtomicBool,
) -> io::Result<()> {
    let (mut out, begun) = (fs::File::create(file)?, Instant::now());
    writeln!(out, "seconds,resident_kib,anonymous_kib,events,failed")?;
    let mut next = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        if begun.elapsed() < next {
            thread::sleep(Duration::from_millis(200));
            continue;
        }
        next += EVERY;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()).unwrap_or("0").to_owned()
        };
        let (events, failed) = (sent.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
        let (all, own) = (of("VmRSS:"), of("RssAnon:"));
        writeln!(out, "{},{all},{own},{events},{failed}", begun.elapsed().as_secs())?;
        out.flush()?;
    }
    Ok(())
}

//! Workers killed at random moments. `KINDRED_KILLS=10` asks for as many runs.

use crate::processes::{House, Process};
use kindred_core::log;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// How many.
pub(crate) fn runs() -> u32 {
    std::env::var("KINDRED_KILLS").map_or(50, |runs| runs.parse().expect("a number of runs"))
}

/// A share of a run, and one of two workers.
pub(crate) fn random(seed: &mut u64) -> (f64, usize) {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (((*seed >> 33) % 1000) as f64 / 1000.0, ((*seed >> 50) % 2) as usize)
}

/// Runs a pass while one of two workers is killed somewhere in it, as often as asked; every answer is right.
#[test]
fn a_killed_worker_changes_no_answer() {
    let runs = runs();
    let mut house = House::generated(30_000, 800_000);
    let shared = house.shared();
    let mut workers = [Process::start(&shared), Process::start(&shared)];
    let mut cluster = house.cluster(&[&workers[0], &workers[1]], 60_000, 5);
    // The first one publishes, and opens the sessions.
    let (first, _) = house.pass(&mut cluster).unwrap();
    house.assert_right(&first);
    let (_, takes) = house.pass(&mut cluster).unwrap();

    // A pass in which somebody was lost says so.
    let lost = Arc::new(AtomicU32::new(0));
    let count = lost.clone();
    log::set_verbose(true);
    log::set_printer(Some(Arc::new(move |line| {
        let told = line.starts_with("worker ") && line.contains(": bucket ");
        count.fetch_add(u32::from(told), Ordering::Relaxed);
    })));
    let (mut seed, mut disturbed, mut slowest) = (0x9e37_79b9_u64, 0, Duration::ZERO);
    for run in 0..runs {
        let (share, victim) = random(&mut seed);
        let (wait, victim) = (takes.mul_f64(share), &mut workers[victim]);
        let before = lost.load(Ordering::Relaxed);
        let (passed, took) = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(wait);
                victim.kill();
            });
            house.pass(&mut cluster)
        })
        .unwrap_or_else(|error| panic!("run {run}: {error}"));
        house.assert_right(&passed);
        disturbed += u32::from(lost.load(Ordering::Relaxed) > before);
        slowest = slowest.max(took);
        victim.restart();
    }
    log::set_printer(None);
    eprintln!(
        "{runs} runs of {takes:.2?} with a worker killed in each: {runs} right answers; {disturbed} lost jobs that were sent \
         again, the slowest took {slowest:.2?}"
    );
    assert!(disturbed * 3 >= runs, "only {disturbed} of {runs} kills met a job");
}

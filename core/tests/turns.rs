//! Since when and until when: what the search finds by asking the evaluator again is what a plain loop over all moments
//! at which anything could change finds with rules written in Rust.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

mod views;

use kindred_core::{
    config,
    plugin::registry::Registry,
    profile::batch::Moment,
    segment::{
        Segments,
        turns::{Since, Turns, Until, turns},
    },
    store::Store,
};
use kindred_plugin_cookies as _;
use kindred_plugin_rules as _;
use proptest::prelude::*;
use std::path::Path;
use views::{HOUR, START};

const DAY: i64 = 24 * HOUR;
/// 13 months.
const RETENTION: i64 = 395 * DAY;

const PIPELINE: &str = r#"
[pipeline]
store = "store"
[sources.web]
plugin = "cookies"
config = { path = "logs" }
[segments.a]
rule = "count(event = 'view', '7 days') >= 2 AND NOT did(event = 'buy', '3 days')"
[segments.b]
rule = "did(event = 'buy', '5 days', '2 days') OR in_segment('a')"
[segments.c]
rule = "days_since(event = 'view') > 4"
"#;

/// One event: hours behind the start, whether it is a view.
type Event = (i64, bool);

/// The same rules, by hand.
fn holds(segment: &str, events: &[Event], at: i64, kept: i64) -> bool {
    let time = |event: &&Event| START + event.0 * HOUR;
    let count = |view: bool, older: i64, newer: i64| {
        let inside = |e: &&Event| e.1 == view && time(e) > at - older.min(kept) && time(e) <= at - newer;
        events.iter().filter(inside).count()
    };
    match segment {
        "a" => count(true, 7 * DAY, 0) >= 2 && count(false, 3 * DAY, 0) == 0,
        "b" => count(false, 5 * DAY, 2 * DAY) > 0 || holds("a", events, at, kept),
        _ => {
            let counts = |e: &&Event| time(e) <= at && time(e) > at - kept;
            let last = events.iter().filter(|e| e.1 && counts(e)).map(|e| time(&e)).max();
            last.is_some_and(|last| at - last > 4 * DAY)
        }
    }
}

fn expected(segment: &str, events: &[Event], as_of: i64, kept: i64) -> Turns {
    let steps = [0, 2 * DAY, 3 * DAY, 4 * DAY + 1, 5 * DAY, 7 * DAY, kept];
    let mut moments: Vec<i64> =
        events.iter().flat_map(|event| steps.map(|step| START + event.0 * HOUR + step)).collect();
    moments.sort_unstable();
    let now = holds(segment, events, as_of, kept);
    let turned = |at: &&i64| {
        holds(segment, events, **at, kept) == now && holds(segment, events, **at - 1, kept) != now
    };
    let since = moments.iter().rev().filter(|at| **at <= as_of).find(turned);
    let until = moments.iter().filter(|at| **at > as_of).find(|at| holds(segment, events, **at, kept) != now);
    Turns {
        holds: now,
        since: since.map_or(Since::Always, |at| Since::At(*at)),
        until: until.map_or(Until::Forever, |at| Until::At(*at)),
    }
}

/// A store with these events, each brought by a step of its own.
fn store(folder: &Path, events: &[Event]) -> Store {
    let mut store = Store::open(folder).unwrap();
    for (at, part) in events.chunks(7).enumerate() {
        let of_one: Vec<views::Event> = part.iter().map(|(hours, view)| (0, *hours, *view)).collect();
        views::take(&mut store, at, &of_one);
    }
    store
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_search_finds_what_a_loop_finds(
        events in proptest::collection::vec((0_i64..400, any::<bool>()), 1..20),
        moments in proptest::collection::vec((-20_i64..800, -1_i64..2), 6),
        ttl in proptest::option::of(3_i64..12),
    ) {
        let folder = folder();
        let registry = Registry::new();
        let text = ttl.map_or(PIPELINE.to_owned(), |days| PIPELINE.replace("[segments.a]", &format!("ttl = '{days} days'\n[segments.a]")));
        let pipeline = config::load_text(Path::new("p.toml"), &text, &[], &registry).unwrap();
        let kept = ttl.map_or(RETENTION, |days| days * DAY);
        let mut store = store(folder.path(), &events);
        let segments = Segments::open(&pipeline, &registry, &store).unwrap();
        for (hours, off) in moments {
            let as_of_us = START + hours * HOUR + off;
            let moment = Moment::of(&pipeline, as_of_us);
            for segment in ["a", "b", "c"] {
                let found = turns(&segments, &mut store, segment, 0, &moment).unwrap();
                prop_assert_eq!(found, expected(segment, &events, as_of_us, kept), "`{}` at {}", segment, hours);
            }
        }
    }
}

/// Somebody who looks every hour for two months: the search ends, and says so.
#[test]
fn a_long_search_ends_and_says_where() {
    let events: Vec<Event> = (0..1500).map(|hour| (hour, true)).collect();
    let folder = folder();
    let registry = Registry::new();
    let pipeline = config::load_text(Path::new("p.toml"), PIPELINE, &[], &registry).unwrap();
    let mut store = store(folder.path(), &events);
    let segments = Segments::open(&pipeline, &registry, &store).unwrap();
    let as_of_us = START + 1500 * HOUR;
    let moment = Moment::of(&pipeline, as_of_us);
    let found = turns(&segments, &mut store, "a", 0, &moment).unwrap();
    let Since::AtOrBefore(at) = found.since else { panic!("{found:?}") };
    assert!(found.holds && at > START + HOUR && at < as_of_us, "{found:?}");
    assert_eq!(found.until, Until::At(START + 1498 * HOUR + 7 * DAY), "one view is too few");
}

//! The law of a quarantine: rows that waited and were replayed once the schema was mended leave the same store behind as
//! if it had been right from the start, however they were cut into runs, and whoever denied meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use kindred_core::{
    config,
    plugin::registry::Registry,
    step::{self, Observer, replay::replay},
    store::{Store, dead_letters::Wanted},
};
use proptest::prelude::*;
use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

// The plugins that the pipeline names.
use kindred_plugin_cookies as _;
use kindred_plugin_rules as _;

struct Silent;

impl Observer for Silent {
    fn rows(&self, _read: u64, _backlog: u64) {}
    fn stage(&self, _stage: &str) {}
}

/// A price as JSON writes it, or none; whose; whether it is a denial; days.
type Row = (Option<&'static str>, u8, bool, u8);

fn line(number: usize, (price, cookie, denies, day): &Row) -> String {
    let price = price.map(|price| format!(",\"price\":{price}")).unwrap_or_default();
    let consent = if *denies { "denied" } else { "granted" };
    format!(
        "{{\"id\":\"{number}\",\"cookie\":\"c{cookie}\",\"event\":\"buy\",\"time\":\"2026-01-{:02}T10:00:00Z\",\
         \"consent\":\"{consent}\"{price}}}\n",
        day + 1
    )
}

fn pipeline(folder: &Path, kind: &str) -> config::Pipeline {
    let text = format!(
        r#"
[pipeline]
store = "store"
clock = "2026-02-01T00:00:00Z"

[sources.web]
plugin = "cookies"
config = {{ path = "logs", consent = "consent", properties = {{ price = {{ type = "decimal" }} }} }}

[sources.web.schema]
columns = {{ price = "{kind}" }}

[segments.buyers]
rule = "sum(price, event = 'buy', '60 days') >= 3"
"#
    );
    config::load_text(&folder.join("p.toml"), &text, &[], &Registry::new()).unwrap()
}

fn run(folder: &Path, kind: &str) {
    step::run(&pipeline(folder, kind), &Registry::new(), &Silent, &Arc::default()).unwrap();
}

/// Cookies of the members, the events stored, and of the letters whether their rows are kept.
fn left(folder: &Path) -> (BTreeSet<String>, u64, Vec<bool>) {
    let store = Store::existing(&folder.join("store")).unwrap();
    let segments =
        kindred_core::segment::Segments::open(&pipeline(folder, "decimal"), &Registry::new(), &store)
            .unwrap();
    let name = |profile| {
        let record = store.profiles.get(&store.tables, profile).unwrap();
        record.identifiers.into_iter().map(|(_, value)| value).collect::<String>()
    };
    let members = segments.members()["buyers"].iter().map(name).collect();
    let letters = store.dead_letters().unwrap();
    (members, store.totals.events, letters.iter().map(|letter| letter.kept.is_some()).collect())
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    fs::create_dir(dir.path().join("logs")).unwrap();
    dir
}

fn rows() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let price = prop::option::of(prop::sample::select(vec!["1", "2.5", "-1", "0.1"]));
    let row = (price, 0_u8..5, prop::bool::weighted(0.15), 0_u8..20);
    prop::collection::vec(prop::collection::vec(row, 1..12), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_waited_ends_as_if_it_never_had(files in rows(), replays in 1_usize..3) {
        let (waited, straight) = (folder(), folder());
        // A time of a denial and of a grant are never the same: the order of equal ones is not what is asked here.
        let mut number = 0;
        let mut denied_ever = BTreeSet::new();
        for (file, rows) in files.iter().enumerate() {
            let lines: String = rows.iter().map(|row| { number += 1; line(number, row) }).collect();
            for folder in [&waited, &straight] {
                fs::write(folder.path().join(format!("logs/{file}.jsonl")), &lines).unwrap();
            }
            denied_ever.extend(rows.iter().filter(|row| row.2).map(|row| format!("c{}", row.1)));
            run(waited.path(), "integer");
            run(straight.path(), "decimal");
        }
        for _ in 0..replays {
            let done = replay(&pipeline(waited.path(), "decimal"), &Registry::new(), &Silent, &Wanted::default(), false);
            prop_assert!(done.unwrap().stuck.is_empty());
        }
        let (members, events, letters) = left(waited.path());
        let (expected, all, none) = left(straight.path());
        prop_assert!(none.is_empty() && !letters.contains(&true), "what could be replayed was");
        // Of who denied, what waited is gone; of all others everything is there.
        let others = |members: &BTreeSet<String>| -> BTreeSet<String> {
            members.iter().filter(|cookie| !denied_ever.contains(*cookie)).cloned().collect()
        };
        prop_assert_eq!(others(&members), others(&expected));
        prop_assert!(members.iter().all(|cookie| expected.contains(cookie) || denied_ever.contains(cookie)));
        prop_assert!(events <= all && all - events <= letters.len() as u64, "{events} of {all}, {letters:?}");
        if denied_ever.is_empty() {
            prop_assert_eq!((events, letters.len()), (all, 0));
        }
    }
}

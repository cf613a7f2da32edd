//! Zero drift: whatever the order of events, however they are cut into files and runs, however often they come, and
//! however late, the audiences are those of one run over everything.
//!
//! `KINDRED_CASES=500 cargo test -p kindred-tests --test drift` tries more than the suite does.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use kindred_core::{config, plugin::registry::Registry, segment::Segments, step, store::Store};
// Linked, so that they register themselves.
use kindred_plugin_cookies as _;
use kindred_plugin_rules as _;
use kindred_tests::sandbox::Sandbox;
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

const DAY_S: i64 = 86_400;
/// 2026-01-01T00:00:00Z.
const START_S: i64 = 1_767_225_600;

/// One of each kind of condition; every name below is asked for members.
const RULES: &[(&str, &str)] = &[
    ("often", "count(event = 'view', '7 days') >= 2"),
    ("spent", "sum(price, event = 'buy', '20 days') >= 5"),
    ("mean", "avg(price, TRUE) > 2.5"),
    ("range", "max(price, TRUE, '10 days') - min(price, TRUE, '10 days') >= 2"),
    ("first", "first(category, TRUE) = 'coats'"),
    ("last", "last(category, event = 'view') IN ('shoes', 'hats')"),
    ("kinds", "count_distinct(category, TRUE, '15 days') >= 2"),
    ("days", "count_distinct_days(TRUE, '30 days') >= 3"),
    ("recent", "days_since(event = 'buy') < 6.5"),
    ("lapsed", "did(event = 'buy') AND NOT did(event = 'buy', '9 days')"),
    ("earlier", "did(TRUE, '14 days', '7 days')"),
    ("month", "count(TRUE, 'previous month in Europe/Berlin') > count(TRUE, 'this month in Europe/Berlin')"),
    ("rate", "rate(event = 'buy', event = 'view') >= 0.5"),
    ("bought-after", "sequence(event = 'view' THEN event = 'cart' THEN event = 'buy' WITHIN '5 days')"),
    ("top", "percentile(sum(price, TRUE, '25 days')) >= 60"),
    ("above", "sum(price, TRUE) * total(1) > total(sum(price, TRUE))"),
    ("nested", "in_segment('often') OR in_segment('top') AND NOT in_segment('lapsed')"),
    ("choice", "CASE WHEN did(event = 'cart') THEN last(price, TRUE) ELSE 0 END > 3"),
];

/// Cookies that are one person's, when, what, of which kind, for how much.
#[derive(Clone, Debug)]
struct Event {
    cookie: u8,
    linked: Option<u8>,
    /// Hours after the start: coarse, so that many fall together.
    hour: i64,
    name: &'static str,
    category: Option<&'static str>,
    price: Option<u8>,
}

fn event() -> impl Strategy<Value = Event> {
    let names = prop::sample::select(vec!["view", "cart", "buy"]);
    let categories = prop::option::of(prop::sample::select(vec!["coats", "shoes", "hats"]));
    (0..7_u8, prop::option::weighted(0.06, 0..7_u8), 0..240_i64, names, categories, prop::option::of(0..6_u8))
        .prop_map(|(cookie, linked, sixth, name, category, price)| Event {
            cookie,
            linked,
            hour: sixth * 4,
            name,
            category,
            price,
        })
}

impl Event {
    fn line(&self, id: usize) -> String {
        let time = jiff(START_S + self.hour * 3_600);
        let mut line = serde_json::json!({
            "id": id.to_string(), "cookie": format!("c{}", self.cookie), "event": self.name, "time": time,
            "category": self.category, "price": self.price,
        });
        if let Some(linked) = self.linked {
            line["other"] = format!("c{linked}").into();
        }
        format!("{line}\n")
    }
}

fn jiff(seconds: i64) -> String {
    let (day, second) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
    // Days since the start of 2026: January has 31, and nothing here is later than the middle of February.
    let day = day - START_S / DAY_S;
    let (month, day) = if day < 31 { (1, day + 1) } else { (2, day - 30) };
    format!("2026-{month:02}-{day:02}T{:02}:{:02}:00Z", second / 3_600, second / 60 % 60)
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let segments: String =
        RULES.iter().map(|(name, rule)| format!("[segments.{name}]\nrule = \"{rule}\"\n")).collect();
    sandbox.write(
        "pipeline.toml",
        format!(
            r#"
[vars]
now = "2026-02-10T00:00:00Z"
[pipeline]
name = "drift"
store = "store"
clock = "${{now}}"
[sources.web]
plugin = "cookies"
consent = "granted"
[sources.web.config]
path = "logs"
identifiers = {{ other = "other" }}
properties = {{ price = {{ column = "price", type = "integer" }} }}
{segments}"#
        ),
    );
    // The columns are known from the first run on, whatever the events of a case leave out.
    let all = r#"{"id":"-","cookie":"c9","other":"c9","event":"none","time":"2025-06-01T00:00:00Z","category":"x","price":1}"#;
    sandbox.write("logs/0.jsonl", format!("{all}\n"));
    sandbox
}

struct Silent;

impl step::Observer for Silent {
    fn rows(&self, _read: u64, _backlog: u64) {}
    fn stage(&self, _stage: &str) {}
}

/// Runs the pipeline once, in this process, and lets go of the store.
fn run(sandbox: &Sandbox, now: &str) {
    let registry = Registry::new();
    let sets = [("now".to_owned(), now.to_owned())];
    let pipeline = config::load(&sandbox.path("pipeline.toml"), &sets, &registry)
        .unwrap_or_else(|problems| panic!("{}", problems.report()));
    step::run(&pipeline, &registry, &Silent, &Arc::default()).unwrap();
}

/// Members of each segment, as sets of the cookies that each is known by.
fn members(sandbox: &Sandbox) -> BTreeMap<String, BTreeSet<Vec<String>>> {
    let registry = Registry::new();
    let pipeline = config::load(&sandbox.path("pipeline.toml"), &[], &registry).unwrap();
    let store = Store::existing(&pipeline.store).unwrap();
    let segments = Segments::open(&pipeline, &registry, &store).unwrap();
    let mut found = BTreeMap::new();
    for (name, members) in segments.members() {
        let known = members.iter().map(|profile| {
            let record = store.profiles.get(&store.tables, profile).unwrap();
            record.identifiers.iter().map(|(namespace, value)| format!("{namespace}:{value}")).collect()
        });
        found.insert(name.clone(), known.collect());
    }
    found
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("KINDRED_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    ProptestConfig { cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn audiences_depend_on_what_happened_and_on_nothing_else(
        events in prop::collection::vec(event(), 1..60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        order in any::<u64>(),
        clocks in prop::collection::vec(20..41_i64, 0..3),
    ) {
        let end = "2026-02-10T00:00:00Z";
        let lines: Vec<String> = events.iter().enumerate().map(|(id, event)| event.line(id)).collect();
        let once = sandbox();
        once.write("logs/1.jsonl", lines.concat());
        run(&once, end);

        // Another order, cut into runs, with a clock that moves from run to run, some events more than once.
        let mut shuffled: Vec<&String> = lines.iter().collect();
        shuffled.sort_by_key(|line| line.bytes().fold(order, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)));
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(shuffled.len() + 1)).collect();
        ends.extend([0, shuffled.len()]);
        ends.sort_unstable();
        let often = sandbox();
        let mut clocks: Vec<i64> = clocks.iter().map(|day| START_S + day.min(&40) * DAY_S).collect();
        clocks.sort_unstable();
        for (number, window) in ends.windows(2).enumerate() {
            let mut text: String = shuffled[window[0]..window[1]].iter().map(|line| line.as_str()).collect();
            text.extend(again.iter().filter(|_| number > 0).map(|at| shuffled[at.index(shuffled.len())].as_str()).take(number));
            often.write(&format!("logs/{}.jsonl", number + 1), text);
            let now = clocks.get(number).map_or(end.to_owned(), |clock| jiff(*clock));
            run(&often, &now);
        }
        // Time passes with nothing new.
        for clock in clocks {
            run(&often, &jiff(clock));
        }
        run(&often, end);
        prop_assert_eq!(members(&often), members(&once));
    }
}

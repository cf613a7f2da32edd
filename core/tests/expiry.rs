//! What a source with a `ttl` brought, and what is older than the retention, counts no longer at any moment, whether
//! anything happened since or not: the audiences of a store that went through it all are those of one that never got what
//! has expired. And what has expired is gone from the disk once files are merged.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod views;

use kindred_core::{
    config,
    plugin::registry::Registry,
    profile::batch::Moment,
    segment::Segments,
    step,
    store::{Store, span::Span},
};
use kindred_plugin_cookies as _;
use kindred_plugin_crm_import as _;
use kindred_plugin_rules as _;
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
    sync::Arc,
};
use tempfile::TempDir;

const HOURS: i64 = 3_600;
const DAYS: i64 = 24 * HOURS;
/// 2026-01-01T00:00:00Z.
const START_S: i64 = 1_767_225_600;
/// Of events of `bought`, of attributes of `crm`, of everything.
const TTL_S: i64 = 10 * DAYS;
const CRM_TTL_S: i64 = 8 * DAYS;
const RETENTION_S: i64 = 40 * DAYS;

const RULES: &[(&str, &str)] = &[
    ("ever", "count(TRUE) >= 2"),
    ("ever-bought", "count(source = 'bought') >= 2"),
    ("month", "count(event = 'view', '30 days') >= 2"),
    ("week", "count(event = 'view', '7 days') >= 1"),
    ("fresh", "did(event = 'buy', '10 days')"),
    ("first", "first(category, TRUE) = 'coats'"),
    ("last", "last(category, TRUE) IN ('shoes', 'hats')"),
    ("lapsed", "did(event = 'view') AND NOT did(event = 'view', '9 days')"),
    ("recent", "days_since(event = 'view') < 12.5"),
    ("share", "rate(source = 'bought', event = 'view') >= 0.5"),
    ("then", "sequence(event = 'view' THEN event = 'buy' WITHIN '5 days')"),
    ("gold", "attr('crm.tier') = 'gold'"),
    ("not-gold", "attr('crm.tier') <> 'gold'"),
    ("gold-or-often", "attr('crm.tier') = 'gold' OR count(TRUE, '20 days') >= 3"),
    ("nested", "in_segment('ever') AND NOT in_segment('gold')"),
    ("top", "percentile(sum(price, TRUE)) >= 60"),
    ("calendar", "count(TRUE, 'previous month in Europe/Berlin') >= 1"),
];

/// A row of one of the sources.
#[derive(Clone, Debug)]
enum Row {
    /// Of `web` or `bought`: cookie, hour, name, category, price.
    Event(bool, u8, i64, &'static str, &'static str, u8),
    /// Of `crm`: cookie, hour, tier.
    Tier(u8, i64, &'static str),
    /// Two cookies that are one person's.
    Link(u8, u8),
}

fn row() -> impl Strategy<Value = Row> {
    let name = prop::sample::select(vec!["view", "buy"]);
    let category = prop::sample::select(vec!["coats", "shoes", "hats"]);
    let tier = prop::sample::select(vec!["gold", "tin"]);
    let hour = || (0..300_i64).prop_map(|sixth| sixth * 4);
    prop_oneof![
        8 => (any::<bool>(), 0..7_u8, hour(), name, category, 0..6_u8)
            .prop_map(|(bought, cookie, hour, name, category, price)| {
                Row::Event(bought, cookie, hour, name, category, price)
            }),
        3 => (0..7_u8, hour(), tier).prop_map(|(cookie, hour, tier)| Row::Tier(cookie, hour, tier)),
        1 => (0..7_u8, 0..7_u8).prop_map(|(one, other)| Row::Link(one, other)),
    ]
}

impl Row {
    /// The second at which it stops to count; none for always.
    fn expires_s(&self) -> Option<i64> {
        match self {
            Self::Event(true, _, hour, ..) => Some(START_S + hour * HOURS + TTL_S),
            Self::Event(false, _, hour, ..) => Some(START_S + hour * HOURS + RETENTION_S),
            Self::Tier(_, hour, _) => Some(START_S + hour * HOURS + CRM_TTL_S),
            Self::Link(..) => None,
        }
    }

    fn source(&self) -> &'static str {
        match self {
            Self::Event(true, ..) => "bought",
            Self::Event(false, ..) => "web",
            Self::Tier(..) => "crm",
            Self::Link(..) => "links",
        }
    }

    fn line(&self, id: usize) -> String {
        let line = match self {
            Self::Event(_, cookie, hour, name, category, price) => serde_json::json!({
                "id": id.to_string(), "cookie": format!("c{cookie}"), "event": name,
                "time": time(START_S + hour * HOURS), "category": category, "price": price,
            }),
            Self::Tier(cookie, hour, tier) => serde_json::json!({
                "cookie": format!("c{cookie}"), "at": time(START_S + hour * HOURS), "tier": tier,
            }),
            Self::Link(one, other) => {
                serde_json::json!({"cookie": format!("c{one}"), "other": format!("c{other}")})
            }
        };
        format!("{line}\n")
    }
}

fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap().to_string()
}

/// A pipeline of its own, with the ttl or without.
struct Place {
    dir: TempDir,
    files: usize,
}

impl Place {
    fn new(expires: bool) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let segments = RULES.iter().fold(String::new(), |mut all, (name, rule)| {
            writeln!(all, "[segments.{name}]\nrule = \"{rule}\"").unwrap();
            all
        });
        let ttl = |ttl: &str| if expires { format!("ttl = \"{ttl}\"\n") } else { String::new() };
        let (bought, crm) = (ttl("10 days"), ttl("8 days"));
        let text = format!(
            r#"
[vars]
now = "2026-02-10T00:00:00Z"
[pipeline]
store = "store"
clock = "${{now}}"
retention = "40 days"
[sources.web]
plugin = "cookies"
consent = "granted"
[sources.web.config]
path = "web"
properties = {{ price = {{ column = "price", type = "integer" }} }}
[sources.bought]
plugin = "cookies"
consent = "granted"
party = "third"
{bought}[sources.bought.config]
path = "bought"
properties = {{ price = {{ column = "price", type = "integer" }} }}
[sources.crm]
plugin = "crm-import"
consent = "granted"
{crm}config = {{ path = "crm", keys = {{ cookie = "cookie" }}, attributes = ["tier"], as_of = {{ column = "at" }} }}
[sources.links]
plugin = "crm-import"
consent = "granted"
config = {{ path = "links", keys = {{ cookie = "cookie", other = "other" }}, attributes = [] }}
{segments}"#
        );
        fs::write(dir.path().join("pipeline.toml"), text).unwrap();
        let mut place = Self { dir, files: 0 };
        // The columns are known from the first run on; nobody looks at this profile.
        let hour = -1_000;
        place.put(&[
            (0, Row::Event(false, 99, hour, "none", "x", 1)),
            (1, Row::Event(true, 99, hour, "none", "x", 1)),
            (2, Row::Tier(99, hour, "none")),
            (3, Row::Link(99, 99)),
        ]);
        place
    }

    fn put(&mut self, rows: &[(usize, Row)]) {
        let mut files: BTreeMap<&str, String> = BTreeMap::new();
        for (id, row) in rows {
            files.entry(row.source()).or_default().push_str(&row.line(*id));
        }
        for (source, text) in files {
            let folder = self.dir.path().join(source);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{:04}.jsonl", self.files)), text).unwrap();
        }
        self.files += 1;
    }

    fn pipeline(&self, now_s: i64) -> config::Pipeline {
        let sets = [("now".to_owned(), time(now_s))];
        config::load(&self.dir.path().join("pipeline.toml"), &sets, &Registry::new())
            .unwrap_or_else(|problems| panic!("{}", problems.report()))
    }

    /// Runs the pipeline, in this process, with a store that is opened and let go of. Answers the members of each
    /// segment, as sets of the cookies that each is known by.
    fn run(&self, now_s: i64) -> BTreeMap<String, BTreeSet<Vec<String>>> {
        let (pipeline, registry) = (self.pipeline(now_s), Registry::new());
        step::run(&pipeline, &registry, &Silent, &Arc::default()).unwrap();
        let store = Store::existing(&pipeline.store).unwrap();
        let segments = Segments::open(&pipeline, &registry, &store).unwrap();
        let known = |profile: u32| {
            let record = store.profiles.get(&store.tables, profile).unwrap();
            record.identifiers.into_iter().map(|(namespace, value)| format!("{namespace}:{value}")).collect()
        };
        let others = |known: &Vec<String>| !known.contains(&"cookie:c99".to_owned());
        let members = segments.members().iter();
        members
            .map(|(name, inside)| (name.clone(), inside.iter().map(known).filter(others).collect()))
            .collect()
    }
}

struct Silent;

impl step::Observer for Silent {
    fn rows(&self, _read: u64, _backlog: u64) {}
    fn stage(&self, _stage: &str) {}
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("KINDRED_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    ProptestConfig { cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn audiences_are_those_of_a_store_that_never_got_what_has_expired(
        rows in prop::collection::vec(row(), 1..60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        // When somebody looks: at the very moment that a row expires, a second before, or at any hour.
        looks in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, 0..2_600_i64), 2..6),
    ) {
        let rows: Vec<(usize, Row)> = (10..).zip(rows).collect();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(rows.len() + 1)).collect();
        ends.extend([0, rows.len()]);
        ends.sort_unstable();
        let clock = |(row, how, hour): &(prop::sample::Index, u8, i64)| match rows[row.index(rows.len())].1.expires_s() {
            Some(at_s) if *how < 2 => at_s,
            Some(at_s) if *how == 2 => at_s - 1,
            _ => START_S + hour * HOURS,
        };
        let mut clocks: Vec<i64> = looks.iter().map(clock).collect();
        clocks.sort_unstable();
        let mut live = Place::new(true);
        let mut arrived = 0;
        for (number, now_s) in clocks.iter().enumerate() {
            // In the last runs nothing is new.
            if let Some(window) = ends.get(number..number + 2) {
                live.put(&rows[window[0]..window[1]]);
                arrived = window[1];
            }
            let found = live.run(*now_s);
            let mut other = Place::new(false);
            let counts = |(_, row): &&(usize, Row)| row.expires_s().is_none_or(|at_s| at_s > *now_s);
            let counting: Vec<(usize, Row)> = rows[..arrived].iter().filter(counts).cloned().collect();
            other.put(&counting);
            prop_assert_eq!(found, other.run(*now_s), "look {} at {}", number, time(*now_s));
        }
    }
}

/// A source that gets a ttl, another one, and none: what lies in the store follows at once.
#[test]
fn a_ttl_that_changes_holds_at_once() {
    let mut live = Place::new(true);
    live.put(&[
        (10, Row::Event(true, 1, 0, "view", "hats", 1)),
        (11, Row::Event(true, 1, 24, "view", "hats", 1)),
        (12, Row::Tier(2, 0, "gold")),
    ]);
    let file = live.dir.path().join("pipeline.toml");
    let text = fs::read_to_string(&file).unwrap();
    let now_s = START_S + 6 * DAYS;
    for (bought, crm, often, gold) in [
        ("ttl = \"10 days\"", "ttl = \"8 days\"", 1, 1),
        ("ttl = \"6 days\"", "ttl = \"8 days\"", 0, 1),
        ("ttl = \"6 days\"", "ttl = \"6 days\"", 0, 0),
        ("", "ttl = \"6 days\"", 1, 0),
        ("", "", 1, 1),
        ("ttl = \"144 hours\"", "ttl = \"145 hours\"", 0, 1),
    ] {
        let other = text.replace("ttl = \"10 days\"", bought).replace("ttl = \"8 days\"", crm);
        fs::write(&file, other).unwrap();
        let found = live.run(now_s);
        assert_eq!((found["ever-bought"].len(), found["gold"].len()), (often, gold), "{bought} {crm}");
    }
}

/// The same of the retention: a shorter one lets go of what is older, and a longer one has what is still there.
#[test]
fn a_retention_that_changes_holds_at_once() {
    let mut live = Place::new(false);
    live.put(&[
        (10, Row::Event(true, 1, 0, "view", "hats", 1)),
        (11, Row::Event(true, 1, 24, "view", "hats", 1)),
    ]);
    let file = live.dir.path().join("pipeline.toml");
    let text = fs::read_to_string(&file).unwrap();
    let now_s = START_S + 6 * DAYS;
    for (retention, often) in
        [("40 days", 1), ("6 days", 0), ("13 months", 1), ("144 hours", 0), ("8 days", 1)]
    {
        fs::write(&file, text.replace("40 days", retention)).unwrap();
        assert_eq!(live.run(now_s)["ever-bought"].len(), often, "{retention}");
    }
}

/// A source that left the file: what it brought expires as it would have.
#[test]
fn a_source_that_is_gone_keeps_its_ttl() {
    let mut live = Place::new(true);
    live.put(&[
        (10, Row::Event(true, 1, 0, "view", "hats", 1)),
        (11, Row::Event(true, 1, 24, "view", "hats", 1)),
        (12, Row::Event(true, 2, 24, "view", "hats", 1)),
        (13, Row::Event(false, 2, 0, "view", "hats", 1)),
    ]);
    let often = |now_s| live.run(now_s)["ever"].len();
    assert_eq!(often(START_S + 9 * DAYS), 2);
    let file = live.dir.path().join("pipeline.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once("[sources.bought]").unwrap();
    let (_, behind) = rest.split_once("[sources.crm]").unwrap();
    fs::write(&file, format!("{before}[sources.crm]{behind}")).unwrap();
    assert_eq!(often(START_S + 9 * DAYS), 2);
    assert_eq!(often(START_S + 10 * DAYS), 1);
    assert_eq!(often(START_S + 11 * DAYS), 0);
}

/// Bytes of the files of events.
fn bytes(dir: &Path) -> u64 {
    let files = fs::read_dir(dir.join("files")).unwrap().map(|entry| entry.unwrap());
    let events = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "events"));
    events.map(|file| file.metadata().unwrap().len()).sum()
}

#[test]
fn what_has_expired_is_gone_once_files_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    for (source, hours) in [("web", 0..1_400), ("bought", 0..1_000), ("bought", 1_000..1_400)] {
        let batch = hours.start as usize;
        let of: Vec<views::Event> = hours.map(|hour| ((hour % 7) as u8, hour, true)).collect();
        views::take_from(&mut store, source, batch, &of);
    }
    let moment = Moment {
        as_of_us: views::START + 1_400 * views::HOUR,
        retention_us: i64::MAX,
        ttl_us: BTreeMap::from([("bought".to_owned(), 400 * views::HOUR)]),
    };
    let (rows, before) = (store.events.rows(), bytes(dir.path()));
    assert_eq!(rows, 2_800);
    store.compact(&moment.kept()).unwrap();
    // An event that is as old as the ttl is out.
    assert_eq!(store.events.rows(), 1_400 + 399);
    assert!(bytes(dir.path()) < before * 3 / 4, "{} of {before}", bytes(dir.path()));
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.events.rows(), 1_799);
    let profiles: Vec<u32> = (0..7).collect();
    let fields =
        ["event_time", "source"].map(|name| store.columns.field(name).unwrap()).into_iter().collect();
    let all = Span::after(i64::MIN);
    let found = store.events.gather(&profiles, &store.identity, &fields, &all, &store.columns).unwrap();
    assert_eq!(found.events.values().len(), 1_799);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// What is gathered for a moment is what a list says; and the moment that is named as the next one is behind it, and
    /// nothing is another before.
    #[test]
    fn what_counts_at_a_moment_is_what_a_list_says(
        steps in prop::collection::vec(prop::collection::vec((0..5_u8, 0..90_i64, 0..3_u8), 1..30), 1..6),
        looks in prop::collection::vec((0..150_i64, prop::option::of(1..80_i64)), 1..6),
        (retention, ttl) in (20..100_i64, prop::collection::vec(prop::option::of(1..60_i64), 3)),
    ) {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let name = |source: u8| format!("source-{source}");
        let mut all: Vec<(u32, i64, u8)> = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            for source in 0..3 {
                let of: Vec<views::Event> =
                    step.iter().filter(|e| e.2 == source).map(|e| (e.0, e.1, true)).collect();
                views::take_from(&mut store, &name(source), number, &of);
            }
            for (cookie, hour, source) in step {
                let id = cookie.to_string();
                let profile = store.identity.find(&store.tables, "cookie", &id).unwrap().unwrap();
                all.push((profile, *hour, *source));
            }
        }
        let named = (0..3).zip(&ttl).filter_map(|(source, ttl)| Some((name(source), (*ttl)? * views::HOUR)));
        let pipeline = Moment { as_of_us: 0, retention_us: retention * views::HOUR, ttl_us: named.collect() };
        let profiles: Vec<u32> = store.identity.all().iter().collect();
        let fields = ["event_time"].map(|name| store.columns.field(name).unwrap()).into_iter().collect();
        let lives = |source: u8| retention.min(ttl[source as usize].unwrap_or(i64::MAX));
        // Who counts at an hour, by hand.
        let counting = |profile: u32, hour: i64, back: Option<i64>| {
            let inside = |age: i64, source: u8| age >= 0 && age < lives(source) && back.is_none_or(|back| age < back);
            let of = all.iter().filter(|e| e.0 == profile && inside(hour - e.1, e.2));
            let mut times: Vec<i64> = of.map(|e| e.1).collect();
            times.sort_unstable();
            times
        };
        let mut looks = looks;
        looks.sort_unstable();
        for (hour, back) in looks {
            let moment = pipeline.at(views::START + hour * views::HOUR);
            let span = moment.span(back.map(|back| back * views::HOUR));
            let found = store.events.gather(&profiles, &store.identity, &fields, &span, &store.columns).unwrap();
            for (at, profile) in profiles.iter().enumerate() {
                let times = views::hours(&found.events.value(at));
                prop_assert_eq!(&times, &counting(*profile, hour, back), "{} at {}", profile, hour);
                let next = found.next_us[at].map(|us| (us - views::START) / views::HOUR);
                prop_assert!(next.is_none_or(|next| next > hour));
                // Who looks less far back than an event lives knows himself when it leaves.
                let tells = |e: &&(u32, i64, u8)| e.0 == *profile && back.is_none_or(|back| back > lives(e.2));
                let leaves = all.iter().filter(tells).filter(|e| e.1 <= hour && hour - e.1 < lives(e.2));
                let comes = all.iter().filter(|e| e.0 == *profile && e.1 > hour).map(|e| e.1);
                let first = leaves.map(|e| e.1 + lives(e.2)).chain(comes).min();
                prop_assert!(next.is_some() || first.is_none(), "{first:?}");
                prop_assert!(next <= first || first.is_none(), "{next:?} {first:?}");
            }
            // What has expired by now may go.
            store.compact(&moment.kept()).unwrap();
        }
    }
}

//! Zero drift: whatever the rules and the events, whatever the order of events, however they are cut into files, runs and
//! steps, however often they come, and however late, the audiences are those of one run over everything.
//!
//! Each case is drawn from one number. `KINDRED_CASES=500 cargo test -p kindred-tests --test drift` tries more than the suite
//! does, and `KINDRED_SEED=7` one case again.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../../plugins/rules/tests/support/mod.rs"]
mod support;

use kindred_core::{config, plugin::registry::Registry, segment::Segments, step, store::Store};
// Linked, so that they register themselves.
use kindred_plugin_cookies as _;
use kindred_plugin_crm_import as _;
use kindred_plugin_rules as _;
use kindred_tests::{sandbox::Sandbox, seeds::seeds};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};
use support::{
    Random,
    data::{AS_OF, DAY, Event, HOUR, Profile, profiles},
    rule::rules,
};

/// Seeds of cases that once failed, and are tried first.
const FAILED: &[u64] = &[];
/// How many others are tried.
const USUAL: u64 = 12;
/// Random rules of a case.
const DRAWN: usize = 16;

/// One of each kind of condition, beside those that are drawn; every name is asked for members.
const RULES: &[(&str, &str)] = &[
    ("often", "count(event = 'view', '7 days') >= 2"),
    ("spent", "sum(amount, event = 'purchase', '20 days') >= 5"),
    ("mean", "avg(quantity, quantity < 10) > 2.5"),
    ("range", "max(amount, TRUE, '10 days') - min(amount, TRUE, '10 days') >= 2"),
    ("first", "first(category, TRUE) = 'winter-coats'"),
    ("last", "last(category, event = 'view') IN ('winter-boots', 'tents')"),
    ("kinds", "count_distinct(category, TRUE, '15 days') >= 2"),
    ("days", "count_distinct_days(TRUE, '30 days') >= 3"),
    ("recent", "days_since(event = 'purchase') < 6.5"),
    ("lapsed", "did(event = 'purchase') AND NOT did(event = 'purchase', '9 days')"),
    ("earlier", "did(TRUE, '14 days', '7 days')"),
    ("dates", "count(TRUE, '2026-01-20', '2026-01-27') >= 2"),
    ("month", "count(TRUE, 'previous month in Europe/Berlin') > count(TRUE, 'this month in Europe/Berlin')"),
    ("rate", "rate(event = 'purchase', event = 'view') >= 0.5"),
    ("bought-after", "sequence(event = 'view' THEN event = 'cart' THEN event = 'purchase' WITHIN '5 days')"),
    ("interested", "interest('IAB 3', amount > 0, '20 days')"),
    ("domestic", "attr('crm.country') IN ('DE', 'AT') AND attr('crm.age') >= 2"),
    ("known", "has_identifier('crm') AND consent() = 'granted'"),
    ("top", "percentile(sum(amount, TRUE, '25 days')) >= 60"),
    ("best", "percentile(attr('crm.score')) > 50"),
    ("above", "sum(amount, TRUE) * total(1) > total(sum(amount, TRUE))"),
    ("nested", "in_segment('often') OR in_segment('top') AND NOT in_segment('lapsed')"),
    ("choice", "CASE WHEN did(event = 'cart') THEN last(amount, TRUE) ELSE 0 END > 3"),
    // What drawn rules refer to.
    ("vip", "attr('crm.vip')"),
];

/// A line of a file in a folder.
type Row = (&'static str, String);

/// Rules, what happened, and in which way it comes.
struct Case {
    rules: Vec<(String, String)>,
    rows: Vec<Row>,
    /// Cookies that consent is withdrawn of, when all else is known: of those who are not known nothing is kept.
    withdrawn: Vec<usize>,
    end: i64,
    step_rows: usize,
    /// When each run looks at the clock, and what has come since the one before.
    runs: Vec<(i64, Vec<Row>)>,
    /// Moments at which time has passed with nothing new.
    idle: Vec<i64>,
}

impl Case {
    fn draw(seed: u64) -> Self {
        let mut random = Random(seed);
        let fixed = RULES.iter().map(|(name, rule)| ((*name).to_owned(), (*rule).to_owned()));
        let drawn = rules(&mut random, DRAWN).into_iter().map(|(name, rule)| (name, rule.text));
        let rules = fixed.chain(drawn).collect();
        let count = 4 + random.below(9);
        let people = profiles(&mut random, count);
        let rows = rows(&mut random, &people);
        let withdrawn = (0..count).filter(|_| random.chance(10)).collect();
        let end = AS_OF + random.pick(&[-2 * DAY, 0, 6 * HOUR, DAY, 3 * DAY]);
        let mut clock = |count: usize| {
            let mut clocks: Vec<i64> = (0..count).map(|_| end - random.below(80) as i64 * 6 * HOUR).collect();
            clocks.sort_unstable();
            clocks
        };
        let (clocks, mut idle) = (clock(6), clock(2));
        idle.retain(|moment| *moment >= clocks[0]);
        let step_rows = random.pick(&[1, 3, 17, 64, 65_536]);
        let runs = runs(&mut random, &rows, clocks);
        Self { rules, rows, withdrawn, end, step_rows, runs, idle }
    }

    /// A pipeline of its own. The first files show every column, whatever those of a case leave out.
    fn sandbox(&self, step_rows: usize) -> Sandbox {
        let sandbox = Sandbox::new();
        let mut text = format!("{PIPELINE}step_rows = {step_rows}\n");
        for (name, rule) in &self.rules {
            writeln!(text, "[segments.{name}]\nrule = {}", json!(rule)).unwrap();
        }
        sandbox.write("pipeline.toml", text);
        let nobody = Profile {
            country: Some("-".to_owned()),
            city: Some("-".to_owned()),
            age: Some(0),
            score: Some(0.0),
            optin: Some(false),
            since: Some(AS_OF),
            vip: Some(false),
            namespaces: vec!["crm".to_owned()],
            ..Profile::default()
        };
        let nothing = Event {
            event: Some("none".to_owned()),
            category: Some("-".to_owned()),
            url: Some("-".to_owned()),
            amount: Some(0.0),
            quantity: Some(0),
            paid: Some(false),
            shipped: Some(AS_OF),
            path: Some("/0/".to_owned()),
            time: AS_OF - 300 * DAY,
        };
        sandbox.write("web/0.jsonl", event("first", 99, Some(99), &nothing, nothing.time));
        sandbox.write("crm/0.jsonl", attributes(99, &nobody, AS_OF - 300 * DAY));
        sandbox.write("withdrawn/0.csv", "cookie,consent\nc98,denied\n");
        sandbox
    }

    /// Runs the pipeline, in this process, and lets go of the store.
    fn run(&self, sandbox: &Sandbox, now: i64) {
        let registry = Registry::new();
        let sets = [("now".to_owned(), moment(now))];
        let pipeline = config::load(&sandbox.path("pipeline.toml"), &sets, &registry)
            .unwrap_or_else(|problems| panic!("{}", problems.report()));
        let summary = json!(step::run(&pipeline, &registry, &Silent, &Arc::default()).unwrap());
        let sources = summary["sources"].as_object().unwrap();
        assert!(sources.values().all(|source| source["rejected"] == 0), "{summary}");
    }

    fn withdraw(&self, sandbox: &Sandbox) {
        let denied: String = self.withdrawn.iter().map(|cookie| format!("c{cookie},denied\n")).collect();
        if !denied.is_empty() {
            sandbox.write("withdrawn/1.csv", format!("cookie,consent\n{denied}"));
        }
        self.run(sandbox, self.end);
    }

    /// One run over everything.
    fn once(&self) -> Members {
        let sandbox = self.sandbox(65_536);
        put(&sandbox, 1, &self.rows);
        self.run(&sandbox, self.end);
        self.withdraw(&sandbox);
        members(&sandbox)
    }

    /// As it comes: each run opens the store anew.
    fn often(&self) -> Members {
        let sandbox = self.sandbox(self.step_rows);
        for (number, (now, rows)) in self.runs.iter().enumerate() {
            put(&sandbox, number + 1, rows);
            self.run(&sandbox, *now);
        }
        let last = self.runs.last().map_or(self.end, |(now, _)| *now);
        for now in self.idle.iter().filter(|now| **now > last) {
            self.run(&sandbox, *now);
        }
        self.withdraw(&sandbox);
        members(&sandbox)
    }
}

/// Everything that happened to these, each of whom has a cookie; some of them turn out to be one person.
fn rows(random: &mut Random, people: &[Profile]) -> Vec<Row> {
    // Two weeks, or six.
    let stretch = random.pick(&[1, 3]);
    let mut rows = Vec::new();
    for (cookie, person) in people.iter().enumerate() {
        for event in &person.events {
            let linked = random.chance(6).then(|| random.below(people.len()));
            let time = AS_OF - (AS_OF - event.time) * stretch;
            rows.push(("web", self::event(&rows.len().to_string(), cookie, linked, event, time)));
        }
        // What the CRM says changes; the latest counts, whichever comes first.
        for _ in 0..random.below(3) {
            let said = random.pick(people);
            let who = Profile { namespaces: person.namespaces.clone(), events: Vec::new(), ..said };
            rows.push(("crm", attributes(cookie, &who, AS_OF - random.below(60) as i64 * 6 * HOUR)));
        }
    }
    rows
}

/// In another order, cut into runs, with a clock that moves from run to run; some come more than once, before or after
/// the others like them.
fn runs(random: &mut Random, rows: &[Row], clocks: Vec<i64>) -> Vec<(i64, Vec<Row>)> {
    let mut shuffled = rows.to_vec();
    for index in (1..shuffled.len()).rev() {
        shuffled.swap(index, random.below(index + 1));
    }
    let count = 1 + random.below(clocks.len());
    let mut ends: Vec<usize> = (1..count).map(|_| random.below(shuffled.len() + 1)).collect();
    ends.extend([0, shuffled.len()]);
    ends.sort_unstable();
    let mut runs = Vec::new();
    for (window, now) in ends.windows(2).zip(clocks) {
        let mut rows = shuffled[window[0]..window[1]].to_vec();
        for _ in 0..random.below(12).min(shuffled.len() * 12) {
            let at = random.below(rows.len() + 1);
            rows.insert(at, random.pick(&shuffled));
        }
        runs.push((now, rows));
    }
    runs
}

fn put(sandbox: &Sandbox, number: usize, rows: &[Row]) {
    for folder in ["web", "crm"] {
        let lines = rows.iter().filter(|(of, _)| *of == folder).map(|(_, line)| line.as_str());
        let lines: String = lines.collect();
        if !lines.is_empty() {
            sandbox.write(&format!("{folder}/{number}.jsonl"), lines);
        }
    }
}

fn event(id: &str, cookie: usize, linked: Option<usize>, event: &Event, time: i64) -> String {
    let line = json!({
        "id": id, "cookie": format!("c{cookie}"), "other": linked.map(|other| format!("c{other}")),
        "event": event.event.as_deref().unwrap_or("other"), "time": moment(time),
        "category": event.category, "url": event.url, "amount": event.amount.filter(|amount| !amount.is_nan()),
        "quantity": event.quantity, "paid": event.paid.map(|paid| paid.to_string()),
        "shipped": event.shipped.map(moment), "interest_path": event.path,
    });
    format!("{line}\n")
}

fn attributes(cookie: usize, said: &Profile, since: i64) -> String {
    let known = said.namespaces.iter().any(|namespace| namespace == "crm");
    let line = json!({
        "cookie": format!("c{cookie}"), "crm": known.then(|| format!("crm-{cookie}")), "at": moment(since),
        "country": said.country, "city": said.city, "age": said.age, "score": said.score,
        "optin": said.optin.map(|optin| optin.to_string()), "since": said.since.map(moment),
        "vip": said.vip.map(|vip| vip.to_string()),
    });
    format!("{line}\n")
}

fn moment(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).unwrap().to_string()
}

/// The table that `step_rows` is added to comes last.
const PIPELINE: &str = r#"
[vars]
now = "wall"
[sources.web]
plugin = "cookies"
consent = "granted"
[sources.web.config]
path = "web"
identifiers = { other = "other" }
[sources.web.config.properties]
amount = { column = "amount", type = "decimal" }
quantity = { column = "quantity", type = "integer" }
paid = { column = "paid", type = "boolean" }
shipped = { column = "shipped", type = "timestamp" }
interest_path = { column = "interest_path", type = "string" }
[sources.crm]
plugin = "crm-import"
consent = "granted"
[sources.crm.config]
path = "crm"
keys = { cookie = "cookie", crm = "crm" }
as_of = { column = "at" }
[sources.crm.config.attributes]
country = { column = "country", type = "string" }
city = { column = "city", type = "string" }
age = { column = "age", type = "integer" }
score = { column = "score", type = "decimal" }
optin = { column = "optin", type = "boolean" }
since = { column = "since", type = "timestamp" }
vip = { column = "vip", type = "boolean" }
[sources.withdrawn]
plugin = "crm-import"
consent = "granted"
[sources.withdrawn.config]
path = "withdrawn"
keys = { cookie = "cookie" }
attributes = []
consent = "consent"
[pipeline]
name = "drift"
store = "store"
clock = "${now}"
"#;

struct Silent;

impl step::Observer for Silent {
    fn rows(&self, _read: u64, _backlog: u64) {}
    fn stage(&self, _stage: &str) {}
}

/// Members of each segment, as sets of what each is known by.
type Members = BTreeMap<String, BTreeSet<Vec<String>>>;

fn members(sandbox: &Sandbox) -> Members {
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

#[test]
fn audiences_depend_on_what_happened_and_on_nothing_else() {
    let (seeds, mut telling) = (seeds(FAILED, USUAL), 0);
    for seed in &seeds {
        // Shown with whatever fails.
        eprintln!("KINDRED_SEED={seed}");
        let case = Case::draw(*seed);
        let (once, often) = (case.once(), case.often());
        let mut told = Vec::new();
        for (name, rule) in &case.rules {
            let (whole, parts) = (&once[name], &often[name]);
            telling += usize::from(!whole.is_empty());
            if whole != parts {
                let only = |one: &BTreeSet<_>, other| one.difference(other).cloned().collect::<Vec<_>>();
                told.push(format!(
                    "`{name}`: {rule}\n  only one run has {:?}\n  only several have {:?}",
                    only(whole, parts),
                    only(parts, whole)
                ));
            }
        }
        assert!(
            told.is_empty(),
            "KINDRED_SEED={seed}, {} runs of steps of {} rows: {} differ\n{}",
            case.runs.len() + case.idle.len() + 1,
            case.step_rows,
            told.len(),
            told.join("\n")
        );
    }
    assert!(telling > 4 * seeds.len(), "hardly any rule holds for anybody");
}

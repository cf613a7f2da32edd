//! Random rules against SQL: what `kindred run` makes of random events and profiles, member by member, against DuckDB.
//! Rules and profiles are those of the `rules` plugin's own property tests; `oracle/rules` translates the rules' text,
//! knowing nothing but docs/rules.md.
//!
//! `KINDRED_CASES=50 cargo test -p kindred-tests --test rules_sql` tries more than the suite does, and `KINDRED_SEED=7` one case
//! again.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

#[path = "../../plugins/rules/tests/support/mod.rs"]
mod support;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use kindred_core::{config, plugin::registry::Registry, segment::Segments, step, store::Store};
// Linked, so that they register themselves.
use kindred_plugin_crm_import as _;
use kindred_plugin_file_events as _;
use kindred_plugin_rules as _;
use kindred_tests::{oracle, sandbox::Sandbox, seeds::seeds};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::File,
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
const USUAL: u64 = 6;
/// Rules and profiles of one case; a rule has few profiles to be wrong about, and a start of the store costs more than both.
const RULES: usize = 40;
const PROFILES: usize = 250;
/// The clock of each run, from the same store: at first everybody is evaluated, then whom something happened to or whose
/// time has come.
const MOMENTS: [i64; 4] = [AS_OF - 2 * DAY, AS_OF, AS_OF + 1, AS_OF + 6 * HOUR];
/// Which of them events come with.
const COMING: [usize; 5] = [0, 0, 0, 1, 3];
/// Rules where time alone passes: few, so that a profile is not looked at for the sake of another rule.
const FEW: usize = 3;

/// By moment, members of each segment by name.
type Answers = Vec<BTreeMap<String, BTreeSet<String>>>;

struct Case {
    sandbox: Sandbox,
    moments: Vec<i64>,
    rules: BTreeMap<String, String>,
    profiles: Vec<Profile>,
}

impl Case {
    /// Rules of every kind, and events that come with some of the moments.
    fn eventful(seed: u64) -> Self {
        let mut random = Random(seed);
        let rules = rules(&mut random, RULES).into_iter().map(|(name, rule)| (name, rule.text)).collect();
        Self::new(random, rules, MOMENTS.to_vec(), &COMING)
    }

    /// Rules of a profile's own events, all of which are there from the first moment on.
    fn quiet(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut chosen = BTreeMap::new();
        while chosen.len() < FEW {
            let (_, rule) = rules(&mut random, 1).remove(0);
            if !rule.text.contains("percentile(") && !rule.text.contains("total(") {
                chosen.insert(format!("quiet-{}", chosen.len()), rule.text);
            }
        }
        let mut moments = vec![AS_OF - 4 * DAY];
        for _ in 0..7 {
            let last = moments[moments.len() - 1];
            moments.push(last + random.pick(&[1, 6 * HOUR - 1, 6 * HOUR, 6 * HOUR, DAY, 3 * DAY]));
        }
        Self::new(random, chosen, moments, &[0])
    }

    fn new(
        mut random: Random,
        mut rules: BTreeMap<String, String>,
        moments: Vec<i64>,
        coming: &[usize],
    ) -> Self {
        rules.insert("vip".to_owned(), "attr('crm.vip')".to_owned());
        let mut profiles = profiles(&mut random, PROFILES);
        // A file of events has a name for each.
        for event in profiles.iter_mut().flat_map(|profile| &mut profile.events) {
            event.event.get_or_insert_with(|| "other".to_owned());
        }
        let case = Self { sandbox: Sandbox::new(), moments, rules, profiles };
        case.write(&mut random, coming);
        case
    }

    fn write(&self, random: &mut Random, coming: &[usize]) {
        let withdrawn: Vec<usize> = (0..PROFILES).filter(|_| random.chance(10)).collect();
        let files: Vec<Vec<(usize, &Event)>> = self.files(random, coming);
        for (number, rows) in files.iter().enumerate() {
            self.parquet(&format!("events-{number}"), events(rows, &self.profiles, random));
        }
        self.parquet("crm", crm(&self.profiles));
        self.parquet("identifiers", identifiers(&self.profiles));
        self.parquet("withdrawn", vec![("user", text(withdrawn.iter().map(|row| Some(user(*row)))))]);
        let denied: String = withdrawn.iter().map(|row| format!("{},denied\n", user(*row))).collect();
        self.sandbox.write("withdrawn.csv", format!("user,consent\n{denied}"));
        let mut pipeline = PIPELINE.to_owned();
        for (name, rule) in &self.rules {
            writeln!(pipeline, "[segments.{name}]\nrule = {}", json!(rule)).unwrap();
        }
        self.sandbox.write("pipeline.toml", pipeline);
        let moments: Vec<String> = self.moments.iter().map(|us| moment(*us)).collect();
        let case = json!({
            "moments": moments, "rules": self.rules,
            "columns": {
                "event": "text", "category": "text", "url": "text", "amount": "float", "quantity": "int",
                "paid": "bool", "shipped": "time", "interest_path": "text",
            },
            "attributes": {
                "crm.country": "text", "crm.city": "text", "crm.age": "int", "crm.score": "float",
                "crm.optin": "bool", "crm.since": "time", "crm.vip": "bool",
            },
        });
        self.sandbox.write("case.json", case.to_string());
    }

    /// The events that come with each moment, in any order.
    fn files(&self, random: &mut Random, coming: &[usize]) -> Vec<Vec<(usize, &Event)>> {
        let mut files = vec![Vec::new(); self.moments.len()];
        for (row, profile) in self.profiles.iter().enumerate() {
            for event in &profile.events {
                let file = random.pick(coming);
                let at = random.below(files[file].len() + 1);
                files[file].insert(at, (row, event));
            }
        }
        files
    }

    fn parquet(&self, name: &str, columns: Vec<(&str, ArrayRef)>) {
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let file = File::create(self.sandbox.path(&format!("{name}.parquet"))).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    /// What the system answers: a run for each moment, in this process.
    fn run(&self) -> Answers {
        let registry = Registry::new();
        let mut answers = Vec::new();
        for (number, us) in self.moments.iter().enumerate() {
            std::fs::create_dir_all(self.sandbox.path("in")).unwrap();
            let name = format!("events-{number}.parquet");
            std::fs::copy(self.sandbox.path(&name), self.sandbox.path("in").join(&name)).unwrap();
            let sets = [("now".to_owned(), moment(*us))];
            let pipeline = config::load(&self.sandbox.path("pipeline.toml"), &sets, &registry)
                .unwrap_or_else(|problems| panic!("{}", problems.report()));
            let summary = step::run(&pipeline, &registry, &Silent, &Arc::default()).unwrap();
            for source in ["crm", "web", "withdrawn"] {
                assert_eq!(json!(summary)["sources"][source]["rejected"], 0, "{}", json!(summary));
            }
            answers.push(self.members(&pipeline, &registry));
        }
        answers
    }

    fn members(
        &self,
        pipeline: &config::Pipeline,
        registry: &Registry,
    ) -> BTreeMap<String, BTreeSet<String>> {
        let store = Store::existing(&pipeline.store).unwrap();
        let segments = Segments::open(pipeline, registry, &store).unwrap();
        let mut found = BTreeMap::new();
        for (name, members) in segments.members() {
            let mut users = BTreeSet::new();
            for profile in members {
                let record = store.profiles.get(&store.tables, profile).unwrap();
                let user = record.identifiers.iter().find(|(namespace, _)| namespace == "user");
                let (_, user) = user.unwrap_or_else(|| panic!("not in the CRM file: {record:?}"));
                users.insert(user.clone());
            }
            found.insert(name.clone(), users);
        }
        found
    }

    /// Where the two differ, told so that it can be tried by hand.
    fn differences(&self, answers: &Answers, wanted: &Answers) -> Vec<String> {
        let mut told = Vec::new();
        for (number, (answer, wanted)) in answers.iter().zip(wanted).enumerate() {
            for (name, rule) in &self.rules {
                let (answer, wanted) = (&answer[name], &wanted[name]);
                let Some(one) = answer.symmetric_difference(wanted).next() else { continue };
                let row: usize = one[1..].parse().unwrap();
                told.push(format!(
                    "as of {} `{name}`: {rule}\n  only Kindred has {:?}\n  only SQL has {:?}\n  {:?}",
                    moment(self.moments[number]),
                    answer.difference(wanted).collect::<Vec<_>>(),
                    wanted.difference(answer).collect::<Vec<_>>(),
                    self.profiles[row],
                ));
            }
        }
        told
    }
}

const PIPELINE: &str = r#"
[vars]
now = "wall"
[pipeline]
name = "random"
store = "store"
clock = "${now}"
[sources.crm]
plugin = "crm-import"
consent = "granted"
[sources.crm.config]
path = "crm.parquet"
keys = { user = "user", cookie = "cookie", crm = "crm", maid = "maid" }
attributes = ["country", "city", "age", "score", "optin", "since", "vip"]
[sources.web]
plugin = "file-events"
consent = "granted"
[sources.web.config]
path = "in/*.parquet"
time = "event_time"
event = { column = "event" }
identifiers = { user = "user", cookie = "cookie" }
properties = ["category", "url", "amount", "quantity", "paid", "shipped", "interest_path"]
# After the two above, by its name: what is withdrawn must be known.
[sources.withdrawn]
plugin = "crm-import"
consent = "granted"
[sources.withdrawn.config]
path = "withdrawn.csv"
keys = { user = "user" }
attributes = []
consent = "consent"
"#;

struct Silent;

impl step::Observer for Silent {
    fn rows(&self, _read: u64, _backlog: u64) {}
    fn stage(&self, _stage: &str) {}
}

fn user(row: usize) -> String {
    format!("u{row}")
}

fn moment(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).unwrap().to_string()
}

fn text(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("+00:00"))
}

/// Events by profile. Some name a profile by its cookie, which only the CRM file links to it; `profile` is for SQL.
fn events(
    rows: &[(usize, &Event)],
    profiles: &[Profile],
    random: &mut Random,
) -> Vec<(&'static str, ArrayRef)> {
    let by_cookie: Vec<bool> = rows
        .iter()
        .map(|(row, _)| profiles[*row].namespaces.iter().any(|n| n == "cookie") && random.chance(50))
        .collect();
    let named = || rows.iter().zip(&by_cookie);
    let each = || rows.iter().map(|(_, event)| event);
    vec![
        ("profile", text(rows.iter().map(|(row, _)| Some(user(*row))))),
        ("user", text(named().map(|((row, _), by_cookie)| (!by_cookie).then(|| user(*row))))),
        ("cookie", text(named().map(|((row, _), by_cookie)| by_cookie.then(|| format!("cookie-{row:012}"))))),
        ("event_time", times(each().map(|e| Some(e.time)))),
        ("event", text(each().map(|e| e.event.clone()))),
        ("category", text(each().map(|e| e.category.clone()))),
        ("url", text(each().map(|e| e.url.clone()))),
        ("amount", Arc::new(each().map(|e| e.amount).collect::<Float64Array>())),
        ("quantity", Arc::new(each().map(|e| e.quantity).collect::<Int64Array>())),
        ("paid", Arc::new(each().map(|e| e.paid).collect::<BooleanArray>())),
        ("shipped", times(each().map(|e| e.shipped))),
        ("interest_path", text(each().map(|e| e.path.clone()))),
    ]
}

fn crm(profiles: &[Profile]) -> Vec<(&'static str, ArrayRef)> {
    let key = |prefix: &'static str, namespace: &'static str| {
        text(profiles.iter().enumerate().map(move |(row, profile)| {
            profile.namespaces.iter().any(|n| n == namespace).then(|| format!("{prefix}{row:012}"))
        }))
    };
    let each = || profiles.iter();
    vec![
        ("user", text((0..profiles.len()).map(|row| Some(user(row))))),
        ("cookie", key("cookie-", "cookie")),
        ("crm", key("crm-", "crm")),
        ("maid", key("00000000-0000-4000-8000-", "maid")),
        ("country", text(each().map(|p| p.country.clone()))),
        ("city", text(each().map(|p| p.city.clone()))),
        ("age", Arc::new(each().map(|p| p.age).collect::<Int64Array>())),
        ("score", Arc::new(each().map(|p| p.score).collect::<Float64Array>())),
        ("optin", Arc::new(each().map(|p| p.optin).collect::<BooleanArray>())),
        ("since", times(each().map(|p| p.since))),
        ("vip", Arc::new(each().map(|p| p.vip).collect::<BooleanArray>())),
    ]
}

fn identifiers(profiles: &[Profile]) -> Vec<(&'static str, ArrayRef)> {
    let pairs = || {
        profiles.iter().enumerate().flat_map(|(row, p)| p.namespaces.iter().map(move |n| (row, n.clone())))
    };
    vec![
        ("id", text(pairs().map(|(row, _)| Some(user(row))))),
        ("namespace", text(pairs().map(|(_, namespace)| Some(namespace)))),
    ]
}

/// What SQL finds, after it was compared; none where there is no DuckDB.
fn compared(seed: u64, case: &Case) -> Option<Answers> {
    // Shown with whatever fails.
    eprintln!("KINDRED_SEED={seed}");
    let answers = oracle::answers("rules/answers.py", &case.sandbox.path(""))?;
    let wanted: Answers = serde_json::from_value(answers).expect("members by moment and segment");
    let told = case.differences(&case.run(), &wanted);
    assert!(told.is_empty(), "KINDRED_SEED={seed}: {} differ\n{}", told.len(), told.join("\n"));
    Some(wanted)
}

#[test]
fn random_rules_have_the_members_that_sql_finds() {
    for seed in seeds(FAILED, USUAL) {
        let Some(wanted) = compared(seed, &Case::eventful(seed)) else { return };
        let telling = |members: &&BTreeSet<String>| (1..PROFILES).contains(&members.len());
        let telling = wanted.iter().flat_map(BTreeMap::values).filter(telling).count();
        assert!(telling > MOMENTS.len() * RULES / 3, "most rules of {seed} hold for nobody or for everybody");
    }
}

#[test]
fn time_alone_moves_members_when_sql_says_so() {
    let (mut moved, seeds) = (false, seeds(FAILED, USUAL));
    for seed in &seeds {
        let Some(wanted) = compared(*seed, &Case::quiet(*seed)) else { return };
        moved |= wanted.windows(2).any(|pair| pair[0] != pair[1]);
    }
    assert!(moved || seeds.len() == 1, "time changed nothing");
}

//! SQL on workers: the answers are those of the file that the events came from, also when workers are killed.

use crate::{
    kills::{random, runs},
    processes::{House, Process, stored},
};
use kindred_core::store::Store;
use roaring::RoaringBitmap;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

/// Three stages: scan, shuffle by profile and category, shuffle by category.
const SQL: &str = "SELECT category, count(*) AS events, count(DISTINCT profile_id) AS profiles, \
                   sum(CAST(round(amount * 100) AS BIGINT)) AS cents \
                   FROM events GROUP BY category ORDER BY category";

/// Who bought at least so often, in two categories or more.
fn regulars(times: u32) -> String {
    format!(
        "SELECT profile_id FROM events WHERE event = 'purchase' GROUP BY profile_id \
         HAVING count(*) >= {times} AND count(DISTINCT category) >= 2"
    )
}

/// The table `[engine]` of a pipeline.
fn engine(workers: &[Process; 2]) -> String {
    let [one, other] = workers.each_ref().map(|worker| worker.address.as_str());
    format!(
        "[engine]\nkind = \"distributed\"\nworkers = [\"{one}\", \"{other}\"]\nshared = \"shared\"\nretries = 1\n"
    )
}

fn cluster(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kindred-cluster")).current_dir(dir).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn rows(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What [`SQL`] asks, from the rows of the file that are kept.
fn wanted(csv: &Path) -> Value {
    let mut found: BTreeMap<String, (u64, BTreeSet<String>, u64)> = BTreeMap::new();
    let text = fs::read_to_string(csv).unwrap();
    for line in text.lines().skip(1).filter(|line| line.ends_with("granted")) {
        let cells: Vec<&str> = line.split(',').collect();
        let (events, profiles, cents) = found.entry(cells[4].to_owned()).or_default();
        let (whole, part) = cells[5].split_once('.').unwrap();
        *events += 1;
        *cents += whole.parse::<u64>().unwrap() * 100 + part.parse::<u64>().unwrap();
        profiles.insert(cells[1].to_owned());
    }
    let row = |(category, (events, profiles, cents)): (_, (u64, BTreeSet<String>, u64))| json!({"category": category, "events": events, "profiles": profiles.len(), "cents": cents});
    found.into_iter().map(row).collect()
}

#[test]
fn queries_are_answered_right_while_workers_are_killed() {
    let mut house = House::generated(30_000, 400_000);
    let shared = house.shared();
    let mut workers = [Process::start(&shared), Process::start(&shared)];
    let addresses = format!("{},{}", workers[0].address, workers[1].address);
    // Publishes.
    let mut passes = house.cluster(&[&workers[0], &workers[1]], 60_000, 5);
    house.pass(&mut passes).unwrap();
    let House { dir, store, .. } = house;
    drop((store, passes));
    let wanted = wanted(&dir.path().join("events.csv"));
    let ask = |sql: &str| {
        let called = ["query", "--workers", &addresses, "--verbose", "--snapshot", "shared", "--json", sql];
        cluster(dir.path(), &called)
    };
    let plan = said(&ask(&format!("EXPLAIN ANALYZE {SQL}")));
    assert!(plan.contains("NetworkShuffle"), "it runs on workers: {plan}");
    let begun = Instant::now();
    assert_eq!(rows(&ask(SQL)), wanted);
    let takes = begun.elapsed();

    let (mut seed, mut disturbed, mut slowest) = (0x5151_u64, 0, Duration::ZERO);
    let runs = runs();
    for run in 0..runs {
        let (share, victim) = random(&mut seed);
        let victim = &mut workers[victim];
        let begun = Instant::now();
        let output = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(takes.mul_f64(share));
                victim.kill();
            });
            ask(SQL)
        });
        assert_eq!(rows(&output), wanted, "run {run}: {}", said(&output));
        disturbed += u32::from(said(&output).contains("the query failed"));
        slowest = slowest.max(begun.elapsed());
        victim.restart();
    }
    eprintln!(
        "{runs} queries of {takes:.2?} with a worker killed in each: {runs} right answers; {disturbed} were sent again, \
         the slowest took {slowest:.2?}"
    );
    assert!(disturbed * 3 >= runs, "only {disturbed} of {runs} kills met a query");

    // As an operator asks, and what is the query's own fault.
    let pipeline = fs::read_to_string(dir.path().join("pipeline.toml")).unwrap();
    fs::write(dir.path().join("pipeline.toml"), pipeline + &engine(&workers)).unwrap();
    assert_eq!(rows(&cluster(dir.path(), &["query", "pipeline.toml", SQL, "--json"])), wanted);
    let wrong = cluster(dir.path(), &["query", "pipeline.toml", "SELECT nothing FROM events"]);
    assert!(!wrong.status.success() && said(&wrong).contains("nothing"), "{}", said(&wrong));
    drop(workers);
    let alone = cluster(dir.path(), &["query", "pipeline.toml", SQL]);
    assert!(!alone.status.success() && said(&alone).contains("no worker is left"), "{}", said(&alone));
}

/// The consenting profiles that [`regulars`] answers with, from the rows of the file that are kept.
fn wanted_regulars(dir: &Path, times: usize) -> RoaringBitmap {
    let mut bought: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let text = fs::read_to_string(dir.join("events.csv")).unwrap();
    for line in text.lines().skip(1).filter(|line| line.ends_with("granted")) {
        let cells: Vec<&str> = line.split(',').collect();
        if cells[3] == "purchase" {
            bought.entry(cells[1].to_owned()).or_default().push(cells[4].to_owned());
        }
    }
    let is_regular = |categories: &Vec<String>| {
        categories.len() >= times && categories.iter().collect::<BTreeSet<_>>().len() >= 2
    };
    let mut store = Store::existing(&dir.join("store")).unwrap();
    let found = bought.iter().filter(|(_, categories)| is_regular(categories));
    let profiles: Vec<u32> = found
        .map(|(cookie, _)| store.identity.find(&store.tables, "cookie", cookie).unwrap().unwrap())
        .collect();
    let consents = |profile: &u32| store.profiles.get(&store.tables, *profile).unwrap().consents();
    profiles.into_iter().filter(consents).collect()
}

fn audiences(dir: &Path) -> BTreeMap<String, RoaringBitmap> {
    stored(&Store::existing(&dir.join("store")).unwrap())
}

#[test]
fn an_audience_of_sql_is_found_on_workers_and_stays_as_it_was_without_them() {
    let house = House::generated(30_000, 400_000);
    let shared = house.shared();
    let workers = [Process::start(&shared), Process::start(&shared)];
    let engine = engine(&workers);
    let House { dir, store, .. } = house;
    drop(store);
    let (dir, file) = (dir.path(), dir.path().join("pipeline.toml"));
    let rules = fs::read_to_string(&file).unwrap();
    let query = |times| format!("[segments.regulars]\nsql = \"{}\"\n", regulars(times));
    let above = "[segments.faithful]\nrule = \"in_segment('regulars') AND NOT in_segment('lapsed')\"\n";
    fs::write(&file, format!("{rules}{}{above}{engine}", query(3))).unwrap();
    let run = cluster(dir, &["run", "pipeline.toml"]);
    assert!(run.status.success(), "{}", said(&run));

    let (wanted, found) = (wanted_regulars(dir, 3), audiences(dir));
    assert!(found["regulars"] == wanted, "{} of {}", found["regulars"].len(), wanted.len());
    let faithful = &wanted - &found["lapsed"];
    assert!(found["faithful"] == faithful, "{} of {}", found["faithful"].len(), faithful.len());
    assert!(!faithful.is_empty());
    let plan = format!("EXPLAIN ANALYZE {}", regulars(3));
    let plan = said(&cluster(dir, &["query", "pipeline.toml", &plan, "--json"]));
    assert!(plan.contains("NetworkShuffle"), "it runs on workers: {plan}");

    // Nobody but the query asks workers for anything now.
    drop(workers);
    fs::write(&file, format!("{rules}{}{engine}", query(4))).unwrap();
    let alone = said(&cluster(dir, &["run", "pipeline.toml"]));
    assert!(alone.contains("segment `regulars`") && alone.contains("no worker is left"), "{alone}");
    assert!(audiences(dir)["regulars"] == wanted, "who was in it still is");
}

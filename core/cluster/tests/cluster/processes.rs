//! Workers as processes of their own, and the pipelines that they work for.

use kindred_cluster::Cluster;
use kindred_core::{
    config::{self, Distributed, Pipeline},
    plugin::registry::Registry,
    publish::MANIFEST,
    segment::{
        self, bitmap,
        engine::{Engine as _, FullPass, Passed},
        group::{self, Group},
        timers::Timers,
    },
    step::{self, Observer},
    store::{Store, tables},
};
use roaring::RoaringBitmap;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// A worker on loopback; killed when dropped.
pub(crate) struct Process {
    pub(crate) address: String,
    shared: PathBuf,
    child: Child,
    _stderr: BufReader<ChildStderr>,
}

impl Process {
    /// On a free port.
    pub(crate) fn start(shared: &Path) -> Self {
        Self::on("127.0.0.1:0", shared)
    }

    fn on(listen: &str, shared: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kindred-cluster"))
            .args(["worker", "--listen", listen, "--shared"])
            .arg(shared)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let told = line.strip_prefix("worker: listening on ").unwrap_or_else(|| panic!("{line}"));
        let address = told.split(',').next().unwrap().to_owned();
        Self { address, shared: shared.to_owned(), child, _stderr: stderr }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Killed, and started again on the same address.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let (address, shared) = (self.address.clone(), self.shared.clone());
        *self = Self::on(&address, &shared);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Silent;

impl Observer for Silent {
    fn rows(&self, _: u64, _: u64) {}
    fn stage(&self, _: &str) {}
}

/// A folder with a pipeline, its store filled by the embedded engine.
pub(crate) struct House {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) pipeline: Pipeline,
    pub(crate) store: Store,
    /// Rule groups, opened once more.
    pub(crate) groups: Vec<Group>,
}

impl House {
    /// Events of `profiles` profiles, generated: rules of all kinds over them, and some who do not consent.
    pub(crate) fn generated(profiles: u32, events: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let csv = std::io::BufWriter::new(fs::File::create(dir.path().join("events.csv")).unwrap());
        write_events(csv, profiles, events);
        let file = dir.path().join("pipeline.toml");
        fs::write(&file, PIPELINE).unwrap();
        let registry = Registry::new();
        let pipeline = config::load(&file, &[], &registry).unwrap_or_else(|problems| panic!("{problems}"));
        step::run(&pipeline, &registry, &Silent, &Arc::default()).unwrap();
        let store = Store::existing(&pipeline.store).unwrap();
        let all = store.identity.all();
        let denied = all.iter().filter(|profile| !store.profiles.consents(*profile)).count();
        assert!(denied as u64 > all.len() / 50, "some do not consent");
        assert!(stored(&store).values().all(|members| !members.is_empty()), "each rule holds for somebody");
        let groups = group::open(&pipeline, &registry, &store, &BTreeMap::new(), |name, _| {
            let model: Option<segment::Model> = tables::read(&store.tables.models, name)?;
            Ok(model.map(|model| model.state))
        })
        .unwrap();
        assert!(groups.iter().any(|group| group.origin.state.is_some()), "some were learnt from everybody");
        Self { dir, pipeline, store, groups }
    }

    pub(crate) fn shared(&self) -> PathBuf {
        self.dir.path().join("shared")
    }

    pub(crate) fn cluster(&self, workers: &[&Process], deadline_ms: u64, retries: u32) -> Cluster {
        let workers = workers.iter().map(|w| w.address.clone()).collect();
        Cluster::new(&Distributed { workers, shared: self.shared(), deadline_ms, retries }).unwrap()
    }

    /// A full pass of all groups, and how long it took.
    pub(crate) fn pass(&mut self, cluster: &mut Cluster) -> kindred_core::Result<(Vec<Passed>, Duration)> {
        let moment = step::moment(&self.pipeline, &self.store);
        let mut members: BTreeMap<String, RoaringBitmap> = stored(&self.store);
        let begun = Instant::now();
        let mut all = Vec::new();
        for group in &self.groups {
            let Group { name, origin, segments, schema, .. } = group;
            let pass = FullPass { group: name, origin, segments, schema, moment: &moment, members: &members };
            let passed = cluster.evaluate(&mut self.store, &pass)?;
            members.extend(segments.iter().cloned().zip(passed.members.iter().cloned()));
            all.push(passed);
        }
        Ok((all, begun.elapsed()))
    }

    /// The answer is that of the embedded engine: every audience byte for byte, and every due time.
    pub(crate) fn assert_right(&self, passed: &[Passed]) {
        let mut due: BTreeMap<u32, i64> = BTreeMap::new();
        for (group, passed) in self.groups.iter().zip(passed) {
            for (name, members) in group.segments.iter().zip(&passed.members) {
                let record: segment::Membership =
                    tables::read(&self.store.tables.segments, name).unwrap().unwrap();
                assert!(segment::bytes(members) == record.members, "members of `{name}`");
            }
            for (profile, time) in &passed.due_us {
                due.entry(*profile).and_modify(|t| *t = (*t).min(*time)).or_insert(*time);
            }
        }
        assert_eq!(due, timers(&self.store));
    }
}

/// Memberships as stored.
pub(crate) fn stored(store: &Store) -> BTreeMap<String, RoaringBitmap> {
    let records = tables::scan(&store.tables.segments, []).unwrap();
    let named = records.into_iter().map(|(name, record)| {
        let record: segment::Membership = postcard::from_bytes(&record).unwrap();
        (String::from_utf8(name).unwrap(), bitmap(&record.members).unwrap())
    });
    named.collect()
}

/// Due times as stored.
pub(crate) fn timers(store: &Store) -> BTreeMap<u32, i64> {
    let timers = Timers::open(&store.tables).unwrap();
    let due = |profile| Some((profile, timers.of(profile)?));
    store.identity.all().into_iter().filter_map(due).collect()
}

/// Every file below a folder, into another.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(drop).unwrap() }
    }
}

/// A folder of what was published, as JSON.
pub(crate) fn manifest(shared: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(shared.join(MANIFEST)).unwrap()).unwrap()
}

fn write_events(mut csv: impl Write, profiles: u32, events: u32) {
    const EVENTS: [&str; 4] = ["view", "view", "cart", "purchase"];
    const CATEGORIES: [&str; 5] = ["coats", "shoes", "hats", "toys", "books"];
    writeln!(csv, "id,cookie,time,event,category,amount,consent").unwrap();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u32| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((seed >> 33) % u64::from(below)) as u32
    };
    for id in 0..events {
        // The first profiles have many more events than the last.
        let cookie = next(profiles).min(next(profiles));
        let (day, second) = (1 + next(28), next(86_400));
        let time =
            format!("2026-01-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60);
        let (event, category) = (EVENTS[next(4) as usize], CATEGORIES[next(5) as usize]);
        // Some change their mind on the last days; the row that says so is not kept.
        let consent = if cookie % 17 == 3 && day > 26 { "denied" } else { "granted" };
        let amount = next(10_000);
        writeln!(
            csv,
            "{id},c{cookie},{time},{event},{category},{}.{:02},{consent}",
            amount / 100,
            amount % 100
        )
        .unwrap();
    }
    csv.flush().unwrap();
}

const PIPELINE: &str = r#"
[pipeline]
store = "store"
clock = "events"

[sources.shop]
plugin = "file-events"
[sources.shop.config]
path = "events.csv"
time = "time"
event = { column = "event" }
event_id = ["id"]
identifiers = { cookie = "cookie" }
properties = { category = "category", amount = { column = "amount", type = "decimal" } }
consent = "consent"

[segments]
buyers.rule = "did(event = 'purchase')"
coats.rule = "count(event = 'view' AND category = 'coats', '7 days') >= 2"
abandoners.rule = "did(event = 'cart', '3 days') AND NOT did(event = 'purchase', '3 days')"
spenders.rule = "sum(amount, event = 'purchase', '14 days') > 300"
careful.rule = "avg(amount, event = 'purchase') < 40"
curious.rule = "count_distinct(category, event = 'view', '10 days') >= 4"
lapsed.rule = "days_since(event = 'purchase') > 5"
bookish.rule = "count(category = 'books') * 3 > count(TRUE)"
first-shoes.rule = "first(category, TRUE) = 'shoes'"
last-hats.rule = "last(category, event = 'view') = 'hats'"
decided.rule = "sequence(event = 'view' THEN event = 'cart' THEN event = 'purchase' WITHIN '3 days')"
this-week.rule = "did(event = 'purchase', 'this week in Europe/Berlin')"
last-week.rule = "count_distinct_days(TRUE, 'previous week in Europe/Berlin') >= 2"
top.rule = "percentile(sum(amount, event = 'purchase', '14 days')) >= 90"
eager.rule = "count(event = 'view') > total(count(event = 'view')) / total(1)"
nested.rule = "in_segment('buyers') AND NOT in_segment('lapsed') AND consent() = 'granted'"
"#;

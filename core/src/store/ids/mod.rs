//! De-duplication: what came under which id in the last 30 days. 128 bits an event: 88 of its id's hash, 16 that tell
//! which columns its content was read from, 24 of the content's hash.
//!
//! The latest are in memory, with one file a step behind them. When they are many, they are written in order as a run, and
//! runs become larger ones, on a thread of its own: what stays in memory of a run is a filter of twelve bits an id.

mod filter;
mod id;
mod run;
mod set;

pub use id::{Id, Says, Seen};

use super::{
    files::{Content, Entry, Files},
    tables::{Change, Tables},
};
use crate::{Error, Result};
use id::{ID, ids_of};
use run::{Run, To};
use set::{Set, by_part};
use std::{fs::File, io, sync::Arc, thread::JoinHandle};

/// Days that an id is remembered for at least, counted from its ingestion.
const WINDOW_DAYS: i64 = 30;
/// Files of one size class that are merged into one.
const FAN_IN: usize = 16;
/// Files of at least this many ids stay as they are, so that no step writes more than sixteen times this.
const LARGE: u64 = 65_536;
/// Ids in memory that become a run.
const RECENT: usize = 1 << 20;
/// Runs of one size class that become one.
const RUNS: usize = 8;
/// Runs of so many ids stay as they are: merging eight would read and write more than half a minute of a disk's time.
const LARGEST: u64 = 1 << 29;

/// The ids that were seen. They are read when the first event comes: a command that only looks does not wait for them.
pub struct Ids {
    /// In memory.
    recent: Option<Set>,
    /// So many of them become a run.
    limit: usize,
    /// In memory until they are a run.
    leaving: Option<Arc<Set>>,
    /// On disk.
    runs: Vec<Arc<Run>>,
    work: Option<Work>,
    fresh: Vec<Id>,
}

/// A run that is written.
struct Work {
    name: String,
    file: File,
    /// Files whose ids it has.
    of: Vec<String>,
    thread: Option<JoinHandle<Result<Entry>>>,
}

impl Work {
    fn is_done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // What it wrote is named by no commit and removed at the next start.
            let _ = thread.join();
        }
    }
}

impl Default for Ids {
    fn default() -> Self {
        let (recent, leaving, work) = (None, None, None);
        Self { recent, limit: RECENT, leaving, runs: Vec::new(), work, fresh: Vec::new() }
    }
}

impl std::fmt::Debug for Ids {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let recent = self.recent.as_ref().map(|recent| recent.len);
        f.debug_struct("Ids").field("recent", &recent).field("runs", &self.runs.len()).finish_non_exhaustive()
    }
}

impl Ids {
    /// Reads what is remembered.
    pub(super) fn load(&mut self, files: &Files) -> Result<()> {
        if self.recent.is_some() {
            return Ok(());
        }
        let open = |(name, entry): (&String, &Entry)| Run::open(files, name, entry).map(Arc::new);
        self.runs = files.of(Content::SortedIds).map(open).collect::<Result<_>>()?;
        let rows: u64 = files.of(Content::Ids).map(|(_, entry)| entry.rows).sum();
        let mut recent = Set::with_capacity(rows as usize);
        for (name, _) in files.of(Content::Ids) {
            for id in ids_of(&files.read(name)?) {
                recent.insert(id);
            }
        }
        self.recent = Some(recent);
        Ok(())
    }

    /// What was known of each id; remembers those that are new. Of equal ones the first is new.
    ///
    /// # Errors
    /// When a run is damaged, or what the disk says.
    pub(super) fn insert(&mut self, keys: &[Id]) -> Result<Vec<Seen>> {
        let order = by_part(keys);
        let mut found = vec![Seen::Never; keys.len()];
        self.runs.iter().try_for_each(|run| run.look(keys, &order, &mut found))?;
        let recent = self.recent.get_or_insert_with(|| Set::with_capacity(0));
        for row in order {
            let (key, found) = (keys[row as usize], &mut found[row as usize]);
            if *found == Seen::Never {
                let leaving = self.leaving.as_ref().and_then(|leaving| leaving.get(key));
                let first = leaving.or_else(|| recent.insert(key));
                *found = first.map_or(Seen::Never, |first| key.beside(first));
            }
        }
        let new = keys.iter().zip(&found).filter(|(_, seen)| **seen == Seen::Never);
        self.fresh.extend(new.map(|(key, _)| *key));
        Ok(found)
    }

    /// Writes the step's new ids, merges small files and retires expired ones; answers the names to sweep.
    pub(super) fn save(
        &mut self,
        files: &mut Files,
        tables: &Tables,
        change: &mut Change,
    ) -> Result<Vec<String>> {
        let mut retired = self.take_over((files, tables, change))?;
        retired.extend(self.expired(files));
        self.write_fresh(&mut retired, (files, tables, change))?;
        for name in &retired {
            files.retire(tables, change, name);
        }
        self.runs.retain(|run| !retired.contains(&run.name));
        self.begin(files)?;
        Ok(retired)
    }

    /// Names a run that was written; answers the files that it takes the place of. Waits for it only where too many ids are
    /// in memory.
    fn take_over(&mut self, (files, tables, change): Disk<'_>) -> Result<Vec<String>> {
        let is_full = self.is_full();
        let Some(mut work) = self.work.take_if(|work| work.is_done() || is_full) else {
            return Ok(Vec::new());
        };
        let ended = || Err(Error::io("the thread of ids")(io::Error::other("it ended")));
        let entry =
            work.thread.take().map_or_else(ended, |thread| thread.join().unwrap_or_else(|_| ended()))?;
        files.name(tables, change, &work.name, &work.file, entry.clone())?;
        self.runs.push(Arc::new(Run::open(files, &work.name, &entry)?));
        self.leaving = None;
        Ok(std::mem::take(&mut work.of))
    }

    /// Files of ids that need not be remembered any more.
    fn expired(&self, files: &Files) -> Vec<String> {
        let first = crate::clock::now_us().div_euclid(super::DAY_US) - WINDOW_DAYS;
        let all = files.of(Content::Ids).chain(files.of(Content::SortedIds));
        let expired = all.filter(|(name, entry)| entry.day < first && !self.is_moving(name));
        expired.map(|(name, _)| name.clone()).collect()
    }

    /// Whether a run is written that has the ids of this file.
    fn is_moving(&self, name: &String) -> bool {
        self.work.as_ref().is_some_and(|work| work.of.contains(name))
    }

    fn is_full(&self) -> bool {
        self.recent.as_ref().is_some_and(|recent| recent.len >= self.limit)
    }

    fn write_fresh(&mut self, retired: &mut Vec<String>, (files, tables, change): Disk<'_>) -> Result<()> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let today = crate::clock::now_us().div_euclid(super::DAY_US);
        let mut bytes: Vec<u8> = Vec::with_capacity(self.fresh.len() * ID);
        // Sixteen of a class make one of the next, which may be the sixteenth there.
        let mut rows = self.fresh.len() as u64;
        while rows < LARGE {
            let alike = files.of(Content::Ids).filter(|(name, entry)| {
                let alike = entry.day == today && class(entry.rows) == class(rows);
                alike && !self.is_moving(name) && !retired.contains(name)
            });
            let alike: Vec<(String, u64)> = alike.map(|(name, entry)| (name.clone(), entry.rows)).collect();
            if alike.len() + 1 < FAN_IN {
                break;
            }
            for (name, more) in alike {
                bytes.extend(files.read(&name)?);
                retired.push(name);
                rows += more;
            }
        }
        bytes.extend(self.fresh.drain(..).flat_map(Id::to_bytes));
        files.add(tables, change, Content::Ids, bytes.len() / ID, &bytes)
    }

    /// Begins to write a run where there is something to write.
    fn begin(&mut self, files: &mut Files) -> Result<()> {
        if self.work.is_some() {
            return Ok(());
        }
        if self.is_full()
            && let Some(recent) = self.recent.replace(Set::with_capacity(self.limit))
        {
            let of: Vec<(String, i64)> =
                files.of(Content::Ids).map(|(name, entry)| (name.clone(), entry.day)).collect();
            let leaving = Arc::new(recent);
            self.leaving = Some(leaving.clone());
            let what = (leaving.len as u64, of);
            return self.start(files, what, move |to| to.write(leaving.ascending()));
        }
        let Some(alike) = self.alike() else { return Ok(()) };
        let of = alike.iter().map(|run| (run.name.clone(), run.day)).collect();
        let what = (alike.iter().map(|run| run.rows).sum(), of);
        self.start(files, what, move |to| to.write(run::merged(&alike)))
    }

    /// Runs that are to become one.
    fn alike(&self) -> Option<Vec<Arc<Run>>> {
        let size = |run: &Run| (run.rows / self.limit.max(1) as u64).max(1).ilog2() / RUNS.ilog2();
        let small = || self.runs.iter().filter(|run| run.rows < LARGEST);
        small().find_map(|one| {
            let alike: Vec<Arc<Run>> = small().filter(|run| size(run) == size(one)).cloned().collect();
            (alike.len() >= RUNS).then_some(alike)
        })
    }

    /// Begins to write a run of so many ids of these files.
    fn start(
        &mut self,
        files: &mut Files,
        (rows, of): (u64, Vec<(String, i64)>),
        write: impl FnOnce(To<'_>) -> Result<Entry> + Send + 'static,
    ) -> Result<()> {
        let (name, path, file) = files.create(Content::SortedIds)?;
        let day = of.iter().map(|(_, day)| *day).max().unwrap_or(0);
        let of = of.into_iter().map(|(name, _)| name).collect();
        let out = file.try_clone().map_err(Error::io(&path))?;
        let write = move || write(To { path: &path, file: &out, rows, day });
        let thread = std::thread::Builder::new().name("ids".into()).spawn(write);
        let thread = Some(thread.map_err(Error::io("the thread of ids"))?);
        self.work = Some(Work { name, file, of, thread });
        Ok(())
    }
}

type Disk<'a> = (&'a mut Files, &'a Tables, &'a mut Change);

fn class(rows: u64) -> u32 {
    rows.max(1).ilog2() / FAN_IN.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

        /// A key is new exactly once, in whatever batches, commits and starts, whether it is in memory or in a run, and what
        /// comes under it later is told from what came first, as far as they can be compared.
        #[test]
        fn an_id_is_new_once(
            batches in proptest::collection::vec(
                proptest::collection::vec((0_u16..900, 0_u64..2, 0_u16..2), 0..120), 1..40),
            restart in 0_usize..40, limit in proptest::sample::select(vec![3, 40, 300, RECENT]),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let open = || {
                let mut store = Store::open(dir.path()).unwrap();
                store.ids.limit = limit;
                store
            };
            let mut store = open();
            let mut known = std::collections::BTreeMap::new();
            for (number, batch) in batches.iter().enumerate() {
                if number == restart {
                    drop(store);
                    store = open();
                }
                store.expect_events().unwrap();
                let content = |says: u64, columns| Says { columns, hash: says << 50 };
                let key = |(id, says, from): &(u16, u64, u16)| {
                    Id::new("a source", &id.to_le_bytes(), content(*says, *from))
                };
                let keys: Vec<Id> = batch.iter().map(key).collect();
                let mut seen = |(id, says, from): &(u16, u64, u16)| match known.get(id) {
                    None => {
                        known.insert(*id, (*says, *from));
                        Seen::Never
                    }
                    Some((first, columns)) if columns == from && first != says => Seen::Other,
                    Some(_) => Seen::Again,
                };
                let expected: Vec<Seen> = batch.iter().map(&mut seen).collect();
                proptest::prop_assert_eq!(store.are_new(&keys).unwrap(), expected);
                let change = store.tables.change();
                store.commit(change, Vec::new()).unwrap();
            }
            let small = store.files.of(Content::Ids).count();
            proptest::prop_assert!(small < 3 * FAN_IN, "small files are merged: {} files", small);
        }
    }

    /// Ids of a source, from one number on.
    fn some(first: u64, count: u64) -> Vec<Id> {
        (first..first + count).map(|id| Id::new("a source", &id.to_le_bytes(), Says::default())).collect()
    }

    /// Takes ids in, in commits of a thousand, and waits until nothing is written any more.
    fn take_in(store: &mut Store, ids: &[Id]) {
        store.expect_events().unwrap();
        let mut commits = ids.chunks(1_000);
        loop {
            let next = commits.next();
            let seen = store.are_new(next.unwrap_or_default()).unwrap();
            assert!(seen.iter().all(|seen| *seen == Seen::Never));
            let change = store.tables.change();
            store.commit(change, Vec::new()).unwrap();
            match &store.ids.work {
                None if next.is_none() => break,
                Some(work) if next.is_none() => while !work.is_done() {},
                _ => {}
            }
        }
    }

    #[test]
    fn runs_become_one_and_little_stays_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.ids.limit = 1_000;
        take_in(&mut store, &some(0, 70_000));
        let Ids { recent, runs, .. } = &store.ids;
        assert!(recent.as_ref().unwrap().len < 2_000 && runs.len() < 2 * RUNS, "{:?}", store.ids);
        let in_runs: u64 = runs.iter().map(|run| run.rows).sum();
        assert_eq!(in_runs + recent.as_ref().unwrap().len as u64, 70_000);
        assert!(
            runs.iter().any(|run| run.rows >= 64_000),
            "{:?}",
            runs.iter().map(|r| r.rows).collect::<Vec<_>>()
        );
        let on_disk = std::fs::read_dir(dir.path().join("files")).unwrap().count();
        assert_eq!(on_disk, store.files.of(Content::Ids).chain(store.files.of(Content::SortedIds)).count());
        drop(store);
        let mut store = Store::open(dir.path()).unwrap();
        store.expect_events().unwrap();
        let seen = store.are_new(&some(69_990, 20)).unwrap();
        assert_eq!(seen, [[Seen::Again; 10], [Seen::Never; 10]].concat());
    }

    #[test]
    fn a_flipped_bit_of_a_run_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.ids.limit = 1_000;
        let ids = some(0, 3_000);
        take_in(&mut store, &ids);
        let name = store.ids.runs[0].name.clone();
        drop(store);
        let path = dir.path().join("files").join(name);
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(whole.len() / 40) {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            std::fs::write(&path, bytes).unwrap();
            let mut store = Store::open(dir.path()).unwrap();
            let found = store.expect_events().and_then(|()| store.are_new(&ids));
            assert!(matches!(found, Err(crate::Error::Damaged { .. })), "at {at}");
        }
    }

    /// Of ids that are not there, few ask for the disk.
    #[test]
    fn a_filter_spares_the_disk() {
        let mut filter = filter::Filter::new(100_000);
        some(0, 100_000).into_iter().for_each(|id| filter.insert(id));
        let again = filter::Filter::from_bytes(&filter.to_bytes().collect::<Vec<_>>());
        assert!(some(0, 100_000).into_iter().all(|id| again.may_have(id)));
        let wrong = some(100_000, 100_000).into_iter().filter(|id| again.may_have(*id)).count();
        assert!(wrong < 1_000, "{wrong} of 100,000");
    }
}

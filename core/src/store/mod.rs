//! The store: one folder, no server, one writer. A step's files are written and synced first, then one commit of the
//! state database names them together with everything else that the step changed. That may happen while the next step
//! is prepared, but commits follow each other, and whoever must know that one is durable waits for it.
//!
//! ```text
//! LOCK      who works in it
//! FORMAT    version of this layout
//! state/    fjall: positions, identifiers, profiles, memberships, timers, outbox, dead letters
//! files/    events in profile order (Arrow IPC, a record batch a block), ids of ingested events, attributes and
//!           consent by column
//! ```
//!
//! A commit names each file of events together with what lies where in it, so that opening a store reads no events: the
//! list of profiles and the columns of a block are read, and proved, when they are first asked for.
//!
//! Invariants: nothing in `files/` is changed after it was named; a file that no commit names is removed at the next
//! start; whatever is resident can be rebuilt from what is committed.

pub mod ages;
pub mod block;
pub mod clone;
pub mod columns;
mod commits;
pub mod dead_letters;
pub mod events;
pub mod files;
mod gather;
pub mod ids;
mod journals;
pub mod kept;
mod lock;
mod merge;
mod order;
mod runs;
pub mod segment;
pub mod span;
pub mod tables;
pub mod widths;
mod write;

use crate::{
    Error, Result,
    identity::{Identity, Limited},
    profile::Profiles,
};
use ages::Ages;
use arrow::array::RecordBatch;
use columns::Columns;
use commits::{Commit, Commits};
use dead_letters::{DeadLetter, Refused};
use events::Events;
use files::Files;
use ids::{Id, Ids, Seen};
use kept::Kept;
use segment::Segment;
use serde::{Deserialize, Serialize};
use span::Span;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};
use tables::{Change, Tables};

/// Microseconds of a day.
pub const DAY_US: i64 = 86_400_000_000;
/// Profiles of a page, by number: what lies together on disk and is evaluated together. Large enough that the fixed cost
/// of a call vanishes, small enough that a page's events stay in a processor's cache.
pub const PAGE: u32 = 4_096;
/// Version of the layout on disk.
const FORMAT: u32 = 7;

/// The page of a profile.
pub(crate) fn page(profile: u32) -> u32 {
    profile / PAGE
}

/// Figures over the life of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Steps that changed anything.
    pub commits: u64,
    /// Commits that changed what a profile is or did; models are fitted anew only when it moved.
    pub changes: u64,
    /// Events stored.
    pub events: u64,
    /// Latest event time, microseconds since 1970; `i64::MIN` before the first.
    pub latest_us: i64,
    /// Number of the last dead letter.
    pub dead_letters: u64,
}

/// An open store.
#[derive(Debug)]
pub struct Store {
    /// First, so that it ends before the lock is given back.
    commits: Commits,
    _lock: lock::Lock,
    /// The state database.
    pub tables: Tables,
    files: Files,
    /// Event columns and dictionaries.
    pub columns: Columns,
    /// Events.
    pub events: Events,
    ids: Ids,
    /// Identifiers and which profile they belong to.
    pub identity: Identity,
    /// Identifiers that may not go everywhere.
    pub limited: Limited,
    /// How long what sources brought counts.
    pub ages: Ages,
    /// Profiles.
    pub profiles: Profiles,
    /// Figures.
    pub totals: Totals,
    /// Rows of dead letters may be kept.
    keeps: bool,
}

impl Store {
    /// Opens a store, or creates it.
    ///
    /// # Errors
    /// [`Error::Held`], [`Error::OtherFormat`], [`Error::Damaged`], or what the disk says.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_to(dir, false)
    }

    fn open_to(dir: &Path, only_look: bool) -> Result<Self> {
        fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let lock = lock::Lock::take(dir)?;
        check_format(dir)?;
        let tables = Tables::open(&dir.join("state"), only_look)?;
        let files = Files::open(dir.join("files"), &tables)?;
        let identity = Identity::open(&tables)?;
        let fresh = Totals { latest_us: i64::MIN, ..Totals::default() };
        Ok(Self {
            commits: Commits::default(),
            _lock: lock,
            columns: Columns::open(&tables)?,
            events: Events::open(&files)?,
            ids: Ids::default(),
            profiles: Profiles::open(&tables, &files, identity.next())?,
            limited: Limited::open(&tables)?,
            ages: Ages::open(&tables)?,
            identity,
            keeps: !kept::list(&tables)?.is_empty(),
            totals: tables::read(&tables.meta, "totals")?.unwrap_or(fresh),
            files,
            tables,
        })
    }

    /// Whether there is a store already.
    pub fn is_at(dir: &Path) -> bool {
        dir.join("FORMAT").exists()
    }

    /// Opens a store that must be there already.
    ///
    /// # Errors
    /// As [`Self::open`], and [`Error::NotFound`].
    pub fn existing(dir: &Path) -> Result<Self> {
        must_be_at(dir)?;
        Self::open(dir)
    }

    /// The same for who commits nothing, which opens quicker: nothing is tidied up behind it.
    ///
    /// # Errors
    /// As [`Self::existing`].
    pub fn look(dir: &Path) -> Result<Self> {
        must_be_at(dir)?;
        Self::open_to(dir, true)
    }

    /// Up to where a source's rows are committed, as the source told it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn position(&self, source: &str) -> Result<Option<Vec<u8>>> {
        let position = self.tables.positions.get(source).map_err(Error::State)?;
        Ok(position.map(|position| position.to_vec()))
    }

    /// Adds refused rows of a source to a change, and keeps those of `rows`, as the source handed them out, that may be
    /// kept.
    ///
    /// # Errors
    /// When a record cannot be written.
    pub fn dead_letter(
        &mut self,
        change: &mut Change,
        source: &str,
        refused: &[Refused],
        rows: &RecordBatch,
    ) -> Result<()> {
        self.keeps |= refused.iter().any(|refused| refused.keep);
        dead_letters::add(&self.tables, change, &mut self.totals.dead_letters, source, refused, rows)
    }

    /// What became of letters whose rows were taken once more: the `still` refused stay with their new reason, the others
    /// are removed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn replayed(
        &mut self,
        change: &mut Change,
        kept: Kept,
        letters: &[u64],
        still: &BTreeMap<u64, &Refused>,
    ) -> Result<()> {
        dead_letters::replayed(&self.tables, change, kept, letters, still)
    }

    /// Forgets what is kept of rows of people who deny, in a commit of its own.
    ///
    /// # Errors
    /// When the database fails.
    pub fn deny(&mut self, who: &BTreeSet<u128>) -> Result<()> {
        if who.is_empty() || !self.keeps {
            return Ok(());
        }
        // What an earlier step kept must be there to be found.
        self.settle()?;
        let mut change = self.tables.change();
        if dead_letters::deny(&self.tables, &mut change, who)? {
            self.files.commit(change, &[]).make()?;
        }
        Ok(())
    }

    /// Whether an event has ever had a value in a column, as far as they are still stored.
    pub fn holds(&self, column: &str) -> bool {
        self.columns.is_used(column) || self.events.has(column)
    }

    /// Rows of dead letters that can be replayed, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn kept(&self) -> Result<Vec<u64>> {
        kept::list(&self.tables)
    }

    /// All dead letters, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        dead_letters::list(&self.tables)
    }

    /// Makes ready to take events in; must come before the first [`Self::are_new`].
    ///
    /// # Errors
    /// When the ids of earlier events cannot be read.
    pub fn expect_events(&mut self) -> Result<()> {
        self.profiles.arrive_all()?;
        self.ids.load(&self.files)
    }

    /// Whether an event with each of these ids was taken in; remembers those that are new. Of equal ones the first is new.
    ///
    /// # Errors
    /// When the ids of earlier events cannot be read.
    pub fn are_new(&mut self, events: &[Id]) -> Result<Vec<Seen>> {
        self.ids.insert(events)
    }

    /// Puts a step's events in place, so that they can be evaluated, and names their file and that of their ids in
    /// `change`; answers the files that the commit makes superfluous.
    ///
    /// # Errors
    /// When the disk refuses; the store must be opened again then.
    pub fn stage(
        &mut self,
        change: &mut Change,
        events: Option<Segment>,
        kept: &Span,
    ) -> Result<Vec<String>> {
        let Some(segment) = events else { return Ok(Vec::new()) };
        self.totals.events += segment.rows() as u64;
        let disk = (&mut self.files, &self.tables, &mut *change);
        let mut retired = self.events.append(segment, kept, &self.columns, disk)?;
        // Now, because it is synced while the events are evaluated.
        retired.extend(self.ids.save(&mut self.files, &self.tables, change)?);
        Ok(retired)
    }

    /// Brings events and profiles into the form that answers quickest, if that is worth it, and forgets rows of dead letters
    /// that are older than events of their source may be, in a commit of its own.
    ///
    /// # Errors
    /// When the disk refuses; the store must be opened again then.
    pub fn compact(&mut self, kept: &Span) -> Result<()> {
        self.settle()?;
        let mut change = self.tables.change();
        let mut retired =
            self.events.compact(kept, &self.columns, (&mut self.files, &self.tables, &mut change))?;
        let disk = (&mut self.files, &self.tables, &mut change);
        retired.extend(self.profiles.compact(self.identity.next(), disk)?);
        dead_letters::expire(&self.tables, &mut change, kept)?;
        if !change.is_empty() {
            self.files.commit(change, &retired).make()?;
        }
        Ok(())
    }

    /// Commits a step: everything in `change`, and all that the parts above gathered. It is durable on return.
    ///
    /// # Errors
    /// When the disk refuses; nothing of the step is there then, and the store must be opened again.
    pub fn commit(&mut self, change: Change, staged: Vec<String>) -> Result<()> {
        self.begin_commit(change, staged)?;
        self.settle()
    }

    /// The same, durable only once [`Self::settle`] or the next commit has returned. Meanwhile the store answers as if
    /// it were.
    ///
    /// # Errors
    /// As [`Self::commit`], and when the commit before this one was refused.
    pub fn begin_commit(&mut self, mut change: Change, staged: Vec<String>) -> Result<()> {
        let mut retired = staged;
        retired.extend(self.ids.save(&mut self.files, &self.tables, &mut change)?);
        self.columns.save(&self.tables, &mut change)?;
        self.identity.save(&self.tables, &mut change)?;
        self.limited.save(&self.tables, &mut change)?;
        self.ages.save(&self.tables, &mut change)?;
        let saved = self.profiles.save(&self.tables, &mut change)?;
        self.totals.commits += 1;
        change.put(&self.tables.meta, "totals", &self.totals)?;
        let profiles = Some((saved, self.tables.profiles.clone()));
        self.commits.begin(Commit { profiles, ..self.files.commit(change, &retired) })?;
        if self.identity.is_full() {
            // What is let go must be in the database.
            self.settle()?;
            self.identity.forget();
        }
        Ok(())
    }

    /// Waits until everything that was committed is durable.
    ///
    /// # Errors
    /// When the disk refused; the store must be opened again then.
    pub fn settle(&mut self) -> Result<()> {
        self.commits.wait()
    }

    /// Ends the work on it, so that it opens quickly the next time. Without this, everything that was committed is there
    /// as well; opening takes longer.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn close(self) -> Result<()> {
        let Self { mut commits, _lock, tables, .. } = self;
        commits.wait()?;
        drop(commits);
        tables.close()
    }
}

fn must_be_at(dir: &Path) -> Result<()> {
    if Store::is_at(dir) {
        return Ok(());
    }
    Err(Error::NotFound(format!("there is no store at {} yet: run the pipeline first", dir.display())))
}

fn check_format(dir: &Path) -> Result<()> {
    let path = dir.join("FORMAT");
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().strip_prefix("kindred-store ").and_then(|n| n.parse().ok()) {
            Some(FORMAT) => Ok(()),
            Some(found) => Err(Error::OtherFormat { path: dir.to_owned(), found, known: FORMAT }),
            None => Err(Error::Damaged { path, reason: "it does not name a format".into() }),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let used = fs::read_dir(dir)
                .map_err(Error::io(dir))?
                .filter_map(Result::ok)
                .any(|e| e.file_name() != "LOCK");
            if used {
                return Err(Error::NotFound(format!(
                    "the folder {} is in use but is not a store",
                    dir.display()
                )));
            }
            let temporary = dir.join("LOCK.format");
            fs::write(&temporary, format!("kindred-store {FORMAT}\n")).map_err(Error::io(&temporary))?;
            fs::rename(&temporary, &path).map_err(Error::io(&path))
        }
        Err(source) => Err(Error::Io { path, source }),
    }
}

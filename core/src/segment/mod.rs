//! Segments: who is in which audience, and what changed in a step.
//!
//! The plugins answer, the host remembers: it holds one bitmap a segment, evaluates touched and due profiles in each
//! step and everybody when a definition is new, and fits models when the sources are drained.

mod answer;
pub mod applied;
mod backfill;
mod draft;
pub mod due;
pub mod engine;
pub mod group;
mod look;
pub mod overlap;
mod pass;
mod replies;
mod settle;
pub mod sql;
pub mod timers;
pub mod turns;

pub use look::Glimpse;

use crate::{
    Error, Result,
    config::Pipeline,
    plugin::registry::Registry,
    profile::batch::{self, Moment},
    store::{
        PAGE, Store,
        tables::{self, Change},
    },
};
use backfill::Backfill;
use engine::{Engine, FullPass};
use group::{Group, Widths};
use kindred_plugin_api::{Reason, Report};
use pass::Pass;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use sql::SqlSegments;
use std::collections::{BTreeMap, BTreeSet};
use timers::Timers;

/// Profiles of one batch.
const BATCH: usize = PAGE as usize;

/// A segment as stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Membership {
    /// Of the segment and all that it builds on; of a model, of its group.
    pub definition: u64,
    /// Serialised bitmap of profiles.
    pub members: Vec<u8>,
    /// When it last changed, microseconds since 1970.
    pub changed_us: i64,
}

/// A fitted model as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Model {
    /// Of the group.
    pub definition: u64,
    /// The store's `changes` when it was fitted.
    pub changes: u64,
    /// As of when.
    pub as_of_us: i64,
    /// When somebody's answer, and with it what is learnt from everybody, can change with no new data.
    pub due_us: Option<i64>,
    /// What the members of the segments that it reads came down to.
    pub inputs: u64,
    /// What the plugin goes on with.
    pub state: Vec<u8>,
    /// What it is worth, as JSON.
    pub reports: String,
}

/// All segments of a pipeline.
#[derive(Debug)]
pub struct Segments {
    groups: Vec<Group>,
    sql: SqlSegments,
    /// SQL segments whose members are of today's query.
    asked: BTreeSet<String>,
    members: BTreeMap<String, RoaringBitmap>,
    /// Segments to be saved, and whether their members changed or only their definition.
    changed: BTreeMap<String, bool>,
    /// Segments whose members are not of today's definition.
    stale: BTreeSet<String>,
    /// New definitions that are on their way, and how many profiles an evaluation asks about them.
    backfill: Option<Backfill>,
    part: u64,
    /// Stored segments that are not in the pipeline any more.
    gone: Vec<Vec<u8>>,
    /// Read when they are first asked for: a command that only looks does not wait for them.
    timers: Option<Timers>,
    /// Does full passes elsewhere.
    engine: Option<Box<dyn Engine>>,
    /// The groups are open for columns that have outgrown their codes so often.
    outgrown: usize,
    /// Groups in place of two, by the first, for passes that ask both about everybody.
    joined: BTreeMap<usize, Group>,
    /// And for whole numbers of these widths.
    widths: Widths,
    /// What commits have changed since somebody who watches last asked.
    moved: Option<Moved>,
}

/// What commits have changed.
#[derive(Clone, Debug, Default)]
pub struct Moved {
    /// Segments with other members, also those that are gone.
    pub segments: BTreeSet<String>,
    /// Profiles and when their answers can change by themselves, `i64::MAX` for never.
    pub due: Vec<(u32, i64)>,
}

impl Segments {
    /// Opens the plugins and loads the memberships; a segment that left the file is emptied.
    ///
    /// # Errors
    /// When a plugin refuses a segment or the store fails.
    pub fn open(pipeline: &Pipeline, registry: &Registry, store: &Store) -> Result<Self> {
        let stored_model = |name: &str, definition: u64| -> Result<Option<Vec<u8>>> {
            let model: Option<Model> = tables::read(&store.tables.models, name)?;
            Ok(model.filter(|m| m.definition == definition).map(|m| m.state))
        };
        let widths = store.events.widths()?;
        let groups = group::open(pipeline, registry, store, &widths, stored_model)?;
        let mut members = BTreeMap::new();
        let mut stale = BTreeSet::new();
        for (segment, definition) in groups.iter().flat_map(Group::definitions) {
            let stored: Membership = tables::read(&store.tables.segments, segment)?.unwrap_or_default();
            if stored.definition != definition {
                stale.insert(segment.clone());
            }
            members.insert(segment.clone(), bitmap(&stored.members)?);
        }
        let (sql, mut asked) = (SqlSegments::new(pipeline), BTreeSet::new());
        for segment in sql.iter() {
            let stored: Membership = tables::read(&store.tables.segments, &segment.name)?.unwrap_or_default();
            if stored.definition == segment.definition {
                asked.insert(segment.name.clone());
            }
            members.insert(segment.name.clone(), bitmap(&stored.members)?);
        }
        let stored = tables::scan(&store.tables.segments, [])?.into_iter().map(|(name, _)| name);
        let kept = |name: &Vec<u8>| str::from_utf8(name).is_ok_and(|name| members.contains_key(name));
        let gone = stored.filter(|name| !kept(name)).collect();
        Ok(Self {
            groups,
            sql,
            asked,
            members,
            changed: BTreeMap::new(),
            stale,
            backfill: None,
            part: backfill::PART,
            gone,
            timers: None,
            engine: None,
            outgrown: store.columns.outgrown(),
            joined: BTreeMap::new(),
            widths,
            moved: None,
        })
    }

    /// Notes from now on what commits change; answers when each profile's answer can change by itself.
    ///
    /// # Errors
    /// When the database fails.
    pub fn watch(&mut self, store: &Store) -> Result<Vec<i64>> {
        self.moved = Some(Moved::default());
        Ok(self.timers(store)?.all().to_vec())
    }

    /// What was put into commits since this was last asked.
    pub fn moved(&mut self) -> Moved {
        self.moved.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Opens groups anew that read columns which have outgrown their types; types never become narrower here.
    fn refresh(&mut self, store: &Store) -> Result<()> {
        let (outgrown, mut widths) = (store.columns.outgrown(), store.events.widths()?);
        for (name, held) in &self.widths {
            let wider = widths.get(name).map_or(Ok(*held), |width| width.join(*held))?;
            widths.insert(name.clone(), wider);
        }
        if (outgrown, &widths) != (self.outgrown, &self.widths) {
            self.groups.iter_mut().try_for_each(|group| group.refresh(store, &widths))?;
            self.joined.clear();
            (self.outgrown, self.widths) = (outgrown, widths);
        }
        Ok(())
    }

    /// Has full passes done elsewhere.
    pub fn set_engine(&mut self, engine: Option<Box<dyn Engine>>) {
        self.engine = engine;
    }

    /// True when the next evaluation is a full pass elsewhere, which sees only what is committed.
    pub fn needs_commit(&self) -> bool {
        self.engine.is_some() && self.is_redefined()
    }

    /// Members of each segment.
    pub fn members(&self) -> &BTreeMap<String, RoaringBitmap> {
        &self.members
    }

    fn timers(&mut self, store: &Store) -> Result<&mut Timers> {
        let timers = match self.timers.take() {
            Some(timers) => timers,
            None => Timers::open(&store.tables)?,
        };
        Ok(self.timers.insert(timers))
    }

    /// Profiles whose answer is due to change.
    ///
    /// # Errors
    /// When the database fails.
    pub fn due(&mut self, store: &Store, as_of_us: i64) -> Result<RoaringBitmap> {
        Ok(self.timers(store)?.due(as_of_us).into_iter().collect())
    }

    /// True when a definition is new or gone, so that there is something to commit without new data.
    pub fn is_stale(&self) -> bool {
        !self.gone.is_empty() || self.is_redefined()
    }

    /// True as long as a definition is new: everybody is asked about it, a part in each evaluation.
    pub fn is_redefined(&self) -> bool {
        (0..self.groups.len()).any(|at| self.is_redefined_in(at))
    }

    fn is_redefined_in(&self, at: usize) -> bool {
        let group = &self.groups[at];
        !group.is_model && group.segments.iter().any(|name| self.stale.contains(name))
    }

    /// Evaluates rules for profiles, those touched or due, and goes on with definitions that are new, for everybody.
    ///
    /// # Errors
    /// When a plugin or the store fails; the step is given up.
    pub fn evaluate(&mut self, store: &mut Store, profiles: &RoaringBitmap, moment: &Moment) -> Result<()> {
        self.refresh(store)?;
        let whole = self.needs_commit();
        let everybody = whole.then(|| store.identity.all());
        if !whole {
            self.begin_backfill(store);
        }
        let mut pass = Pass::over(everybody.as_ref().unwrap_or(profiles));
        for at in 0..self.groups.len() {
            if !self.groups[at].is_model {
                self.run(store, at, (&mut pass, whole), moment)?;
            }
        }
        let timers = self.timers(store)?;
        for (profile, due) in pass.due() {
            timers.set(profile, due);
        }
        self.go_on_with_backfill(store, moment)
    }

    /// Profiles that were merged into others are in no segment and never due.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget(&mut self, store: &Store, profiles: &RoaringBitmap) -> Result<()> {
        let timers = self.timers(store)?;
        for profile in profiles {
            timers.set(profile, None);
        }
        for (name, members) in &mut self.members {
            if !members.is_disjoint(profiles) {
                *members -= profiles;
                self.changed.insert(name.clone(), true);
            }
        }
        if let Some(backfill) = &mut self.backfill {
            backfill.forget(profiles);
        }
        Ok(())
    }

    /// Reports of the fitted models.
    ///
    /// # Errors
    /// When the database fails.
    pub fn reports(&self, store: &Store) -> Result<Vec<Report>> {
        let mut reports = Vec::new();
        for group in self.groups.iter().filter(|g| g.is_model) {
            if let Some(model) = tables::read::<Model>(&store.tables.models, &group.name)? {
                let known: Vec<Report> = serde_json::from_str(&model.reports).unwrap_or_default();
                reports.extend(known);
            }
        }
        Ok(reports)
    }

    /// Why a profile is in a segment or is not.
    ///
    /// # Errors
    /// When there is no such segment, or the plugin gives no reasons.
    pub fn explain(&self, store: &mut Store, segment: &str, profile: u32, moment: &Moment) -> Result<Reason> {
        if let Some(segment) = self.sql.iter().find(|s| s.name == segment) {
            let holds = self.members.get(&segment.name).is_some_and(|members| members.contains(profile));
            return Ok(Reason { condition: segment.text.clone(), holds: Some(holds), ..Reason::default() });
        }
        let (at, ordinal) = self.place(segment)?;
        let group = &self.groups[at];
        let (batch, _) =
            batch::build(store, &group.schema, &[profile], moment, group.look_back_us, &self.members)?;
        group
            .worker
            .call(move |handle| handle.explain(&batch, ordinal))
            .map_err(Error::plugin("segmentation", segment))
    }

    /// Puts changed memberships into the step's commit.
    ///
    /// # Errors
    /// When a record cannot be written.
    pub fn save(&mut self, store: &Store, change: &mut Change, as_of_us: i64) -> Result<()> {
        if let Some(timers) = &mut self.timers {
            if let Some(moved) = &mut self.moved {
                moved.due.extend(timers.fresh());
            }
            timers.save(&store.tables, change);
        }
        for name in self.gone.drain(..) {
            change.remove(&store.tables.segments, name);
        }
        let changed = std::mem::take(&mut self.changed);
        if let Some(moved) = &mut self.moved {
            let others = changed.iter().filter(|(_, other_members)| **other_members);
            moved.segments.extend(others.map(|(name, _)| name.clone()));
        }
        // What is stored of those that are on their way stays, definition and all.
        let evaluated = self.groups.iter().flat_map(Group::definitions);
        let evaluated = evaluated.filter(|(name, _)| !self.stale.contains(*name));
        let asked = self.sql.iter().map(|segment| (&segment.name, segment.definition));
        for (name, definition) in evaluated.chain(asked) {
            let Some(other_members) = changed.get(name) else { continue };
            let known: Option<Membership> = match other_members {
                true => None,
                false => tables::read(&store.tables.segments, name)?,
            };
            let changed_us = known.map_or(as_of_us, |known| known.changed_us);
            let members = bytes(&self.members[name]);
            let record = Membership { definition, members, changed_us };
            change.put(&store.tables.segments, name, &record)?;
        }
        Ok(())
    }

    /// One group over the profiles of a pass. Of `whole` passes all answers count, and an engine gives them if there is
    /// one; else those to definitions that are on their way are kept apart, or dropped where their turn has not come.
    fn run(
        &mut self,
        store: &mut Store,
        at: usize,
        (pass, whole): (&mut Pass, bool),
        moment: &Moment,
    ) -> Result<()> {
        let group = &mut self.groups[at];
        let able = whole && group.origin.is_built_in && !pass.profiles().is_empty();
        let found = match self.engine.as_mut().filter(|_| able) {
            None => pass.run(store, group, moment, &self.members)?,
            Some(engine) => {
                let Group { name, origin, segments, schema, .. } = group;
                let full = FullPass { group: name, origin, segments, schema, moment, members: &self.members };
                let passed = engine.evaluate(store, &full)?;
                pass.note(&passed.due_us);
                passed.members
            }
        };
        self.accept(at, found, (pass, whole));
        Ok(())
    }

    /// Takes the members of each segment of a group among the profiles of a pass.
    fn accept(&mut self, at: usize, found: Vec<RoaringBitmap>, (pass, whole): (&Pass, bool)) {
        let group = &self.groups[at];
        // Everybody is asked now.
        self.backfill.take_if(|backfill| whole && backfill.at == at);
        for (name, found) in group.segments.iter().zip(&found) {
            let Some(members) = self.members.get_mut(name) else { continue };
            let stale = if whole { self.stale.remove(name) } else { self.stale.contains(name) };
            if stale && !whole {
                continue;
            }
            let now = (&*members - pass.profiles()) | found;
            let differs = now != *members;
            if stale || differs {
                *members = now;
                *self.changed.entry(name.clone()).or_default() |= differs;
            }
        }
        if let Some(backfill) = self.backfill.as_mut().filter(|backfill| backfill.at == at) {
            backfill.take(pass.profiles(), found);
        }
    }
}

/// A bitmap as bytes, in roaring's portable format.
pub fn bytes(bitmap: &RoaringBitmap) -> Vec<u8> {
    let mut out = Vec::with_capacity(bitmap.serialized_size());
    // Writing to memory cannot fail.
    let _ = bitmap.serialize_into(&mut out);
    out
}

/// A bitmap from [`bytes()`]; no bytes are the empty bitmap.
///
/// # Errors
/// When the bytes are damaged.
pub fn bitmap(bytes: &[u8]) -> Result<RoaringBitmap> {
    if bytes.is_empty() {
        return Ok(RoaringBitmap::new());
    }
    RoaringBitmap::deserialize_from(bytes)
        .map_err(|e| Error::Column(format!("a stored membership is damaged: {e}")))
}

//! Segments: who is in which audience, and what changed in a step.
//!
//! The plugins answer, the host remembers: it holds one bitmap a segment, evaluates touched and due profiles in each
//! step and everybody when a definition is new, and fits models when the sources are drained.

pub mod engine;
pub mod group;
pub mod sql;
pub mod timers;

use crate::{
    Error, Result,
    config::Pipeline,
    plugin::registry::Registry,
    profile::batch::{self, Moment},
    store::{
        Store,
        tables::{self, Change},
    },
};
use engine::{Engine, Pass};
use group::Group;
use kindred_plugin_api::{Evaluated, Fault, Reason, Report, columns::profile as names};
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use sql::SqlSegments;
use std::collections::BTreeMap;
use timers::Timers;

/// Profiles of one batch; large enough that a call's fixed cost vanishes, small enough to stay in cache.
const BATCH: usize = 4_096;

/// A segment as stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Membership {
    /// Of the group that answered.
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
    members: BTreeMap<String, RoaringBitmap>,
    changed: BTreeMap<String, bool>,
    /// Groups whose stored answers are not of today's definition.
    stale: Vec<bool>,
    /// Stored segments that are not in the pipeline any more.
    gone: Vec<Vec<u8>>,
    timers: Timers,
    /// Does full passes elsewhere.
    engine: Option<Box<dyn Engine>>,
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
        let groups = group::open(pipeline, registry, store, stored_model)?;
        let mut members = BTreeMap::new();
        let mut stale = Vec::new();
        for group in &groups {
            let mut fits = true;
            for segment in &group.segments {
                let stored: Membership = tables::read(&store.tables.segments, segment)?.unwrap_or_default();
                fits &= stored.definition == group.definition;
                members.insert(segment.clone(), bitmap(&stored.members)?);
            }
            stale.push(!fits);
        }
        let sql = SqlSegments::new(pipeline);
        for segment in sql.iter() {
            let stored: Membership = tables::read(&store.tables.segments, &segment.name)?.unwrap_or_default();
            members.insert(segment.name.clone(), bitmap(&stored.members)?);
        }
        let stored = tables::scan(&store.tables.segments, [])?.into_iter().map(|(name, _)| name);
        let kept = |name: &Vec<u8>| members.keys().any(|m| m.as_bytes() == name);
        let gone = stored.filter(|name| !kept(name)).collect();
        let (changed, timers) = (BTreeMap::new(), Timers::default());
        Ok(Self { groups, sql, members, changed, stale, gone, timers, engine: None })
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

    /// Profiles whose answer is due to change.
    ///
    /// # Errors
    /// When the database fails.
    pub fn due(&self, store: &Store, as_of_us: i64) -> Result<RoaringBitmap> {
        Ok(self.timers.due(&store.tables, as_of_us)?.into_iter().collect())
    }

    /// True when a definition is new or gone, so that there is something to commit without new data.
    pub fn is_stale(&self) -> bool {
        !self.gone.is_empty() || self.is_redefined()
    }

    fn is_redefined(&self) -> bool {
        self.groups.iter().zip(&self.stale).any(|(group, stale)| *stale && !group.is_model)
    }

    /// Evaluates rules for profiles: those touched or due, or everybody when a definition is new.
    ///
    /// # Errors
    /// When a plugin or the store fails; the step is given up.
    pub fn evaluate(
        &mut self,
        store: &mut Store,
        change: &mut Change,
        profiles: &RoaringBitmap,
        moment: Moment,
    ) -> Result<()> {
        let whole = self.is_redefined();
        let profiles: Vec<u32> =
            if whole { store.identity.all().collect() } else { profiles.iter().collect() };
        let mut due: BTreeMap<u32, i64> = BTreeMap::new();
        for at in 0..self.groups.len() {
            if !self.groups[at].is_model {
                match whole {
                    true => self.run_whole(store, at, &profiles, moment, &mut due)?,
                    false => self.run(store, at, &profiles, moment, &mut due)?,
                }
                self.stale[at] = false;
            }
        }
        for profile in profiles {
            self.timers.set(&store.tables, change, profile, due.get(&profile).copied())?;
        }
        Ok(())
    }

    /// Profiles that were merged into others are in no segment and never due.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget(&mut self, store: &Store, change: &mut Change, profiles: &RoaringBitmap) -> Result<()> {
        for profile in profiles {
            self.timers.set(&store.tables, change, profile, None)?;
            for (name, members) in &mut self.members {
                if members.remove(profile) {
                    self.changed.insert(name.clone(), true);
                }
            }
        }
        Ok(())
    }

    /// Answers SQL segments whose time has come, fits models on everybody where anything changed since, and evaluates
    /// them and what builds on either.
    ///
    /// # Errors
    /// When the query engine, a plugin or the store fails.
    pub fn settle(&mut self, store: &mut Store, change: &mut Change, moment: Moment) -> Result<bool> {
        let everybody: Vec<u32> = store.identity.all().collect();
        let mut asked = Vec::new();
        for (name, inside) in self.sql.settle(store, change, moment)? {
            self.changed.insert(name.clone(), true);
            asked.push(format!("{}{name}", names::IN));
            self.members.insert(name, inside);
        }
        let mut fitted_any = false;
        for at in 0..self.groups.len() {
            let fresh = if self.groups[at].is_model {
                self.fit(store, change, at, &everybody, moment)?
            } else {
                fitted_any || asked.iter().any(|name| self.groups[at].schema.column_with_name(name).is_some())
            };
            if fresh {
                let mut due = BTreeMap::new();
                self.run_whole(store, at, &everybody, moment, &mut due)?;
                self.stale[at] = false;
                for (profile, time) in due {
                    let earlier = self.timers.of(&store.tables, profile)?.map_or(time, |old| old.min(time));
                    self.timers.set(&store.tables, change, profile, Some(earlier))?;
                }
                fitted_any = true;
            }
        }
        Ok(fitted_any || !asked.is_empty())
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
    pub fn explain(
        &mut self,
        store: &mut Store,
        segment: &str,
        profile: u32,
        moment: Moment,
    ) -> Result<Reason> {
        if let Some(segment) = self.sql.iter().find(|s| s.name == segment) {
            let holds = self.members.get(&segment.name).is_some_and(|members| members.contains(profile));
            return Ok(Reason { condition: segment.text.clone(), holds: Some(holds), ..Reason::default() });
        }
        let found = self
            .groups
            .iter()
            .enumerate()
            .find_map(|(at, group)| Some((at, group.segments.iter().position(|name| name == segment)?)));
        let Some((at, ordinal)) = found else {
            return Err(Error::NotFound(format!("there is no segment `{segment}` in the pipeline")));
        };
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
        for name in self.gone.drain(..) {
            change.remove(&store.tables.segments, name);
        }
        let changed = std::mem::take(&mut self.changed);
        let evaluated = self.groups.iter().flat_map(|g| g.segments.iter().map(|name| (name, g.definition)));
        let asked = self.sql.iter().map(|segment| (&segment.name, segment.definition));
        for (name, definition) in evaluated.chain(asked).filter(|(name, _)| changed.contains_key(*name)) {
            let members = bytes(&self.members[name]);
            let record = Membership { definition, members, changed_us: as_of_us };
            change.put(&store.tables.segments, name, &record)?;
        }
        Ok(())
    }

    /// One group over everybody: elsewhere, where there is an engine that can.
    fn run_whole(
        &mut self,
        store: &mut Store,
        at: usize,
        everybody: &[u32],
        moment: Moment,
        due: &mut BTreeMap<u32, i64>,
    ) -> Result<()> {
        let group = &self.groups[at];
        let Some(engine) = self.engine.as_mut().filter(|_| group.origin.is_built_in && !everybody.is_empty())
        else {
            return self.run(store, at, everybody, moment, due);
        };
        let Group { name, origin, segments, schema, .. } = group;
        let pass = Pass { group: name, origin, segments, schema, moment, members: &self.members };
        let passed = engine.evaluate(store, &pass)?;
        for (name, members) in segments.iter().zip(passed.members) {
            let old = self.members.insert(name.clone(), members);
            if self.stale[at] || old.as_ref() != self.members.get(name) {
                self.changed.insert(name.clone(), true);
            }
        }
        for (profile, time) in passed.due_us {
            due.entry(profile).and_modify(|t| *t = (*t).min(time)).or_insert(time);
        }
        Ok(())
    }

    /// One group over profiles, in batches; the next batch is built while the plugin works on the last.
    fn run(
        &mut self,
        store: &mut Store,
        at: usize,
        profiles: &[u32],
        moment: Moment,
        due: &mut BTreeMap<u32, i64>,
    ) -> Result<()> {
        let mut waiting = None;
        for part in profiles.chunks(BATCH) {
            let group = &self.groups[at];
            let (batch, next) =
                batch::build(store, &group.schema, part, moment, group.look_back_us, &self.members)?;
            let reply = group.worker.ask(move |handle| handle.evaluate(&batch));
            if let Some((part, next, reply)) = waiting.replace((part, next, reply)) {
                self.take(store, at, part, next, reply, due)?;
            }
        }
        if let Some((part, next, reply)) = waiting {
            self.take(store, at, part, next, reply, due)?;
        }
        if self.stale[at] {
            for name in &self.groups[at].segments {
                self.changed.insert(name.clone(), true);
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        store: &mut Store,
        at: usize,
        profiles: &[u32],
        next_us: Vec<Option<i64>>,
        reply: crate::plugin::Reply<Result<Evaluated, Fault>>,
        due: &mut BTreeMap<u32, i64>,
    ) -> Result<()> {
        let group = &self.groups[at];
        let failed = || Error::plugin("segmentation", &group.segments.join("`, `"));
        let answer = reply.wait().and_then(|answer| answer).map_err(failed())?;
        let known = group.segments.len();
        for (row, profile) in profiles.iter().enumerate() {
            let (ordinals, change_us) = answer.row(row);
            if ordinals.iter().any(|o| *o as usize >= known) {
                return Err(failed()(Fault::permanent(
                    "ordinal",
                    "answered with a segment that does not exist",
                )));
            }
            // The second of the three consent gates.
            let consents = store.profiles.get(&store.tables, *profile)?.consents();
            for (ordinal, name) in group.segments.iter().enumerate() {
                let inside = consents && ordinals.contains(&(ordinal as u32));
                let Some(members) = self.members.get_mut(name) else { continue };
                let changed = if inside { members.insert(*profile) } else { members.remove(*profile) };
                if changed {
                    self.changed.insert(name.clone(), true);
                }
            }
            if let Some(time) = change_us.into_iter().chain(next_us[row]).min() {
                due.entry(*profile).and_modify(|t| *t = (*t).min(time)).or_insert(time);
            }
        }
        Ok(())
    }

    fn fit(
        &mut self,
        store: &mut Store,
        change: &mut Change,
        at: usize,
        everybody: &[u32],
        moment: Moment,
    ) -> Result<bool> {
        let group = &self.groups[at];
        let failed = || Error::plugin("segmentation", &group.segments.join("`, `"));
        let known: Option<Model> = tables::read(&store.tables.models, &group.name)?;
        let current = |m: &Model| m.definition == group.definition && m.changes == store.totals.changes;
        if known.as_ref().is_some_and(current) || everybody.is_empty() {
            return Ok(false);
        }
        for part in everybody.chunks(BATCH) {
            let (batch, _) =
                batch::build(store, &group.schema, part, moment, group.look_back_us, &self.members)?;
            group.worker.call(move |handle| handle.observe(&batch)).map_err(failed())?;
        }
        let (reports, state) = group.worker.call(|handle| handle.fit()).map_err(failed())?;
        let model = Model {
            definition: group.definition,
            changes: store.totals.changes,
            as_of_us: moment.as_of_us,
            state: state.clone(),
            reports: serde_json::json!(reports).to_string(),
        };
        change.put(&store.tables.models, &group.name, &model)?;
        self.groups[at].origin.state = Some(state);
        self.stale[at] = true;
        Ok(true)
    }
}

/// A bitmap as bytes, in roaring's portable format.
pub fn bytes(bitmap: &RoaringBitmap) -> Vec<u8> {
    let mut out = Vec::with_capacity(bitmap.serialized_size());
    // Writing to memory cannot fail.
    let _ = bitmap.serialize_into(&mut out);
    out
}

/// A bitmap from [`bytes`]; no bytes are the empty bitmap.
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

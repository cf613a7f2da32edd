//! When the sources are drained: queries are asked, models fitted on everybody, and what builds on either evaluated.

use super::{
    Model, Segments, bytes,
    group::Group,
    pass::{self, Fitted, Pass, SEVERAL},
    replies::Replies,
};
use crate::{
    Result,
    profile::batch::{self, Moment},
    store::{
        Store,
        tables::{self, Change},
    },
};
use kindred_plugin_api::columns::profile as columns;
use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

impl Segments {
    /// Answers SQL segments whose time has come, fits models on everybody where anything changed since, and evaluates
    /// them and what builds on either.
    ///
    /// # Errors
    /// When the query engine, a plugin or the store fails.
    pub fn settle(&mut self, store: &mut Store, change: &mut Change, moment: &Moment) -> Result<bool> {
        let mut asked = Vec::new();
        for (name, inside) in self.sql.settle(store, change, moment)? {
            // A query that is asked again and answers the same has changed nothing.
            let moved = self.members.get(&name) != Some(&inside);
            self.changed.insert(name.clone(), moved);
            self.asked.insert(name.clone());
            asked.push(format!("{}{name}", columns::IN));
            self.members.insert(name, inside);
        }
        self.settle_models(store, change, moment, &asked)
    }

    /// The same without SQL; these columns of memberships have moved.
    pub(super) fn settle_models(
        &mut self,
        store: &mut Store,
        change: &mut Change,
        moment: &Moment,
        asked: &[String],
    ) -> Result<bool> {
        self.refresh(store)?;
        let everybody = store.identity.all();
        let mut fitted_any = false;
        for at in 0..self.groups.len() {
            let reads = |name: &String| self.groups[at].schema.column_with_name(name).is_some();
            let moved = fitted_any || asked.iter().any(reads);
            let is_model = self.groups[at].is_model;
            let must_fit = is_model && !everybody.is_empty() && !self.is_fitted(store, at, moment, moved)?;
            if must_fit || moved && !is_model {
                let mut pass = Pass::over(&everybody);
                if must_fit {
                    let model = self.fit(store, at, &mut pass, moment)?;
                    change.put(&store.tables.models, &self.groups[at].name, &model)?;
                } else {
                    self.run(store, at, (&mut pass, true), moment)?;
                }
                let timers = self.timers(store)?;
                for (profile, due) in pass.due() {
                    let earlier = timers.of(profile).into_iter().chain(due).min();
                    timers.set(profile, earlier);
                }
                fitted_any = true;
            }
        }
        Ok(fitted_any || !asked.is_empty())
    }

    /// Whether what was learnt last still holds: nothing changed, no window moved, no model below was fitted.
    fn is_fitted(&self, store: &Store, at: usize, moment: &Moment, below_fitted: bool) -> Result<bool> {
        let group = &self.groups[at];
        let known: Option<Model> = tables::read(&store.tables.models, &group.name)?;
        Ok(known.is_some_and(|m| {
            m.definition == group.definition
                && m.changes == store.totals.changes
                && m.due_us.is_none_or(|due| moment.as_of_us < due)
                && !below_fitted
                && m.inputs == self.inputs(group)
        }))
    }

    /// Fits a model on the profiles of a pass and evaluates it for them.
    fn fit(&mut self, store: &mut Store, at: usize, pass: &mut Pass, moment: &Moment) -> Result<Model> {
        let inputs = self.inputs(&self.groups[at]);
        self.stale.extend(self.groups[at].segments.iter().cloned());
        let Fitted { reports, state } = self.learn(store, at, pass, moment)?;
        Ok(Model {
            definition: self.groups[at].definition,
            changes: store.totals.changes,
            as_of_us: moment.as_of_us,
            due_us: pass.due().filter_map(|(_, due)| due).min(),
            inputs,
            state,
            reports: serde_json::json!(reports).to_string(),
        })
    }

    /// The same, whatever is stored.
    pub(super) fn learn(
        &mut self,
        store: &mut Store,
        at: usize,
        pass: &mut Pass,
        moment: &Moment,
    ) -> Result<Fitted> {
        if self.groups[at].recalls() && self.engine.is_none() {
            let (found, fitted) = pass.fit(store, &mut self.groups[at], moment, &self.members)?;
            self.accept(at, found, (pass, true));
            return Ok(fitted);
        }
        let fitted = self.train(store, at, pass.profiles(), moment)?;
        self.run(store, at, (pass, true), moment)?;
        Ok(fitted)
    }

    /// What the members of all segments that a group reads come down to; time alone, or another definition, changes it.
    fn inputs(&self, group: &Group) -> u64 {
        let read = group.schema.fields().iter().filter_map(|field| field.name().strip_prefix(columns::IN));
        let members = read.filter_map(|name| self.members.get(name)).map(bytes);
        members.fold(0, |before, members| xxh3_64_with_seed(&members, before))
    }

    /// Shows a model everybody and fits it.
    fn train(
        &mut self,
        store: &mut Store,
        at: usize,
        everybody: &RoaringBitmap,
        moment: &Moment,
    ) -> Result<Fitted> {
        let group = &mut self.groups[at];
        let failed = group.failed();
        let everybody = pass::numbers(everybody);
        let batches = pass::of_many(store, &everybody);
        if group.adds() && batches.len() > SEVERAL {
            group.multiply().map_err(&failed)?;
        }
        let mut replies = Replies::of(group.observers());
        for rows in batches {
            let part = &everybody[rows];
            let (batch, _) =
                batch::build(store, &group.schema, part, moment, group.look_back_us, &self.members)?;
            replies.ask((), move |handle| handle.observe(&batch), |(), ()| Ok(())).map_err(&failed)?;
        }
        replies.rest(|(), ()| Ok(())).map_err(&failed)?;
        group.fit().map_err(failed)
    }
}

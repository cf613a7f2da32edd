//! Looking without touching: what the answers would be, with nothing to commit.

use super::{Segments, batch, pass::Pass};
use crate::{Error, Result, profile::batch::Moment, store::Store};
use arrow::array::AsArray;
use kindred_plugin_api::columns::profile::EVENTS;
use roaring::RoaringBitmap;

/// The answer for one profile in one segment at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glimpse {
    /// Whether the definition holds; consent is not asked.
    pub holds: bool,
    /// The earliest time behind the moment at which that can change.
    pub next_us: Option<i64>,
    /// Events that were read for it.
    pub events: usize,
}

impl Segments {
    /// Names of the segments whose members are of today's definition.
    pub fn fresh(&self) -> impl Iterator<Item = &str> {
        let all = self.groups.iter().flat_map(|group| group.segments.iter().map(String::as_str));
        let evaluated = all.filter(|name| !self.stale.contains(*name));
        evaluated.chain(self.asked.iter().map(String::as_str))
    }

    /// True when one of them must be fitted before it can answer.
    pub fn has_models(&self) -> bool {
        self.groups.iter().any(|group| group.is_model)
    }

    /// Evaluates rules for these profiles, then models where there are any; SQL segments stay as they were last
    /// committed, because a query sees nothing but what is committed. [`Segments::members`] answers what a run
    /// would commit; timers and the database stay as they are.
    ///
    /// # Errors
    /// When a plugin or the store fails.
    pub fn preview(&mut self, store: &mut Store, profiles: &RoaringBitmap, moment: &Moment) -> Result<()> {
        self.preview_rules(store, profiles, moment)?;
        if self.has_models() {
            // Dropped, and with it everything that fitting wants to keep.
            let mut change = store.tables.change();
            self.settle_models(store, &mut change, moment, &[])?;
        }
        Ok(())
    }

    /// The same without models, which stay as they were last committed. Answers the earliest time at which something can
    /// change for one of the profiles.
    ///
    /// # Errors
    /// When a plugin or the store fails.
    pub fn preview_rules(
        &mut self,
        store: &mut Store,
        profiles: &RoaringBitmap,
        moment: &Moment,
    ) -> Result<Option<i64>> {
        self.refresh(store)?;
        let mut pass = Pass::over(profiles);
        for at in 0..self.groups.len() {
            if !self.groups[at].is_model {
                self.run(store, at, (&mut pass, true), moment)?;
            }
        }
        Ok(pass.due().filter_map(|(_, due_us)| due_us).min())
    }

    /// Evaluates one profile in one segment. Segments of other plugins that the definition refers to count as they are
    /// now, whatever the moment.
    ///
    /// # Errors
    /// When there is no such segment, or a plugin or the store fails.
    pub fn glimpse(
        &self,
        store: &mut Store,
        segment: &str,
        profile: u32,
        moment: &Moment,
    ) -> Result<Glimpse> {
        if self.sql.iter().any(|s| s.name == segment) {
            let holds = self.members.get(segment).is_some_and(|members| members.contains(profile));
            return Ok(Glimpse { holds, next_us: None, events: 0 });
        }
        let (at, ordinal) = self.place(segment)?;
        let group = &self.groups[at];
        let (batch, next) =
            batch::build(store, &group.schema, &[profile], moment, group.look_back_us, &self.members)?;
        let events = batch
            .column_by_name(EVENTS)
            .and_then(|events| events.as_list_opt::<i32>())
            .map_or(0, |events| events.value_length(0) as usize);
        let answer = group
            .worker
            .call(move |handle| handle.evaluate(&batch))
            .map_err(Error::plugin("segmentation", segment))?;
        let (ordinals, change_us) = answer.row(0);
        let next_us = change_us.into_iter().chain(next.into_iter().flatten()).min();
        Ok(Glimpse { holds: ordinals.contains(&(ordinal as u32)), next_us, events })
    }

    /// The group of a segment, and its ordinal there.
    pub(super) fn place(&self, segment: &str) -> Result<(usize, usize)> {
        let places = self.groups.iter().enumerate();
        places
            .filter_map(|(at, group)| Some((at, group.segments.iter().position(|name| name == segment)?)))
            .next()
            .ok_or_else(|| Error::NotFound(format!("there is no segment `{segment}` in the pipeline")))
    }
}

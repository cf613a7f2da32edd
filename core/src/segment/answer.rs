//! All segments for some profiles, whatever was stored or is known.

use super::{Segments, group::Group, pass::Pass};
use crate::{Result, profile::batch::Moment, store::Store};
use roaring::RoaringBitmap;

impl Segments {
    /// Fits every model on some profiles and evaluates all segments for them, whatever was stored or is known.
    ///
    /// # Errors
    /// When a plugin or the store fails.
    pub fn answer(&mut self, store: &mut Store, profiles: &RoaringBitmap, moment: &Moment) -> Result<()> {
        self.refresh(store)?;
        let mut pass = Pass::over(profiles);
        let mut answered = vec![false; self.groups.len()];
        for at in 0..self.groups.len() {
            if answered[at] {
                continue;
            }
            match self.partner(at).filter(|_| pass.is_large()) {
                Some(models) => {
                    self.answer_both(store, (at, models), &mut pass, moment)?;
                    answered[models] = true;
                }
                None if self.groups[at].is_model => {
                    self.learn(store, at, &mut pass, moment)?;
                }
                None => self.run(store, at, (&mut pass, true), moment)?,
            }
        }
        Ok(())
    }

    /// The models that can be fitted in the pass that evaluates these rules.
    fn partner(&self, rules: usize) -> Option<usize> {
        let group = &self.groups[rules];
        let fits = |other: &Group| other.is_model && other.recalls() && other.goes_with(group);
        if group.is_model || self.engine.is_some() { None } else { self.groups.iter().position(fits) }
    }

    /// Evaluates rules and fits models in one pass.
    fn answer_both(
        &mut self,
        store: &mut Store,
        (rules, models): (usize, usize),
        pass: &mut Pass,
        moment: &Moment,
    ) -> Result<()> {
        if !self.joined.contains_key(&rules) {
            self.joined.insert(rules, Group::join(&self.groups[rules], &self.groups[models])?);
        }
        let Some(both) = self.joined.get_mut(&rules) else { return Ok(()) };
        let (mut found, _) = pass.fit(store, both, moment, &self.members)?;
        let of_models = found.split_off(self.groups[rules].segments.len());
        self.accept(rules, found, (pass, true));
        self.accept(models, of_models, (pass, true));
        Ok(())
    }
}

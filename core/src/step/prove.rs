//! Whether another pipeline would open on the store of a run, found out before anything of the run is given up.

use super::{Run, agree::Trial, bound::Bound, chain::find, schema::schema};
use crate::{
    Result,
    config::Pipeline,
    segment::{Segments, applied::Record},
};
use arrow::datatypes::SchemaRef;
use std::collections::BTreeMap;

/// What each source brings, by its name.
pub(crate) type Schemas = BTreeMap<String, SchemaRef>;

impl Run<'_> {
    /// Looks at the sources and enrichments of another pipeline, at their columns and at its segments as if it were opened.
    /// Nothing is taken, and a refused pipeline leaves no trace. Answers what its sources bring.
    ///
    /// # Errors
    /// What opening it would say.
    pub(crate) fn prove(&mut self, next: &Pipeline) -> Result<Schemas> {
        let mut schemas = Schemas::new();
        for source in &next.sources {
            let same = |chain: &&super::Chain| chain.source.name == source.name && chain.is_of(next);
            let schema = match self.chains.iter().map(|(chain, _)| chain).find(same) {
                Some(chain) => chain.schema.clone(),
                None => schema(next, self.registry, source, self.store.position(&source.name)?)?,
            };
            schemas.insert(source.name.clone(), schema);
        }
        for destination in &next.destinations {
            find(self.registry, next, &destination.plugin)?;
        }
        let mut trial = Trial::new(&mut self.store);
        for source in &next.sources {
            if let Some(schema) = schemas.get(&source.name) {
                Bound::new(&mut trial, source, schema, &next.raw_identifiers)?;
            }
        }
        Segments::open(next, self.registry, trial.store())?;
        Record::open(next, self.registry, trial.store())?;
        Ok(schemas)
    }
}

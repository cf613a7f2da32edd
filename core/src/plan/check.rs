//! What a run would refuse before it reads a row: sources are asked for their columns, and the segments' plugins are shown
//! these. Nothing is read, and nothing is written but a store that is gone afterwards.

use super::warnings::{self, Warning, ask, silent, warning, without_basis};
use crate::{
    Error, Result,
    config::{Pipeline, Problem},
    plugin::registry::Registry,
    segment::group,
    step::bound::Bound,
    store::Store,
    testing,
};
use std::collections::BTreeMap;

/// Checks the columns of a pipeline whose file is right in itself.
///
/// # Errors
/// [`Error::Refused`] with everything that a run would refuse; what the disk says.
pub fn check(pipeline: &Pipeline, registry: &Registry) -> Result<Vec<Warning>> {
    let scratch = testing::folder()?;
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let known = Store::is_at(&pipeline.store).then(|| Store::look(&pipeline.store));
    let mut store = match known {
        Some(Ok(store)) => store,
        None => Store::open(scratch.path())?,
        Some(Err(error)) => {
            found.push(unseen(&error));
            Store::open(scratch.path())?
        }
    };
    for source in &pipeline.sources {
        let schema = match ask(pipeline, registry, source, Some(&store)) {
            Ok(schema) => schema,
            Err(error) => {
                found.push(silent(source, &error));
                continue;
            }
        };
        found.extend(without_basis(pipeline, source, &schema));
        match Bound::new(&mut store, source, &schema, &pipeline.raw_identifiers) {
            Err(Error::Column(message)) => problems.push(pipeline.written.in_source(&source.name, message)),
            bound => drop(bound?),
        }
    }
    // Whoever is silent may have the columns that are missing.
    let is_sure = problems.is_empty() && found.iter().all(|warning| !warnings::hides_columns(warning));
    match group::open(pipeline, registry, &store, &BTreeMap::new(), |_, _| Ok(None)) {
        Err(Error::Refused(refused)) if is_sure => problems.extend(refused.list().iter().cloned()),
        Err(Error::Refused(refused)) => found.extend(refused.list().iter().map(unsure)),
        groups => drop(groups?),
    }
    match problems.is_empty() {
        true => Ok(found),
        false => Err(Error::Refused(Box::new(pipeline.written.problems(problems)))),
    }
}

/// Of a store that cannot be looked at.
fn unseen(error: &Error) -> Warning {
    let message = format!("what the store holds is not known: {error}");
    let help =
        "columns are taken from the sources alone; columns of sources that left the file are not among them";
    warning("store-unknown", message, help)
}

/// Of a segment that may be wrong.
fn unsure(problem: &Problem) -> Warning {
    let place = problem.found.as_ref().map(|found| format!("{found}: ")).unwrap_or_default();
    let help = problem.help.as_deref().unwrap_or("a run would say so, too, unless it knows more columns");
    warning("column-unsure", format!("{place}{}", problem.message), help)
}

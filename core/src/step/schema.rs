//! What a source would bring, without reading a row of it: for plans.

use super::{chain::find, contract::Gate};
use crate::{
    Error, Result,
    config::{Pipeline, Source},
    plugin::{Opening, Worker, registry::Registry},
};
use arrow::datatypes::SchemaRef;

/// Schema of what a source and its enrichments would bring; nothing is read.
///
/// # Errors
/// When one of them refuses.
pub fn schema(
    pipeline: &Pipeline,
    registry: &Registry,
    source: &Source,
    position: Option<Vec<u8>>,
) -> Result<SchemaRef> {
    let plugin = find(registry, pipeline, &source.plugin)?;
    let (instance, config, base_dir) =
        (source.name.clone(), source.config.clone(), pipeline.base_dir.clone());
    let open = move || {
        let opening = Opening { instance: &instance, config: &config, base_dir: &base_dir, state: position };
        plugin.check(&opening)?;
        plugin.look_at_source(&opening)
    };
    let asked = Worker::start(&source.name, open).and_then(|worker| {
        worker.call(|handle| {
            let schema = handle.schema()?;
            handle.close()?;
            Ok(schema)
        })
    });
    let failed = || Error::plugin("source", &source.name);
    let mut schema = asked.map_err(failed())?;
    if let Some(gate) = Gate::new(source, &schema).map_err(failed())? {
        schema = gate.schema();
    }
    for enrichment in pipeline.enrichments.iter().filter(|e| e.from.contains(&source.name)) {
        let plugin = find(registry, pipeline, &enrichment.plugin)?;
        let (instance, config, base_dir) =
            (enrichment.name.clone(), enrichment.config.clone(), pipeline.base_dir.clone());
        let open = move || {
            let opening = Opening { instance: &instance, config: &config, base_dir: &base_dir, state: None };
            plugin.open_enrichment(&opening)
        };
        let asked = Worker::start(&enrichment.name, open).and_then(|worker| {
            worker.call(move |handle| {
                let output = handle.bind(&schema)?;
                handle.close()?;
                Ok(output)
            })
        });
        schema = asked.map_err(Error::plugin("enrichment", &enrichment.name))?;
    }
    Ok(schema)
}

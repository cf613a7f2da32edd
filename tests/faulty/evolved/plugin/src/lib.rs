//! An enrichment that changes nothing, built for the boundary of another version.

use kindred_plugin_api::prelude::*;

/// No options.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// The plugin.
pub struct Evolved;

impl Enrichment for Evolved {
    const MANIFEST: Manifest = manifest!("evolved", "changes nothing");
    type Config = Config;

    fn open(_config: Config, _context: Context) -> Result<Self> {
        Ok(Self)
    }

    fn bind(&mut self, input: SchemaRef) -> Result<SchemaRef> {
        Ok(input)
    }

    fn process(&mut self, batch: RecordBatch) -> Result<Processed> {
        Ok(batch.into())
    }
}

register!(enrichment Evolved);
kindred_plugin_api::export!(enrichment Evolved);

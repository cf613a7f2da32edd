//! The faulty enrichment.

use crate::{Config, Sends, answer, reject, schema};
use kindred_plugin_api::prelude::*;

pub(crate) struct Faulty(Config);

impl Enrichment for Faulty {
    const MANIFEST: Manifest = manifest!("faulty-enrichment", "panics and lies as told");
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        config.at("validate");
        Vec::new()
    }

    fn check(config: &Config, _context: &Context) -> Result<()> {
        config.at("check");
        Ok(())
    }

    fn open(config: Config, _context: Context) -> Result<Self> {
        config.at("open");
        Ok(Self(config))
    }

    fn bind(&mut self, input: SchemaRef) -> Result<SchemaRef> {
        self.0.at("bind");
        Ok(if self.0.sends == Sends::Passed { input } else { schema() })
    }

    fn process(&mut self, batch: RecordBatch) -> Result<Processed> {
        self.0.at("process");
        self.0.work("process")?;
        if self.0.sends == Sends::Passed {
            return Ok(Processed { batch, rejects: Vec::new() });
        }
        let rejects = if self.0.sends == Sends::RejectMore { vec![reject(0)] } else { Vec::new() };
        Ok(Processed { batch: answer(batch.num_rows(), self.0.sends), rejects })
    }

    fn close(&mut self) -> Result<()> {
        self.0.at("close");
        Ok(())
    }
}

register!(enrichment Faulty);

impl Drop for Faulty {
    fn drop(&mut self) {
        self.0.at("drop");
    }
}

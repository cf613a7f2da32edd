//! The faulty destination.

use crate::Config;
use kindred_plugin_api::prelude::*;

pub(crate) struct Faulty(Config);

impl Destination for Faulty {
    const MANIFEST: Manifest = manifest!("faulty-destination", "panics and lies as told");
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

    fn bind(&mut self, _input: SchemaRef) -> Result<()> {
        self.0.at("bind");
        Ok(())
    }

    fn begin(&mut self, _delivery: &Delivery) -> Result<()> {
        self.0.at("begin");
        Ok(())
    }

    fn write(&mut self, _batch: RecordBatch) -> Result<()> {
        self.0.at("write");
        Ok(())
    }

    fn flush(&mut self) -> Result<Flushed> {
        self.0.at("flush");
        self.0.work("flush")?;
        Ok(Flushed::default())
    }

    fn close(&mut self) -> Result<()> {
        self.0.at("close");
        Ok(())
    }
}

register!(destination Faulty);

impl Drop for Faulty {
    fn drop(&mut self) {
        self.0.at("drop");
    }
}

//! The faulty source.

use crate::{Config, Sends, answer, reject, schema};
use kindred_plugin_api::prelude::*;
use std::sync::atomic::{AtomicU8, Ordering};

/// Instances opened in the life of this library: two loads that share it share this.
static OPENED: AtomicU8 = AtomicU8::new(0);

pub(crate) struct Faulty(Config);

impl Source for Faulty {
    const MANIFEST: Manifest = manifest!("faulty-source", "panics and lies as told");
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
        OPENED.fetch_add(1, Ordering::Relaxed);
        Ok(Self(config))
    }

    fn schema(&mut self) -> Result<SchemaRef> {
        self.0.at("schema");
        Ok(schema())
    }

    fn poll(&mut self, max_rows: usize, _deadline_ms: u64) -> Result<Poll> {
        self.0.at("poll");
        let rejects = if self.0.sends == Sends::RejectMore { vec![reject(0)] } else { Vec::new() };
        let batch = answer(max_rows, self.0.sends);
        let position = vec![OPENED.load(Ordering::Relaxed)];
        Ok(Poll::Rows(Rows { batch, rejects, position, backlog_rows: 0 }))
    }

    fn ack(&mut self, _position: &[u8]) -> Result<()> {
        self.0.at("ack");
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.0.at("close");
        Ok(())
    }
}

register!(source Faulty);

impl Drop for Faulty {
    fn drop(&mut self) {
        self.0.at("drop");
    }
}

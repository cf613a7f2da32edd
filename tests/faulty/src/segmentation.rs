//! The faulty segmentation.

use crate::{Config, Sends};
use kindred_plugin_api::prelude::*;

pub(crate) struct Faulty(Config);

impl Segmentation for Faulty {
    const MANIFEST: Manifest = manifest!("faulty-segmentation", "panics and lies as told", ["model"]);
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        config.at("validate");
        Vec::new()
    }

    fn facts(config: &Config) -> Facts {
        config.at("facts");
        Facts::default()
    }

    fn open(segments: Vec<Segment<Config>>, _context: Context) -> Result<Self> {
        let first = segments.into_iter().next().ok_or_else(|| Fault::permanent("segments", "no segment"))?;
        first.config.at("open");
        Ok(Self(first.config))
    }

    fn plan(&mut self, _catalog: &Schema) -> Result<Needs> {
        self.0.at("plan");
        Ok(Needs::default())
    }

    fn bind(&mut self, _input: SchemaRef) -> Result<()> {
        self.0.at("bind");
        Ok(())
    }

    fn observe(&mut self, _batch: &RecordBatch) -> Result<()> {
        self.0.at("observe");
        Ok(())
    }

    fn survey(&mut self, batch: &RecordBatch) -> Result<Evaluated> {
        self.0.at("survey");
        Ok(nothing(batch.num_rows()))
    }

    fn learn(&mut self, _state: &[u8]) -> Result<()> {
        self.0.at("learn");
        Ok(())
    }

    fn recall(&mut self, batch: u32) -> Result<Evaluated> {
        self.0.at("recall");
        Ok(nothing(batch as usize))
    }

    fn fit(&mut self) -> Result<Fitted> {
        self.0.at("fit");
        Ok(Fitted::default())
    }

    fn evaluate(&mut self, batch: &RecordBatch) -> Result<Evaluated> {
        self.0.at("evaluate");
        let rows = match self.0.sends {
            Sends::RowLess => batch.num_rows() - 1,
            Sends::RowMore => batch.num_rows() + 1,
            _ => batch.num_rows(),
        };
        let mut answer = Evaluated::with_capacity(rows);
        (0..rows).for_each(|_| answer.push([0], None));
        Ok(answer)
    }

    fn explain(&mut self, _batch: &RecordBatch, _segment: usize) -> Result<Reason> {
        self.0.at("explain");
        Ok(Reason::default())
    }

    fn close(&mut self) -> Result<()> {
        self.0.at("close");
        Ok(())
    }
}

fn nothing(rows: usize) -> Evaluated {
    let mut answer = Evaluated::with_capacity(rows);
    (0..rows).for_each(|_| answer.push([], None));
    answer
}

register!(segmentation Faulty);

impl Drop for Faulty {
    fn drop(&mut self) {
        self.0.at("drop");
    }
}

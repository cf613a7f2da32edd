//! A source plugin over files: all that one has of its own is its options.

use crate::{FileSource, Files, Mapping, check, problems};
use kindred_plugin_api::prelude::*;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// Options that name files and say what their columns mean.
pub trait FileConfig: DeserializeOwned + JsonSchema + Send + 'static {
    /// Who the plugin is.
    const MANIFEST: Manifest;

    /// The files, and the part that each column plays.
    fn parts(&self) -> (Files, Mapping);

    /// What is wrong beyond files and columns.
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
}

/// The source plugin with these options.
pub struct FilePlugin<C>(FileSource, PhantomData<C>);

impl<C: FileConfig> Source for FilePlugin<C> {
    const MANIFEST: Manifest = C::MANIFEST;
    type Config = C;

    fn validate(config: &C) -> Vec<Problem> {
        let (files, mapping) = config.parts();
        let mut found = problems(&files, &mapping);
        found.extend(config.problems());
        found
    }

    fn check(config: &C, context: &Context) -> Result<()> {
        let (files, mapping) = config.parts();
        check(&files, &mapping, context)
    }

    fn open(config: C, context: Context) -> Result<Self> {
        let (files, mapping) = config.parts();
        Ok(Self(FileSource::open(&files, &mapping, context)?, PhantomData))
    }

    fn schema(&mut self) -> Result<SchemaRef> {
        Ok(self.0.schema())
    }

    fn poll(&mut self, max_rows: usize, _deadline_ms: u64) -> Result<Poll> {
        self.0.poll(max_rows)
    }
}

//! Where things stand in the file, for what is found only when sources were asked for their columns.

use super::{
    options::placed,
    problem::{Problem, Problems},
    tree::Node,
};
use kindred_plugin_api::Problem as Fault;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The file, and the place of every source and of every segment's options.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pub(super) file: PathBuf,
    pub(super) text: String,
    /// Values that no message may show, and the variables that they came from.
    pub(super) secrets: Vec<(String, String)>,
    pub(super) sources: BTreeMap<String, Node>,
    /// With the path that messages name them by.
    pub(super) segments: BTreeMap<String, (String, Node)>,
}

impl Written {
    pub(super) fn new(file: &Path, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned(), ..Self::default() }
    }

    /// What a plugin finds wrong with its segments, `names` in the order of their ordinals; none where it does not say in
    /// which of them.
    pub(crate) fn in_segments(&self, names: &[String], faults: &[Fault]) -> Option<Vec<Problem>> {
        let one = |fault: &Fault| {
            let (ordinal, path) = fault.path.strip_prefix('/')?.split_once("/config")?;
            let (whole, options) = self.segments.get(names.get(ordinal.parse::<usize>().ok()?)?)?;
            Some(placed(options, Fault { path: path.to_owned(), ..fault.clone() }, whole))
        };
        let found: Option<Vec<Problem>> = faults.iter().map(one).collect();
        found.filter(|found| !found.is_empty())
    }

    /// Something that is wrong with a source.
    pub(crate) fn in_source(&self, name: &str, message: String) -> Problem {
        match self.sources.get(name) {
            Some(node) => Problem::at(&node.span, message).found("this source"),
            None => Problem::outside(message),
        }
    }

    /// All that is wrong.
    pub(crate) fn problems(&self, list: Vec<Problem>) -> Problems {
        Problems::new(&self.file, &self.text, list, &self.secrets)
    }
}

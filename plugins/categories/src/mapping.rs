//! Which category stands for which node: from the options and from a file.

use crate::{Node, Tree};
use kindred_plugin_api::prelude::*;
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

/// What a category becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The id in the taxonomy.
    pub id: String,
    /// The ids from the root to it: `/206/481/483/`.
    pub path: String,
}

impl Interest {
    /// Of a node of this tree.
    pub fn of(tree: &Tree, node: &Node) -> Self {
        Self { id: node.id.clone(), path: tree.path(node) }
    }
}

/// Interests by category.
pub type Mapping = HashMap<String, Interest>;

/// A taxonomy that ids are looked up in.
#[derive(Clone, Copy)]
pub struct Ids<'a> {
    /// The taxonomy.
    pub tree: &'a Tree,
    /// The node of an id as people write it.
    pub node: fn(&'a Tree, &str) -> Option<&'a Node>,
    /// How its ids are written, for people: "ids of the Audience Taxonomy 1.1, as `483` or `IAB 483`".
    pub allowed: &'static str,
}

/// The mapping of the option `map`.
///
/// # Errors
/// A problem for each id that the taxonomy does not have.
pub fn inline(map: &BTreeMap<String, String>, ids: Ids<'_>) -> Result<Mapping, Vec<Problem>> {
    let entry = |(category, id): (&String, &String)| {
        let at = format!("/map/{}", category.replace('~', "~0").replace('/', "~1"));
        interest(ids, category, id)
            .map(|found| (category.clone(), found))
            .map_err(|unknown| unknown.at(at, ""))
    };
    gather(map.iter().map(entry))
}

/// The mapping of a file with the columns `category` and `id`.
///
/// # Errors
/// Where it cannot be read, and a problem for each id that the taxonomy does not have.
pub fn from_file(path: &Path, ids: Ids<'_>) -> Result<Mapping, Vec<Problem>> {
    let problem = |what: String| vec![Problem::new("/map_file", what)];
    let shown = path.display();
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|error| problem(format!("cannot read `{shown}`: {error}")))?;
    let header =
        reader.headers().map_err(|error| problem(format!("cannot read `{shown}`: {error}")))?.clone();
    let column = |name: &str| {
        let found = header.iter().position(|cell| cell.trim_start_matches('\u{feff}') == name);
        found.ok_or_else(|| problem(format!("`{shown}` has no column `{name}`; needed: category, id")))
    };
    let (category, id) = (column("category")?, column("id")?);
    gather(reader.records().map(|record| {
        let record = record.map_err(|error| Problem::new("/map_file", format!("`{shown}`: {error}")))?;
        let line = record.position().map_or(0, csv::Position::line);
        let (category, id) = (record.get(category).unwrap_or_default(), record.get(id).unwrap_or_default());
        interest(ids, category, id)
            .map(|found| (category.to_owned(), found))
            .map_err(|unknown| unknown.at("/map_file".to_owned(), &format!("`{shown}`, line {line}: ")))
    }))
}

/// An id that the taxonomy does not have, and what may have been meant.
struct Unknown {
    id: String,
    near: Vec<String>,
    allowed: &'static str,
}

impl Unknown {
    fn at(self, path: String, place: &str) -> Problem {
        let problem = Problem::new(path, format!("{place}no id `{}` in the taxonomy", self.id));
        match self.near.is_empty() {
            true => problem.help(format!("allowed: {}", self.allowed)),
            false => problem.help(format!("did you mean {}?", self.near.join(" or "))),
        }
    }
}

fn interest(ids: Ids<'_>, category: &str, id: &str) -> Result<Interest, Unknown> {
    let tree = ids.tree;
    if let Some(node) = (ids.node)(tree, id) {
        return Ok(Interest::of(tree, node));
    }
    let by_id = tree.near(crate::tree::bare(id));
    let near = if by_id.is_empty() { tree.near(category) } else { by_id };
    let near = near.into_iter().map(|node| format!("`IAB {}` ({})", node.id, node.title)).collect();
    Err(Unknown { id: id.to_owned(), near, allowed: ids.allowed })
}

fn gather(
    entries: impl Iterator<Item = Result<(String, Interest), Problem>>,
) -> Result<Mapping, Vec<Problem>> {
    let (mut mapping, mut problems) = (Mapping::new(), Vec::new());
    for entry in entries {
        match entry {
            Ok((category, found)) => drop(mapping.insert(category, found)),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(mapping) } else { Err(problems) }
}

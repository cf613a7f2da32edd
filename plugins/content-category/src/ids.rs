//! The versions of the Content Taxonomy, and how their nodes are called.

use kindred_categories::{Node, Tree, mapping::Ids};
use kindred_plugin_api::prelude::*;
use std::{collections::HashMap, sync::LazyLock};

/// Taxonomies that come with the plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum Version {
    /// IAB Tech Lab Content Taxonomy 3.1.
    #[default]
    #[serde(rename = "content-3.1")]
    Content31,
    /// IAB Tech Lab Content Taxonomy 2.2.
    #[serde(rename = "content-2.2")]
    Content22,
}

/// Ids of nodes by name and by title, in lower case; a name that several nodes have is none.
type Names = HashMap<String, Option<String>>;

impl Version {
    pub(crate) fn ids(self) -> Ids<'static> {
        let tree = &self.parsed().0;
        let allowed = match self {
            Self::Content31 => {
                "ids of the Content Taxonomy 3.1, as `227` or `IAB 227`, or of 1.0, as `IAB17-3`"
            }
            Self::Content22 => {
                "ids of the Content Taxonomy 2.2, as `227` or `IAB 227`, or of 1.0, as `IAB17-3`"
            }
        };
        Ids { tree, node, allowed }
    }

    /// The node of a name (`Running and Jogging`) or of all names from the root (`Sports | Running and Jogging`).
    pub(crate) fn named(self, name: &str) -> Option<&'static Node> {
        let (tree, names) = self.parsed();
        tree.node(names.get(&name.trim().to_lowercase())?.as_deref()?)
    }

    fn parsed(self) -> &'static (Tree, Names) {
        static V31: LazyLock<(Tree, Names)> =
            LazyLock::new(|| parse(include_str!("../data/content-3.1.tsv")));
        static V22: LazyLock<(Tree, Names)> =
            LazyLock::new(|| parse(include_str!("../data/content-2.2.tsv")));
        match self {
            Self::Content31 => &V31,
            Self::Content22 => &V22,
        }
    }
}

fn parse(table: &str) -> (Tree, Names) {
    let tree = Tree::parse(table).unwrap_or_else(|why| panic!("{why}"));
    let mut names = Names::new();
    for node in tree.nodes() {
        // A root's title is its name.
        let title = Some(&node.title).filter(|title| **title != node.name);
        for name in [Some(&node.name), title].into_iter().flatten() {
            let several = |id: &mut Option<String>| *id = None;
            names.entry(name.to_lowercase()).and_modify(several).or_insert_with(|| Some(node.id.clone()));
        }
    }
    (tree, names)
}

/// The node of an id. `IAB17-3` and `IAB17` are of 1.0, where OpenRTB writes them without a space; `IAB 227` is not.
fn node<'a>(tree: &'a Tree, id: &str) -> Option<&'a Node> {
    let id = id.trim();
    match id.strip_prefix("IAB").filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
        Some(number) => tree.node(of_1_0().get(number)?),
        None => tree.node(id),
    }
}

/// The ids of 2.0 by the numbers of those of 1.0, `17-3`; a few of 1.0 have none. 2.2 and 3.1 did not give an id of 2.0 to another category.
fn of_1_0() -> &'static HashMap<&'static str, &'static str> {
    static IDS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
        let rows = include_str!("../data/content-1.0-to-2.0.tsv").lines().skip(1);
        let pair = |row: &'static str| {
            let mut cells = row.split('\t').map(str::trim);
            // IAB7 is printed as "AB7".
            let number = cells.next()?.trim_start_matches(['I', 'A', 'B']);
            Some((number, cells.nth(2)?)).filter(|(_, new)| !new.is_empty())
        };
        rows.filter_map(pair).collect()
    });
    &IDS
}

//! A taxonomy: a tree of nodes with ids, read from the table that IAB Tech Lab publishes.

use std::collections::HashMap;

/// A versioned category tree.
pub struct Tree {
    nodes: Vec<Node>,
    by_id: HashMap<String, usize>,
}

/// One category.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The id, without `IAB`. Text: later taxonomies have ids such as `v9i3On`.
    pub id: String,
    /// The id of the node above; none at a root.
    pub parent: Option<String>,
    /// Its name, in tables without a column for it the last of its tiers: `Running and Jogging`.
    pub name: String,
    /// All tiers joined: `Interest | Healthy Living | Fitness and Exercise | Running and Jogging`.
    pub title: String,
}

impl Tree {
    /// Reads a table of tab-separated cells. The header is the first line with a cell `Unique ID`; the columns
    /// `Unique ID`, `Parent ID` (or `Parent`), `Name` and `Tier 1`, `Tier 2`, … may stand anywhere.
    ///
    /// # Errors
    /// No header, an id twice, a parent that is no node, or a circle of parents.
    pub fn parse(table: &str) -> Result<Self, String> {
        let mut lines = table.lines().map(|line| line.split('\t').map(str::trim).collect::<Vec<_>>());
        let header =
            lines.find(|cells| cells.contains(&"Unique ID")).ok_or("no header with a cell `Unique ID`")?;
        let column = |name: &str| header.iter().position(|cell| *cell == name);
        let id = column("Unique ID").ok_or("no column `Unique ID`")?;
        let parent = column("Parent ID").or(column("Parent")).ok_or("no column `Parent ID`")?;
        let name = column("Name");
        let tiers: Vec<usize> = (1..).map_while(|tier| column(&format!("Tier {tier}"))).collect();
        let mut tree = Self { nodes: Vec::new(), by_id: HashMap::new() };
        for cells in lines {
            let cell = |column: usize| cells.get(column).copied().filter(|cell| !cell.is_empty());
            let Some(id) = cell(id) else { continue };
            let tiers: Vec<&str> = tiers.iter().filter_map(|&tier| cell(tier)).collect();
            tree.add(Node {
                id: id.to_owned(),
                parent: cell(parent).filter(|parent| *parent != id).map(str::to_owned),
                name: name.and_then(cell).or(tiers.last().copied()).unwrap_or(id).to_owned(),
                title: tiers.join(" | "),
            })?;
        }
        tree.checked()
    }

    /// Every node, in the order of the table.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of an id, given as `483` or `IAB 483`.
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.by_id.get(bare(id)).map(|&index| &self.nodes[index])
    }

    /// The node above; none at a root.
    pub fn parent(&self, node: &Node) -> Option<&Node> {
        self.node(node.parent.as_deref()?)
    }

    /// The node, the one above it, … up to its root.
    pub fn ancestry<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Node> {
        std::iter::successors(Some(node), |node| self.parent(node))
    }

    /// Ids from the root to the node, each between slashes: `/206/406/408/410/`. A node is below `408` exactly when its
    /// path is `LIKE '%/408/%'`.
    pub fn path(&self, node: &Node) -> String {
        let mut ids: Vec<&str> = self.ancestry(node).map(|node| node.id.as_str()).collect();
        ids.reverse();
        format!("/{}/", ids.join("/"))
    }

    /// The nodes whose names are most like these words, best first, at most three.
    pub fn near(&self, words: &str) -> Vec<&Node> {
        let words = words.to_lowercase();
        let score = |node: &Node| strsim::normalized_damerau_levenshtein(&words, &node.name.to_lowercase());
        let mut scored: Vec<(f64, &Node)> = self.nodes.iter().map(|node| (score(node), node)).collect();
        scored.retain(|(score, _)| *score >= 0.6);
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        scored.into_iter().take(3).map(|(_, node)| node).collect()
    }

    fn add(&mut self, node: Node) -> Result<(), String> {
        if self.by_id.insert(node.id.clone(), self.nodes.len()).is_some() {
            return Err(format!("id `{}` twice", node.id));
        }
        self.nodes.push(node);
        Ok(())
    }

    fn checked(self) -> Result<Self, String> {
        for node in &self.nodes {
            if let Some(parent) = node.parent.as_deref().filter(|parent| !self.by_id.contains_key(*parent)) {
                return Err(format!("parent `{parent}` of `{}` is no node", node.id));
            }
            if self.ancestry(node).take(self.nodes.len() + 1).count() > self.nodes.len() {
                return Err(format!("the parents of `{}` run in a circle", node.id));
            }
        }
        Ok(self)
    }
}

/// An id without the `IAB` that people write before it.
pub(crate) fn bare(id: &str) -> &str {
    let id = id.trim();
    id.strip_prefix("IAB").map_or(id, str::trim_start)
}

//! What can only be answered once everybody was seen. Of each batch that is surveyed, the values that it will be computed
//! from are remembered, so that no event is read twice.

use super::Evaluator;
use crate::{
    compile::Program,
    graph::{Graph, Id, Leaf, Node},
    vector::Vector,
};
use arrow::array::RecordBatch;
use kindred_plugin_api::{Evaluated, Fault, Result};

/// Bytes that an instance remembers; of what comes beyond, nothing.
const MOST: usize = 256 << 20;

/// What depends on everybody, and what is remembered for it.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// Per node over profiles, whether it does.
    nodes: Vec<bool>,
    /// The other nodes that those are computed from, and roots among them.
    inputs: Vec<Id>,
    /// Whether a change by itself depends on everybody, too: then nothing can be answered later.
    moves: bool,
    batches: Vec<Option<Remembered>>,
    bytes: usize,
    /// Everybody was seen: the next batch is the first of a new pass.
    is_seen: bool,
}

/// Of one batch: how many rows it had, and the values of the inputs.
#[derive(Debug)]
struct Remembered {
    rows: usize,
    values: Vec<Vector>,
}

impl Late {
    pub(super) fn of(program: &Program) -> Self {
        let graph = &program.profiles;
        let nodes = dependent(graph);
        let mut is_input = vec![false; nodes.len()];
        for (_, node) in graph.nodes().enumerate().filter(|(id, _)| nodes[*id]) {
            node.operands().filter(|operand| !nodes[*operand]).for_each(|operand| is_input[operand] = true);
        }
        let moves =
            graph.nodes().enumerate().any(|(id, node)| nodes[id] && matches!(node, Node::CompareDays(..)));
        let inputs = (0..nodes.len()).filter(|id| is_input[*id]).collect();
        Self { nodes, inputs, moves, ..Self::default() }
    }

    /// Whether a node depends on everybody.
    pub(super) fn has(&self, node: Id) -> bool {
        self.nodes[node]
    }

    /// The nodes that do not.
    pub(super) fn others(&self) -> Vec<bool> {
        self.nodes.iter().map(|late| !late).collect()
    }

    /// Everybody was seen.
    pub(super) fn is_seen(&mut self) {
        self.is_seen = true;
    }

    /// Takes the values of the inputs, which are computed anew for the next batch.
    fn remember(&mut self, rows: usize, profiles: &mut [Vector], graph: &Graph) {
        if std::mem::take(&mut self.is_seen) {
            (self.batches, self.bytes) = (Vec::new(), 0);
        }
        let bytes: usize = self.inputs.iter().map(|input| profiles[*input].bytes()).sum();
        let is_kept = !self.moves && self.bytes + bytes <= MOST;
        self.batches.push(is_kept.then(|| {
            self.bytes += bytes;
            let take = |input: &Id| std::mem::replace(&mut profiles[*input], Vector::of(graph.kind(*input)));
            Remembered { rows, values: self.inputs.iter().map(take).collect() }
        }));
    }

    /// Gives the values of a batch back; answers how many rows it had.
    fn recall(&mut self, batch: usize, profiles: &mut [Vector]) -> Result<usize> {
        let found = self.batches.get_mut(batch).and_then(Option::take);
        let Some(Remembered { rows, values }) = found else {
            return Err(Fault::unsupported("this batch is not remembered"));
        };
        for (input, values) in self.inputs.iter().zip(values) {
            self.bytes = self.bytes.saturating_sub(values.bytes());
            profiles[*input] = values;
        }
        Ok(rows)
    }
}

/// Nodes that are computed from figures of everybody.
fn dependent(graph: &Graph) -> Vec<bool> {
    let mut late: Vec<bool> = Vec::new();
    // Operands come before what is made of them.
    for node in graph.nodes() {
        let own = matches!(node, Node::Reaches(..) | Node::Leaf(Leaf::Total(_)));
        late.push(own || node.operands().any(|operand| late[operand]));
    }
    late
}

impl Evaluator {
    /// Answers for the rules that do not depend on everybody, and remembers what the others will be answered from. What
    /// figures are computed from is in `see`, before it is taken.
    pub(crate) fn survey(
        &mut self,
        batch: &RecordBatch,
        see: impl FnOnce(&Program, &[Vector]),
    ) -> Result<Evaluated> {
        let wanted = self.early.clone();
        self.compute(batch, Some(&wanted), false)?;
        self.find_next_change(batch, |late, node| !late.has(node));
        see(&self.program, &self.profiles);
        let (ends, ordinals) = self.members(batch.num_rows(), |late| !late);
        self.late.remember(batch.num_rows(), &mut self.profiles, &self.program.profiles);
        Evaluated::from_parts(ends, ordinals, std::mem::take(&mut self.next))
    }

    /// Answers for the others.
    pub(crate) fn recall(&mut self, batch: usize) -> Result<Evaluated> {
        let Self { program, late, known, profiles, table, .. } = self;
        let rows = late.recall(batch, profiles)?;
        program.profiles.run(rows, Some(&late.nodes), known, profiles, table, |_, leaf, out| {
            if let Leaf::Total(figure) = leaf {
                crate::audience::Known::sum(known.get(*figure), rows, out);
            }
            Ok(())
        })?;
        let (ends, ordinals) = self.members(rows, |late| late);
        Evaluated::from_parts(ends, ordinals, vec![Evaluated::NEVER; rows])
    }

    /// Everybody was seen: batches can be recalled.
    pub(crate) fn is_seen(&mut self) {
        self.late.is_seen();
    }
}

//! What is computed for some nodes over profiles, and nothing else.

use super::Late;
use crate::{
    compile::{Program, Steps},
    graph::{Id, Leaf, Node},
};

/// Which parts of a program are wanted.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(super) profiles: Vec<bool>,
    pub(super) events: Vec<bool>,
    pub(super) masks: Vec<bool>,
    pub(super) windows: Vec<bool>,
}

impl Wanted {
    /// All but what is late.
    pub(super) fn but(program: &Program, late: &Late) -> Self {
        let all = |count: usize| vec![true; count];
        Self {
            profiles: late.others(),
            events: all(program.events.nodes().count()),
            masks: all(program.masks.len()),
            windows: all(program.windows.len()),
        }
    }

    /// What these nodes over profiles are computed from.
    pub(super) fn by(program: &Program, roots: impl Iterator<Item = Id>) -> Self {
        let profiles = program.profiles.below(roots);
        let mut masks = vec![false; program.masks.len()];
        let mut windows = vec![false; program.windows.len()];
        let mut columns = Vec::new();
        for (_, node) in program.profiles.nodes().enumerate().filter(|(id, _)| profiles[*id]) {
            match node {
                Node::Leaf(Leaf::Call(at)) => {
                    let call = &program.calls[*at];
                    masks[call.mask] = true;
                    windows[call.window] = true;
                    columns.extend(call.column);
                }
                Node::Leaf(Leaf::Sequence(at)) => {
                    let Steps { masks: steps, window, .. } = &program.sequences[*at];
                    steps.iter().for_each(|step| masks[*step] = true);
                    windows[*window] = true;
                }
                _ => {}
            }
        }
        let asked = program.masks.iter().zip(&masks).filter(|(_, wanted)| **wanted);
        let asked = asked.flat_map(|((predicate, column), _)| std::iter::once(*predicate).chain(*column));
        let events = program.events.below(asked.chain(columns));
        Self { profiles, events, masks, windows }
    }
}

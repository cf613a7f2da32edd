//! Calls over events.

use super::{Call, Program, Scope, Steps, Value};
use crate::{
    ast::{Aggregate, CompareOp, ExprKind, Function, Literal, Sequence, Type},
    graph::{Id, Leaf, Node},
};

impl Program {
    /// Where the bits and the window of a call are, and its column among the nodes over events; none where the column
    /// is null whatever the event, so that nothing is aggregated.
    pub(crate) fn place(&mut self, call: &Aggregate) -> Option<(usize, usize, Option<Id>)> {
        // First, as reasons show its columns in any case.
        let predicate = self.condition(Scope::Event, &call.predicate);
        let column = match &call.column {
            Some(column) if matches!(column.kind, ExprKind::Day(_)) => None,
            Some(column) => match self.value(Scope::Event, column) {
                Value::Literal(Literal::Null) => return None,
                value => Some(self.node(Scope::Event, value)),
            },
            None => None,
        };
        Some((self.masks.add((predicate, column)), self.windows.add(call.window.clone()), column))
    }

    pub(super) fn aggregate(&mut self, call: &Aggregate) -> Value {
        let Some((mask, window, column)) = self.place(call) else {
            let counts = call.function == Function::CountDistinct;
            return Value::Literal(if counts { Literal::Int(0) } else { Literal::Null });
        };
        let kind = column.map_or(Type::Any, |column| self.events.kind(column));
        let (function, kind) = match call.function {
            Function::Count | Function::Did | Function::Interest => (Function::Count, Type::Int),
            Function::CountDistinct | Function::CountDistinctDays => (call.function, Type::Int),
            Function::Avg => (call.function, Type::Float),
            Function::DaysSince => (call.function, Type::Age),
            Function::Sum | Function::Min | Function::Max | Function::First | Function::Last => {
                (call.function, kind)
            }
        };
        let zone = match call.column.as_ref().map(|column| &column.kind) {
            Some(ExprKind::Day(zone)) => Some(zone.clone()),
            _ => None,
        };
        let position = self.calls.add(Call { function, column, zone, mask, window });
        let node = self.profiles.add(Node::Leaf(Leaf::Call(position)), kind);
        if !call.function.is_existence() {
            return Value::Node(node);
        }
        self.test(Scope::Profile, Node::CompareLiteral(CompareOp::Gt, node, Literal::Int(0)))
    }

    pub(super) fn sequence(&mut self, sequence: &Sequence) -> Value {
        let position = self.steps(sequence);
        Value::Node(self.profiles.add(Node::Leaf(Leaf::Sequence(position)), Type::Bool))
    }

    /// Where a sequence is among those of the program.
    pub(crate) fn steps(&mut self, sequence: &Sequence) -> usize {
        let steps = sequence.steps.iter().map(|step| {
            let predicate = self.condition(Scope::Event, step);
            self.masks.add((predicate, None))
        });
        let masks = steps.collect();
        let window = self.windows.add(sequence.window.clone());
        self.sequences.add(Steps { masks, window, within_us: sequence.within_us })
    }
}

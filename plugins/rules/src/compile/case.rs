//! CASE: the first result whose condition is true.

use super::{Program, Scope, Value};
use crate::{
    ast::{CompareOp, Expr, Literal, Type},
    graph::{Id, Node},
};

impl Program {
    pub(super) fn case(
        &mut self,
        scope: Scope,
        operand: Option<&Expr>,
        branches: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
    ) -> Value {
        let operand = operand.map(|operand| self.value(scope, operand));
        let mut conditions = Vec::with_capacity(branches.len());
        let mut results = Vec::with_capacity(branches.len() + 1);
        for (when, then) in branches {
            let when = self.value(scope, when);
            let condition = match &operand {
                Some(operand) => self.compare(scope, CompareOp::Eq, operand.clone(), when),
                None => when,
            };
            conditions.push(self.node(scope, condition));
            results.push(self.value(scope, then));
        }
        results.extend(otherwise.map(|otherwise| self.value(scope, otherwise)));
        let kinds: Vec<Type> = results.iter().map(|result| self.kind(scope, result)).collect();
        let kind = common(&kinds);
        if kind == Type::Null {
            return Value::Literal(Literal::Null);
        }
        let mut results: Vec<Option<Id>> =
            results.into_iter().map(|result| self.result(scope, result, kind)).collect();
        let otherwise = if results.len() > conditions.len() { results.pop().flatten() } else { None };
        let branches = conditions.into_iter().zip(results).collect();
        Value::Node(self.graph(scope).add(Node::Case { branches, otherwise }, kind))
    }

    fn kind(&mut self, scope: Scope, value: &Value) -> Type {
        match value {
            Value::Literal(literal) => literal.kind(),
            Value::Node(id) | Value::Rank(id) => self.graph(scope).kind(*id),
        }
    }

    /// None for null.
    fn result(&mut self, scope: Scope, value: Value, kind: Type) -> Option<Id> {
        let value = match value {
            Value::Literal(literal) => Value::Literal(literal.coerced(kind)),
            node => node,
        };
        match (self.kind(scope, &value), kind) {
            (Type::Null, _) => None,
            (_, Type::Float) => Some(self.decimal(scope, value)),
            _ => Some(self.node(scope, value)),
        }
    }
}

/// The type that all have, but for those that are null; text among times are times.
fn common(kinds: &[Type]) -> Type {
    let any = |wanted: Type| kinds.contains(&wanted).then_some(wanted);
    let first = kinds.iter().copied().find(|kind| *kind != Type::Null);
    any(Type::Time).or(any(Type::Float)).or(first).unwrap_or(Type::Null)
}

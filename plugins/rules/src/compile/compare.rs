//! Comparisons, one by one and with lists.

use super::{Program, Scope, Value};
use crate::{
    ast::{CompareOp, Literal, Type},
    graph::{Id, Node, TextTest},
    kernel,
};

impl Program {
    pub(super) fn compare(&mut self, scope: Scope, op: CompareOp, left: Value, right: Value) -> Value {
        match (left, right) {
            (Value::Literal(Literal::Null), _) | (_, Value::Literal(Literal::Null)) => {
                Value::Literal(Literal::Null)
            }
            (Value::Literal(a), Value::Literal(b)) => {
                let b = b.coerced(a.kind());
                let order = kernel::compare_literals(&a.coerced(b.kind()), &b);
                Value::Literal(order.map_or(Literal::Null, |order| Literal::Bool(op.holds(order))))
            }
            (Value::Rank(of), Value::Literal(literal)) => self.reaches(op, of, literal),
            (Value::Literal(literal), Value::Rank(of)) => self.reaches(op.flipped(), of, literal),
            (Value::Rank(_), _) | (_, Value::Rank(_)) => unreachable!("ranks are compared with numbers"),
            (Value::Literal(a), Value::Node(b)) => self.compare_literal(scope, op.flipped(), b, a),
            (Value::Node(a), Value::Literal(b)) => self.compare_literal(scope, op, a, b),
            (Value::Node(a), Value::Node(b)) => {
                let graph = self.graph(scope);
                let node = match (graph.kind(a), graph.kind(b)) {
                    // The older event is the one with the greater age; that never changes.
                    (Type::Age, Type::Age) => Node::Compare(op, a, b),
                    (Type::Age, _) => Node::CompareDays(op, a, b),
                    (_, Type::Age) => Node::CompareDays(op.flipped(), b, a),
                    _ => Node::Compare(op, a, b),
                };
                self.test(scope, node)
            }
        }
    }

    fn compare_literal(&mut self, scope: Scope, op: CompareOp, of: Id, literal: Literal) -> Value {
        let kind = self.graph(scope).kind(of);
        let node = match (kind, literal.coerced(kind)) {
            (_, Literal::Null) => return Value::Literal(Literal::Null),
            (Type::Text, Literal::Text(text)) => Node::Text(of, TextTest::Compare(op, text)),
            (Type::Age, literal) => {
                let other = self.node(scope, Value::Literal(literal));
                Node::CompareDays(op, of, other)
            }
            (Type::Bool, literal) => {
                let other = self.node(scope, Value::Literal(literal));
                Node::Compare(op, of, other)
            }
            (_, literal) => Node::CompareLiteral(op, of, literal),
        };
        self.test(scope, node)
    }

    /// Literals of the column's own type are looked up together; what remains is compared one by one.
    pub(super) fn is_in(&mut self, scope: Scope, of: Value, list: Vec<Value>) -> Value {
        let kind = match of {
            Value::Node(id) => self.graph(scope).kind(id),
            Value::Literal(_) | Value::Rank(_) => Type::Null,
        };
        let (mut texts, mut ints, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for item in list {
            match (kind, item) {
                (Type::Text, Value::Literal(Literal::Text(text))) => texts.push(text),
                (Type::Int, Value::Literal(Literal::Int(int))) => ints.push(int),
                (_, item) => {
                    let equal = self.compare(scope, CompareOp::Eq, of.clone(), item);
                    parts.push(self.node(scope, equal));
                }
            }
        }
        texts.sort_unstable();
        texts.dedup();
        ints.sort_unstable();
        ints.dedup();
        if let Value::Node(id) = of {
            let looked_up = (!texts.is_empty()).then_some(Node::Text(id, TextTest::In(texts)));
            let looked_up = looked_up.into_iter().chain((!ints.is_empty()).then_some(Node::InInts(id, ints)));
            parts.extend(looked_up.map(|node| self.graph(scope).add(node, Type::Bool)));
        }
        self.test(scope, Node::Or(parts))
    }
}

//! What is said of all profiles.

use super::{Program, Scope, Value};
use crate::{
    ast::{CompareOp, Expr, Literal, Type},
    audience::{Figure, Reach},
    graph::{Id, Leaf, Node},
};

impl Program {
    /// The comparison of a rank with a number, as conditions that only ever become true as the value grows.
    pub(super) fn reaches(&mut self, op: CompareOp, of: Id, percent: Literal) -> Value {
        let mut reach = |reach| {
            let figure = self.figures.add(Figure::Cut { value: of, reach, percent: percent.clone() });
            self.profiles.add(Node::Reaches(of, figure), Type::Bool)
        };
        let node = match op {
            CompareOp::GtEq => return Value::Node(reach(Reach::AtLeast)),
            CompareOp::Gt => return Value::Node(reach(Reach::MoreThan)),
            CompareOp::Lt => Node::Not(reach(Reach::AtLeast)),
            CompareOp::LtEq => Node::Not(reach(Reach::MoreThan)),
            CompareOp::Eq | CompareOp::NotEq => {
                let (least, more) = (reach(Reach::AtLeast), reach(Reach::MoreThan));
                let beyond = |node| self.profiles.add(Node::Not(node), Type::Bool);
                let [below, equal_or_below] = [least, more].map(beyond);
                if op == CompareOp::Eq {
                    Node::And(vec![least, equal_or_below])
                } else {
                    Node::Or(vec![below, more])
                }
            }
        };
        self.test(Scope::Profile, node)
    }

    pub(super) fn total(&mut self, value: &Expr) -> Value {
        let value = self.condition(Scope::Profile, value);
        let kind = self.profiles.kind(value);
        if kind == Type::Null {
            return Value::Literal(Literal::Null);
        }
        let figure = self.figures.add(Figure::Total(value));
        Value::Node(self.profiles.add(Node::Leaf(Leaf::Total(figure)), kind))
    }
}

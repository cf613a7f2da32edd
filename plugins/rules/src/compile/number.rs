//! Arithmetic, and values as another type.

use super::{Program, Scope, Value};
use crate::{
    ast::{ArithmeticOp, Float, Literal, Type},
    graph::{Id, Node},
    kernel,
};

impl Program {
    pub(super) fn arithmetic(&mut self, scope: Scope, op: ArithmeticOp, left: Value, right: Value) -> Value {
        if let (Value::Literal(a), Value::Literal(b)) = (&left, &right) {
            return Value::Literal(calculate(op, a, b).unwrap_or(Literal::Null));
        }
        if matches!(left, Value::Literal(Literal::Null)) || matches!(right, Value::Literal(Literal::Null)) {
            return Value::Literal(Literal::Null);
        }
        let ints = op != ArithmeticOp::Divide && self.is_int(scope, &left) && self.is_int(scope, &right);
        let kind = if ints { Type::Int } else { Type::Float };
        let [left, right] =
            [left, right].map(|side| if ints { self.node(scope, side) } else { self.decimal(scope, side) });
        Value::Node(self.graph(scope).add(Node::Arithmetic(op, left, right), kind))
    }

    fn is_int(&mut self, scope: Scope, value: &Value) -> bool {
        match value {
            Value::Literal(literal) => literal.kind() == Type::Int,
            Value::Node(id) | Value::Rank(id) => self.graph(scope).kind(*id) == Type::Int,
        }
    }

    pub(super) fn decimal(&mut self, scope: Scope, value: Value) -> Id {
        let is_int = self.is_int(scope, &value);
        match value {
            Value::Node(id) if is_int => self.graph(scope).add(Node::Decimal(id), Type::Float),
            Value::Literal(literal) => {
                let literal = literal.decimal().and_then(Float::new).map_or(Literal::Null, Literal::Float);
                self.node(scope, Value::Literal(literal))
            }
            Value::Node(id) | Value::Rank(id) => id,
        }
    }
}

impl Literal {
    /// Text beside a time is a time.
    pub(super) fn coerced(&self, beside: Type) -> Self {
        match (self, beside) {
            (Self::Text(text), Type::Time) => crate::time::parse_us(text).map_or(Self::Null, Self::Time),
            _ => self.clone(),
        }
    }

    pub(crate) fn decimal(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(value.get()),
            _ => None,
        }
    }
}

fn calculate(op: ArithmeticOp, a: &Literal, b: &Literal) -> Option<Literal> {
    match (a, b) {
        (Literal::Int(a), Literal::Int(b)) if op != ArithmeticOp::Divide => {
            kernel::calculate_ints(op, *a, *b).map(Literal::Int)
        }
        _ => {
            let result = kernel::calculate_floats(op, a.decimal()?, b.decimal()?)?;
            Float::new(result).map(Literal::Float)
        }
    }
}

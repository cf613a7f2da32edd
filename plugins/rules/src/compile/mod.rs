//! Trees → one program for all rules of an instance: a graph over events, the calls that aggregate it, and a graph over
//! profiles. Equal parts of rules become one node each. Trees have passed `check` with the same schema.

use crate::{
    ast::{ArithmeticOp, CompareOp, Expr, ExprKind, Function, IsTest, Literal, Type},
    audience::Figure,
    columns::{Columns, type_of},
    graph::{Graph, Id, Leaf, Node, TextTest},
    window::Window,
};
use arrow::datatypes::{DataType, Schema};
use interned::Interned;
use kindred_plugin_api::columns::{ATTR, CONSENT, EVENT_TIME, profile};
use std::collections::HashMap;

mod audience;
mod call;
mod case;
mod compare;
mod interned;
mod number;

/// Everything that `evaluate` does, but for the data.
#[derive(Debug)]
pub(crate) struct Program {
    /// Over events; its leaves are fields.
    pub(crate) events: Graph,
    /// Over profiles; its leaves are columns and calls.
    pub(crate) profiles: Graph,
    pub(crate) calls: Interned<Call>,
    /// Which events matter to a call: its predicate holds, and its column, if there is one, is not null.
    pub(crate) masks: Interned<(Id, Option<Id>)>,
    pub(crate) windows: Interned<Window>,
    pub(crate) sequences: Interned<Steps>,
    /// What is known of all profiles once they were seen.
    pub(crate) figures: Interned<Figure>,
    /// The root of each rule, by ordinal.
    pub(crate) roots: Vec<Option<Id>>,
    ordinals: HashMap<String, usize>,
    columns: Columns,
}

/// An aggregate call; `column` is a node over events, the others are positions in the program's lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    pub(crate) function: Function,
    pub(crate) column: Option<Id>,
    pub(crate) mask: usize,
    pub(crate) window: usize,
}

/// A sequence; masks and window are positions in the program's lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Steps {
    pub(crate) masks: Vec<usize>,
    pub(crate) window: usize,
    pub(crate) within_us: i64,
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Literal(Literal),
    Node(Id),
    /// The place of a node's value among all profiles; only compared.
    Rank(Id),
}

/// What an expression is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Event,
    Profile,
}

impl Program {
    pub(crate) fn new(names: &[String], schema: &Schema) -> Self {
        Self {
            events: Graph::default(),
            profiles: Graph::default(),
            calls: Interned::default(),
            masks: Interned::default(),
            windows: Interned::default(),
            sequences: Interned::default(),
            figures: Interned::default(),
            roots: vec![None; names.len()],
            ordinals: names.iter().enumerate().map(|(ordinal, name)| (name.clone(), ordinal)).collect(),
            columns: Columns::new(schema),
        }
    }

    /// Adds a rule; those that it refers to come before it.
    pub(crate) fn add(&mut self, ordinal: usize, root: &Expr) {
        let root = self.condition(Scope::Profile, root);
        self.roots[ordinal] = Some(root);
    }

    /// The ordinal of a segment of this instance.
    pub(crate) fn ordinal(&self, name: &str) -> Option<usize> {
        self.ordinals.get(name).copied()
    }

    /// Compiles an expression; one that is there already gives the nodes that are there.
    pub(crate) fn value(&mut self, scope: Scope, expr: &Expr) -> Value {
        match &expr.kind {
            ExprKind::Literal(literal) => Value::Literal(literal.clone()),
            ExprKind::Column(name) => {
                let leaf = column(self.columns.of_events(name));
                self.leaf(Scope::Event, leaf)
            }
            ExprKind::Day(zone) => {
                let leaf = column(self.columns.of_events(EVENT_TIME));
                match self.leaf(Scope::Event, leaf) {
                    Value::Node(time) => {
                        Value::Node(self.events.add(Node::Day(time, zone.clone()), Type::Int))
                    }
                    other => other,
                }
            }
            ExprKind::Attribute(name) => self.profile_column(&format!("{ATTR}{name}")),
            ExprKind::Consent => self.profile_column(CONSENT),
            ExprKind::InSegment(name) => self.member(name),
            ExprKind::HasIdentifier(namespace) => {
                let found = self.columns.of_profile(profile::IDENTIFIERS);
                let leaf = found.map(|&(index, _)| (Leaf::Identifier(index, namespace.clone()), Type::Bool));
                self.leaf(Scope::Profile, leaf)
            }
            ExprKind::Aggregate(call) => self.aggregate(call),
            ExprKind::Rate { part, whole } => {
                let (part, whole) = (self.value(scope, part), self.value(scope, whole));
                self.arithmetic(scope, ArithmeticOp::Divide, part, whole)
            }
            ExprKind::Sequence(sequence) => self.sequence(sequence),
            ExprKind::Percentile(value) => match self.value(scope, value) {
                Value::Node(id) => Value::Rank(id),
                constant => Value::Rank(self.node(scope, constant)),
            },
            ExprKind::Total(value) => self.total(value),
            ExprKind::Case { operand, branches, otherwise } => {
                self.case(scope, operand.as_deref(), branches, otherwise.as_deref())
            }
            ExprKind::Not(inner) => {
                let inner = self.value(scope, inner);
                self.not(scope, inner)
            }
            ExprKind::And(parts) => self.join(scope, parts, Node::And),
            ExprKind::Or(parts) => self.join(scope, parts, Node::Or),
            ExprKind::Compare { op, left, right } => {
                let (left, right) = (self.value(scope, left), self.value(scope, right));
                self.compare(scope, *op, left, right)
            }
            ExprKind::Arithmetic { op, left, right } => {
                let (left, right) = (self.value(scope, left), self.value(scope, right));
                self.arithmetic(scope, *op, left, right)
            }
            ExprKind::Negate(inner) => {
                let inner = self.value(scope, inner);
                self.arithmetic(scope, ArithmeticOp::Subtract, Value::Literal(Literal::Int(0)), inner)
            }
            ExprKind::In { expr, list, negated } => {
                let expr = self.value(scope, expr);
                let list = list.iter().map(|item| self.value(scope, item)).collect();
                let found = self.is_in(scope, expr, list);
                self.not_if(scope, *negated, found)
            }
            ExprKind::Between { expr, low, high, negated } => {
                let expr = self.value(scope, expr);
                let (low, high) = (self.value(scope, low), self.value(scope, high));
                let above = self.compare(scope, CompareOp::GtEq, expr.clone(), low);
                let below = self.compare(scope, CompareOp::LtEq, expr, high);
                let parts = [above, below].map(|part| self.node(scope, part)).to_vec();
                let both = Value::Node(self.graph(scope).add(Node::And(parts), Type::Bool));
                self.not_if(scope, *negated, both)
            }
            ExprKind::Like { expr, pattern, negated } => {
                let matched = match self.value(scope, expr) {
                    Value::Literal(Literal::Text(text)) => {
                        Value::Literal(Literal::Bool(pattern.matches(&text)))
                    }
                    Value::Literal(_) | Value::Rank(_) => Value::Literal(Literal::Null),
                    Value::Node(id) => self.test(scope, Node::Text(id, TextTest::Like(pattern.clone()))),
                };
                self.not_if(scope, *negated, matched)
            }
            ExprKind::Is { expr, test, negated } => {
                let tested = match (self.value(scope, expr), test) {
                    (Value::Node(id) | Value::Rank(id), test) => self.test(scope, Node::Is(id, *test)),
                    (Value::Literal(literal), IsTest::Null) => {
                        Value::Literal(Literal::Bool(literal == Literal::Null))
                    }
                    (Value::Literal(literal), test) => {
                        Value::Literal(Literal::Bool(literal == Literal::Bool(*test == IsTest::True)))
                    }
                };
                self.not_if(scope, *negated, tested)
            }
        }
    }

    /// The node of a condition.
    pub(crate) fn condition(&mut self, scope: Scope, expr: &Expr) -> Id {
        let value = self.value(scope, expr);
        self.node(scope, value)
    }

    fn graph(&mut self, scope: Scope) -> &mut Graph {
        match scope {
            Scope::Event => &mut self.events,
            Scope::Profile => &mut self.profiles,
        }
    }

    fn node(&mut self, scope: Scope, value: Value) -> Id {
        match value {
            Value::Node(id) | Value::Rank(id) => id,
            Value::Literal(literal) => {
                let kind = literal.kind();
                self.graph(scope).add(Node::Literal(literal), kind)
            }
        }
    }

    fn test(&mut self, scope: Scope, node: Node) -> Value {
        Value::Node(self.graph(scope).add(node, Type::Bool))
    }

    /// A column that is not there was refused before.
    fn leaf(&mut self, scope: Scope, leaf: Option<(Leaf, Type)>) -> Value {
        match leaf {
            Some((leaf, kind)) => Value::Node(self.graph(scope).add(Node::Leaf(leaf), kind)),
            None => Value::Literal(Literal::Null),
        }
    }

    fn profile_column(&mut self, name: &str) -> Value {
        let leaf = column(self.columns.of_profile(name));
        self.leaf(Scope::Profile, leaf)
    }

    /// Membership is never unknown.
    fn member(&mut self, name: &str) -> Value {
        if let Some(root) = self.ordinal(name).and_then(|ordinal| self.roots[ordinal]) {
            return self.test(Scope::Profile, Node::Is(root, IsTest::True));
        }
        let found = self.columns.of_profile(&format!("{}{name}", profile::IN));
        let leaf = found.map(|&(index, _)| (Leaf::Member(index), Type::Bool));
        self.leaf(Scope::Profile, leaf)
    }

    fn join(&mut self, scope: Scope, parts: &[Expr], node: fn(Vec<Id>) -> Node) -> Value {
        let parts = parts.iter().map(|part| self.condition(scope, part)).collect();
        self.test(scope, node(parts))
    }

    fn not(&mut self, scope: Scope, value: Value) -> Value {
        match value {
            Value::Literal(Literal::Bool(value)) => Value::Literal(Literal::Bool(!value)),
            Value::Literal(_) => Value::Literal(Literal::Null),
            Value::Node(id) | Value::Rank(id) => self.test(scope, Node::Not(id)),
        }
    }

    fn not_if(&mut self, scope: Scope, negated: bool, value: Value) -> Value {
        if negated { self.not(scope, value) } else { value }
    }
}

/// A column as a leaf, if rules can read it.
fn column(found: Option<&(usize, DataType)>) -> Option<(Leaf, Type)> {
    let (index, kind) = found?;
    Some((Leaf::Column(*index), type_of(kind)?))
}

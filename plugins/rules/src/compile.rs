//! Trees → one program for all rules of an instance: a graph over events, the calls that aggregate it, and a graph over
//! profiles. Equal parts of rules become one node each. Trees have passed `check` with the same schema.

use crate::{
    ast::{Aggregate, ArithmeticOp, CompareOp, Expr, ExprKind, Float, Function, IsTest, Literal, Type},
    check::{event_fields, type_of},
    graph::{Graph, Id, Leaf, Node, TextTest},
    kernel,
    window::Window,
};
use arrow::datatypes::{DataType, Field, Schema};
use kindred_plugin_api::columns::{CONSENT, profile};
use std::{collections::HashMap, hash::Hash, sync::Arc};

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
    /// The root of each rule, by ordinal.
    pub(crate) roots: Vec<Option<Id>>,
    ordinals: HashMap<String, usize>,
    schema: Arc<Schema>,
}

/// An aggregate call; `column` is a node over events, the others are positions in the program's lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    pub(crate) function: Function,
    pub(crate) column: Option<Id>,
    pub(crate) mask: usize,
    pub(crate) window: usize,
}

/// Things in order of their first use, each once.
#[derive(Debug)]
pub(crate) struct Interned<T> {
    list: Vec<T>,
    index: HashMap<T, usize>,
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Literal(Literal),
    Node(Id),
}

/// What an expression is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Event,
    Profile,
}

impl Program {
    pub(crate) fn new(names: &[String], schema: Arc<Schema>) -> Self {
        Self {
            events: Graph::default(),
            profiles: Graph::default(),
            calls: Interned::default(),
            masks: Interned::default(),
            windows: Interned::default(),
            roots: vec![None; names.len()],
            ordinals: names.iter().enumerate().map(|(ordinal, name)| (name.clone(), ordinal)).collect(),
            schema,
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
                let fields = event_fields(&self.schema).unwrap_or_default();
                let leaf = column(fields, name).map(|(index, kind)| (Leaf::Column(index), kind));
                self.leaf(Scope::Event, leaf)
            }
            ExprKind::Attribute(name) => self.profile_column(&format!("attr.{name}")),
            ExprKind::Consent => self.profile_column(CONSENT),
            ExprKind::InSegment(name) => self.member(name),
            ExprKind::HasIdentifier(namespace) => {
                let index = self.schema.index_of(profile::IDENTIFIERS).ok();
                let leaf = index.map(|index| (Leaf::Identifier(index, namespace.clone()), Type::Bool));
                self.leaf(Scope::Profile, leaf)
            }
            ExprKind::Aggregate(call) => self.aggregate(call),
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
                    Value::Literal(_) => Value::Literal(Literal::Null),
                    Value::Node(id) => self.test(scope, Node::Text(id, TextTest::Like(pattern.clone()))),
                };
                self.not_if(scope, *negated, matched)
            }
            ExprKind::Is { expr, test, negated } => {
                let tested = match (self.value(scope, expr), test) {
                    (Value::Node(id), test) => self.test(scope, Node::Is(id, *test)),
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

    /// Where the bits and the window of a call are, and its column among the nodes over events.
    pub(crate) fn place(&mut self, call: &Aggregate) -> (usize, usize, Option<Id>) {
        let predicate = self.condition(Scope::Event, &call.predicate);
        let column = call.column.as_ref().map(|column| self.condition(Scope::Event, column));
        (self.masks.add((predicate, column)), self.windows.add(call.window), column)
    }

    fn graph(&mut self, scope: Scope) -> &mut Graph {
        match scope {
            Scope::Event => &mut self.events,
            Scope::Profile => &mut self.profiles,
        }
    }

    fn node(&mut self, scope: Scope, value: Value) -> Id {
        match value {
            Value::Node(id) => id,
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
        let leaf = column(self.schema.fields(), name).map(|(index, kind)| (Leaf::Column(index), kind));
        self.leaf(Scope::Profile, leaf)
    }

    /// Membership is never unknown.
    fn member(&mut self, name: &str) -> Value {
        if let Some(root) = self.ordinal(name).and_then(|ordinal| self.roots[ordinal]) {
            return self.test(Scope::Profile, Node::Is(root, IsTest::True));
        }
        let index = self.schema.index_of(&format!("{}{name}", profile::IN)).ok();
        self.leaf(Scope::Profile, index.map(|index| (Leaf::Member(index), Type::Bool)))
    }

    fn join(&mut self, scope: Scope, parts: &[Expr], node: fn(Vec<Id>) -> Node) -> Value {
        let parts = parts.iter().map(|part| self.condition(scope, part)).collect();
        self.test(scope, node(parts))
    }

    fn not(&mut self, scope: Scope, value: Value) -> Value {
        match value {
            Value::Literal(Literal::Bool(value)) => Value::Literal(Literal::Bool(!value)),
            Value::Literal(_) => Value::Literal(Literal::Null),
            Value::Node(id) => self.test(scope, Node::Not(id)),
        }
    }

    fn not_if(&mut self, scope: Scope, negated: bool, value: Value) -> Value {
        if negated { self.not(scope, value) } else { value }
    }

    fn aggregate(&mut self, call: &Aggregate) -> Value {
        let (mask, window, column) = self.place(call);
        let kind = column.map_or(Type::Any, |column| self.events.kind(column));
        let (function, kind) = match call.function {
            Function::Count | Function::Did => (Function::Count, Type::Int),
            Function::CountDistinct => (call.function, Type::Int),
            Function::Avg => (call.function, Type::Float),
            Function::DaysSince => (call.function, Type::Age),
            Function::Sum | Function::Min | Function::Max | Function::First | Function::Last => {
                (call.function, kind)
            }
        };
        let column = match column {
            Some(text) if function == Function::CountDistinct && self.events.kind(text) == Type::Text => {
                Some(self.events.add(Node::Codes(text), Type::Int))
            }
            column => column,
        };
        let position = self.calls.add(Call { function, column, mask, window });
        let node = self.profiles.add(Node::Leaf(Leaf::Call(position)), kind);
        if call.function != Function::Did {
            return Value::Node(node);
        }
        self.test(Scope::Profile, Node::CompareLiteral(CompareOp::Gt, node, Literal::Int(0)))
    }

    fn compare(&mut self, scope: Scope, op: CompareOp, left: Value, right: Value) -> Value {
        match (left, right) {
            (Value::Literal(Literal::Null), _) | (_, Value::Literal(Literal::Null)) => {
                Value::Literal(Literal::Null)
            }
            (Value::Literal(a), Value::Literal(b)) => {
                let b = b.coerced(a.kind());
                let order = kernel::compare_literals(&a.coerced(b.kind()), &b);
                Value::Literal(order.map_or(Literal::Null, |order| Literal::Bool(op.holds(order))))
            }
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
    fn is_in(&mut self, scope: Scope, of: Value, list: Vec<Value>) -> Value {
        let kind = match of {
            Value::Node(id) => self.graph(scope).kind(id),
            Value::Literal(_) => Type::Null,
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

    fn arithmetic(&mut self, scope: Scope, op: ArithmeticOp, left: Value, right: Value) -> Value {
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
            Value::Node(id) => self.graph(scope).kind(*id) == Type::Int,
        }
    }

    fn decimal(&mut self, scope: Scope, value: Value) -> Id {
        let is_int = self.is_int(scope, &value);
        match value {
            Value::Node(id) if is_int => self.graph(scope).add(Node::Decimal(id), Type::Float),
            Value::Literal(literal) => {
                let literal = literal.decimal().and_then(Float::new).map_or(Literal::Null, Literal::Float);
                self.node(scope, Value::Literal(literal))
            }
            Value::Node(id) => id,
        }
    }
}

impl<T: Clone + Eq + Hash> Interned<T> {
    fn add(&mut self, item: T) -> usize {
        if let Some(&known) = self.index.get(&item) {
            return known;
        }
        self.index.insert(item.clone(), self.list.len());
        self.list.push(item);
        self.list.len() - 1
    }
}

impl<T> std::ops::Deref for Interned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.list
    }
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { list: Vec::new(), index: HashMap::new() }
    }
}

impl Literal {
    /// Text beside a time is a time.
    fn coerced(&self, beside: Type) -> Self {
        match (self, beside) {
            (Self::Text(text), Type::Time) => crate::time::parse_us(text).map_or(Self::Null, Self::Time),
            _ => self.clone(),
        }
    }

    fn decimal(&self) -> Option<f64> {
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

fn column(fields: &[Arc<Field>], name: &str) -> Option<(usize, Type)> {
    let index = fields.iter().position(|field| field.name() == name)?;
    let kind: &DataType = fields[index].data_type();
    Some((index, type_of(kind)?))
}

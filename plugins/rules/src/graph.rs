//! Expressions as a graph in which equal ones are one node, and the pass that computes every node once per batch.

use crate::{
    ast::{ArithmeticOp, CompareOp, IsTest, Literal, Type},
    audience::Known,
    case, kernel,
    like::Pattern,
    logic::Bools,
    vector::Vector,
};
use kindred_plugin_api::Result;
use std::collections::HashMap;

/// Position of a node; operands come before what is made of them.
pub(crate) type Id = usize;

/// A condition and its result; none is null.
pub(crate) type Branch = (Id, Option<Id>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Leaf(Leaf),
    Literal(Literal),
    Not(Id),
    And(Vec<Id>),
    Or(Vec<Id>),
    Is(Id, IsTest),
    Compare(CompareOp, Id, Id),
    CompareLiteral(CompareOp, Id, Literal),
    /// An age, in days, with a number.
    CompareDays(CompareOp, Id, Id),
    /// Sorted.
    InInts(Id, Vec<i64>),
    Text(Id, TextTest),
    /// Two integers (not divided), or two decimals.
    Arithmetic(ArithmeticOp, Id, Id),
    /// An integer as a decimal.
    Decimal(Id),
    /// The result of the first condition that is true; none is null.
    Case {
        branches: Vec<Branch>,
        otherwise: Option<Id>,
    },
    /// Whether a value reaches a place among all profiles, which is figured out elsewhere.
    Reaches(Id, usize),
}

/// Text against literals.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TextTest {
    Compare(CompareOp, String),
    /// Sorted.
    In(Vec<String>),
    Like(Pattern),
}

impl Node {
    /// The nodes that it is computed from.
    pub(crate) fn operands(&self) -> impl Iterator<Item = Id> {
        let (parts, branches, last): (&[Id], &[Branch], Option<Id>) = match self {
            Self::Leaf(_) | Self::Literal(_) => (&[], &[], None),
            Self::And(parts) | Self::Or(parts) => (parts, &[], None),
            Self::Not(of)
            | Self::Is(of, _)
            | Self::CompareLiteral(_, of, _)
            | Self::InInts(of, _)
            | Self::Text(of, _)
            | Self::Decimal(of)
            | Self::Reaches(of, _) => (std::slice::from_ref(of), &[], None),
            Self::Compare(_, left, right)
            | Self::CompareDays(_, left, right)
            | Self::Arithmetic(_, left, right) => (std::slice::from_ref(left), &[], Some(*right)),
            Self::Case { branches, otherwise } => (&[], branches, *otherwise),
        };
        let branches =
            branches.iter().flat_map(|(condition, result)| std::iter::once(*condition).chain(*result));
        parts.iter().copied().chain(branches).chain(last)
    }
}

/// What is read, not computed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Leaf {
    /// A column of the batch, or a field of its events.
    Column(usize),
    /// A membership column: null is no.
    Member(usize),
    /// Whether the identifiers in a column include this namespace.
    Identifier(usize, String),
    /// An aggregate call.
    Call(usize),
    /// Whether a sequence was found.
    Sequence(usize),
    /// A sum over all profiles.
    Total(usize),
}

#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<(Node, Type)>,
    index: HashMap<Node, Id>,
}

impl Graph {
    /// The node's place; the same for equal nodes.
    pub(crate) fn add(&mut self, node: Node, kind: Type) -> Id {
        if let Some(&known) = self.index.get(&node) {
            return known;
        }
        let id = self.nodes.len();
        self.index.insert(node.clone(), id);
        self.nodes.push((node, kind));
        id
    }

    pub(crate) fn kind(&self, id: Id) -> Type {
        self.nodes[id].1
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().map(|(node, _)| node)
    }

    /// A vector for each node.
    pub(crate) fn vectors(&self) -> Vec<Vector> {
        self.nodes.iter().map(|(_, kind)| Vector::of(*kind)).collect()
    }

    /// The nodes that these are made of, and they themselves.
    pub(crate) fn below(&self, roots: impl Iterator<Item = Id>) -> Vec<bool> {
        let mut below = vec![false; self.nodes.len()];
        roots.for_each(|root| below[root] = true);
        // Operands come before what is made of them.
        for id in (0..self.nodes.len()).rev() {
            if below[id] {
                self.nodes[id].0.operands().for_each(|operand| below[operand] = true);
            }
        }
        below
    }

    /// Computes the nodes for so many rows, or those that are `wanted`; `read` fills those of leaves, `known` is what all
    /// profiles gave.
    pub(crate) fn run(
        &self,
        rows: usize,
        wanted: Option<&[bool]>,
        known: &[Known],
        vectors: &mut [Vector],
        table: &mut Vec<bool>,
        mut read: impl FnMut(Id, &Leaf, &mut Vector) -> Result<()>,
    ) -> Result<()> {
        let wanted = |id: &usize| wanted.is_none_or(|wanted| wanted[*id]);
        for (id, (node, _)) in self.nodes.iter().enumerate().filter(|(id, _)| wanted(id)) {
            let (done, rest) = vectors.split_at_mut(id);
            match (node, &mut rest[0]) {
                (Node::Leaf(leaf), out) => read(id, leaf, out)?,
                (Node::Case { branches, otherwise }, out) => {
                    case::choose(rows, branches, *otherwise, done, out);
                }
                (Node::Reaches(value, figure), Vector::Bools(out)) => match known.get(*figure) {
                    Some(known) => known.reached(&done[*value], out),
                    None => out.fill(rows, None),
                },
                (node, Vector::Bools(out)) => condition(node, rows, done, out, table),
                (node, out) => value(node, rows, done, out),
            }
        }
        Ok(())
    }
}

fn condition(node: &Node, rows: usize, done: &[Vector], out: &mut Bools, table: &mut Vec<bool>) {
    match node {
        Node::Literal(Literal::Bool(value)) => out.fill(rows, Some(*value)),
        Node::Literal(_) => out.fill(rows, None),
        Node::Not(of) => {
            let of = done[*of].bools();
            out.yes.copy(&of.no);
            out.no.copy(&of.yes);
        }
        Node::And(parts) => fold(parts, done, out, Bools::and),
        Node::Or(parts) => fold(parts, done, out, Bools::or),
        Node::Is(of, test) => kernel::is(*test, &done[*of], out),
        Node::Compare(op, left, right) => kernel::compare(*op, &done[*left], &done[*right], out),
        Node::CompareLiteral(op, left, literal) => kernel::compare_literal(*op, &done[*left], literal, out),
        Node::CompareDays(op, age, other) => kernel::compare_days(*op, &done[*age], &done[*other], out),
        Node::InInts(of, list) => kernel::in_ints(&done[*of], list, out),
        Node::Text(of, test) => {
            let Vector::Texts(texts) = &done[*of] else { unreachable!("only text is tested as text") };
            match test {
                TextTest::Compare(op, with) => texts.test(out, table, |text| op.holds(text.cmp(with))),
                TextTest::In(list) => {
                    texts.test(out, table, |text| {
                        list.binary_search_by(|item| item.as_str().cmp(text)).is_ok()
                    });
                }
                TextTest::Like(pattern) => texts.test(out, table, |text| pattern.matches(text)),
            }
        }
        _ => unreachable!("not a condition: {node:?}"),
    }
}

fn value(node: &Node, rows: usize, done: &[Vector], out: &mut Vector) {
    match (node, out) {
        (Node::Literal(Literal::Int(value) | Literal::Time(value)), Vector::Ints(out)) => {
            out.fill(rows, Some(*value));
        }
        (Node::Literal(Literal::Float(value)), Vector::Floats(out)) => out.fill(rows, Some(value.get())),
        (Node::Arithmetic(op, left, right), out) => kernel::arithmetic(*op, &done[*left], &done[*right], out),
        (Node::Decimal(of), Vector::Floats(out)) => {
            let Vector::Ints(of) = &done[*of] else { unreachable!("only integers are made decimal") };
            out.fill_with(rows, |row| of.get(row).map(|value| value as f64));
        }
        (Node::Literal(Literal::Text(text)), Vector::Texts(out)) => out.fill(rows, text),
        _ => unreachable!("not a value: {node:?}"),
    }
}

fn fold(parts: &[Id], done: &[Vector], out: &mut Bools, combine: fn(&mut Bools, &Bools)) {
    out.copy(done[parts[0]].bools());
    for part in &parts[1..] {
        combine(out, done[*part].bools());
    }
}

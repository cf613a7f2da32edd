//! The tree of a rule, once SQL that means nothing here has been refused.

use crate::{calendar::Zone, like::Pattern, window::Window};
use std::{cmp::Ordering, ops::Range};

/// An expression and the characters of the rule that it was written with.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) range: Range<usize>,
}

#[derive(Clone, Debug)]
pub(crate) enum ExprKind {
    Literal(Literal),
    /// A column of an event; only inside a call over events.
    Column(String),
    /// The calendar day of an event.
    Day(Zone),
    Attribute(String),
    InSegment(String),
    HasIdentifier(String),
    Consent,
    Aggregate(Box<Aggregate>),
    /// How many of one kind there are for each of another; both are counts.
    Rate {
        part: Box<Expr>,
        whole: Box<Expr>,
    },
    Sequence(Box<Sequence>),
    /// The percent of the profiles with a value that have a smaller one.
    Percentile(Box<Expr>),
    /// The sum over all profiles.
    Total(Box<Expr>),
    Case {
        /// What each condition is compared with, if it is no condition itself.
        operand: Option<Box<Expr>>,
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Compare {
        op: CompareOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Arithmetic {
        op: ArithmeticOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Negate(Box<Expr>),
    In {
        expr: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    Between {
        expr: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
        negated: bool,
    },
    Like {
        expr: Box<Expr>,
        pattern: Pattern,
        negated: bool,
    },
    Is {
        expr: Box<Expr>,
        test: IsTest,
        negated: bool,
    },
}

/// A call over the events of a profile.
#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    pub(crate) function: Function,
    /// What it is about: an expression over the columns of an event.
    pub(crate) column: Option<Expr>,
    pub(crate) predicate: Expr,
    pub(crate) window: Window,
}

/// Events that come after each other.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    /// Predicates, at least two.
    pub(crate) steps: Vec<Expr>,
    /// From the first event to the last, at most.
    pub(crate) within_us: i64,
    pub(crate) window: Window,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Function {
    Count,
    Did,
    Sum,
    Min,
    Max,
    Avg,
    First,
    Last,
    CountDistinct,
    CountDistinctDays,
    DaysSince,
    Interest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CompareOp {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ArithmeticOp {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// `IS NULL` (`IS UNKNOWN`), `IS TRUE`, `IS FALSE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum IsTest {
    Null,
    True,
    False,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Float(Float),
    Text(String),
    /// Microseconds since 1970.
    Time(i64),
}

/// A decimal that is a number, so that equal expressions can be found by hash.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Float(f64);

/// What a value is. `Any` is not known before the columns are; `Null` fits everywhere; `Age` is time passed since an
/// event, shown in days; `Rank` is a place among all profiles, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Type {
    Any,
    Null,
    Bool,
    Int,
    Float,
    Text,
    Time,
    Age,
    Rank,
}

impl Expr {
    /// Calls `see` with this expression and everything below it, predicates of aggregates included.
    pub(crate) fn walk<'a>(&'a self, see: &mut impl FnMut(&'a Expr)) {
        see(self);
        for below in self.below() {
            below.walk(see);
        }
    }

    fn below(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Literal(_)
            | ExprKind::Column(_)
            | ExprKind::Day(_)
            | ExprKind::Attribute(_)
            | ExprKind::InSegment(_)
            | ExprKind::HasIdentifier(_)
            | ExprKind::Consent => vec![],
            ExprKind::Aggregate(call) => call.column.iter().chain([&call.predicate]).collect(),
            ExprKind::Rate { part, whole } => vec![part, whole],
            ExprKind::Sequence(sequence) => sequence.steps.iter().collect(),
            ExprKind::Case { operand, branches, otherwise } => {
                let branches = branches.iter().flat_map(|(when, then)| [when, then]);
                operand.as_deref().into_iter().chain(branches).chain(otherwise.as_deref()).collect()
            }
            ExprKind::And(parts) | ExprKind::Or(parts) => parts.iter().collect(),
            ExprKind::Compare { left, right, .. } | ExprKind::Arithmetic { left, right, .. } => {
                vec![left, right]
            }
            ExprKind::In { expr, list, .. } => [&**expr].into_iter().chain(list).collect(),
            ExprKind::Between { expr, low, high, .. } => vec![expr, low, high],
            ExprKind::Not(expr)
            | ExprKind::Percentile(expr)
            | ExprKind::Total(expr)
            | ExprKind::Negate(expr)
            | ExprKind::Like { expr, .. }
            | ExprKind::Is { expr, .. } => vec![expr],
        }
    }
}

impl Function {
    pub(crate) const ALL: [Self; 12] = [
        Self::Count,
        Self::Did,
        Self::Sum,
        Self::Min,
        Self::Max,
        Self::Avg,
        Self::First,
        Self::Last,
        Self::CountDistinct,
        Self::CountDistinctDays,
        Self::DaysSince,
        Self::Interest,
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }

    /// As written in rules.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Did => "did",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Avg => "avg",
            Self::First => "first",
            Self::Last => "last",
            Self::CountDistinct => "count_distinct",
            Self::CountDistinctDays => "count_distinct_days",
            Self::DaysSince => "days_since",
            Self::Interest => "interest",
        }
    }

    /// Its first argument is an expression over the columns of an event.
    pub(crate) fn has_column(self) -> bool {
        match self {
            Self::Sum
            | Self::Min
            | Self::Max
            | Self::Avg
            | Self::First
            | Self::Last
            | Self::CountDistinct => true,
            Self::Count | Self::Did | Self::CountDistinctDays | Self::DaysSince | Self::Interest => false,
        }
    }

    /// Whether there is such an event, and nothing more.
    pub(crate) fn is_existence(self) -> bool {
        matches!(self, Self::Did | Self::Interest)
    }
}

impl CompareOp {
    /// Whether the comparison is true of two values in this order.
    pub(crate) fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Eq => order.is_eq(),
            Self::NotEq => order.is_ne(),
            Self::Lt => order.is_lt(),
            Self::LtEq => order.is_le(),
            Self::Gt => order.is_gt(),
            Self::GtEq => order.is_ge(),
        }
    }

    /// The comparison that says the same with its sides exchanged.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Lt => Self::Gt,
            Self::LtEq => Self::GtEq,
            Self::Gt => Self::Lt,
            Self::GtEq => Self::LtEq,
            same => same,
        }
    }
}

impl Float {
    /// None for what is not a number; both zeros are one.
    pub(crate) fn new(value: f64) -> Option<Self> {
        (!value.is_nan()).then_some(Self(value + 0.0))
    }

    pub(crate) fn get(self) -> f64 {
        self.0
    }
}

impl Eq for Float {}

impl std::hash::Hash for Float {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl Type {
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Float)
    }

    /// For messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Any => "any value",
            Self::Null => "NULL",
            Self::Bool => "a boolean",
            Self::Int | Self::Float => "a number",
            Self::Text => "text",
            Self::Time => "a time",
            Self::Age => "an age in days",
            Self::Rank => "a rank in percent",
        }
    }
}

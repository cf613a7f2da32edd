//! Do the columns of a rule exist, and do its types fit? Asked without columns at `validate`, with them at `plan`.

use crate::{
    ast::{Aggregate, CompareOp, Expr, ExprKind, Function, IsTest, Literal, Sequence, Type},
    source::problem,
    time,
};
use kindred_plugin_api::Problem;
use std::ops::Range;

mod names;

pub(crate) use names::Catalog;

/// Everything wrong with a rule, with paths as if its segment stood alone.
pub(crate) fn check(root: &Expr, catalog: Catalog<'_>) -> Vec<Problem> {
    let mut checker = Checker { catalog, problems: Vec::new() };
    checker.boolean(root, "a rule");
    checker.problems
}

struct Checker<'a> {
    catalog: Catalog<'a>,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn kind(&mut self, expr: &Expr) -> Type {
        match &expr.kind {
            ExprKind::Literal(literal) => literal.kind(),
            ExprKind::Column(name) => self.event_column(name, &expr.range),
            ExprKind::Attribute(name) => self.column(&format!("attr.{name}"), "attribute", &expr.range),
            ExprKind::InSegment(name) => self.segment(name, &expr.range),
            ExprKind::HasIdentifier(_) => self.identifiers(&expr.range),
            ExprKind::Consent => self.column(kindred_plugin_api::columns::CONSENT, "column", &expr.range),
            ExprKind::Day(_) => Type::Int,
            ExprKind::Aggregate(call) => self.aggregate(call, &expr.range),
            ExprKind::Rate { part, whole } => {
                self.kind(part);
                self.kind(whole);
                Type::Float
            }
            ExprKind::Sequence(sequence) => self.sequence(sequence, &expr.range),
            ExprKind::Percentile(value) => {
                self.over_all(value, "`percentile`");
                Type::Rank
            }
            ExprKind::Total(value) => self.over_all(value, "`total`"),
            ExprKind::Case { operand, branches, otherwise } => {
                self.case(operand.as_deref(), branches, otherwise.as_deref())
            }
            ExprKind::Not(inner) => self.boolean(inner, "NOT"),
            ExprKind::And(parts) => self.all_boolean(parts, "AND"),
            ExprKind::Or(parts) => self.all_boolean(parts, "OR"),
            ExprKind::Compare { op, left, right } => self.comparison(*op, left, right),
            ExprKind::Arithmetic { left, right, .. } => self.arithmetic(left, right),
            ExprKind::Negate(inner) => self.number(inner),
            ExprKind::In { expr, list, .. } => self.comparisons(expr, list, CompareOp::Eq),
            ExprKind::Between { expr, low, high, .. } => {
                self.comparisons(expr, [&**low, &**high], CompareOp::LtEq)
            }
            ExprKind::Like { expr, .. } => {
                let kind = self.kind(expr);
                self.expect(kind, &[Type::Text], "LIKE", &expr.range);
                Type::Bool
            }
            ExprKind::Is { expr, test: IsTest::Null, .. } => {
                self.kind(expr);
                Type::Bool
            }
            ExprKind::Is { expr, .. } => self.boolean(expr, "IS TRUE and IS FALSE"),
        }
    }

    fn boolean(&mut self, expr: &Expr, what: &str) -> Type {
        let kind = self.kind(expr);
        self.expect(kind, &[Type::Bool], what, &expr.range);
        Type::Bool
    }

    fn all_boolean(&mut self, parts: &[Expr], what: &str) -> Type {
        for part in parts {
            self.boolean(part, what);
        }
        Type::Bool
    }

    fn expect(&mut self, found: Type, wanted: &[Type], what: &str, range: &Range<usize>) {
        if matches!(found, Type::Any | Type::Null) || wanted.contains(&found) {
            return;
        }
        let names: Vec<&str> = wanted.iter().map(|kind| kind.name()).collect();
        let message = format!("{what} needs {}, this is {}", names[0], found.name());
        let mut problem = problem(range.clone(), message);
        if found == Type::Text && wanted == [Type::Bool] {
            problem = problem.help("for any event write TRUE: count(TRUE, '30 days')");
        }
        self.problems.push(problem);
    }

    fn number(&mut self, expr: &Expr) -> Type {
        let kind = self.kind(expr);
        if self.is_for_comparing(kind, expr, "calculated with") {
            return Type::Any;
        }
        self.expect(kind, &[Type::Int, Type::Float], "arithmetic", &expr.range);
        if kind.is_number() { kind } else { Type::Any }
    }

    /// Whether a value may only be compared; then that is told.
    fn is_for_comparing(&mut self, kind: Type, expr: &Expr, not: &str) -> bool {
        let (name, help) = match kind {
            Type::Age => ("days_since", "calculate on the other side: days_since(…) > 2 * attr('crm.cycle')"),
            Type::Rank => ("percentile", "compare it with a number: percentile(…) >= 99"),
            _ => return false,
        };
        let message = format!("`{name}` can be compared, but not {not}");
        self.problems.push(problem(expr.range.clone(), message).help(help));
        true
    }

    fn arithmetic(&mut self, left: &Expr, right: &Expr) -> Type {
        match (self.number(left), self.number(right)) {
            (Type::Any, _) | (_, Type::Any) => Type::Any,
            (Type::Int, Type::Int) => Type::Int,
            _ => Type::Float,
        }
    }

    fn comparison(&mut self, op: CompareOp, left: &Expr, right: &Expr) -> Type {
        let (a, b) = (self.kind(left), self.kind(right));
        self.comparable(op, (left, a), (right, b));
        Type::Bool
    }

    fn comparisons<'a>(
        &mut self,
        expr: &Expr,
        list: impl IntoIterator<Item = &'a Expr>,
        op: CompareOp,
    ) -> Type {
        let kind = self.kind(expr);
        for item in list {
            let other = self.kind(item);
            self.comparable(op, (expr, kind), (item, other));
        }
        Type::Bool
    }

    fn comparable(&mut self, op: CompareOp, (left, a): (&Expr, Type), (right, b): (&Expr, Type)) {
        let number = |kind: Type| kind.is_number() || kind == Type::Age;
        match (a, b) {
            (Type::Rank, _) if !is_number_literal(right) => self.rank(right),
            (_, Type::Rank) if !is_number_literal(left) => self.rank(left),
            (Type::Rank, _) | (_, Type::Rank) => {}
            (Type::Any | Type::Null, _) | (_, Type::Any | Type::Null) => {}
            (Type::Time, Type::Text) if is_text(right) => self.time(right),
            (Type::Text, Type::Time) if is_text(left) => self.time(left),
            (Type::Bool, Type::Bool) if !matches!(op, CompareOp::Eq | CompareOp::NotEq) => {
                let range = left.range.start..right.range.end.max(left.range.start);
                self.problems.push(problem(range, "booleans have no order; only = and <> compare them"));
            }
            _ if a == b || number(a) && number(b) => {}
            _ => {
                let message = format!("{} cannot be compared with {}", a.name(), b.name());
                self.problems.push(problem(right.range.clone(), message));
            }
        }
    }

    fn time(&mut self, literal: &Expr) {
        if let ExprKind::Literal(Literal::Text(text)) = &literal.kind
            && time::parse_us(text).is_none()
        {
            self.problems.push(problem(literal.range.clone(), time::not_a_time(text)).help(time::HELP));
        }
    }

    fn rank(&mut self, other: &Expr) {
        if matches!(other.kind, ExprKind::Literal(Literal::Null)) {
            return;
        }
        let message = "`percentile` can be compared with a number only";
        let problem = problem(other.range.clone(), message);
        self.problems.push(problem.help("write the number: percentile(…) >= 99"));
    }

    fn sequence(&mut self, sequence: &Sequence, range: &Range<usize>) -> Type {
        if self.has_events(range) {
            for step in &sequence.steps {
                self.boolean(step, "a step of `sequence`");
            }
        }
        Type::Bool
    }

    /// A value that every profile has by itself.
    fn over_all(&mut self, value: &Expr, name: &str) -> Type {
        let kind = self.kind(value);
        if self.is_for_comparing(kind, value, "used for all profiles") {
            return Type::Any;
        }
        self.expect(kind, &[Type::Int, Type::Float], name, &value.range);
        if kind.is_number() { kind } else { Type::Any }
    }

    fn case(&mut self, operand: Option<&Expr>, branches: &[(Expr, Expr)], otherwise: Option<&Expr>) -> Type {
        let compared = operand.map(|operand| (operand, self.kind(operand)));
        for (when, _) in branches {
            match compared {
                Some(operand) => {
                    let kind = self.kind(when);
                    self.comparable(CompareOp::Eq, operand, (when, kind));
                }
                None => drop(self.boolean(when, "WHEN")),
            }
        }
        let results: Vec<(&Expr, Type)> = branches
            .iter()
            .map(|(_, then)| then)
            .chain(otherwise)
            .map(|result| (result, self.kind(result)))
            .collect();
        self.one_type(&results)
    }

    /// The type that all results of a CASE have.
    fn one_type(&mut self, results: &[(&Expr, Type)]) -> Type {
        let mut all = Type::Null;
        let any_time = results.iter().any(|(_, kind)| *kind == Type::Time);
        for &(result, kind) in results {
            if self.is_for_comparing(kind, result, "chosen by CASE") {
                continue;
            }
            if any_time && is_text(result) {
                self.time(result);
                continue;
            }
            all = match (all, kind) {
                (Type::Any, _) | (_, Type::Any) => Type::Any,
                (Type::Null, kind) | (kind, Type::Null) => kind,
                (a, b) if a == b => a,
                (a, b) if a.is_number() && b.is_number() => Type::Float,
                (a, b) => {
                    let message = format!("CASE gives {} or {}, not one type", a.name(), b.name());
                    self.problems.push(problem(result.range.clone(), message));
                    Type::Any
                }
            };
        }
        all
    }

    /// What a call is about: more than a constant, and of a type.
    fn of_event(&mut self, column: &Expr, function: Function) -> Type {
        let kind = self.kind(column);
        let mut reads = false;
        column.walk(&mut |below| reads |= matches!(below.kind, ExprKind::Column(_) | ExprKind::Day(_)));
        if !reads {
            let message = format!("the first argument of `{}` has no column of the events", function.name());
            let help =
                "write a column, or an expression such as price * quantity; to count events write count(…)";
            self.problems.push(problem(column.range.clone(), message).help(help));
        }
        kind
    }

    fn aggregate(&mut self, call: &Aggregate, range: &Range<usize>) -> Type {
        if !self.has_events(range) {
            return Type::Any;
        }
        self.boolean(&call.predicate, &format!("the predicate of `{}`", call.function.name()));
        let column = call.column.as_ref().map_or(Type::Any, |column| self.of_event(column, call.function));
        let range = call.column.as_ref().map_or(range, |column| &column.range);
        let name = format!("`{}`", call.function.name());
        match call.function {
            Function::Count | Function::CountDistinct | Function::CountDistinctDays => Type::Int,
            Function::Did | Function::Interest => Type::Bool,
            Function::DaysSince => Type::Age,
            Function::First | Function::Last => column,
            Function::Sum | Function::Avg => {
                self.expect(column, &[Type::Int, Type::Float], &name, range);
                match call.function {
                    Function::Avg => Type::Float,
                    _ if column.is_number() => column,
                    _ => Type::Any,
                }
            }
            Function::Min | Function::Max => {
                let message = format!("{name} needs values with an order, this is a boolean");
                if column == Type::Bool {
                    self.problems.push(problem(range.clone(), message));
                }
                column
            }
        }
    }
}

fn is_number_literal(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Literal(Literal::Int(_) | Literal::Float(_)))
}

fn is_text(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Literal(Literal::Text(_)))
}

impl Literal {
    /// The type of the value.
    pub(crate) fn kind(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Float(_) => Type::Float,
            Self::Text(_) => Type::Text,
            Self::Time(_) => Type::Time,
        }
    }
}

//! Do the columns of a rule exist, and do its types fit? Asked without columns at `validate`, with them at `plan`.

use crate::{
    ast::{Aggregate, CompareOp, Expr, ExprKind, Function, IsTest, Literal, Type},
    call::near,
    source::problem,
    time,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use kindred_plugin_api::{
    Problem,
    columns::{EVENT_TIME, profile},
};
use std::ops::Range;

/// Everything wrong with a rule, with paths as if its segment stood alone.
pub(crate) fn check(root: &Expr, catalog: Catalog<'_>) -> Vec<Problem> {
    let mut checker = Checker { catalog, problems: Vec::new() };
    checker.boolean(root, "a rule");
    checker.problems
}

/// What is known of the columns.
#[derive(Clone, Copy)]
pub(crate) enum Catalog<'a> {
    /// Nothing.
    Unseen,
    /// The schema of profile batches, and the names of the segments that are evaluated together.
    Seen(&'a Schema, &'a [String]),
}

/// The type of a column, if rules can read it.
pub(crate) fn type_of(kind: &DataType) -> Option<Type> {
    Some(match kind {
        DataType::Utf8 => Type::Text,
        DataType::Dictionary(key, value) => match (&**key, &**value) {
            (DataType::UInt8 | DataType::UInt16 | DataType::UInt32, DataType::Utf8) => Type::Text,
            _ => return None,
        },
        DataType::Int64 => Type::Int,
        DataType::Float64 => Type::Float,
        DataType::Boolean => Type::Bool,
        DataType::Timestamp(TimeUnit::Microsecond, _) => Type::Time,
        _ => return None,
    })
}

/// The fields of the events, if there are events.
pub(crate) fn event_fields(schema: &Schema) -> Option<&[std::sync::Arc<Field>]> {
    match schema.field_with_name(profile::EVENTS).ok()?.data_type() {
        DataType::List(item) => match item.data_type() {
            DataType::Struct(fields) => Some(fields),
            _ => None,
        },
        _ => None,
    }
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
            ExprKind::Aggregate(call) => self.aggregate(call, &expr.range),
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
        if kind == Type::Age {
            let message = "`days_since` can be compared, but not calculated with";
            let help = "calculate on the other side: days_since(…) > 2 * attr('crm.cycle')";
            self.problems.push(problem(expr.range.clone(), message).help(help));
            return Type::Any;
        }
        self.expect(kind, &[Type::Int, Type::Float], "arithmetic", &expr.range);
        if kind.is_number() { kind } else { Type::Any }
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

    fn aggregate(&mut self, call: &Aggregate, range: &Range<usize>) -> Type {
        if let Catalog::Seen(schema, _) = self.catalog
            && event_fields(schema).is_none_or(|fields| fields.iter().all(|f| f.name() != EVENT_TIME))
        {
            self.problems.push(problem(range.clone(), "there are no events"));
            return Type::Any;
        }
        self.boolean(&call.predicate, &format!("the predicate of `{}`", call.function.name()));
        let column = call.column.as_ref().map_or(Type::Any, |column| self.kind(column));
        let range = call.column.as_ref().map_or(range, |column| &column.range);
        let name = format!("`{}`", call.function.name());
        match call.function {
            Function::Count | Function::CountDistinct => Type::Int,
            Function::Did => Type::Bool,
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

    fn event_column(&mut self, name: &str, range: &Range<usize>) -> Type {
        let Catalog::Seen(schema, _) = self.catalog else { return Type::Any };
        let fields = event_fields(schema).unwrap_or_default();
        match fields.iter().find(|field| field.name() == name) {
            Some(field) => self.readable(field, range),
            None => {
                let near = near(name, fields.iter().map(|field| field.name().as_str()));
                let help =
                    near.map(|near| format!("did you mean `{near}`? text is written in single quotes"));
                self.missing(&format!("events have no column `{name}`"), help, range)
            }
        }
    }

    fn column(&mut self, name: &str, noun: &str, range: &Range<usize>) -> Type {
        let Catalog::Seen(schema, _) = self.catalog else { return Type::Any };
        match schema.field_with_name(name) {
            Ok(field) => self.readable(field, range),
            Err(_) => {
                let shown = |name: &str| name.strip_prefix("attr.").unwrap_or(name).to_owned();
                let names =
                    schema.fields().iter().map(|f| f.name().as_str()).filter(|n| n.starts_with("attr."));
                let help = near(name, names).map(|near| format!("did you mean `{}`?", shown(near)));
                self.missing(&format!("there is no {noun} `{}`", shown(name)), help, range)
            }
        }
    }

    fn segment(&mut self, name: &str, range: &Range<usize>) -> Type {
        let Catalog::Seen(schema, own) = self.catalog else { return Type::Bool };
        let column = format!("{}{name}", profile::IN);
        if own.iter().any(|known| known == name) {
            return Type::Bool;
        }
        match schema.field_with_name(&column) {
            Ok(field) if *field.data_type() == DataType::Boolean => Type::Bool,
            Ok(field) => {
                let message =
                    format!("column `{column}` has the type {}, a membership is Boolean", field.data_type());
                self.missing(&message, None, range)
            }
            Err(_) => {
                let others =
                    schema.fields().iter().filter_map(|field| field.name().strip_prefix(profile::IN));
                let near = near(name, own.iter().map(String::as_str).chain(others));
                let help = near.map(|near| format!("did you mean `{near}`?"));
                self.missing(&format!("there is no segment `{name}`"), help, range);
                Type::Bool
            }
        }
    }

    fn identifiers(&mut self, range: &Range<usize>) -> Type {
        if let Catalog::Seen(schema, _) = self.catalog
            && !schema
                .field_with_name(profile::IDENTIFIERS)
                .is_ok_and(|f| *f.data_type() == profile::identifiers())
        {
            self.missing("there are no identifiers", None, range);
        }
        Type::Bool
    }

    fn readable(&mut self, field: &Field, range: &Range<usize>) -> Type {
        type_of(field.data_type()).unwrap_or_else(|| {
            let message = format!(
                "column `{}` has the type {}, which rules do not read",
                field.name(),
                field.data_type()
            );
            self.missing(
                &message,
                Some("types are text, Int64, Float64, Boolean and Timestamp(µs)".into()),
                range,
            )
        })
    }

    fn missing(&mut self, message: &str, help: Option<String>, range: &Range<usize>) -> Type {
        let found = problem(range.clone(), message);
        self.problems.push(match help {
            Some(help) => found.help(help),
            None => found,
        });
        Type::Any
    }
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

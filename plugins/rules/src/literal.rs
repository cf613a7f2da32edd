//! Literals: numbers, text, truth, and times.

use crate::{
    ast::{Expr, ExprKind, Float, Literal},
    parse::Reader,
    source::problem,
    time,
};
use sqlparser::ast::{self as sql, Value};
use std::ops::Range;

impl Reader<'_> {
    /// A literal of SQL.
    pub(crate) fn value(&mut self, value: &Value, range: Range<usize>) -> Option<Expr> {
        let literal = match value {
            Value::Null => Literal::Null,
            Value::Boolean(value) => Literal::Bool(*value),
            Value::SingleQuotedString(text) => Literal::Text(text.clone()),
            Value::Number(digits, _) => match number(digits) {
                Some(number) => number,
                None => return self.refuse(problem(range, format!("the number {digits} is too large"))),
            },
            _ => {
                let problem = problem(range, "rules do not have this kind of literal");
                return self
                    .refuse(problem.help("write text as 'text', numbers as 12 or 1.5, TRUE, FALSE or NULL"));
            }
        };
        Some(Expr { kind: ExprKind::Literal(literal), range })
    }

    /// `DATE '2026-01-31'`, `TIMESTAMP '2026-01-31T12:00:00Z'`.
    pub(crate) fn typed(&mut self, typed: &sql::TypedString) -> Option<Expr> {
        let range = self.source.range(typed.value.span);
        let range = self.source.before(range.start)..range.end;
        let text = typed.value.value.clone().into_string().unwrap_or_default();
        let is_time = matches!(
            typed.data_type,
            sql::DataType::Date | sql::DataType::Timestamp(..) | sql::DataType::TimestampNtz(..)
        );
        if !is_time {
            let message = format!("literals of type {} are not known", typed.data_type);
            return self.refuse(problem(range, message).help("write DATE '…' or TIMESTAMP '…'"));
        }
        match time::parse_us(&text) {
            Some(us) => Some(Expr { kind: ExprKind::Literal(Literal::Time(us)), range }),
            None => self.refuse(problem(range, time::not_a_time(&text)).help(time::HELP)),
        }
    }
}

/// The text of a quoted literal.
pub(crate) fn quoted(expr: &sql::Expr) -> Option<&str> {
    match expr {
        sql::Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn number(digits: &str) -> Option<Literal> {
    if digits.contains(['.', 'e', 'E']) {
        let value: f64 = digits.parse().ok()?;
        return value.is_finite().then_some(Literal::Float(Float::new(value)?));
    }
    digits.parse().ok().map(Literal::Int)
}

//! Rule text → tree. SQL is read by `sqlparser`; what rules do not have is refused here, all of it at once.

use crate::{
    ast::{ArithmeticOp, CompareOp, Expr, ExprKind, IsTest},
    call,
    like::Pattern,
    literal::quoted,
    rewrite,
    source::{MAX_DEPTH, Source, decapitalised, is_operator_word, problem, too_deep},
};
use kindred_plugin_api::Problem;
use sqlparser::{
    ast::{self as sql, BinaryOperator, Spanned, UnaryOperator, Value},
    dialect::PostgreSqlDialect,
    parser::{Parser, ParserError},
    tokenizer::{Location, Token},
};
use std::ops::Range;

/// A rule and its text.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) root: Expr,
    text: String,
    /// Where each character starts, and the end.
    bytes: Vec<usize>,
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// Every problem of the first stage that has one: tokens, grammar, meaning.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let source = Source::new(text).map_err(|p| vec![p])?;
        let expr = syntax(&source).map_err(|p| vec![p])?;
        let mut reader = Reader { source: &source, problems: Vec::new(), inside: None, over_all: None };
        let root = reader.expr(&expr, 0);
        match root {
            Some(root) if reader.problems.is_empty() => {
                let bytes = text.char_indices().map(|(index, _)| index).chain([text.len()]).collect();
                Ok(Self { root, text: text.to_owned(), bytes })
            }
            _ => Err(reader.problems),
        }
    }

    /// What the operator wrote, in one line.
    pub(crate) fn written(&self, range: &Range<usize>) -> String {
        let text = &self.text[self.bytes[range.start]..self.bytes[range.end]];
        if text.contains('\n') {
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        } else {
            text.to_owned()
        }
    }
}

fn syntax(source: &Source) -> Result<sql::Expr, Problem> {
    let mut parser = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(MAX_DEPTH)
        .with_tokens_with_locations(source.tokens());
    let expr = parser.parse_expr().map_err(|error| syntax_problem(source, &error))?;
    let next = parser.peek_token();
    if next.token == Token::EOF {
        return Ok(expr);
    }
    let message = format!("`{}` is left over after the expression", next.token);
    Err(problem(source.range(next.span), message).help("join conditions with AND or OR"))
}

fn syntax_problem(source: &Source, error: &ParserError) -> Problem {
    let message = match error {
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        ParserError::RecursionLimitExceeded => return too_deep(source.end()),
    };
    // The parser keeps a place only in its text.
    let (message, place) = message.rsplit_once(" at Line: ").unwrap_or((message, ""));
    let place = place.split_once(", Column: ").and_then(|(line, column)| {
        Some(source.token_at(Location { line: line.parse().ok()?, column: column.parse().ok()? }))
    });
    let place = place.unwrap_or(source.end());
    // What was rewritten for the parser is told as it was written.
    let message = match (message.rsplit_once("found: "), source.word(&place)) {
        (Some((before, "," | "=>" | rewrite::WITHIN)), Some(word)) => format!("{before}found: {word}"),
        _ => message.to_owned(),
    };
    problem(place, decapitalised(&message))
}

/// Walks the parser's tree.
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a Source,
    pub(crate) problems: Vec<Problem>,
    /// The function over events whose predicate is being read.
    pub(crate) inside: Option<&'static str>,
    /// The function over all profiles whose value is being read.
    pub(crate) over_all: Option<&'static str>,
}

impl Reader<'_> {
    /// None where a problem was noted.
    pub(crate) fn expr(&mut self, expr: &sql::Expr, depth: usize) -> Option<Expr> {
        if depth > MAX_DEPTH {
            return self.refuse(too_deep(self.source.range(expr.span())));
        }
        let depth = depth + 1;
        match expr {
            sql::Expr::Nested(inner) => {
                let inner = self.expr(inner, depth)?;
                let range = self.source.before(inner.range.start)..self.source.through(inner.range.end, 1);
                Some(Expr { range, ..inner })
            }
            sql::Expr::Value(value) => self.value(&value.value, self.source.range(value.span)),
            sql::Expr::TypedString(typed) => self.typed(typed),
            sql::Expr::Identifier(name) if name.quote_style.is_none() && is_operator_word(&name.value) => {
                let message = format!("expected an expression, found {}", name.value);
                self.refuse(problem(self.source.range(name.span), message))
            }
            sql::Expr::Identifier(name) => self.column(name.value.clone(), self.source.range(name.span)),
            sql::Expr::CompoundIdentifier(names) => {
                let name = names.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".");
                self.column(name, self.source.range(expr.span()))
            }
            sql::Expr::Function(call) => self.function(call, depth),
            sql::Expr::UnaryOp { op, expr: operand } => self.unary(*op, operand, depth),
            sql::Expr::BinaryOp { left, op, right } => match op {
                BinaryOperator::And | BinaryOperator::Or => self.chain(expr, op, depth),
                _ => self.binary(left, op, right, depth),
            },
            _ => self.test(expr, depth),
        }
    }

    /// What is written with words after an operand.
    fn test(&mut self, expr: &sql::Expr, depth: usize) -> Option<Expr> {
        match expr {
            sql::Expr::InList { expr, list, negated } => {
                let (expr, list) = self.both(expr, list, depth)?;
                let end = list.last().map_or(expr.range.end, |item| item.range.end);
                let range = expr.range.start..self.source.through(end, 1);
                Some(Expr { kind: ExprKind::In { expr, list, negated: *negated }, range })
            }
            sql::Expr::Between { expr, negated, low, high } => {
                let (expr, low, high) = (self.expr(expr, depth), self.expr(low, depth), self.expr(high, depth));
                let (expr, low, high) = (Box::new(expr?), Box::new(low?), Box::new(high?));
                let range = expr.range.start..high.range.end;
                Some(Expr { kind: ExprKind::Between { expr, low, high, negated: *negated }, range })
            }
            sql::Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_deref(), *negated, depth)
            }
            sql::Expr::IsNull(expr) | sql::Expr::IsUnknown(expr) => self.is(expr, IsTest::Null, false, depth),
            sql::Expr::IsNotNull(expr) | sql::Expr::IsNotUnknown(expr) => self.is(expr, IsTest::Null, true, depth),
            sql::Expr::IsTrue(expr) => self.is(expr, IsTest::True, false, depth),
            sql::Expr::IsNotTrue(expr) => self.is(expr, IsTest::True, true, depth),
            sql::Expr::IsFalse(expr) => self.is(expr, IsTest::False, false, depth),
            sql::Expr::IsNotFalse(expr) => self.is(expr, IsTest::False, true, depth),
            sql::Expr::Case { operand, conditions, else_result, case_token, end_token } => {
                let start = self.source.range(case_token.0.span).start;
                let range = start..self.source.range(end_token.0.span).end;
                self.case(operand.as_deref(), conditions, else_result.as_deref(), range, depth)
            }
            _ => self.refuse(
                problem(self.source.range(expr.span()), "rules do not have this kind of expression").help(
                    "allowed are calls, columns inside predicates, literals, AND, OR, NOT, =, <>, <, <=, >, >=, +, -, *, /, \
                     IN, BETWEEN, LIKE, IS NULL and CASE",
                ),
            ),
        }
    }

    /// A bare name.
    pub(crate) fn column(&mut self, name: String, range: Range<usize>) -> Option<Expr> {
        if self.inside.is_none() {
            let message = format!("`{name}` stands outside of any call; columns of events belong inside one");
            let help = format!("write attr('{name}') for an attribute, count({name} = …) for events");
            return self.refuse(problem(range, message).help(help));
        }
        Some(Expr { kind: ExprKind::Column(name), range })
    }

    fn function(&mut self, function: &sql::Function, depth: usize) -> Option<Expr> {
        // Words such as `user` are calls without brackets to the parser.
        if let (sql::FunctionArguments::None, Some(_)) = (&function.args, self.inside) {
            return self.column(function.name.to_string(), self.source.range(function.name.span()));
        }
        call::read(self, function, depth)
    }

    fn unary(&mut self, op: UnaryOperator, operand: &sql::Expr, depth: usize) -> Option<Expr> {
        if let (UnaryOperator::Minus, sql::Expr::Value(value)) = (op, operand)
            && let Value::Number(digits, long) = &value.value
        {
            let range = self.source.range(value.span);
            let range = self.source.before(range.start)..range.end;
            return self.value(&Value::Number(format!("-{digits}"), *long), range);
        }
        let inner = self.expr(operand, depth)?;
        let range = self.source.before(inner.range.start)..inner.range.end;
        match op {
            UnaryOperator::Not => Some(Expr { kind: ExprKind::Not(Box::new(inner)), range }),
            UnaryOperator::Minus => Some(Expr { kind: ExprKind::Negate(Box::new(inner)), range }),
            UnaryOperator::Plus => Some(Expr { range, ..inner }),
            _ => self.refuse(problem(range, format!("rules do not have the operator `{op}`"))),
        }
    }

    /// `a AND b AND c` as one list, however long.
    fn chain(&mut self, expr: &sql::Expr, op: &BinaryOperator, depth: usize) -> Option<Expr> {
        let (mut parts, mut rest) = (Vec::new(), expr);
        while let sql::Expr::BinaryOp { left, op: found, right } = rest
            && found == op
        {
            parts.push(&**right);
            rest = left;
        }
        parts.push(rest);
        let read: Vec<Option<Expr>> = parts.into_iter().rev().map(|part| self.expr(part, depth)).collect();
        let parts = read.into_iter().collect::<Option<Vec<Expr>>>()?;
        let range = parts.first()?.range.start..parts.last()?.range.end;
        let kind = if *op == BinaryOperator::And { ExprKind::And(parts) } else { ExprKind::Or(parts) };
        Some(Expr { kind, range })
    }

    fn binary(
        &mut self,
        left: &sql::Expr,
        op: &BinaryOperator,
        right: &sql::Expr,
        depth: usize,
    ) -> Option<Expr> {
        let between = self.source.range(left.span().union(&right.span()));
        let (left, right) = (self.expr(left, depth), self.expr(right, depth));
        let (left, right) = (Box::new(left?), Box::new(right?));
        let range = left.range.start..right.range.end;
        let kind = match (compare(op), arithmetic(op)) {
            (Some(op), _) => ExprKind::Compare { op, left, right },
            (None, Some(op)) => ExprKind::Arithmetic { op, left, right },
            (None, None) => {
                let problem = problem(between, format!("rules do not have the operator `{op}`"));
                return self.refuse(problem.help("allowed are =, <>, <, <=, >, >=, +, -, *, /, AND and OR"));
            }
        };
        Some(Expr { kind, range })
    }

    fn both(&mut self, expr: &sql::Expr, list: &[sql::Expr], depth: usize) -> Option<(Box<Expr>, Vec<Expr>)> {
        let expr = self.expr(expr, depth);
        let list: Vec<Option<Expr>> = list.iter().map(|item| self.expr(item, depth)).collect();
        Some((Box::new(expr?), list.into_iter().collect::<Option<_>>()?))
    }

    fn like(
        &mut self,
        expr: &sql::Expr,
        pattern: &sql::Expr,
        escape: Option<&sql::Expr>,
        negated: bool,
        depth: usize,
    ) -> Option<Expr> {
        let expr = Box::new(self.expr(expr, depth)?);
        let mut end = self.source.range(pattern.span());
        let Some(text) = quoted(pattern) else {
            end = self.expr(pattern, depth)?.range;
            return self.refuse(problem(end, "the pattern of LIKE is not text in quotes"));
        };
        let mut chars = escape.and_then(quoted).unwrap_or_default().chars();
        let (character, more) = (chars.next(), chars.next());
        if let Some(escape) = escape {
            end = self.source.range(escape.span());
            if character.is_none() || more.is_some() {
                return self.refuse(problem(end, "the escape of LIKE is not one character in quotes"));
            }
        }
        let range = expr.range.start..end.end;
        match Pattern::new(text, character) {
            Some(pattern) => Some(Expr { kind: ExprKind::Like { expr, pattern, negated }, range }),
            None => self.refuse(problem(range, "the pattern of LIKE ends with its escape character")),
        }
    }

    fn case(
        &mut self,
        operand: Option<&sql::Expr>,
        conditions: &[sql::CaseWhen],
        otherwise: Option<&sql::Expr>,
        range: Range<usize>,
        depth: usize,
    ) -> Option<Expr> {
        let operand = operand.map(|operand| self.expr(operand, depth).map(Box::new));
        let read = |one: &sql::CaseWhen| {
            let (when, then) = (self.expr(&one.condition, depth), self.expr(&one.result, depth));
            Some((when?, then?))
        };
        let branches: Vec<Option<(Expr, Expr)>> = conditions.iter().map(read).collect();
        let otherwise = otherwise.map(|otherwise| self.expr(otherwise, depth).map(Box::new));
        // Some(None) is a part that was refused.
        let operand = operand.map_or(Some(None), |read| read.map(Some))?;
        let otherwise = otherwise.map_or(Some(None), |read| read.map(Some))?;
        let branches = branches.into_iter().collect::<Option<Vec<_>>>()?;
        Some(Expr { kind: ExprKind::Case { operand, branches, otherwise }, range })
    }

    fn is(&mut self, expr: &sql::Expr, test: IsTest, negated: bool, depth: usize) -> Option<Expr> {
        let expr = Box::new(self.expr(expr, depth)?);
        let words = if negated { 3 } else { 2 };
        let range = expr.range.start..self.source.through(expr.range.end, words);
        Some(Expr { kind: ExprKind::Is { expr, test, negated }, range })
    }

    pub(crate) fn refuse<T>(&mut self, problem: Problem) -> Option<T> {
        self.problems.push(problem);
        None
    }
}

fn compare(op: &BinaryOperator) -> Option<CompareOp> {
    Some(match op {
        BinaryOperator::Eq => CompareOp::Eq,
        BinaryOperator::NotEq => CompareOp::NotEq,
        BinaryOperator::Lt => CompareOp::Lt,
        BinaryOperator::LtEq => CompareOp::LtEq,
        BinaryOperator::Gt => CompareOp::Gt,
        BinaryOperator::GtEq => CompareOp::GtEq,
        _ => return None,
    })
}

fn arithmetic(op: &BinaryOperator) -> Option<ArithmeticOp> {
    Some(match op {
        BinaryOperator::Plus => ArithmeticOp::Add,
        BinaryOperator::Minus => ArithmeticOp::Subtract,
        BinaryOperator::Multiply => ArithmeticOp::Multiply,
        BinaryOperator::Divide => ArithmeticOp::Divide,
        _ => return None,
    })
}

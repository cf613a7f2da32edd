//! Why: each condition as it was written, its truth, its value and the events or attributes behind it. Everything is
//! read from the vectors that decide membership, so that the two cannot disagree.

use crate::{
    ast::{Aggregate, Expr, ExprKind, Literal, Sequence, Type},
    audience::Figure,
    compile::{Scope, Value},
    evaluate::Evaluator,
    graph::Id,
    identifiers::Identifiers,
    kernel::days,
    parse::Rule,
    time,
    vector::Vector,
};
use arrow::array::RecordBatch;
use kindred_plugin_api::{Reason, columns::profile};
use std::collections::{BTreeSet, HashMap};

/// Evidence shows this many events, the latest.
const MAX_EVENTS: usize = 5;
/// Reasons cross as JSON, whose readers stop at some depth.
const MAX_DEPTH: usize = 40;

/// The reason for one segment; a batch of one row was run before.
pub(crate) fn explain(
    evaluator: &mut Evaluator,
    batch: &RecordBatch,
    rules: &[Rule],
    ordinal: usize,
) -> Reason {
    let mut told = vec![false; rules.len()];
    told[ordinal] = true;
    Teller { evaluator, batch, rules, rule: &rules[ordinal], told }.reason(&rules[ordinal].root, 0)
}

/// What all profiles gave for a rule: how many had a value, and the number found, under what it says in the rule.
/// `places` has those of the figures about each value.
pub(crate) fn figures(
    evaluator: &mut Evaluator,
    places: &HashMap<Id, Vec<usize>>,
    rule: &Rule,
) -> Vec<(String, f64)> {
    let mut figures = Vec::new();
    rule.root.walk(&mut |expr| {
        let (ExprKind::Percentile(value) | ExprKind::Total(value)) = &expr.kind else { return };
        let is_total = matches!(expr.kind, ExprKind::Total(_));
        let id = evaluator.program.condition(Scope::Profile, value);
        let written = rule.written(&expr.range);
        for &place in places.get(&id).into_iter().flatten() {
            let (asked, known) = (&evaluator.program.figures[place], &evaluator.known[place]);
            let (name, number) = match asked {
                Figure::Total(_) if is_total => (written.clone(), known.found.number()),
                Figure::Cut { percent, .. } if !is_total => {
                    let percent = percent.decimal().unwrap_or(f64::NAN);
                    (format!("{written} {percent}"), known.found.number())
                }
                _ => continue,
            };
            figures.push((format!("profiles of {written}"), known.profiles as f64));
            figures.extend(number.map(|number| (name, number)));
        }
    });
    figures.dedup();
    figures
}

struct Teller<'a> {
    evaluator: &'a mut Evaluator,
    batch: &'a RecordBatch,
    rules: &'a [Rule],
    rule: &'a Rule,
    /// Segments whose reason has begun; each is told once.
    told: Vec<bool>,
}

impl Teller<'_> {
    fn reason(&mut self, expr: &Expr, depth: usize) -> Reason {
        let node = self.evaluator.program.value(Scope::Profile, expr);
        let mut reason = Reason {
            condition: self.rule.written(&expr.range),
            holds: self.truth(&node),
            ..Reason::default()
        };
        let below: Vec<&Expr> = match &expr.kind {
            ExprKind::And(parts) | ExprKind::Or(parts) if depth < MAX_DEPTH => parts.iter().collect(),
            ExprKind::Not(inner) if depth < MAX_DEPTH => vec![inner],
            ExprKind::InSegment(name) => {
                reason.because = self.nested(name, depth).into_iter().collect();
                return reason;
            }
            _ => {
                reason.value = self.found(expr);
                reason.threshold = self.threshold(expr);
                reason.evidence = self.evidence(expr);
                return reason;
            }
        };
        reason.because = below.into_iter().map(|part| self.reason(part, depth + 1)).collect();
        reason
    }

    fn nested(&mut self, name: &str, depth: usize) -> Option<Reason> {
        let ordinal = self.evaluator.program.ordinal(name)?;
        if depth >= MAX_DEPTH || std::mem::replace(&mut self.told[ordinal], true) {
            return None;
        }
        let rules = self.rules;
        let outer = std::mem::replace(&mut self.rule, &rules[ordinal]);
        let reason = self.reason(&rules[ordinal].root, depth + 1);
        self.rule = outer;
        Some(reason)
    }

    fn truth(&self, value: &Value) -> Option<bool> {
        match value {
            Value::Literal(Literal::Bool(value)) => Some(*value),
            Value::Literal(_) => None,
            Value::Node(id) | Value::Rank(id) => self.evaluator.profiles[*id].bools().get(0),
        }
    }

    /// What the condition found: the value of what it compares, or each value under its name if there are several.
    fn found(&mut self, expr: &Expr) -> Option<String> {
        match operands(expr)[..] {
            [] => None,
            [one] => Some(self.value(one)),
            ref several => {
                let named = several
                    .iter()
                    .map(|one| format!("{} = {}", self.rule.written(&one.range), self.value(one)));
                Some(named.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// What that is held against: as it was written where it is constant, else its value.
    fn threshold(&mut self, expr: &Expr) -> Option<String> {
        let behind = |inner: &Expr| self.rule.written(&(inner.range.end..expr.range.end));
        let text = match &expr.kind {
            ExprKind::Compare { left, right, .. } => match (is_constant(left), is_constant(right)) {
                (true, true) => return None,
                (true, false) => self.rule.written(&(expr.range.start..right.range.start)),
                (false, true) => behind(left),
                (false, false) => {
                    let sign = self.rule.written(&(left.range.end..right.range.start));
                    format!("{} {}", sign.trim_matches([' ', '(', ')']), self.value(right))
                }
            },
            ExprKind::In { expr, .. }
            | ExprKind::Between { expr, .. }
            | ExprKind::Like { expr, .. }
            | ExprKind::Is { expr, .. } => behind(expr),
            _ => return None,
        };
        // Parentheses around what is compared stand outside its range.
        Some(text.trim_start_matches([')', ' ']).trim().to_owned())
    }

    fn value(&mut self, expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Aggregate(call) if call.function.is_existence() => {
                return events(self.matching(call).len());
            }
            ExprKind::Rate { part, whole } => {
                let rate = self.computed(expr);
                return format!("{rate} ({} of {})", self.computed(part), self.computed(whole));
            }
            ExprKind::Sequence(sequence) => {
                let found = self.sequence(sequence);
                return if found.is_empty() { "not found".to_owned() } else { events(found.len()) };
            }
            _ => {}
        }
        self.computed(expr)
    }

    fn computed(&mut self, expr: &Expr) -> String {
        match self.evaluator.program.value(Scope::Profile, expr) {
            Value::Literal(_) => self.rule.written(&expr.range),
            Value::Node(id) | Value::Rank(id) => {
                cell(&self.evaluator.profiles[id], self.evaluator.program.profiles.kind(id), 0)
            }
        }
    }

    fn evidence(&mut self, expr: &Expr) -> Vec<String> {
        let mut found = Vec::new();
        expr.walk(&mut |below| match &below.kind {
            ExprKind::Aggregate(call) => found.extend(self.events(call)),
            ExprKind::Sequence(sequence) => found.extend(self.steps(sequence)),
            ExprKind::Percentile(_) | ExprKind::Total(_) => found.extend(self.everybody(below, expr)),
            ExprKind::Attribute(name) => found.push(format!("{name} = {}", self.value(below))),
            ExprKind::Consent => found.push(format!("consent = {}", self.value(below))),
            ExprKind::HasIdentifier(_) => found.extend(self.identifiers()),
            _ => {}
        });
        found
    }

    /// The kinds of identifiers that the profile has, each once.
    fn identifiers(&self) -> Option<String> {
        let column = self.batch.column_by_name(profile::IDENTIFIERS)?;
        let found: BTreeSet<&str> = Identifiers::of(column).ok()?.spaces(0).collect();
        let told = if found.is_empty() { "none".to_owned() } else { Vec::from_iter(found).join(", ") };
        Some(format!("identifiers = {told}"))
    }

    /// The latest events behind a call, with the columns that it looks at.
    fn events(&mut self, call: &Aggregate) -> Vec<String> {
        let mut columns = self.columns(&call.predicate);
        for column in call.column.iter().flat_map(|column| self.columns(column)) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        let found = self.matching(call);
        found.into_iter().rev().take(MAX_EVENTS).map(|event| self.shown(event, &columns)).collect()
    }

    fn shown(&self, event: usize, columns: &[(&str, Id)]) -> String {
        let Evaluator { times, events, program, .. } = &*self.evaluator;
        let cell = |id: Id| cell(&events[id], program.events.kind(id), event);
        let cells: Vec<String> = columns.iter().map(|(name, id)| format!("{name} = {}", cell(*id))).collect();
        format!("{} {}", time::display(times[event]), cells.join(", ")).trim_end().to_owned()
    }

    fn matching(&mut self, call: &Aggregate) -> Vec<usize> {
        let Some((mask, window, _)) = self.evaluator.program.place(call) else { return Vec::new() };
        let bits = self.evaluator.inside(mask, window);
        bits.ones(0..bits.len()).collect()
    }

    fn sequence(&mut self, sequence: &Sequence) -> Vec<usize> {
        let position = self.evaluator.program.steps(sequence);
        self.evaluator.found(position).unwrap_or_default()
    }

    /// The events of a sequence, in order.
    fn steps(&mut self, sequence: &Sequence) -> Vec<String> {
        let events = self.sequence(sequence);
        let steps = events.into_iter().zip(&sequence.steps);
        steps
            .map(|(event, step)| {
                let columns = self.columns(step);
                self.shown(event, &columns)
            })
            .collect()
    }

    /// The columns of the events that an expression looks at.
    fn columns<'e>(&mut self, expr: &'e Expr) -> Vec<(&'e str, Id)> {
        let mut columns: Vec<(&str, Id)> = Vec::new();
        expr.walk(&mut |below| {
            if let ExprKind::Column(name) = &below.kind
                && columns.iter().all(|(known, _)| known != name)
            {
                columns.push((name, self.evaluator.program.condition(Scope::Event, below)));
            }
        });
        columns
    }

    /// What all profiles gave that a condition is about.
    fn everybody(&mut self, figure: &Expr, condition: &Expr) -> Vec<String> {
        let written = self.rule.written(&figure.range);
        let (ExprKind::Percentile(value) | ExprKind::Total(value)) = &figure.kind else { return Vec::new() };
        let id = self.evaluator.program.condition(Scope::Profile, value);
        let mut numbers = Vec::new();
        condition.walk(&mut |below| {
            if let ExprKind::Literal(literal) = &below.kind {
                numbers.push(literal);
            }
        });
        let is_total = matches!(figure.kind, ExprKind::Total(_));
        let Evaluator { program, known, .. } = &*self.evaluator;
        let about = |asked: &Figure| match asked {
            Figure::Total(_) => is_total,
            Figure::Cut { percent, .. } => !is_total && numbers.contains(&percent),
        };
        let asked = program.figures.iter().enumerate();
        let asked = asked.filter(|(_, asked)| asked.value() == id && about(asked));
        let told = asked.map(|(position, asked)| match known.get(position) {
            Some(known) => format!("{written} {}", known.told(asked)),
            None => format!("{written} is not known: not everybody was looked at yet"),
        });
        told.collect()
    }
}

fn events(count: usize) -> String {
    if count == 1 { "1 event".to_owned() } else { format!("{count} events") }
}

/// What a condition reads of the profile, in the order it is written.
fn operands(expr: &Expr) -> Vec<&Expr> {
    let parts: Vec<&Expr> = match &expr.kind {
        ExprKind::Compare { left, right, .. } => vec![left, right],
        ExprKind::In { expr, list, .. } => [&**expr].into_iter().chain(list).collect(),
        ExprKind::Between { expr, low, high, .. } => vec![expr, low, high],
        ExprKind::Like { expr, .. } | ExprKind::Is { expr, .. } => vec![expr],
        _ => vec![expr],
    };
    parts.into_iter().filter(|part| !is_constant(part)).collect()
}

fn is_constant(expr: &Expr) -> bool {
    let mut constant = true;
    expr.walk(&mut |below| {
        constant &= !matches!(
            below.kind,
            ExprKind::Aggregate(_)
                | ExprKind::Sequence(_)
                | ExprKind::Total(_)
                | ExprKind::Attribute(_)
                | ExprKind::Consent
                | ExprKind::HasIdentifier(_)
                | ExprKind::InSegment(_)
        );
    });
    constant
}

fn cell(vector: &Vector, kind: Type, row: usize) -> String {
    let shown = match vector {
        Vector::Bools(bools) => bools.get(row).map(|value| value.to_string()),
        Vector::Ints(numbers) => numbers.get(row).map(|value| match kind {
            Type::Time => time::display(value),
            Type::Age => format!("{} days", (days(value) * 1000.0).round() / 1000.0),
            _ => value.to_string(),
        }),
        Vector::Floats(numbers) => numbers.get(row).map(|value| value.to_string()),
        Vector::Texts(texts) => texts.get(row).map(str::to_owned),
    };
    shown.unwrap_or_else(|| "null".to_owned())
}

//! Calls: which functions rules have, and what each one takes.

use crate::{
    ast::{Aggregate, Expr, ExprKind, Function},
    parse::{Reader, quoted},
    source::problem,
    window::{Window, period_us},
};
use sqlparser::ast::{self as sql, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned};
use std::ops::Range;

const AGGREGATES: [Function; 10] = [
    Function::Count,
    Function::Did,
    Function::Sum,
    Function::Min,
    Function::Max,
    Function::Avg,
    Function::First,
    Function::Last,
    Function::CountDistinct,
    Function::DaysSince,
];
/// Functions of the profile, and what they take.
const PROFILE: [(&str, &str); 4] = [
    ("attr", "attr('source.name')"),
    ("in_segment", "in_segment('segment')"),
    ("has_identifier", "has_identifier('namespace')"),
    ("consent", "consent()"),
];
const WINDOW_HELP: &str = "write '30 days' for a window up to now, '60 days', '30 days' for one that ended 30 days ago; units are seconds, \
     minutes, hours, days and weeks";

/// Reads one call.
pub(crate) fn read(reader: &mut Reader<'_>, function: &sql::Function, depth: usize) -> Option<Expr> {
    let named = reader.source.range(function.name.span());
    let name = function.name.to_string().to_lowercase();
    if let Some(outer) = reader.inside {
        let message =
            format!("`{name}` stands inside the predicate of `{outer}`, which sees one event at a time");
        return reader.refuse(problem(named, message).help("compare columns of the event there"));
    }
    let arguments = arguments(reader, function, &named, &name)?;
    let range = named.start..reader.source.closing(named.end);
    if let Some(function) = AGGREGATES.into_iter().find(|f| f.name() == name) {
        let call = aggregate(reader, function, &arguments, &range, depth)?;
        return Some(Expr { kind: ExprKind::Aggregate(Box::new(call)), range });
    }
    let kind = match (name.as_str(), arguments.as_slice()) {
        ("consent", []) => ExprKind::Consent,
        ("attr", [one]) => ExprKind::Attribute(text(reader, "attr", one)?),
        ("in_segment", [one]) => ExprKind::InSegment(text(reader, "in_segment", one)?),
        ("has_identifier", [one]) => ExprKind::HasIdentifier(text(reader, "has_identifier", one)?),
        _ => return refuse_call(reader, &name, arguments.len(), named, range),
    };
    Some(Expr { kind, range })
}

/// The plain arguments of a call, and nothing else that SQL allows in one.
fn arguments<'a>(
    reader: &mut Reader<'_>,
    function: &'a sql::Function,
    named: &Range<usize>,
    name: &str,
) -> Option<Vec<&'a sql::Expr>> {
    let extra = function.filter.is_some()
        || function.over.is_some()
        || function.null_treatment.is_some()
        || !function.within_group.is_empty()
        || !matches!(function.parameters, FunctionArguments::None);
    let list = match &function.args {
        FunctionArguments::List(list)
            if !extra && list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
        {
            list
        }
        _ => {
            let problem =
                problem(named.clone(), format!("`{name}` takes plain arguments in round brackets only"));
            return reader.refuse(problem.help(format!("write {}", usage(name).unwrap_or("name(…)".into()))));
        }
    };
    let plain = |argument: &'a FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    };
    let plain: Option<Vec<_>> = list.args.iter().map(plain).collect();
    if plain.is_none() {
        let problem = problem(named.clone(), format!("`{name}` has an argument that is not an expression"));
        return reader.refuse(problem.help("for any event write TRUE: count(TRUE)"));
    }
    plain
}

fn aggregate(
    reader: &mut Reader<'_>,
    function: Function,
    arguments: &[&sql::Expr],
    range: &Range<usize>,
    depth: usize,
) -> Option<Aggregate> {
    let first = usize::from(function.has_column());
    let most = first + 1 + if function.has_window() { 2 } else { 0 };
    if arguments.len() <= first || arguments.len() > most {
        return refuse_count(reader, function.name(), arguments.len(), range.clone());
    }
    reader.inside = Some(function.name());
    let column = arguments[..first].first().map(|column| {
        let read = reader.expr(column, depth)?;
        if matches!(read.kind, ExprKind::Column(_)) {
            return Some(read);
        }
        let message = format!("the first argument of `{}` is not the name of a column", function.name());
        reader.refuse(problem(read.range, message).help(help(function.name())))
    });
    let predicate = reader.expr(arguments[first], depth);
    reader.inside = None;
    let window = window(reader, &arguments[first + 1..]);
    let column = match column {
        Some(column) => Some(column?),
        None => None,
    };
    Some(Aggregate { function, column, predicate: predicate?, window: window? })
}

fn window(reader: &mut Reader<'_>, arguments: &[&sql::Expr]) -> Option<Window> {
    let read: Vec<Option<i64>> = arguments.iter().map(|argument| period(reader, argument)).collect();
    let periods = read.into_iter().collect::<Option<Vec<i64>>>()?;
    match periods[..] {
        [] => Some(Window::ALL),
        [older] => Some(Window { older_us: Some(older), newer_us: 0 }),
        [older, newer, ..] if older > newer => Some(Window { older_us: Some(older), newer_us: newer }),
        _ => {
            let range = reader.source.range(arguments[0].span().union(&arguments[1].span()));
            reader.refuse(
                problem(range, "the window ends before it begins").help("write the older bound first"),
            )
        }
    }
}

fn period(reader: &mut Reader<'_>, argument: &sql::Expr) -> Option<i64> {
    let range = reader.source.range(argument.span());
    let Some(text) = quoted(argument) else {
        return reader.refuse(problem(range, "a window is not text in quotes").help(WINDOW_HELP));
    };
    match period_us(text) {
        Ok(us) => Some(us),
        Err(message) => reader.refuse(problem(range, message).help(WINDOW_HELP)),
    }
}

fn text(reader: &mut Reader<'_>, name: &str, argument: &sql::Expr) -> Option<String> {
    if let Some(text) = quoted(argument) {
        return Some(text.to_owned());
    }
    let problem = problem(reader.source.range(argument.span()), format!("`{name}` takes a name in quotes"));
    reader.refuse(problem.help(help(name)))
}

fn refuse_call<T>(
    reader: &mut Reader<'_>,
    name: &str,
    count: usize,
    named: Range<usize>,
    range: Range<usize>,
) -> Option<T> {
    if usage(name).is_some() {
        return refuse_count(reader, name, count, range);
    }
    let all = AGGREGATES.iter().map(|f| f.name()).chain(PROFILE.iter().map(|(name, _)| *name));
    let problem = problem(named, format!("there is no function `{name}`"));
    let help = match near(name, all.clone()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("functions are {}", all.collect::<Vec<_>>().join(", ")),
    };
    reader.refuse(problem.help(help))
}

fn refuse_count<T>(reader: &mut Reader<'_>, name: &str, count: usize, range: Range<usize>) -> Option<T> {
    let arguments = if count == 1 { "1 argument".to_owned() } else { format!("{count} arguments") };
    let problem = problem(range, format!("`{name}` has {arguments}"));
    reader.refuse(problem.help(help(name)))
}

fn help(name: &str) -> String {
    format!("write {}", usage(name).unwrap_or_default())
}

/// How a call is written.
pub(crate) fn usage(name: &str) -> Option<String> {
    if let Some((_, usage)) = PROFILE.iter().find(|(known, _)| *known == name) {
        return Some((*usage).to_owned());
    }
    let function = AGGREGATES.into_iter().find(|f| f.name() == name)?;
    let column = if function.has_column() { "column, " } else { "" };
    let window = if function.has_window() { " [, 'window']" } else { "" };
    Some(format!("{name}({column}predicate{window}), with TRUE as predicate for any event"))
}

/// The candidate that a misspelt name most likely means: at most every third letter differs.
pub(crate) fn near<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| distance * 3 <= candidate.chars().count().max(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

//! Calls: what each function takes. How it is written stands in the reference.

use crate::{
    ast::{Aggregate, Expr, ExprKind, Function, Sequence},
    calendar::Zone,
    like::Pattern,
    literal::quoted,
    parse::Reader,
    reference, rewrite,
    source::problem,
    window::{Unfit, Window, period_us},
};
use sqlparser::ast::{self as sql, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned};
use std::ops::Range;

/// The column in which the enrichment `taxonomy` puts the path to a category.
pub(crate) const INTEREST_PATH: &str = "interest_path";
/// More steps are a story, not a sequence.
const MAX_STEPS: usize = 16;

/// What a name in a call can stand for.
#[derive(Clone, Copy)]
enum Named {
    Consent,
    Attr,
    InSegment,
    HasIdentifier,
    Percentile,
    Total,
    Rate,
    Sequence,
    Aggregate(Function),
}

/// Those that are no aggregates.
const OTHERS: [(&str, Named); 8] = [
    ("consent", Named::Consent),
    ("attr", Named::Attr),
    ("in_segment", Named::InSegment),
    ("has_identifier", Named::HasIdentifier),
    ("percentile", Named::Percentile),
    ("total", Named::Total),
    ("rate", Named::Rate),
    ("sequence", Named::Sequence),
];

/// The names that can be called.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    OTHERS.into_iter().map(|(name, _)| name).chain(Function::ALL.into_iter().map(Function::name))
}

/// One call: its name in lower case, the characters of the name and of all of it, and its arguments.
struct Call<'a> {
    name: String,
    named: Range<usize>,
    range: Range<usize>,
    arguments: Vec<&'a sql::Expr>,
    /// What stands after `WITHIN`.
    within: Option<&'a sql::Expr>,
}

/// Reads one call.
pub(crate) fn read(reader: &mut Reader<'_>, function: &sql::Function, depth: usize) -> Option<Expr> {
    let named = reader.source.range(function.name.span());
    let name = function.name.to_string().to_lowercase();
    if let Some(outer) = reader.inside {
        let message =
            format!("`{name}` stands inside the predicate of `{outer}`, which sees one event at a time");
        return reader.refuse(problem(named, message).help("compare columns of the event there"));
    }
    let call = plain(reader, function, named, name)?;
    let range = call.range.clone();
    let kind = kind(reader, &call, depth)?;
    Some(Expr { kind, range })
}

fn kind(reader: &mut Reader<'_>, call: &Call<'_>, depth: usize) -> Option<ExprKind> {
    let other = OTHERS.into_iter().find(|(name, _)| *name == call.name).map(|(_, named)| named);
    let Some(named) = other.or_else(|| Function::named(&call.name).map(Named::Aggregate)) else {
        return refuse_name(reader, call);
    };
    match (named, call.arguments.as_slice()) {
        (Named::Consent, []) => Some(ExprKind::Consent),
        (Named::Attr, [one]) => Some(ExprKind::Attribute(text(reader, call, one)?)),
        (Named::InSegment, [one]) => Some(ExprKind::InSegment(text(reader, call, one)?)),
        (Named::HasIdentifier, [one]) => Some(ExprKind::HasIdentifier(text(reader, call, one)?)),
        (Named::Percentile, [one]) => {
            Some(ExprKind::Percentile(Box::new(over_all(reader, call, "percentile", one, depth)?)))
        }
        (Named::Total, [one]) => {
            Some(ExprKind::Total(Box::new(over_all(reader, call, "total", one, depth)?)))
        }
        (Named::Rate, [_, _] | [_, _, _] | [_, _, _, _]) => rate(reader, call, depth),
        (Named::Sequence, _) => sequence(reader, call, depth),
        (Named::Aggregate(Function::Interest), [_] | [_, _] | [_, _, _] | [_, _, _, _]) => {
            interest(reader, call, depth)
        }
        (Named::Aggregate(Function::Interest), _) => refuse_count(reader, call),
        (Named::Aggregate(Function::CountDistinctDays), [_, ..]) => count_distinct_days(reader, call, depth),
        (Named::Aggregate(function), [_, ..]) => aggregate(reader, function, call, depth),
        _ => refuse_count(reader, call),
    }
}

/// The arguments of a call, and nothing else that SQL allows in one.
fn plain<'a>(
    reader: &mut Reader<'_>,
    function: &'a sql::Function,
    named: Range<usize>,
    name: String,
) -> Option<Call<'a>> {
    let range = named.start..reader.source.closing(named.end);
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
            let problem = problem(named, format!("`{name}` takes plain arguments in round brackets only"));
            return reader.refuse(problem.help(help(&name)));
        }
    };
    let mut call = Call { name, named, range, arguments: Vec::new(), within: None };
    for argument in &list.args {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => call.arguments.push(expr),
            FunctionArg::ExprNamed {
                name: sql::Expr::Identifier(name),
                arg: FunctionArgExpr::Expr(arg),
                ..
            } if rewrite::is_within(name) && call.name == "sequence" && call.within.is_none() => {
                call.within = Some(arg);
            }
            _ => {
                let message = format!("`{}` has an argument that is not an expression", call.name);
                return reader
                    .refuse(problem(call.named, message).help("for any event write TRUE: count(TRUE)"));
            }
        }
    }
    Some(call)
}

fn aggregate(reader: &mut Reader<'_>, function: Function, call: &Call<'_>, depth: usize) -> Option<ExprKind> {
    let first = usize::from(function.has_column());
    let most = first + 1 + if function == Function::DaysSince { 0 } else { 2 };
    if call.arguments.len() <= first || call.arguments.len() > most {
        return refuse_count(reader, call);
    }
    let column =
        call.arguments[..first].first().map(|column| predicate(reader, function.name(), column, depth));
    let predicate = predicate(reader, function.name(), call.arguments[first], depth);
    let window = window(reader, &call.arguments[first + 1..]);
    let column = column.map_or(Some(None), |read| read.map(Some))?;
    let aggregate = Aggregate { function, column, predicate: predicate?, window: window? };
    Some(ExprKind::Aggregate(Box::new(aggregate)))
}

fn count_distinct_days(reader: &mut Reader<'_>, call: &Call<'_>, depth: usize) -> Option<ExprKind> {
    let (last, rest) =
        call.arguments[1..].split_last().map_or((None, &[][..]), |(last, rest)| (Some(*last), rest));
    let zone = last.and_then(|last| Some((quoted(last)?.trim().strip_prefix("in ")?, last)));
    let arguments = if zone.is_some() { rest } else { &call.arguments[1..] };
    if arguments.len() > 2 {
        return refuse_count(reader, call);
    }
    let zone = zone.map(|(name, written)| {
        let range = reader.source.range(written.span());
        Zone::named(name).map_err(|(message, help)| problem(range, message).help(help))
    });
    let predicate = predicate(reader, "count_distinct_days", call.arguments[0], depth);
    let window = window(reader, arguments);
    let zone = match zone {
        Some(Err(problem)) => return reader.refuse(problem),
        Some(Ok(zone)) => Some(zone),
        None => None,
    };
    let window = window?;
    let zone = zone.or_else(|| window.zone().cloned()).unwrap_or_else(Zone::utc);
    let column = Some(Expr { kind: ExprKind::Day(zone), range: call.named.clone() });
    let aggregate =
        Aggregate { function: Function::CountDistinctDays, column, predicate: predicate?, window };
    Some(ExprKind::Aggregate(Box::new(aggregate)))
}

/// Two counts in the same window.
fn rate(reader: &mut Reader<'_>, call: &Call<'_>, depth: usize) -> Option<ExprKind> {
    let [part, whole] = [0, 1].map(|index| predicate(reader, "rate", call.arguments[index], depth));
    let window = window(reader, &call.arguments[2..]);
    let count = |predicate: Expr, window: Window| {
        let range = predicate.range.clone();
        let call = Aggregate { function: Function::Count, column: None, predicate, window };
        Box::new(Expr { kind: ExprKind::Aggregate(Box::new(call)), range })
    };
    let (part, whole, window) = (part?, whole?, window?);
    Some(ExprKind::Rate { part: count(part, window.clone()), whole: count(whole, window) })
}

/// `did` with a predicate on the path that the taxonomy wrote.
fn interest(reader: &mut Reader<'_>, call: &Call<'_>, depth: usize) -> Option<ExprKind> {
    let id = text(reader, call, call.arguments[0]);
    let named = reader.source.range(call.arguments[0].span());
    let has_predicate = call.arguments.get(1).is_some_and(|second| quoted(second).is_none());
    let rest = 1 + usize::from(has_predicate);
    let more = has_predicate.then(|| predicate(reader, "interest", call.arguments[1], depth));
    if call.arguments.len() - rest > 2 {
        return refuse_count(reader, call);
    }
    let window = window(reader, &call.arguments[rest..]);
    let id = id?;
    let bare = id.trim().strip_prefix("IAB").map_or(id.trim(), str::trim_start);
    let pattern = Pattern::new(&format!("%/{bare}/%"), None);
    let sound = !bare.is_empty() && bare.chars().all(char::is_alphanumeric);
    let Some(pattern) = pattern.filter(|_| sound) else {
        let problem = problem(named, format!("`{id}` cannot be the id of a category"));
        return reader.refuse(problem.help("write it as in the taxonomy: 'IAB 483' or '483'"));
    };
    let path = Box::new(Expr { kind: ExprKind::Column(INTEREST_PATH.to_owned()), range: named.clone() });
    let below = ExprKind::Like { expr: path, pattern, negated: false };
    let below = Expr { kind: below, range: named };
    let predicate = match more {
        None => below,
        Some(more) => {
            let more = more?;
            Expr { range: more.range.clone(), kind: ExprKind::And(vec![below, more]) }
        }
    };
    let aggregate = Aggregate { function: Function::Interest, column: None, predicate, window: window? };
    Some(ExprKind::Aggregate(Box::new(aggregate)))
}

fn sequence(reader: &mut Reader<'_>, call: &Call<'_>, depth: usize) -> Option<ExprKind> {
    let Some(within) = call.within else {
        let problem = problem(call.range.clone(), "`sequence` does not say WITHIN which time");
        return reader.refuse(problem.help(help("sequence")));
    };
    // Windows are text, predicates are not.
    let steps = call.arguments.iter().take_while(|argument| quoted(argument).is_none()).count();
    if !(2..=MAX_STEPS).contains(&steps) || call.arguments.len() > steps + 2 {
        let message = format!("`sequence` has {steps} steps, from 2 to {MAX_STEPS} are allowed");
        return reader.refuse(problem(call.range.clone(), message).help(help("sequence")));
    }
    let read: Vec<Option<Expr>> =
        call.arguments[..steps].iter().map(|step| predicate(reader, "sequence", step, depth)).collect();
    let range = reader.source.range(within.span());
    let within_us = match quoted(within)
        .ok_or_else(|| "the time of WITHIN is not text in quotes".to_owned())
        .and_then(period_us)
    {
        Ok(us) => Some(us),
        Err(message) => reader.refuse(problem(range, message).help("write WITHIN '3 days'")),
    };
    let window = window(reader, &call.arguments[steps..]);
    let steps = read.into_iter().collect::<Option<Vec<Expr>>>()?;
    Some(ExprKind::Sequence(Box::new(Sequence { steps, within_us: within_us?, window: window? })))
}

/// What is said of all profiles is said of a value that each of them has by itself.
fn over_all(
    reader: &mut Reader<'_>,
    call: &Call<'_>,
    name: &'static str,
    value: &sql::Expr,
    depth: usize,
) -> Option<Expr> {
    if let Some(outer) = reader.over_all {
        let message = format!("`{name}` stands inside `{outer}`, which has one value a profile");
        let help = "put the inner one into a segment of its own and use in_segment";
        return reader.refuse(problem(call.named.clone(), message).help(help));
    }
    reader.over_all = Some(name);
    let value = reader.expr(value, depth);
    reader.over_all = None;
    value
}

/// An expression over the columns of one event.
fn predicate(
    reader: &mut Reader<'_>,
    name: &'static str,
    argument: &sql::Expr,
    depth: usize,
) -> Option<Expr> {
    reader.inside = Some(name);
    let read = reader.expr(argument, depth);
    reader.inside = None;
    read
}

fn window(reader: &mut Reader<'_>, arguments: &[&sql::Expr]) -> Option<Window> {
    let mut texts = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let Some(text) = quoted(argument) else {
            let range = reader.source.range(argument.span());
            let problem = problem(range, "a window is not text in quotes");
            return reader
                .refuse(problem.help("write '30 days', 'this month' or '2026-01-01', '2026-02-01'"));
        };
        texts.push(text);
    }
    match Window::parse(&texts) {
        Ok(window) => Some(window),
        Err(Unfit { argument, message, help }) => {
            let spans = match argument {
                Some(index) => &arguments[index..=index],
                None => arguments,
            };
            let start = spans.first().map_or(0, |first| reader.source.range(first.span()).start);
            let end = spans.last().map_or(start, |last| reader.source.range(last.span()).end);
            reader.refuse(problem(start..end, message).help(help))
        }
    }
}

fn text(reader: &mut Reader<'_>, call: &Call<'_>, argument: &sql::Expr) -> Option<String> {
    if let Some(text) = quoted(argument) {
        return Some(text.to_owned());
    }
    let message = format!("`{}` takes a name in quotes", call.name);
    let problem = problem(reader.source.range(argument.span()), message);
    reader.refuse(problem.help(help(&call.name)))
}

fn refuse_name<T>(reader: &mut Reader<'_>, call: &Call<'_>) -> Option<T> {
    let all = reference::FUNCTIONS.iter().map(|function| function.name);
    let help = match near(&call.name, all.clone()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("functions are {}", all.collect::<Vec<_>>().join(", ")),
    };
    reader.refuse(problem(call.named.clone(), format!("there is no function `{}`", call.name)).help(help))
}

fn refuse_count<T>(reader: &mut Reader<'_>, call: &Call<'_>) -> Option<T> {
    let count = call.arguments.len();
    let arguments = if count == 1 { "1 argument".to_owned() } else { format!("{count} arguments") };
    let problem = problem(call.range.clone(), format!("`{}` has {arguments}", call.name));
    reader.refuse(problem.help(help(&call.name)))
}

fn help(name: &str) -> String {
    match reference::signature(name) {
        Some(signature) => format!("write {signature}"),
        None => "write name(…)".to_owned(),
    }
}

/// The candidate that a misspelt name most likely means: at most every third letter differs.
pub(crate) fn near<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| distance * 3 <= candidate.chars().count().max(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

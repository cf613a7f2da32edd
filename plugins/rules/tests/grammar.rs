//! What rules may say, and what an operator reads when they say something else.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

mod support;

use kindred_plugin_api::{Context, Problem, Segment, Segmentation};
use kindred_plugin_rules::{Config, Rules};
use support::data::{AS_OF, batch};

fn config(rule: &str) -> Config {
    Config { rule: rule.to_owned() }
}

fn problems(rule: &str) -> Vec<Problem> {
    Rules::validate(&config(rule))
}

fn open(rules: &[(&str, &str)]) -> kindred_plugin_api::Result<Rules> {
    let segments =
        rules.iter().map(|(name, rule)| Segment { name: (*name).to_owned(), config: config(rule) });
    Rules::open(segments.collect(), Context::detached("."))
}

/// The problems that the columns of the test data give.
fn planned(rules: &[(&str, &str)]) -> Vec<Problem> {
    let catalog = batch(&[], AS_OF, 1);
    open(rules).unwrap().plan(&catalog.schema()).map_or_else(|fault| fault.problems, |_| vec![])
}

/// The text that the problem points at, its message, its help.
fn shown<'a>(rule: &'a str, problem: &'a Problem) -> (String, &'a str, &'a str) {
    let (start, end) = problem.range.unwrap();
    let place = rule.chars().skip(start).take(end - start).collect();
    (place, &problem.message, problem.help.as_deref().unwrap_or_default())
}

#[test]
fn whole_grammar_is_understood() {
    for rule in [
        "TRUE",
        "count(event = 'purchase' AND category = 'winter-coats' AND amount > 10) >= 2",
        "count(TRUE, '30 days') > 3 OR did(event = 'view', '60 days', '30 days')",
        "sum(amount, event IN ('a', 'b'), '12 hours') / count(TRUE, '90 minutes') BETWEEN 1.5 AND 1e3",
        "last(category, event = 'view') LIKE 'winter%' AND first(\"order\", TRUE, '2 weeks') NOT LIKE '%!%' ESCAPE '!'",
        "min(amount, amount IS NOT NULL) < -5 AND max(quantity, TRUE) - 1 <> +2 * (3 + 4)",
        "avg(amount, NOT (event = 'x' OR event <> 'y')) <= attr('crm.limit') AND count_distinct(category, TRUE) = 2",
        "days_since(event = 'purchase') BETWEEN 7 AND 30 OR days_since(TRUE) IS NULL",
        "days_since(event = 'cart') < days_since(event = 'purchase')",
        "attr('crm.country') IN ('DE', 'AT') AND NOT in_segment('x') AND has_identifier('cookie') AND consent() = 'granted'",
        "attr('crm.optin') IS NOT TRUE AND (attr('a') = 1) IS UNKNOWN",
        "attr('crm.since') >= '2026-01-31' AND did(event_time < TIMESTAMP '2026-01-31T12:00:00Z')",
        "-- a comment\nTRUE /* and another */ AND (((FALSE)))",
        "did(page.url = 'x' and user = 'y')",
        "attr('crm.größe') = 'groß'",
        "-9223372036854775808 < 9223372036854775807",
    ] {
        assert_eq!(problems(rule), vec![], "{rule}");
    }
}

#[test]
fn every_refusal_names_its_place() {
    for (rule, place, message, help) in [
        ("", "", "expected an expression, found the end of the rule", ""),
        ("attr('a') = ", "", "found the end of the rule", ""),
        ("attr('a') = 1 attr('b')", "attr", "`attr` is left over", "AND or OR"),
        ("attr('a') = AND", "AND", "expected an expression", ""),
        ("(TRUE", "", "expected )", ""),
        ("ö = 1 AND TRUE", "ö", "outside of any call", "attr('ö')"),
        ("counts(TRUE) > 1", "counts", "no function `counts`", "`count`"),
        ("zzz(TRUE)", "zzz", "no function `zzz`", "functions are count, did"),
        ("count() > 1", "count()", "0 arguments", "write count(predicate [, 'window'])"),
        (
            "did(TRUE, '1 day', '1 hour', '1 hour')",
            "did(TRUE, '1 day', '1 hour', '1 hour')",
            "4 arguments",
            "",
        ),
        ("sum(amount) > 1", "sum(amount)", "1 argument", "sum(column, predicate [, 'window'])"),
        (
            "days_since(TRUE, '3 days') > 1",
            "days_since(TRUE, '3 days')",
            "2 arguments",
            "days_since(predicate)",
        ),
        ("attr('a', 'b') = 1", "attr('a', 'b')", "2 arguments", "attr('source.name')"),
        ("consent(1) = 'x'", "consent(1)", "1 argument", "consent()"),
        ("attr(country) = 1", "country", "takes a name in quotes", "attr('source.name')"),
        ("count(*) > 1", "count", "not an expression", "count(TRUE)"),
        ("count(DISTINCT TRUE) > 1", "count", "plain arguments", ""),
        ("sum(amount * 2, TRUE) > 1", "amount * 2", "not the name of a column", "sum(column"),
        ("count('30 days') > 1", "'30 days'", "needs a boolean, this is text", "count(TRUE, '30 days')"),
        ("count(TRUE, 30) > 1", "30", "not text in quotes", "'30 days'"),
        ("count(TRUE, '3 months') > 1", "'3 months'", "`months` is not a unit", "weeks"),
        ("count(TRUE, '1.5 days') > 1", "'1.5 days'", "`1.5` is not a whole number", ""),
        (
            "count(TRUE, '1 day', '2 days') > 1",
            "'1 day', '2 days'",
            "ends before it begins",
            "older bound first",
        ),
        ("count(did(TRUE)) > 1", "did", "stands inside the predicate of `count`", ""),
        ("did(attr('a') = 1)", "attr", "inside the predicate of `did`", ""),
        ("count(TRUE)", "count(TRUE)", "a rule needs a boolean, this is a number", ""),
        ("NOT count(TRUE)", "count(TRUE)", "NOT needs a boolean", ""),
        ("TRUE AND 1", "1", "AND needs a boolean, this is a number", ""),
        ("count(TRUE) = 'two'", "'two'", "a number cannot be compared with text", ""),
        ("count(TRUE) + 'x' = 1", "'x'", "arithmetic needs a number, this is text", ""),
        ("did(TRUE) < TRUE", "did(TRUE) < TRUE", "no order", ""),
        ("count(TRUE) LIKE '1%'", "count(TRUE)", "LIKE needs text", ""),
        ("attr('a') LIKE attr('b')", "attr('b')", "pattern of LIKE", ""),
        ("attr('a') LIKE 'x!' ESCAPE '!'", "attr('a') LIKE 'x!' ESCAPE '!'", "ends with its escape", ""),
        ("attr('a') LIKE 'x' ESCAPE 'ab'", "'ab'", "not one character", ""),
        ("days_since(TRUE) * 2 > 1", "days_since(TRUE)", "not calculated with", "other side"),
        ("days_since(TRUE) = 'x'", "'x'", "an age in days cannot be compared with text", ""),
        ("attr('a') % 2 = 1", "attr('a') % 2", "operator `%`", ""),
        ("attr('a') || 'b' = 'c'", "attr('a') || 'b'", "operator `||`", ""),
        ("attr('a') ILIKE 'b'", "attr('a') ILIKE 'b'", "this kind of expression", ""),
        ("CASE WHEN TRUE THEN TRUE END", "CASE WHEN TRUE THEN TRUE END", "this kind of expression", ""),
        ("attr('a') = E'b'", "E'b'", "kind of literal", ""),
        ("attr('a') = 99999999999999999999", "99999999999999999999", "too large", ""),
        ("attr('a') = 1e999", "1e999", "too large", ""),
        ("attr('a') > DATE '31.1.2026'", "DATE '31.1.2026'", "'31.1.2026' is not a time", "2026-01-31"),
        ("attr('a') = INTERVAL '1 day'", "'1 day'", "this kind of expression", ""),
    ] {
        let found = problems(rule);
        let first = found.first().unwrap_or_else(|| panic!("{rule} is accepted"));
        assert_eq!(first.path, "/rule");
        let (at, said, helped) = shown(rule, first);
        assert!(said.contains(message), "{rule}: {said}");
        assert!(helped.contains(help), "{rule}: {helped}");
        assert_eq!(at, place, "{rule}: {said}");
        assert!(!said.ends_with('.'), "{said}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let rule = "counts(TRUE) > 1 AND attr(x) = 2 OR did(TRUE, '3 moons')\n  AND foo > 3";
    let found = problems(rule);
    let places: Vec<String> = found.iter().map(|problem| shown(rule, problem).0).collect();
    assert_eq!(places, ["counts", "x", "'3 moons'", "foo"]);
}

#[test]
fn depth_is_bounded_without_a_crash() {
    let nested = |depth: usize| format!("{}TRUE{}", "(".repeat(depth), ")".repeat(depth));
    let run = |rule: String| {
        // The host calls plugins on threads of its own; none has less than this.
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        thread.spawn(move || problems(&rule)).unwrap().join().unwrap()
    };
    assert_eq!(run(nested(150)), vec![]);
    for deep in
        [nested(250), nested(50_000), format!("{}TRUE", "NOT ".repeat(1_500)), "- ".repeat(900) + "1 = 1"]
    {
        let found = run(deep);
        assert!(found[0].message.contains("nested") || found[0].message.contains("operators"), "{found:?}");
    }
    let long = |count: usize, with: &str| vec!["attr('a') = 1"; count].join(with);
    assert_eq!(run(long(990, " OR ")), vec![]);
    assert!(run(long(1_100, " AND "))[0].message.contains("more than 2000 operators"));
    assert!(run(vec!["1"; 1_500].join("+") + " > 0")[0].message.contains("nested"));
    assert!(run(vec!["1"; 1_900].join("+") + " > ")[0].message.contains("end of the rule"));
    assert_eq!(run(format!("attr('a') IN ({})", vec!["'x'"; 9_000].join(","))), vec![]);
}

#[test]
fn options_are_strict() {
    assert!(serde_json::from_str::<Config>(r#"{"rule": "TRUE"}"#).is_ok());
    assert!(serde_json::from_str::<Config>(r#"{"rule": "TRUE", "title": "x"}"#).is_err());
}

#[test]
fn facts_name_the_segments_a_rule_needs() {
    let facts = Rules::facts(&config("in_segment('b') AND (in_segment('a') OR NOT in_segment('b'))"));
    assert_eq!(facts.depends_on, ["a", "b"]);
    assert!(Rules::facts(&config("in_segment(")).depends_on.is_empty());
}

#[test]
fn open_puts_problems_at_their_segment() {
    let fault = open(&[("a", "TRUE"), ("b", "nope(TRUE)")]).err().unwrap();
    assert_eq!((fault.problems[0].path.as_str(), fault.problems[0].range), ("/1/config/rule", Some((0, 4))));
    let fault = open(&[("a", "in_segment('b')"), ("b", "in_segment('a')")]).err().unwrap();
    assert!(fault.message.contains("`a` → `b` → `a`"), "{fault}");
}

#[test]
fn plan_compares_with_the_columns() {
    for (rule, place, message, help) in [
        ("did(evnt = 'x')", "evnt", "events have no column `evnt`", "`event`"),
        ("did(event = \"purchase\")", "\"purchase\"", "no column `purchase`", ""),
        ("attr('crm.contry') = 'DE'", "attr('crm.contry')", "no attribute `crm.contry`", "`crm.country`"),
        ("in_segment('vjp')", "in_segment('vjp')", "no segment `vjp`", "`vip`"),
        ("in_segment('owm')", "in_segment('owm')", "no segment `owm`", "`own`"),
        ("did(amount = 'x')", "'x'", "a number cannot be compared with text", ""),
        ("sum(event, TRUE) > 1", "event", "`sum` needs a number, this is text", ""),
        ("max(paid, TRUE)", "paid", "needs values with an order", ""),
        ("attr('crm.since') > '31.1.2026'", "'31.1.2026'", "is not a time", "2026-01-31"),
        ("attr('crm.age')", "attr('crm.age')", "a rule needs a boolean", ""),
    ] {
        let found = planned(&[("own", "TRUE"), ("s", rule)]);
        assert_eq!(found.len(), 1, "{rule}: {found:?}");
        let (at, said, helped) = shown(rule, &found[0]);
        assert!(
            said.contains(message) && helped.contains(help) && at == place,
            "{rule}: {at}: {said}: {helped}"
        );
        assert_eq!(found[0].path, "/1/config/rule");
    }
    assert_eq!(planned(&[("s", "in_segment('vip') AND did(paid AND shipped > '2026-01-01')")]), vec![]);
}

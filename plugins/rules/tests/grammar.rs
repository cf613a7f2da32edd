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
        "sum(price * quantity, event = 'purchase', 'previous quarter in America/New_York') > 10",
        "count(TRUE, '2026-01-01', '2026-02-01T12:00:00+02:00') > 1 OR did(TRUE, 'this day')",
        "count_distinct_days(TRUE, '60 days', '30 days', 'in Europe/Berlin') > 3",
        "rate(event = 'click', event = 'view', 'this week') BETWEEN 0.1 AND 0.5",
        "sequence(event = 'a' THEN CASE WHEN b THEN c ELSE d END THEN (e) WITHIN '3 days', '30 days')",
        "Sequence ( a = 1 then b = 2 within '3 days' ) AND sequence(a, b, within => '1 hour', 'this year')",
        "CASE WHEN did(TRUE) THEN 1 WHEN attr('a') = 2 THEN 2.5 END > CASE attr('b') WHEN 'x' THEN 1 ELSE NULL END",
        "interest('IAB 483') OR interest('v9i3On', event = 'view') OR interest('483', '30 days')",
        "percentile(sum(price, TRUE)) >= 99 OR NOT percentile(attr('a') * 2) BETWEEN 10 AND 20.5",
        "count(TRUE) > total(count(TRUE)) / total(1)",
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
        ("count() > 1", "count()", "0 arguments", "write count(predicate [, window])"),
        (
            "did(TRUE, '1 day', '1 hour', '1 hour')",
            "did(TRUE, '1 day', '1 hour', '1 hour')",
            "4 arguments",
            "",
        ),
        ("sum(amount) > 1", "sum(amount)", "1 argument", "sum(expression, predicate [, window])"),
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
        ("sum(2 * 3, TRUE) > 1", "2 * 3", "has no column of the events", "price * quantity"),
        ("rate(TRUE) > 1", "rate(TRUE)", "1 argument", "rate(predicate, predicate"),
        ("consent('ads') = 'x'", "consent('ads')", "1 argument", "consent()"),
        ("sequence(TRUE THEN TRUE)", "sequence(TRUE THEN TRUE)", "does not say WITHIN", "WITHIN '3 days'"),
        ("sequence(TRUE WITHIN '1 day')", "sequence(TRUE WITHIN '1 day')", "1 steps", ""),
        ("sequence(TRUE THEN foo( WITHIN '1 day')", "'1 day'", "expected )", ""),
        ("sequence(TRUE THEN 3 WITHIN '1 day')", "3", "a step of `sequence` needs a boolean", ""),
        ("sequence(TRUE THEN TRUE WITHIN '0 days')", "'0 days'", "holds nothing", "WITHIN '3 days'"),
        ("sequence(TRUE THEN TRUE WITHIN '1 moon', 'this moon')", "'1 moon'", "`moon` is not a unit", ""),
        ("sequence(a THEN THEN b WITHIN '1 day')", "THEN", "found: THEN", ""),
        ("sequence(a THEN b\n WITHIN)", ")", "expected an expression", ""),
        ("interest('IAB /') AND TRUE", "'IAB /'", "cannot be the id", "IAB 483"),
        (
            "did(TRUE, 'this month in Mars/Phobos')",
            "'this month in Mars/Phobos'",
            "no time zone `Mars/Phobos`",
            "IANA",
        ),
        (
            "did(TRUE, 'this month in Europe/Berln')",
            "'this month in Europe/Berln'",
            "no time zone",
            "`Europe/Berlin`",
        ),
        (
            "count_distinct_days(TRUE, 'in Europe/Rom') > 1",
            "'in Europe/Rom'",
            "no time zone",
            "`Europe/Rome`",
        ),
        ("did(TRUE, '2026-01-01')", "'2026-01-01'", "has two of them", "event_time"),
        (
            "did(TRUE, '2026-02-01', '2026-01-01')",
            "'2026-02-01', '2026-01-01'",
            "ends before it begins",
            "earlier date",
        ),
        ("did(TRUE, '0 days')", "'0 days'", "holds nothing", ""),
        ("did(TRUE, '1000 years')", "'1000 years'", "not a unit", "'this month'"),
        ("did(TRUE, '365250 days')", "'365250 days'", "longer than 100 years", ""),
        ("percentile(count(TRUE)) >= attr('a')", "attr('a')", "with a number only", "percentile(…) >= 99"),
        ("percentile(count(TRUE)) + 1 > 2", "percentile(count(TRUE))", "not calculated with", ""),
        ("percentile(attr('a') = 1) > 2", "attr('a') = 1", "`percentile` needs a number", ""),
        ("percentile(days_since(TRUE)) > 2", "days_since(TRUE)", "not used for all profiles", ""),
        ("total(percentile(count(TRUE))) > 2", "percentile", "stands inside `total`", "in_segment"),
        ("CASE WHEN 1 THEN TRUE END", "1", "WHEN needs a boolean", ""),
        ("CASE WHEN TRUE THEN 1 ELSE 'a' END = 1", "'a'", "CASE gives a number or text", ""),
        ("CASE attr('a') WHEN x THEN TRUE END", "x", "outside of any call", ""),
        ("CASE WHEN did(TRUE) THEN days_since(TRUE) END > 1", "days_since(TRUE)", "not chosen by CASE", ""),
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

//! Single facts of the semantics, spelt out.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

mod support;

use kindred_plugin_api::{Context, Evaluated, FaultKind, Reason, Segment, Segmentation};
use kindred_plugin_rules::{Config, Rules};
use support::data::{AS_OF, DAY, Event, HOUR, Profile, batch};

fn open(rules: &[&str]) -> Rules {
    let segments = rules.iter().enumerate().map(|(index, rule)| Segment {
        name: format!("s{index}"),
        config: Config { rule: (*rule).to_owned() },
    });
    let mut plugin = Rules::open(segments.collect(), Context::detached(".")).unwrap();
    plugin.bind(batch(&[], AS_OF, 7).schema()).unwrap_or_else(|fault| panic!("{:?}", fault.problems));
    plugin
}

fn evaluate(rules: &[&str], profile: &Profile) -> Evaluated {
    open(rules).evaluate(&batch(std::slice::from_ref(profile), AS_OF, 7)).unwrap()
}

fn holds(rule: &str, profile: &Profile) -> bool {
    evaluate(&[rule], profile).row(0).0 == [0]
}

fn explain(rules: &[&str], profile: &Profile) -> Reason {
    open(rules).explain(&batch(std::slice::from_ref(profile), AS_OF, 7), 0).unwrap()
}

fn at(ago: i64, event: &str, amount: Option<f64>) -> Event {
    Event { time: AS_OF - ago, event: Some(event.to_owned()), amount, ..Event::default() }
}

fn shopper() -> Profile {
    Profile {
        country: Some("DE".into()),
        events: vec![
            at(40 * DAY, "purchase", Some(100.0)),
            at(30 * DAY, "purchase", None),
            at(3 * DAY, "view", Some(1.5)),
            at(6 * HOUR, "purchase", Some(2.5)),
        ],
        ..Profile::default()
    }
}

#[test]
fn nothing_to_aggregate() {
    let nobody = Profile::default();
    for rule in [
        "count(TRUE) = 0",
        "did(TRUE) = FALSE",
        "count_distinct(event, TRUE) = 0",
        "sum(amount, TRUE) IS NULL",
        "avg(amount, TRUE) IS NULL",
        "last(event, TRUE) IS NULL",
        "days_since(TRUE) IS NULL",
        "NOT in_segment('vip')",
        "(attr('crm.country') = 'DE') IS UNKNOWN",
    ] {
        assert!(holds(rule, &nobody), "{rule}");
    }
    assert!(!holds("attr('crm.country') <> 'DE'", &nobody) && !holds("sum(amount, TRUE) < 1", &nobody));
}

#[test]
fn windows_are_half_open() {
    let profile = shopper();
    for rule in [
        "count(TRUE, '30 days') = 2",
        "count(TRUE, '720 hours') = 2",
        "count(TRUE, '31 days') = 3",
        "count(TRUE, '40 days', '30 days') = 1",
        "count(TRUE, '6 hours') = 0",
        "last(amount, event = 'purchase' AND amount > 50) = 100",
        "last(amount, event = 'purchase', '60 days', '1 day') = 100",
        "days_since(event = 'purchase') = 0.25",
        "sum(amount, event = 'purchase') / count(event = 'purchase') > 34",
        "7 / 2 = 3.5 AND 1 / 0 IS NULL AND 9223372036854775807 + 1 IS NULL",
    ] {
        assert!(holds(rule, &profile), "{rule}");
    }
}

#[test]
fn sums_keep_what_plain_addition_loses() {
    let amounts = [1e16, 1.0, 1.0, -1e16];
    let events = amounts.iter().map(|amount| at(DAY, "view", Some(*amount))).collect();
    assert!(holds("sum(amount, TRUE) = 2", &Profile { events, ..Profile::default() }));
}

#[test]
fn the_next_change_is_exact() {
    let profile = shopper();
    let next = |rule: &str| evaluate(&[rule], &profile).row(0).1.map(|next| next - AS_OF);
    assert_eq!(next("count(TRUE, '7 days') > 1"), Some(4 * DAY));
    assert_eq!(next("count(event = 'purchase', '7 days') > 1"), Some(7 * DAY - 6 * HOUR));
    assert_eq!(next("did(event = 'cart', '7 days')"), None);
    assert_eq!(next("sum(amount, event = 'purchase', '40 days') > 1"), Some(40 * DAY - 6 * HOUR));
    assert_eq!(next("count(TRUE, '30 days', '7 days') > 1"), Some(4 * DAY));
    assert_eq!(next("count(TRUE, '50 days', '35 days') > 1"), Some(5 * DAY));
    assert_eq!(next("count(TRUE) > 1 AND attr('crm.country') = 'DE'"), None);
    assert_eq!(next("days_since(event = 'view') > 5"), Some(2 * DAY + 1));
    assert_eq!(next("days_since(event = 'view') >= 5"), Some(2 * DAY));
    assert_eq!(next("days_since(event = 'view') > 2"), None);
    assert_eq!(next("days_since(event = 'view') = sum(amount, TRUE, '7 days')"), Some(DAY));
    assert_eq!(next("days_since(event = 'view') < days_since(event = 'purchase')"), None);
    let both = ["did(TRUE, '1 day')", "days_since(TRUE) < 0.5"];
    assert_eq!(evaluate(&both, &profile).row(0), (&[0, 1][..], Some(AS_OF + 6 * HOUR)));
}

/// Rules of random cases that once failed, with events that decide them, and when their answers change.
#[test]
fn rules_that_once_failed() {
    let profile = Profile {
        score: Some(-2.0),
        events: vec![
            Event { time: AS_OF - 40 * DAY, paid: Some(false), ..Event::default() },
            Event { time: AS_OF - 39 * DAY, quantity: Some(7), ..Event::default() },
            Event { time: AS_OF - 38 * DAY, amount: Some(0.0), ..Event::default() },
            Event { time: AS_OF - 4 * DAY, paid: Some(true), ..Event::default() },
            Event { shipped: Some(AS_OF), ..at(6 * HOUR, "view", None) },
        ],
        ..Profile::default()
    };
    for (rule, member, next) in [
        (
            "sequence((paid = false) IS TRUE THEN 6.50 < quantity THEN amount = 0 WITHIN '1 week', 'previous quarter')",
            true,
            Some(60 * DAY),
        ),
        (
            "NOT (NOT ((days_since(TRUE) = count_distinct_days(paid, '1 week', '3 days', 'in Pacific/Auckland')) IS NOT TRUE))",
            true,
            Some(18 * HOUR),
        ),
        (
            "min(shipped, (paid) or (event NOT LIKE '_E' ESCAPE '|') or (paid), '3 days') IS NOT NULL",
            true,
            Some(3 * DAY - 6 * HOUR),
        ),
        (
            "(days_since((event IS NULL) AND (quantity IS NOT NULL)) > days_since((amount IS NOT NULL) AND (amount <> 0)))
             IS NOT NULL",
            false,
            None,
        ),
        ("days_since(NOT (quantity IS NOT NULL)) <= 1", true, Some(18 * HOUR + 1)),
        ("attr('crm.score') NOT BETWEEN -1 AND NULL", true, None),
        ("NOT (did(shipped IN (NULL, NULL), '1 day', '720 minutes'))", true, None),
        (
            "count_distinct_days((quantity <> NULL) or (category IN (event, category, 'tents', 'DE')), 'in UTC') = 0",
            true,
            None,
        ),
    ] {
        let answer = evaluate(&[rule], &profile);
        let members: &[u32] = if member { &[0] } else { &[] };
        assert_eq!(answer.row(0), (members, next.map(|later| AS_OF + later)), "{rule}");
    }
}

#[test]
fn reasons_show_what_was_found() {
    let reason = explain(
        &[
            "count(event = 'purchase', '60 days') >= 2\n AND NOT did(amount > 90, '30 days') AND attr('crm.country') IN ('DE', 'AT')
             AND in_segment('s1')",
            "days_since(TRUE) < 1",
        ],
        &shopper(),
    );
    assert_eq!(reason.holds, Some(true));
    let [count, not_did, country, nested] = &reason.because[..] else { panic!("{reason:#?}") };
    assert_eq!(count.condition, "count(event = 'purchase', '60 days') >= 2");
    assert_eq!((count.value.as_deref(), count.evidence.len()), (Some("3"), 3));
    assert_eq!(count.evidence[0], "2026-01-30T18:00:00Z event = purchase");
    let did = &not_did.because[0];
    assert_eq!((did.condition.as_str(), did.holds), ("did(amount > 90, '30 days')", Some(false)));
    assert_eq!(count.threshold.as_deref(), Some(">= 2"));
    assert_eq!(country.threshold.as_deref(), Some("IN ('DE', 'AT')"));
    assert_eq!((did.threshold.as_deref(), nested.because[0].threshold.as_deref()), (None, Some("< 1")));
    assert_eq!((did.value.as_deref(), did.evidence.len()), (Some("0 events"), 0));
    assert_eq!(
        (country.value.as_deref(), &country.evidence[..]),
        (Some("DE"), &["crm.country = DE".to_owned()][..])
    );
    assert_eq!((nested.condition.as_str(), nested.holds), ("in_segment('s1')", Some(true)));
    assert_eq!(nested.because[0].condition, "days_since(TRUE) < 1");
    assert_eq!(nested.because[0].value.as_deref(), Some("0.25 days"));
}

#[test]
fn reasons_of_what_is_always_null_can_be_given_twice() {
    let mut plugin = open(&["count_distinct(CASE WHEN paid THEN NULL END, quantity > 1) = 0"]);
    let batch = batch(&[shopper()], AS_OF, 7);
    let reasons = [0, 0].map(|segment| plugin.explain(&batch, segment).unwrap());
    assert_eq!((reasons[0].holds, &reasons[0]), (Some(true), &reasons[1]));
    assert_eq!(plugin.evaluate(&batch).unwrap().row(0).0, [0]);
}

#[test]
fn reasons_of_long_chains_stay_shallow() {
    fn depth(reason: &Reason) -> usize {
        1 + reason.because.iter().map(depth).max().unwrap_or(0)
    }
    let rules: Vec<String> =
        (1..300).map(|next| format!("in_segment('s{next}')")).chain(["TRUE".into()]).collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let reason = explain(&rules, &shopper());
    assert_eq!(reason.holds, Some(true));
    let text = serde_json::to_string(&reason).unwrap();
    assert_eq!(serde_json::from_str::<Reason>(&text).unwrap(), reason);
    assert!(depth(&reason) > 10);
}

#[test]
fn events_out_of_order_are_a_fault_of_the_data() {
    let mut profile = shopper();
    profile.events.reverse();
    let fault = open(&["did(TRUE)"]).evaluate(&batch(&[profile], AS_OF, 7)).unwrap_err();
    assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::Data, "event-order"));
}

#[test]
fn an_empty_batch_has_an_empty_answer() {
    assert_eq!(open(&["did(TRUE)", "TRUE"]).evaluate(&batch(&[], AS_OF, 7)).unwrap().rows(), 0);
}

/// The value and the evidence of a rule with one condition.
fn told(rule: &str, profile: &Profile) -> (String, Vec<String>) {
    let reason = explain(&[rule], profile);
    (reason.value.unwrap_or_default(), reason.evidence)
}

#[test]
fn reasons_show_what_each_function_found() {
    let mut profile = shopper();
    profile.events[2].path = Some("/1/3/".into());
    let (value, evidence) = told("rate(event = 'view', event = 'purchase', '31 days') > 0.1", &profile);
    assert_eq!(value, "0.5 (1 of 2)");
    assert_eq!(evidence[0], "2026-01-28T00:00:00Z event = view");
    assert_eq!(evidence.len(), 3);

    let rule = "sequence(event = 'purchase' THEN amount > 1 THEN event = 'purchase' WITHIN '31 days')";
    let (value, evidence) = told(rule, &profile);
    assert_eq!(value, "3 events");
    let expected = [
        "2026-01-01T00:00:00Z event = purchase",
        "2026-01-28T00:00:00Z amount = 1.5",
        "2026-01-30T18:00:00Z event = purchase",
    ];
    assert_eq!(evidence, expected);
    let none = told("sequence(event = 'view' THEN event = 'cart' WITHIN '31 days')", &profile);
    assert_eq!(none, ("not found".to_owned(), vec![]));

    let (value, evidence) = told("count_distinct_days(amount > 1, 'this month') = 2", &profile);
    assert_eq!((value.as_str(), evidence.len()), ("2", 2));
    let (value, evidence) = told("interest('IAB 1')", &profile);
    assert_eq!(
        (value.as_str(), &evidence[..]),
        ("1 event", &["2026-01-28T00:00:00Z interest_path = /1/3/".to_owned()][..])
    );
    let (value, evidence) = told("sum(amount * 2, event = 'view') = 3", &profile);
    assert_eq!((value.as_str(), evidence.len()), ("3", 1));
    let (value, evidence) = told("CASE WHEN did(event = 'cart') THEN 1 ELSE 2 END = 2", &profile);
    assert_eq!((value.as_str(), evidence.len()), ("2", 0));
}

#[test]
fn reasons_show_which_kinds_of_identifiers_there_are() {
    let mut profile = shopper();
    profile.namespaces = ["maid", "cookie", "cookie"].map(str::to_owned).to_vec();
    let all = vec!["identifiers = cookie, maid".to_owned()];
    assert_eq!(told("has_identifier('cookie')", &profile), ("true".to_owned(), all.clone()));
    assert_eq!(told("has_identifier('crm')", &profile), ("false".to_owned(), all));
    let none = ("false".to_owned(), vec!["identifiers = none".to_owned()]);
    assert_eq!(told("has_identifier('crm')", &shopper()), none);
    let reason = explain(&["has_identifier('crm') OR NOT has_identifier('email')"], &profile);
    let [crm, email] = &reason.because[..] else { panic!("{reason:#?}") };
    assert_eq!((crm.holds, email.holds), (Some(false), Some(true)));
    assert_eq!(crm.evidence, email.because[0].evidence);
}

#[test]
fn reasons_of_models_show_what_everybody_gave() {
    let rules =
        ["percentile(sum(amount, event = 'purchase')) >= 60", "count(TRUE) * 2 > total(count(TRUE)) / 2"];
    let everybody: Vec<Profile> = (0..10)
        .map(|at_most| Profile {
            events: vec![at(DAY, "purchase", Some(f64::from(at_most)))],
            ..Profile::default()
        })
        .collect();
    let mut plugin = open(&rules);
    let whole = batch(&everybody, AS_OF, 7);
    let before = plugin.evaluate(&whole).unwrap();
    assert!((0..10).all(|row| before.row(row).0.is_empty()), "nobody is a member before everybody was seen");
    let reason = plugin.explain(&whole.slice(9, 1), 0).unwrap();
    assert_eq!((reason.holds, reason.evidence[0].ends_with("not everybody was looked at yet")), (None, true));
    plugin.observe(&whole).unwrap();
    let fitted = plugin.fit().unwrap();
    let figures = &fitted.reports[0].figures;
    assert_eq!(figures[1], ("percentile(sum(amount, event = 'purchase')) 60".to_owned(), 5.0));
    assert_eq!(fitted.reports[1].figures[1], ("total(count(TRUE))".to_owned(), 10.0));
    let after = plugin.evaluate(&whole).unwrap();
    let members: Vec<usize> = (0..10).filter(|&row| after.row(row).0.contains(&0)).collect();
    assert_eq!(members, [6, 7, 8, 9]);
    let reason = plugin.explain(&whole.slice(9, 1), 0).unwrap();
    assert_eq!((reason.holds, reason.value.as_deref()), (Some(true), Some("9")));
    let said = "percentile(sum(amount, event = 'purchase')) >= 60 has a value above 5, of 10 profiles";
    assert!(reason.evidence.iter().any(|line| line == said), "{reason:#?}");
    assert!(fitted.state.len() < 400, "what is kept does not grow with the audience");
}

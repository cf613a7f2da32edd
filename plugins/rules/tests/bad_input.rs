//! What nobody should write, and what no clock should show: clear answers, in bounded time and room.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

mod support;

use arrow::{
    array::{Array, Int64Array, RecordBatch, StringArray, StructArray},
    datatypes::{Field, Schema},
};
use kindred_plugin_api::{Context, Evaluated, Problem, Segment, Segmentation};
use kindred_plugin_rules::{Config, Rules};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use support::data::{AS_OF, DAY, Event, HOUR, Profile, batch};

fn config(rule: &str) -> Config {
    Config { rule: rule.to_owned() }
}

fn open(rules: impl Iterator<Item = String>) -> kindred_plugin_api::Result<Rules> {
    let segments =
        rules.enumerate().map(|(at, rule)| Segment { name: format!("s{at}"), config: config(&rule) });
    Rules::open(segments.collect(), Context::detached("."))
}

/// On a stack as small as any that the host gives a plugin, and in a few seconds.
fn problems(rule: String) -> Vec<Problem> {
    let started = Instant::now();
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let found = thread.spawn(move || Rules::validate(&config(&rule))).unwrap().join().unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    found
}

fn evaluate(rule: &str, profile: &Profile, as_of: i64) -> Evaluated {
    let batch = batch(std::slice::from_ref(profile), as_of, 7);
    let mut plugin = open([rule.to_owned()].into_iter()).unwrap_or_else(|fault| panic!("{rule}: {fault}"));
    plugin.bind(batch.schema()).unwrap_or_else(|fault| panic!("{rule}: {fault}"));
    plugin.evaluate(&batch).unwrap()
}

fn holds(rule: &str, profile: &Profile, as_of: i64) -> bool {
    evaluate(rule, profile, as_of).row(0).0 == [0]
}

fn us(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

fn at(times: &[i64]) -> Profile {
    let event = |&time| Event { time, event: Some("view".to_owned()), ..Event::default() };
    Profile { events: times.iter().map(event).collect(), ..Profile::default() }
}

#[test]
fn a_rule_of_100_kb() {
    let of = |items: usize| format!("did(event IN ({}))", vec!["'winter-coat'"; items].join(","));
    assert_eq!(problems(of(7_000)), vec![]);
    let found = problems(of(8_000));
    assert!(found[0].message.contains("102400 are allowed"), "{found:?}");
}

#[test]
fn nesting_10_000_deep() {
    let nested = |before: &str, after: &str| format!("{}TRUE{}", before.repeat(10_000), after.repeat(10_000));
    for rule in [
        nested("(", ")"),
        nested("NOT ", ""),
        nested("CASE ", " END"),
        nested("CASE WHEN ", "").chars().take(90_000).collect(),
        nested("did(", ")"),
        nested("total(", ")"),
        nested("- ", ""),
        nested("sequence(", ""),
        "sequence(a THEN ".repeat(6_000),
        "CASE WHEN a THEN ".repeat(5_000),
    ] {
        let found = problems(rule.clone());
        let said = &found[0].message;
        assert!(said.contains("nested") || said.contains("operators"), "{}…: {said}", &rule[..30]);
    }
}

#[test]
fn numbers_that_have_no_answer_are_null() {
    let mut profile = at(&[AS_OF - DAY, AS_OF - HOUR, AS_OF]);
    profile.events[0].amount = Some(f64::NAN);
    profile.events[1].amount = Some(f64::INFINITY);
    profile.events[2].amount = Some(0.0);
    profile.events[0].quantity = Some((1 << 53) + 1);
    profile.events[1].quantity = Some(i64::MIN);
    for rule in [
        "count(amount IS NULL) = 1",
        "count(amount / amount IS NULL) = 3",
        "count(1 / amount IS NULL) = 2",
        "first(amount, TRUE) > 1e308",
        "sum(amount * 0, TRUE) = 0",
        "first(quantity, TRUE) = 9007199254740993 AND first(quantity, TRUE) > 9007199254740992",
        "first(quantity, TRUE) > 9007199254740992.0",
        "sum(quantity - 1, quantity < 0) IS NULL",
        "max(quantity * quantity, TRUE) IS NULL",
        "sum(quantity * 2, quantity > 0) = 18014398509481986",
        "count_distinct(amount * 0, TRUE) = 1",
        "rate(TRUE, event = 'never') IS NULL",
        "CASE WHEN 1 / 0 > 1 THEN TRUE ELSE FALSE END IS FALSE",
    ] {
        assert!(holds(rule, &profile, AS_OF), "{rule}");
    }
}

#[test]
fn years_1_and_9999() {
    let (first, last) = (us("0001-01-01T00:00:00Z"), us("9999-12-30T21:59:59Z"));
    let profile = at(&[first, AS_OF, last]);
    let windows = [
        "",
        ", '30 days'",
        ", '36500 days', '36499 days'",
        ", '0001-01-01', '9999-12-30'",
        ", 'this day'",
        ", 'previous week in Pacific/Kiritimati'",
        ", 'this month in America/Los_Angeles'",
        ", 'previous quarter'",
        ", 'this year in Asia/Kathmandu'",
        ", 'previous year'",
    ];
    for window in windows {
        for as_of in [first, first + 1, AS_OF, last, last + HOUR, i64::MIN / 2, i64::MAX / 2] {
            let rule = format!(
                "count(TRUE{window}) > 0 AND count_distinct_days(TRUE{window}, 'in Asia/Tokyo') > 0
                 OR sequence(TRUE THEN TRUE WITHIN '1 day'{window})"
            );
            let next = evaluate(&rule, &profile, as_of).row(0).1;
            assert!(next.is_none_or(|next| next > as_of), "{window} as of {as_of}: {next:?}");
        }
    }
    assert!(holds("count(TRUE, 'this year') = 1 AND count(TRUE) = 3", &profile, last));
    assert!(holds("count(TRUE, 'this day') = 1 AND count(TRUE, '1 second') = 1", &profile, first));
    assert!(holds(
        "count(TRUE, '0001-01-01', '0001-01-02') = 1 AND did(TRUE, 'this month')",
        &profile,
        AS_OF
    ));
}

#[test]
fn days_with_23_and_25_hours() {
    // Berlin, 2026-03-29: the day began at 23:00 and ended at 22:00.
    let (start, end) = (us("2026-03-28T23:00:00Z"), us("2026-03-29T22:00:00Z"));
    let profile = at(&[start - 1, start, start + 12 * HOUR]);
    let rule = "count(TRUE, 'this day in Europe/Berlin') = 2";
    assert_eq!(evaluate(rule, &profile, start + 20 * HOUR).row(0), (&[0][..], Some(end)));
    assert_eq!(evaluate(rule, &profile, end).row(0), (&[][..], None));
    let rule = "count(TRUE, 'previous day in Europe/Berlin') = 2";
    assert_eq!(evaluate(rule, &profile, end - 1).row(0), (&[][..], Some(end)));
    assert_eq!(evaluate(rule, &profile, end).row(0), (&[0][..], Some(us("2026-03-30T22:00:00Z"))));
    // 2026-10-25: 02:30 came twice, on one day.
    let twice = at(&[us("2026-10-25T00:30:00Z"), us("2026-10-25T01:30:00Z"), us("2026-10-25T22:59:59Z")]);
    let as_of = us("2026-10-26T12:00:00Z");
    assert!(holds("count_distinct_days(TRUE, 'in Europe/Berlin') = 1", &twice, as_of));
    assert!(holds("count(TRUE, 'previous day in Europe/Berlin') = 3", &twice, as_of));
    assert!(holds("sequence(TRUE THEN TRUE WITHIN '1 hour')", &twice, as_of));
}

#[test]
fn ten_thousand_segments_in_one_open() {
    let rule = |at: usize| match at % 5 {
        0 => format!("did(event = 'e{at}', '{} days')", at + 1),
        1 => format!("in_segment('s{}')", at - 1),
        2 => format!("count(category = 'c{at}', 'this month') > {at}"),
        3 => format!("attr('crm.age') = {at} AND NOT in_segment('vip')"),
        _ => format!("sequence(event = 'a{at}' THEN event = 'b' WITHIN '{at} hours')"),
    };
    let started = Instant::now();
    let batch = batch(&[at(&[AS_OF])], AS_OF, 7);
    let mut plugin = open((0..10_000).map(rule)).unwrap();
    let needs = plugin.plan(&batch.schema()).unwrap();
    assert!(needs.columns.len() < 10, "{needs:?}");
    plugin.bind(batch.schema()).unwrap();
    plugin.evaluate(&batch).unwrap();
    plugin.explain(&batch, 9_999).unwrap();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());

    let started = Instant::now();
    let mut chain = open((0..10_000).map(|at| format!("in_segment('s{}') OR TRUE", at + 1))).unwrap();
    let fault = chain.plan(&batch.schema()).unwrap_err();
    assert_eq!(fault.problems.len(), 1, "the last refers to nobody");
    let mut lost = open((0..10_000).map(|at| format!("in_segment('x{at}')"))).unwrap();
    assert_eq!(lost.plan(&batch.schema()).unwrap_err().problems.len(), 10_000);
    let circle = open((0..10_000).map(|at| format!("in_segment('s{}')", (at + 1) % 10_000)));
    assert!(circle.err().unwrap().message.contains("circle"));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn ten_thousand_ranks_in_one_open() {
    let rule = |at: usize| format!("percentile(count(event = 'e{}')) >= {}", at % 100, at % 97);
    let started = Instant::now();
    let batch = batch(&[at(&[AS_OF]), at(&[])], AS_OF, 7);
    let mut plugin = open((0..10_000).map(rule)).unwrap();
    plugin.bind(batch.schema()).unwrap();
    plugin.observe(&batch).unwrap();
    assert_eq!(plugin.fit().unwrap().reports.len(), 10_000);
    assert_eq!(plugin.evaluate(&batch).unwrap().row(0).0.len(), 104, "the rank of all is 0");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

/// A batch whose one event column is called `value`.
fn valued(value: Arc<dyn Array>) -> RecordBatch {
    let whole = batch(&[Profile::default()], AS_OF, 7);
    let time = Arc::new(arrow::array::TimestampMicrosecondArray::from(vec![AS_OF]).with_timezone("+00:00"));
    let fields = vec![
        Field::new("event_time", time.data_type().clone(), false),
        Field::new("value", value.data_type().clone(), true),
    ];
    let rows = StructArray::new(fields.into(), vec![time, value], None);
    let item = Arc::new(Field::new("item", rows.data_type().clone(), false));
    let list = arrow::array::ListArray::new(
        item,
        arrow::buffer::OffsetBuffer::from_lengths([1]),
        Arc::new(rows),
        None,
    );
    let as_of = whole.column_by_name("as_of").unwrap().clone();
    let fields = vec![
        Field::new("as_of", as_of.data_type().clone(), false),
        Field::new("events", list.data_type().clone(), true),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![as_of, Arc::new(list)]).unwrap()
}

#[test]
fn a_column_that_is_text_here_and_a_number_there() {
    let text = valued(Arc::new(StringArray::from(vec!["7"])));
    let number = valued(Arc::new(Int64Array::from(vec![7])));
    let planned = |rule: &str, batch: &RecordBatch| {
        let mut plugin = open([rule.to_owned()].into_iter()).unwrap();
        plugin.plan(&batch.schema()).map_err(|fault| fault.problems[0].message.clone())
    };
    assert!(planned("did(value = '7')", &text).is_ok() && planned("did(value = 7)", &number).is_ok());
    assert_eq!(planned("did(value = 7)", &text).unwrap_err(), "text cannot be compared with a number");
    assert_eq!(planned("did(value = '7')", &number).unwrap_err(), "a number cannot be compared with text");
    // Bound to one and handed the other.
    let mut plugin = open(["did(value = 7)".to_owned()].into_iter()).unwrap();
    plugin.bind(number.schema()).unwrap();
    let fault = plugin.evaluate(&text).unwrap_err();
    assert_eq!(fault.code, "schema", "{fault}");
}

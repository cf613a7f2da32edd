//! What nobody should write, and what no clock should show: clear answers, in bounded time and room.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

mod support;

use arrow::{
    array::{
        Array, ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
        TimestampMicrosecondArray,
    },
    buffer::OffsetBuffer,
    datatypes::Field,
};
use kindred_plugin_api::{Context, Evaluated, Problem, Segment, Segmentation};
use kindred_plugin_rules::{Config, Rules};
use std::{
    collections::HashSet,
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

/// A profile whose events have these columns, beside all that it has itself.
fn with_events(profile: &Profile, times: Vec<i64>, columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let count = times.len();
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times).with_timezone("+00:00"));
    let columns: Vec<(&str, ArrayRef)> = [("event_time", times)].into_iter().chain(columns).collect();
    let fields = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
    let rows =
        StructArray::new(fields.collect(), columns.into_iter().map(|(_, column)| column).collect(), None);
    let item = Arc::new(Field::new("item", rows.data_type().clone(), false));
    let list = ListArray::new(item, OffsetBuffer::from_lengths([count]), Arc::new(rows), None);
    let whole = batch(&[Profile { events: Vec::new(), ..profile.clone() }], AS_OF, 7);
    let schema = whole.schema();
    let columns = schema.fields().iter().zip(whole.columns()).map(|(field, column)| {
        let own: ArrayRef =
            if field.name() == "events" { Arc::new(list.clone()) } else { Arc::clone(column) };
        (field.name().clone(), own, true)
    });
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn texts(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<StringArray>())
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
fn a_rule_of_100_kb_is_answered() {
    let name = |at: usize| format!("product-view-{at:04}");
    let count = 5_000;
    let names: Vec<String> = (0..count).map(|at| format!("'{}'", name(at))).collect();
    let rule = format!("count(event IN ({}), '30 days') = 2", names.join(","));
    assert!((100_000..=102_400).contains(&rule.len()), "{}", rule.len());
    let started = Instant::now();
    for (names, expected) in [
        (vec![name(0), name(count - 1)], true),
        (vec![name(count / 2), name(count), name(7)], true),
        (vec![name(0), name(count)], false),
        (vec![name(1), name(2), name(3)], false),
        (vec![], false),
    ] {
        let times = vec![AS_OF - DAY; names.len()];
        let batch = with_events(&Profile::default(), times, vec![("event", texts(names.iter().cloned()))]);
        let mut plugin = open([rule.clone()].into_iter()).unwrap();
        plugin.bind(batch.schema()).unwrap();
        let answer = plugin.evaluate(&batch).unwrap();
        let inside: &[u32] = if expected { &[0] } else { &[] };
        let counted = names.iter().filter(|known| **known < name(count)).count();
        // Something changes when the events that count are 30 days old.
        let next = (counted > 0).then_some(AS_OF + 29 * DAY);
        assert_eq!(answer.row(0), (inside, next), "{names:?}");
        let reason = plugin.explain(&batch, 0).unwrap();
        assert_eq!((reason.holds, reason.value), (Some(expected), Some(counted.to_string())), "{names:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
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
    // No event has these names, nobody has an age or is a VIP; in_segment of what holds for nobody holds for nobody.
    assert_eq!(plugin.evaluate(&batch).unwrap().row(0), (&[][..], None));
    let reason = plugin.explain(&batch, 9_999).unwrap();
    assert_eq!((reason.holds, reason.value.as_deref()), (Some(false), Some("not found")));
    assert_eq!(reason.condition, rule(9_999));
    let event = texts(["e100", "e200"].map(str::to_owned).into_iter());
    let category = texts(["c", "c"].map(str::to_owned).into_iter());
    let known = Profile { age: Some(3), ..Profile::default() };
    let known =
        with_events(&known, vec![AS_OF - HOUR, AS_OF], vec![("event", event), ("category", category)]);
    plugin.bind(known.schema()).unwrap();
    let answer = plugin.evaluate(&known).unwrap();
    assert_eq!(answer.row(0), (&[3, 100, 101, 200, 201][..], Some(AS_OF - HOUR + 101 * DAY)));
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
fn valued(value: ArrayRef) -> RecordBatch {
    with_events(&Profile::default(), vec![AS_OF], vec![("value", value)])
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

/// One a second until `AS_OF`: in the first half everything is a view or put into a cart, in the second half a view or
/// bought.
#[test]
fn a_profile_with_five_million_events() {
    let count = 5_000_000_usize;
    const SECOND: i64 = 1_000_000;
    let time = |place: usize| AS_OF - (count - 1 - place) as i64 * SECOND;
    let event = |place: usize| match (place % 3, place < count / 2) {
        (0, true) => "cart",
        (0, false) => "purchase",
        _ => "view",
    };
    let quantity = |place: usize| (!place.is_multiple_of(5)).then_some((place % 11) as i64 - 3);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("event", Arc::new((0..count).map(|place| Some(event(place))).collect::<StringArray>())),
        ("quantity", Arc::new((0..count).map(quantity).collect::<Int64Array>())),
    ];
    let batch = with_events(&Profile::default(), (0..count).map(time).collect(), columns);
    // Looked at one by one.
    let carts = (0..count).filter(|place| event(*place) == "cart").count();
    let sum: i64 = (0..count).filter_map(quantity).sum();
    let days: HashSet<i64> = (0..count).map(|place| time(place).div_euclid(DAY)).collect();
    let bought: Vec<usize> = (0..count).filter(|place| event(*place) == "purchase").collect();
    let valued = |place: &&usize| quantity(**place).is_some();
    let (first, last) = (bought.iter().find(valued).unwrap(), bought.iter().rev().find(valued).unwrap());
    let last_cart = (0..count).rev().find(|place| event(*place) == "cart").unwrap();
    let apart = bought[0] - last_cart;
    let rules = [
        (format!("count(TRUE) = {count}"), true),
        (format!("count(event = 'cart') = {carts}"), true),
        (format!("count(TRUE, '1 hour') = {}", count.min(3_600)), true),
        (format!("sum(quantity, TRUE) = {sum}"), true),
        (format!("count_distinct_days(TRUE) = {}", days.len()), true),
        ("count_distinct(quantity, TRUE) = 11".to_owned(), true),
        (format!("first(quantity, event = 'purchase') = {}", quantity(*first).unwrap()), true),
        (format!("last(quantity, event = 'purchase') = {}", quantity(*last).unwrap()), true),
        ("min(quantity, TRUE) = -3 AND max(quantity, TRUE) = 7".to_owned(), true),
        (format!("sequence(event = 'cart' THEN event = 'purchase' WITHIN '{apart} seconds')"), true),
        (format!("sequence(event = 'cart' THEN event = 'purchase' WITHIN '{} seconds')", apart - 1), false),
        ("sequence(event = 'purchase' THEN event = 'cart' WITHIN '1000 days')".to_owned(), false),
        ("sequence(event = 'cart' THEN event = 'view' THEN event = 'cart' THEN event = 'purchase' WITHIN '10 seconds')".to_owned(), true),
    ];
    let started = Instant::now();
    let mut plugin = open(rules.iter().map(|(rule, _)| rule.clone())).unwrap();
    plugin.bind(batch.schema()).unwrap();
    let answer = plugin.evaluate(&batch).unwrap();
    let members: Vec<u32> =
        (0_u32..).zip(&rules).filter(|(_, (_, holds))| *holds).map(|(at, _)| at).collect();
    // The event that is an hour old has left already; the next leaves a second later.
    assert_eq!(answer.row(0), (&members[..], Some(AS_OF + SECOND)));
    let reason = plugin.explain(&batch, 1).unwrap();
    assert_eq!((reason.holds, reason.value, reason.evidence.len()), (Some(true), Some(carts.to_string()), 5));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

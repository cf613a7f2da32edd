//! Events in blocks against a plain list: whatever the pages, the steps, the merges of profiles and of segments, what is
//! asked of a store that was just opened is what the list says, in its order.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray, StructArray,
        TimestampMicrosecondArray,
    },
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType, UInt32Type},
    ipc::reader::FileReader,
};
use kindred_core::{
    Error,
    store::{PAGE, Store, columns::ColumnType, segment::Segment, span::Span},
};
use proptest::prelude::*;
use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

/// Time, then what it holds, in the order of the columns' names.
type Row = (i64, Option<i32>, Option<i64>, Option<String>, Option<bool>, Option<i64>);
/// Profile and row.
type Event = (u32, Row);

const COLUMNS: [(&str, ColumnType); 5] = [
    ("amount", ColumnType::Decimal),
    ("count", ColumnType::Integer),
    ("event", ColumnType::Text),
    ("flag", ColumnType::Boolean),
    ("seen", ColumnType::Time),
];
const PAGES: u32 = 4;

/// First, last and some other profiles of a page.
fn profile() -> impl Strategy<Value = u32> {
    let within = prop::sample::select(vec![0, 1, 2, 700, PAGE - 2, PAGE - 1]);
    (0..PAGES, within).prop_map(|(page, within)| page * PAGE + within)
}

fn integer() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![
        0,
        1,
        200,
        -1,
        -128,
        255,
        256,
        -129,
        40_000,
        70_000,
        -70_000,
        1 << 33,
        i64::MIN,
    ])
}

fn event() -> impl Strategy<Value = Event> {
    let text = prop::option::of((0..400_u32).prop_map(|n| format!("event {n}")));
    let row = (
        0..40_i64,
        prop::option::of(-3..3_i32),
        prop::option::of(integer()),
        text,
        any::<Option<bool>>(),
        prop::option::of(0..3_i64),
    );
    (profile(), row)
}

/// Enough events of one profile that a block ends behind its page.
fn many(profile: u32, step: usize) -> Vec<Event> {
    let row = |at: i64| (at % 50, None, Some(at % 300), Some(format!("event {}", at % 3)), None, None);
    (0..17_000).map(|at| (profile, row(at + step as i64))).collect()
}

fn put(store: &mut Store, step: &[Event], expired_us: i64) {
    let column = |name: &str| -> ArrayRef {
        let rows = step.iter().map(|(_, row)| row);
        match name {
            "amount" => Arc::new(Float64Array::from_iter(rows.map(|row| row.1.map(f64::from)))),
            "count" => Arc::new(Int64Array::from_iter(rows.map(|row| row.2))),
            "event" => Arc::new(StringArray::from_iter(rows.map(|row| row.3.as_deref()))),
            "flag" => Arc::new(BooleanArray::from_iter(rows.map(|row| row.4))),
            "seen" => {
                Arc::new(TimestampMicrosecondArray::from_iter(rows.map(|row| row.5)).with_timezone("+00:00"))
            }
            _ => Arc::new(
                TimestampMicrosecondArray::from_iter_values(rows.map(|row| row.0)).with_timezone("+00:00"),
            ),
        }
    };
    let mut columns = BTreeMap::from([("event_time".to_owned(), column("event_time"))]);
    for (name, kind) in COLUMNS {
        store.columns.declare(name, kind, "a test").unwrap();
        let values = column(name);
        // A column that a step does not bring is not in its segment.
        if values.null_count() < values.len() {
            columns.insert(name.to_owned(), store.columns.store(name, &values).unwrap());
        }
    }
    let profiles: Vec<u32> = step.iter().map(|event| event.0).collect();
    let segment = Segment::from_rows(&profiles, columns, &store.columns).unwrap();
    let mut change = store.tables.change();
    let staged = store.stage(&mut change, Some(segment), &Span::after(expired_us)).unwrap();
    store.commit(change, staged).unwrap();
}

/// Makes all numbers known, and of linked ones one profile.
fn identify(store: &mut Store, links: &[(u32, u32)]) {
    let Store { identity, profiles, tables, .. } = store;
    for number in 0..PAGES * PAGE {
        identity.resolve(tables, profiles, &[("n", &number.to_string())]).unwrap();
    }
    for (a, b) in links {
        identity.resolve(tables, profiles, &[("n", &a.to_string()), ("n", &b.to_string())]).unwrap();
    }
    let change = store.tables.change();
    store.commit(change, Vec::new()).unwrap();
}

fn rows(events: &StructArray) -> Vec<Row> {
    let valid = |name: &str, row: usize| events.column_by_name(name).unwrap().is_valid(row);
    let time = |name: &str| events.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>();
    let amounts = events.column_by_name("amount").unwrap().as_primitive::<Float64Type>();
    let counts = events.column_by_name("count").unwrap().as_primitive::<Int64Type>();
    let texts = cast(events.column_by_name("event").unwrap(), &DataType::Utf8).unwrap();
    let flags = events.column_by_name("flag").unwrap().as_boolean();
    let row = |at: usize| {
        (
            time("event_time").value(at),
            valid("amount", at).then(|| amounts.value(at) as i32),
            valid("count", at).then(|| counts.value(at)),
            texts.is_valid(at).then(|| texts.as_string::<i32>().value(at).to_owned()),
            valid("flag", at).then(|| flags.value(at)),
            valid("seen", at).then(|| time("seen").value(at)),
        )
    };
    (0..events.len()).map(row).collect()
}

type Answer = Vec<(Vec<Row>, Option<i64>)>;

fn ask(store: &mut Store, profiles: &[u32], span: &Span) -> Result<Answer, Error> {
    let names = ["event_time"].into_iter().chain(COLUMNS.map(|(name, _)| name));
    let fields = names.map(|name| store.columns.field(name).unwrap()).collect();
    let found = store.events.gather(profiles, &store.identity, &fields, span, &store.columns)?;
    let list = |at: usize| rows(found.events.value(at).as_struct());
    Ok((0..profiles.len()).map(|at| (list(at), found.next_us[at])).collect())
}

/// The events of each profile that there is.
fn by_profile(store: &Store, events: &[Event]) -> BTreeMap<u32, Vec<Row>> {
    let mut found: BTreeMap<u32, Vec<Row>> = BTreeMap::new();
    for (number, row) in events {
        found.entry(store.identity.canonical(*number)).or_default().push(row.clone());
    }
    found.values_mut().for_each(|rows| rows.sort());
    found
}

fn expected(events: &BTreeMap<u32, Vec<Row>>, profiles: &[u32], span: &Span) -> Answer {
    let of = |profile: &u32| {
        let own = events.get(profile).map_or(&[][..], Vec::as_slice);
        let inside = own.iter().filter(|row| row.0 > span.all.after_us && row.0 <= span.until_us);
        (inside.cloned().collect(), own.iter().map(|row| row.0).find(|time| *time > span.until_us))
    };
    profiles.iter().map(of).collect()
}

/// Which answers differ; the lists are too long to be shown.
fn differing(profiles: &[u32], found: &Answer, expected: &Answer) -> Vec<(u32, usize, usize)> {
    let pairs = profiles.iter().zip(found.iter().zip(expected)).filter(|(_, (a, b))| a != b);
    pairs.map(|(profile, (a, b))| (*profile, a.0.len(), b.0.len())).collect()
}

fn all() -> Span {
    Span::after(i64::MIN)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_is_asked_is_what_a_list_says(
        steps in prop::collection::vec(prop::collection::vec(event(), 1..60), 1..7),
        large in prop::collection::vec((any::<prop::sample::Index>(), profile()), 0..4),
        links in prop::collection::vec((profile(), profile()), 0..4),
        asked in prop::collection::vec((prop::collection::btree_set(profile(), 0..20), -2..45_i64, 0..50_i64), 4),
        expired in -1..8_i64,
        compact in any::<bool>(),
        room in prop::sample::select(vec![0_u64, 20_000, 1 << 30]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        identify(&mut store, &links);
        let mut steps = steps;
        for (number, (at, profile)) in large.iter().enumerate() {
            let step = at.index(steps.len());
            steps[step].extend(many(*profile, number));
        }
        for step in &steps {
            put(&mut store, step, expired);
        }
        if compact {
            store.compact(&Span::after(expired)).unwrap();
        }
        let events = by_profile(&store, &steps.concat());
        // First as it stands after the steps, then as it is found again.
        for reopened in [false, true] {
            if reopened {
                drop(store);
                store = Store::open(dir.path()).unwrap();
            }
            store.events.set_room(room);
            for (profiles, after_us, width) in &asked {
                store.events.let_go();
                prop_assert!(store.events.held() <= room);
                let profiles: Vec<u32> =
                    profiles.iter().copied().filter(|p| store.identity.canonical(*p) == *p).collect();
                // What is expired may be there or not.
                let after_us = (*after_us).max(expired);
                let span = Span::between(after_us, after_us + width);
                let (found, expected) =
                    (ask(&mut store, &profiles, &span).unwrap(), expected(&events, &profiles, &span));
                prop_assert_eq!(found.len(), profiles.len());
                prop_assert_eq!(differing(&profiles, &found, &expected), []);
            }
        }
    }
}

#[test]
fn what_was_read_long_ago_goes_first() {
    let (dir, file, events) = one_segment();
    let mut store = Store::open(dir.path()).unwrap();
    let (profiles, events) = (asked(), by_profile(&store, &events));
    ask(&mut store, &profiles, &all()).unwrap();
    let all_blocks = store.events.held();
    store.events.set_room(all_blocks - 1);
    // All were used; the first one is only passed by once.
    store.events.let_go();
    assert!(store.events.held() < all_blocks && store.events.held() > 0);
    ask(&mut store, &profiles, &all()).unwrap();
    assert_eq!(store.events.held(), all_blocks);
    // Whoever has room for all keeps all, damage or not.
    store.events.set_room(all_blocks);
    store.events.let_go();
    fs::write(&file, []).unwrap();
    assert!(ask(&mut store, &profiles, &all()).unwrap() == expected(&events, &profiles, &all()));
    store.events.set_room(0);
    store.events.let_go();
    assert!(matches!(ask(&mut store, &profiles, &all()), Err(Error::Damaged { .. })));
}

/// A store of one segment with a block a page.
fn one_segment() -> (tempfile::TempDir, PathBuf, Vec<Event>) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let events: Vec<Event> = (0..PAGES).flat_map(|page| many(page * PAGE + page, page as usize)).collect();
    put(&mut store, &events, i64::MIN);
    let file = fs::read_dir(dir.path().join("files")).unwrap().next().unwrap().unwrap().path();
    (dir, file, events)
}

/// One profile of each page.
fn asked() -> Vec<u32> {
    (0..PAGES).map(|page| page * PAGE + page).collect()
}

#[test]
fn a_page_is_read_without_the_others() {
    let (dir, file, events) = one_segment();
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() * 7 / 8;
    bytes[last] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let (sound, damaged) = (&asked()[..3], &asked()[3..]);
    let events = by_profile(&store, &events);
    assert!(ask(&mut store, sound, &all()).unwrap() == expected(&events, sound, &all()));
    for _ in 0..2 {
        let error = ask(&mut store, damaged, &all()).unwrap_err();
        assert!(matches!(&error, Error::Damaged { path, .. } if *path == file), "{error}");
    }
    assert!(ask(&mut store, sound, &all()).unwrap() == expected(&events, sound, &all()));
}

#[test]
fn other_tools_read_the_file() {
    let (dir, file, mut events) = one_segment();
    let store = Store::open(dir.path()).unwrap();
    let mut found: Vec<Event> = Vec::new();
    let mut batches = 0;
    for batch in FileReader::try_new(fs::File::open(file).unwrap(), None).unwrap() {
        let batch = batch.unwrap();
        batches += 1;
        let profiles = batch.column_by_name("profile").unwrap().as_primitive::<UInt32Type>();
        let lists = batch.column_by_name("events").unwrap().as_list::<i32>();
        for (at, profile) in profiles.values().iter().enumerate() {
            let own = lists.value(at);
            let own = own.as_struct();
            let times = own.column_by_name("event_time").unwrap();
            let times = times.as_primitive::<TimestampMicrosecondType>();
            let counts = cast(own.column_by_name("count").unwrap(), &DataType::Int64).unwrap();
            let codes = cast(own.column_by_name("event").unwrap(), &DataType::UInt32).unwrap();
            for row in 0..own.len() {
                let code = codes.as_primitive::<UInt32Type>().value(row);
                let text = store.columns.text("event", code).map(str::to_owned);
                let count = counts.as_primitive::<Int64Type>().value(row);
                found.push((*profile, (times.value(row), None, Some(count), text, None, None)));
            }
        }
    }
    events.sort();
    assert_eq!(batches, PAGES);
    assert!(found == events, "{} events of {}", found.len(), events.len());
}

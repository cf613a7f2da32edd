//! The store against plain maps: what goes in comes out, in profile and time order, however it was batched, merged or
//! reopened; and what is wrong with a folder is said clearly.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Float64Type, TimestampMicrosecondType},
};
use kindred_core::{
    Error,
    store::{Store, columns::ColumnType, segment::Segment, span::Span},
};
use proptest::prelude::*;
use std::{collections::BTreeMap, fs, sync::Arc};

/// One event: profile, time, name, amount.
type Event = (u32, i64, u8, Option<i32>);

fn events() -> impl Strategy<Value = Vec<Vec<Event>>> {
    let event = (0_u32..12, 0_i64..500, 0_u8..4, proptest::option::of(-50..50_i32));
    proptest::collection::vec(proptest::collection::vec(event, 1..20), 1..24)
}

fn name(code: u8) -> &'static str {
    ["view", "cart", "buy", "leave"][code as usize]
}

fn put(store: &mut Store, step: &[Event]) {
    let times = TimestampMicrosecondArray::from_iter_values(step.iter().map(|e| e.1)).with_timezone("+00:00");
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(step.iter().map(|e| name(e.2))));
    let amounts: ArrayRef = Arc::new(Float64Array::from_iter(step.iter().map(|e| e.3.map(f64::from))));
    store.columns.declare("amount", ColumnType::Decimal, "a test").unwrap();
    let columns = BTreeMap::from([
        ("event_time".to_owned(), Arc::new(times) as ArrayRef),
        ("event".to_owned(), store.columns.store("event", &names).unwrap()),
        ("amount".to_owned(), store.columns.store("amount", &amounts).unwrap()),
    ]);
    let profiles: Vec<u32> = step.iter().map(|e| e.0).collect();
    let segment = Segment::from_rows(&profiles, columns, &store.columns).unwrap();
    let mut change = store.tables.change();
    let staged = store.stage(&mut change, Some(segment), &Span::after(i64::MIN)).unwrap();
    store.commit(change, staged).unwrap();
}

/// All events just as they come out.
fn in_order(store: &mut Store) -> Vec<(i64, String, Option<i64>)> {
    let profiles: Vec<u32> = (0..12).collect();
    let fields =
        ["event_time", "event", "amount"].map(|n| store.columns.field(n).unwrap()).into_iter().collect();
    let span = Span::after(i64::MIN);
    let found = store.events.gather(&profiles, &store.identity, &fields, &span, &store.columns).unwrap();
    let events = found.events.values().as_struct().clone();
    let names = arrow::compute::cast(events.column(1), &DataType::Utf8).unwrap();
    let times = events.column(0).as_primitive::<TimestampMicrosecondType>();
    let amounts = events.column(2).as_primitive::<Float64Type>();
    let row = |i| {
        let amount = amounts.is_valid(i).then(|| amounts.value(i) as i64);
        (times.value(i), names.as_string::<i32>().value(i).to_owned(), amount)
    };
    (0..events.len()).map(row).collect()
}

/// What the store answers for all profiles, as plain rows, sorted within equal times.
fn read(store: &mut Store, span: &Span) -> Vec<Vec<Event>> {
    let profiles: Vec<u32> = (0..12).collect();
    let fields = ["event_time", "event", "amount"].map(|n| store.columns.field(n).unwrap());
    let fields = fields.into_iter().collect();
    let gathered = store.events.gather(&profiles, &store.identity, &fields, span, &store.columns).unwrap();
    let mut answer = Vec::new();
    for profile in 0..12_usize {
        let list = gathered.events.value(profile);
        let list = list.as_struct();
        let times = list.column(0).as_primitive::<TimestampMicrosecondType>();
        let names = arrow::compute::cast(list.column(1), &DataType::Utf8).unwrap();
        let amounts = list.column(2).as_primitive::<Float64Type>();
        assert!(times.values().windows(2).all(|w| w[0] <= w[1]), "ascending by time");
        let code = |n: &str| (0..4).find(|c| name(*c) == n).unwrap();
        let mut rows: Vec<Event> = (0..list.len())
            .map(|i| {
                let amount = amounts.is_valid(i).then(|| amounts.value(i) as i32);
                (profile as u32, times.value(i), code(names.as_string::<i32>().value(i)), amount)
            })
            .collect();
        rows.sort();
        answer.push(rows);
    }
    answer
}

fn expected(steps: &[Vec<Event>], span: &Span) -> Vec<Vec<Event>> {
    let mut answer = vec![Vec::new(); 12];
    for event in steps.iter().flatten() {
        if event.1 > span.all.after_us && event.1 <= span.until_us {
            answer[event.0 as usize].push(*event);
        }
    }
    answer.iter_mut().for_each(|rows: &mut Vec<Event>| rows.sort());
    answer
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn events_come_out_as_they_went_in(steps in events(), after in -10_i64..300, width in 0_i64..400) {
        let dir = tempfile::tempdir().unwrap();
        let span = Span::between(after, after + width);
        {
            let mut store = Store::open(dir.path()).unwrap();
            for step in &steps {
                put(&mut store, step);
            }
            prop_assert_eq!(read(&mut store, &span), expected(&steps, &span));
        }
        let mut store = Store::open(dir.path()).unwrap();
        prop_assert_eq!(read(&mut store, &span), expected(&steps, &span));
        prop_assert_eq!(store.events.rows(), steps.iter().map(Vec::len).sum::<usize>());
        let files = fs::read_dir(dir.path().join("files")).unwrap().count();
        prop_assert!(files <= 12, "small segments are merged: {} files", files);
    }

    /// Events of one profile and one moment come out in one order, whatever order and steps they came in.
    #[test]
    fn arrival_plays_no_part(
        events in proptest::collection::vec((0_u32..3, 0_i64..4, 0_u8..4, proptest::option::of(0_i32..3)), 1..40),
        cuts in proptest::collection::vec(1_usize..9, 1..12),
        seed in any::<u64>(),
    ) {
        let mut orders: Vec<Vec<(i64, String, Option<i64>)>> = Vec::new();
        for round in 0..2_u64 {
            let mut shuffled = events.clone();
            if round == 1 {
                shuffled.sort_by_key(|e| xxhash_rust::xxh3::xxh3_64_with_seed(format!("{e:?}").as_bytes(), seed));
            }
            let dir = tempfile::tempdir().unwrap();
            let mut store = Store::open(dir.path()).unwrap();
            let mut rest = &shuffled[..];
            for cut in cuts.iter().cycle() {
                let (step, more) = rest.split_at((*cut).min(rest.len()));
                put(&mut store, step);
                rest = more;
                if rest.is_empty() { break; }
            }
            orders.push(in_order(&mut store));
        }
        prop_assert_eq!(&orders[0], &orders[1]);
    }

    /// Identifiers that are linked, in any order, end in one profile; the others do not.
    #[test]
    fn identity_is_the_closure_of_links(links in proptest::collection::vec((0_u8..14, 0_u8..14), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let mut group: Vec<u8> = (0..14).collect();
        for (a, b) in &links {
            let (x, y) = (a.to_string(), b.to_string());
            let pairs = [("cookie", x.as_str()), ("cookie", y.as_str())];
            let Store { identity, profiles, tables, .. } = &mut store;
            identity.resolve(tables, profiles, &pairs).unwrap();
            let (from, into) = (group[*a as usize], group[*b as usize]);
            group.iter_mut().filter(|g| **g == from).for_each(|g| *g = into);
        }
        let change = store.tables.change();
        store.commit(change, Vec::new()).unwrap();
        drop(store);
        let mut store = Store::open(dir.path()).unwrap();
        let mentioned: std::collections::BTreeSet<u8> = links.iter().flat_map(|(a, b)| [*a, *b]).collect();
        let mut profile = BTreeMap::new();
        for id in &mentioned {
            let found = store.identity.find(&store.tables, "cookie", &id.to_string()).unwrap().unwrap();
            let known = profile.entry(group[*id as usize]).or_insert(found);
            prop_assert_eq!(*known, found, "linked identifiers share a profile");
            let record = store.profiles.get(&store.tables, found).unwrap();
            prop_assert!(record.identifiers.contains(&("cookie".to_owned(), id.to_string())));
        }
        let distinct: std::collections::BTreeSet<u32> = profile.values().copied().collect();
        prop_assert_eq!(distinct.len(), profile.len(), "unlinked identifiers do not");
        prop_assert_eq!(store.identity.len(), profile.len());
    }
}

#[test]
fn a_second_process_is_told_who_holds_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let _held = Store::open(dir.path()).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::Held { .. }));
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
}

#[test]
fn another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    for other in [1, 8] {
        fs::write(dir.path().join("FORMAT"), format!("kindred-store {other}\n")).unwrap();
        let error = Store::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("has format {other}, this version reads format 7")), "{error}");
    }
}

#[test]
fn a_folder_of_something_else_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    let error = Store::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("is not a store"), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join("thesis.txt")).unwrap(), "years of work");
}

#[test]
fn every_flipped_bit_of_a_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    put(&mut store, &[(1, 5, 0, None), (2, 6, 1, Some(3))]);
    drop(store);
    let file = fs::read_dir(dir.path().join("files")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&file).unwrap();
    // At the latest when everything is read; what opening reads it proves.
    let all = || -> Result<(), Error> {
        let store = Store::open(dir.path())?;
        let fields = ["event_time", "event", "amount"].map(|n| store.columns.field(n).unwrap());
        let fields = fields.into_iter().collect();
        let span = Span::after(i64::MIN);
        store.events.gather(&[1, 2], &store.identity, &fields, &span, &store.columns).map(|_| ())
    };
    all().unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 80 + 1) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&file, &bytes).unwrap();
        assert!(matches!(all(), Err(Error::Damaged { path, .. }) if path == file), "byte {at}");
    }
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(Error::Damaged { .. })), "cut in half");
    fs::remove_file(&file).unwrap();
    let error = Store::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains(&file.file_name().unwrap().to_string_lossy().into_owned()), "{error}");
}

#[test]
fn files_that_no_commit_names_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let left = dir.path().join("files").join("00000000000000ff.events");
    fs::write(&left, "half a step").unwrap();
    drop(Store::open(dir.path()).unwrap());
    assert!(!left.exists());
}

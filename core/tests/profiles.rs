//! Attributes and consent by column are what the records say, whatever was edited, committed, written to the file of
//! profiles and read again; and a store that was closed opens with all of it and with nothing to read first.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use arrow::{
    array::AsArray,
    compute::cast,
    datatypes::{DataType, TimestampMicrosecondType},
};
use kindred_core::{
    Error,
    consent::Reach,
    profile::Value,
    store::{Store, columns::ColumnType, span::Span},
};
use proptest::prelude::*;
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// So many that they are read from the file, where there is one.
const PROFILES: u32 = 150;
const KINDS: [(&str, ColumnType); 5] = [
    ("crm.text", ColumnType::Text),
    ("crm.integer", ColumnType::Integer),
    ("crm.decimal", ColumnType::Decimal),
    ("crm.boolean", ColumnType::Boolean),
    ("crm.time", ColumnType::Time),
];

const VERSIONS: [&str; 2] = ["tcf2", "none"];

/// What each profile said of consent, in any order.
type Words = BTreeMap<u32, Vec<(Reach, i64, &'static str)>>;

/// What happens to a store.
#[derive(Clone, Debug)]
enum Act {
    /// A profile's attribute; the kind is that of its name.
    Set(u32, usize, i64),
    /// How far it reaches, when it was given, and of which version it is.
    Consent(u32, usize, i64, usize),
    Vouch(u32),
    Merge(u32, u32),
    /// New profiles come.
    More(u32),
    /// Everybody's columns are asked for.
    Look,
    Commit,
    Compact,
    /// Somebody asks since when attributes are so.
    Time,
    /// Dropped, or closed, and opened again.
    Open(bool),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let profile = 0..PROFILES;
    let act = prop_oneof![
        12 => (profile.clone(), 0..KINDS.len(), -4_i64..300).prop_map(|(p, kind, value)| Act::Set(p, kind, value)),
        12 => (profile.clone(), 0_usize..4, 0..9_i64, 0_usize..2).prop_map(|(p, reach, at, version)| Act::Consent(p % 9, reach, at, version)),
        2 => profile.clone().prop_map(Act::Vouch),
        1 => (profile.clone(), profile).prop_map(|(a, b)| Act::Merge(a, b)),
        1 => (1_u32..40).prop_map(Act::More),
        3 => Just(Act::Look),
        4 => Just(Act::Commit),
        2 => Just(Act::Compact),
        1 => Just(Act::Time),
        3 => any::<bool>().prop_map(Act::Open),
    ];
    proptest::collection::vec(act, 1..80)
}

fn value(kind: usize, value: i64) -> Value {
    match KINDS[kind].1 {
        ColumnType::Text => Value::Text(format!("text {value}")),
        ColumnType::Integer => Value::Integer(value * 1_000),
        ColumnType::Decimal => Value::Decimal(value as f64 / 8.0),
        ColumnType::Boolean => Value::Boolean(value % 2 == 0),
        ColumnType::Time => Value::Time(value),
    }
}

fn more(store: &mut Store, profiles: u32) {
    for _ in 0..profiles {
        let id = store.identity.next().to_string();
        let Store { identity, profiles, tables, .. } = store;
        identity.resolve(tables, profiles, &[("cookie", &id)]).unwrap();
    }
}

fn open(dir: &Path) -> Store {
    let mut store = Store::open(dir).unwrap();
    KINDS.iter().for_each(|(name, kind)| store.profiles.declare((*name).to_owned(), *kind));
    store
}

fn commit(store: &mut Store) {
    let change = store.tables.change();
    store.commit(change, Vec::new()).unwrap();
}

/// Of each profile the last word counts, of two at one time the one that reaches less.
fn last_words(store: &Store, words: &Words) -> Result<(), TestCaseError> {
    for profile in 0..store.identity.next() {
        let said = words.get(&profile).into_iter().flatten();
        let last = said.max_by_key(|(reach, since, _)| (*since, Reverse(*reach)));
        let found = store.profiles.get(&store.tables, profile).unwrap().consent;
        prop_assert_eq!(
            found.as_ref().map(|found| (found.reach, found.since_us)),
            last.map(|(reach, since, _)| (*reach, *since)),
            "profile {}",
            profile
        );
        if let Some(found) = found {
            let word = (found.reach, found.since_us, found.version.as_str());
            prop_assert!(words[&profile].contains(&word), "nobody said {:?} of {}", word, profile);
        }
    }
    Ok(())
}

/// Reach and every attribute of all profiles, by column and from the records; text and numbers as text.
fn compare(store: &mut Store) -> Result<(), TestCaseError> {
    let all: Vec<u32> = (0..store.identity.next()).collect();
    store.profiles.prepare(&store.tables, &all).unwrap();
    let records: Vec<_> = all.iter().map(|p| store.profiles.get(&store.tables, *p).unwrap()).collect();
    for (profile, record) in all.iter().zip(&records) {
        prop_assert_eq!(store.profiles.reach(*profile), record.reach(), "profile {}", profile);
    }
    for (name, kind) in KINDS {
        let column = store.profiles.column(name, &all).unwrap();
        let whole = if kind == ColumnType::Time { cast(&column, &DataType::Int64).unwrap() } else { column };
        let texts = cast(&whole, &DataType::Utf8).unwrap();
        let found: Vec<Option<&str>> = texts.as_string::<i32>().iter().collect();
        for (profile, record) in all.iter().zip(&records) {
            // Of another type than the column is, it counts as none.
            let fits = record.attributes.get(name).filter(|attribute| attribute.value.kind() == kind);
            let expected = fits.map(|attribute| match &attribute.value {
                Value::Text(text) => text.clone(),
                Value::Integer(value) | Value::Time(value) => value.to_string(),
                Value::Decimal(value) => format!("{value:?}"),
                Value::Boolean(value) => value.to_string(),
            });
            prop_assert_eq!(found[*profile as usize], expected.as_deref(), "{} of {}", name, profile);
        }
    }
    Ok(())
}

/// Since when each attribute is so, by column and from the records; nobody need have asked for that before.
fn compare_times(store: &mut Store) -> Result<(), TestCaseError> {
    let all: Vec<u32> = (0..store.identity.next()).collect();
    store.profiles.time(["crm".to_owned()].iter());
    store.profiles.prepare(&store.tables, &all).unwrap();
    for (name, _) in KINDS {
        let since = store.profiles.since(name, &all).unwrap();
        let since: Vec<Option<i64>> = since.as_primitive::<TimestampMicrosecondType>().iter().collect();
        for profile in &all {
            let record = store.profiles.get(&store.tables, *profile).unwrap();
            let expected = record.attributes.get(name).map(|attribute| attribute.since_us);
            prop_assert_eq!(since[*profile as usize], expected, "{} of {}", name, profile);
        }
    }
    compare(store)
}

fn do_it(store: &mut Store, words: &mut Words, act: &Act, at: i64) {
    let Store { identity, profiles, tables, .. } = store;
    match act {
        Act::Set(profile, kind, number) => {
            profiles.edit(tables, *profile).unwrap().set(KINDS[*kind].0, value(*kind, *number), at);
        }
        Act::Consent(profile, reach, since, version) => {
            let word = (Reach::ALL[*reach], *since, VERSIONS[*version]);
            let before = profiles.get(tables, *profile).unwrap().consent.map(|consent| consent.reach);
            let changed = profiles.consent_given(tables, *profile, word).unwrap();
            let after = profiles.get(tables, *profile).unwrap().consent.map(|consent| consent.reach);
            assert_eq!(changed, before != after);
            words.entry(*profile).or_default().push(word);
        }
        Act::Vouch(profile) => {
            let known = profiles.get(tables, *profile).unwrap().vouched;
            assert_eq!(profiles.vouch(tables, *profile).unwrap(), !known, "vouched for {profile}");
        }
        Act::Merge(one, other) => {
            let (one, other) = (one.to_string(), other.to_string());
            let both = [("cookie", one.as_str()), ("cookie", other.as_str())];
            let resolved = identity.resolve(tables, profiles, &both).unwrap();
            for merged in resolved.merged {
                let said = words.remove(&merged).unwrap_or_default();
                words.entry(resolved.profile).or_default().extend(said);
            }
        }
        Act::More(new) => more(store, *new),
        Act::Commit => commit(store),
        Act::Compact => {
            commit(store);
            store.compact(&Span::after(i64::MIN)).unwrap();
        }
        Act::Look | Act::Time | Act::Open(_) => {}
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("files")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|kind| kind == "profiles")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn columns_are_what_the_records_say(acts in acts()) {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut store = open(dir.path());
        more(&mut store, PROFILES);
        commit(&mut store);
        store.compact(&Span::after(i64::MIN)).unwrap();
        prop_assert_eq!(files(dir.path()).len(), 1);
        let mut words = Words::new();
        for (at, act) in acts.iter().enumerate() {
            match act {
                Act::Open(closed) => {
                    commit(&mut store);
                    if *closed { store.close().unwrap() } else { drop(store) }
                    store = open(dir.path());
                }
                Act::Look => compare(&mut store)?,
                Act::Time => compare_times(&mut store)?,
                act => do_it(&mut store, &mut words, act, at as i64),
            }
        }
        compare(&mut store)?;
        compare_times(&mut store)?;
        last_words(&store, &words)?;
        prop_assert_eq!(files(dir.path()).len(), 1, "an older file goes when a new one is there");
    }
}

/// An attribute whose type another source changes, and changes back, is what the records say.
#[test]
fn a_type_that_changes_is_not_taken_from_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    more(&mut store, PROFILES);
    let set = |store: &mut Store, value: Value, at| {
        store.profiles.edit(&store.tables, 3).unwrap().set("crm.integer", value, at);
        commit(store);
    };
    set(&mut store, Value::Integer(5), 1);
    store.compact(&Span::after(i64::MIN)).unwrap();
    drop(store);
    let mut store = Store::open(dir.path()).unwrap();
    store.profiles.declare("crm.integer".into(), ColumnType::Text);
    set(&mut store, Value::Text("five".into()), 2);
    drop(store);
    let mut store = open(dir.path());
    compare(&mut store).unwrap();
    set(&mut store, Value::Integer(7), 3);
    drop(store);
    compare(&mut open(dir.path())).unwrap();
}

#[test]
fn every_flipped_bit_of_the_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    more(&mut store, PROFILES);
    for profile in 0..PROFILES {
        for (kind, (name, _)) in KINDS.iter().enumerate() {
            store.profiles.edit(&store.tables, profile).unwrap().set(name, value(kind, profile.into()), 1);
        }
    }
    commit(&mut store);
    store.compact(&Span::after(i64::MIN)).unwrap();
    store.close().unwrap();
    let file = files(dir.path()).pop().unwrap();
    let whole = fs::read(&file).unwrap();
    let all = || -> Result<(), Error> {
        let mut store = Store::look(dir.path())?;
        let all: Vec<u32> = (0..PROFILES).collect();
        store.profiles.prepare(&store.tables, &all)?;
        KINDS.iter().try_for_each(|(name, _)| store.profiles.column(name, &all).map(|_| ()))
    };
    all().unwrap();
    let mut found = 0;
    for at in (0..whole.len()).step_by(17) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&file, &bytes).unwrap();
        match all() {
            Err(Error::Damaged { path, .. }) if path == file => found += 1,
            // Between two columns nothing lies.
            Ok(()) => assert_eq!(whole[at], 0, "byte {at}"),
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(found > whole.len() / 17 / 2, "{found} of {}", whole.len() / 17);
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(Error::Damaged { .. })), "cut in half");
}

fn journals(dir: &Path) -> u64 {
    let files = fs::read_dir(dir.join("state")).unwrap().map(|entry| entry.unwrap().path());
    let journals = files.filter(|path| path.extension().is_some_and(|kind| kind == "jnl"));
    journals.map(|path| fs::metadata(path).unwrap().len()).sum()
}

/// Closed and opened several times, with commits between: all is there, numbers go on, and journals are empty; what is not
/// closed is there, too.
#[test]
fn a_closed_store_has_everything_in_tables() {
    let dir = tempfile::tempdir().unwrap();
    let mut total = 0;
    for round in 0..4_u32 {
        let mut store = open(dir.path());
        assert_eq!(store.identity.next(), total);
        for profile in 0..total {
            let id = profile.to_string();
            assert_eq!(store.identity.find(&store.tables, "cookie", &id).unwrap(), Some(profile));
        }
        let value = |profile: u32| Value::Text(format!("round {round} of {profile} {}", "x".repeat(200)));
        more(&mut store, 2_000);
        total += 2_000;
        for profile in (0..total).step_by(3) {
            store.profiles.edit(&store.tables, profile).unwrap().set(
                "crm.text",
                value(profile),
                round.into(),
            );
        }
        commit(&mut store);
        if round % 2 == 0 {
            store.close().unwrap();
            assert_eq!(journals(dir.path()), 0);
        } else {
            drop(store);
            assert!(journals(dir.path()) > 0);
        }
        let store = Store::look(dir.path()).unwrap();
        for profile in (0..total).step_by(3) {
            let record = store.profiles.get(&store.tables, profile).unwrap();
            assert_eq!(record.attributes["crm.text"].value, value(profile));
        }
    }
}

/// While somebody still has a part of the database, its journals are not touched.
#[test]
fn who_reads_keeps_the_journals() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    more(&mut store, 20_000);
    commit(&mut store);
    let readers = store.tables.readers();
    store.close().unwrap();
    assert!(journals(dir.path()) > 0);
    drop(readers);
    let mut store = open(dir.path());
    assert_eq!(store.identity.find(&store.tables, "cookie", "19999").unwrap(), Some(19_999));
    store.close().unwrap();
    assert_eq!(journals(dir.path()), 0);
    assert_eq!(open(dir.path()).identity.next(), 20_000);
}

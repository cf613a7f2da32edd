//! The reference: its page is what the tables say, and each of its examples is true.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
        StructArray, TimestampMicrosecondArray,
    },
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, Fields, Schema},
};
use kindred_plugin_api::{Context, Segment, Segmentation, columns};
use kindred_plugin_rules::{
    Config, Rules,
    reference::{Entry, FORMS, FUNCTIONS, page, parsed},
};
use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};

const AS_OF: &str = "2026-01-31";
const SEGMENTS: [&str; 2] = ["suppressed", "vip"];

/// One example profile.
#[derive(Default)]
struct Profile {
    events: Vec<(i64, HashMap<String, String>)>,
    attributes: HashMap<String, String>,
    identifiers: Vec<String>,
    segments: Vec<String>,
    consent: String,
}

fn us(text: &str) -> i64 {
    let time = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    time.parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

fn read(lines: &[&str]) -> Profile {
    let mut profile = Profile { consent: "granted".to_owned(), ..Profile::default() };
    let pair = |text: &str| text.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    for line in lines {
        let mut words = line.split(' ');
        match words.next().unwrap() {
            "attr" => profile.attributes.extend(words.map(pair)),
            "identifier" => profile.identifiers.extend(words.map(str::to_owned)),
            "segment" => profile.segments.extend(words.map(str::to_owned)),
            "consent" => profile.consent = words.next().unwrap().to_owned(),
            time => profile.events.push((us(time), words.map(pair).collect())),
        }
    }
    assert!(profile.segments.iter().all(|name| SEGMENTS.contains(&name.as_str())));
    profile
}

fn times(values: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values).with_timezone("+00:00"))
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a String>>) -> ArrayRef {
    Arc::new(values.map(|value| value.map(String::as_str)).collect::<StringArray>())
}

fn fields(columns: &[(String, ArrayRef)]) -> Fields {
    columns.iter().map(|(name, column)| Field::new(name, column.data_type().clone(), true)).collect()
}

fn batch(profiles: &[Profile]) -> RecordBatch {
    let events: Vec<_> = profiles.iter().flat_map(|profile| &profile.events).collect();
    let known = ["event", "category", "interest_path", "price", "quantity"];
    assert!(events.iter().flat_map(|(_, cells)| cells.keys()).all(|name| known.contains(&name.as_str())));
    let cell = |name: &'static str| events.iter().map(move |(_, cells)| cells.get(name));
    let number = |name| cell(name).map(|value| value.map(|value| value.parse::<f64>().unwrap()));
    let rows: Vec<(String, ArrayRef)> = vec![
        ("event_time".into(), times(events.iter().map(|(time, _)| *time).collect())),
        ("event".into(), texts(cell("event"))),
        ("category".into(), texts(cell("category"))),
        ("interest_path".into(), texts(cell("interest_path"))),
        ("price".into(), Arc::new(number("price").collect::<Float64Array>())),
        (
            "quantity".into(),
            Arc::new(number("quantity").map(|v| v.map(|v| v as i64)).collect::<Int64Array>()),
        ),
    ];
    let rows = StructArray::new(fields(&rows), rows.into_iter().map(|(_, column)| column).collect(), None);
    let item = Arc::new(Field::new("item", rows.data_type().clone(), false));
    let offsets = OffsetBuffer::from_lengths(profiles.iter().map(|profile| profile.events.len()));
    let attribute = |name: &'static str| profiles.iter().map(move |profile| profile.attributes.get(name));
    let age = attribute("crm.age").map(|value| value.map(|value| value.parse::<i64>().unwrap()));
    let mut all: Vec<(String, ArrayRef)> = vec![
        ("as_of".into(), times(vec![us(AS_OF); profiles.len()])),
        ("identifiers".into(), identifiers(profiles)),
        ("consent".into(), texts(profiles.iter().map(|profile| Some(&profile.consent)))),
        ("attr.crm.country".into(), texts(attribute("crm.country"))),
        ("attr.crm.age".into(), Arc::new(age.collect::<Int64Array>())),
        ("events".into(), Arc::new(ListArray::new(item, offsets, Arc::new(rows), None))),
    ];
    for name in SEGMENTS {
        let inside = profiles.iter().map(|profile| Some(profile.segments.iter().any(|known| known == name)));
        all.push((format!("in.{name}"), Arc::new(inside.collect::<BooleanArray>())));
    }
    let schema = Arc::new(Schema::new(fields(&all)));
    RecordBatch::try_new(schema, all.into_iter().map(|(_, column)| column).collect()).unwrap()
}

fn identifiers(profiles: &[Profile]) -> ArrayRef {
    let names: Vec<&str> = profiles.iter().flat_map(|p| &p.identifiers).map(String::as_str).collect();
    let values = StringArray::from(vec!["x"; names.len()]);
    let DataType::List(item) = columns::profile::identifiers() else { unreachable!() };
    let DataType::Struct(fields) = item.data_type() else { unreachable!() };
    let pairs =
        StructArray::new(fields.clone(), vec![Arc::new(StringArray::from(names)), Arc::new(values)], None);
    let offsets = OffsetBuffer::from_lengths(profiles.iter().map(|profile| profile.identifiers.len()));
    Arc::new(ListArray::new(item, offsets, Arc::new(pairs), None))
}

/// Whether the rule is true of the first profile, and what the reason says.
fn answer(rule: &str, profiles: &[Profile]) -> (bool, Option<bool>) {
    let batch = batch(profiles);
    let segment = Segment { name: "s".to_owned(), config: Config { rule: rule.to_owned() } };
    let mut plugin = Rules::open(vec![segment], Context::detached(".")).unwrap();
    plugin.plan(&batch.schema()).unwrap_or_else(|fault| panic!("{rule}: {fault}"));
    plugin.bind(batch.schema()).unwrap();
    if Rules::facts(&Config { rule: rule.to_owned() }).model {
        plugin.observe(&batch).unwrap();
        plugin.fit().unwrap();
    }
    let holds = plugin.evaluate(&batch).unwrap().row(0).0 == [0];
    (holds, plugin.explain(&batch.slice(0, 1), 0).unwrap().holds)
}

#[test]
fn every_example_is_true() {
    for Entry { name, example, .. } in FUNCTIONS.iter().chain(FORMS) {
        let profiles: Vec<Profile> = example.profiles.iter().map(|lines| read(lines)).collect();
        let (holds, reason) = answer(example.rule, &profiles);
        assert_eq!(holds, example.holds, "{name}: {}", example.rule);
        assert_eq!(reason == Some(true), example.holds, "{name}: {}", example.rule);
    }
}

#[test]
fn every_example_uses_what_it_is_about() {
    for Entry { name, example, signature, .. } in FUNCTIONS {
        assert!(example.rule.contains(&format!("{name}(")), "{name}: {}", example.rule);
        assert!(signature.starts_with(&format!("{name}(")), "{name}: {signature}");
    }
}

#[test]
fn every_name_that_the_parser_knows_has_an_entry() {
    let sorted = |names: Vec<&'static str>| {
        let set: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(set.len(), names.len(), "each once: {names:?}");
        set
    };
    let told = FUNCTIONS.iter().map(|entry| entry.name).collect();
    assert_eq!(sorted(parsed().collect()), sorted(told));
    for name in parsed() {
        let problems = Rules::validate(&Config { rule: format!("{name}(1, 2, 3, 4, 5, 6, 7) = 1") });
        assert!(!problems[0].message.contains("no function"), "{name}: {}", problems[0].message);
    }
}

#[test]
fn the_page_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules.md");
    let made = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, made).unwrap();
        return;
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    let drift = found.lines().zip(made.lines()).enumerate().find(|(_, (found, made))| found != made);
    let (line, (found_line, made_line)) = drift.unwrap_or((found.lines().count(), ("", "")));
    assert!(
        found == made,
        "docs/rules.md, line {}, is `{found_line}` and should be `{made_line}`; run \
         UPDATE_GOLDEN=1 cargo test -p kindred-plugin-rules --test reference",
        line + 1
    );
}

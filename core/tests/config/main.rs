//! Pipeline files: what a good one means, and what is said about bad ones, word by word (`tests/invalid/*.toml` and the
//! `.stderr` beside each).

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod plugins;

use kindred_core::config::{
    Clock, ConsentDefault, Data, Distributed, Engine, OnError, Party, Permanent, Pipeline, Price, Problems,
    Transient, contract::Policy, load, load_text, schema,
};
use kindred_core::{profile::Value, store::columns::ColumnType};
use kindred_plugin_api::Mode;
use plugins::Shelf;
use proptest::prelude::*;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const REGENERATE: &str = "if this is meant, run: UPDATE_GOLDEN=1 cargo test -p kindred --test config";
const VALID: &str = include_str!("valid.toml");

fn read(text: &str) -> Result<Pipeline, Problems> {
    load_text(Path::new("pipelines/sale.toml"), text, &[], &Shelf::new())
}

#[test]
fn every_key_arrives() {
    let pipeline = read(VALID).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(pipeline.name, "winter-sale");
    assert_eq!(pipeline.base_dir, Path::new("pipelines"));
    assert_eq!(pipeline.store, Path::new("pipelines/in/store"));
    assert_eq!(pipeline.retention_us, 400 * 86_400_000_000);
    assert_eq!(pipeline.clock, Clock::Fixed(1_769_817_600_000_000));
    assert_eq!(pipeline.step_rows, 4096);
    assert_eq!(pipeline.raw_identifiers, ["email"]);
    let workers = vec!["127.0.0.1:7701".into(), "[::1]:7702".into()];
    let shared = PathBuf::from("pipelines/in/shared");
    let distributed = Distributed { workers, shared, deadline_ms: 500, retries: 3 };
    assert_eq!(pipeline.engine, Engine::Distributed(distributed));

    let [shop, web] = &pipeline.sources[..] else { panic!("{:?}", pipeline.sources) };
    assert_eq!((shop.party, shop.consent), (Party::First, ConsentDefault::Required));
    assert_eq!(shop.config, json!({"path": "in/${x}.csv", "format": "csv"}));
    assert_eq!((web.name.as_str(), web.plugin.as_str()), ("web", "events"));
    assert_eq!((web.party, web.consent), (Party::Second, ConsentDefault::Granted));

    assert_eq!(shop.price, Some(Price { micros: 2_500_000, currency: "EUR".into() }));
    assert_eq!(shop.destinations, Some(vec!["dsp".to_owned(), "mail".to_owned()]));
    let contract = shop.schema.as_ref().unwrap();
    let declared = |name: &str| (contract.columns[name].kind, contract.columns[name].required);
    assert_eq!(declared("attr.country"), (ColumnType::Text, false));
    assert_eq!(declared("price"), (ColumnType::Decimal, true));
    let drift = (contract.drift.new, contract.drift.missing, contract.drift.changed);
    assert_eq!(drift, (Policy::Stop, Policy::Quarantine, Policy::Evolve));
    assert!(web.schema.is_none());

    let [first, second] = &pipeline.enrichments[..] else { panic!("{:?}", pipeline.enrichments) };
    assert_eq!((first.name.as_str(), &first.from[..]), ("tags", &["web".to_owned()][..]));
    assert_eq!((second.name.as_str(), second.from.len()), ("more-tags", 2));

    let vip = pipeline.segments.iter().find(|s| s.name == "vip").unwrap();
    let rule = "count(event = 'purchase') >= 2\n  AND NOT in_segment('suppressed')\n";
    assert_eq!((vip.plugin.as_str(), &vip.config), ("rules", &json!({"rule": rule})));
    assert_eq!((vip.title.as_str(), &vip.depends_on[..]), ("Bought twice", &["suppressed".to_owned()][..]));
    assert_eq!(pipeline.segments.last().unwrap().depends_on, ["vip"]);

    let [dsp, mail] = &pipeline.destinations[..] else { panic!("{:?}", pipeline.destinations) };
    assert_eq!(
        (dsp.mode, dsp.minimum_audience, &dsp.segments[..]),
        (Mode::Full, 50, &["vip".into(), "vip-like".into()][..])
    );
    let harsh = OnError { transient: Transient::Stop, data: Data::Stop, permanent: Permanent::Skip };
    assert_eq!(dsp.on_error, harsh);
    assert_eq!(dsp.config["auth"]["token"], std::env::var("PATH").unwrap());
    assert_eq!((mail.mode, mail.minimum_audience, mail.on_error), (Mode::Delta, 1000, OnError::default()));
}

#[test]
fn tests_arrive() {
    let pipeline = read(VALID).unwrap_or_else(|problems| panic!("{problems}"));
    let [case] = &pipeline.tests.list[..] else { panic!("{:?}", pipeline.tests) };
    let midnight = 1_769_817_600_000_000;
    assert_eq!((case.name.as_str(), case.as_of_us), ("bought twice, and did not opt out", midnight));
    let (anna, ben) = (&case.profiles["anna"], &case.profiles["ben"]);
    assert_eq!(anna.identifiers, BTreeMap::from([("cookie".into(), "c1".into())]));
    let since = &anna.attributes[&("shop".to_owned(), "since".to_owned())];
    assert_eq!(since, &Value::Time(1_766_534_400_000_000));
    let times: Vec<i64> = anna.events.iter().map(|event| event.time_us).collect();
    assert_eq!(times, [midnight - 3 * 86_400_000_000, midnight]);
    let sources: Vec<&str> = anna.events.iter().map(|event| event.source.as_str()).collect();
    assert_eq!(sources, ["test", "shop"], "there are two sources, so none is taken for granted");
    assert_eq!((anna.granted, ben.granted), (true, false));
    assert_eq!(ben.identifiers, BTreeMap::from([("test".into(), "ben".into())]));
    assert_eq!(ben.events[0].time_us, midnight - 7_200_000_000);
    assert_eq!(case.expect["vip"], ["anna".to_owned()].into());
    let kinds: BTreeMap<&str, ColumnType> =
        pipeline.tests.columns.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
    let expected = [
        ("amount", ColumnType::Decimal),
        ("attr.shop.age", ColumnType::Integer),
        ("attr.shop.since", ColumnType::Time),
        ("coupon", ColumnType::Text),
    ];
    assert_eq!(kinds, BTreeMap::from(expected), "integers and decimals of one column are decimals");
}

#[test]
fn a_narrowed_pipeline_keeps_what_it_builds_on() {
    let pipeline = read(VALID).unwrap_or_else(|problems| panic!("{problems}"));
    let names = |segment: &str| {
        let narrowed = pipeline.narrowed([segment]);
        narrowed.segments.iter().map(|s| s.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("suppressed"), ["suppressed"]);
    assert_eq!(names("vip-like"), ["suppressed", "vip", "vip-like"]);
}

#[test]
fn a_small_file_gets_the_defaults() {
    let text = "[pipeline]\nstore = 'data'\n[sources.web]\nplugin = 'events'\nconfig.path = 'x'\n";
    let pipeline = read(text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((pipeline.name.as_str(), pipeline.clock, pipeline.step_rows), ("sale", Clock::Wall, 65_536));
    assert_eq!(pipeline.retention_us, 395 * 86_400_000_000);
    assert_eq!(pipeline.engine, Engine::Embedded);
}

#[test]
fn variables_can_be_set() {
    let sets = [("data".to_owned(), "/abs".to_owned()), ("rows".to_owned(), "7".to_owned())];
    let pipeline = load_text(Path::new("p.toml"), VALID, &sets, &Shelf::new()).unwrap();
    assert_eq!((pipeline.store.as_path(), pipeline.step_rows), (Path::new("/abs/store"), 7));
}

#[test]
fn a_missing_file_is_told_with_its_neighbours() {
    let problems = load(Path::new("tests/config/vald.toml"), &[], &Shelf::new()).unwrap_err().to_string();
    assert!(problems.contains("cannot be read: no such file"), "{problems}");
    assert!(problems.contains("did you mean `tests/config/valid.toml`?"), "{problems}");
    let folder = load(Path::new("tests"), &[], &Shelf::new()).unwrap_err().to_string();
    assert!(folder.contains("is a directory"), "{folder}");
}

#[test]
fn programs_get_positions_in_characters() {
    let text = "[pipeline]\nname = 'ü' # ü\nstore = 'd'\n[sources.web]\nplugin = 'events'\nconfig = { path = 'ü', formt = 'csv' }\n";
    let json = read(text).unwrap_err().to_json();
    let expected = json!([{
        "file": "pipelines/sale.toml",
        "line": 6, "column": 24, "end": {"line": 6, "column": 29},
        "message": "unknown key `formt` in `sources.web.config`",
        "found": "not known here",
        "help": "did you mean `format`? known keys: `begin`, `columns`, `format`, `path` and `skip`",
    }]);
    assert_eq!(json, expected);
    let shown = read(text).unwrap_err().to_string();
    assert!(shown.contains("sale.toml:6:24]"), "{shown}");
}

#[test]
fn secrets_stay_out_of_messages() {
    let secret = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    for place in ["mode = '${env:CARGO_MANIFEST_DIR}'", "", "segments = ['${env:CARGO_MANIFEST_DIR}']"] {
        let rest = if place.starts_with("segments") { "" } else { "segments = ['a']" };
        let text = format!(
            "[pipeline]\nstore = 'd'\n[sources.s]\nplugin = 'events'\nconfig.path = 'x'\n[segments.a]\nrule = 'x'\n\
             [destinations.d]\nplugin = 'out'\n{rest}\n{place}\nconfig.path = '${{env:CARGO_MANIFEST_DIR}}'\n"
        );
        let problems = read(&text).unwrap_err();
        assert!(!problems.to_string().contains(&secret), "{problems}");
        assert!(!problems.to_json().to_string().contains(&secret));
    }
}

#[test]
fn the_editors_schema_knows_plugins_and_their_options() {
    let schema = schema(&Shelf::new());
    let of =
        |pointer: &str| schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not in {schema:#}"));
    assert_eq!(of("/properties/sources/additionalProperties/$ref"), "#/$defs/SourceTable");
    assert_eq!(of("/properties/sources/propertyNames/pattern"), "^[a-z0-9][a-z0-9_-]*$");
    assert_eq!(of("/$defs/PipelineTable/properties/retention/default"), "13 months");
    assert_eq!(of("/$defs/DestinationTable/properties/minimum_audience/minimum"), 50);
    assert_eq!(of("/$defs/SourceTable/allOf/0/if/properties/plugin/const"), "events");
    assert_eq!(of("/$defs/SourceTable/allOf/0/then/properties/config/$ref"), "#/$defs/plugin:events");
    assert_eq!(
        of("/$defs/plugin:events/properties/columns/additionalProperties/$ref"),
        "#/$defs/plugin:events/$defs/Column",
        "references hold at their new place"
    );
    let rules = of("/$defs/SegmentTable/allOf").as_array().unwrap();
    let rules = rules.iter().find(|case| case["if"]["properties"]["plugin"]["const"] == "rules").unwrap();
    assert_eq!(rules["then"]["required"], json!(["rule"]));
    assert_eq!(rules["then"]["properties"]["rule"]["description"], "A condition on profiles.");
    every_reference_resolves(&schema, &schema);
}

fn every_reference_resolves(root: &serde_json::Value, part: &serde_json::Value) {
    if let Some(target) = part["$ref"].as_str() {
        assert!(root.pointer(&target[1..]).is_some(), "{target} leads nowhere");
    }
    let below: Vec<_> = match part {
        serde_json::Value::Object(map) => map.values().collect(),
        serde_json::Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    below.into_iter().for_each(|part| every_reference_resolves(root, part));
}

#[test]
fn every_key_has_a_description() {
    let schema = schema(&Shelf::new());
    for (table, definition) in schema["$defs"].as_object().unwrap() {
        for (key, property) in definition["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].is_string(), "`{key}` of {table} has no doc comment");
        }
    }
}

/// `.toml` files of a folder, sorted.
fn fixtures() -> Vec<PathBuf> {
    let files = fs::read_dir("tests/invalid").unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    files
}

#[test]
fn broken_pipelines_are_told_word_by_word() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut drift = String::new();
    for file in fixtures() {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        let sets: Vec<(String, String)> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# set: ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let told = match load(&file, &sets, &Shelf::new()) {
            Ok(_) => panic!("{} is valid", file.display()),
            Err(problems) => format!("{problems}\n"),
        };
        let golden = file.with_extension("stderr");
        if update {
            fs::write(&golden, told).unwrap();
        } else {
            drift += &difference(&golden, &fs::read_to_string(&golden).unwrap_or_default(), &told);
        }
    }
    assert!(drift.is_empty(), "{drift}\n{REGENERATE}");
}

fn difference(golden: &Path, expected: &str, told: &str) -> String {
    if expected == told {
        return String::new();
    }
    let (expected, told): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), told.lines().collect());
    let same = expected.iter().zip(&told).take_while(|(a, b)| a == b).count();
    let part = |sign: char, lines: &[&str]| {
        lines.iter().skip(same).map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    format!("{} from line {}:\n{}{}", golden.display(), same + 1, part('-', &expected), part('+', &told))
}

#[test]
fn every_broken_pipeline_has_a_place_for_each_problem() {
    let files = fixtures();
    assert!(files.len() >= 28, "{} broken pipelines", files.len());
    for file in files {
        assert!(file.with_extension("stderr").exists(), "{} has no .stderr", file.display());
        let Err(problems) = load(&file, &[], &Shelf::new()) else { continue };
        let starts: Vec<_> = problems.list().iter().map(|p| p.span.as_ref().map(|s| s.start)).collect();
        assert!(!starts.is_empty() && starts.is_sorted(), "{}", file.display());
    }
}

/// The reference page: every key of every table, from the same structs that read the file.
fn reference(schema: &serde_json::Value) -> String {
    let text =
        |value: &serde_json::Value| value.as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
    let mut out = String::from(
        "# The pipeline file\n\nEvery key that a pipeline file may hold. Paths start from the folder of the file. This page is \
         made from `core/src/config/file.rs`; see `kindred plugin show NAME` for the options under `config`.\n",
    );
    let mut tables = vec![("File", schema)];
    for name in [
        "PipelineTable",
        "SourceTable",
        "PriceTable",
        "SchemaTable",
        "ColumnTable",
        "Drift",
        "EnrichmentTable",
        "SegmentTable",
        "DestinationTable",
        "OnError",
        "TestTable",
        "TestProfileTable",
        "TestEventTable",
        "EngineTable",
    ] {
        tables.push((name, &schema["$defs"][name]));
    }
    for (name, table) in tables {
        let title = if name == "File" {
            "Tables".to_owned()
        } else {
            text(&table["description"]).trim_end_matches('.').to_owned()
        };
        out += &format!("\n## {title}\n\n| key | value | default | meaning |\n|---|---|---|---|\n");
        let required = table["required"].as_array().cloned().unwrap_or_default();
        let keys: BTreeMap<_, _> = table["properties"].as_object().unwrap().iter().collect();
        for (key, property) in keys {
            let default = match &property["default"] {
                _ if required.contains(&json!(key)) => "required".to_owned(),
                serde_json::Value::Null => String::new(),
                default if default.is_object() => String::new(),
                default => format!("`{default}`"),
            };
            let target = property["$ref"].as_str().and_then(|target| schema.pointer(&target[1..]));
            out += &format!(
                "| `{key}` | {} | {default} | {} |\n",
                value(target.unwrap_or(property)),
                text(&property["description"])
            );
        }
    }
    out
}

/// What a schema takes, in a few words.
fn value(schema: &serde_json::Value) -> String {
    if let Some(words) = schema["oneOf"].as_array() {
        let words = words.iter().filter_map(|word| word["const"].as_str().or(word["enum"][0].as_str()));
        return words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    }
    let name = schema["type"].as_str().or(schema["type"][0].as_str()).unwrap_or("any");
    match (name, &schema["minimum"]) {
        ("array", _) => "list".to_owned(),
        ("object", _) => "table".to_owned(),
        (name, serde_json::Value::Number(least)) if least.as_u64() != Some(0) => {
            format!("{name}, at least {least}")
        }
        (name, _) => name.to_owned(),
    }
}

#[test]
fn the_reference_page_is_what_the_reader_takes() {
    let page = Path::new("../docs/pipeline-file.md");
    let made = reference(&schema(&Shelf::new()));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(page, made).unwrap();
        return;
    }
    let drift = difference(page, &fs::read_to_string(page).unwrap_or_default(), &made);
    assert!(drift.is_empty(), "{drift}\n{REGENERATE}");
}

/// One change to a text, at places from 0 to 1.
#[derive(Clone, Debug)]
enum Change {
    Delete(f64, usize),
    Insert(f64, String),
    Copy(f64, f64, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let word = prop::sample::select(vec![
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "\"\"\"",
        "=",
        ",",
        ".",
        "\n",
        "#",
        "\\",
        "${",
        "${data}",
        "${rows}",
        "${env:",
        "$${",
        "nan",
        "1e999",
        "99999999999999999999",
        "true",
        "2026-01-31",
        "[[sources.web]]",
        "[vars]",
        "ü😀",
        "\u{0}",
        "\r",
        "rule = 'in_segment('",
        "in_segment('vip')",
        "plugin = \"rules\"\n",
        "config = 3\n",
        "-1",
        "enrichments = [1, {}]\n",
    ]);
    prop_oneof![
        (0.0..1.0, 1..60_usize).prop_map(|(at, length)| Change::Delete(at, length)),
        (0.0..1.0, word.prop_map(str::to_owned)).prop_map(|(at, text)| Change::Insert(at, text)),
        (0.0..1.0, 0.0..1.0, 1..60_usize).prop_map(|(from, to, length)| Change::Copy(from, to, length)),
    ]
}

fn changed(text: &str, change: &Change) -> String {
    let chars: Vec<char> = text.chars().collect();
    let place = |share: f64| (share * chars.len() as f64) as usize;
    let part =
        |from: usize, to: usize| chars[from.min(chars.len())..to.min(chars.len())].iter().collect::<String>();
    match change {
        Change::Delete(at, length) => part(0, place(*at)) + &part(place(*at) + length, chars.len()),
        Change::Insert(at, text) => part(0, place(*at)) + text + &part(place(*at), chars.len()),
        Change::Copy(from, to, length) => {
            part(0, place(*to)) + &part(place(*from), place(*from) + length) + &part(place(*to), chars.len())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to a file: it is read, or what is wrong has places in it and can be shown.
    #[test]
    fn no_text_makes_it_panic(changes in prop::collection::vec(change(), 1..6)) {
        let text = changes.iter().fold(VALID.to_owned(), |text, one| changed(&text, one));
        if let Err(problems) = read(&text) {
            prop_assert!(!problems.list().is_empty());
            for problem in problems.list() {
                let inside = problem.span.clone().is_none_or(|span| text.get(span).is_some());
                prop_assert!(inside, "{problem:?} is not in {text}");
            }
            prop_assert!(problems.render(true).len() >= problems.to_string().len());
            prop_assert_eq!(problems.to_json().as_array().map(Vec::len), Some(problems.list().len()));
        }
    }
}

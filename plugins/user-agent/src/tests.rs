//! The cases of uap-core, kinds of devices, the enrichment on event batches.

use super::*;
use arrow::{array::DictionaryArray, datatypes::UInt32Type};
use kindred_plugin_api::arrow;
use serde_json::{Value, json};

const PHONE: &str = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36";
const PC: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0";
const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// The cases of uap-core's `test_ua.yaml`.
#[derive(Deserialize)]
struct Cases {
    test_cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    user_agent_string: String,
    family: String,
    major: Option<String>,
    minor: Option<String>,
    patch: Option<String>,
}

#[test]
fn uap_cores_own_cases_hold() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/ua/test_ua.yaml");
    let Ok(cases) = std::fs::read_to_string(path) else {
        eprintln!("SKIPPED: no cases at {path}");
        return;
    };
    let cases: Cases = serde_saphyr::from_str(&cases).unwrap();
    assert!(cases.test_cases.len() > 1000, "{}", cases.test_cases.len());
    let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    for case in cases.test_cases {
        let agent = &case.user_agent_string;
        let made = Agent::read(agent);
        let family = made.browser.clone().unwrap_or_else(|| "Other".to_owned());
        assert_eq!((&family, &made.browser_version), (&case.family, &text(case.major.as_deref())), "{agent}");
        if let Some(found) = agent::extractor().ua.extract(agent) {
            let smaller = (text(found.minor), text(found.patch));
            assert_eq!(smaller, (text(case.minor.as_deref()), text(case.patch.as_deref())), "{agent}");
        }
    }
}

/// What browsers send, by the documents of who makes them; device, system and its version, browser and its version.
#[test]
fn devices_are_what_they_are() {
    let cases = [
        (PC, "desktop Windows 10 Firefox 127"),
        (PHONE, "mobile Android 14 Chrome Mobile 126"),
        (GOOGLEBOT, "bot - - Googlebot 2"),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
            "desktop Mac OS X 10 Safari 17",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
            "mobile iOS 17 Mobile Safari 17",
        ),
        (
            "Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1.2 Mobile/15E148 Safari/604.1",
            "tablet iOS 12 Mobile Safari 12",
        ),
        (
            "Mozilla/5.0 (Linux; Android 13; SM-X906C) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "tablet Android 13 Chrome 126",
        ),
        (
            "Mozilla/5.0 (Android 13; Tablet; rv:127.0) Gecko/127.0 Firefox/127.0",
            "tablet Android 13 Firefox Mobile 127",
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "desktop Linux - Chrome 126",
        ),
        (
            "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "desktop Chrome OS 14541 Chrome 126",
        ),
        (
            "Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) 76.0.3809.146/6.0 TV Safari/537.36",
            "tv Tizen 6 Safari -",
        ),
        (
            "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/87.0.4280.88 Safari/537.36 WebAppManager",
            "tv Web0S - Chrome 87",
        ),
        (
            "Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/5.0; Tablet PC 2.0)",
            "desktop Windows 7 IE 9",
        ),
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "bot - - bingbot 2"),
        ("", "other - - - -"),
    ];
    for (agent, want) in cases {
        let made = Agent::read(agent);
        let texts = [&made.os, &made.os_version, &made.browser, &made.browser_version];
        let texts: Vec<&str> = texts.into_iter().map(|text| text.as_deref().unwrap_or("-")).collect();
        assert_eq!(format!("{} {}", made.device, texts.join(" ")), want, "{agent}");
    }
}

fn parsed(config: Value) -> Config {
    serde_json::from_value(config).unwrap()
}

fn opened(config: Value) -> UserAgent {
    UserAgent::open(parsed(config), Context::detached(".")).unwrap()
}

fn batch(agents: ArrayRef) -> RecordBatch {
    let number: ArrayRef = Arc::new(arrow::array::Int64Array::from_iter_values(0..agents.len() as i64));
    RecordBatch::try_from_iter_with_nullable([("n", number, false), ("user_agent", agents, true)]).unwrap()
}

fn ran(plugin: &mut UserAgent, input: RecordBatch) -> Processed {
    let output = plugin.bind(input.schema()).unwrap();
    let made = plugin.process(input).unwrap();
    assert_eq!(made.batch.schema(), output);
    made
}

fn column(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    batch.column_by_name(name).unwrap().as_string::<i32>().iter().map(|v| v.map(str::to_owned)).collect()
}

const ROWS: [Option<&str>; 5] = [Some(PC), None, Some(GOOGLEBOT), Some(PHONE), Some(GOOGLEBOT)];

#[test]
fn bots_are_flagged_and_the_raw_text_goes() {
    let plain = ran(&mut opened(json!({})), batch(Arc::new(StringArray::from(ROWS.to_vec()))));
    let coded: DictionaryArray<UInt32Type> = ROWS.into_iter().collect();
    let made = ran(&mut opened(json!({})), batch(Arc::new(coded)));
    assert_eq!(plain.batch, made.batch);
    let names: Vec<_> = made.batch.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["n", "device", "os", "os_version", "browser", "browser_version", "bot"]);
    let want =
        [Some("desktop"), None, Some("bot"), Some("mobile"), Some("bot")].map(|v| v.map(str::to_owned));
    assert_eq!(column(&made.batch, "device"), want);
    let bots: Vec<_> = made.batch.column_by_name("bot").unwrap().as_boolean().iter().collect();
    assert_eq!(bots, [Some(false), None, Some(true), Some(false), Some(true)]);
    assert!(made.rejects.is_empty());
}

#[test]
fn bots_are_dropped_without_their_text() {
    let config = json!({ "bots": "drop", "columns": ["device"], "keep": true });
    let made = ran(&mut opened(config), batch(Arc::new(StringArray::from(ROWS.to_vec()))));
    let rows: Vec<(u64, &str, &str)> =
        made.rejects.iter().map(|r| (r.row, r.code.as_str(), r.payload.as_str())).collect();
    assert_eq!(rows, [(2, "bot", ""), (4, "bot", "")]);
    assert_eq!(column(&made.batch, "user_agent"), [Some(PC.to_owned()), None, Some(PHONE.to_owned())]);
    assert_eq!(made.batch.num_columns(), 3);
}

#[test]
fn endless_and_foreign_text_is_no_harm() {
    let long = "ü".repeat(100_000) + GOOGLEBOT;
    let made =
        ran(&mut opened(json!({})), batch(Arc::new(StringArray::from(vec![long.as_str(), "\0", "🦀"]))));
    assert_eq!(column(&made.batch, "device"), vec![Some("other".to_owned()); 3]);
}

#[test]
fn options_and_schema_are_checked() {
    for wrong in [json!({ "colum": "x" }), json!({ "bots": "keep" }), json!({ "columns": ["brand"] })] {
        assert!(serde_json::from_value::<Config>(wrong).is_err());
    }
    let input = batch(Arc::new(StringArray::from(vec![PC])));
    let fault = opened(json!({ "column": "ua" })).bind(input.schema()).unwrap_err();
    assert_eq!(fault.problems[0].help.as_deref(), Some("columns with text: user_agent"));
    let twice = RecordBatch::try_from_iter([
        ("user_agent", input.column(1).clone()),
        ("os", input.column(1).clone()),
    ]);
    let fault = opened(json!({})).bind(twice.unwrap().schema()).unwrap_err();
    assert_eq!(fault.message, "the rows already have a column `os`");
}

//! Who was targeted and who redeemed, from a retailer's files, joined to the dates of the campaigns.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Float64Type, TimestampMicrosecondType},
};
use kindred_plugin_api::{Context, Poll, Reject, Source, arrow, options};
use kindred_plugin_campaign_log::{CampaignLog, Config};
use std::path::{Path, PathBuf};

const DAY_US: i64 = 86_400_000_000;

fn fixtures() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/retail");
    if !path.is_dir() {
        println!("skipped: {} is not there", path.display());
    }
    path.is_dir().then_some(path)
}

fn read(folder: &Path, json: serde_json::Value) -> (RecordBatch, Vec<Reject>) {
    let config: Config = options::parse(&json.to_string()).unwrap();
    assert_eq!(CampaignLog::validate(&config), []);
    let context = Context::detached(folder);
    CampaignLog::check(&config, &context).unwrap();
    let mut source = CampaignLog::open(config, context).unwrap();
    let Poll::Rows(rows) = source.poll(1 << 20, 1000).unwrap() else { panic!("no rows") };
    assert!(matches!(source.poll(1, 1000).unwrap(), Poll::End));
    (rows.batch, rows.rejects)
}

fn text<'a>(batch: &'a RecordBatch, column: &str, row: usize) -> &'a str {
    batch.column_by_name(column).unwrap().as_string::<i32>().value(row)
}

#[test]
fn targeted_households_saw_the_campaign_when_it_began() {
    let Some(path) = fixtures() else { return };
    let json = serde_json::json!({
        "path": "campaigns.csv", "event": "impression", "time": "start_date",
        "event_id": ["campaign_id", "household_id"], "identifiers": { "household": "household_id" },
        "catalogue": { "path": "campaign_descriptions.csv", "key": "campaign_id", "columns": ["start_date", "campaign_type"] },
    });
    let (batch, rejects) = read(&path, json);
    let lines = std::fs::read_to_string(path.join("campaigns.csv")).unwrap().lines().count();
    let known = "8 13 18";
    let without = rejects.iter().all(|r| known.split(' ').any(|c| r.payload.starts_with(&format!("{c},"))));
    assert!(without, "only campaigns without a description have no time: {:?}", rejects.first());
    assert_eq!(batch.num_rows() + rejects.len(), lines - 1);
    assert_eq!(
        (text(&batch, "event", 0), text(&batch, "campaign", 0), text(&batch, "id.household", 0)),
        ("impression", "1", "105")
    );
    assert_eq!((text(&batch, "event_id", 0), text(&batch, "campaign_type", 0)), ("1:105", "Type B"));
    assert!(batch.column_by_name("start_date").is_none(), "a joined column that is used is no property");
    let times = batch.column_by_name("event_time").unwrap().as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.value(0), 17_228 * DAY_US);
    assert!(times.values().iter().all(|time| time % DAY_US == 0));
}

#[test]
fn redemptions_are_conversions_at_their_date() {
    let Some(path) = fixtures() else { return };
    let json = serde_json::json!({
        "path": "coupon_redemptions.csv", "event": "conversion", "time": "redemption_date",
        "identifiers": { "household": "household_id" }, "properties": { "coupon": "coupon_upc" },
    });
    let (batch, rejects) = read(&path, json);
    let lines = std::fs::read_to_string(path.join("coupon_redemptions.csv")).unwrap().lines().count();
    assert_eq!((batch.num_rows(), rejects.len()), (lines - 1, 0));
    assert_eq!((text(&batch, "campaign", 0), text(&batch, "coupon", 0)), ("26", "51380041013"));
    let times = batch.column_by_name("event_time").unwrap().as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.value(0), 17_167 * DAY_US);
    assert_eq!(batch.column_by_name("cost").unwrap().null_count(), batch.num_rows());
}

#[test]
fn a_log_of_all_four_events() {
    let dir = tempfile::tempdir().unwrap();
    let log = "time,type,cookie,campaign,cost,revenue\n\
        2026-01-01T10:00:00Z,imp,c1,w,0.01,\n2026-01-01T10:00:05Z,click,c1,w,0.5,\n\
        2026-01-01T10:09:00Z,conversion,c1,w,,59.9\n2026-01-02,spend,,w,120,\n2026-01-02,view,c1,w,,\n2026-01-02,click,,w,,\n";
    std::fs::write(dir.path().join("log.csv"), log).unwrap();
    let json = serde_json::json!({
        "path": "log.csv", "event": { "column": "type", "map": { "imp": "impression" } }, "identifiers": { "cookie": "cookie" },
    });
    let (batch, rejects) = read(dir.path(), json);
    let events: Vec<_> = (0..batch.num_rows()).map(|row| text(&batch, "event", row)).collect();
    assert_eq!(events, ["impression", "click", "conversion", "spend"]);
    let sum =
        |name: &str| arrow::compute::sum(batch.column_by_name(name).unwrap().as_primitive::<Float64Type>());
    assert_eq!((sum("cost"), sum("revenue")), (Some(120.51), Some(59.9)));
    let codes: Vec<_> = rejects.iter().map(|r| (r.row, r.code.as_str())).collect();
    assert_eq!(codes, [(5, "value"), (6, "no-identifier")]);
    assert!(rejects[0].message.contains("found `view`, expected impression, click, conversion, spend"));
}

#[test]
fn other_events_and_missing_identifiers_are_refused() {
    let json = r#"{ "path": "x.csv", "event": "view" }"#;
    let paths: Vec<_> =
        CampaignLog::validate(&options::parse(json).unwrap()).into_iter().map(|p| p.path).collect();
    assert_eq!(paths, ["/event", "/identifiers"]);
    let spend: Config = options::parse(r#"{ "path": "x.csv", "event": "spend" }"#).unwrap();
    assert_eq!(CampaignLog::validate(&spend), []);
}

#[test]
fn every_option_explains_itself() {
    let schema: serde_json::Value = serde_json::from_str(&options::schema::<Config>()).unwrap();
    let options = schema["properties"].as_object().unwrap();
    let mute: Vec<_> =
        options.iter().filter(|(_, option)| option["description"].as_str().is_none()).collect();
    assert!(options.len() >= 9 && mute.is_empty(), "{mute:?}");
}

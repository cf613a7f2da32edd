//! A year of a retailer's till through the plugin: real files, with totals that are known from their publisher.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use arrow::{
    array::{Array, AsArray},
    compute::{max, min, sum},
    datatypes::{Float64Type, Int64Type, TimestampMicrosecondType},
};
use kindred_plugin_api::{Context, Fault, Poll, Source, arrow, columns, options};
use kindred_plugin_file_events::{Config, FileEvents};
use std::{path::PathBuf, time::Instant};

const POLL_ROWS: usize = 65_536;

fn fixtures() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/retail");
    if !path.is_dir() {
        println!("skipped: {} is not there", path.display());
    }
    path.is_dir().then_some(path)
}

fn config() -> Config {
    let json = serde_json::json!({
        "path": "transactions.parquet",
        "time": "transaction_timestamp",
        "event": "purchase",
        "event_id": ["basket_id", "product_id"],
        "identifiers": { "household": "household_id" },
        "properties": ["quantity", "sales_value", "store_id"],
        "catalogue": {
            "path": "products.parquet", "key": "product_id",
            "columns": { "category": "product_category", "department": "department" },
        },
    });
    options::parse(&json.to_string()).unwrap()
}

#[test]
fn a_year_of_transactions_adds_up() {
    let Some(path) = fixtures() else { return };
    let began = Instant::now();
    let mut source = FileEvents::open(config(), Context::detached(&path)).unwrap();
    println!("opened, with the catalogue, in {:.2} s", began.elapsed().as_secs_f64());
    let schema = source.schema().unwrap();
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let expected = ["event_id", "event_time", "event", "id.household", "quantity", "sales_value", "store_id"];
    assert_eq!(names, [&expected[..], &["category", "department"]].concat());

    let (mut rows, mut sales, mut zero, mut uncategorised, mut polls) = (0, 0.0, 0, 0, 0);
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    while let Poll::Rows(polled) = source.poll(POLL_ROWS, 1000).unwrap() {
        let batch = polled.batch;
        assert_eq!((batch.schema(), polled.rejects.len()), (schema.clone(), 0));
        rows += batch.num_rows();
        polls += 1;
        assert_eq!(polled.backlog_rows as usize, 1_469_307 - rows);
        let column = |name| batch.column_by_name(name).unwrap();
        sales += sum(column("sales_value").as_primitive::<Float64Type>()).unwrap();
        zero += column("quantity").as_primitive::<Int64Type>().values().iter().filter(|q| **q == 0).count();
        uncategorised += column("category").null_count();
        let times = column("event_time").as_primitive::<TimestampMicrosecondType>();
        (first, last) = (first.min(min(times).unwrap()), last.max(max(times).unwrap()));
        assert_eq!(column("id.household").null_count() + column("event_id").null_count(), 0);
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{rows} rows in {polls} polls: {seconds:.2} s, {:.1} M rows/s", rows as f64 / seconds / 1e6);
    assert_eq!((rows, polls), (1_469_307, 1_469_307_usize.div_ceil(POLL_ROWS)));
    assert!((sales - 4_596_039.58).abs() < 0.01, "{sales}");
    assert_eq!(zero, 8_869);
    assert!(uncategorised < rows / 50, "{uncategorised}");
    let day = |micros: i64| micros.div_euclid(86_400_000_000);
    assert!(
        (17_166..=17_168).contains(&day(first)) && (17_531..=17_533).contains(&day(last)),
        "{first} {last}"
    );
}

/// The same rows written in three formats come out as the same batches.
#[test]
fn csv_json_and_parquet_agree() {
    use std::io::Write;
    let Some(path) = fixtures() else { return };
    let json = |path: &str| {
        let integer = |column: &str| serde_json::json!({ "column": column, "type": "integer" });
        let json = serde_json::json!({
            "path": path, "time": "transaction_timestamp", "event": "purchase", "event_id": ["basket_id", "product_id"],
            "identifiers": { "household": "household_id" },
            "properties": { "quantity": integer("quantity"), "sales": { "column": "sales_value", "type": "decimal" } },
        });
        options::parse::<Config>(&json.to_string()).unwrap()
    };
    let mut source = FileEvents::open(json("transactions.parquet"), Context::detached(&path)).unwrap();
    let Poll::Rows(typed) = source.poll(200_000, 1000).unwrap() else { panic!("no rows") };
    let dir = tempfile::tempdir().unwrap();
    let create = |name: &str| std::io::BufWriter::new(std::fs::File::create(dir.path().join(name)).unwrap());
    let (mut csv, mut lines) = (create("t.csv"), create("t.jsonl"));
    writeln!(csv, "basket_id,product_id,household_id,quantity,sales_value,transaction_timestamp").unwrap();
    let text =
        |name: &str, row| typed.batch.column_by_name(name).unwrap().as_string::<i32>().value(row).to_owned();
    for row in 0..typed.batch.num_rows() {
        let (ids, household) = (text("event_id", row), text("id.household", row));
        let (basket, product) = ids.split_once(':').unwrap();
        let quantity = typed.batch.column_by_name("quantity").unwrap().as_primitive::<Int64Type>().value(row);
        let sales = typed.batch.column_by_name("sales").unwrap().as_primitive::<Float64Type>().value(row);
        let time =
            typed.batch.column_by_name("event_time").unwrap().as_primitive::<TimestampMicrosecondType>();
        let time = time.value_as_datetime(row).unwrap().format("%Y-%m-%dT%H:%M:%SZ");
        writeln!(csv, "{basket},{product},{household},{quantity},{sales},{time}").unwrap();
        writeln!(
            lines,
            r#"{{"basket_id":{basket},"product_id":"{product}","household_id":{household},"quantity":{quantity},"sales_value":{sales},"transaction_timestamp":"{time}"}}"#
        )
        .unwrap();
    }
    csv.flush().unwrap();
    lines.flush().unwrap();
    for name in ["t.csv", "t.jsonl"] {
        let began = Instant::now();
        let mut source = FileEvents::open(json(name), Context::detached(dir.path())).unwrap();
        let Poll::Rows(read) = source.poll(200_000, 1000).unwrap() else { panic!("no rows") };
        let rate = read.batch.num_rows() as f64 / began.elapsed().as_secs_f64() / 1e6;
        println!("{name}: {rate:.2} M rows/s");
        assert_eq!(read.rejects, []);
        assert!(read.batch == typed.batch, "{name}");
    }
}

#[test]
fn restarts_at_any_position_go_on_behind_it() {
    let Some(path) = fixtures() else { return };
    let mut source = FileEvents::open(config(), Context::detached(&path)).unwrap();
    let Poll::Rows(first) = source.poll(100_003, 1000).unwrap() else { panic!("no rows") };
    let Poll::Rows(second) = source.poll(5000, 1000).unwrap() else { panic!("no rows") };
    let context = Context::detached(&path).with_state(Some(first.position));
    let mut again = FileEvents::open(config(), context).unwrap();
    let Poll::Rows(replayed) = again.poll(5000, 1000).unwrap() else { panic!("no rows") };
    assert_eq!(replayed.batch, second.batch);
    assert_eq!(replayed.position, second.position);
}

#[test]
fn a_misspelt_column_is_found_before_anything_runs() {
    let Some(path) = fixtures() else { return };
    let json = r#"{ "path": "transactions.parquet", "time": "transaction_time", "event": "purchase",
                    "identifiers": { "household": "houshold_id" }, "properties": { "spent": "sales_values" } }"#;
    let fault: Fault =
        FileEvents::check(&options::parse(json).unwrap(), &Context::detached(&path)).unwrap_err();
    let found: Vec<_> =
        fault.problems.iter().map(|p| (p.path.as_str(), p.help.as_deref().unwrap())).collect();
    assert_eq!(found.len(), 3);
    assert!(
        found.iter().any(|(at, help)| *at == "/identifiers/household" && help.contains("`household_id`"))
    );
    assert!(found.iter().any(|(at, help)| *at == "/properties/spent" && help.contains("`sales_value`")));
}

#[test]
fn options_without_identifiers_are_refused() {
    let json =
        r#"{ "path": "x.csv", "time": "t", "event": "e", "identifiers": {}, "properties": ["event_id"] }"#;
    let problems = FileEvents::validate(&options::parse(json).unwrap());
    let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert!(paths.contains(&"/identifiers") && paths.contains(&"/properties/event_id"), "{paths:?}");
    assert!(columns::is_reserved("event_id"));
}

#[test]
fn csv_with_german_numbers_dates_and_a_catalogue() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.csv"), "sku,group\nA1,coats\n").unwrap();
    std::fs::write(
        dir.path().join("t.csv"),
        "kunde;zeit;art;summe;sku;ok\n7;24.12.2025 18:30;kauf;1.234,50;A1;ja\n8;24.12.2025 18:31;kauf;1,00;B2;yes\n9;heute;kauf;1,00;A1;no\n",
    )
    .unwrap();
    let json = serde_json::json!({
        "path": "t.csv",
        "time": { "column": "zeit", "format": "%d.%m.%Y %H:%M", "timezone": "Europe/Berlin" },
        "event": { "column": "art", "map": { "kauf": "purchase" } },
        "event_id": ["kunde", "zeit"],
        "identifiers": { "crm": "kunde" },
        "properties": { "total": { "column": "summe", "type": "decimal", "decimal": ",", "thousands": "." } },
        "consent": "ok",
        "catalogue": { "path": "p.csv", "key": "sku", "columns": { "category": "group" } },
    });
    let mut source =
        FileEvents::open(options::parse(&json.to_string()).unwrap(), Context::detached(dir.path())).unwrap();
    let Poll::Rows(rows) = source.poll(10, 1000).unwrap() else { panic!("no rows") };
    let codes: Vec<_> = rows.rejects.iter().map(|r| (r.row, r.message.as_str())).collect();
    assert_eq!(codes.len(), 2, "`ja` is no consent and `heute` no time: {codes:?}");
    assert!(
        codes[0].1.starts_with("column `ok`: found `ja`")
            && codes[1].1.starts_with("column `zeit`: found `heute`")
    );
    let batch = rows.batch;
    assert_eq!(batch.num_rows(), 1);
    let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().value(0).to_owned();
    assert_eq!(
        (text("event"), text("event_id"), text("consent")),
        ("purchase".into(), "8:24.12.2025 18:31".into(), "granted".into())
    );
    assert!(batch.column_by_name("category").unwrap().is_null(0));
    assert_eq!(batch.column_by_name("total").unwrap().as_primitive::<Float64Type>().value(0), 1.0);
    let time =
        batch.column_by_name("event_time").unwrap().as_primitive::<TimestampMicrosecondType>().value(0);
    assert_eq!(time, 1_766_597_460_000_000);
}

#[test]
fn every_option_explains_itself() {
    let schema: serde_json::Value = serde_json::from_str(&options::schema::<Config>()).unwrap();
    let options = schema["properties"].as_object().unwrap();
    let mute: Vec<_> =
        options.iter().filter(|(_, option)| option["description"].as_str().is_none()).collect();
    assert!(options.len() >= 9 && mute.is_empty(), "{mute:?}");
}

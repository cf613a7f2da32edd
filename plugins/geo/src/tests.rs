//! MaxMind's test databases against the table that they are made from, the law of shortening, and options.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

const CITY: &str = "GeoIP2-City-Test.mmdb";

fn fixtures() -> Option<PathBuf> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/geo");
    let there = std::path::Path::new(dir).join(CITY).exists();
    if !there {
        eprintln!("SKIPPED: no databases at {dir}");
    }
    there.then(|| dir.into())
}

fn parsed(config: Value) -> Config {
    serde_json::from_value(config).unwrap()
}

fn batch(ips: &[Option<&str>]) -> RecordBatch {
    let ips: ArrayRef = Arc::new(StringArray::from(ips.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("ip", ips, true)]).unwrap()
}

/// Each row's columns, `-` for null.
fn ran(dir: PathBuf, config: Value, ips: &[Option<&str>]) -> Vec<String> {
    let mut plugin = Geo::open(parsed(config), Context::detached(dir)).unwrap();
    let output = plugin.bind(batch(ips).schema()).unwrap();
    let made = plugin.process(batch(ips)).unwrap().batch;
    assert_eq!(made.schema(), output);
    let cell = |column: &ArrayRef, row| match column.is_valid(row) {
        true => column.as_string::<i32>().value(row).to_owned(),
        false => "-".to_owned(),
    };
    let row = |row| made.columns().iter().map(|column| cell(column, row)).collect::<Vec<_>>().join(" ");
    (0..made.num_rows()).map(row).collect()
}

/// By `source-data/GeoIP2-City-Test.json` of MaxMind-DB.
#[test]
fn known_networks_are_found() {
    let Some(dir) = fixtures() else { return };
    let cases = [
        (Some("2001:218:ffff::1"), "JP - - Asia/Tokyo"),
        (Some(" 2001:220::1 "), "KR - - Asia/Seoul"),
        (Some("214.0.0.77"), "SG - Singapore Asia/Singapore"),
        (Some("214.0.1.200"), "AU AU-VIC Melbourne Australia/Melbourne"),
        (Some("::ffff:214.0.1.200"), "AU AU-VIC Melbourne Australia/Melbourne"),
        // Known to the table, but without a place.
        (Some("214.1.1.9"), "- - - -"),
        // The table knows 81.2.69.142 to be in London, and nothing of 81.2.69.0.
        (Some("81.2.69.142"), "- - - -"),
        (Some("127.0.0.1"), "- - - -"),
        (Some("81.2.69"), "- - - -"),
        (Some("jane@example.com"), "- - - -"),
        (None, "- - - -"),
    ];
    let config = json!({ "database": CITY, "columns": ["country", "region", "city", "timezone"] });
    let found = ran(dir, config, &cases.map(|(ip, _)| ip));
    assert_eq!(found, cases.map(|(_, want)| want));
}

#[test]
fn only_the_shortened_address_is_kept() {
    let Some(dir) = fixtures() else { return };
    let ips = [Some("214.0.1.200"), Some("2001:218:85a3:8d3::1"), Some("jane@example.com"), None];
    let config = json!({ "database": "GeoLite2-Country-Test.mmdb", "columns": ["country"], "keep": true });
    let found = ran(dir.clone(), config, &ips);
    assert_eq!(
        found.iter().map(|row| row.split(' ').next().unwrap()).collect::<Vec<_>>(),
        ["214.0.1.0", "2001:218:85a3::", "-", "-"]
    );
    let usual = ran(dir, json!({ "database": CITY }), &ips);
    assert_eq!(usual[0], "AU AU-VIC Melbourne");
}

#[test]
fn the_database_must_fit() {
    let Some(dir) = fixtures() else { return };
    let config = json!({ "database": "GeoLite2-Country-Test.mmdb" });
    let fault = Geo::check(&parsed(config), &Context::detached(dir)).unwrap_err();
    assert_eq!(fault.problems[0].path, "/columns");
    assert!(fault.message.ends_with("is a GeoLite2-Country database, which has no `region`"), "{fault}");
}

#[test]
fn options_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("no.mmdb"), "no database").unwrap();
    for name in ["no.mmdb", "absent.mmdb"] {
        let config = parsed(json!({ "database": name }));
        let fault = Geo::check(&config, &Context::detached(dir.path())).unwrap_err();
        assert_eq!((fault.kind, fault.problems[0].path.as_str()), (FaultKind::Config, "/database"));
        assert!(fault.message.contains(name), "{fault}");
    }
    for wrong in [json!({}), json!({ "database": "x", "columns": ["postcode"] })] {
        assert!(serde_json::from_value::<Config>(wrong).is_err());
    }
}

proptest! {
    #[test]
    fn neighbours_are_one(bits: u32, wide: u128, last: u8, tail in 0..1_u128 << 80) {
        let v4 = |bits| place::shortened(&std::net::Ipv4Addr::from_bits(bits).to_string()).unwrap();
        let v6 = |bits| place::shortened(&std::net::Ipv6Addr::from_bits(bits).to_string()).unwrap();
        prop_assert_eq!(v4(bits), v4(bits & !0xff | u32::from(last)));
        prop_assert!(v4(bits) != v4(bits ^ 0x100));
        let global = wide | 1 << 127;
        prop_assert_eq!(v6(global), v6(global >> 80 << 80 | tail));
        prop_assert!(v6(global) != v6(global ^ 1 << 80));
    }
}

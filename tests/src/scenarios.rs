//! A scenario for each built-in plugin: options as an operator would write them, and data with the faults of real data.

use crate::{conformance::Scenario, services};
use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, ListBuilder, RecordBatch,
        StringArray, StringBuilder, StructArray, StructBuilder, TimestampMicrosecondArray, UInt32Array,
    },
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, Fields, Schema, UInt32Type},
};
use kindred_plugin_api::columns::{self, profile};
use serde_json::{Value, json};
use std::{fmt::Write, sync::Arc};

mod enrichments;

/// The scenario of a built-in plugin; none, and a line on standard error, where a service of this machine is missing.
///
/// # Panics
/// Where there is no plugin of this name.
pub fn of(plugin: &str) -> Option<Scenario> {
    Some(match plugin {
        "campaign-log" => campaign_log(),
        "consent" => consent(),
        "content-category" => enrichments::content_category(),
        "cookies" => cookies(),
        "crm-import" => crm_import(),
        "dsp-export" => dsp_export(),
        "file-events" => file_events(),
        "geo" => enrichments::geo(),
        "hash-identifiers" => hash_identifiers(),
        "http-pull" => http_pull(),
        "kafka" => kafka(),
        "lookalike" => lookalike(),
        "nats" => nats()?,
        "postgres" => postgres()?,
        "rules" => rules(),
        "session" => enrichments::session(),
        "taxonomy" => taxonomy(),
        "url" => enrichments::url(),
        "user-agent" => enrichments::user_agent(),
        other => panic!("no scenario for `{other}`; write one in tests/src/scenarios.rs"),
    })
}

fn source(plugin: &'static str, config: Value, files: Vec<(&'static str, String)>) -> Scenario {
    let files = files.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
    Scenario { plugin, config, files, input: None }
}

fn cookies() -> Scenario {
    let mut log = String::new();
    for row in 0..40 {
        let time = format!("2026-01-{:02}T10:{:02}:00Z", row % 28 + 1, row);
        let line = match row {
            7 => "{ not json".into(),
            13 => json!({ "id": "no-cookie", "event": "page_view", "time": time }).to_string(),
            21 => json!({ "id": "no-time", "cookie": "c1", "event": "page_view", "time": "soon" }).to_string(),
            _ => json!({
                "id": format!("e{row}"), "cookie": format!("c{}", row % 9), "event": "product_view", "time": time,
                "url": format!("https://shop.example/{row}"), "category": "winter-coats", "value": row,
            })
            .to_string(),
        };
        writeln!(log, "{line}").expect("memory");
    }
    source("cookies", json!({ "path": "logs/*.jsonl" }), vec![("logs/web.jsonl", log)])
}

fn file_events() -> Scenario {
    let mut table = String::from("basket_id,product_id,household_id,time,quantity,sales_value\n");
    for row in 0..30 {
        let quantity = if row == 11 { "many".into() } else { (row % 4 + 1).to_string() };
        writeln!(
            table,
            "b{},p{},h{},2026-01-{:02} 12:00:00,{quantity},{}.5",
            row / 3,
            row % 5,
            row % 7,
            row % 28 + 1,
            row
        )
        .expect("memory");
    }
    table.push_str("b99,p1,h1\n");
    let catalogue = "product_id,product_category\np0,COATS\np1,SHOES\np2,\"HATS, CAPS\"\np3,\n";
    let config = json!({
        "path": "transactions.csv",
        "time": { "column": "time", "timezone": "Europe/Berlin" },
        "event": "purchase",
        "event_id": ["basket_id", "product_id"],
        "identifiers": { "household": "household_id" },
        "properties": { "quantity": { "column": "quantity", "type": "integer" }, "sales_value": { "column": "sales_value", "type": "decimal" } },
        "catalogue": { "path": "products.csv", "key": "product_id", "columns": { "category": "product_category" } },
    });
    source("file-events", config, vec![("transactions.csv", table), ("products.csv", catalogue.into())])
}

fn crm_import() -> Scenario {
    let mut table = String::from("customer_id;mail;country;income;born\n");
    for row in 0..25 {
        let mail = if row == 5 { "not an address".into() } else { format!("  Person{row}@Example.com ") };
        writeln!(table, "{row};{mail};DE;1.{row:03},50;{:02}.02.1980", row % 28 + 1).expect("memory");
    }
    table.push_str("26;\"open quote;DE;1;01.01.1970\n27;a@b.de;AT;2;02.01.1970\n");
    let config = json!({
        "path": "customers.csv",
        "text": { "delimiter": ";" },
        "keys": { "crm": "customer_id", "email": { "column": "mail", "kind": "email", "hash": "sha256" } },
        "attributes": { "country": "country", "born": { "column": "born", "type": "timestamp", "format": "%d.%m.%Y" } },
        "as_of": "2026-01-31",
    });
    source("crm-import", config, vec![("customers.csv", table)])
}

fn campaign_log() -> Scenario {
    let mut table = String::from("type,date,cookie,campaign,creative,cost\n");
    for row in 0..32 {
        let kind = ["IMP", "CLK", "CONV", "SPEND"][row % 4];
        let cookie = if kind == "SPEND" { String::new() } else { format!("c{}", row % 6) };
        writeln!(table, "{kind},2026-01-{:02},{cookie},winter,banner-{},{}.25", row % 28 + 1, row % 3, row)
            .expect("memory");
    }
    table.push_str("VIEW,2026-01-01,c1,winter,,\n");
    let map = json!({ "IMP": "impression", "CLK": "click", "CONV": "conversion", "SPEND": "spend" });
    let config = json!({
        "path": "ads.csv",
        "event": { "column": "type", "map": map },
        "identifiers": { "cookie": "cookie" },
    });
    source("campaign-log", config, vec![("ads.csv", table)])
}

/// A message of a broker, one in many with a fault.
fn message(row: usize) -> String {
    match row {
        7 => "{ not json".into(),
        13 => json!({ "event": "purchase" }).to_string(),
        _ => json!({ "user": { "id": format!("u{}", row % 5) }, "event": "purchase", "total": row })
            .to_string(),
    }
}

fn kafka() -> Scenario {
    let brokers = services::topics(&[("orders", 3), ("visits", 2)], (0..30).map(message));
    let config = json!({
        "brokers": brokers,
        "topics": ["orders", "visits"],
        "group": "kindred",
        "follow": false,
        "identifiers": { "user": "user.id" },
        "event": { "column": "event" },
        "properties": { "total": { "type": "decimal" }, "topic": "kafka.topic" },
    });
    source("kafka", config, Vec::new())
}

fn nats() -> Option<Scenario> {
    let (servers, stream) = services::stream("KINDRED-CONFORMANCE", (0..30).map(message))?;
    let config = json!({
        "servers": servers,
        "stream": stream,
        "follow": false,
        "identifiers": { "user": "user.id" },
        "event": { "column": "event" },
        "properties": { "total": { "type": "decimal" } },
    });
    Some(source("nats", config, Vec::new()))
}

fn postgres() -> Option<Scenario> {
    let (connection, table) = services::table()?;
    let config = json!({
        "connection": connection,
        "table": table,
        "cursor": "updated_at",
        "overlap": 0,
        "keys": { "crm": "id", "email": "mail" },
        "attributes": { "country": "country", "income": "income", "born": { "type": "timestamp" } },
    });
    Some(source("postgres", config, Vec::new()))
}

fn http_pull() -> Scenario {
    let record = |row: u64| match row {
        7 => json!("no object"),
        13 => json!({ "number": row, "at": "2026-01-01" }),
        _ => {
            json!({ "number": row, "user": format!("u{}", row % 5), "at": "2026-01-01T12:00:00Z", "total": row })
        }
    };
    let records = (1..=30).map(record).collect();
    let config = json!({
        "url": services::pages(records),
        "records": "items",
        "paging": { "by": "page", "parameter": "page", "size": 8 },
        "cursor": { "field": "number", "parameter": "after" },
        "identifiers": { "user": "user" },
        "event": "order",
        "time": "at",
        "properties": { "total": { "type": "decimal" } },
    });
    source("http-pull", config, Vec::new())
}

fn hash_identifiers() -> Scenario {
    let mails = [
        Some("Jane.Doe+shop@Gmail.com"),
        Some(" jane@example.com"),
        None,
        Some("no address"),
        Some(""),
        Some("ümläut@example.com"),
        Some("a@b.de"),
        Some("A@B.DE"),
        Some("x@y"),
        None,
    ];
    let phones = [
        Some("0151 12345678"),
        Some("+49 151 12345678"),
        None,
        Some("12"),
        Some("abc"),
        Some("+1 202 555 0123"),
        None,
        Some(""),
        Some("0049 30 123456"),
        Some("+49-30-123456"),
    ];
    let input = events(vec![
        ("id.email", Arc::new(StringArray::from(mails.to_vec()))),
        ("id.phone", Arc::new(StringArray::from(phones.to_vec()))),
    ]);
    let config = json!({ "columns": {
        "email": { "kind": "email", "hash": "sha256" },
        "email_google": { "from": "email", "kind": "email-google", "hash": "sha256-base64" },
        "phone": { "kind": "phone", "hash": "sha256", "region": "DE" },
    } });
    Scenario { plugin: "hash-identifiers", config, files: Vec::new(), input: Some(input) }
}

fn consent() -> Scenario {
    // Purposes 1, 3, 4 and vendor 21, in both forms; then what is cut, foreign, empty or missing.
    let whole = "CQgYw8AQgYw8AEsACBENAHEgALAAAAAAAAAAAKgAACAAAAAA";
    let strings = [
        Some(whole),
        None,
        Some(&whole[..30]),
        Some(""),
        Some("nothing like it"),
        Some(whole),
        None,
        Some("BOnce"),
        Some(whole),
        None,
    ];
    let platform = [
        None,
        Some("DBABRg~BVYAABY"),
        None,
        Some("DBABRg"),
        None,
        None,
        Some("DBABRg~BVoAABY"),
        None,
        None,
        None,
    ];
    let control = (0..10).map(|row| Some(if row == 5 { "1" } else { "0" }));
    let given = (0..10).map(|row| (row == 8).then_some("collect"));
    let input = events(vec![
        ("tcf", Arc::new(StringArray::from(strings.to_vec()))),
        ("gpp", Arc::new(StringArray::from(platform.to_vec()))),
        ("sec_gpc", Arc::new(control.collect::<StringArray>())),
        (columns::CONSENT, Arc::new(given.collect::<StringArray>())),
    ]);
    let config = json!({ "tcf": "tcf", "gpp": "gpp", "gpc": "sec_gpc", "policy": { "vendor": 21 } });
    Scenario { plugin: "consent", config, files: Vec::new(), input: Some(input) }
}

fn taxonomy() -> Scenario {
    let categories = [
        Some("winter-coats"),
        Some("cars"),
        None,
        Some(""),
        Some("WINTER-COATS"),
        Some("unknown"),
        Some("cars"),
        Some("from-file"),
        Some("winter-coats"),
        None,
    ];
    let input = events(vec![("category", Arc::new(StringArray::from(categories.to_vec())))]);
    let config = json!({ "map": { "winter-coats": "IAB 483", "cars": "2" }, "map_file": "categories.csv" });
    let file = b"category,id\nfrom-file,IAB 481\ncars,3\n".to_vec();
    Scenario { plugin: "taxonomy", config, files: vec![("categories.csv", file)], input: Some(input) }
}

/// Ten events with an id, a time and these columns.
fn events(more: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let ids: StringArray = (0..10).map(|row| Some(format!("e{row}"))).collect();
    let times =
        TimestampMicrosecondArray::from_iter_values((0..10).map(|row| DAY_US * row)).with_timezone("+00:00");
    let fixed: [(&str, ArrayRef); 3] = [
        (columns::EVENT_ID, Arc::new(ids)),
        (columns::EVENT_TIME, Arc::new(times)),
        ("value", Arc::new(Float64Array::from_iter_values((0..10).map(f64::from)))),
    ];
    let all: Vec<(&str, ArrayRef)> = fixed.into_iter().chain(more).collect();
    let fields: Vec<Field> =
        all.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let columns = all.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns of ten rows")
}

fn dsp_export() -> Scenario {
    let rows = 10_u32;
    let operations: StringArray = (0..rows).map(|row| Some(if row < 8 { "add" } else { "remove" })).collect();
    let since = TimestampMicrosecondArray::from_value(AS_OF_US, rows as usize).with_timezone("+00:00");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["vip"; rows as usize])),
        Arc::new(operations),
        Arc::new(UInt32Array::from_iter_values(0..rows)),
        identifiers(rows, |row| {
            // One has two, one has none of the kind, one has a value that no file can hold.
            match row {
                3 => vec![("cookie", "c3".into()), ("cookie", "c3b".into())],
                5 => vec![("email_sha256", "0".repeat(64))],
                6 => vec![("cookie", "a,b\n\"c\"".into())],
                _ => vec![("cookie", format!("c{row}"))],
            }
        }),
        Arc::new(StringArray::from(vec!["granted"; rows as usize])),
        Arc::new(since),
    ];
    let input = RecordBatch::try_new(columns::activation(), columns).expect("activation rows");
    let config = json!({ "format": "csv", "path": "out", "identifier": "cookie" });
    Scenario { plugin: "dsp-export", config, files: Vec::new(), input: Some(input) }
}

fn rules() -> Scenario {
    let rule = "count(event = 'purchase' AND category = 'coats', '30 days') >= 2 \
                OR attr('crm.country') = 'AT' AND NOT in_segment('vip') AND has_identifier('cookie')";
    Scenario { plugin: "rules", config: json!({ "rule": rule }), files: Vec::new(), input: Some(profiles()) }
}

fn lookalike() -> Scenario {
    let config = json!({ "seed": "vip", "count": 7, "minimum_seed": 10 });
    Scenario { plugin: "lookalike", config, files: Vec::new(), input: Some(profiles()) }
}

const DAY_US: i64 = 86_400_000_000;
const AS_OF_US: i64 = 20_000 * DAY_US;
const PROFILES: u32 = 120;

/// Profiles of which every third is a VIP, who buys more coats than others and is older.
fn profiles() -> RecordBatch {
    let rows = PROFILES as usize;
    let vip = |row: u32| row.is_multiple_of(3);
    let utc = |times: TimestampMicrosecondArray| -> ArrayRef { Arc::new(times.with_timezone("+00:00")) };
    let country: StringArray = (0..PROFILES)
        .map(|row| [Some("DE"), Some("AT"), None][row as usize % 3 * (row as usize % 2)])
        .collect();
    let age: Int64Array = (0..PROFILES)
        .map(|row| (row % 11 != 0).then_some(i64::from(20 + row % 9 + if vip(row) { 8 } else { 0 })))
        .collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        (profile::PROFILE, Arc::new(UInt32Array::from_iter_values(0..PROFILES)), false),
        (profile::AS_OF, utc(TimestampMicrosecondArray::from_value(AS_OF_US, rows)), false),
        (
            profile::IDENTIFIERS,
            identifiers(PROFILES, |row| {
                vec![(["crm", "cookie"][usize::from(row % 5 != 0)], format!("i{row}"))]
            }),
            false,
        ),
        (columns::CONSENT, Arc::new(StringArray::from(vec!["granted"; rows])), false),
        ("attr.crm.country", Arc::new(country), true),
        ("attr.crm.age", Arc::new(age), true),
        ("in.vip", Arc::new(BooleanArray::from_iter((0..PROFILES).map(|row| Some(vip(row))))), false),
        (profile::EVENTS, event_lists(|row| if vip(row) { 2 + row % 4 } else { row % 6 }), false),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, c, nullable)| Field::new(*name, c.data_type().clone(), *nullable))
        .collect();
    let columns = columns.into_iter().map(|(_, column, _)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns of one length")
}

/// So many events for each profile, ascending by time.
fn event_lists(count: impl Fn(u32) -> u32) -> ArrayRef {
    let counts: Vec<usize> = (0..PROFILES).map(|row| count(row) as usize).collect();
    let each = || (0..PROFILES).flat_map(|row| (0..count(row)).map(move |i| (row, i)));
    let age_days = |row: u32, i: u32| i64::from(45 - i * 6 - row % 6);
    let times = TimestampMicrosecondArray::from_iter_values(
        each().map(|(row, i)| AS_OF_US - age_days(row, i) * DAY_US),
    );
    let coded = |f: fn(u32, u32) -> &'static str| -> ArrayRef {
        Arc::new(each().map(|(row, i)| Some(f(row, i))).collect::<DictionaryArray<UInt32Type>>())
    };
    let values: Float64Array =
        each().map(|(row, i)| (i % 3 != 2).then_some(f64::from(row % 13 + i))).collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        (columns::EVENT_TIME, Arc::new(times.with_timezone("+00:00")), false),
        (columns::EVENT, coded(|row, i| ["page_view", "purchase"][usize::from((row + i) % 3 != 0)]), false),
        (profile::SOURCE, coded(|_, _| "web"), false),
        ("category", coded(|row, i| ["coats", "shoes", "hats"][(row / 3 + i / 2) as usize % 3]), true),
        ("value", Arc::new(values), true),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, c, nullable)| Field::new(*name, c.data_type().clone(), *nullable))
        .collect();
    let columns = columns.into_iter().map(|(_, column, _)| column).collect();
    let events = StructArray::new(Fields::from(fields), columns, None);
    let item = Arc::new(Field::new("item", events.data_type().clone(), false));
    let offsets = OffsetBuffer::from_lengths(counts);
    Arc::new(arrow::array::ListArray::new(item, offsets, Arc::new(events), None))
}

fn identifiers(rows: u32, of: impl Fn(u32) -> Vec<(&'static str, String)>) -> ArrayRef {
    let DataType::List(item) = profile::identifiers() else { unreachable!("identifiers are a list") };
    let DataType::Struct(fields) = item.data_type() else { unreachable!("of namespace and value") };
    let pair = StructBuilder::new(
        fields.clone(),
        vec![Box::new(StringBuilder::new()), Box::new(StringBuilder::new())],
    );
    let mut lists = ListBuilder::new(pair).with_field(item.clone());
    for row in 0..rows {
        for (namespace, value) in of(row) {
            for (index, text) in [(0, namespace), (1, value.as_str())] {
                lists.values().field_builder::<StringBuilder>(index).expect("a string").append_value(text);
            }
            lists.values().append(true);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

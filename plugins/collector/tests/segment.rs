//! Segment's API and the servers' JSON, from the socket to the rows.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;
use common::*;

use arrow::{
    array::{Array, AsArray},
    datatypes::{Float64Type, Int64Type, TimestampMicrosecondType},
};
use kindred_collector::Shared;
use kindred_plugin_api::options;

const ORIGIN: (&str, &str) = ("origin", "https://shop.example");

#[test]
fn each_call_becomes_what_the_spec_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let auth = basic("wk_shop_1");
    let auth = [("authorization", auth.as_str())];
    for (path, body) in [
        (
            "/v1/p",
            r#"{"messageId":"1","userId":"u","context":{"page":{"url":"https://shop.example/a","title":"A"}}}"#,
        ),
        (
            "/v1/track",
            r#"{"messageId":"2","userId":"u","event":"product_view","properties":{"category":"coats","value":"12.5"}}"#,
        ),
        ("/v1/identify", r#"{"messageId":"3","userId":7,"anonymousId":"x","traits":{"country":"DE"}}"#),
        ("/v1/g", r#"{"messageId":"4","userId":"u","groupId":"g"}"#),
        ("/v1/alias", r#"{"messageId":"5","userId":"new","previousId":"old"}"#),
        ("/v1/s", r#"{"messageId":"6","anonymousId":"a"}"#),
    ] {
        let answer = server.post(path, &auth, body);
        assert_eq!((answer.status, answer.body.as_slice()), (200, &br#"{"success":true}"#[..]), "{path}");
        assert_eq!(answer.cookie(), None, "a server is no visitor");
    }
    let batch = server.batch();
    assert_eq!(texts(&batch, "event"), ["page_view", "product_view", "∅", "group", "∅", "screen_view"]);
    assert_eq!(texts(&batch, "event_id"), ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(texts(&batch, "id.user"), ["u", "u", "7", "u", "new", "∅"]);
    assert_eq!(texts(&batch, "id.anonymous"), ["∅", "∅", "x", "∅", "old", "a"]);
    assert_eq!(texts(&batch, "url")[0], "https://shop.example/a");
    assert_eq!(texts(&batch, "title")[0], "A");
    assert_eq!(texts(&batch, "category")[1], "coats");
    assert_eq!(batch.column_by_name("value").unwrap().as_primitive::<Float64Type>().value(1), 12.5);
    assert_eq!(texts(&batch, "site"), ["shop"; 6]);
    assert_eq!(texts(&batch, "consent"), ["granted"; 6]);
    assert_eq!(texts(&batch, "consent_version"), ["none"; 6]);
    assert_eq!(texts(&batch, "ip"), ["∅"; 6], "a server's address is no visitor's");
}

#[test]
fn a_browser_sends_text_with_its_key_inside_and_gets_a_cookie() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let headers = [ORIGIN, ("content-type", "text/plain"), ("user-agent", "Firefox")];
    let body = r#"{"writeKey":"wk_shop_1","batch":[{"type":"page","messageId":"1"},{"type":"track","event":"e","messageId":"2"}]}"#;
    let answer = server.post("/v1/b", &headers, body);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.header("access-control-expose-headers"), Some("retry-after"));
    assert_eq!(answer.body, br#"{"success":true,"collected":true}"#);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.ends_with("Secure; HttpOnly; SameSite=Lax"), "{cookie}");
    let pair = answer.cookie().unwrap().to_owned();
    let again = server.post(
        "/v1/b",
        &[ORIGIN, ("cookie", &pair)],
        &body.replace("\"1\"", "\"3\"").replace("\"2\"", "\"4\""),
    );
    assert_eq!((again.status, again.cookie()), (200, None));
    let mut changed = pair.clone();
    changed.replace_range(15..16, if &pair[15..16] == "A" { "B" } else { "A" });
    let forged =
        server.post("/v1/p", &[ORIGIN, ("cookie", &changed)], r#"{"writeKey":"wk_shop_1","messageId":"5"}"#);
    assert!(forged.cookie().is_some_and(|cookie| cookie != changed && cookie != pair), "a new one");
    let batch = server.batch();
    let ids = texts(&batch, "id.cookie");
    assert!(ids[..4].iter().all(|id| *id == ids[0] && pair.contains(id.as_str())), "{ids:?}");
    assert_ne!(ids[4], ids[0]);
    assert_eq!(texts(&batch, "ip"), ["127.0.0.0"; 5]);
    assert_eq!(texts(&batch, "user_agent")[0], "Firefox");
}

#[test]
fn preflights_and_settings_are_answered_as_the_browser_sdk_needs_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let asked = [
        ORIGIN,
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    let answer = server.ask("OPTIONS", "/v1/t", &asked, b"");
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("authorization"));
    assert!(!answer.head.contains("*"), "never a star: {}", answer.head);
    let settings = server.get("/v1/projects/wk_shop_1/settings", &[ORIGIN]);
    assert_eq!(settings.status, 200);
    let json: serde_json::Value = serde_json::from_slice(&settings.body).unwrap();
    assert_eq!(json["integrations"]["Segment.io"]["apiHost"], "c.shop.example/v1");
    assert_eq!(server.get("/v1/projects/wk_other/settings", &[ORIGIN]).status, 401);
}

#[test]
fn foreign_origins_and_keys_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let body = r#"{"writeKey":"wk_shop_1","messageId":"1","userId":"u"}"#;
    for origin in ["https://evil.example", "null", "https://shop.example.evil.example", "http://shop.example"]
    {
        for method in ["POST", "OPTIONS"] {
            let answer = server.ask(method, "/v1/p", &[("origin", origin)], body.as_bytes());
            assert_eq!(
                (answer.status, answer.header("access-control-allow-origin")),
                (403, None),
                "{origin}"
            );
        }
    }
    // Listed, but by another site.
    assert_eq!(server.post("/v1/p", &[("origin", "https://strict.example")], body).status, 403);
    for key in ["", "wk_shop_2", "WK_SHOP_1"] {
        assert_eq!(server.post("/v1/p", &[("authorization", &basic(key))], "{}").status, 401, "{key}");
    }
    assert_eq!(server.post("/v1/p", &[("authorization", "Basic %%%")], "{}").status, 401);
    assert_eq!(server.post("/v1/nonsense", &[], body).status, 404);
    assert_eq!(server.rows().0.len(), 0);
}

#[test]
fn servers_send_with_a_bearer_key_in_any_shape() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let event = |id: &str| {
        format!(
            r#"{{"type":"track","event":"e","messageId":"{id}","userId":"u","context":{{"ip":"203.0.113.77","device":{{"type":"ios","advertisingId":"6D92078A-8246-4BA4-AE5B-76104861E7DC"}}}}}}"#
        )
    };
    let auth = [("authorization", BEARER)];
    for body in [event("1"), format!("[{}]", event("2")), format!(r#"{{"events":[{}]}}"#, event("3"))] {
        assert_eq!(server.post("/v1/events", &auth, &body).status, 200, "{body}");
    }
    assert_eq!(server.post("/v1/events", &[("authorization", &basic("wk_shop_1"))], &event("4")).status, 401);
    let batch = server.batch();
    assert_eq!(texts(&batch, "event_id"), ["1", "2", "3"]);
    assert_eq!(texts(&batch, "ip"), ["203.0.113.0"; 3]);
    assert_eq!(texts(&batch, "id.idfa"), ["6D92078A-8246-4BA4-AE5B-76104861E7DC"; 3]);
    assert_eq!(texts(&batch, "id.aaid"), ["∅"; 3]);
}

#[test]
fn sessions_are_text_whatever_a_client_numbers_them_with() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let page = |id: &str, context: &str| {
        format!(r#"{{"type":"page","messageId":"{id}","userId":"u","context":{context}}}"#)
    };
    // The tag sends text, RudderStack the millisecond that a session began in.
    let [tag, rudder] = [r#"{"sessionId":"6f1c-a"}"#, r#"{"sessionId":1767960000000,"sessionStart":true}"#];
    let events = [page("1", tag), page("2", rudder), page("3", "{}"), page("4", r#"{"sessionId":null}"#)];
    let body = format!("[{}]", events.join(","));
    assert_eq!(server.post("/v1/events", &[("authorization", BEARER)], &body).status, 200);
    assert_eq!(texts(&server.batch(), "session_id"), ["6f1c-a", "1767960000000", "∅", "∅"]);
}

#[test]
fn options_of_files_make_typed_properties_and_hashed_identifiers() {
    let dir = tempfile::tempdir().unwrap();
    let shared = Shared {
        identifiers: options::parse(r#"{"email":"traits.email","crm":"crm_id"}"#).unwrap(),
        properties: options::parse(
            r#"{"price":{"column":"properties.price","type":"integer"},"color":"color"}"#,
        )
        .unwrap(),
        events: [("buy".to_owned(), "purchase".to_owned())].into(),
        ..Shared::default()
    };
    let config = config(r#","traits":{"age":{"type":"integer"}}"#);
    let mut server = open(dir.path(), &config, &shared, None);
    let auth = [("authorization", BEARER)];
    let body = r#"[{"type":"track","event":"buy","messageId":"1","userId":"u","properties":{"price":9007199254740993,"color":"red","crm_id":"c7"}},
        {"type":"identify","messageId":"2","userId":"u","traits":{"email":" Anna@Example.com ","age":33}},
        {"type":"track","event":"buy","messageId":"3","userId":"u","properties":{"price":"not a number: anna@example.com"}}]"#;
    assert_eq!(server.post("/v1/events", &auth, body).status, 200);
    let (batches, rejects) = server.rows();
    let batch = &batches[0];
    assert_eq!(texts(batch, "event"), ["purchase", "∅"]);
    assert_eq!(
        batch.column_by_name("price").unwrap().as_primitive::<Int64Type>().value(0),
        9_007_199_254_740_993
    );
    assert_eq!(texts(batch, "color")[0], "red");
    assert_eq!(texts(batch, "id.crm")[0], "c7");
    assert_eq!(batch.column_by_name("attr.age").unwrap().as_primitive::<Int64Type>().value(1), 33);
    // By Python's hashlib.
    let email = "f7d54c22dda5b1780276601cd005909b70543fc4a6ba72d735b4cb9bbb611f01";
    assert_eq!(texts(batch, "id.email_sha256")[1], email);
    assert_eq!(codes(&rejects), ["value"]);
    assert!(rejects[0].payload.is_empty() && !rejects[0].message.contains("anna"), "{rejects:?}");
    assert!(rejects[0].origin.starts_with("shop/events") && rejects[0].row == 3, "{rejects:?}");
}

#[test]
fn the_same_batch_five_times_is_the_same_ids_and_another_event_under_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let auth = [("authorization", BEARER)];
    for sent in 0..5 {
        let body = format!(
            r#"{{"sentAt":"2026-01-01T00:00:0{sent}Z","batch":[{{"type":"page","messageId":"1","userId":"u","timestamp":"2026-01-01T00:00:00Z"}},
                {{"type":"track","event":"e","userId":"u","timestamp":"2026-01-01T00:00:00Z"}}]}}"#
        );
        assert_eq!(server.post("/v1/events", &auth, &body).status, 200);
    }
    let other =
        r#"[{"type":"page","messageId":"1","userId":"somebody else","timestamp":"2026-01-01T00:00:00Z"}]"#;
    assert_eq!(server.post("/v1/events", &auth, other).status, 200);
    let (batches, rejects) = server.rows();
    let ids: std::collections::BTreeSet<String> =
        batches.iter().flat_map(|batch| texts(batch, "event_id")).collect();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 10);
    assert_eq!(ids.len(), 2, "one of them made of what the event holds: {ids:?}");
    assert_eq!(codes(&rejects), ["id-reused"]);
}

#[test]
fn clocks_are_corrected_and_wrong_ones_flagged() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let auth = [("authorization", BEARER)];
    let body = r#"{"sentAt":"1999-01-01T00:00:00Z","batch":[{"type":"page","messageId":"1","userId":"u","timestamp":"1999-01-01T00:00:00Z"}]}"#;
    assert_eq!(server.post("/v1/events", &auth, body).status, 200);
    let past = r#"{"type":"page","messageId":"2","userId":"u","timestamp":"2020-05-05T00:00:00Z"}"#;
    assert_eq!(server.post("/v1/events", &auth, past).status, 200);
    let batch = server.batch();
    assert_eq!(texts(&batch, "clock"), ["corrected", "∅"]);
    let times = batch.column_by_name("event_time").unwrap().as_primitive::<TimestampMicrosecondType>();
    assert!(times.value(0) > 1_767_000_000_000_000);
    assert_eq!(times.value(1), 1_588_636_800_000_000);
    assert_eq!(times.null_count(), 0);
}

//! Pixel, tag, Snowplow and cookie sync: what browsers send, and what they may keep.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;
use common::*;

use kindred_collector::Shared;

/// No purpose has consent.
const NOTHING: &str = "CQgYw8AQgYw8AEsACBENAHFgAAAAAAAAAAAAAAAAAAAA";
/// Purposes 1, 3 and 4 have consent.
const TCF: &str = "CQgYw8AQgYw8AEsACBENAHFgALAAAAAAAAAAAKgAACAAAAAA";
const ORIGIN: (&str, &str) = ("origin", "https://shop.example");

#[test]
fn a_pixel_is_an_event_without_a_script() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let headers = [("referer", "https://shop.example/coats?a=1"), ("user-agent", "Mail")];
    let answer =
        server.get("/pixel.gif?k=wk_shop_1&e=open&id=m1&p.category=coats%20%26%20hats&p.value=3", &headers);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/gif")));
    assert!(answer.header("cache-control").unwrap().contains("no-store"));
    assert!(answer.body.starts_with(b"GIF89a\x01\0\x01\0") && answer.body.ends_with(b";"));
    assert!(answer.cookie().is_some());
    assert_eq!(server.get("/pixel.gif?k=wk_shop_1&p.a=%00", &[]).status, 400);
    assert_eq!(server.get("/pixel.gif?k=nobody", &[]).status, 401);
    let batch = server.batch();
    assert_eq!(texts(&batch, "event"), ["open"]);
    assert_eq!(texts(&batch, "event_id"), ["m1"]);
    assert_eq!(texts(&batch, "category"), ["coats & hats"]);
    assert_eq!(texts(&batch, "url"), ["https://shop.example/coats?a=1"]);
    assert_eq!(texts(&batch, "user_agent"), ["Mail"]);
}

/// A GET of the pixel does not go through the router, and a HEAD of it does.
#[test]
fn what_holds_for_every_request_holds_for_the_pixel() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let path = "/pixel.gif?k=wk_shop_1";
    let long = "a".repeat(9000);
    let cases: [(&[(&str, &str)], u16); 4] = [
        (&[], 200),
        (&[ORIGIN], 200),
        (&[("origin", "https://evil.example")], 403),
        (&[("cookie", &long)], 431),
    ];
    for (headers, status) in cases {
        let [get, head] = ["GET", "HEAD"].map(|method| server.ask(method, path, headers, b""));
        assert_eq!((get.status, head.status), (status, status), "{headers:?}");
        let names = |answer: &Answer| {
            let names = answer.head.lines().filter_map(|line| line.split_once(": "));
            let mut named: Vec<(String, String)> = names
                .filter(|(name, _)| !["date", "set-cookie"].contains(name))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            named.sort();
            named
        };
        assert_eq!(names(&get), names(&head));
        assert!(get.header("x-content-type-options").is_some() && get.header("vary").is_some());
        assert!(!get.body.is_empty() && head.body.is_empty());
    }
    assert_eq!(server.ask("POST", path, &[], b"").status, 405);
}

#[test]
fn without_consent_nothing_is_stored_and_nothing_set_but_the_page_does_not_break() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    for path in [
        "/pixel.gif?k=wk_strict_1".to_owned(),
        "/pixel.gif?k=wk_strict_1&gdpr=1".to_owned(),
        format!("/pixel.gif?k=wk_strict_1&gdpr_consent={}", &TCF[..20]),
        // GDPR applies and no string: also where no signal at all would do.
        "/pixel.gif?k=wk_shop_1&gdpr=1".to_owned(),
        "/pixel.gif?k=wk_shop_1&gpp=nonsense".to_owned(),
        "/i?e=pv&aid=strict".to_owned(),
    ] {
        let answer = server.get(&path, &[]);
        assert_eq!((answer.status, answer.cookie()), (200, None), "{path}");
    }
    let body =
        r#"{"writeKey":"wk_shop_1","batch":[{"type":"page","context":{"consent":{"status":"denied"}}}]}"#;
    let answer = server.post("/v1/batch", &[ORIGIN], body);
    assert_eq!((answer.status, answer.cookie()), (200, None));
    assert_eq!(answer.body, br#"{"success":true,"collected":false}"#, "so that the tag keeps nothing either");
    let (batches, rejects) = server.rows();
    assert_eq!((batches.len(), rejects.len()), (0, 0));
}

#[test]
fn consent_decides_on_each_event_of_a_batch_and_travels_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let event = |id: &str, consent: &str| {
        format!(r#"{{"type":"page","messageId":"{id}","userId":"u","context":{{"consent":{consent}}}}}"#)
    };
    let tcf = format!(r#"{{"gdpr":1,"gdpr_consent":"{TCF}"}}"#);
    let body = format!(
        r#"{{"writeKey":"wk_strict_1","batch":[{},{},{}]}}"#,
        event("yes", &tcf),
        event("no", "{}"),
        event("broken", r#"{"tcf":"junk"}"#)
    );
    let answer = server.post("/v1/batch", &[("origin", "https://strict.example"), ("sec-gpc", "1")], &body);
    assert_eq!(answer.status, 200);
    assert!(answer.cookie().is_some());
    let batch = server.batch();
    let events = texts(&batch, "event");
    assert_eq!(events, ["page_view", "page_view", "∅"], "GPC alone is an opt-out, not a denial to collect");
    assert_eq!(texts(&batch, "consent"), ["collect segment", "collect segment", "denied"]);
    // Of an event that is denied nothing is kept but whose it was, so that a consent can be withdrawn.
    assert_eq!(texts(&batch, "id.user"), ["u"; 3]);
    assert_eq!((&*texts(&batch, "consent_version")[2], &*texts(&batch, "url")[2]), ("malformed", "∅"));
    assert_eq!(texts(&batch, "consent_version")[1], "gpc");
    let version = &texts(&batch, "consent_version")[0];
    assert!(version.starts_with("tcf2 ") && version.ends_with(", gpc"), "{version}");
    // The cookie that consent platforms set is a signal, too.
    let cookie = format!("euconsent-v2={TCF}");
    assert_eq!(server.get("/pixel.gif?k=wk_strict_1", &[("cookie", &cookie)]).status, 200);
    assert_eq!(texts(&server.batch(), "consent"), ["granted"]);
}

#[test]
fn a_status_takes_consent_back_where_no_signal_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let event = |id: &str, consent: &str| {
        format!(r#"{{"type":"page","messageId":"{id}","anonymousId":"a","context":{{"consent":{consent}}}}}"#)
    };
    let (silent, denied) = (event("silent", "{}"), event("denied", r#"{"status":"denied"}"#));
    let body = format!(r#"{{"writeKey":"wk_shop_1","batch":[{silent},{denied}]}}"#);
    assert_eq!(server.post("/v1/batch", &[], &body).status, 200);
    let batch = server.batch();
    assert_eq!(texts(&batch, "event"), ["page_view", "∅"]);
    assert_eq!(texts(&batch, "consent"), ["granted", "denied"]);
    assert_eq!(texts(&batch, "id.anonymous"), ["a"; 2]);
    // Who is silent takes nothing back, also where that is not enough to be stored.
    let body = format!(r#"{{"writeKey":"wk_strict_1","batch":[{}]}}"#, event("nothing", "{}"));
    assert_eq!(server.post("/v1/batch", &[], &body).status, 200);
    assert!(server.rows().0.is_empty());
}

#[test]
fn a_known_visitor_who_withdraws_consent_is_told_and_loses_the_cookie() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let pixel = |consent: &str| format!("/pixel.gif?k=wk_strict_1&p.secret=word&gdpr_consent={consent}");
    let first = server.get(&pixel(TCF), &[]);
    let cookie = first.cookie().unwrap().split(';').next().unwrap().to_owned();
    let id = texts(&server.batch(), "id.cookie")[0].clone();
    let answer = server.get(&pixel(NOTHING), &[("cookie", &cookie)]);
    assert_eq!(answer.cookie(), Some("kindred_id="));
    let batch = server.batch();
    assert_eq!((texts(&batch, "id.cookie"), texts(&batch, "consent")), (vec![id], vec!["denied".to_owned()]));
    assert_eq!((&*texts(&batch, "event")[0], &*texts(&batch, "user_agent")[0]), ("∅", "∅"));
    // Nobody knows who sends no cookie.
    assert_eq!(server.get(&pixel(NOTHING), &[]).cookie(), None);
    assert_eq!(server.rows().0.len(), 0);
}

#[test]
fn snowplow_trackers_are_understood() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let path = "/com.snowplowanalytics.snowplow/tp2";
    let body = r#"{"schema":"iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4","data":[
        {"e":"pv","eid":"s1","aid":"shop","duid":"d1","url":"https://shop.example/","page":"Home","dtm":"1767960000000","stm":"1767960000000","ip":"203.0.113.9","sid":"v1","vid":"1"},
        {"e":"se","eid":"s2","aid":"shop","duid":"d1","se_ca":"coats","se_ac":"add_to_cart","se_va":"2.5"},
        {"e":"?","eid":"s3","aid":"shop"}]}"#;
    let answer = server.post(path, &[ORIGIN, ("content-type", "application/json")], body);
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok"[..]));
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    assert!(answer.cookie().is_some());
    assert_eq!(
        server.get("/i?e=pv&eid=s4&aid=shop&duid=d1&url=https%3A%2F%2Fshop.example%2Fb", &[]).status,
        200
    );
    assert_eq!(server.post(path, &[], body.replace("shop", "nobody").as_str()).status, 401);
    let (batches, rejects) = server.rows();
    let batch = arrow::compute::concat_batches(&server.collector.schema(), &batches).unwrap();
    assert_eq!(texts(&batch, "event_id"), ["s1", "s2", "s4"]);
    assert_eq!(texts(&batch, "event"), ["page_view", "add_to_cart", "page_view"]);
    assert_eq!(texts(&batch, "id.anonymous"), ["d1"; 3]);
    assert_eq!(texts(&batch, "session_id"), ["v1", "∅", "∅"]);
    assert_eq!(texts(&batch, "category")[1], "coats");
    assert_eq!(texts(&batch, "url")[2], "https://shop.example/b");
    assert_eq!(codes(&rejects), ["type"]);
}

#[test]
fn apps_with_snowplow_are_known_by_their_advertising_ids() {
    use base64::prelude::{BASE64_URL_SAFE, Engine};
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let id = "6d92078a-8246-4ba4-ae5b-76104861e7dc";
    let contexts = |data: serde_json::Value| {
        let entity = serde_json::json!({
            "schema": "iglu:com.snowplowanalytics.snowplow/mobile_context/jsonschema/1-0-3", "data": data,
        });
        let schema = "iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-1";
        serde_json::json!({ "schema": schema, "data": [entity] }).to_string()
    };
    let device = |system: &str, name: &str| {
        contexts(serde_json::json!({
            "osType": system, "osVersion": "17", "deviceManufacturer": "m", "deviceModel": "m", name: id,
        }))
    };
    let events = serde_json::json!({
        "schema": "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4",
        "data": [
            { "e": "pv", "eid": "a1", "aid": "shop", "duid": "d", "co": device("ios", "appleIdfa") },
            { "e": "pv", "eid": "a2", "aid": "shop", "duid": "d", "co": "{" },
        ],
    });
    let path = "/com.snowplowanalytics.snowplow/tp2";
    assert_eq!(server.post(path, &[], &events.to_string()).status, 200);
    let packed = BASE64_URL_SAFE.encode(device("android", "androidIdfa"));
    let path = format!("/i?e=pv&eid=a3&aid=shop&duid=d&cx={}", packed.replace('=', "%3D"));
    assert_eq!(server.get(&path, &[]).status, 200);
    let batch = server.batch();
    assert_eq!(texts(&batch, "event_id"), ["a1", "a2", "a3"]);
    // Each in the letters of its platform.
    assert_eq!(texts(&batch, "id.idfa"), [&id.to_uppercase(), "∅", "∅"]);
    assert_eq!(texts(&batch, "id.aaid"), ["∅", "∅", id]);
}

#[test]
fn the_tag_is_packed_and_cached() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let packed = server.get("/tag.js", &[("accept-encoding", "br, gzip")]);
    assert_eq!((packed.status, packed.header("content-encoding")), (200, Some("gzip")));
    assert!(packed.body.starts_with(&[0x1f, 0x8b]));
    let plain = server.get("/tag.js", &[("accept-encoding", "gzip;q=0")]);
    assert!(plain.body.len() > packed.body.len() && plain.header("content-encoding").is_none());
    let tag = plain.header("etag").unwrap();
    assert_eq!(server.get("/tag.js", &[("if-none-match", tag)]).status, 304);
}

#[test]
fn a_sync_goes_to_the_partner_and_comes_back_as_an_identifier() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let path = format!("/sync/openx?k=wk_strict_1&gdpr=1&gdpr_consent={TCF}");
    let answer = server.get(&path, &[]);
    assert_eq!(answer.status, 302);
    let location = answer.header("location").unwrap();
    let way_back = format!(
        "https://rtb.openx.net/s?gdpr=1&c={TCF}&r=https%3A%2F%2Fc.shop.example%2Fsetuid%3Fbidder%3Dopenx\
         %26k%3Dwk_strict_1%26gdpr%3D1%26gdpr_consent%3D{TCF}%26us_privacy%3D%26gpp%3D%26gpp_sid%3D%26uid%3D%24UID"
    );
    assert_eq!(location, way_back);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(
        cookie.contains("kindred_id_x=") && cookie.ends_with("Secure; HttpOnly; SameSite=None"),
        "{cookie}"
    );
    let pair = answer.cookie().unwrap().to_owned();
    let path = format!("/setuid?bidder=openx&k=wk_strict_1&gdpr=1&gdpr_consent={TCF}&uid=OX-1");
    let answer = server.get(&path, &[("cookie", &pair)]);
    assert_eq!((answer.status, answer.cookie()), (200, None));
    let batch = server.batch();
    assert_eq!(texts(&batch, "event"), ["∅"]);
    assert_eq!(texts(&batch, "id.partner_openx"), ["OX-1"]);
    assert!(pair.contains(&texts(&batch, "id.cookie")[0]));
    assert_eq!(server.get("/match-rate", &[]).status, 401);
    assert_eq!(matched(&server), (1, 1, Some(1.0)));
}

/// How many visitors were sent to the partner, how many came back, and the rate.
fn matched(server: &Server) -> (u64, u64, Option<f64>) {
    let answer = server.get("/match-rate", &[("authorization", BEARER)]);
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let partner = &json["partners"]["openx"];
    let visitors = partner["visitors"].as_u64().unwrap();
    let since = partner["since"].as_str().map(|since| since.len() == "2026-01-09T12:00:00Z".len());
    assert_eq!(since, (visitors > 0).then_some(true), "{json}");
    (visitors, partner["matched"].as_u64().unwrap(), partner["rate"].as_f64())
}

#[test]
fn a_match_rate_is_about_visitors_and_never_more_than_all() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    assert_eq!(matched(&server), (0, 0, None));
    let sync = |headers: &[(&str, &str)]| server.get("/sync/openx?k=wk_shop_1", headers);
    let back = |headers: &[(&str, &str)], id: u64| {
        let path = format!("/setuid?bidder=openx&k=wk_shop_1&uid=OX-{id}");
        assert_eq!(server.get(&path, headers).status, 200);
    };
    let cookie = sync(&[]).cookie().unwrap().to_owned();
    assert_eq!(matched(&server), (1, 0, Some(0.0)));
    for id in 0..3 {
        back(&[("cookie", &cookie)], id);
    }
    assert_eq!(matched(&server), (1, 1, Some(1.0)), "it came back more often than it was sent");
    // A partner may begin by itself, for somebody who was never sent.
    back(&[], 3);
    assert_eq!(matched(&server), (1, 1, Some(1.0)));
    assert_eq!(sync(&[("cookie", &cookie)]).status, 302);
    assert_eq!(matched(&server), (1, 1, Some(1.0)), "the same visitor once more");
    sync(&[]);
    assert_eq!(matched(&server), (2, 1, Some(0.5)));
}

#[test]
fn syncs_without_consent_partner_or_id_set_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    for (path, status) in [
        ("/sync/openx?k=wk_strict_1", 451),
        ("/sync/openx?k=wk_shop_1&gdpr=1", 451),
        ("/sync/evil?k=wk_shop_1", 400),
        ("/sync/%2F%2Fevil.example?k=wk_shop_1", 400),
        ("/sync/openx", 401),
        ("/setuid?bidder=openx&uid=1&k=wk_strict_1", 451),
        ("/setuid?bidder=openx&uid=1&k=wk_shop_1&gdpr=1&gdpr_consent=", 451),
        ("/setuid?bidder=evil&uid=1&k=wk_shop_1", 400),
        ("/setuid?bidder=openx&uid=&k=wk_shop_1", 400),
        ("/setuid?bidder=openx&uid=$UID&k=wk_shop_1", 400),
        ("/setuid?bidder=openx&uid=a%0d%0ab&k=wk_shop_1", 400),
    ] {
        let answer = server.get(path, &[]);
        assert_eq!(
            (answer.status, answer.cookie(), answer.header("location")),
            (status, None, None),
            "{path}"
        );
    }
    // An opt-out of sale forbids to tell a partner our id.
    assert_eq!(server.get("/sync/openx?k=wk_shop_1", &[("sec-gpc", "1")]).status, 451);
    let rows = server.rows();
    assert_eq!((rows.0.len(), rows.1.len()), (0, 0));
}

#[test]
fn no_parameter_leads_a_redirect_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    for evil in [
        "gdpr=%0d%0aSet-Cookie:%20a=b",
        "gpp_sid=%0d%0a%0d%0a%3Cscript%3E",
        "gdpr=%26r%3Dhttps%3A%2F%2Fevil.example",
        "redirect=//evil.example&url=https://evil.example&r=//evil.example",
        "gpp_sid=//evil.example/%2e%2e",
    ] {
        let answer = server.get(&format!("/sync/openx?k=wk_shop_1&{evil}"), &[("user-agent", evil)]);
        assert_eq!(answer.status, 302, "{evil}");
        let location = answer.header("location").unwrap();
        assert!(location.starts_with("https://rtb.openx.net/s?gdpr="), "{location}");
        assert_eq!(location.matches("&r=").count(), 1, "{location}");
        assert_eq!(answer.headers("set-cookie").len(), 1, "{}", answer.head);
        assert!(!location.contains("//evil"), "{location}");
    }
}

#[test]
fn a_loop_of_syncs_ends() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let cookie = server.get("/sync/openx?k=wk_shop_1", &[]).cookie().unwrap().to_owned();
    let statuses: Vec<u16> =
        (0..12).map(|_| server.get("/sync/openx?k=wk_shop_1", &[("cookie", &cookie)]).status).collect();
    // A minute may turn over meanwhile.
    assert_eq!(statuses[..5], [302; 5]);
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[test]
fn the_sites_own_cookie_goes_before_the_one_for_sync() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = open(dir.path(), &config(""), &Shared::default(), None);
    let own = server.get("/pixel.gif?k=wk_shop_1&id=1", &[]).cookie().unwrap().to_owned();
    let sync = server.get("/setuid?k=wk_shop_1&bidder=openx&uid=7", &[]).cookie().unwrap().to_owned();
    let both = format!("{sync}; {own}");
    assert_eq!(server.get("/setuid?k=wk_shop_1&bidder=openx&uid=8", &[("cookie", &both)]).status, 200);
    let ids = texts(&server.batch(), "id.cookie");
    assert_eq!(ids[2], ids[0]);
    assert_ne!(ids[1], ids[0]);
}

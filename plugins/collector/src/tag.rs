//! `GET /tag.js`: the tag for pages, packed once.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use std::{io::Write, sync::LazyLock};

const SOURCE: &str = include_str!("tag.js");

/// Packed; empty should that fail, which it does not in memory.
static PACKED: LazyLock<Bytes> = LazyLock::new(|| {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let _ = encoder.write_all(SOURCE.as_bytes());
    encoder.finish().unwrap_or_default().into()
});

static TAG: LazyLock<String> =
    LazyLock::new(|| format!("\"{:016x}\"", xxhash_rust::xxh3::xxh3_64(SOURCE.as_bytes())));

/// Answers with the tag, or with nothing where the browser has it.
pub(crate) async fn tag(headers: HeaderMap) -> Response {
    let said =
        |name: header::HeaderName| headers.get(name).and_then(|text| text.to_str().ok()).unwrap_or_default();
    let etag = HeaderValue::from_str(&TAG).unwrap_or(HeaderValue::from_static("\"\""));
    let fixed = [
        (header::ETAG, etag),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600")),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
    ];
    let known = said(header::IF_NONE_MATCH).split(',').any(|tag| tag.trim().trim_start_matches("W/") == *TAG);
    if known {
        return (StatusCode::NOT_MODIFIED, fixed).into_response();
    }
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    let packed = said(header::ACCEPT_ENCODING).split(',').any(|coding| {
        matches!(coding.trim().split(';').next(), Some("gzip" | "*")) && !coding.contains("q=0")
    });
    if packed {
        (fixed, kind, [(header::CONTENT_ENCODING, "gzip")], PACKED.clone()).into_response()
    } else {
        (fixed, kind, SOURCE).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Runs JavaScript; none, and a line on standard error, without node. With `CI=true` that is a failure.
    fn node(arguments: &[&std::ffi::OsStr]) -> Option<String> {
        match std::process::Command::new("node").args(arguments).output() {
            Ok(output) => {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                Some(String::from_utf8(output.stdout).unwrap())
            }
            Err(error) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "node is missing: {error}");
                eprintln!("SKIPPED: node is missing: {error}");
                None
            }
        }
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(".js").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn the_tag_is_small_and_valid() {
        assert!(PACKED.len() < 3 << 10, "{} bytes packed", PACKED.len());
        node(&["--check".as_ref(), file(SOURCE).path().as_ref()]);
    }

    /// What the tag sends in a story, and what the story says; none without node.
    fn told(story: &str) -> Option<Vec<Value>> {
        let page = include_str!("../tests/tag/page.js").replace("/* TAG */", SOURCE);
        let said = node(&[file(&(page + story)).path().as_ref()])?;
        Some(said.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[test]
    fn the_tag_waits_for_consent_sends_and_tries_again() {
        let Some(lines) = told(include_str!("../tests/tag/queue.js")) else { return };
        assert_eq!(lines[0], json!({ "sent before consent": 0 }));
        let first = &lines[1];
        assert_eq!(first["url"], "https://c.shop.example/v1/batch");
        assert_eq!((&first["type"], &first["credentials"]), (&"text/plain".into(), &true.into()));
        let body = &first["body"];
        assert_eq!(body["writeKey"], "wk_1");
        let names: Vec<_> = body["batch"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
        assert_eq!(names, ["track", "page", "track"], "the one that waited in storage comes first");
        for event in body["batch"].as_array().unwrap() {
            let consent = json!({ "gdpr": 1, "gdpr_consent": "CQ", "gpc": true });
            assert_eq!(event["context"]["consent"], consent);
        }
        assert_eq!(
            lines[2]["body"]["batch"], body["batch"],
            "the same again, with the same ids, after a failure"
        );
        assert_eq!(lines[3], json!({ "stored": null }));
        let told = &lines[4]["body"]["batch"][0];
        assert_eq!(told["type"], "identify", "a mind that was changed is told with no event");
        assert_eq!(
            (&told["userId"], &told["context"]["consent"]["gdpr_consent"]),
            (&().into(), &"CQ".into())
        );
        assert_eq!(lines[5]["beacon"]["batch"][0]["event"], "late");
    }

    #[test]
    fn a_visit_ends_after_half_an_hour_and_is_kept_only_with_consent() {
        let Some(lines) = told(include_str!("../tests/tag/sessions.js")) else { return };
        // The session ids of the events of each batch, null where there is none.
        let ids = |line: usize| -> Vec<&Value> {
            let events = lines[line]["body"]["batch"].as_array().unwrap();
            events.iter().map(|event| &event["context"]["sessionId"]).collect()
        };
        let kept = |line: usize| lines[line]["session"].as_str().map(|kept| kept.split_once(' ').unwrap());
        let noon = 1_767_960_000_000_u64;
        let at = |minutes: u64| (noon + minutes * 60_000).to_string();

        let waiting: Value = serde_json::from_str(lines[0]["queue"].as_str().unwrap()).unwrap();
        assert_eq!((kept(0), &waiting[0]["type"]), (None, &json!("page")), "consent was not answered");
        assert_eq!(waiting[0]["context"]["sessionId"], Value::Null);
        let first = ids(1)[0].as_str().unwrap();
        assert!(first.len() >= 20, "{first}");
        assert_eq!(kept(2), Some((first, at(0).as_str())), "the collector said that it may be kept");
        assert_eq!((ids(3), ids(4)), (vec![&json!(first)], vec![&json!(first)]), "29 minutes, another page");
        assert_eq!(kept(5), Some((first, at(58).as_str())));
        let second = ids(6)[0].as_str().unwrap();
        assert_ne!(second, first, "30 minutes");
        assert_eq!(kept(7), Some((second, at(88).as_str())));
        assert_eq!((ids(8), kept(9)), (vec![&json!(second)], None), "the collector said no");
        let third = ids(10)[0].as_str().unwrap();
        assert!(third != second && third != first, "nothing of the last visit is known");
        assert_eq!((kept(11), &lines[11]["queue"]), (None, &Value::Null));
        assert!(ids(12)[0].is_string(), "that nothing can be kept is seen when it should be");
        assert_eq!((ids(13), ids(14)), (vec![&Value::Null], vec![&Value::Null]), "full, blocked");
        assert_eq!(lines.len(), 15);
    }
}

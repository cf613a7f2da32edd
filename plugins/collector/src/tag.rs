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

    /// Runs JavaScript; none without node.
    fn node(arguments: &[&std::ffi::OsStr]) -> Option<String> {
        match std::process::Command::new("node").args(arguments).output() {
            Ok(output) => {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                Some(String::from_utf8(output.stdout).unwrap())
            }
            Err(_) => {
                eprintln!("skipped: no node");
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

    #[test]
    fn the_tag_waits_for_consent_sends_and_tries_again() {
        let script = file(&include_str!("../tests/tag_harness.js").replace("/* TAG */", SOURCE));
        let Some(said) = node(&[script.path().as_ref()]) else { return };
        let lines: Vec<serde_json::Value> =
            said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0], serde_json::json!({ "sent before consent": 0 }));
        let first = &lines[1];
        assert_eq!(first["url"], "https://c.shop.example/v1/batch");
        assert_eq!((&first["type"], &first["credentials"]), (&"text/plain".into(), &true.into()));
        let body = &first["body"];
        assert_eq!(body["writeKey"], "wk_1");
        let names: Vec<_> = body["batch"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
        assert_eq!(names, ["track", "page", "track"], "the one that waited in storage comes first");
        for event in body["batch"].as_array().unwrap() {
            let consent = serde_json::json!({ "gdpr": 1, "gdpr_consent": "CQ", "gpc": true });
            assert_eq!(event["context"]["consent"], consent);
        }
        assert_eq!(
            lines[2]["body"]["batch"], body["batch"],
            "the same again, with the same ids, after a failure"
        );
        assert_eq!(lines[3], serde_json::json!({ "stored": null }));
        let told = &lines[4]["body"]["batch"][0];
        assert_eq!(told["type"], "identify", "a mind that was changed is told with no event");
        assert_eq!(
            (&told["userId"], &told["context"]["consent"]["gdpr_consent"]),
            (&().into(), &"CQ".into())
        );
        assert_eq!(lines[5]["beacon"]["batch"][0]["event"], "late");
    }
}

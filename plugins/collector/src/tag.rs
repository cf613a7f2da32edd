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

    #[test]
    fn the_tag_is_small_and_valid() {
        assert!(PACKED.len() < 3 << 10, "{} bytes packed", PACKED.len());
        let file = tempfile::Builder::new().suffix(".js").tempfile().unwrap();
        std::fs::write(file.path(), SOURCE).unwrap();
        match std::process::Command::new("node").arg("--check").arg(file.path()).output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(_) => eprintln!("skipped: no node"),
        }
    }
}

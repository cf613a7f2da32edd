//! Reads a request's body within its bounds: as sent, and once more as unpacked, while it is being unpacked.

use crate::{options::RequestLimits, refusal::Refusal};
use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header::CONTENT_ENCODING},
};
use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

const TOO_LARGE: Refusal =
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "the request is too large");
const CODING: Refusal = Refusal::new(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "coding",
    "the content coding is not known; gzip is, once",
);
const BROKEN: Refusal = Refusal::bad("body", "the body could not be read");

/// Memory that a request holds; dropping it gives it back.
pub(crate) struct Held {
    all: Arc<AtomicUsize>,
    own: usize,
    most: usize,
}

impl Held {
    fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.own += bytes;
        if self.all.fetch_add(bytes, Ordering::Relaxed) + bytes > self.most {
            return Err(Refusal { retry_after_s: Some(1), ..Refusal::unavailable() });
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

/// Reads and unpacks a body; `all` counts the bytes of all bodies in memory.
///
/// # Errors
/// 413 over a bound, 415 for another coding than one gzip, 400 for a body that breaks off, 503 when all bodies together are
/// too much.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    limits: &RequestLimits,
    all: &Arc<AtomicUsize>,
) -> Result<(Bytes, Held), Refusal> {
    let mut held = Held { all: Arc::clone(all), own: 0, most: limits.memory_mib << 20 };
    let mut codings = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"));
    let packed = match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(one), None) if one.eq_ignore_ascii_case(b"gzip") || one.eq_ignore_ascii_case(b"x-gzip") => true,
        _ => return Err(CODING),
    };
    let bytes = if packed {
        unpack(body, limits, &mut held).await?
    } else {
        plain(body, limits.batch_bytes, &mut held).await?
    };
    Ok((bytes, held))
}

async fn plain(mut body: Body, limit: usize, held: &mut Held) -> Result<Bytes, Refusal> {
    let mut whole = Bytes::new();
    let mut parts = BytesMut::new();
    while let Some(data) = next(&mut body).await? {
        if whole.len() + parts.len() + data.len() > limit {
            return Err(TOO_LARGE);
        }
        held.grow(data.len())?;
        // Most bodies come in one piece, which is then not copied.
        if whole.is_empty() && parts.is_empty() {
            whole = data;
        } else {
            parts.extend_from_slice(&std::mem::take(&mut whole));
            parts.extend_from_slice(&data);
        }
    }
    Ok(if parts.is_empty() { whole } else { parts.freeze() })
}

async fn unpack(mut body: Body, limits: &RequestLimits, held: &mut Held) -> Result<Bytes, Refusal> {
    let mut decoder =
        MultiGzDecoder::new(Capped { bytes: Vec::new(), limit: limits.decoded_bytes, over: false });
    let mut sent = 0;
    while let Some(data) = next(&mut body).await? {
        sent += data.len();
        if sent > limits.batch_bytes {
            return Err(TOO_LARGE);
        }
        if decoder.write_all(&data).is_err() {
            return Err(if decoder.get_ref().over { TOO_LARGE } else { BROKEN });
        }
        held.grow(decoder.get_ref().bytes.len().saturating_sub(held.own))?;
    }
    // Nothing at all would pass for an empty stream.
    if sent == 0 || decoder.try_finish().is_err() {
        return Err(if decoder.get_ref().over { TOO_LARGE } else { BROKEN });
    }
    Ok(Bytes::from(std::mem::take(&mut decoder.get_mut().bytes)))
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| BROKEN)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Takes no more than its limit.
struct Capped {
    bytes: Vec<u8>,
    limit: usize,
    over: bool,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.over = true;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

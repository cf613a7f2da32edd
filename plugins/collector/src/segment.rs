//! Segment's HTTP API, and the JSON of servers, which is the same in a simpler envelope.
//!
//! <https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/>

use crate::{
    app::App,
    body,
    cookie::Reach,
    envelope::Payload,
    inspect::Flaw,
    intake::Intake,
    peek::{self, Batch, Single},
    refusal::Refusal,
    sites::Site,
    visit::{Visit, authorization},
};
use axum::{
    extract::{Extension, Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use kindred_listening::Peer;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};

type Answer = Result<Response, Refusal>;

/// The types of calls, by the names that paths have.
pub(crate) const CALLS: [(&str, &str); 12] = [
    ("i", "identify"),
    ("t", "track"),
    ("p", "page"),
    ("g", "group"),
    ("a", "alias"),
    ("s", "screen"),
    ("identify", "identify"),
    ("track", "track"),
    ("page", "page"),
    ("group", "group"),
    ("alias", "alias"),
    ("screen", "screen"),
];

/// `POST /v1/{call}`: one event of a type.
pub(crate) async fn call(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path(call): Path<String>,
    request: Request,
) -> Answer {
    let Some((_, kind)) = CALLS.iter().find(|(name, _)| *name == call) else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "path", "there is no such call"));
    };
    let (headers, visit, bytes) = received(&app, peer, request).await?;
    let json = text(&bytes)?;
    let single: Single<'_> = structure(json)?;
    let site = site(&app, &headers, &visit, single.write_key)?;
    let _under_way = site.enter(visit.received_us)?;
    let mut intake = Intake::new(&app, &site, &visit, kind, is_visitor(&visit));
    let peeked = peek::event(json, &app.limits).map_err(refused)?;
    intake.add_peeked(Ok(peeked), None, |json| Payload::Call { kind: Some((*kind).into()), json });
    done(intake, &visit).await
}

/// `POST /v1/batch`: many events, each with its type.
pub(crate) async fn batch(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Answer {
    let (headers, visit, bytes) = received(&app, peer, request).await?;
    let batch: Batch<'_> = structure(text(&bytes)?)?;
    let site = site(&app, &headers, &visit, batch.write_key)?;
    let _under_way = site.enter(visit.received_us)?;
    let intake = Intake::new(&app, &site, &visit, "batch", is_visitor(&visit));
    many(&app, &visit, intake, &batch).await
}

/// `POST /v1/events`: one event, a list of them, or a batch; from a server that has the site's bearer key.
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Answer {
    // Before the body, so that nobody else can make the collector read one.
    let site = app.sites.by_secret(&authorization(request.headers()).unwrap_or_default())?;
    let (_, visit, bytes) = received(&app, peer, request).await?;
    site.accepts(visit.origin.as_deref())?;
    let _under_way = site.enter(visit.received_us)?;
    let json = text(&bytes)?;
    let mut intake = Intake::new(&app, &site, &visit, "events", false);
    if json.trim_start().starts_with('[') {
        let list = serde_json::from_str(json).map_err(|_| MALFORMED)?;
        let batch = Batch { batch: Some(list), context: None, sent_at: None, write_key: None };
        return many(&app, &visit, intake, &batch).await;
    }
    let batch: Batch<'_> = structure(json)?;
    if batch.batch.is_some() {
        return many(&app, &visit, intake, &batch).await;
    }
    let peeked = peek::event(json, &app.limits).map_err(refused)?;
    intake.add_peeked(Ok(peeked), None, |json| Payload::Call { kind: None, json });
    done(intake, &visit).await
}

/// `GET /v1/projects/{key}/settings`: what the browser SDK asks before anything else.
pub(crate) async fn settings(
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let site = app.sites.by_key(&key)?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = app.public_url.as_deref().map_or(host, |url| url.split("://").nth(1).unwrap_or(url));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
    let host = if host.bytes().all(plain) { host } else { "" };
    let protocol = match &app.public_url {
        Some(url) if url.starts_with("http://") => "http",
        _ => "https",
    };
    let settings = serde_json::json!({
        "integrations": { "Segment.io": {
            "apiKey": site.key, "apiHost": format!("{host}/v1"), "protocol": protocol,
            "unbundledIntegrations": [], "addBundledMetadata": true, "versionSettings": {},
        } },
        "plan": { "track": { "__default": { "enabled": true, "integrations": {} } },
                  "identify": { "__default": { "enabled": true } }, "group": { "__default": { "enabled": true } } },
        "edgeFunction": {}, "analyticsNextEnabled": true, "middlewareSettings": {}, "enabledMiddleware": {},
        "metrics": { "sampleRate": 0 }, "legacyVideoPluginsEnabled": false, "remotePlugins": [],
    });
    Ok(json(settings.to_string()))
}

async fn many<'a>(app: &'a App, visit: &Visit, mut intake: Intake<'a>, batch: &Batch<'a>) -> Answer {
    let events = batch.batch.as_deref().ok_or(MALFORMED)?;
    if events.len() > app.limits.batch_events {
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too-many", "the batch has too many events"));
    }
    let common = batch.context.map(|context| peek::context(context.get(), &app.limits));
    let common = common.transpose().map_err(refused)?;
    let said = common.as_ref().and_then(|common| common.said.as_ref());
    for event in events {
        let peeked = peek::event(event.get(), &app.limits);
        intake.add_peeked(peeked, said, |json| Payload::Call { kind: None, json });
    }
    intake.shared(common.map(|common| common.json), batch.sent_at.and_then(peek::text));
    done(intake, visit).await
}

async fn done(intake: Intake<'_>, visit: &Visit) -> Answer {
    let taken = intake.finish(is_visitor(visit).then_some(Reach::Site)).await?;
    // A page that keeps something of its visitor needs to know whether it may.
    let text = match (is_visitor(visit), taken.collected) {
        (true, true) => r#"{"success":true,"collected":true}"#,
        (true, false) => r#"{"success":true,"collected":false}"#,
        (false, _) => r#"{"success":true}"#,
    };
    Ok(taken.answer(json(text)))
}

/// A page's script sends its origin; servers have none, and one of them speaks for many visitors.
fn is_visitor(visit: &Visit) -> bool {
    visit.origin.is_some()
}

pub(crate) async fn received(
    app: &App,
    peer: Peer,
    request: Request,
) -> Result<(HeaderMap, Visit, Bytes), Refusal> {
    let (parts, body) = request.into_parts();
    let mut visit = Visit::of(app, peer, &parts.uri, &parts.headers);
    let (bytes, held) = body::read(&parts.headers, body, &app.limits, &app.held).await?;
    visit.held = Some(held);
    Ok((parts.headers, visit, bytes))
}

/// The site by the key in the header, in the body, or in the URL.
fn site(app: &App, headers: &HeaderMap, visit: &Visit, own: Option<&RawValue>) -> Result<Arc<Site>, Refusal> {
    let key = authorization(headers).filter(|key| !key.is_empty());
    let key = key.or_else(|| own.and_then(peek::text));
    let key = key.or_else(|| visit.query.get("writeKey").map(Cow::Borrowed)).unwrap_or_default();
    let site = app.sites.by_key(&key)?;
    site.accepts(visit.origin.as_deref())?;
    Ok(site)
}

pub(crate) const MALFORMED: Refusal =
    Refusal::bad("json", "the body is not JSON of the form that belongs here");

pub(crate) fn text(bytes: &Bytes) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes).map_err(|_| Refusal::bad("encoding", "the body is not valid UTF-8"))
}

pub(crate) fn structure<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(json).map_err(|_| MALFORMED)
}

/// A request with one event is refused with it.
pub(crate) fn refused(flaw: Flaw) -> Refusal {
    let large = flaw == crate::inspect::SIZE;
    let status = if large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
    Refusal::new(status, flaw.code, flaw.message)
}

pub(crate) fn json(text: impl Into<axum::body::Body>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, text.into()).into_response()
}

//! `GET /pixel.gif`: one event in a URL, for pages and mails without a script.
//!
//! | parameter | meaning |
//! |---|---|
//! | `k` | write key |
//! | `e` | name of the event; `page_view` without it |
//! | `id` | the event's id, so that a second delivery is known |
//! | `u`, `a` | user id, anonymous id |
//! | `url`, `ref`, `title` | the page; without `url` the header `Referer` |
//! | `ts` | when it happened, ISO 8601 or a number since 1970 |
//! | `gdpr`, `gdpr_consent`, `gpp`, `gpp_sid`, `us_privacy`, `gcs` | signals of consent |
//! | `p.NAME` | a property |

use crate::{
    app::App,
    cookie::Reach,
    envelope::Payload,
    inspect::{Flaw, JSON, SIZE, inspect},
    intake::Intake,
    refusal::Refusal,
    segment::refused,
    visit::Visit,
};
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use kindred_listening::Peer;
use serde::Serialize;
use std::collections::BTreeMap;

/// One transparent point.
pub(crate) const GIF: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\0\0\0!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// Takes the event in and answers with the point.
pub(crate) async fn pixel(app: &App, peer: Peer, request: Request) -> Result<Response, Refusal> {
    let visit = Visit::of(app, peer, request.uri(), request.headers());
    let site = app.sites.by_key(visit.query.get("k").unwrap_or_default())?;
    site.accepts(visit.origin.as_deref())?;
    let _under_way = site.enter(visit.received_us)?;
    let json = event(&visit).map_err(refused)?;
    if json.len() > app.limits.event_bytes {
        return Err(refused(SIZE));
    }
    inspect(&json, app.limits.depth).map_err(refused)?;
    let mut intake = Intake::new(app, &site, &visit, "pixel", true);
    intake.add(None, Payload::Call { kind: None, json: json.into() });
    Ok(intake.finish(Some(Reach::Site)).await?.answer(gif()))
}

/// The point, which nobody may keep.
pub(crate) fn gif() -> Response {
    let mut response = Response::new(Body::from(Bytes::from_static(GIF)));
    let headers = response.headers_mut();
    // With those that every answer gets.
    headers.reserve(8);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/gif"));
    let nowhere = HeaderValue::from_static("no-store, no-cache, must-revalidate, private");
    headers.insert(header::CACHE_CONTROL, nowhere);
    response
}

/// The event in Segment's form.
fn event(visit: &Visit) -> Result<String, Flaw> {
    let query = &visit.query;
    let event = query.get("e").filter(|name| *name != "page_view");
    let properties =
        query.0.iter().filter_map(|(key, value)| Some((key.strip_prefix("p.")?, value.as_str())));
    let page = Page {
        url: query.get("url").or(visit.referrer.as_deref()),
        referrer: query.get("ref"),
        title: query.get("title"),
    };
    let event = Event {
        kind: if event.is_some() { "track" } else { "page" },
        event,
        message_id: query.get("id"),
        user_id: query.get("u"),
        anonymous_id: query.get("a"),
        timestamp: query.get("ts"),
        properties: properties.collect(),
        context: Context { page },
    };
    serde_json::to_string(&event).map_err(|_| JSON)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<&'a str>,
    properties: BTreeMap<&'a str, &'a str>,
    context: Context<'a>,
}

#[derive(Serialize)]
struct Context<'a> {
    page: Page<'a>,
}

#[derive(Serialize)]
struct Page<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referrer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
}

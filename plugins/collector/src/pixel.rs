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
//! | `gdpr`, `gdpr_consent`, `gpp`, `gpp_sid`, `us_privacy` | signals of consent |
//! | `p.NAME` | a property |

use crate::{
    app::App,
    cookie::Reach,
    envelope::Payload,
    inspect::{SIZE, inspect},
    intake::Intake,
    refusal::Refusal,
    segment::refused,
    visit::Visit,
};
use axum::{
    extract::{Extension, State},
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use kindred_listening::Peer;
use serde_json::{Map, Value};
use std::sync::Arc;

/// One transparent point.
pub(crate) const GIF: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\0\0\0!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// Takes the event in and answers with the point.
pub(crate) async fn pixel(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let visit = Visit::of(&app, peer, &uri, &headers);
    let site = app.sites.by_key(visit.query.get("k").unwrap_or_default())?;
    site.accepts(visit.origin.as_deref())?;
    let _under_way = site.enter(visit.received_us)?;
    let json = event(&visit);
    if json.len() > app.limits.event_bytes {
        return Err(refused(SIZE));
    }
    inspect(&json, app.limits.depth).map_err(refused)?;
    let mut intake = Intake::new(&app, &site, &visit, "pixel", true);
    intake.add(None, Payload::Call { kind: None, json: json.into() });
    Ok(intake.finish(Some(Reach::Site)).await?.answer(gif()))
}

/// The point, which nobody may keep.
pub(crate) fn gif() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "image/gif"),
        (header::CACHE_CONTROL, "no-store, no-cache, must-revalidate, private"),
    ];
    (headers, GIF).into_response()
}

/// The event in Segment's form.
fn event(visit: &Visit) -> String {
    let query = &visit.query;
    let text = |value: Option<&str>| value.map(|value| Value::String(value.to_owned()));
    let object = |pairs: Vec<(&str, Option<Value>)>| {
        let there = pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(there.collect::<Map<_, _>>())
    };
    let name = query.get("e").filter(|name| *name != "page_view");
    let properties: Map<_, _> = query
        .0
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("p.")?.to_owned(), Value::String(value.clone()))))
        .collect();
    let page = object(vec![
        ("url", text(query.get("url").or(visit.referrer.as_deref()))),
        ("referrer", text(query.get("ref"))),
        ("title", text(query.get("title"))),
    ]);
    let event = object(vec![
        ("type", text(Some(if name.is_some() { "track" } else { "page" }))),
        ("event", text(name)),
        ("messageId", text(query.get("id"))),
        ("userId", text(query.get("u"))),
        ("anonymousId", text(query.get("a"))),
        ("timestamp", text(query.get("ts"))),
        ("properties", Some(Value::Object(properties))),
        ("context", Some(object(vec![("page", Some(page))]))),
    ]);
    event.to_string()
}

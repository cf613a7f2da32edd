//! Profiles by identifier: segments, attributes, next change, and why.

use super::{Problem, Refused, Shared, access::Shown};
use crate::{
    config::{Key, Purpose, Scope},
    consent::Reach,
    serve::view::{Members, Seen, View, identifier},
    step::text,
};
use axum::{
    Json,
    extract::{Path, State, rejection::JsonRejection},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Identifiers of one bulk request.
const MOST: usize = 1_000;

/// What a caller sees of a profile.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Answer {
    /// Segments that it is in, sorted; none where its consent does not reach the caller's purpose.
    segments: Vec<String>,
    /// Attributes that the key is allowed and that have not expired, by `SOURCE.NAME`.
    #[schema(value_type = Object)]
    attributes: BTreeMap<String, serde_json::Value>,
    /// `granted`, `collect segment`, `collect` or `denied`.
    consent: &'static str,
    /// When segments can change with no new event, RFC 3339.
    next_change: Option<String>,
    /// What the answer is true of, RFC 3339.
    as_of: Option<String>,
}

/// A bulk request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// `NAMESPACE:VALUE`, at most 1,000.
    identifiers: Vec<String>,
}

/// A bulk answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Answers {
    /// By identifier as it was asked; null where there is no such profile.
    #[schema(value_type = BTreeMap<String, Answer>)]
    profiles: BTreeMap<String, Option<Answer>>,
}

/// How far a profile's consent must reach for a key's purpose.
pub(super) fn reach(key: &Key) -> Reach {
    match key.purpose {
        Purpose::Segment => Reach::Segment,
        Purpose::Activate => Reach::Activate,
    }
}

fn answer(view: &View, members: &Members, key: &Key, seen: &Seen) -> Answer {
    let reach = reach(key);
    let segments = seen.segments(members, reach, key.segments.as_deref());
    Answer {
        segments: segments.into_iter().map(str::to_owned).collect(),
        attributes: seen.attributes(members, reach, &key.attributes),
        consent: seen.profile.reach().text(),
        next_change: view.next_change_us(seen.number).and_then(text),
        as_of: text(members.moment.as_of_us),
    }
}

fn find(view: &View, (namespace, value): (&str, &str)) -> crate::Result<Option<Seen>> {
    view.find(namespace, value)?.map(|number| view.profile(number)).transpose()
}

fn asked_for(shared: &Shared, shown: &Shown, asked: &str) -> Result<Seen, Refused> {
    find(&shared.view, shown.identifier(asked)?)?.ok_or_else(unknown)
}

fn unknown() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "unknown-profile", "no profile has this identifier")
}

/// One profile.
#[utoipa::path(
    get, path = "/v1/profiles/{identifier}",
    params(("identifier" = String, Path, description = "`NAMESPACE:VALUE`, such as `cookie:3f2a`; or `me`, by the id cookie")),
    responses((status = 200, body = Answer), (status = 401, body = Problem), (status = 403, body = Problem),
              (status = 404, body = Problem)),
    security(("key" = []))
)]
pub(super) async fn one(
    State(shared): State<Shared>,
    Path(asked): Path<String>,
    shown: Shown,
) -> Result<Json<Answer>, Refused> {
    let key = shown.key(Scope::Profile)?;
    let seen = asked_for(&shared, &shown, &asked)?;
    Ok(Json(answer(&shared.view, &shared.view.members(), key, &seen)))
}

/// Many profiles, all as of one moment.
#[utoipa::path(
    post, path = "/v1/profiles", request_body = Asked,
    responses((status = 200, body = Answers), (status = 400, body = Problem), (status = 401, body = Problem),
              (status = 403, body = Problem)),
    security(("key" = []))
)]
pub(super) async fn many(
    State(shared): State<Shared>,
    shown: Shown,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Result<Json<Answers>, Refused> {
    let key = shown.key(Scope::Bulk)?;
    let bad = |message: String| Refused::new(StatusCode::BAD_REQUEST, "body", message);
    let Json(Asked { identifiers }) = asked.map_err(|e| bad(e.body_text()))?;
    if identifiers.len() > MOST {
        return Err(bad(format!("{} identifiers; at most {MOST} are allowed", identifiers.len())));
    }
    let (members, mut profiles) = (shared.view.members(), BTreeMap::new());
    for asked in identifiers {
        let seen = find(&shared.view, identifier(&asked)?)?;
        let answer = seen.map(|seen| answer(&shared.view, &members, key, &seen));
        profiles.insert(asked, answer);
    }
    Ok(Json(Answers { profiles }))
}

/// Why a profile is in a segment or is not: the tree of conditions.
#[utoipa::path(
    get, path = "/v1/profiles/{identifier}/segments/{segment}",
    params(("identifier" = String, Path, description = "`NAMESPACE:VALUE`"),
           ("segment" = String, Path, description = "name of a segment")),
    responses((status = 200, body = serde_json::Value), (status = 401, body = Problem),
              (status = 403, body = Problem), (status = 404, body = Problem)),
    security(("key" = []))
)]
pub(super) async fn reason(
    State(shared): State<Shared>,
    Path((asked, segment)): Path<(String, String)>,
    shown: Shown,
) -> Result<Json<serde_json::Value>, Refused> {
    let key = shown.key(Scope::Explain)?;
    if key.segments.as_ref().is_some_and(|allowed| !allowed.contains(&segment)) {
        return Err(Refused::new(StatusCode::FORBIDDEN, "segment", "the key is not for this segment"));
    }
    let seen = asked_for(&shared, &shown, &asked)?;
    let members = shared.view.members();
    let member = members.of.get(&segment).is_some_and(|members| members.contains(seen.number));
    let reason = shared.asker.explain(segment.clone(), seen.number).await?;
    Ok(Json(serde_json::json!({
        "segment": segment, "member": member, "consent": seen.profile.reach().text(),
        "as_of": text(members.moment.as_of_us), "reason": reason,
    })))
}

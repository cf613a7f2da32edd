//! Cookie sync: `GET /sync/{partner}` sends a visitor to a partner with our id, `GET /setuid` stores the partner's when the
//! visitor comes back. The partner's id becomes an identifier `id.partner_NAME` beside our `id.cookie`, so the match table
//! is the identity graph.

use crate::{
    app::App,
    call::Own,
    cookie::Reach,
    counters::add,
    envelope::{Envelope, Payload},
    intake::Intake,
    matches::{Matched, Matches},
    options::CollectorConfig,
    partners::{Macro, Template},
    pixel::gif,
    refusal::Refusal,
    segment::json,
    sites::Site,
    visit::{Visit, authorization},
};
use arrow::temporal_conversions::timestamp_us_to_datetime;
use axum::{
    extract::{Extension, Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use kindred_listening::Peer;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes that a partner's id may have.
const ID_BYTES: usize = 512;
/// How often one visitor is sent to one partner in a minute; two collectors that send to each other end there.
const PER_MINUTE: u64 = 5;
/// The same where cookies do not come back, so that a visitor is only known by network and browser.
const PER_MINUTE_UNKNOWN: u64 = 60;
/// Visitors whose number of syncs is remembered.
const SLOTS: usize = 1 << 16;
/// Visitors of each partner that the match rate is about.
const MATCHES: usize = 10_000;

const UNKNOWN: Refusal = Refusal::bad("partner", "there is no such partner");
const NO_ID: Refusal = Refusal::bad("uid", "the partner's id is missing or not one");
const LOOP: Refusal =
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "loop", "this visitor was sent to this partner too often");

/// The partners and what happened with them.
pub(crate) struct Sync {
    partners: BTreeMap<String, Partner>,
    /// A part of the visitor's hash, the minute, and a count.
    sent: Box<[AtomicU64]>,
}

struct Partner {
    template: Template,
    matches: Mutex<Matches>,
}

impl Sync {
    pub(crate) fn new(config: &CollectorConfig) -> Self {
        let url = config.public_url.as_deref().unwrap_or_default();
        let partner = |(name, options): (&String, &crate::partners::PartnerConfig)| {
            let template = options.compile(name, url).ok()?;
            Some((name.clone(), Partner { template, matches: Mutex::new(Matches::new(MATCHES)) }))
        };
        let partners: BTreeMap<_, _> = config.partners.iter().filter_map(partner).collect();
        let slots = if partners.is_empty() { 1 } else { SLOTS };
        Self { partners, sent: (0..slots).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts one more redirect of a visitor, unless there were too many in this minute.
    fn may_send(&self, visitor: u64, most: u64, now_us: i64) -> bool {
        let minute = (now_us / 60_000_000).cast_unsigned() & 0x00ff_ffff;
        let mark = (visitor & 0xffff_ffff_0000_0000) | (minute << 8);
        let slot = &self.sent[visitor as usize % self.sent.len()];
        let old = slot.load(Ordering::Relaxed);
        let count = if old & !0xff == mark { (old & 0xff) + 1 } else { 1 };
        slot.store(mark | count.min(0xff), Ordering::Relaxed);
        count <= most
    }
}

/// Sends a visitor to a partner.
pub(crate) async fn start(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let partner = app.sync.partners.get(&name).ok_or(UNKNOWN)?;
    let cookies = app.cookies.as_ref().ok_or(UNKNOWN)?;
    let visit = Visit::of(&app, peer, &uri, &headers);
    let site = site(&app, &visit)?;
    let _under_way = site.enter(visit.received_us)?;
    // To tell a partner our id is activation.
    if !visit.said.decide(&site.policy).activate {
        return Err(Refusal::consent());
    }
    let (visitor, most) = match &visit.id {
        Some(id) => (format!("{name} {id}"), PER_MINUTE),
        None => (format!("{name} {} {:?}", visit.ip, visit.agent), PER_MINUTE_UNKNOWN),
    };
    if !app.sync.may_send(xxh3_64(visitor.as_bytes()), most, visit.received_us) {
        return Err(LOOP);
    }
    let (id, cookie) = match &visit.id {
        Some(id) => (id.clone(), None),
        None => {
            let id = cookies.make().ok_or(Refusal::unavailable())?;
            let cookie = cookies.set(&id, Reach::Anywhere, None);
            (id, cookie)
        }
    };
    let said = |name: &str| visit.query.get(name).unwrap_or_default();
    let url = partner.template.fill(|value| match value {
        Macro::Gdpr => said("gdpr"),
        Macro::GdprConsent => visit.said.tcf.as_deref().unwrap_or_default(),
        Macro::UsPrivacy => visit.said.us_privacy.as_deref().unwrap_or_default(),
        Macro::Gpp => visit.said.gpp.as_deref().unwrap_or_default(),
        Macro::GppSid => said("gpp_sid"),
        Macro::UserId => &id,
        Macro::Key => &site.key,
    });
    let location = HeaderValue::from_str(&url).map_err(|_| UNKNOWN)?;
    partner.matches().sent(&id, visit.received_us);
    add(&app.counters.cookies, usize::from(cookie.is_some()));
    let fixed = [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    let mut response = (StatusCode::FOUND, fixed).into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Stores a partner's id of a visitor.
pub(crate) async fn setuid(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let visit = Visit::of(&app, peer, &uri, &headers);
    let name = visit.query.get("bidder").unwrap_or_default();
    let partner = app.sync.partners.get(name).ok_or(UNKNOWN)?;
    let uid = visit.query.get("uid").unwrap_or_default();
    // A macro that was not replaced is no id.
    let plain = |c: char| !c.is_control() && !c.is_whitespace();
    let open = uid.starts_with(['$', '[', '{']) || uid.contains("{{");
    if uid.is_empty() || uid.len() > ID_BYTES || open || !uid.chars().all(plain) {
        return Err(NO_ID);
    }
    let site = site(&app, &visit)?;
    let _under_way = site.enter(visit.received_us)?;
    let mut intake = Intake::new(&app, &site, &visit, "setuid", true);
    if !intake.add(None, Payload::Match { partner: name.into(), id: uid.into() }).collect {
        return Err(Refusal::consent());
    }
    let taken = intake.finish(Some(Reach::Anywhere)).await?;
    if let Some(id) = &visit.id {
        partner.matches().came_back(id);
    }
    Ok(taken.answer(gif()))
}

/// Of the visitors that were sent to each partner last, how many came back with an id.
pub(crate) async fn match_rate(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refusal> {
    app.sites.by_secret(&authorization(&headers).unwrap_or_default())?;
    let rates: BTreeMap<_, _> =
        app.sync.partners.iter().map(|(name, partner)| (name, partner.rate())).collect();
    Ok(json(serde_json::json!({ "partners": rates }).to_string()))
}

impl Partner {
    fn matches(&self) -> MutexGuard<'_, Matches> {
        self.matches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rate(&self) -> serde_json::Value {
        let Matched { visitors, matched, since_us } = self.matches().counted();
        let rate = (visitors > 0).then(|| matched as f64 / visitors as f64);
        let since = since_us.and_then(timestamp_us_to_datetime);
        let since = since.map(|since| since.format("%Y-%m-%dT%H:%M:%SZ").to_string());
        serde_json::json!({ "visitors": visitors, "matched": matched, "rate": rate, "since": since })
    }
}

fn site(app: &App, visit: &Visit) -> Result<Arc<Site>, Refusal> {
    match visit.query.get("k") {
        Some(key) => app.sites.by_key(key),
        None => app.sites.without_key(None, None),
    }
}

/// What the collector knows of a match: two identifiers of one visitor, and no event.
pub(crate) fn row<'a>(envelope: &'a Envelope<'a>, consent: usize, partner: &'a str, id: &'a str) -> Own<'a> {
    let (consent, consent_version) = envelope.consents.get(consent).map_or(("denied", ""), |(c, v)| (c, v));
    let cookie = envelope.cookie.as_deref();
    let text = format!("{partner} {id} {}", cookie.unwrap_or_default());
    Own {
        id: format!("h_{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes())),
        time: envelope.received_us,
        consent,
        consent_version,
        site: &envelope.site,
        cookie,
        partner: Some((partner, id)),
        ..Own::default()
    }
}

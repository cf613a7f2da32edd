//! What a request says beside its events: who asks, from which page, and which signals of consent come with it.

use crate::{
    App,
    address::{client, truncated},
    body::Held,
};
use axum::http::{HeaderMap, Uri, header};
use kindred_listening::Peer;
use kindred_signals::{Consent, Policy, Signals, gpc};
use std::borrow::Cow;

/// Parameters of a URL, decoded; of several with one name the first counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(pub(crate) Vec<(String, String)>);

impl Query {
    pub(crate) fn of(uri: &Uri) -> Self {
        let text = uri.query().unwrap_or_default().as_bytes();
        Self(form_urlencoded::parse(text).map(|(k, v)| (k.into_owned(), v.into_owned())).take(512).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// The signals of a request or of an event, as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) tcf: Option<String>,
    pub(crate) gpp: Option<String>,
    pub(crate) us_privacy: Option<String>,
    pub(crate) gcs: Option<String>,
    pub(crate) gpc: bool,
    /// What a sender that asked the visitor itself adds; it only ever takes away.
    pub(crate) status: Option<String>,
}

/// A TC string that no one can read: GDPR applies, and there is none.
const MISSING: &str = "-";

impl Said {
    fn of(headers: &HeaderMap, query: &Query) -> Self {
        let own = |name: &str| query.get(name).map(str::to_owned);
        let cookie = |name: &str| cookie(headers, name).map(str::to_owned);
        let applies = query.get("gdpr") == Some("1");
        let lines = headers.get_all("sec-gpc").iter().filter_map(|line| line.to_str().ok());
        let tcf = own("gdpr_consent").or_else(|| cookie("euconsent-v2"));
        Self {
            tcf: tcf.or_else(|| applies.then(|| MISSING.to_owned())),
            gpp: own("gpp"),
            us_privacy: own("us_privacy").or_else(|| cookie("usprivacy")),
            gcs: own("gcs"),
            gpc: gpc(lines),
            status: None,
        }
    }

    /// What an event says of its own goes before what its request says, except for an opt-out.
    pub(crate) fn or(self, request: &Self) -> Self {
        Self {
            tcf: self.tcf.or_else(|| request.tcf.clone()),
            gpp: self.gpp.or_else(|| request.gpp.clone()),
            us_privacy: self.us_privacy.or_else(|| request.us_privacy.clone()),
            gcs: self.gcs.or_else(|| request.gcs.clone()),
            gpc: self.gpc || request.gpc,
            status: self.status,
        }
    }

    /// The same, where GDPR is said to apply.
    pub(crate) fn applying(mut self, applies: bool) -> Self {
        if applies && self.tcf.is_none() {
            self.tcf = Some(MISSING.to_owned());
        }
        self
    }

    pub(crate) fn decide(&self, policy: &Policy) -> Consent {
        let signals = Signals {
            tcf: self.tcf.as_deref(),
            gpp: self.gpp.as_deref(),
            us_privacy: self.us_privacy.as_deref(),
            gcs: self.gcs.as_deref(),
            gpc: self.gpc,
        };
        let consent = policy.decide(&signals);
        match &self.status {
            Some(status) => consent.and(status),
            None => consent,
        }
    }
}

/// A request beside its events.
pub(crate) struct Visit {
    pub(crate) query: Query,
    pub(crate) said: Said,
    pub(crate) origin: Option<String>,
    /// Truncated.
    pub(crate) ip: String,
    pub(crate) agent: Option<String>,
    pub(crate) referrer: Option<String>,
    /// Of a cookie that was made here.
    pub(crate) id: Option<String>,
    pub(crate) received_us: i64,
    /// The memory that the body holds until the request is answered.
    pub(crate) held: Option<Held>,
}

impl Visit {
    pub(crate) fn of(app: &App, Peer(peer): Peer, uri: &Uri, headers: &HeaderMap) -> Self {
        let query = Query::of(uri);
        let text = |name: header::HeaderName, most: usize| {
            let text = headers.get(name)?.to_str().ok()?;
            Some(text[..text.floor_char_boundary(most)].to_owned())
        };
        Self {
            said: Said::of(headers, &query),
            query,
            origin: text(header::ORIGIN, 512),
            ip: truncated(client(peer.ip(), headers, &app.proxies)).to_string(),
            agent: text(header::USER_AGENT, 1024),
            referrer: text(header::REFERER, 4096),
            id: app.cookies.as_ref().and_then(|cookies| cookies.read(headers)),
            received_us: app.now_us(),
            held: None,
        }
    }
}

/// The user name of basic authorisation, or a bearer's token.
pub(crate) fn authorization(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let (scheme, rest) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Cow::Borrowed(rest.trim()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(rest.trim()).ok()?).ok()?;
    Some(Cow::Owned(text.split(':').next().unwrap_or_default().to_owned()))
}

/// A cookie's value.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value).filter(|value| !value.is_empty())
}

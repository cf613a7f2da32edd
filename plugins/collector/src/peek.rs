//! The little that must be known of an event before it is stored: its consent, and an address to be truncated. One pass of
//! the parser, which borrows; the rest of the event stays text.

use crate::{
    address::truncated,
    inspect::{Flaw, JSON, SIZE, inspect},
    options::RequestLimits,
    visit::Said,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, net::IpAddr};

/// A request that carries events.
#[derive(Deserialize)]
pub(crate) struct Batch<'a> {
    #[serde(borrow, alias = "events")]
    pub(crate) batch: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub(crate) context: Option<&'a RawValue>,
    #[serde(borrow, rename = "sentAt")]
    pub(crate) sent_at: Option<&'a RawValue>,
    #[serde(borrow, rename = "writeKey")]
    pub(crate) write_key: Option<&'a RawValue>,
}

/// A request that is an event itself.
#[derive(Deserialize)]
pub(crate) struct Single<'a> {
    #[serde(borrow, rename = "writeKey")]
    pub(crate) write_key: Option<&'a RawValue>,
}

/// A request of a Snowplow tracker.
#[derive(Deserialize)]
pub(crate) struct PayloadData<'a> {
    #[serde(borrow)]
    pub(crate) data: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    context: Option<Context<'a>>,
    /// Of Snowplow: an address beside the context.
    #[serde(borrow)]
    ip: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Context<'a> {
    #[serde(borrow)]
    ip: Option<&'a RawValue>,
    #[serde(borrow)]
    consent: Option<Signals<'a>>,
}

/// `context.consent`.
#[derive(Default, Deserialize)]
struct Signals<'a> {
    #[serde(borrow)]
    gdpr: Option<&'a RawValue>,
    #[serde(borrow, alias = "tcf", alias = "tcString")]
    gdpr_consent: Option<&'a RawValue>,
    #[serde(borrow)]
    gpp: Option<&'a RawValue>,
    #[serde(borrow, alias = "usPrivacy")]
    us_privacy: Option<&'a RawValue>,
    #[serde(borrow)]
    gcs: Option<&'a RawValue>,
    #[serde(borrow)]
    gpc: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

/// An event that may be stored: its text without a full address, and what it says of consent.
pub(crate) struct Peeked<'a> {
    pub(crate) json: Cow<'a, str>,
    pub(crate) said: Option<Said>,
}

/// Looks at an event.
///
/// # Errors
/// Why it must not be stored.
pub(crate) fn event<'a>(json: &'a str, limits: &RequestLimits) -> Result<Peeked<'a>, Flaw> {
    if json.len() > limits.event_bytes {
        return Err(SIZE);
    }
    inspect(json, limits.depth)?;
    let event: Event<'a> = serde_json::from_str(json).map_err(|_| JSON)?;
    if !json.trim_start().starts_with('{') {
        return Err(JSON);
    }
    let context = event.context.unwrap_or_default();
    let mut places: Vec<&str> = [event.ip, context.ip].into_iter().flatten().map(RawValue::get).collect();
    // From behind, so that the places before stay where they are.
    places.sort_by_key(|place| std::cmp::Reverse(offset(json, place)));
    let mut text = Cow::Borrowed(json);
    for place in places {
        let start = offset(json, place);
        text.to_mut().replace_range(start..start + place.len(), &shortened(place));
    }
    Ok(Peeked { json: text, said: context.consent.map(Signals::said) })
}

/// The context of a whole batch, of which the same holds as of an event's.
///
/// # Errors
/// As [`event`].
pub(crate) fn context<'a>(json: &'a str, limits: &RequestLimits) -> Result<Peeked<'a>, Flaw> {
    if json.len() > limits.event_bytes {
        return Err(SIZE);
    }
    inspect(json, limits.depth)?;
    let context: Option<Context<'a>> = serde_json::from_str(json).map_err(|_| JSON)?;
    let context = context.unwrap_or_default();
    let mut text = Cow::Borrowed(json);
    if let Some(place) = context.ip.map(RawValue::get) {
        let start = offset(json, place);
        text.to_mut().replace_range(start..start + place.len(), &shortened(place));
    }
    Ok(Peeked { json: text, said: context.consent.map(Signals::said) })
}

/// Where a part of a text stands in it.
fn offset(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

/// An address as JSON, truncated; null for what is none.
fn shortened(raw: &str) -> String {
    let address = serde_json::from_str::<IpAddr>(raw).ok();
    address.map_or_else(|| "null".to_owned(), |address| format!("\"{}\"", truncated(address)))
}

/// The text of a string, or the digits of a number.
pub(crate) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let raw = raw.get();
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
        Some(_) => serde_json::from_str(raw).ok().map(Cow::Owned),
        None if raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => Some(Cow::Borrowed(raw)),
        None => None,
    }
}

impl Signals<'_> {
    /// A signal of another type than text is one that cannot be read.
    fn said(self) -> Said {
        let said = |raw: Option<&RawValue>| {
            let raw = raw.filter(|raw| raw.get() != "null")?;
            Some(text(raw).map_or_else(|| "-".to_owned(), Cow::into_owned)).filter(|text| !text.is_empty())
        };
        let yes = |raw: Option<&RawValue>| {
            raw.is_some_and(|raw| ["1", "true", "\"1\"", "\"true\""].contains(&raw.get()))
        };
        let said = Said {
            tcf: said(self.gdpr_consent),
            gpp: said(self.gpp),
            us_privacy: said(self.us_privacy),
            gcs: said(self.gcs),
            gpc: yes(self.gpc),
            status: said(self.status),
        };
        said.applying(yes(self.gdpr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(json: &str) -> Result<Peeked<'_>, Flaw> {
        event(json, &RequestLimits::default())
    }

    #[test]
    fn addresses_are_truncated_where_they_stand() {
        let json = r#"{"ip":"198.51.100.9","context":{"a":1,"i\u0070":"203.0.113.77"},"b":9007199254740993}"#;
        let peeked = peek(json).unwrap();
        assert_eq!(
            peeked.json,
            r#"{"ip":"198.51.100.0","context":{"a":1,"i\u0070":"203.0.113.0"},"b":9007199254740993}"#
        );
        let json = r#"{"context":{"ip":"2001:db8:1:2::7"},"ip":{"v4":"203.0.113.7"}}"#;
        assert_eq!(peek(json).unwrap().json, r#"{"context":{"ip":"2001:db8:1::"},"ip":null}"#);
        assert!(matches!(peek(r#"{"type":"page"}"#).unwrap().json, Cow::Borrowed(_)));
    }

    #[test]
    fn what_could_hide_an_address_is_refused() {
        for json in [
            r#"{"context":{"ip":"203.0.113.77","ip":"203.0.113.78"}}"#,
            r#"{"context":{"ip":"203.0.113.77"},"context":{}}"#,
            r#"{"context":"203.0.113.77"}"#,
            "[1]",
            "{",
            "null",
        ] {
            assert_eq!(peek(json).err(), Some(JSON), "{json}");
        }
        assert_eq!(peek(&format!("{{\"a\":\"{}\"}}", "x".repeat(40_000))).err(), Some(SIZE));
    }

    #[test]
    fn consent_is_read_and_what_is_no_text_is_unreadable() {
        let said = |json: &str| peek(json).unwrap().said.unwrap();
        let found = said(r#"{"context":{"consent":{"tcf":"CQ","gpp":7,"us_privacy":"","gpc":true}}}"#);
        let expected = Said { tcf: Some("CQ".into()), gpp: Some("7".into()), gpc: true, ..Said::default() };
        assert_eq!(found, expected);
        assert_eq!(said(r#"{"context":{"consent":{"tcf":{}}}}"#).tcf.as_deref(), Some("-"));
        assert_eq!(said(r#"{"context":{"consent":{"gdpr":1}}}"#).tcf.as_deref(), Some("-"));
    }
}

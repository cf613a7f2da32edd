//! What a call means: its type, its event, who and when. This is the only place that knows Segment's form.
//!
//! <https://segment.com/docs/connections/spec/>

use crate::{envelope::Envelope, inspect::Flaw, peek::text};
use kindred_reading::moment;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use xxhash_rust::xxh3::Xxh3Default;

/// Microseconds after which a client's clock is not believed, nor the time of an event that has not yet happened.
const DAY: i64 = 86_400_000_000;
/// Characters of an id; a longer one is replaced by its hash.
const ID: usize = 128;

const TYPE: Flaw =
    Flaw { code: "type", message: "the type is none of track, page, screen, identify, group, alias" };
const NAME: Flaw = Flaw { code: "event-name", message: "a track call has no name of an event" };
const FORM: Flaw = Flaw { code: "json", message: "the event does not have the form of a call" };

/// The parts of a call that are looked at.
#[derive(Default, Deserialize)]
struct Call<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow, rename = "messageId")]
    message_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "userId")]
    user: Option<&'a RawValue>,
    #[serde(borrow, rename = "anonymousId")]
    anonymous: Option<&'a RawValue>,
    #[serde(borrow, rename = "previousId")]
    previous: Option<&'a RawValue>,
    #[serde(borrow, rename = "groupId")]
    group: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, rename = "originalTimestamp")]
    original_timestamp: Option<&'a RawValue>,
    #[serde(borrow, rename = "sentAt")]
    sent_at: Option<&'a RawValue>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
    #[serde(borrow)]
    traits: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<Context<'a>>,
}

#[derive(Default, Deserialize)]
struct Context<'a> {
    #[serde(borrow)]
    ip: Option<&'a RawValue>,
    #[serde(borrow)]
    device: Option<Device<'a>>,
}

#[derive(Default, Deserialize)]
struct Device<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, rename = "advertisingId")]
    advertising_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "adTrackingEnabled")]
    tracking: Option<&'a RawValue>,
}

/// What the collector makes of an event and adds to it; the mapping reads it as `collector.…`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Own<'a> {
    pub(crate) id: String,
    /// Microseconds since 1970.
    pub(crate) time: i64,
    pub(crate) event: Option<Cow<'a, str>>,
    pub(crate) consent: &'a str,
    pub(crate) consent_version: &'a str,
    pub(crate) site: &'a str,
    pub(crate) ip: Option<Cow<'a, str>>,
    pub(crate) user_agent: Option<&'a str>,
    /// `corrected` where the client's clock was not believed.
    pub(crate) clock: Option<&'static str>,
    pub(crate) cookie: Option<&'a str>,
    pub(crate) user: Option<Cow<'a, str>>,
    pub(crate) anonymous: Option<Cow<'a, str>>,
    pub(crate) idfa: Option<String>,
    pub(crate) aaid: Option<String>,
    /// Name of a partner, and its id of this visitor.
    pub(crate) partner: Option<(&'a str, &'a str)>,
}

impl kindred_reading::Own for Own<'_> {
    fn get(&self, path: &str) -> Option<Cow<'_, str>> {
        Some(match path {
            "id" => self.id.as_str().into(),
            "time" => self.time.to_string().into(),
            "event" => self.event.as_deref()?.into(),
            "consent" => self.consent.into(),
            "consent_version" => self.consent_version.into(),
            "site" => self.site.into(),
            "ip" => self.ip.as_deref()?.into(),
            "user_agent" => self.user_agent?.into(),
            "clock" => self.clock?.into(),
            "cookie" => self.cookie?.into(),
            "user" => self.user.as_deref()?.into(),
            "anonymous" => self.anonymous.as_deref()?.into(),
            "idfa" => self.idfa.as_deref()?.into(),
            "aaid" => self.aaid.as_deref()?.into(),
            _ => {
                let (partner, id) = self.partner?;
                (path.strip_prefix("partner.")? == partner).then_some(id)?.into()
            }
        })
    }
}

/// An event that was read, and a number for what it holds.
pub(crate) struct Read<'a> {
    pub(crate) own: Own<'a>,
    pub(crate) content: u64,
}

/// Reads a call of an envelope; `kind` is the type where the path said it.
///
/// # Errors
/// Why it is no event.
pub(crate) fn read<'a>(
    envelope: &'a Envelope<'a>,
    consent: usize,
    kind: Option<&'a str>,
    json: &'a str,
) -> Result<Read<'a>, Flaw> {
    let call: Call<'a> = serde_json::from_str(json).map_err(|_| FORM)?;
    let own_kind = call.kind.and_then(text);
    let kind = kind.map(Cow::Borrowed).or(own_kind).ok_or(TYPE)?;
    let name = call.event.and_then(text).filter(|name| !name.trim().is_empty());
    let event = match &*kind {
        "track" => Some(name.ok_or(NAME)?),
        "page" => Some("page_view".into()),
        "screen" => Some("screen_view".into()),
        "group" => Some("group".into()),
        "identify" | "alias" => None,
        _ => return Err(TYPE),
    };
    let said = call.timestamp.or(call.original_timestamp);
    let sent = call.sent_at.and_then(text).or_else(|| envelope.sent_at.clone());
    let (time, corrected) = time(said.and_then(text).as_deref(), sent.as_deref(), envelope.received_us);
    let content = call.content(&kind);
    let id = call.message_id.and_then(text).filter(|id| !id.trim().is_empty());
    let id = match id {
        Some(id) if id.len() <= ID => id.into_owned(),
        Some(id) => format!("h_{:032x}", xxhash_rust::xxh3::xxh3_128(id.as_bytes())),
        None => call.made_id(envelope, &kind, said.is_none()),
    };
    let context = call.context.as_ref();
    let (idfa, aaid) = context.and_then(|context| context.device.as_ref()).map_or((None, None), Device::ids);
    let (consent, consent_version) = envelope.consents.get(consent).map_or(("denied", ""), |(c, v)| (c, v));
    let ip = envelope.ip.clone().or_else(|| context.and_then(|context| context.ip).and_then(text));
    let anonymous = if kind == "alias" { call.previous.or(call.anonymous) } else { call.anonymous };
    let own = Own {
        id,
        time,
        event,
        consent,
        consent_version,
        site: &envelope.site,
        ip,
        user_agent: envelope.agent.as_deref(),
        clock: corrected.then_some("corrected"),
        cookie: envelope.cookie.as_deref(),
        user: call.user.and_then(text),
        anonymous: anonymous.and_then(text),
        idfa,
        aaid,
        partner: None,
    };
    Ok(Read { own, content })
}

/// What the collector knows of a visitor who does not consent: who it is, and that.
pub(crate) fn denial<'a>(
    envelope: &'a Envelope<'a>,
    consent: usize,
    (user, anonymous): (Option<&'a str>, Option<&'a str>),
    at: Option<&str>,
) -> Own<'a> {
    let (consent, consent_version) = envelope.consents.get(consent).map_or(("denied", ""), |(c, v)| (c, v));
    Own {
        time: time(at, envelope.sent_at.as_deref(), envelope.received_us).0,
        consent,
        consent_version,
        cookie: envelope.cookie.as_deref(),
        user: user.map(Cow::Borrowed),
        anonymous: anonymous.map(Cow::Borrowed),
        ..Own::default()
    }
}

impl Call<'_> {
    /// A number for what the event holds; when it was sent is no part of that.
    fn content(&self, kind: &str) -> u64 {
        self.hash(kind).digest()
    }

    fn hash(&self, kind: &str) -> Xxh3Default {
        let mut hash = Xxh3Default::new();
        hash.update(kind.as_bytes());
        let parts = [
            self.event,
            self.user,
            self.anonymous,
            self.previous,
            self.group,
            self.timestamp.or(self.original_timestamp),
            self.properties,
            self.traits,
        ];
        for part in parts {
            let part = part.map_or("", RawValue::get);
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash
    }

    /// The id of an event that came without one: what it holds, whose it is, and where it says no time of its own, the
    /// second in which it came.
    fn made_id(&self, envelope: &Envelope<'_>, kind: &str, timeless: bool) -> String {
        let mut hash = self.hash(kind);
        for part in [Some(&envelope.site), envelope.cookie.as_ref()] {
            hash.update(part.map_or(&b""[..], |part| part.as_bytes()));
            hash.update(&[0]);
        }
        if timeless {
            hash.update(&(envelope.received_us / 1_000_000).to_le_bytes());
        }
        format!("h_{:032x}", hash.digest128())
    }
}

impl Device<'_> {
    /// Apple's and Android's advertising id, unless tracking is off or the id is one that says so.
    fn ids(&self) -> (Option<String>, Option<String>) {
        let id = self.advertising_id.and_then(text).filter(|_| {
            self.tracking.is_none_or(|tracking| !["false", "0"].contains(&tracking.get().trim_matches('"')))
        });
        let Some(id) = id.filter(|id| is_advertising_id(id)) else { return (None, None) };
        match self.kind.and_then(text).map(|kind| kind.to_ascii_lowercase()).as_deref() {
            Some("ios" | "tvos" | "ipados") => (Some(id.into_owned()), None),
            Some("android") => (None, Some(id.into_owned())),
            _ => (None, None),
        }
    }
}

/// Whether a text has the form of an advertising id, and is not the one that says that there is none.
pub(crate) fn is_advertising_id(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
        && text.bytes().any(|b| b != b'0' && b != b'-')
}

/// When it happened: what the client says, shifted by how far its clock was from ours when it sent. A clock that is wrong
/// by more than a day is not believed, nor a time that is still to come; then it is the time of receipt, and true.
pub(crate) fn time(said: Option<&str>, sent: Option<&str>, received: i64) -> (i64, bool) {
    let Some(said) = said.and_then(moment) else { return (received, said.is_some()) };
    let skew = sent.and_then(moment).map_or(0, |sent| received.saturating_sub(sent));
    let time = said.saturating_add(skew);
    if skew.saturating_abs() > DAY || time > received.saturating_add(DAY) {
        (received, true)
    } else {
        (time.min(received), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOON: i64 = 1_767_960_000_000_000;

    #[test]
    fn clocks_are_corrected_as_segment_does() {
        // The client's clock is an hour fast; the event was 5 minutes before it was sent.
        let text = |us: i64| (us / 1000).to_string();
        let said = text(NOON + 55 * 60_000_000);
        let sent = text(NOON + 60 * 60_000_000);
        assert_eq!(time(Some(&said), Some(&sent), NOON), (NOON - 5 * 60_000_000, false));
        assert_eq!(time(Some("2026-01-09T11:00:00Z"), None, NOON), (NOON - 3_600_000_000, false));
        assert_eq!(time(None, None, NOON), (NOON, false));
        assert_eq!(time(Some("1999-01-01"), Some("1999-01-02"), NOON), (NOON, true));
        assert_eq!(time(Some("2027-01-01"), None, NOON), (NOON, true));
        assert_eq!(time(Some("yesterday"), None, NOON), (NOON, true));
        // What was queued offline for a week is believed when the clock was right.
        let sent = text(NOON);
        assert_eq!(time(Some("2026-01-02T12:00:00Z"), Some(&sent), NOON), (NOON - 7 * DAY, false));
    }

    /// The names of what the collector knows stand in two places.
    #[test]
    fn every_column_of_the_collectors_own_is_known() {
        let json = r#"{"listen":"","sites":{},"partners":{"ads":{"url":""}}}"#;
        let config = kindred_plugin_api::options::parse(json).unwrap();
        let text = || Some(Cow::Borrowed("text"));
        let own = Own {
            event: text(),
            ip: text(),
            user_agent: Some("text"),
            clock: Some("text"),
            cookie: Some("text"),
            user: text(),
            anonymous: text(),
            idfa: Some("text".to_owned()),
            aaid: Some("text".to_owned()),
            partner: Some(("ads", "text")),
            ..Own::default()
        };
        let mapping = format!("{:?}", crate::mapping::mapping(&config, &crate::Shared::default()));
        let columns: Vec<&str> =
            mapping.split('"').filter_map(|word| word.strip_prefix("collector.")).collect();
        assert!(columns.len() > 10 && columns.contains(&"partner.ads"), "{columns:?}");
        let unknown = columns.iter().filter(|column| kindred_reading::Own::get(&own, column).is_none());
        assert_eq!(unknown.collect::<Vec<_>>(), Vec::<&&str>::new());
        let others = ["partner.other", "partner", "ads", ""];
        assert!(others.into_iter().all(|column| kindred_reading::Own::get(&own, column).is_none()));
    }

    #[test]
    fn advertising_ids_are_taken_only_where_tracking_is_on_and_they_are_ids() {
        let ids = |json: &str| serde_json::from_str::<Device<'_>>(json).unwrap().ids();
        let id = "6d92078a-8246-4ba4-ae5b-76104861e7dc";
        let with = |more: &str| format!(r#"{{"advertisingId":"{id}"{more}}}"#);
        assert_eq!(ids(&with(r#","type":"Android""#)), (None, Some(id.to_owned())));
        assert_eq!(ids(&with(r#","type":"ios","adTrackingEnabled":true"#)), (Some(id.to_owned()), None));
        for json in [
            with(""),
            with(r#","type":"ios","adTrackingEnabled":false"#),
            with(r#","type":"ios","adTrackingEnabled":"0""#),
            r#"{"type":"ios","advertisingId":"00000000-0000-0000-0000-000000000000"}"#.to_owned(),
            r#"{"type":"ios","advertisingId":"anna@example.com"}"#.to_owned(),
        ] {
            assert_eq!(ids(&json), (None, None), "{json}");
        }
    }

    proptest! {
        #[test]
        fn nothing_happens_after_it_was_received(said in any::<i64>(), sent in any::<Option<i64>>()) {
            let sent = sent.map(|sent| sent.to_string());
            prop_assert!(time(Some(&said.to_string()), sent.as_deref(), NOON).0 <= NOON);
        }
    }
}

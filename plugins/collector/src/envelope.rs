//! What is written to the spool: one record a request, with all that is known when it comes, and its events as they came.
//!
//! A record is the version byte and a postcard encoding. Fields are only ever added behind a new version.

use crate::peek::text;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The first byte of a record.
const VERSION: u8 = 1;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Envelope<'a> {
    /// Microseconds since 1970.
    pub(crate) received_us: i64,
    /// Name of the endpoint, for the origin of rejects.
    #[serde(borrow)]
    pub(crate) endpoint: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) site: Cow<'a, str>,
    /// Truncated; none where the client is no visitor.
    #[serde(borrow)]
    pub(crate) ip: Option<Cow<'a, str>>,
    /// The header `User-Agent`; none where the client is no visitor.
    #[serde(borrow)]
    pub(crate) agent: Option<Cow<'a, str>>,
    /// The id of the cookie that came or was set.
    #[serde(borrow)]
    pub(crate) cookie: Option<Cow<'a, str>>,
    /// When the client says that it sent this, as it says it.
    #[serde(borrow)]
    pub(crate) sent_at: Option<Cow<'a, str>>,
    /// The context of all events, JSON.
    #[serde(borrow)]
    pub(crate) context: Option<Cow<'a, str>>,
    /// What the events' visitors consented to; each item names one.
    #[serde(borrow)]
    pub(crate) consents: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    #[serde(borrow)]
    pub(crate) items: Vec<Item<'a>>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item<'a> {
    /// Index into the consents.
    pub(crate) consent: u32,
    #[serde(borrow)]
    pub(crate) payload: Payload<'a>,
}

/// What an event is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Payload<'a> {
    /// A call in Segment's form, and its type where the path says it.
    Call {
        #[serde(borrow)]
        kind: Option<Cow<'a, str>>,
        #[serde(borrow)]
        json: Cow<'a, str>,
    },
    /// An event of a Snowplow tracker.
    Snowplow {
        #[serde(borrow)]
        json: Cow<'a, str>,
    },
    /// A partner's id of this visitor.
    Match {
        #[serde(borrow)]
        partner: Cow<'a, str>,
        #[serde(borrow)]
        id: Cow<'a, str>,
    },
    /// An event that was not kept, and why.
    Bad {
        #[serde(borrow)]
        code: Cow<'a, str>,
        #[serde(borrow)]
        message: Cow<'a, str>,
    },
    /// A visitor who may be known does not consent. Of the event nothing is kept but who it was.
    Denied {
        #[serde(borrow)]
        user: Option<Cow<'a, str>>,
        #[serde(borrow)]
        anonymous: Option<Cow<'a, str>>,
        /// When, as the event says it.
        #[serde(borrow)]
        at: Option<Cow<'a, str>>,
    },
}

impl<'a> Envelope<'a> {
    /// The bytes of a record; none should it not be encodable, which does not happen.
    pub(crate) fn to_bytes(&self) -> Option<Vec<u8>> {
        let text: usize = self.items.iter().map(|item| item.payload.len() + 16).sum();
        let mut bytes = Vec::with_capacity(text + 512);
        bytes.push(VERSION);
        postcard::to_extend(self, bytes).ok()
    }

    /// From the bytes of a record; none when they are of another version.
    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if *version == VERSION { postcard::from_bytes(rest).ok() } else { None }
    }
}

/// Who an event is of, and when it was made: as a call says it, or as a Snowplow tracker does.
#[derive(Deserialize)]
struct Who<'a> {
    #[serde(borrow, rename = "userId", alias = "uid")]
    user: Option<&'a RawValue>,
    #[serde(borrow, rename = "anonymousId", alias = "duid")]
    anonymous: Option<&'a RawValue>,
    #[serde(borrow, alias = "originalTimestamp")]
    timestamp: Option<&'a RawValue>,
}

impl<'a> Payload<'a> {
    /// What is told of a visitor who does not consent; none of one who is not known by anything.
    pub(crate) fn denied(&self, by_cookie: bool) -> Option<Self> {
        let who = match self {
            Self::Call { json, .. } | Self::Snowplow { json } => serde_json::from_str::<Who<'_>>(json).ok(),
            _ => None,
        };
        let own = |id: Option<&RawValue>| id.and_then(text).map(|id| Cow::Owned(id.into_owned()));
        let (user, anonymous, at) =
            who.map_or((None, None, None), |who| (own(who.user), own(who.anonymous), own(who.timestamp)));
        (by_cookie || user.is_some() || anonymous.is_some()).then_some(Self::Denied { user, anonymous, at })
    }
}

impl Payload<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Call { json, .. } | Self::Snowplow { json } => json.len(),
            Self::Match { .. } | Self::Bad { .. } | Self::Denied { .. } => 64,
        }
    }
}

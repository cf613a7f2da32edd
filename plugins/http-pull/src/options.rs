//! The options of the plugin.

use kindred_plugin_api::prelude::*;
use kindred_reading::{
    Columns, ConstantOr, EventSpec, IdentifierSpec, Meaning, Names, OnBadValue, Short, TimeSpec, ValueSpec,
};
use std::collections::BTreeMap;
use url::{Host, Url};

/// First step of the paths to what the source knows of a record.
pub(crate) const OWN: &str = "http";

/// Events and attributes out of a JSON interface.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address of the first page, with all parameters that never change: `https://api.shop.example/orders?limit=500`.
    pub(crate) url: String,
    /// Whether an address without encryption is allowed on other machines.
    #[serde(default)]
    pub(crate) allow_http: bool,
    /// Other origins that pages may lie on, as `https://cdn.shop.example`; they are sent the same headers. Default: none.
    #[serde(default)]
    pub(crate) origins: Vec<String>,
    /// Headers: `{ X-Api-Key = "${env:KEY}" }`.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Token of the header `Authorization: Bearer`: `${env:TOKEN}`.
    #[serde(default)]
    pub(crate) bearer: Option<String>,
    /// User, with `password`, of the header `Authorization: Basic`.
    #[serde(default)]
    pub(crate) user: Option<String>,
    /// Password: `${env:PASSWORD}`.
    #[serde(default)]
    pub(crate) password: Option<String>,
    /// Path to the list of records in an answer: `data.items`. Default: the answer is the list.
    #[serde(default)]
    pub(crate) records: Option<String>,
    /// How the next page is found. Default: there is one page.
    #[serde(default)]
    pub(crate) paging: Option<Paging>,
    /// What of the records is sent the next time, so that only newer ones come.
    #[serde(default)]
    pub(crate) cursor: Option<Cursor>,
    /// Most requests in a second: `0.5`. Default: no limit.
    #[serde(default)]
    pub(crate) requests_per_second: Option<f64>,
    /// Seconds that an answer may take. Default: 20.
    #[serde(default = "timeout")]
    pub(crate) timeout_s: u32,
    /// Identifiers, by namespace: a field, or a table with `column`, `kind`, `hash`, `region`. Fields are paths into the
    /// record: `user.id`.
    identifiers: BTreeMap<String, Short<IdentifierSpec>>,
    /// The name of all events: `"purchase"`; or a table with `column` and `map`. Default: none; rows carry attributes.
    #[serde(default)]
    event: Option<ConstantOr<EventSpec>>,
    /// When it happened, or since when it is so: a field, or a table with `column`, `format`, `timezone`, `unit`.
    #[serde(default)]
    time: Option<Short<TimeSpec>>,
    /// Fields that together name an event, joined by `:`, so that a second delivery is known. Default: a hash of the
    /// record.
    #[serde(default)]
    event_id: Option<Names>,
    /// Properties of the event: a list of fields, or a table `name = field` where a field may be a table with `type`,
    /// `format`, `decimal` …
    #[serde(default)]
    properties: Columns<ValueSpec>,
    /// Attributes of the profile, as `properties`.
    #[serde(default)]
    attributes: Columns<ValueSpec>,
    /// Field that holds consent: `granted`, `true`, `yes`, `1` or `denied`, `false`, `no`, `0`.
    #[serde(default)]
    consent: Option<Names>,
    /// What happens to a value that cannot be read: `reject` the row, or `null`.
    #[serde(default)]
    on_bad_value: OnBadValue,
}

/// How the next page is found: one of `next`, `by` and `link`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Paging {
    /// Path in an answer to the address of the next page, or with `parameter` to a token for it: `links.next`.
    pub next: Option<String>,
    /// Parameter of the address that takes the token, the number of the page, or the number of the first record.
    pub parameter: Option<String>,
    /// What `parameter` counts: `page` or `offset`.
    pub by: Option<By>,
    /// The number of the first page (default 1) or record (default 0).
    pub first: Option<u64>,
    /// Records of a full page; one with fewer is the last. Default: the last page is the first without records.
    pub size: Option<u64>,
    /// Whether the header `Link` with `rel="next"` (RFC 8288) says the address of the next page.
    pub link: bool,
}

/// What the parameter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum By {
    /// Pages.
    Page,
    /// Records.
    Offset,
}

/// What is sent the next time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cursor {
    /// Path to the field of a record whose highest value is sent: whole numbers, or texts that sort as times in ISO 8601.
    pub field: String,
    /// Parameter of the address that takes it.
    pub parameter: String,
    /// What is sent the first time. Default: nothing.
    #[serde(default)]
    pub initial: Option<String>,
}

fn timeout() -> u32 {
    20
}

impl Paging {
    /// The number of the first page or record.
    pub(crate) fn start(&self) -> u64 {
        self.first.unwrap_or(if self.by == Some(By::Page) { 1 } else { 0 })
    }
}

impl Config {
    pub(crate) fn meaning(&self) -> Meaning<'_> {
        Meaning {
            own: OWN,
            own_time: None,
            identifiers: &self.identifiers,
            event: self.event.as_ref(),
            time: self.time.as_ref(),
            event_id: self.event_id.as_ref(),
            properties: &self.properties,
            attributes: &self.attributes,
            consent: self.consent.as_ref(),
            on_bad_value: self.on_bad_value,
        }
    }

    /// What is wrong with them.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut found = self.meaning().problems();
        let mut problem =
            |at: &str, message: &str, help: &str| found.push(Problem::new(at, message).help(help));
        if let Err((message, help)) = safe(&self.url, self.allow_http) {
            problem("/url", message, help);
        }
        if self.origins.iter().any(|origin| safe(origin, self.allow_http).is_err()) {
            problem("/origins", "one of them is no allowed origin", "such as `https://cdn.shop.example`");
        }
        let bad = |(name, value): (&String, &String)| {
            ureq::http::HeaderName::try_from(name).is_err()
                || ureq::http::HeaderValue::try_from(value).is_err()
        };
        if self.headers.iter().any(bad) {
            problem(
                "/headers",
                "one of them is no header of HTTP",
                "names of letters and `-`, values of one line",
            );
        }
        if self.user.is_some() != self.password.is_some() {
            problem("/user", "`user` and `password` go together", "give both or none");
        }
        if self.bearer.is_some() && self.user.is_some() {
            problem("/bearer", "more than one way to log in", "`bearer`, or `user` and `password`");
        }
        if let Some(paging) = &self.paging {
            let ways = [paging.next.is_some(), paging.by.is_some(), paging.link];
            if ways.into_iter().filter(|way| *way).count() != 1 {
                problem(
                    "/paging",
                    "it is not clear how the next page is found",
                    "one of `next`, `by` and `link`",
                );
            }
            if paging.by.is_some() != paging.parameter.is_some() && paging.next.is_none() {
                problem(
                    "/paging/parameter",
                    "`by` and `parameter` go together",
                    "`{ by = \"page\", parameter = \"page\" }`",
                );
            }
        }
        if self.requests_per_second.is_some_and(|rate| !(0.001..=1000.0).contains(&rate)) {
            problem("/requests_per_second", "the rate is not in 0.001..=1000", "requests in a second");
        }
        if !(1..=600).contains(&self.timeout_s) {
            problem("/timeout_s", "the timeout is not in 1..=600", "seconds");
        }
        found
    }
}

/// An address that may be asked: encrypted, or on this machine, or allowed; without a password in it.
fn safe(address: &str, allow_http: bool) -> Result<Url, (&'static str, &'static str)> {
    let url = Url::parse(address)
        .map_err(|_| ("this is no address", "such as `https://api.shop.example/orders`"))?;
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(("the address has no host", "such as `https://api.shop.example/orders`")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(("the address holds a login", "use `user` and `password`"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if here || allow_http => Ok(url),
        "http" => Err(("the address is not encrypted", "use `https`, or say `allow_http = true`")),
        _ => Err(("the address is not one of HTTP", "use `https`")),
    }
}

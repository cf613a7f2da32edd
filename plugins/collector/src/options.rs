//! The options: `[sources.NAME.config.collector]`.

use crate::{address::Network, partners::PartnerConfig, secret::Secret};
use kindred_plugin_api::Problem;
use kindred_reading::{Columns, ValueSpec};
use kindred_signals::Policy;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Takes events in over HTTP.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CollectorConfig {
    /// Address and port: `127.0.0.1:8080`. Plain HTTP/1.1; a proxy in front of it speaks TLS.
    pub listen: String,
    /// Where the world reaches this address: `https://c.shop.example`. Needed for cookie sync.
    #[serde(default)]
    pub public_url: Option<String>,
    /// Proxies whose `X-Forwarded-For` counts, as networks: `["127.0.0.1/32", "10.0.0.0/8"]`.
    #[serde(default)]
    pub proxies: Vec<String>,
    /// Where events wait on disk until they are committed.
    #[serde(default)]
    pub spool: SpoolConfig,
    /// Who may send: `[….sites.NAME]` with a `key` each. The name becomes the property `site`.
    pub sites: BTreeMap<String, SiteConfig>,
    /// What has to be said for what to be allowed; as for the enrichment `consent`.
    #[serde(default)]
    pub consent: Policy,
    /// The id cookie. Without it none is set, and visitors are known by what their events say.
    #[serde(default)]
    pub cookie: Option<CookieConfig>,
    /// Partners for cookie sync: `[….partners.NAME]`.
    #[serde(default)]
    pub partners: BTreeMap<String, PartnerConfig>,
    /// Attributes out of the traits of a visitor: a list of their names, or a table `name = "trait"` where the trait may
    /// be a table with `column`, `type`, `format` …
    #[serde(default)]
    pub traits: Columns<ValueSpec>,
    /// How large requests may be.
    #[serde(default)]
    pub limits: RequestLimits,
    /// How many connections there may be, and how long they may take.
    #[serde(default)]
    pub connections: kindred_listening::Limits,
    /// Threads that speak HTTP. Default: 2.
    #[serde(default = "threads")]
    pub threads: usize,
}

/// The spool: a durable queue on disk.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolConfig {
    /// Its folder, from the folder of the pipeline file. Default: `spool/NAME` with the name of the source.
    pub folder: Option<String>,
    /// Mebibytes after which requests are answered with 503 until something is committed. Default: 1024.
    pub capacity_mib: u64,
    /// Share of the disk in use, by anybody, above which requests are answered with 503. Default: 0.85.
    pub disk_limit: f64,
}

/// One site or app.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteConfig {
    /// Its write key. It stands in pages and apps, so it is no secret; it says whose events these are.
    pub key: String,
    /// The bearer key of servers, for `/v1/events` and `/match-rate`: `"${env:SHOP_SECRET}"`. Without it this site has
    /// neither.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// Origins of its pages, exactly as browsers send them: `https://shop.example`. Others are refused.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Domain of the id cookie, such as `shop.example` where the collector is `c.shop.example`. Default: its own host only.
    #[serde(default)]
    pub cookie_domain: Option<String>,
    /// In place of the collector's `consent`, for this site.
    #[serde(default)]
    pub consent: Option<Policy>,
}

/// The first-party id cookie.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CookieConfig {
    /// Its name.
    #[serde(default = "cookie_name")]
    pub name: String,
    /// Signs it, so that nobody can make one: at least 32 characters, `"${env:COOKIE_SECRET}"`.
    pub secret: Secret,
    /// How long it lives from when it was first set: `13 months`, `390 days`. It is not renewed. Default: 13 months.
    #[serde(default = "max_age")]
    pub max_age: String,
}

/// How large requests may be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequestLimits {
    /// Bytes of one event.
    pub event_bytes: usize,
    /// Bytes of a request as it is sent.
    pub batch_bytes: usize,
    /// Bytes of a request once it is unpacked.
    pub decoded_bytes: usize,
    /// How deep JSON may be nested.
    pub depth: usize,
    /// Events of one request.
    pub batch_events: usize,
    /// Mebibytes of all bodies that are in memory at the same time; further requests are answered with 503.
    pub memory_mib: usize,
    /// Bytes of the header `Cookie`.
    pub cookie_bytes: usize,
    /// Requests of one site at the same time; more are answered with 429.
    pub in_flight: usize,
    /// Requests of one site in a second; more are answered with 429. 0 for no bound.
    pub per_second: u32,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            event_bytes: 32 << 10,
            batch_bytes: 500 << 10,
            decoded_bytes: 1 << 20,
            depth: 32,
            batch_events: 5000,
            memory_mib: 256,
            cookie_bytes: 8000,
            in_flight: 2000,
            per_second: 0,
        }
    }
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self { folder: None, capacity_mib: 1024, disk_limit: 0.85 }
    }
}

fn threads() -> usize {
    2
}

fn cookie_name() -> String {
    "kindred_id".to_owned()
}

fn max_age() -> String {
    "13 months".to_owned()
}

impl CookieConfig {
    /// Seconds that it lives.
    pub(crate) fn max_age_s(&self) -> Option<u64> {
        let (number, unit) = self.max_age.trim().split_once(' ')?;
        let days = match unit.trim().trim_end_matches('s') {
            "day" => 1,
            "week" => 7,
            "month" => 30,
            "year" => 365,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(days * 86_400).filter(|seconds| *seconds > 0)
    }
}

impl CollectorConfig {
    /// What is wrong with them; `at` is their place.
    pub fn problems(&self, at: &str) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut add =
            |path: String, message: String| found.push(Problem::new(format!("{at}{path}"), message));
        if self.listen.parse::<std::net::SocketAddr>().is_err() {
            add(
                "/listen".into(),
                format!("`{}` is no address and port, such as `127.0.0.1:8080`", self.listen),
            );
        }
        for (index, network) in self.proxies.iter().enumerate() {
            if network.parse::<Network>().is_err() {
                add(format!("/proxies/{index}"), format!("`{network}` is no network, such as `10.0.0.0/8`"));
            }
        }
        if self.sites.is_empty() {
            add("/sites".into(), "there is no site, so nobody could send anything".into());
        }
        if !(self.spool.disk_limit > 0.0 && self.spool.disk_limit <= 1.0) {
            let message = format!("{} is no share above 0 and up to 1", self.spool.disk_limit);
            add("/spool/disk_limit".into(), message);
        }
        for (field, message) in self.connections.problems() {
            add(format!("/connections/{field}"), message);
        }
        self.site_problems(&mut add);
        self.cookie_problems(&mut add);
        self.partner_problems(&mut add);
        for (path, message) in self.consent.problems() {
            add(format!("/consent{path}"), message);
        }
        found
    }

    fn site_problems(&self, add: &mut impl FnMut(String, String)) {
        let mut keys = BTreeMap::new();
        for (name, site) in &self.sites {
            if site.key.len() < 8 || !site.key.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
                let message = "a write key has 8 characters or more, no white space and no colon";
                add(format!("/sites/{name}/key"), message.into());
            }
            if let Some(other) = keys.insert(&site.key, name) {
                add(format!("/sites/{name}/key"), format!("site `{other}` has the same key"));
            }
            if site.secret.as_ref().is_some_and(|secret| secret.expose().len() < 16) {
                add(format!("/sites/{name}/secret"), "a bearer key has 16 characters or more".into());
            }
            for (index, origin) in site.origins.iter().enumerate() {
                if !is_origin(origin) {
                    let message = format!("`{origin}` is no origin, such as `https://shop.example`");
                    add(format!("/sites/{name}/origins/{index}"), message);
                }
            }
            if site.cookie_domain.as_ref().is_some_and(|domain| !is_host(domain)) {
                add(format!("/sites/{name}/cookie_domain"), "is no domain, such as `shop.example`".into());
            }
            for (path, message) in site.consent.iter().flat_map(Policy::problems) {
                add(format!("/sites/{name}/consent{path}"), message);
            }
        }
    }

    fn cookie_problems(&self, add: &mut impl FnMut(String, String)) {
        let Some(cookie) = &self.cookie else { return };
        if cookie.name.is_empty()
            || !cookie.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        {
            add("/cookie/name".into(), "a cookie's name has letters, digits, `_` and `-`".into());
        }
        if cookie.secret.expose().len() < 32 {
            add("/cookie/secret".into(), "the secret has 32 characters or more".into());
        }
        if cookie.max_age_s().is_none_or(|seconds| seconds > 400 * 86_400) {
            let message = format!("`{}` is no time of up to 400 days, such as `13 months`", cookie.max_age);
            add("/cookie/max_age".into(), message);
        }
    }

    fn partner_problems(&self, add: &mut impl FnMut(String, String)) {
        if self.partners.is_empty() {
            return;
        }
        match &self.public_url {
            Some(url) if url.strip_prefix("https://").is_some_and(is_authority) => {}
            Some(url) if url.strip_prefix("http://").is_some_and(is_authority) => {}
            Some(url) => {
                add("/public_url".into(), format!("`{url}` is no origin, such as `https://c.shop.example`"));
            }
            None => {
                add("/public_url".into(), "cookie sync needs it, such as `https://c.shop.example`".into())
            }
        }
        if self.cookie.is_none() {
            add("/cookie".into(), "cookie sync needs the id cookie; give it a `secret`".into());
        }
        for (name, partner) in &self.partners {
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) {
                add(format!("/partners/{name}"), "a partner's name has letters, digits, `_` and `-`".into());
            }
            if let Err(message) = partner.compile(name, self.public_url.as_deref().unwrap_or_default()) {
                add(format!("/partners/{name}/url"), message);
            }
        }
    }
}

/// `https://HOST[:PORT]`, or the same with `http`.
pub(crate) fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(is_authority)
}

fn is_authority(text: &str) -> bool {
    match text.rsplit_once(':') {
        Some((host, port)) => is_host(host) && port.parse::<u16>().is_ok(),
        None => is_host(text),
    }
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b))
}

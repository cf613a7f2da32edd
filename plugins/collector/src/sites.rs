//! Who may send: sites by key and by origin, and how much at once.

use crate::{
    options::{CollectorConfig, SiteConfig},
    refusal::Refusal,
};
use kindred_signals::Policy;
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// A site, ready to use.
pub(crate) struct Site {
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) cookie_domain: Option<String>,
    pub(crate) policy: Policy,
    origins: HashSet<String>,
    in_flight: AtomicUsize,
    most_in_flight: usize,
    /// The second, and the requests in it.
    second: AtomicU64,
    per_second: u32,
}

/// All sites. Keys are found by their hash, so that the time of a look-up says nothing about a key.
pub(crate) struct Sites {
    by_key: HashMap<[u8; 32], Arc<Site>>,
    by_secret: HashMap<[u8; 32], Arc<Site>>,
    by_name: HashMap<String, Arc<Site>>,
    origins: HashSet<String>,
}

/// A request of a site that is under way.
pub(crate) struct UnderWay(Arc<Site>);

impl Sites {
    pub(crate) fn new(config: &CollectorConfig) -> Self {
        let mut sites = Self {
            by_key: HashMap::new(),
            by_secret: HashMap::new(),
            by_name: HashMap::new(),
            origins: HashSet::new(),
        };
        for (name, options) in &config.sites {
            let site = Arc::new(Site::new(name, options, config));
            sites.by_key.insert(hash(&options.key), Arc::clone(&site));
            if let Some(secret) = &options.secret {
                sites.by_secret.insert(hash(secret.expose()), Arc::clone(&site));
            }
            sites.origins.extend(options.origins.iter().cloned());
            sites.by_name.insert(name.clone(), site);
        }
        sites
    }

    pub(crate) fn by_key(&self, key: &str) -> Result<Arc<Site>, Refusal> {
        self.by_key.get(&hash(key)).cloned().ok_or(Refusal::key())
    }

    pub(crate) fn by_secret(&self, secret: &str) -> Result<Arc<Site>, Refusal> {
        self.by_secret.get(&hash(secret)).cloned().ok_or(Refusal::key())
    }

    /// The site of a tracker that has no key: by the name that it sends, by the page's origin, or the only one.
    pub(crate) fn without_key(&self, name: Option<&str>, origin: Option<&str>) -> Result<Arc<Site>, Refusal> {
        if let Some(site) = name.and_then(|name| self.by_name.get(name)) {
            return Ok(Arc::clone(site));
        }
        let mut fitting = self.by_name.values().filter(|site| match origin {
            Some(origin) => site.origins.contains(origin),
            None => true,
        });
        match (fitting.next(), fitting.next()) {
            (Some(site), None) => Ok(Arc::clone(site)),
            _ => Err(Refusal::key()),
        }
    }

    /// Whether any site lists this origin.
    pub(crate) fn knows(&self, origin: &str) -> bool {
        self.origins.contains(origin)
    }
}

impl Site {
    fn new(name: &str, options: &SiteConfig, config: &CollectorConfig) -> Self {
        Self {
            name: name.to_owned(),
            key: options.key.clone(),
            cookie_domain: options.cookie_domain.clone(),
            policy: options.consent.clone().unwrap_or_else(|| config.consent.clone()),
            origins: options.origins.iter().cloned().collect(),
            in_flight: AtomicUsize::new(0),
            most_in_flight: config.limits.in_flight,
            second: AtomicU64::new(0),
            per_second: config.limits.per_second,
        }
    }

    /// Refuses a page's origin that the site does not list; other clients have none.
    pub(crate) fn accepts(&self, origin: Option<&str>) -> Result<(), Refusal> {
        match origin {
            Some(origin) if !self.origins.contains(origin) => Err(Refusal::origin()),
            _ => Ok(()),
        }
    }

    /// Counts a request in, or refuses it because there are too many.
    pub(crate) fn enter(self: &Arc<Self>, now_us: i64) -> Result<UnderWay, Refusal> {
        if self.per_second > 0 {
            let now = (now_us / 1_000_000).cast_unsigned();
            let count = |old: u64| if old >> 32 == now & 0xffff_ffff { old + 1 } else { (now << 32) | 1 };
            let before =
                self.second.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(count(old)));
            if count(before.unwrap_or(0)) & 0xffff_ffff > u64::from(self.per_second) {
                return Err(Refusal::flood());
            }
        }
        let under_way = UnderWay(Arc::clone(self));
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= self.most_in_flight {
            return Err(Refusal::flood());
        }
        Ok(under_way)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

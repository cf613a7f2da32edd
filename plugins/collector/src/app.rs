//! What all requests share.

use crate::{
    address::Network, cookie::Cookies, counters::Counters, options::RequestLimits, sites::Sites, sync::Sync,
};
use kindred_plugin_api::{Context, spool::Spool};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize},
};

/// The collector, as requests see it.
pub(crate) struct App {
    pub(crate) context: Context,
    pub(crate) spool: Spool,
    pub(crate) sites: Sites,
    pub(crate) cookies: Option<Cookies>,
    pub(crate) proxies: Vec<Network>,
    pub(crate) limits: RequestLimits,
    pub(crate) public_url: Option<String>,
    pub(crate) sync: Sync,
    pub(crate) counters: Counters,
    /// Bytes of bodies in memory.
    pub(crate) held: Arc<AtomicUsize>,
    /// No new requests.
    pub(crate) stopping: AtomicBool,
}

impl App {
    /// The host's clock.
    pub(crate) fn now_us(&self) -> i64 {
        self.context.now_us()
    }
}

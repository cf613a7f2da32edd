//! Host services, as plugins see them: a table of functions and a number that names the instance.
//!
//! The number is looked up on every call and is never a pointer, so a plugin that calls after its instance was closed
//! reaches nothing.

use super::metrics;
use kindred_plugin_api::{
    Fault,
    abi::{
        abi_stable::{
            prefix_type::PrefixTypeTrait,
            std_types::{RResult, RStr, RString},
        },
        raw::{Host, HostRef, R},
    },
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A metric that adds up, and a level of the log, as the boundary numbers them.
const COUNTER: u8 = 0;
const WARNING: u8 = 2;

/// One open instance, seen from the host.
#[derive(Debug)]
pub(super) struct Instance {
    name: String,
    cancelled: AtomicBool,
}

type Table = HashMap<u64, Arc<Instance>>;

fn table() -> MutexGuard<'static, Table> {
    static TABLE: OnceLock<Mutex<Table>> = OnceLock::new();
    TABLE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

fn instance(ctx: u64) -> Option<Arc<Instance>> {
    table().get(&ctx).cloned()
}

/// Keeps an instance known to the host until dropped.
#[derive(Debug)]
pub struct Lease {
    pub(super) ctx: u64,
    instance: Arc<Instance>,
}

impl Lease {
    /// Makes an instance known.
    pub(super) fn new(name: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let ctx = NEXT.fetch_add(1, Ordering::Relaxed);
        let instance = Arc::new(Instance { name: name.to_owned(), cancelled: AtomicBool::new(false) });
        table().insert(ctx, instance.clone());
        Self { ctx, instance }
    }

    /// To ask the instance to stop while it is busy.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.instance.clone())
    }
}

/// Asks one instance to stop, from any thread.
#[derive(Clone, Debug)]
pub struct Canceller(Arc<Instance>);

impl Canceller {
    /// Asks.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
    }

    /// Whether it was asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        table().remove(&self.ctx);
    }
}

/// Asks every open instance to stop.
pub fn cancel_all() {
    for instance in table().values() {
        instance.cancelled.store(true, Ordering::Release);
    }
}

/// The table of functions.
pub(super) fn services() -> HostRef {
    static SERVICES: OnceLock<HostRef> = OnceLock::new();
    *SERVICES.get_or_init(|| Host { log, metric, cancelled, sleep, secret, now_us }.leak_into_prefix())
}

extern "C" fn log(ctx: u64, level: u8, message: RStr<'_>) {
    if let Some(instance) = instance(ctx) {
        crate::log::plugin(level, &instance.name, message.as_str());
    }
}

extern "C" fn metric(ctx: u64, kind: u8, name: RStr<'_>, value: f64) {
    let Some(instance) = instance(ctx) else { return };
    if let Some(why) = metrics::take(&instance.name, name.as_str(), kind == COUNTER, value) {
        crate::log::plugin(WARNING, &instance.name, &why);
    }
}

extern "C" fn cancelled(ctx: u64) -> bool {
    instance(ctx).is_none_or(|i| i.cancelled.load(Ordering::Acquire))
}

extern "C" fn sleep(ctx: u64, ms: u64) -> bool {
    let end = Instant::now() + Duration::from_millis(ms);
    while Instant::now() < end {
        if cancelled(ctx) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20).min(end.saturating_duration_since(Instant::now())));
    }
    cancelled(ctx)
}

extern "C" fn secret(_ctx: u64, name: RStr<'_>) -> R<RString> {
    match std::env::var(name.as_str()) {
        Ok(value) => RResult::ROk(value.into()),
        Err(_) => RResult::RErr(Fault::permanent("secret", format!("secret `{name}` is not set")).into()),
    }
}

extern "C" fn now_us(_ctx: u64) -> i64 {
    crate::clock::now_us()
}

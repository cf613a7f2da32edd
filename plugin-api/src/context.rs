//! What the host offers a plugin instance while it is open.

use crate::{
    abi::raw::{Host, HostRef, OpenArgs, LOOKS_ONLY},
    Fault, Result,
};
use abi_stable::{
    prefix_type::PrefixTypeTrait,
    std_types::{ROption, RResult, RStr, RString},
};
use std::path::{Path, PathBuf};

/// The host, seen from one plugin instance. Clone it into threads; it is valid until `close`.
#[derive(Clone)]
pub struct Context {
    host: HostRef,
    ctx: u64,
    instance: String,
    base_dir: PathBuf,
    state: Option<Vec<u8>>,
    looks_only: bool,
}

impl Context {
    pub(crate) fn new(args: OpenArgs) -> Self {
        Self {
            host: args.host,
            ctx: args.ctx,
            instance: args.instance.into(),
            base_dir: PathBuf::from(args.base_dir.as_str()),
            state: match args.position {
                ROption::RSome(bytes) => Some(bytes.into()),
                ROption::RNone => None,
            },
            looks_only: args.flags & LOOKS_ONLY != 0,
        }
    }

    /// A context with no host behind it, for unit tests of a plugin: logs go to standard error.
    pub fn detached(base_dir: impl Into<PathBuf>) -> Self {
        Self {
            host: detached_host(),
            ctx: 0,
            instance: "test".into(),
            base_dir: base_dir.into(),
            state: None,
            looks_only: false,
        }
    }

    /// The same context with a position, checkpoint or model state to go on from.
    #[must_use]
    pub fn with_state(mut self, state: Option<Vec<u8>>) -> Self {
        self.state = state;
        self
    }

    /// The instance's name in the pipeline file.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Position (source), checkpoint (enrichment) or model state (segmentation) of an earlier run.
    pub fn state(&self) -> Option<&[u8]> {
        self.state.as_deref()
    }

    /// True when the host only asks what the instance would do, such as for a plan: nothing may be taken that another
    /// instance would miss, no port, no lock, no queue.
    pub fn looks_only(&self) -> bool {
        self.looks_only
    }

    /// A path of the options; a relative one starts from the folder of the pipeline file.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.base_dir.join(path)
    }

    /// Logs an error.
    pub fn error(&self, message: &str) {
        self.log(1, message);
    }

    /// Logs a warning.
    pub fn warn(&self, message: &str) {
        self.log(2, message);
    }

    /// Logs information.
    pub fn info(&self, message: &str) {
        self.log(3, message);
    }

    /// Logs a detail, shown with `--verbose`.
    pub fn debug(&self, message: &str) {
        self.log(4, message);
    }

    fn log(&self, level: u8, message: &str) {
        (self.host.log())(self.ctx, level, message.into());
    }

    /// Adds to a counter.
    pub fn count(&self, name: &str, value: f64) {
        (self.host.metric())(self.ctx, 0, name.into(), value);
    }

    /// True once the host wants this instance to stop; long loops ask.
    pub fn cancelled(&self) -> bool {
        (self.host.cancelled())(self.ctx)
    }

    /// Sleeps; true when the host wants to stop meanwhile. Never use `std::thread::sleep` for long waits.
    pub fn sleep_ms(&self, ms: u64) -> bool {
        (self.host.sleep())(self.ctx, ms)
    }

    /// The host's clock, microseconds since 1970.
    pub fn now_us(&self) -> i64 {
        (self.host.now_us())(self.ctx)
    }

    /// A secret that the operator granted by name.
    ///
    /// # Errors
    /// CONFIG when no secret of this name is set.
    pub fn secret(&self, name: &str) -> Result<String> {
        match (self.host.secret())(self.ctx, name.into()) {
            RResult::ROk(value) => Ok(value.into()),
            RResult::RErr(fault) => Err(fault.into()),
        }
    }
}

/// A host for tests: it logs to standard error, never cancels and reads secrets from the environment.
fn detached_host() -> HostRef {
    extern "C" fn log(_: u64, level: u8, message: RStr<'_>) {
        let name = ["", "error", "warning", "info", "debug"].get(level as usize).copied().unwrap_or("debug");
        eprintln!("{name}: {message}");
    }
    extern "C" fn metric(_: u64, _: u8, _: RStr<'_>, _: f64) {}
    extern "C" fn cancelled(_: u64) -> bool {
        false
    }
    extern "C" fn sleep(_: u64, ms: u64) -> bool {
        std::thread::sleep(std::time::Duration::from_millis(ms));
        false
    }
    extern "C" fn secret(_: u64, name: RStr<'_>) -> crate::abi::raw::R<RString> {
        match std::env::var(name.as_str()) {
            Ok(value) => RResult::ROk(value.into()),
            Err(_) => RResult::RErr(Fault::permanent("secret", format!("secret `{name}` is not set")).into()),
        }
    }
    extern "C" fn now_us(_: u64) -> i64 {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
    }
    Host { log, metric, cancelled, sleep, secret, now_us }.leak_into_prefix()
}

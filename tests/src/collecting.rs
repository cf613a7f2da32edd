//! A pipeline that collects, clients that send to it without a pause, and what they were told.

use crate::{network::port, sandbox::Sandbox};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

const PIPELINE: &str = r#"
[vars]
spool = "spool"

[pipeline]
name = "collect"
store = "store"

[sources.web]
plugin = "cookies"

[sources.web.config.collector]
listen = "127.0.0.1:PORT"
spool = { folder = "${spool}", disk_limit = 1.0 }
consent = { no_signal = "granted" }
sites = { app = { key = "wk_app_test", secret = "a secret of the app, long" } }

[segments.seen]
rule = "did(event = 'seen', '7 days')"

[serve]
listen = "127.0.0.1:0"
"#;

/// The pipeline, with a port that nobody has.
pub fn sandbox() -> (Sandbox, u16) {
    let port = port();
    let sandbox = Sandbox::new();
    sandbox.write("pipeline.toml", PIPELINE.replace("PORT", &port.to_string()));
    (sandbox, port)
}

/// An event by a visitor of its own.
pub fn event(id: &str, value: u64) -> Value {
    json!({"type": "track", "event": "seen", "messageId": id, "anonymousId": id, "properties": {"value": value}})
}

/// The answer to a batch; none when nobody answers.
pub fn post(port: u16, events: &[Value]) -> Option<ureq::http::Response<ureq::Body>> {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let agent: ureq::Agent = config.timeout_global(Some(Duration::from_secs(10))).build().into();
    let request = agent.post(format!("http://127.0.0.1:{port}/v1/batch"));
    request.send_json(json!({"writeKey": "wk_app_test", "batch": events})).ok()
}

/// The status of a batch; 0 when nobody answers.
pub fn send(port: u16, events: &[Value]) -> u16 {
    post(port, events).map_or(0, |response| response.status().as_u16())
}

/// Clients that send batches of twenty events.
#[derive(Debug)]
pub struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<BTreeSet<String>>>,
}

impl Clients {
    /// Four of them; `next` is the number of the next event.
    pub fn start(port: u16, next: &Arc<AtomicU64>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let (next, stop) = (Arc::clone(next), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut acknowledged = BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    let ids: Vec<String> =
                        (0..20).map(|_| format!("e{}", next.fetch_add(1, Ordering::Relaxed))).collect();
                    let events: Vec<Value> = ids.iter().map(|id| event(id, 1)).collect();
                    if send(port, &events) == 200 {
                        acknowledged.extend(ids);
                    }
                }
                acknowledged
            })
        };
        let threads = (0..4).map(client).collect();
        Self { stop, threads }
    }

    /// Ends them; the ids of all events that were acknowledged.
    pub fn stop(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().expect("a client")).collect()
    }
}

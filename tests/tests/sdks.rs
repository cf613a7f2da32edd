//! Client SDKs as they are published against a running `kindred serve`: what they send is counted once, whoever it belongs
//! to is one profile, and what they were told has arrived survives a kill.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use kindred_tests::{
    clients,
    network::{forgetful, port},
    sandbox::{Sandbox, files, said},
    server::Server,
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

const KEY: &str = "a key that opens what a test asks";
const WRITE_KEY: &str = "wk_shop_0123";
const PATIENCE: Duration = Duration::from_secs(60);
/// What servers send of a visitor carries no signal.
const GRANTED: &str = r#"consent.no_signal = "granted""#;

const PIPELINE: &str = r#"
[pipeline]
name = "sdks"
store = "store"

[sources.web]
plugin = "cookies"

[sources.web.config.collector]
listen = "127.0.0.1:PORT"
public_url = "http://localhost:PORT"
traits = ["plan"]
cookie.secret = "only for tests: 0123456789abcdef"
sites.shop = { key = "wk_shop_0123", origins = ["http://localhost:SHOP"] }
POLICY

[segments.orders]
rule = "count(event = 'order' AND category = 'coats') >= 1"

[segments.spent]
rule = "sum(value, event = 'order') >= 0"

[segments.page]
rule = "did(event = 'page_view' AND url = 'https://shop.example/coats')"

[segments.title]
rule = "did(event = 'page_view' AND title = 'Coats')"

[segments.screen]
rule = "did(event = 'screen_view')"

[segments.group]
rule = "did(event = 'group')"

[segments.twice]
rule = "count(event = 'once') >= 2"

[segments.once]
rule = "count(event = 'once') >= 1"

[serve]
listen = "127.0.0.1:0"

[serve.keys.test]
key = "a key that opens what a test asks"
scopes = ["profile", "explain"]
attributes = ["web.plan"]
"#;

/// A server whose collector is where clients expect it, also after it was killed.
struct Shop {
    sandbox: Sandbox,
    collector: String,
    port: u16,
    pages: u16,
    server: Option<Server>,
}

impl Shop {
    fn open(policy: &str) -> Self {
        let (port, pages) = (port(), port());
        let sandbox = Sandbox::new();
        let text = PIPELINE.replace("PORT", &port.to_string()).replace("SHOP", &pages.to_string());
        sandbox.write("pipeline.toml", text.replace("POLICY", policy));
        let collector = format!("http://127.0.0.1:{port}");
        let mut shop = Self { sandbox, collector, port, pages, server: None };
        shop.start();
        shop
    }

    fn start(&mut self) {
        self.server = Some(Server::start(&self.sandbox, "pipeline.toml", &["--json"]));
    }

    fn kill(&mut self) {
        self.server.take().unwrap().kill();
    }

    fn server(&mut self) -> &mut Server {
        self.server.as_mut().unwrap()
    }

    /// Asks about a profile until it is as it should be.
    fn wait_for(&mut self, identifier: &str, what: &str, right: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/v1/profiles/{identifier}{what}");
        let until = Instant::now() + PATIENCE;
        loop {
            let (status, answer) = self.server().get(&path, Some(KEY));
            if status == 200 && right(&answer) {
                return answer;
            }
            assert!(Instant::now() < until, "{path} is still {status} {answer}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until this many orders of a profile were counted; that there are no more, the summary says.
    fn wait_for_orders(&mut self, identifier: &str, orders: u64) {
        let wanted = json!(orders.to_string());
        self.wait_for(identifier, "/segments/orders", |answer| answer["reason"]["value"] == wanted);
    }

    fn status(&mut self, identifier: &str) -> u16 {
        self.server().get(&format!("/v1/profiles/{identifier}"), Some(KEY)).0
    }

    /// Stops the server and says what became of the rows.
    fn stop(&mut self) -> Value {
        let (status, out) = self.server.take().unwrap().stop();
        assert!(status.success(), "{out}");
        let summary: Value = serde_json::from_str(&out).unwrap();
        summary["sources"]["web"].clone()
    }

    fn members(&self, segment: &str) -> Vec<String> {
        self.sandbox.members(&["pipeline.toml"], segment, "user")
    }
}

fn started(command: &mut Command, arguments: &[&str]) -> Child {
    let command = command.args(arguments).env("NO_PROXY", "127.0.0.1,localhost").stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the client starts")
}

/// Runs a client, and answers what it printed.
fn ran(mut command: Command, arguments: &[&str]) -> Value {
    finished(started(&mut command, arguments))
}

fn finished(client: Child) -> Value {
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)))
}

/// What a clean stop says of rows of which none came twice or was refused.
fn counted(summary: &Value) -> (u64, u64) {
    let none = ["duplicates", "suppressed", "rejected"];
    assert!(none.iter().all(|outcome| summary[outcome] == 0), "{summary}");
    (summary["events"].as_u64().unwrap(), summary["attributes"].as_u64().unwrap())
}

/// Segment's server SDKs, and RudderStack's, make the same calls: 251 orders, of which one is of a visitor who is known by an alias later.
fn check_segment(shop: &mut Shop, user: &str) {
    for identifier in ["user:", "anonymous:a-", "anonymous:b-"].map(|kind| format!("{kind}{user}")) {
        shop.wait_for_orders(&identifier, 251);
        let all = json!(["group", "orders", "page", "screen", "spent"]);
        let profile = shop.wait_for(&identifier, "", |answer| answer["segments"] == all);
        assert_eq!(profile["attributes"], json!({"web.plan": "gold"}), "{profile}");
        assert_eq!(profile["consent"], "granted");
    }
    let spent = shop.wait_for(&format!("user:{user}"), "/segments/spent", |_| true);
    assert_eq!(spent["reason"]["value"], "313.75", "{spent}");
}

/// An SDK for servers in Python, by its package.
fn server_sdk(package: &str) -> Option<Command> {
    let mut client = clients::python("analytics_server.py")?;
    client.arg(package);
    Some(client)
}

/// Runs a server SDK against one shop, once with bodies as they are and once with packed ones.
fn plain_and_packed(client: impl Fn() -> Option<Command>, name: &str) {
    if client().is_none() {
        return;
    }
    let mut shop = Shop::open(GRANTED);
    for coding in ["plain", "gzip"] {
        let user = format!("{name}-{coding}");
        let told = ran(client().unwrap(), &[&shop.collector, WRITE_KEY, &user, coding]);
        assert_eq!(told, json!({"queued": 256, "errors": []}));
        check_segment(&mut shop, &user);
    }
    assert_eq!(counted(&shop.stop()), (2 * 254, 2 * 2));
}

#[test]
fn segment_for_python_is_counted_once_with_gzip_and_without() {
    plain_and_packed(|| server_sdk("segment"), "python");
}

#[test]
fn rudderstack_for_python_is_counted_once_with_gzip_and_without() {
    plain_and_packed(|| server_sdk("rudderstack"), "rudder-python");
}

#[test]
fn rudderstack_for_node_is_counted_once_with_gzip_and_without() {
    plain_and_packed(|| clients::node("rudder_server.mjs"), "rudder-node");
}

#[test]
fn segment_for_node_is_counted_once() {
    let Some(client) = clients::node("segment_server.mjs") else { return };
    let mut shop = Shop::open(GRANTED);
    let told = ran(client, &[&shop.collector, WRITE_KEY, "node"]);
    assert_eq!((&told["queued"], &told["errors"]), (&json!(256), &json!([])), "{told}");
    assert_eq!(told["statuses"].as_object().unwrap().keys().collect::<Vec<_>>(), ["200"]);
    check_segment(&mut shop, "node");
    assert_eq!(counted(&shop.stop()), (254, 2));
}

#[test]
fn snowplow_for_node_is_counted_once_by_post_and_by_get() {
    if clients::node("snowplow_server.mjs").is_none() {
        return;
    }
    let mut shop = Shop::open(GRANTED);
    for method in ["post", "get"] {
        let user = format!("snowplow-{method}");
        let told =
            ran(clients::node("snowplow_server.mjs").unwrap(), &[&shop.collector, "shop", &user, method]);
        assert_eq!((&told["queued"], &told["errors"]), (&json!(55), &json!([])), "{told}");
        for identifier in [format!("user:{user}"), format!("anonymous:a-{user}")] {
            shop.wait_for_orders(&identifier, 50);
            shop.wait_for(&identifier, "", |it| {
                it["segments"] == json!(["orders", "page", "spent", "title"])
            });
        }
        let spent = shop.wait_for(&format!("user:{user}"), "/segments/spent", |_| true);
        assert_eq!(spent["reason"]["value"], "62.5", "{spent}");
    }
    assert_eq!(counted(&shop.stop()), (2 * 55, 0));
}

#[test]
fn segment_in_a_browser_is_counted_once_and_tries_again() {
    let Some(mut client) = clients::browser("segment_browser.mjs") else { return };
    let mut shop = Shop::open(GRANTED);
    let (collector, pages) = (format!("http://localhost:{}", shop.port), shop.pages.to_string());
    let mut client = started(&mut client, &[&collector, WRITE_KEY, &pages, "browser"]);
    let mut out = BufReader::new(client.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap_or(Value::Null)
    };
    let seen = next();
    if seen.is_null() {
        panic!("{}", said(&client.wait_with_output().unwrap()));
    }
    assert_eq!((&seen["undelivered"], &seen["failed"]), (&json!(0), &json!([])), "{seen}");
    // Without credentials a browser keeps no cookie, with them ours is as strict as it says.
    assert_eq!(seen["cookies"], json!([]));
    let cookie = &seen["cookie"];
    let strict = (&cookie["httpOnly"], &cookie["secure"], &cookie["sameSite"]);
    assert_eq!(strict, (&json!(true), &json!(true), &json!("Lax")), "{seen}");
    assert_eq!(seen["stranger"], "refused");
    let anonymous = seen["anonymous"].as_str().unwrap();
    for identifier in ["user:browser".to_owned(), format!("anonymous:{anonymous}")] {
        shop.wait_for_orders(&identifier, 4);
        let all = json!(["group", "orders", "screen", "spent", "title"]);
        let profile = shop.wait_for(&identifier, "", |answer| answer["segments"] == all);
        assert_eq!(profile["attributes"], json!({"web.plan": "gold"}), "{profile}");
    }
    let (first, second) = (seen["batches"][0].as_str().unwrap(), seen["batches"][1].as_str().unwrap());
    assert_ne!(first, second);
    for identifier in [format!("anonymous:{first}"), format!("anonymous:{second}")] {
        shop.wait_for_orders(&identifier, 10);
    }
    shop.wait_for_orders(&format!("cookie:{}", cookie["id"].as_str().unwrap()), 10);
    assert_eq!(counted(&shop.stop()), (4 + 3 + 10, 2));

    client.stdin.as_mut().unwrap().write_all(b"gone\n").unwrap();
    assert_eq!(next(), json!({"failed": true}));
    shop.start();
    let tried = next();
    assert!(tried["tried"].as_str().is_some_and(|times| times != "0"), "no retry: {tried}");
    shop.wait_for_orders("user:browser", 5);
    assert_eq!(counted(&shop.stop()), (1, 0));
    assert!(client.wait().unwrap().success());
}

#[test]
fn without_signals_the_default_policy_keeps_nothing_and_clients_see_success() {
    let clients =
        [server_sdk("segment"), clients::node("segment_server.mjs"), clients::node("snowplow_server.mjs")];
    let [Some(python), Some(segment), Some(snowplow)] = clients else { return };
    let mut shop = Shop::open("");
    let errors = [
        ran(python, &[&shop.collector, WRITE_KEY, "denied-python", "gzip"]),
        ran(segment, &[&shop.collector, WRITE_KEY, "denied-node"]),
        ran(snowplow, &[&shop.collector, "shop", "denied-snowplow", "post"]),
    ]
    .map(|told| told["errors"].clone());
    assert_eq!(errors, [json!([]), json!([]), json!([])]);
    let users = ["denied-python", "denied-node", "denied-snowplow"];
    let found = users.map(|user| shop.status(&format!("user:{user}")));
    assert_eq!(found, [404, 404, 404]);
    let log = shop.server().log();
    let summary = shop.stop();
    let kept = ["events", "attributes", "duplicates", "rejected"].map(|outcome| &summary[outcome]);
    assert_eq!(kept, [&json!(0); 4], "{summary}");
    // Who says nothing takes no consent back, so not even who it was goes through the spool.
    let spool = files(&shop.sandbox.path("spool"));
    assert!(!spool.is_empty(), "there is a spool");
    let text: String = spool.values().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    let told = ["denied-", "order", "coats", "example.com", "gold"].map(|word| text.contains(word));
    assert_eq!(told, [false; 5]);
    assert!(!log.contains("denied-"), "{log}");
}

#[test]
fn the_same_batch_five_times_counts_once() {
    let Some(mut client) = clients::python("segment_resend.py") else { return };
    let mut shop = Shop::open(GRANTED);
    let client = started(&mut client, &[&shop.collector, WRITE_KEY, "5", "0"]);
    assert_eq!(finished(client), json!({"delivered": 5 * 100, "errors": []}));
    let summary = shop.stop();
    let outcomes = ["events", "duplicates", "rejected"].map(|outcome| summary[outcome].as_u64().unwrap());
    assert_eq!(outcomes, [100, 400, 0], "{summary}");
    assert_eq!((shop.members("once").len(), shop.members("twice").len()), (100, 0));
}

#[test]
fn what_was_delivered_while_the_server_is_killed_is_counted_once() {
    let Some(mut client) = clients::python("segment_resend.py") else { return };
    let mut shop = Shop::open(GRANTED);
    let (address, lost) = forgetful(shop.port);
    let client = started(&mut client, &[&address, WRITE_KEY, "1", "25"]);
    for number in [100, 300, 500] {
        shop.wait_for(&format!("user:{number}"), "", |_| true);
        shop.kill();
        std::thread::sleep(Duration::from_millis(300));
        shop.start();
    }
    let told = finished(client);
    assert_eq!(told, json!({"delivered": 800, "errors": []}));
    assert!(lost.load(Ordering::Relaxed) > 10, "answers were lost");
    shop.stop();
    let mut all: Vec<String> = (0..800).map(|number| number.to_string()).collect();
    all.sort();
    assert_eq!(shop.members("once"), all);
    assert_eq!(shop.members("twice"), Vec::<String>::new());
}

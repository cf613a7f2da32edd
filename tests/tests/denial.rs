//! Who denies while `kindred serve` runs: from then on in no answer of the Profile API, in no change that is told, and away
//! from the destination with its next delivery, whatever else is collected of them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use kindred_tests::{
    collecting::{event, send},
    deliveries,
    network::port,
    sandbox::Sandbox,
    server::Server,
};
use serde_json::{Value, json};

const KEY: &str = "a key of the shop, long";
/// Denials that follow the first one of each.
const ROUNDS: usize = 20;

const PIPELINE: &str = r#"
[pipeline]
name = "denial"
store = "store"

[sources.web]
plugin = "cookies"

[sources.web.config.collector]
listen = "127.0.0.1:PORT"
spool = { folder = "spool", disk_limit = 1.0 }
consent = { no_signal = "granted" }
sites = { app = { key = "wk_app_test", secret = "a secret of the app, long" } }

[segments.seen]
rule = "did(event = 'seen', '7 days')"

[destinations.out]
plugin = "dsp-export"
segments = ["seen"]
minimum_audience = 50
config = { format = "csv", path = "out", identifier = "anonymous" }

[serve]
listen = "127.0.0.1:0"
deliver_every = "300 ms"

[serve.keys.shop]
key = "a key of the shop, long"
scopes = ["profile", "bulk", "changes", "explain"]
"#;

/// The event that the segment asks for, from somebody who denies: in a word of the shop's own, or because the law applies
/// and no consent is shown.
fn denied(who: &str, round: usize) -> Value {
    let mut event = event(&format!("{who}-{round}"), 1);
    event["anonymousId"] = who.into();
    let by_status = who.ends_with(['0', '2', '4']);
    event["context"] =
        json!({"consent": if by_status { json!({"status": "denied"}) } else { json!({"gdpr": 1}) }});
    event
}

/// What was told, `enter` or `exit`, and of whom, until this one enters.
fn told(changes: impl Iterator<Item = String>, last: &str) -> Vec<(String, String)> {
    let mut told = Vec::new();
    let mut what = String::new();
    for line in changes {
        if let Some(event) = line.strip_prefix("event: ") {
            event.clone_into(&mut what);
        } else if let Some(data) = line.strip_prefix("data: ") {
            let data: Value = serde_json::from_str(data).unwrap();
            told.push((what.clone(), data["profile"].as_str().unwrap().to_owned()));
            if told.last().is_some_and(|(what, who)| what == "enter" && who == last) {
                return told;
            }
        }
    }
    panic!("{last} was never told of: {told:?}");
}

#[test]
fn who_denies_is_in_no_answer_no_change_and_no_delivery_from_then_on() {
    let (sandbox, port) = (Sandbox::new(), port());
    sandbox.write("pipeline.toml", PIPELINE.replace("PORT", &port.to_string()));
    let mut server = Server::start(&sandbox, "pipeline.toml", &[]);
    let changes = server.stream("/v1/changes?namespace=anonymous&segments=seen", KEY);
    let denying: Vec<String> = (0..5).map(|n| format!("p{n}")).collect();
    let crowd = (0..60).map(|n| event(&format!("x{n}"), 1));
    let first: Vec<Value> = crowd.chain(denying.iter().map(|who| event(who, 1))).collect();
    assert_eq!(send(port, &first), 200);
    let out = sandbox.path("out");
    server.wait_for("everybody at the destination", |_| {
        let there = deliveries::now(&out);
        denying.iter().all(|who| there.contains(who)).then_some(())
    });

    // They deny, and so does somebody who was never there.
    let no = |round: usize| -> Vec<Value> {
        denying.iter().map(String::as_str).chain(["stranger"]).map(|who| denied(who, round)).collect()
    };
    assert_eq!(send(port, &no(0)), 200);
    for who in &denying {
        server.wait_for("the denial", |server| {
            let (_, answer) = server.get(&format!("/v1/profiles/anonymous:{who}"), Some(KEY));
            (answer["consent"] == "denied").then_some(())
        });
    }
    let asked: Vec<String> = denying.iter().map(|who| format!("anonymous:{who}")).collect();
    for round in 1..=ROUNDS {
        let mut events = no(round);
        events.push(event(&format!("y{round}"), 1));
        assert_eq!(send(port, &events), 200);
        let (status, many) = server.post("/v1/profiles", KEY, &json!({"identifiers": asked}));
        assert_eq!(status, 200, "{many}");
        for who in &asked {
            let found = &many["profiles"][who];
            let shown = (&found["consent"], &found["segments"], &found["attributes"]);
            assert_eq!(shown, (&json!("denied"), &json!([]), &json!({})), "{who}: {many}");
        }
    }

    // Whoever came with the last of them is told of behind all that could be told of them.
    let told = told(changes, &format!("anonymous:y{ROUNDS}"));
    for who in &asked {
        let own = told.iter().filter(|(_, profile)| profile == who);
        let own: Vec<&str> = own.map(|(what, _)| what.as_str()).collect();
        assert_eq!(own, ["enter", "exit"], "{who}");
        let (status, reason) = server.get(&format!("/v1/profiles/{who}/segments/seen"), Some(KEY));
        assert_eq!((status, &reason["member"]), (200, &json!(false)), "{reason}");
    }
    assert!(told.iter().all(|(_, who)| who != "anonymous:stranger"), "{told:?}");
    assert_eq!(server.get("/v1/profiles/anonymous:stranger", Some(KEY)).0, 404);

    // The first delivery with somebody who came later is without them, and none after it has them again.
    let last = format!("y{ROUNDS}");
    server.wait_for("the last delivery", |_| deliveries::now(&out).contains(&last).then_some(()));
    // Each denial was counted, and so were the others.
    let metrics = server.get("/metrics", None).1;
    let metrics = metrics.as_str().unwrap();
    for (name, events) in [("stored", 65 + ROUNDS), ("without_consent", 6 * (ROUNDS + 1))] {
        let line = format!("kindred_plugin_collector_events_{name}_total{{instance=\"web\"}} {events}.0");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    assert!(server.stop().0.success());
    let has = deliveries::after_each(&out);
    let later = has.iter().skip_while(|has| !has.iter().any(|who| who.starts_with('y')));
    for has in later {
        assert!(denying.iter().all(|who| !has.contains(who)), "{has:?}");
    }
    assert!(has.iter().all(|has| !has.contains("stranger")));
    let members = sandbox.members(&["pipeline.toml"], "seen", "anonymous");
    assert_eq!(members.len(), 60 + ROUNDS, "{members:?}");
    assert!(members.iter().all(|who| !denying.contains(who)), "{members:?}");
}

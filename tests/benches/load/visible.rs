//! From an event to what the Profile API says: an enter and an exit as server-sent events, and as answers to who asks.

use super::{
    KEY, api, collector,
    http::{Client, events},
    pace::{Random, distribution, steadily},
    run,
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

/// Events of one request.
const BATCH: u64 = 50;
const CONNECTIONS: u64 = 8;
/// Known visitors whose events are the load.
const VISITORS: u64 = 200_000;
/// Every so many batches a carts' owner is also looked for by asking.
const ASKED: u64 = 8;
/// From putting something into the cart to buying it.
const BUYS_AFTER: u64 = 2;

type Sent = Mutex<HashMap<String, Instant>>;

/// One batch in each request: events of known visitors, one new visitor who fills a cart, and one who buys what they put
/// there seconds before. `carts` is entered by the first and left by the second.
pub(crate) fn measure(rate: u64, lasts: Duration) {
    let (run, batches) = (run(), rate as f64 / BATCH as f64);
    let carts: Sent = Mutex::default();
    let buys: Sent = Mutex::default();
    let Ok(lines) = events(api(), "/v1/changes?namespace=anonymous&segments=carts", KEY) else {
        return println!("no changes are told on port {}", api());
    };
    let (ask, asked) = mpsc::channel::<(String, Instant)>();
    thread::scope(|scope| {
        let told = scope.spawn(|| listen(lines, &carts, &buys, lasts));
        let seen = scope.spawn(move || asked.into_iter().filter_map(look).collect::<Vec<_>>());
        // Each thread has a sender; when the last one goes, who is asked comes to an end.
        let state = move |n| (collector(), Random(n + 1), 0_u64, ask.clone());
        let states = (0..CONNECTIONS).map(state).collect();
        let done = steadily(states, batches, lasts, |(client, random, failed, ask), number, _| {
            let visitor = |number: u64| format!("v{run}-{number}");
            let known =
                |at: u64, who: u64| event("page_view", &format!("{run}-{number}-{at}"), &format!("a{who}"));
            let mut batch: Vec<String> = (2..BATCH).map(|at| known(at, random.below(VISITORS))).collect();
            batch.push(event("cart", &format!("{run}-c{number}"), &visitor(number)));
            let before = number.checked_sub(BUYS_AFTER * batches as u64);
            batch.extend(before.map(|n| event("purchase", &format!("{run}-b{n}"), &visitor(n))));
            let now = Instant::now();
            note(&carts, visitor(number), now);
            if let Some(before) = before {
                note(&buys, visitor(before), now);
            }
            if number % ASKED == 0 {
                // Nobody asks any more only when the measurement is over.
                let _ = ask.send((visitor(number), now));
            }
            *failed += u64::from(!matches!(client.batch(&batch), Ok(200)));
        });
        println!("{} requests failed", done.into_iter().map(|(_, _, failed, _)| failed).sum::<u64>());
        let (entered, left) = told.join().unwrap_or_default();
        println!("{}", distribution("event to enter told", entered));
        println!("{}", distribution("event to exit told", left));
        println!("{}", distribution("event to segment in the answer", seen.join().unwrap_or_default()));
    });
    let missing = |sent: &Sent| sent.lock().unwrap_or_else(PoisonError::into_inner).len();
    println!("{} enters and {} exits were not told", missing(&carts), missing(&buys));
}

fn note(sent: &Sent, who: String, now: Instant) {
    sent.lock().unwrap_or_else(PoisonError::into_inner).insert(who, now);
}

pub(crate) fn event(name: &str, id: &str, who: &str) -> String {
    format!(
        r#"{{"type":"track","event":"{name}","messageId":"{id}","anonymousId":"{who}","properties":{{"category":"coats","value":12.5}}}}"#
    )
}

/// How long each enter and exit took to be told, until a while after the last event.
fn listen(
    lines: impl Iterator<Item = String>,
    carts: &Sent,
    buys: &Sent,
    lasts: Duration,
) -> (Vec<Duration>, Vec<Duration>) {
    let (until, mut enters) = (Instant::now() + lasts + Duration::from_secs(3), false);
    let (mut entered, mut left) = (Vec::new(), Vec::new());
    for line in lines {
        if let Some(what) = line.strip_prefix("event: ") {
            enters = what == "enter";
        } else if let Some(who) = line.split("\"profile\":\"anonymous:").nth(1) {
            let who = who.split('"').next().unwrap_or_default();
            let (sent, took) = if enters { (carts, &mut entered) } else { (buys, &mut left) };
            let begun = sent.lock().unwrap_or_else(PoisonError::into_inner).remove(who);
            took.extend(begun.map(|begun| begun.elapsed()));
        }
        if Instant::now() > until {
            break;
        }
    }
    (entered, left)
}

/// Asks again and again whether somebody is in `carts`; none when they never are.
fn look((who, begun): (String, Instant)) -> Option<Duration> {
    let mut client = Client::new(api());
    while begun.elapsed() < Duration::from_secs(10) {
        let (_, body) = client.get(&format!("/v1/profiles/anonymous:{who}"), KEY).ok()?;
        if body.windows(7).any(|word| word == b"\"carts\"") {
            return Some(begun.elapsed());
        }
        thread::sleep(Duration::from_millis(1));
    }
    None
}

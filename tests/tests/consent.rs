//! No way leads from a profile that does not consent to a destination: whatever rows say in whatever order, over runs,
//! and whoever turns out to be one person meanwhile. `KINDRED_CASES=200` tries as many.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use kindred_tests::{deliveries, sandbox::Sandbox};
use proptest::prelude::*;
use std::collections::BTreeSet;

const PIPELINE: &str = r#"
[pipeline]
name = "test"
store = "store"
clock = "2026-02-01T00:00:00Z"

[sources.web]
plugin = "cookies"
config = { path = "logs", consent = "consent", identifiers = { user = "user" } }

[sources.ties]
plugin = "cookies"
consent = "granted"
config = { path = "ties", identifiers = { user = "user" } }

[segments.seen]
rule = "did(event = 'view')"

[destinations.out]
plugin = "dsp-export"
segments = ["seen"]
minimum_audience = 50
config = { format = "csv", path = "out", identifier = "cookie" }
"#;

/// How far each word reaches: 0 nothing, 1 collect, 2 segment, 3 activate. A row with what is no word is rejected.
const WORDS: [(&str, Option<u8>); 5] = [
    ("granted", Some(3)),
    ("collect segment", Some(2)),
    ("collect", Some(1)),
    ("denied", Some(0)),
    ("no idea", None),
];
const GRANTED: Option<usize> = Some(0);
const DENIED: Option<usize> = Some(3);

/// A row: cookie, perhaps a user, word, and whether its event is the one that the segment asks for.
type Row = (u8, Option<u8>, Option<usize>, bool);

/// What a run finds.
#[derive(Clone, Debug)]
enum Batch {
    /// What visitors do, and what they say.
    Rows(Vec<Row>),
    /// Cookies and users that are one, from somebody for whom the operator vouches: without a word.
    Ties(Vec<(u8, u8)>),
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let user = || proptest::option::weighted(0.3, 0_u8..4);
    let word = proptest::option::weighted(0.8, 0..WORDS.len());
    let row = (0_u8..8, user(), word, proptest::bool::weighted(0.7));
    let batch = prop_oneof![
        3 => proptest::collection::vec(row, 1..12).prop_map(Batch::Rows),
        2 => proptest::collection::vec((0_u8..8, 0_u8..4), 1..4).prop_map(Batch::Ties),
    ];
    proptest::collection::vec(batch, 1..7)
}

/// What is known of a person.
#[derive(Debug, Default)]
struct Person {
    cookies: BTreeSet<u8>,
    users: BTreeSet<u8>,
    /// The last word: when, and how far it reaches.
    word: Option<(u32, u8)>,
    vouched: bool,
    seen: bool,
}

impl Person {
    fn is(&self, cookie: u8, user: Option<u8>) -> bool {
        self.cookies.contains(&cookie) || user.is_some_and(|user| self.users.contains(&user))
    }

    fn reach(&self) -> u8 {
        self.word.map_or(if self.vouched { 3 } else { 0 }, |(_, reach)| reach)
    }

    /// Of two people who are one, the later word counts, whoever said it.
    fn with(mut self, other: Self) -> Self {
        self.cookies.extend(other.cookies);
        self.users.extend(other.users);
        self.word = self.word.max(other.word);
        self.vouched |= other.vouched;
        self.seen |= other.seen;
        self
    }
}

#[derive(Debug, Default)]
struct People(Vec<Person>);

impl People {
    /// Who has these identifiers, who are one from now on; somebody new where nobody has them.
    fn one(&mut self, cookie: u8, user: Option<u8>) -> &mut Person {
        let (same, others): (Vec<_>, Vec<_>) = self.0.drain(..).partition(|person| person.is(cookie, user));
        let mut one = same.into_iter().reduce(Person::with).unwrap_or_default();
        one.cookies.insert(cookie);
        one.users.extend(user);
        self.0 = others;
        self.0.push(one);
        self.0.last_mut().unwrap()
    }

    /// The source takes only rows with a grant, and a denial only of who is known; it makes nobody one.
    fn take(&mut self, (cookie, user, word, event): Row, minute: u32) {
        match word.and_then(|at| WORDS[at].1) {
            None => {}
            Some(0) => {
                let known = self.0.iter_mut().filter(|person| person.is(cookie, user));
                known.for_each(|person| person.word = Some((minute, 0)));
            }
            Some(reach) => {
                let one = self.one(cookie, user);
                one.word = Some((minute, reach));
                one.seen |= event;
            }
        }
    }

    /// The cookies of each person who is in the audience and whose consent reaches so far.
    fn who(&self, least: u8) -> Vec<BTreeSet<String>> {
        let who = self.0.iter().filter(|person| person.seen && person.reach() >= least);
        who.map(|person| person.cookies.iter().map(|cookie| format!("c{cookie}")).collect()).collect()
    }
}

fn line(
    id: &str,
    cookie: &str,
    user: Option<&str>,
    consent: Option<&str>,
    event: &str,
    minute: u32,
) -> String {
    let time = format!("2026-01-05T{:02}:{:02}:00Z", minute / 60, minute % 60);
    let row = serde_json::json!({
        "id": id, "cookie": cookie, "user": user, "time": time, "consent": consent, "event": event,
    });
    row.to_string() + "\n"
}

/// Runs over one batch after the other; after each, members and what was delivered are those of [`People`].
fn holds(batches: &[Batch]) -> Result<(), TestCaseError> {
    let sandbox = Sandbox::new();
    sandbox.write("pipeline.toml", PIPELINE);
    // Enough others that the audience may be sent at all.
    let crowd = (0..60).map(|n| line(&format!("x{n}"), &format!("x{n}"), None, Some("granted"), "view", 0));
    sandbox.write("logs/0.jsonl", crowd.collect::<String>());
    sandbox.write("ties/0.jsonl", line("x", "x0", Some("x"), None, "tie", 0));
    let (mut people, mut minute) = (People::default(), 1);
    for (run, batch) in batches.iter().enumerate() {
        let mut text = String::new();
        let mut add = |cookie: u8, user: Option<u8>, word: Option<usize>, event: &str| {
            minute += 1;
            let (id, cookie) = (format!("r{minute}"), format!("c{cookie}"));
            let user = user.map(|user| format!("u{user}"));
            text += &line(&id, &cookie, user.as_deref(), word.map(|at| WORDS[at].0), event, minute);
            minute
        };
        let folder = match batch {
            Batch::Rows(rows) => {
                for row in rows {
                    let at = add(row.0, row.1, row.2, if row.3 { "view" } else { "other" });
                    people.take(*row, at);
                }
                "logs"
            }
            Batch::Ties(ties) => {
                for (cookie, user) in ties {
                    add(*cookie, Some(*user), None, "tie");
                    people.one(*cookie, Some(*user)).vouched = true;
                }
                "ties"
            }
        };
        sandbox.write(&format!("{folder}/{}.jsonl", run + 1), text);
        sandbox.json(&["run", "pipeline.toml"]);
        let ours = |all: Vec<String>| -> BTreeSet<String> {
            all.into_iter().filter(|id| id.starts_with('c')).collect()
        };
        let members = ours(sandbox.members(&["pipeline.toml"], "seen", "cookie"));
        let wanted: BTreeSet<String> = people.who(2).into_iter().flatten().collect();
        prop_assert_eq!(members, wanted, "members after run {}: {:?}", run, people);
        let delivered = ours(deliveries::now(&sandbox.path("out")).into_iter().collect());
        let allowed = people.who(3);
        let lost = allowed.iter().find(|cookies| cookies.is_disjoint(&delivered));
        prop_assert!(lost.is_none(), "not delivered after run {run}: {lost:?} of {people:?}");
        // A cookie that somebody who was delivered is known by only later goes with nothing.
        let allowed: BTreeSet<String> = allowed.into_iter().flatten().collect();
        let denied: Vec<&String> = delivered.difference(&allowed).collect();
        prop_assert!(denied.is_empty(), "delivered after run {run}: {denied:?} of {people:?}");
    }
    Ok(())
}

fn cases() -> u32 {
    std::env::var("KINDRED_CASES").map_or(12, |cases| cases.parse().expect("a number of cases"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_sent_who_does_not_consent_to_it(found in batches()) {
        holds(&found)?;
    }
}

/// Two who are delivered, one of whom denies before they turn out to be one: the first or the second of them, which is
/// the one that goes on and the one that does not. The denial is the later word.
#[test]
fn who_denied_takes_along_whom_they_turn_out_to_be() {
    for denies in [0, 1] {
        let granted = [0, 1].map(|cookie| (cookie, None, GRANTED, true));
        let batches = [
            Batch::Rows(granted.to_vec()),
            Batch::Rows(vec![(denies, None, DENIED, true)]),
            Batch::Ties(vec![(0, 0), (1, 0)]),
            // Nobody comes back without a word.
            Batch::Rows(vec![(0, Some(0), None, true), (1, Some(0), None, true)]),
            Batch::Ties(vec![(0, 1), (1, 1)]),
        ];
        holds(&batches).unwrap();
    }
}

/// The same where the grant is the later word, and where the operator vouches for one who said nothing.
#[test]
fn of_two_who_are_one_the_later_word_counts() {
    for denies in [0, 1] {
        let later = Batch::Rows(vec![
            (0, None, GRANTED, true),
            (1, None, GRANTED, true),
            (denies, None, DENIED, true),
            (1 - denies, None, GRANTED, true),
        ]);
        holds(&[later, Batch::Ties(vec![(0, 0), (1, 0)])]).unwrap();
        let denied = Batch::Rows(vec![(denies, None, GRANTED, true), (denies, None, DENIED, true)]);
        holds(&[Batch::Ties(vec![(1 - denies, 0)]), denied, Batch::Ties(vec![(denies, 0)])]).unwrap();
    }
}

//! The options of the plugin.

use kindred_plugin_api::prelude::*;
use kindred_reading::{
    Columns, ConstantOr, EventSpec, IdentifierSpec, Meaning, Names, OnBadValue, Short, TimeSpec, ValueSpec,
};
use std::{collections::BTreeMap, time::Duration};

/// First step of the paths to what the server says of a message.
pub(crate) const OWN: &str = "nats";

/// Events out of a JetStream stream.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Servers of one cluster, one or a list: `nats://127.0.0.1:4222`, `tls://nats.example`.
    pub(crate) servers: Names,
    /// The stream.
    pub(crate) stream: String,
    /// Subjects to take, one or a list, with `*` and `>` as NATS has them. Default: all of the stream.
    #[serde(default)]
    pub(crate) subject: Option<Names>,
    /// Name of a durable consumer at the server, made where there is none; messages are acknowledged there once they are
    /// committed. Needed for streams that drop what is acknowledged. Default: none; the pipeline's store alone knows how
    /// far the stream was read.
    #[serde(default)]
    pub(crate) durable: Option<String>,
    /// Seconds after which the server hands out again what a durable consumer took and did not acknowledge: longer than
    /// a step takes. For a consumer that is made. Default: 60.
    #[serde(default = "ack_wait")]
    pub(crate) ack_wait_s: u64,
    /// Whether to wait for more at the end of the stream; `false` ends there, for `kindred run`.
    #[serde(default = "yes")]
    pub(crate) follow: bool,
    /// User, with `password`.
    #[serde(default)]
    pub(crate) user: Option<String>,
    /// Password: `${env:NATS_PASSWORD}`.
    #[serde(default)]
    pub(crate) password: Option<String>,
    /// Token: `${env:NATS_TOKEN}`.
    #[serde(default)]
    pub(crate) token: Option<String>,
    /// What a credentials file holds (JWT and seed): `${env:NATS_CREDENTIALS}`.
    #[serde(default)]
    pub(crate) credentials: Option<String>,
    /// Path of a credentials file. Relative to the pipeline file.
    #[serde(default)]
    pub(crate) credentials_file: Option<String>,
    /// Whether only encrypted connections are made, whatever the addresses say.
    #[serde(default)]
    pub(crate) tls: bool,
    /// Path of certificates to trust besides those of the system, as PEM. Relative to the pipeline file.
    #[serde(default)]
    pub(crate) ca: Option<String>,
    /// Identifiers, by namespace: a field, or a table with `column`, `kind`, `hash`, `region`. Fields are paths into the
    /// message: `user.id`; below `nats` is what the server says: `nats.subject`, `nats.headers.NAME`, `nats.sequence`.
    identifiers: BTreeMap<String, Short<IdentifierSpec>>,
    /// The name of all events: `"purchase"`; or a table with `column` and `map`. Default: none; rows carry attributes.
    #[serde(default)]
    event: Option<ConstantOr<EventSpec>>,
    /// When it happened: a field, or a table with `column`, `format`, `timezone`, `unit`. Default: when the stream took
    /// the message.
    #[serde(default)]
    time: Option<Short<TimeSpec>>,
    /// Fields that together name an event, joined by `:`, so that a second delivery is known. Default: stream and
    /// sequence.
    #[serde(default)]
    event_id: Option<Names>,
    /// Properties of the event: a list of fields, or a table `name = field` where a field may be a table with `type`,
    /// `format`, `decimal` …
    #[serde(default)]
    properties: Columns<ValueSpec>,
    /// Attributes of the profile, as `properties`.
    #[serde(default)]
    attributes: Columns<ValueSpec>,
    /// Field that holds consent: `granted`, `true`, `yes`, `1` or `denied`, `false`, `no`, `0`.
    #[serde(default)]
    consent: Option<Names>,
    /// What happens to a value that cannot be read: `reject` the row, or `null`.
    #[serde(default)]
    on_bad_value: OnBadValue,
}

fn ack_wait() -> u64 {
    60
}

fn yes() -> bool {
    true
}

impl Config {
    pub(crate) fn meaning(&self) -> Meaning<'_> {
        Meaning {
            own: OWN,
            own_time: Some("nats.time"),
            identifiers: &self.identifiers,
            event: self.event.as_ref(),
            time: self.time.as_ref(),
            event_id: self.event_id.as_ref(),
            properties: &self.properties,
            attributes: &self.attributes,
            consent: self.consent.as_ref(),
            on_bad_value: self.on_bad_value,
        }
    }

    pub(crate) fn ack_wait(&self) -> Duration {
        Duration::from_secs(self.ack_wait_s)
    }

    /// Subjects to take; none for all.
    pub(crate) fn subjects(&self) -> &[String] {
        self.subject.as_ref().map_or(&[], |names| &names.0)
    }

    /// What is wrong with them.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut found = self.meaning().problems();
        let mut problem = |at: &str, message: String, help: &str| {
            found.push(Problem::new(at, message).help(help));
        };
        // The address may hold a password, so it is not repeated.
        if self.servers.0.iter().any(|server| server.parse::<async_nats::ServerAddr>().is_err()) {
            problem(
                "/servers",
                "one of them is no address".into(),
                "such as `nats://127.0.0.1:4222`, `tls://nats.example`",
            );
        }
        let names = [("/stream", Some(&self.stream)), ("/durable", self.durable.as_ref())];
        for (at, name) in names.into_iter().filter_map(|(at, name)| Some((at, name?))) {
            if name.is_empty() || name.contains(|c: char| c.is_whitespace() || ".*>/\\".contains(c)) {
                problem(
                    at,
                    format!("`{name}` is no name of NATS"),
                    "a name has no space, `.`, `*`, `>`, `/` or `\\`",
                );
            }
        }
        let bad = |subject: &&String| subject.is_empty() || subject.contains(char::is_whitespace);
        if let Some(subject) = self.subjects().iter().find(bad) {
            problem("/subject", format!("`{subject}` is no subject"), "such as `shop.orders.*` or `shop.>`");
        }
        if !(1..=86_400).contains(&self.ack_wait_s) {
            problem("/ack_wait_s", format!("{} is not in 1..=86400", self.ack_wait_s), "seconds");
        }
        if self.user.is_some() != self.password.is_some() {
            problem("/user", "`user` and `password` go together".into(), "give both or none");
        }
        let ways = [&self.user, &self.token, &self.credentials, &self.credentials_file];
        if ways.into_iter().flatten().count() > 1 {
            problem(
                "",
                "more than one way to log in".into(),
                "`user` and `password`, `token`, `credentials` or `credentials_file`",
            );
        }
        found
    }
}

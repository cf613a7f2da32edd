//! The options of the plugin.

use kindred_plugin_api::prelude::*;
use kindred_reading::{
    Columns, ConstantOr, EventSpec, IdentifierSpec, Meaning, Names, OnBadValue, Short, TimeSpec, ValueSpec,
};
use std::collections::BTreeMap;

/// First step of the paths to what the broker says of a message.
pub(crate) const OWN: &str = "kafka";

/// Events out of Kafka topics.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Brokers to ask first, one or a list: `kafka-1.example:9092`; a comma separates them, too.
    pub(crate) brokers: Names,
    /// Topics, one or a list. All partitions are read, from their beginning.
    pub(crate) topics: Names,
    /// Name of a consumer group that is told how far the topics were read, once that is committed; no other consumer may
    /// be active in it. Default: none is told.
    #[serde(default)]
    pub(crate) group: Option<String>,
    /// Whether to wait for more at the end of the topics; `false` ends there, for `kindred run`.
    #[serde(default = "yes")]
    pub(crate) follow: bool,
    /// What happens when the broker no longer has the messages that come next.
    #[serde(default)]
    pub(crate) on_lost: OnLost,
    /// User, with `password`.
    #[serde(default)]
    pub(crate) user: Option<String>,
    /// Password: `${env:KAFKA_PASSWORD}`.
    #[serde(default)]
    pub(crate) password: Option<String>,
    /// How the password is shown to the broker. Default: `plain`, which without `tls` is readable on its way.
    #[serde(default)]
    pub(crate) mechanism: Mechanism,
    /// Whether connections are encrypted and the brokers' certificates checked.
    #[serde(default)]
    pub(crate) tls: bool,
    /// Path of the certificates to trust in place of those of the system, as PEM. Relative to the pipeline file.
    #[serde(default)]
    pub(crate) ca: Option<String>,
    /// Identifiers, by namespace: a field, or a table with `column`, `kind`, `hash`, `region`. Fields are paths into the
    /// message: `user.id`; below `kafka` is what the broker says: `kafka.topic`, `kafka.partition`, `kafka.offset`,
    /// `kafka.key`, `kafka.headers.NAME`.
    identifiers: BTreeMap<String, Short<IdentifierSpec>>,
    /// The name of all events: `"purchase"`; or a table with `column` and `map`. Default: none; rows carry attributes.
    #[serde(default)]
    event: Option<ConstantOr<EventSpec>>,
    /// When it happened: a field, or a table with `column`, `format`, `timezone`, `unit`. Default: `kafka.time`, the
    /// message's own timestamp.
    #[serde(default)]
    time: Option<Short<TimeSpec>>,
    /// Fields that together name an event, joined by `:`, so that a second delivery is known. Default: topic, partition and
    /// offset.
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

/// What happens when messages that were not read are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnLost {
    /// The source ends with an error that names topic, partition and offsets.
    #[default]
    Stop,
    /// It goes on with the earliest message that is there, and says so in the log.
    Earliest,
}

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mechanism {
    /// PLAIN: as it is.
    #[default]
    Plain,
    /// SCRAM-SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// SCRAM-SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

impl Mechanism {
    /// Its name in the protocol.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

fn yes() -> bool {
    true
}

impl Config {
    pub(crate) fn meaning(&self) -> Meaning<'_> {
        Meaning {
            own: OWN,
            own_time: Some("kafka.time"),
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

    /// What is wrong with them.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut found = self.meaning().problems();
        let mut problem = |at: &str, message: String, help: &str| {
            found.push(Problem::new(at, message).help(help));
        };
        if let Some(broker) = self.brokers.0.iter().find(|listed| !listed.split(',').all(is_address)) {
            problem(
                "/brokers",
                format!("`{broker}` is no address"),
                "such as `kafka-1.example:9092`, `[2001:db8::1]:9092`",
            );
        }
        if let Some(topic) = self.topics.0.iter().find(|topic| !is_topic(topic)) {
            problem(
                "/topics",
                format!("`{topic}` is no name of a topic"),
                "up to 249 of `a-z`, `A-Z`, `0-9`, `.`, `_`, `-`",
            );
        }
        if self.group.as_ref().is_some_and(|group| group.trim().is_empty()) {
            problem("/group", "an empty name".into(), "leave it out where no group shall be told");
        }
        if self.user.is_some() != self.password.is_some() {
            problem("/user", "`user` and `password` go together".into(), "give both or none");
        }
        if self.mechanism != Mechanism::Plain && self.user.is_none() {
            problem(
                "/mechanism",
                format!("{} without a user", self.mechanism.name()),
                "give `user` and `password`",
            );
        }
        if self.ca.is_some() && !self.tls {
            problem("/ca", "certificates without encryption".into(), "set `tls = true`");
        }
        if cfg!(not(feature = "tls")) {
            let help = "build with `--features kafka-tls`, which needs OpenSSL (docs/sources.md)";
            if self.tls {
                problem("/tls", "this build has no TLS for Kafka".into(), help);
            }
            if self.mechanism != Mechanism::Plain {
                problem("/mechanism", format!("this build has no {}", self.mechanism.name()), help);
            }
        }
        found
    }
}

/// A host, and a port where it is not the usual one.
fn is_address(broker: &str) -> bool {
    let (host, port) = match broker.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host.replace([':', '%'], ""), rest.strip_prefix(':').unwrap_or(rest)),
        None => {
            let (host, port) = broker.split_once(':').unwrap_or((broker, ""));
            (host.to_owned(), port)
        }
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let port = port.is_empty() && !broker.ends_with(':') || port.parse().is_ok_and(|port: u16| port > 0);
    !host.is_empty() && host.chars().all(fits) && port
}

fn is_topic(topic: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=249).contains(&topic.len()) && topic.chars().all(fits) && topic != "." && topic != ".."
}

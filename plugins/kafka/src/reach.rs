//! What has to be known to ask the brokers: a client, which partitions there are, what their logs hold.

use crate::{
    hearing::Hearing,
    options::{Config, OnLost},
    place::Extent,
};
use kindred_plugin_api::{Context, Fault, Problem, Result};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::RDKafkaErrorCode,
};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// Longest wait for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that are fetched ahead of the polls, all partitions together, and about as many that are on their way.
const AHEAD_BYTES: usize = 32 << 20;
/// Messages that are fetched ahead of the polls, all partitions together: small ones cost more than their bytes.
const AHEAD_MESSAGES: usize = 100_000;
/// Bytes that one partition may fetch ahead, however many or few there are.
const SHARE_BYTES: (usize, usize) = (64 << 10, 4 << 20);

/// A client of the brokers.
pub(crate) type Client = BaseConsumer<Hearing>;

/// What has to be known to connect; paths are resolved.
#[derive(Clone)]
pub(crate) struct Reach {
    context: Context,
    brokers: String,
    topics: Vec<String>,
    group: Option<String>,
    login: Option<(String, String, &'static str)>,
    tls: bool,
    ca: Option<PathBuf>,
    on_lost: OnLost,
}

/// Partitions, by topic and number.
pub(crate) type Partitions<T> = BTreeMap<(String, i32), T>;

impl Reach {
    pub(crate) fn new(config: &Config, context: &Context) -> Self {
        let mut topics = config.topics.0.clone();
        topics.sort();
        topics.dedup();
        let login = config.user.clone().zip(config.password.clone());
        Self {
            context: context.clone(),
            brokers: config.brokers.0.join(","),
            topics,
            group: config.group.clone(),
            login: login.map(|(user, password)| (user, password, config.mechanism.name())),
            tls: config.tls,
            ca: config.ca.as_ref().map(|path| context.path(path)),
            on_lost: config.on_lost,
        }
    }

    /// A client that reads so many partitions. It connects by itself, later.
    ///
    /// # Errors
    /// CONFIG when librdkafka refuses an option: a file that it cannot read.
    pub(crate) fn client(&self, partitions: usize) -> Result<Client> {
        let partitions = partitions.max(1);
        let share = (AHEAD_BYTES / partitions).clamp(SHARE_BYTES.0, SHARE_BYTES.1);
        let mut config = ClientConfig::new();
        let mut set = |key: &str, value: &str| {
            config.set(key, value);
        };
        set("bootstrap.servers", &self.brokers);
        set("client.id", "kindred");
        // Without a group librdkafka assigns no partitions; nothing is told to this one.
        set("group.id", self.group.as_deref().unwrap_or("kindred"));
        set("enable.auto.commit", "false");
        set("enable.auto.offset.store", "false");
        set("enable.partition.eof", "true");
        set("auto.offset.reset", "error");
        set("queued.max.messages.kbytes", &(share >> 10).to_string());
        set("queued.min.messages", &(AHEAD_MESSAGES / partitions).clamp(100, 10_000).to_string());
        set("fetch.message.max.bytes", &share.to_string());
        set("fetch.max.bytes", &AHEAD_BYTES.to_string());
        set("fetch.wait.max.ms", "100");
        set("fetch.queue.backoff.ms", "10");
        set("reconnect.backoff.max.ms", "1000");
        set("socket.connection.setup.timeout.ms", &PATIENCE.as_millis().to_string());
        let protocol = match (self.tls, &self.login) {
            (false, None) => "plaintext",
            (true, None) => "ssl",
            (false, Some(_)) => "sasl_plaintext",
            (true, Some(_)) => "sasl_ssl",
        };
        set("security.protocol", protocol);
        if let Some((user, password, mechanism)) = &self.login {
            set("sasl.username", user);
            set("sasl.password", password);
            set("sasl.mechanism", mechanism);
        }
        if self.tls {
            // An OpenSSL that is compiled along does not know where the system has its certificates.
            let ca = self.ca.as_ref().map_or("probe".into(), |path| path.to_string_lossy());
            set("ssl.ca.location", &ca);
        }
        config.create_with_context(Hearing::new(self.context.clone())).map_err(|error| {
            Fault::config(vec![Problem::new("", format!("librdkafka refuses the options: {error}"))])
        })
    }

    /// The partitions of the topics, in the order in which they take turns.
    ///
    /// # Errors
    /// CONFIG when a topic is not there or must not be read, else TRANSIENT.
    pub(crate) fn partitions(&self, client: &Client) -> Result<Vec<(String, i32)>> {
        let mut found = Vec::new();
        for topic in &self.topics {
            let answer = client.fetch_metadata(Some(topic), PATIENCE).map_err(|error| {
                // Why is told by the client's queue.
                while client.poll(Duration::from_millis(10)).is_some() {}
                client.context().fault("no answer from the brokers", &error)
            })?;
            let told = answer.topics().first();
            if let Some(error) = told.and_then(|told| told.error()) {
                return Err(refused(topic, error.into()));
            }
            let mut numbers: Vec<i32> =
                told.iter().flat_map(|told| told.partitions()).map(|partition| partition.id()).collect();
            if numbers.is_empty() {
                return Err(refused(topic, RDKafkaErrorCode::UnknownTopicOrPartition));
            }
            numbers.sort_unstable();
            found.extend(numbers.into_iter().map(|partition| (topic.clone(), partition)));
        }
        Ok(found)
    }

    /// What happens when messages that were not read are gone.
    ///
    /// # Errors
    /// CONFIG unless reading goes on with what is there.
    pub(crate) fn lose(&self, lost: &str) -> Result<()> {
        if self.on_lost == OnLost::Earliest {
            self.context.warn(&format!("{lost}; reading goes on with the first message that is there"));
            return Ok(());
        }
        let help = "`on_lost = \"earliest\"` goes on with the first message that is there";
        Err(Fault::config(vec![Problem::new("/on_lost", lost).help(help)]))
    }

    /// What their logs hold.
    ///
    /// # Errors
    /// TRANSIENT.
    pub(crate) fn extents(client: &Client, partitions: &[(String, i32)]) -> Result<Partitions<Extent>> {
        let firsts = offsets(client, partitions, Offset::Beginning)?;
        let ends = offsets(client, partitions, Offset::End)?;
        let extent = |(partition, first)| {
            let end = *ends.get(&partition)?;
            Some((partition, Extent { first, end }))
        };
        Ok(firsts.into_iter().filter_map(extent).collect())
    }
}

/// The offset at one end of each log; one request a broker.
///
/// # Errors
/// TRANSIENT.
pub(crate) fn offsets(client: &Client, partitions: &[(String, i32)], at: Offset) -> Result<Partitions<i64>> {
    let lost = |error| client.context().fault("the brokers do not say what the topics hold", &error);
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, *partition, at).map_err(lost)?;
    }
    let answer = client.offsets_for_times(list, PATIENCE).map_err(lost)?;
    let mut found = Partitions::new();
    for told in answer.elements() {
        told.error().map_err(lost)?;
        let Offset::Offset(offset) = told.offset() else {
            let message =
                format!("topic `{}`, partition {}: no offset was told", told.topic(), told.partition());
            return Err(Fault::transient("offsets", message));
        };
        found.insert((told.topic().to_owned(), told.partition()), offset);
    }
    Ok(found)
}

fn refused(topic: &str, code: RDKafkaErrorCode) -> Fault {
    let config = |message| Fault::config(vec![Problem::new("/topics", message)]);
    match code {
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
            config(format!("the brokers have no topic `{topic}`"))
        }
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            config(format!("the brokers do not let this user read topic `{topic}`"))
        }
        code => Fault::transient("topic", format!("topic `{topic}`: {code}")),
    }
}

//! What is said to the server: connect, find the stream, make the consumer, fetch, acknowledge.

use crate::{options::Config, place::Place};
use async_nats::{
    Client, ConnectErrorKind, ConnectOptions,
    jetstream::{
        self, Message,
        consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
        context::GetStreamErrorKind,
        stream::{ConsumerErrorKind, RetentionPolicy, Stream},
    },
};
use futures::StreamExt;
use kindred_plugin_api::{Context, Fault, Problem, Result};
use std::{path::PathBuf, time::Duration};

/// Longest wait for a connection and for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Messages that are asked for at once; more are asked for again, so that memory stays bounded.
const FETCH: usize = 1000;
/// A poll ends early once its messages hold this much.
const FETCH_BYTES: usize = 64 << 20;
/// After so long without a fetch the server forgets a consumer that has no name.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);
/// Messages that a durable consumer may hand out without an acknowledgement; the server's own default is 1,000, which
/// would be the size of every step.
const UNACKNOWLEDGED: i64 = 1_000_000;

/// What has to be known to connect; paths are resolved.
#[derive(Clone)]
pub(crate) struct Reach {
    config: Config,
    credentials_file: Option<PathBuf>,
    ca: Option<PathBuf>,
}

/// A stream, and a consumer that reads it.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) made_us: i64,
    consumer: PullConsumer,
}

/// Messages of a fetch, and what ended it early.
pub(crate) struct Fetched {
    pub(crate) messages: Vec<Message>,
    pub(crate) fault: Option<Fault>,
}

impl Reach {
    pub(crate) fn new(config: &Config, context: &Context) -> Self {
        let path = |path: &Option<String>| path.as_ref().map(|path| context.path(path));
        Self {
            config: config.clone(),
            credentials_file: path(&config.credentials_file),
            ca: path(&config.ca),
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// CONFIG when the server refuses who asks or a file cannot be read, else TRANSIENT.
    pub(crate) async fn connect(&self) -> Result<Client> {
        let options = self.options().await?;
        options.connect(&self.config.servers.0[..]).await.map_err(|error| {
            let message = format!("no connection to the servers: {}", error.kind());
            match error.kind() {
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                    Fault::config(vec![
                        Problem::new("", message).help("look at `user`, `token` or `credentials`"),
                    ])
                }
                ConnectErrorKind::ServerParse => Fault::config(vec![Problem::new("/servers", message)]),
                _ => Fault::transient("connect", message),
            }
        })
    }

    async fn options(&self) -> Result<ConnectOptions> {
        let config = &self.config;
        let bad = |at: &'static str| {
            move |error: std::io::Error| {
                let message = format!("the credentials cannot be read: {}", error.kind());
                Fault::config(vec![Problem::new(at, message)])
            }
        };
        let mut options = ConnectOptions::new()
            .name("kindred")
            .connection_timeout(PATIENCE)
            .request_timeout(Some(PATIENCE))
            .require_tls(config.tls);
        if let (Some(user), Some(password)) = (&config.user, &config.password) {
            options = options.user_and_password(user.clone(), password.clone());
        }
        if let Some(token) = &config.token {
            options = options.token(token.clone());
        }
        if let Some(text) = &config.credentials {
            options = options.credentials(text).map_err(bad("/credentials"))?;
        }
        if let Some(path) = &self.credentials_file {
            options = options.credentials_file(path).await.map_err(bad("/credentials_file"))?;
        }
        Ok(match &self.ca {
            Some(path) => options.add_root_certificates(path.clone()),
            None => options,
        })
    }

    /// The stream.
    ///
    /// # Errors
    /// CONFIG when there is none, or when it drops what a reader without a name has read, else TRANSIENT.
    pub(crate) async fn stream(&self, client: &Client) -> Result<Stream> {
        let name = &self.config.stream;
        let stream =
            jetstream::new(client.clone()).get_stream(name).await.map_err(|error| match error.kind() {
                GetStreamErrorKind::JetStream(told) if told.code() == 404 => {
                    Fault::config(vec![Problem::new("/stream", format!("the server has no stream `{name}`"))])
                }
                kind => Fault::transient("stream", format!("stream `{name}`: {kind}")),
            })?;
        let retention = stream.cached_info().config.retention;
        if retention != RetentionPolicy::Limits && self.config.durable.is_none() {
            let message = format!("stream `{name}` drops what is acknowledged");
            let problem = Problem::new("/durable", message).help("name a `durable` consumer");
            return Err(Fault::config(vec![problem]));
        }
        Ok(stream)
    }

    /// Connects, and reads on behind a place.
    ///
    /// # Errors
    /// As [`Reach::connect`] and [`Reach::stream`]; CONFIG for a durable consumer that reads something else.
    pub(crate) async fn link(&self, place: Place) -> Result<Link> {
        let client = self.connect().await?;
        let stream = self.stream(&client).await?;
        let info = stream.cached_info();
        let made_us = micros(info.created);
        let behind = if place.made_us == made_us { place.sequence } else { 0 };
        let starts_free = info.config.retention != RetentionPolicy::WorkQueue;
        let consumer = self.consumer_config(if starts_free { behind } else { 0 });
        let told = |error: ConsumerErrorKind| Fault::transient("consumer", format!("no consumer: {error}"));
        let consumer = match &self.config.durable {
            None => stream.create_consumer(consumer).await.map_err(|error| told(error.kind()))?,
            Some(name) => {
                let made: PullConsumer = stream
                    .get_or_create_consumer(name, consumer.clone())
                    .await
                    .map_err(|error| told(error.kind()))?;
                self.fits(name, &made, &consumer)?;
                made
            }
        };
        Ok(Link { client, made_us, consumer })
    }

    fn consumer_config(&self, behind: u64) -> pull::Config {
        let subjects = self.config.subjects().to_vec();
        let (one, many) =
            if let [one] = &subjects[..] { (one.clone(), Vec::new()) } else { (String::new(), subjects) };
        let start = match behind {
            0 => DeliverPolicy::All,
            behind => DeliverPolicy::ByStartSequence { start_sequence: behind + 1 },
        };
        let read = pull::Config {
            deliver_policy: start,
            filter_subject: one,
            filter_subjects: many,
            description: Some("kindred".into()),
            ..pull::Config::default()
        };
        match &self.config.durable {
            Some(name) => pull::Config {
                durable_name: Some(name.clone()),
                ack_policy: AckPolicy::Explicit,
                ack_wait: self.config.ack_wait(),
                max_ack_pending: UNACKNOWLEDGED,
                ..read
            },
            None => pull::Config {
                ack_policy: AckPolicy::None,
                inactive_threshold: FORGOTTEN_AFTER,
                memory_storage: true,
                num_replicas: 1,
                ..read
            },
        }
    }

    /// A consumer that was there before must hand out the same messages, and wait for acknowledgements.
    fn fits(&self, name: &str, made: &PullConsumer, wanted: &pull::Config) -> Result<()> {
        let found = &made.cached_info().config;
        let refuse = |at: &str, message: String| Err(Fault::config(vec![Problem::new(at, message)]));
        if found.ack_policy != AckPolicy::Explicit {
            return refuse("/durable", format!("consumer `{name}` is not one of explicit acknowledgements"));
        }
        let all = |one: &String, many: &[String]| -> Vec<String> {
            let mut all: Vec<String> = many.iter().chain((!one.is_empty()).then_some(one)).cloned().collect();
            all.sort();
            all
        };
        let there = all(&found.filter_subject, &found.filter_subjects);
        if there != all(&wanted.filter_subject, &wanted.filter_subjects) {
            let message = format!("consumer `{name}` takes other subjects: {}", there.join(", "));
            return refuse("/subject", message);
        }
        Ok(())
    }
}

impl Link {
    /// All that is there, up to `most`; where nothing is, what comes within `wait`.
    pub(crate) async fn fetch(&self, most: usize, wait: Duration) -> Fetched {
        let mut fetched = Fetched { messages: Vec::new(), fault: None };
        let mut bytes = 0;
        while fetched.messages.len() < most && bytes < FETCH_BYTES && fetched.fault.is_none() {
            let before = fetched.messages.len();
            self.round((most - before).min(FETCH), None, &mut fetched).await;
            if fetched.messages.len() == before {
                break;
            }
            bytes += fetched.messages[before..].iter().map(|message| message.payload.len()).sum::<usize>();
        }
        if fetched.messages.is_empty() && fetched.fault.is_none() && !wait.is_zero() {
            self.round(most.min(FETCH), Some(wait), &mut fetched).await;
        }
        fetched
    }

    async fn round(&self, most: usize, wait: Option<Duration>, fetched: &mut Fetched) {
        let batch = match wait {
            None => self.consumer.fetch().max_messages(most).messages().await,
            Some(wait) => self.consumer.batch().max_messages(most).expires(wait).messages().await,
        };
        let mut batch = match batch {
            Ok(batch) => batch,
            Err(error) => return fetched.fault = Some(lost(&error)),
        };
        loop {
            match tokio::time::timeout(PATIENCE, batch.next()).await {
                Ok(Some(Ok(message))) => fetched.messages.push(message),
                Ok(Some(Err(error))) => return fetched.fault = Some(lost(&error)),
                Ok(None) => return,
                Err(_) => return fetched.fault = Some(lost(&"the server does not answer")),
            }
        }
    }

    /// Messages that the consumer has still to hand out, and those that it waits for the acknowledgements of.
    ///
    /// # Errors
    /// TRANSIENT.
    pub(crate) async fn waiting(&self) -> Result<(u64, usize)> {
        let info = self.consumer.get_info().await.map_err(|error| lost(&error))?;
        Ok((info.num_pending, info.num_ack_pending))
    }

    /// Says that these need not come again; the answer to the last one says that the server heard it of all.
    ///
    /// # Errors
    /// TRANSIENT.
    pub(crate) async fn acknowledge(client: Client, replies: Vec<async_nats::Subject>) -> Result<()> {
        let Some((last, others)) = replies.split_last() else { return Ok(()) };
        for reply in others {
            client.publish(reply.clone(), "+ACK".into()).await.map_err(|error| lost(&error))?;
        }
        client.request(last.clone(), "+ACK".into()).await.map(drop).map_err(|error| lost(&error))
    }

    /// Says that these shall come again at once.
    ///
    /// # Errors
    /// TRANSIENT.
    pub(crate) async fn give_back(client: Client, replies: Vec<async_nats::Subject>) -> Result<()> {
        for reply in replies {
            client.publish(reply, "-NAK".into()).await.map_err(|error| lost(&error))?;
        }
        client.flush().await.map_err(|error| lost(&error))
    }

    /// Ends a consumer that has no name.
    ///
    /// # Errors
    /// TRANSIENT.
    pub(crate) async fn forget(self) -> Result<()> {
        let info = self.consumer.cached_info();
        let context = jetstream::new(self.client.clone());
        let deleted = context.delete_consumer_from_stream(&info.name, &info.stream_name).await;
        deleted.map(drop).map_err(|error| lost(&error))
    }
}

/// Microseconds since 1970.
pub(crate) fn micros(time: async_nats::datetime::DateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}

fn lost(error: &dyn std::fmt::Display) -> Fault {
    Fault::transient("connection", format!("the stream cannot be read now: {error}"))
}

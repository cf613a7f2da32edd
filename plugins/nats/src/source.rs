//! The source: polls become fetches, commits become acknowledgements.

use crate::{
    link::{Fetched, Link, PATIENCE, Reach, micros},
    options::{Config, OWN},
    place::Place,
    runtime::Runtime,
};
use async_nats::{
    HeaderMap, HeaderName, HeaderValue, Subject,
    jetstream::{Message, message::Info},
};
use kindred_plugin_api::{FaultKind, prelude::*};
use kindred_reading::Documents;
use std::{collections::VecDeque, time::Duration};

/// Longest wait for a message.
const WAIT: Duration = Duration::from_millis(250);
/// Longest wait for a whole poll, which may be many fetches.
const POLL: Duration = Duration::from_secs(30);

/// Reads a stream.
pub struct Nats {
    config: Config,
    context: Context,
    documents: Documents,
    /// None until the first poll: a plan opens sources only to see their schema.
    runtime: Option<Runtime>,
    link: Option<Link>,
    place: Place,
    /// Sequence of the consumer's last message, to see gaps.
    delivered: u64,
    /// Messages that were handed out and not acknowledged, by batch.
    unacknowledged: VecDeque<(u64, Vec<Subject>)>,
    ended: bool,
}

impl Source for Nats {
    const MANIFEST: Manifest = manifest!("nats", "reads events from a NATS JetStream stream", ["network"]);
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        config.problems()
    }

    fn check(config: &Config, context: &Context) -> Result<()> {
        let reach = Reach::new(config, context);
        let runtime = Runtime::start(context.instance())?;
        runtime.ask(Some(context), PATIENCE * 2, async move {
            let client = reach.connect().await?;
            reach.stream(&client).await.map(drop)
        })
    }

    fn open(config: Config, context: Context) -> Result<Self> {
        let place = context.state().map(Place::from_bytes).transpose()?.unwrap_or_default();
        let documents = Documents::new(&config.meaning().mapping(), OWN)?;
        Ok(Self {
            config,
            context,
            documents,
            runtime: None,
            link: None,
            place,
            delivered: 0,
            unacknowledged: VecDeque::new(),
            ended: false,
        })
    }

    fn schema(&mut self) -> Result<SchemaRef> {
        Ok(self.documents.schema())
    }

    fn poll(&mut self, max_rows: usize, _deadline_ms: u64) -> Result<Poll> {
        if self.ended || self.context.cancelled() {
            return Ok(Poll::End);
        }
        let polled = self.fetch(max_rows.max(1));
        match polled {
            Err(fault) if fault.kind == FaultKind::Cancelled => Ok(Poll::End),
            Err(fault) => {
                // The next poll begins anew, behind the last message.
                self.link = None;
                Err(fault)
            }
            Ok(messages) if messages.is_empty() => self.nothing(),
            Ok(messages) => self.rows(&messages).map(Poll::Rows),
        }
    }

    fn ack(&mut self, position: &[u8]) -> Result<()> {
        let batch = Place::from_bytes(position)?.batch;
        // While the connection is lost they wait; what the server hands out again meanwhile, the store knows.
        let (Some(link), Some(runtime)) = (&self.link, &self.runtime) else { return Ok(()) };
        let done = self.unacknowledged.iter().take_while(|(number, _)| *number <= batch).count();
        let replies: Vec<Subject> =
            self.unacknowledged.iter().take(done).flat_map(|(_, replies)| replies).cloned().collect();
        runtime.ask(None, PATIENCE * 2, Link::acknowledge(link.client.clone(), replies))?;
        self.unacknowledged.drain(..done);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let Some(link) = self.link.take() else { return Ok(()) };
        let Some(runtime) = self.runtime.take() else { return Ok(()) };
        if self.config.durable.is_none() {
            return runtime.ask(None, PATIENCE, link.forget());
        }
        let replies = self.unacknowledged.drain(..).flat_map(|(_, replies)| replies).collect();
        runtime.ask(None, PATIENCE, Link::give_back(link.client.clone(), replies))
    }
}

impl Nats {
    /// The next messages, in the order of the stream where the consumer is the source's own.
    fn fetch(&mut self, most: usize) -> Result<Vec<Message>> {
        let link = self.linked()?;
        let wait = if self.config.follow { WAIT } else { Duration::ZERO };
        let work = async move { Ok(link.fetch(most, wait).await) };
        let context = self.context.clone();
        let Fetched { mut messages, fault } = self.runtime()?.ask(Some(&context), POLL, work)?;
        if self.config.durable.is_none() {
            let whole = self.without_gap(&messages)?;
            if whole < messages.len() {
                self.context.debug("messages were lost on their way and are asked for again");
                messages.truncate(whole);
                self.link = None;
            }
        }
        match fault {
            Some(fault) if messages.is_empty() => Err(fault),
            fault => {
                if fault.is_some() {
                    self.link = None;
                }
                Ok(messages)
            }
        }
    }

    fn runtime(&mut self) -> Result<&Runtime> {
        Ok(match &mut self.runtime {
            Some(runtime) => runtime,
            none => none.insert(Runtime::start(self.context.instance())?),
        })
    }

    /// The consumer; made anew behind the last message where there is none.
    fn linked(&mut self) -> Result<Link> {
        if let Some(link) = &self.link {
            return Ok(link.clone());
        }
        let (reach, place) = (Reach::new(&self.config, &self.context), self.place);
        let context = self.context.clone();
        let link =
            self.runtime()?.ask(Some(&context), PATIENCE * 3, async move { reach.link(place).await })?;
        if link.made_us != self.place.made_us {
            if self.place.made_us != 0 {
                let name = &self.config.stream;
                context.warn(&format!(
                    "stream `{name}` was made anew since it was read: it is read from its beginning"
                ));
            }
            self.place = Place { made_us: link.made_us, sequence: 0, ..self.place };
        }
        self.delivered = 0;
        self.link = Some(link.clone());
        Ok(link)
    }

    /// How many messages come without a gap behind the last one.
    fn without_gap(&mut self, messages: &[Message]) -> Result<usize> {
        for (at, message) in messages.iter().enumerate() {
            let sequence = message.info().map_err(unreadable)?.consumer_sequence;
            if sequence != self.delivered + 1 {
                return Ok(at);
            }
            self.delivered = sequence;
        }
        Ok(messages.len())
    }

    /// The end, if there is one and no message is on its way to anybody.
    fn nothing(&mut self) -> Result<Poll> {
        let Some(link) = self.link.clone().filter(|_| !self.config.follow) else {
            return Ok(Poll::Idle { wait_ms: 0 });
        };
        let context = self.context.clone();
        let asked = self.runtime()?.ask(Some(&context), PATIENCE, async move { link.waiting().await });
        let (pending, unacknowledged) = match asked {
            Err(fault) if fault.kind == FaultKind::Cancelled => return Ok(Poll::End),
            asked => asked?,
        };
        let own: usize = self.unacknowledged.iter().map(|(_, replies)| replies.len()).sum();
        self.ended = pending == 0 && unacknowledged <= own;
        Ok(if self.ended { Poll::End } else { Poll::Idle { wait_ms: 250 } })
    }

    fn rows(&mut self, messages: &[Message]) -> Result<Rows> {
        let mut place = Place { batch: self.place.batch + 1, ..self.place };
        let (mut filling, mut backlog_rows) = (self.documents.fill(), 0);
        for message in messages {
            let info = message.info().map_err(unreadable)?;
            let own = own(message, &info, place.made_us);
            // What is no text is no JSON either.
            let text = std::str::from_utf8(&message.payload).unwrap_or("");
            filling.push(info.stream_sequence, &own, &[text]);
            place.sequence = place.sequence.max(info.stream_sequence);
            backlog_rows = info.pending;
        }
        let (batch, mut rejects) = filling.finish()?;
        rejects.iter_mut().for_each(|reject| reject.origin.clone_from(&self.config.stream));
        if self.config.durable.is_some() {
            let replies = messages.iter().filter_map(|message| message.reply.clone()).collect();
            self.unacknowledged.push_back((place.batch, replies));
        }
        self.place = place;
        Ok(Rows { batch, rejects, position: place.to_bytes()?, backlog_rows })
    }
}

/// What the server says of a message, for columns below the source's name.
fn own(message: &Message, info: &Info<'_>, made_us: i64) -> serde_json::Value {
    let first = |(name, values): (&HeaderName, &Vec<HeaderValue>)| {
        Some((name.to_string(), serde_json::Value::from(values.first()?.as_str())))
    };
    let headers: serde_json::Map<_, _> =
        message.headers.iter().flat_map(HeaderMap::iter).filter_map(first).collect();
    let sequence = info.stream_sequence;
    serde_json::json!({
        "id": format!("{made_us:x}:{sequence}"),
        "sequence": sequence,
        "subject": message.subject.as_str(),
        "time": micros(info.published),
        "headers": headers,
    })
}

fn unreadable(error: async_nats::Error) -> Fault {
    Fault::permanent("message", format!("a message does not say its sequence: {error}"))
}

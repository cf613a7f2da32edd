//! The source: polls take what the partitions give in turn, commits tell the group.

use crate::{
    lane::Lane,
    link::Link,
    options::{Config, OWN},
    place::Place,
    reach::Reach,
};
use kindred_plugin_api::{FaultKind, prelude::*};
use kindred_reading::{Documents, Filling};
use rdkafka::{
    Message as _,
    message::{BorrowedMessage, Headers as _},
};
use std::{sync::Arc, time::Duration};

/// Longest wait for a message.
const WAIT: Duration = Duration::from_millis(250);
/// A poll ends early once its messages hold this much.
const POLL_BYTES: usize = 64 << 20;

/// Reads topics.
pub struct Kafka {
    config: Config,
    context: Context,
    reach: Reach,
    documents: Documents,
    /// None until the first poll: a plan opens sources only to see their schema.
    link: Option<Link>,
    place: Place,
    ended: bool,
}

impl Source for Kafka {
    const MANIFEST: Manifest = manifest!("kafka", "reads events from Kafka topics", ["network"]);
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        config.problems()
    }

    fn check(config: &Config, context: &Context) -> Result<()> {
        let reach = Reach::new(config, context);
        reach.partitions(&reach.client(1)?).map(drop)
    }

    fn open(config: Config, context: Context) -> Result<Self> {
        let place = context.state().map(Place::from_bytes).transpose()?.unwrap_or_default();
        let documents = Documents::new(&config.meaning().mapping(), OWN)?;
        let reach = Reach::new(&config, &context);
        Ok(Self { config, context, reach, documents, link: None, place, ended: false })
    }

    fn schema(&mut self) -> Result<SchemaRef> {
        Ok(self.documents.schema())
    }

    fn poll(&mut self, max_rows: usize, _deadline_ms: u64) -> Result<Poll> {
        if self.ended || self.context.cancelled() {
            return Ok(Poll::End);
        }
        match self.take(max_rows.max(1)) {
            Err(fault) if fault.kind == FaultKind::Cancelled => Ok(Poll::End),
            Err(fault) => {
                // The next poll begins anew, behind the last message.
                self.link = None;
                Err(fault)
            }
            Ok(polled) => Ok(polled),
        }
    }

    fn ack(&mut self, position: &[u8]) -> Result<()> {
        // While the connection is lost the group waits for the next commit.
        match (&self.link, &self.config.group) {
            (Some(link), Some(_)) => link.tell(&Place::from_bytes(position)?),
            _ => Ok(()),
        }
    }

    fn close(&mut self) -> Result<()> {
        // The client ends when the group has heard of the last commit.
        self.link = None;
        Ok(())
    }
}

impl Kafka {
    /// The next messages; waits for them where the source follows.
    fn take(&mut self, most: usize) -> Result<Poll> {
        let link = match &mut self.link {
            Some(link) => link,
            none => none.insert(Link::new(&self.reach, &self.place)?),
        };
        link.tend(&self.context, &self.place)?;
        let mut taking = Taking { filling: self.documents.fill(), from: Vec::new(), bytes: 0, tombstones: 0 };
        let mut taken = link.take(&self.context, most, |lane, message| taking.push(lane, message));
        if taken.is_ok() && taking.from.is_empty() {
            let again = if self.config.follow { link.wait(WAIT, &self.context) } else { link.count()? };
            if !again {
                self.ended = !self.config.follow;
                return Ok(if self.ended { Poll::End } else { Poll::Idle { wait_ms: 0 } });
            }
            taken = link.take(&self.context, most, |lane, message| taking.push(lane, message));
        }
        if taking.from.is_empty() {
            return taken.map(|()| Poll::Idle { wait_ms: 0 });
        }
        link.recount(&self.context);
        link.note(&mut self.place);
        let backlog_rows = link.backlog();
        if taken.is_err_and(|fault| fault.kind != FaultKind::Cancelled) {
            // What came is handed out; the next poll begins anew and says what is wrong.
            self.link = None;
        }
        if taking.tombstones > 0 {
            self.context.count("kafka_tombstones", f64::from(taking.tombstones));
        }
        let (batch, mut rejects) = taking.filling.finish()?;
        for reject in &mut rejects {
            let at = usize::try_from(reject.row).ok().and_then(|at| taking.from.get(at));
            let (origin, offset) = at.ok_or_else(|| Fault::permanent("reject", "a row that was not read"))?;
            (reject.row, reject.origin) = (*offset, origin.to_string());
        }
        Ok(Poll::Rows(Rows { batch, rejects, position: self.place.to_bytes()?, backlog_rows }))
    }
}

/// A batch under construction.
struct Taking<'a> {
    filling: Filling<'a>,
    /// Origin and offset of each message.
    from: Vec<(Arc<str>, u64)>,
    bytes: usize,
    tombstones: u32,
}

impl Taking<'_> {
    /// Adds a message; whether there is room for more.
    fn push(&mut self, lane: &Lane, message: &BorrowedMessage<'_>) -> bool {
        let number = self.from.len() as u64;
        self.from.push((Arc::clone(&lane.origin), message.offset().unsigned_abs()));
        match message.payload() {
            // Says that a key is deleted, which is no event.
            None => self.tombstones += 1,
            Some(payload) => {
                self.bytes += payload.len();
                // What is no text is no JSON either.
                self.filling.push(number, &own(lane, message), &[std::str::from_utf8(payload).unwrap_or("")]);
            }
        }
        self.bytes < POLL_BYTES
    }
}

/// What the broker says of a message, for columns below the source's name. Keys and headers that are no text are left out.
fn own(lane: &Lane, message: &BorrowedMessage<'_>) -> serde_json::Value {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let headers: serde_json::Map<_, _> = message
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter())
        .filter_map(|header| Some((header.key.to_owned(), text(header.value?)?.into())))
        .collect();
    let (topic, partition, offset) = (&lane.topic, lane.partition, message.offset());
    let era = if lane.mark.era == 0 { String::new() } else { format!("@{}", lane.mark.era) };
    serde_json::json!({
        "id": format!("{topic}:{partition}:{offset}{era}"),
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "time": message.timestamp().to_millis().map(|millis| millis.saturating_mul(1000)),
        "key": message.key().and_then(text),
        "headers": headers,
    })
}

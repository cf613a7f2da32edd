//! The source: HTTP on one side, the spool in the middle, rows on the other side.

use crate::{
    app::App,
    call::{self, Own},
    envelope::{Envelope, Item, Payload},
    inspect::Flaw,
    mapping::{OWN, Shared, mapping},
    options::CollectorConfig,
    place::Place,
    recent::Recent,
    server, snowplow, sync,
};
use arrow::datatypes::SchemaRef;
use kindred_listening::Serving;
use kindred_plugin_api::{
    Context, Fault, Poll, Problem, Reject, Result, Rows,
    spool::{Health, Position, Record},
};
use kindred_reading::{Documents, Filling};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// The longest wait for events in one poll.
const WAIT: Duration = Duration::from_millis(200);
/// The longest wait for requests under way at the end.
const GRACE: Duration = Duration::from_secs(10);
/// Bytes that are read from the spool at once.
const READ_BYTES: usize = 16 << 20;
/// Ids whose events are remembered, at about 40 bytes each.
const RECENT: usize = 200_000;

/// A collector that listens. A plugin wraps it and passes its calls on.
pub struct Collector {
    app: Arc<App>,
    address: SocketAddr,
    serving: Option<Serving>,
    documents: Arc<Documents>,
    recent: Recent,
    /// Records that were read, and of the first one the events that were handed out.
    waiting: VecDeque<Record>,
    place: Place,
}

/// What is wrong with the options; `at` is the place of the collector's.
pub fn problems(config: &CollectorConfig, shared: &Shared, at: &str) -> Vec<Problem> {
    let mut problems = config.problems(at);
    problems.extend(mapping(config, shared).problems());
    problems
}

/// The schema of every batch, with nothing opened.
///
/// # Errors
/// CONFIG for options that are wrong.
pub fn schema(config: &CollectorConfig, shared: &Shared) -> Result<SchemaRef> {
    Ok(Documents::new(&mapping(config, shared), OWN)?.schema())
}

impl Collector {
    /// Opens the spool behind the position of the context, and listens.
    ///
    /// # Errors
    /// CONFIG for options that are wrong and an address that cannot be bound, what the spool says, PERMANENT for a
    /// position that is not one of a collector.
    pub fn open(config: &CollectorConfig, shared: &Shared, context: Context) -> Result<Self> {
        let problems = problems(config, shared, "/collector");
        if !problems.is_empty() {
            return Err(Fault::config(problems));
        }
        let documents = Arc::new(Documents::new(&mapping(config, shared), OWN)?);
        let place = context.state().map(Place::from_bytes).transpose()?.unwrap_or_default();
        let (app, serving) = server::start(config, context)?;
        let address = serving.local_address();
        app.context.info(&format!("listening on http://{address}"));
        let (recent, waiting) = (Recent::new(RECENT), VecDeque::new());
        Ok(Self { app, address, serving: Some(serving), documents, recent, waiting, place })
    }

    /// The address that it listens on.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// The schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        self.documents.schema()
    }

    /// The next rows: as many as are durable, up to `max_rows`; waits a moment for the first.
    ///
    /// # Errors
    /// What the spool says.
    pub fn poll(&mut self, max_rows: usize, deadline_ms: u64) -> Result<Poll> {
        let start = Instant::now();
        let wait = WAIT.min(Duration::from_millis(deadline_ms / 2));
        self.app.counters.flush(&self.app.context);
        if self.app.context.cancelled() {
            self.stop(GRACE.min(Duration::from_millis(deadline_ms / 2)));
        }
        self.report();
        let (mut rejects, mut wait) =
            (Vec::new(), if self.serving.is_some() { wait } else { Duration::ZERO });
        let documents = Arc::clone(&self.documents);
        let mut filling = documents.fill();
        let (mut origins, mut rows) = (Origins::default(), 0);
        let filled = loop {
            let left = max_rows.max(1) - rows;
            if self.waiting.is_empty() {
                match self.read(left, wait) {
                    Ok(true) => wait = Duration::ZERO,
                    Ok(false) => break Ok(()),
                    Err(fault) if rows == 0 => break Err(fault),
                    Err(_) => break Ok(()),
                }
            }
            rows += self.take(left, &mut filling, &mut origins, &mut rejects);
            if rows >= max_rows || start.elapsed() > WAIT * 2 {
                break Ok(());
            }
        };
        let made = filling.finish();
        filled?;
        let (batch, late) = made?;
        rejects.extend(late.into_iter().map(|reject| {
            let (origin, row) = origins.of(reject.row);
            Reject { origin, row, ..reject }
        }));
        if rows == 0 {
            return Ok(if self.serving.is_none() { Poll::End } else { Poll::Idle { wait_ms: 0 } });
        }
        let backlog_rows = self.waiting.len() as u64;
        Ok(Poll::Rows(Rows { batch, rejects, position: self.place.to_bytes(), backlog_rows }))
    }

    /// Everything up to `position` is committed.
    ///
    /// # Errors
    /// PERMANENT for another position than one of a collector; what the spool says.
    pub fn ack(&mut self, position: &[u8]) -> Result<()> {
        match Place::from_bytes(position)?.after {
            Some(after) => Ok(self.app.spool.trim(after)?),
            None => Ok(()),
        }
    }

    /// Stops listening and gives the spool back.
    pub fn close(&mut self) {
        self.stop(GRACE);
        self.app.counters.flush(&self.app.context);
        self.app.spool.close();
    }

    /// Takes nothing more in and lets requests under way finish.
    fn stop(&mut self, grace: Duration) {
        self.app.stopping.store(true, Ordering::Relaxed);
        if let Some(serving) = self.serving.take()
            && !serving.stop(grace)
        {
            self.app.context.warn("requests that did not finish in time were cut");
        }
    }

    /// Says what the spool lost, if it lost anything.
    fn report(&self) {
        for damage in self.app.spool.take_damage() {
            let kept = damage.kept.as_ref().map(|path| format!("; kept as `{}`", path.display()));
            self.app.context.error(&format!(
                "the spool is damaged at {}: {} bytes, {} records{}",
                damage.position,
                damage.bytes,
                damage.records,
                kept.unwrap_or_default()
            ));
            self.app.context.count("collector_spool_damage", 1.0);
        }
    }

    /// Reads records; false when there are none. A spool that failed is told once all that it holds was handed out.
    fn read(&mut self, rows: usize, wait: Duration) -> Result<bool> {
        let records = self.app.spool.read(self.place.after, rows, READ_BYTES, wait)?;
        if records.is_empty()
            && let Health::Poisoned(reason) = self.app.spool.health()
        {
            return Err(Fault::permanent("spool-failed", format!("the spool has failed: {reason}")));
        }
        self.waiting.extend(records);
        Ok(!self.waiting.is_empty())
    }

    /// Takes events of the first record; the number of rows and rejects that were made.
    fn take(
        &mut self,
        most: usize,
        filling: &mut Filling<'_>,
        origins: &mut Origins,
        rejects: &mut Vec<Reject>,
    ) -> usize {
        let Some(record) = self.waiting.pop_front() else { return 0 };
        let Some(envelope) = Envelope::from_bytes(&record.payload) else {
            self.place = Place { after: Some(record.position), taken: 0 };
            let message = "the record was written by another version";
            rejects.push(reject("envelope", message, "spool".to_owned(), record.position.offset));
            return 1;
        };
        let context = envelope.context.as_ref().map(|context| format!("{{\"context\":{context}}}"));
        let taken = self.place.taken as usize;
        let items = envelope.items.iter().enumerate().skip(taken).take(most);
        let mut count = 0;
        for (index, item) in items {
            let row = index as u64 + 1;
            count += 1;
            let made = self.row(&envelope, item, |own, json| {
                let outside: Vec<&str> = json.into_iter().chain(context.as_deref()).collect();
                filling.push(origins.rows.len() as u64, own, &outside);
                origins.rows.push((origins.records.len(), row));
            });
            if let Err((code, message)) = made {
                rejects.push(reject(&code, &message, origin(&envelope, record.position), row));
            }
        }
        origins.records.push(record.clone());
        if taken + count < envelope.items.len() {
            self.place.taken += count as u32;
            drop(envelope);
            self.waiting.push_front(record);
        } else {
            self.place = Place { after: Some(record.position), taken: 0 };
        }
        count
    }

    /// Shows what the collector knows of an event, and the event's document where there is one.
    fn row(
        &mut self,
        envelope: &Envelope<'_>,
        Item { consent, payload }: &Item<'_>,
        see: impl FnOnce(&Own<'_>, Option<&str>),
    ) -> Result<(), (String, String)> {
        let consent = *consent as usize;
        let said = |flaw: Flaw| (flaw.code.to_owned(), flaw.message.to_owned());
        match payload {
            Payload::Bad { code, message } => return Err((code.to_string(), message.to_string())),
            Payload::Denied { user, anonymous, at } => {
                let who = (user.as_deref(), anonymous.as_deref());
                see(&call::denial(envelope, consent, who, at.as_deref()), None);
            }
            Payload::Match { partner, id } => see(&sync::row(envelope, consent, partner, id), None),
            Payload::Call { kind, json } => {
                let read = call::read(envelope, consent, kind.as_deref(), json).map_err(said)?;
                self.check(&read)?;
                see(&read.own, Some(json));
            }
            Payload::Snowplow { json } => {
                let json = snowplow::translate(json, self.app.limits.depth).map_err(said)?;
                let read = call::read(envelope, consent, None, &json).map_err(said)?;
                self.check(&read)?;
                see(&read.own, Some(&json));
            }
        }
        Ok(())
    }

    fn check(&mut self, read: &call::Read<'_>) -> Result<(), (String, String)> {
        if self.recent.agrees(&read.own.id, read.content) {
            return Ok(());
        }
        Err(("id-reused".to_owned(), "another event came under this id before".to_owned()))
    }
}

impl Drop for Collector {
    /// Also after a fault the address and the spool are free for the next instance.
    fn drop(&mut self) {
        self.close();
    }
}

/// Where the rows of a batch came from. Told only of those that are rejected, so it is made for them alone.
#[derive(Default)]
struct Origins {
    records: Vec<Record>,
    /// Of each row, its record and its place there.
    rows: Vec<(usize, u64)>,
}

impl Origins {
    fn of(&self, row: u64) -> (String, u64) {
        let (record, row) = self.rows[row as usize];
        let Record { position, payload } = &self.records[record];
        let found = Envelope::from_bytes(payload).map(|envelope| origin(&envelope, *position));
        (found.unwrap_or_default(), row)
    }
}

fn origin(envelope: &Envelope<'_>, position: Position) -> String {
    format!("{}/{} {position}", envelope.site, envelope.endpoint)
}

fn reject(code: &str, message: &str, origin: String, row: u64) -> Reject {
    Reject { row, code: code.to_owned(), message: message.to_owned(), payload: String::new(), origin }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    #[test]
    fn a_stop_hands_out_everything_before_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let json = r#"{"listen":"127.0.0.1:0","spool":{"disk_limit":1.0},
            "sites":{"shop":{"key":"wk_shop_1","consent":{"no_signal":"granted"}}}}"#;
        let config = kindred_plugin_api::options::parse(json).unwrap();
        let context = Context::detached(dir.path());
        let mut collector = Collector::open(&config, &Shared::default(), context).unwrap();
        for n in 0..5 {
            let mut stream = TcpStream::connect(collector.local_address()).unwrap();
            write!(
                stream,
                "GET /pixel.gif?k=wk_shop_1&u=u&id={n} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
            )
            .unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 200"));
        }
        collector.stop(GRACE);
        assert!(TcpStream::connect(collector.local_address()).is_err());
        for expected in [2, 2, 1] {
            let Poll::Rows(rows) = collector.poll(2, 1000).unwrap() else { panic!("rows are missing") };
            assert_eq!(rows.batch.num_rows(), expected);
        }
        assert!(matches!(collector.poll(2, 1000), Ok(Poll::End)));
    }
}

//! The source: page after page, then the end.

use crate::{
    answer::{field, order},
    client::Pages,
    options::{Config, OWN},
    place::{Page, Place},
};
use kindred_plugin_api::{FaultKind, prelude::*};
use kindred_reading::Documents;
use xxhash_rust::xxh3::xxh3_128;

/// Reads pages.
pub struct HttpPull {
    config: Config,
    context: Context,
    documents: Documents,
    pages: Pages,
    place: Place,
    /// The page at `place`, once it was asked for, and the one behind it.
    held: Option<(Vec<String>, Option<Page>)>,
    /// The place as it was handed out or given last.
    told: Place,
}

impl Source for HttpPull {
    const MANIFEST: Manifest = manifest!(
        "http-pull",
        "reads events and attributes from a paged JSON interface",
        ["ordered", "network"]
    );
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        config.problems()
    }

    /// Asks nothing: a request may count against a limit, and the first poll makes the same one.
    fn open(config: Config, context: Context) -> Result<Self> {
        let told = context.state().map(Place::from_bytes).transpose()?;
        let documents = Documents::new(&config.meaning().mapping(), OWN)?;
        let initial = || config.cursor.as_ref().and_then(|cursor| cursor.initial.clone());
        let place = match &told {
            None => Place { cursor: initial(), ..Place::default() },
            Some(told) if told.done => {
                let cursor = told.highest.clone().or_else(initial);
                Place { cursor, highest: told.highest.clone(), rows: told.rows, ..Place::default() }
            }
            Some(told) => told.clone(),
        };
        let (pages, told) = (Pages::new(&config)?, told.unwrap_or_default());
        Ok(Self { config, context, documents, pages, place, held: None, told })
    }

    fn schema(&mut self) -> Result<SchemaRef> {
        Ok(self.documents.schema())
    }

    fn poll(&mut self, max_rows: usize, _deadline_ms: u64) -> Result<Poll> {
        loop {
            if self.context.cancelled() {
                return Ok(Poll::End);
            }
            if self.place.done {
                return self.end();
            }
            let (records, next) = match self.held.take() {
                Some(held) => held,
                None => match self.pages.ask(&self.config, &self.place, &self.context) {
                    Ok((answer, next)) => (answer.records, next),
                    Err(fault) if fault.kind == FaultKind::Cancelled => return Ok(Poll::End),
                    Err(fault) => return Err(fault),
                },
            };
            let from = self.place.skip.min(records.len());
            let to = records.len().min(from.saturating_add(max_rows.max(1)));
            let rows = self.rows(&records[from..to])?;
            let more = to < records.len() || next.is_some();
            if to < records.len() {
                self.place.skip = to;
                self.held = Some((records, next));
            } else {
                self.turn(next);
            }
            if from < to {
                let (batch, rejects) = rows;
                self.told = self.place.clone();
                let position = self.place.to_bytes()?;
                // How many wait is not known, but that some do.
                return Ok(Poll::Rows(Rows { batch, rejects, position, backlog_rows: u64::from(more) }));
            }
        }
    }
}

impl HttpPull {
    /// The page is over.
    fn turn(&mut self, next: Option<Page>) {
        self.place.skip = 0;
        match next {
            Some(page) => self.place.page = page,
            None => (self.place.page, self.place.done) = (Page::First, true),
        }
    }

    fn rows(&mut self, records: &[String]) -> Result<(RecordBatch, Vec<Reject>)> {
        let mut filling = self.documents.fill();
        for record in records {
            self.place.rows += 1;
            let id = format!("{:032x}", xxh3_128(record.as_bytes()));
            filling.push(self.place.rows, &serde_json::json!({ "id": id }), &[record]);
            let value = self.config.cursor.as_ref().and_then(|cursor| field(record, &cursor.field));
            if let Some(value) = value
                && self.place.highest.as_ref().is_none_or(|highest| order(highest, &value).is_lt())
            {
                self.place.highest = Some(value);
            }
        }
        let (batch, mut rejects) = filling.finish()?;
        rejects.iter_mut().for_each(|reject| reject.origin = self.pages.name());
        Ok((batch, rejects))
    }

    /// The end, behind a last position where the last page was empty.
    fn end(&mut self) -> Result<Poll> {
        let news = !self.told.done || self.told.highest != self.place.highest;
        if !news {
            return Ok(Poll::End);
        }
        self.told = self.place.clone();
        let batch = RecordBatch::new_empty(self.documents.schema());
        let position = self.place.to_bytes()?;
        Ok(Poll::Rows(Rows { batch, rejects: Vec::new(), position, backlog_rows: 0 }))
    }
}

//! The source: the whole table, then what has changed, then the end.

use crate::{
    connect::connect,
    options::Config,
    place::{Key, Phase, Place},
    round::{Fetched, Shape},
};
use kindred_plugin_api::prelude::*;
use kindred_reading::Table;
use postgres::Client;

/// Reads a table.
pub struct Postgres {
    config: Config,
    context: Context,
    table: Table,
    shape: Shape,
    client: Option<Client>,
    /// A transaction is open, with its cursor behind `place`.
    looking: bool,
    place: Place,
    /// The highest cursor that was read, and the key there.
    highest: (Option<String>, Option<Key>),
    /// The place as it was handed out or given last.
    told: Place,
}

impl Source for Postgres {
    const MANIFEST: Manifest =
        manifest!("postgres", "reads keys and attributes from a PostgreSQL database", ["ordered", "network"]);
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        config.problems()
    }

    fn check(config: &Config, context: &Context) -> Result<()> {
        let mut client = connect(config, context)?;
        let shape = Shape::new(&mut client, config)?;
        Table::new(&config.mapping(), config.origin(), &shape.fields).map(drop)
    }

    /// Asks for the columns, whose types are in the schema; no row is read.
    fn open(config: Config, context: Context) -> Result<Self> {
        let told = context.state().map(Place::from_bytes).transpose()?.unwrap_or_default();
        let mut client = connect(&config, &context)?;
        let shape = Shape::new(&mut client, &config)?;
        let table = Table::new(&config.mapping(), config.origin(), &shape.fields)?;
        let (place, highest) = begun(&told, &config, &shape, context.now_us());
        let client = Some(client);
        Ok(Self { config, context, table, shape, client, looking: false, place, highest, told })
    }

    fn schema(&mut self) -> Result<SchemaRef> {
        Ok(self.table.schema())
    }

    fn poll(&mut self, max_rows: usize, _deadline_ms: u64) -> Result<Poll> {
        while !self.context.cancelled() {
            if let Phase::Done { .. } = self.place.phase {
                return self.end();
            }
            let fetched = self.fetch(max_rows.max(1)).inspect_err(|_| {
                // The next poll connects anew, behind the last row.
                (self.client, self.looking) = (None, false);
            })?;
            if fetched.rows > 0 {
                return self.rows(fetched).map(Poll::Rows);
            }
            if !self.context.cancelled() {
                self.next_phase();
            }
        }
        Ok(Poll::End)
    }

    fn close(&mut self) -> Result<()> {
        self.client = None;
        Ok(())
    }
}

/// Where to go on: a look that is over is followed by another one, if it is time.
fn begun(
    told: &Place,
    config: &Config,
    shape: &Shape,
    now_us: i64,
) -> (Place, (Option<String>, Option<Key>)) {
    let Phase::Done { cursor, key, at_us } = &told.phase else {
        return (told.clone(), (None, None));
    };
    let phase = match (&config.cursor, cursor) {
        (Some(_), Some(cursor)) => {
            // Rows at this very cursor come again, unless exactly those behind the last one are asked for.
            let key = key.clone().filter(|_| !shape.looks_back());
            Phase::Changes { cursor: cursor.clone(), key }
        }
        (None, _) if now_us.saturating_sub(*at_us) < i64::from(config.reread_s) * 1_000_000 => {
            told.phase.clone()
        }
        _ => Phase::default(),
    };
    (Place { phase, rows: told.rows }, (cursor.clone(), key.clone()))
}

impl Postgres {
    fn fetch(&mut self, most: usize) -> Result<Fetched> {
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(connect(&self.config, &self.context)?),
        };
        if !self.looking {
            self.shape.begin(client, &mut self.place.phase, &self.table)?;
            self.looking = true;
        }
        let context = &self.context;
        self.shape.fetch(client, &self.table, most, || context.cancelled())
    }

    fn rows(&mut self, fetched: Fetched) -> Result<Rows> {
        let numbers = (self.place.rows + 1..).take(fetched.rows).collect();
        let (batch, rejects) = self.table.batch(fetched.columns, numbers)?;
        self.place.rows += fetched.rows as u64;
        if let Some((cursor, last)) = fetched.last {
            match (&mut self.place.phase, cursor) {
                (Phase::Whole { key, .. }, _) => *key = Some(last),
                (Phase::Changes { cursor, key }, Some(value)) => {
                    self.highest = (Some(value.clone()), Some(last.clone()));
                    (*cursor, *key) = (value, Some(last));
                }
                _ => {}
            }
        }
        self.told = self.place.clone();
        // How many wait is not known, but that some do.
        let backlog_rows = u64::from(fetched.full);
        Ok(Rows { batch, rejects, position: self.place.to_bytes()?, backlog_rows })
    }

    /// The look is over.
    fn next_phase(&mut self) {
        self.looking = false;
        self.place.phase = match std::mem::take(&mut self.place.phase) {
            // What changed while the table was read, and what the transaction did not see yet.
            Phase::Whole { since: Some(since), .. } => {
                self.highest = (Some(since.clone()), None);
                Phase::Changes { cursor: since, key: None }
            }
            _ => {
                let (cursor, key) = self.highest.clone();
                Phase::Done { cursor, key, at_us: self.context.now_us() }
            }
        };
    }

    /// The end, behind a last position where there is news in it.
    fn end(&mut self) -> Result<Poll> {
        let same = match (&self.told.phase, &self.place.phase) {
            (Phase::Done { cursor: a, key: b, .. }, Phase::Done { cursor: c, key: d, .. }) => {
                self.config.cursor.is_some() && (a, b) == (c, d) || self.told == self.place
            }
            _ => false,
        };
        // Nothing of it is left open at the server.
        self.client = None;
        if same {
            return Ok(Poll::End);
        }
        self.told = self.place.clone();
        let batch = RecordBatch::new_empty(self.table.schema());
        let position = self.place.to_bytes()?;
        Ok(Poll::Rows(Rows { batch, rejects: Vec::new(), position, backlog_rows: 0 }))
    }
}

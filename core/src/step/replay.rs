//! Rows of dead letters once more: they take the way of rows that their source hands out, through its schema, the
//! enrichments and the consent gate of today. A letter goes in the commit that takes its row in.

use super::{
    Observer, Run,
    bound::Bound,
    chain::{Carried, Chain, Feed},
    load::Load,
    steps::Step,
    summary::SourceSummary,
};
use crate::{
    Error, Result,
    config::Pipeline,
    plugin::registry::Registry,
    store::{
        Store,
        dead_letters::{Refused, Wanted},
        kept::{self, Kept},
    },
};
use arrow::datatypes::SchemaRef;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

/// What a replay did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// Nothing was changed.
    pub dry_run: bool,
    /// What became of the rows, by source; those that are rejected again stay in the dead letters.
    pub sources: BTreeMap<String, SourceSummary>,
    /// Letters without a row, which cannot be replayed, by stage.
    pub without_row: BTreeMap<String, u64>,
    /// Rows that could not even be tried.
    pub stuck: Vec<Stuck>,
}

/// Rows that could not be tried, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stuck {
    /// Their source.
    pub source: String,
    /// How many letters.
    pub letters: u64,
    /// What is in the way.
    pub error: String,
}

/// Replays the letters that are meant; with `dry_run` nothing is changed.
///
/// # Errors
/// When the store fails; what was committed before stays.
pub fn replay(
    pipeline: &Pipeline,
    registry: &Registry,
    observer: &dyn Observer,
    wanted: &Wanted,
    dry_run: bool,
) -> Result<Replay> {
    let begun = Instant::now();
    let mut store = Store::existing(&pipeline.store)?;
    let mut letters = store.dead_letters()?;
    letters.retain(|letter| wanted.is(letter));
    let mut done = Replay { dry_run, ..Replay::default() };
    for letter in letters.iter().filter(|letter| letter.kept.is_none()) {
        *done.without_row.entry(letter.stage.clone()).or_default() += 1;
    }
    let meant: BTreeMap<u64, u64> =
        letters.iter().filter_map(|letter| Some((letter.number, letter.kept?))).collect();
    // Sources are not opened: nothing new is read.
    let closed = Pipeline { sources: Vec::new(), ..pipeline.clone() };
    let (lines, chains) = open(pipeline, registry, &mut store, &meant)?;
    let mut run = Run::open(&closed, registry, observer, store)?;
    run.chains = chains;
    let mut replaying = Replaying { run, lines, rows: pipeline.step_rows as u64 };
    replaying.all(&meant, &mut done)?;
    let Replaying { run, lines, .. } = replaying;
    // Their threads end once nothing more can come.
    drop(lines);
    let (summary, store) = run.close(begun, false)?;
    store.close()?;
    done.sources = summary.sources;
    Ok(done)
}

/// As a run has them.
type Chains = Vec<(Chain, Bound)>;

/// A chain without its source, of rows of one schema.
struct Line {
    source: String,
    schema: SchemaRef,
    /// Where rows go in, and its number among the chains; or why they cannot.
    open: Result<(Feed, usize), String>,
}

/// Opens what the kept rows need.
fn open(
    pipeline: &Pipeline,
    registry: &Registry,
    store: &mut Store,
    meant: &BTreeMap<u64, u64>,
) -> Result<(Vec<Line>, Chains)> {
    let (mut lines, mut chains): (Vec<Line>, Chains) = (Vec::new(), Vec::new());
    for key in meant.values().copied().collect::<BTreeSet<u64>>() {
        let Some(kept) = kept::get(&store.tables, key)? else { continue };
        let (source, schema) = (kept.source.clone(), kept.rows(|_| false)?.schema());
        if lines.iter().any(|line| line.source == source && line.schema == schema) {
            continue;
        }
        let open = match chain(pipeline, registry, store, (&source, &schema)) {
            Ok((feed, chain, bound)) => {
                chains.push((chain, bound));
                Ok((feed, chains.len() - 1))
            }
            Err(error) => Err(error.to_string()),
        };
        lines.push(Line { source, schema, open });
    }
    Ok((lines, chains))
}

fn chain(
    pipeline: &Pipeline,
    registry: &Registry,
    store: &mut Store,
    (name, schema): (&str, &SchemaRef),
) -> Result<(Feed, Chain, Bound)> {
    let source = pipeline.sources.iter().find(|source| source.name == name);
    let source = source.ok_or_else(|| Error::NotFound(format!("source `{name}` left the pipeline file")))?;
    let (chain, feed) = Chain::replay(pipeline, registry, source, schema)?;
    match Bound::new(store, source, &chain.schema, &pipeline.raw_identifiers) {
        Ok(bound) => Ok((feed, chain, bound)),
        Err(error) => {
            drop(feed);
            chain.stop();
            Err(error)
        }
    }
}

/// A replay under way.
struct Replaying<'a> {
    run: Run<'a>,
    lines: Vec<Line>,
    /// Rows of a step.
    rows: u64,
}

impl Replaying<'_> {
    fn all(&mut self, meant: &BTreeMap<u64, u64>, done: &mut Replay) -> Result<()> {
        let mut step = self.run.begin();
        let (mut read, mut since) = (0, 0);
        for key in meant.values().copied().collect::<BTreeSet<u64>>() {
            let Some(kept) = kept::get(&self.run.store.tables, key)? else { continue };
            let letters = kept.letters.iter().copied().filter(|letter| meant.contains_key(letter));
            let letters: Vec<u64> = letters.collect();
            let rows = letters.len() as u64;
            if let Err(error) = self.one(&mut step, kept, letters)? {
                stuck(done, error, rows);
                continue;
            }
            (read, since) = (read + rows, since + rows);
            if since >= self.rows && !done.dry_run {
                let taken = std::mem::replace(&mut step, self.run.begin());
                self.finish(taken)?;
                since = 0;
            }
            self.run.observer.rows(read, meant.len() as u64 - read);
        }
        if since > 0 && !done.dry_run {
            self.finish(step)?;
        }
        Ok(())
    }

    /// Commits; denials forget rows afterwards, because the commit itself says what is left of them.
    fn finish(&mut self, mut step: Step) -> Result<()> {
        let denied = std::mem::take(&mut step.gathering.denied);
        self.run.finish(step)?;
        self.run.settle_commits()?;
        self.run.store.deny(&denied)
    }

    /// The rows of some letters; an inner error is the source's name and what is in the way of these rows.
    fn one(
        &mut self,
        step: &mut Step,
        kept: Kept,
        letters: Vec<u64>,
    ) -> Result<Result<(), (String, String)>> {
        let rows = kept.rows(|letter| letters.contains(&letter))?;
        let (source, schema) = (kept.source.clone(), rows.schema());
        let line = self.lines.iter_mut().find(|line| line.source == source && line.schema == schema);
        let Some(line) = line else { return Ok(Err((source, "its rows came meanwhile".to_owned()))) };
        let (feed, at) = match &line.open {
            Ok((feed, at)) => (feed, *at),
            Err(error) => return Ok(Err((source, error.clone()))),
        };
        let out = &mut self.run.chains[at].0.out;
        let load = match feed.send(Load { letters, ..Load::of(rows) }).map(|()| out.blocking_recv()) {
            Ok(Some(Carried::Rows(load))) => load,
            Ok(Some(Carried::Failed { stage, instance, fault })) => {
                // Nothing comes out of it any more.
                let error = format!("{stage} `{instance}`: {fault}");
                line.open = Err(error.clone());
                return Ok(Err((source, error)));
            }
            Err(fault) => return Ok(Err((source, fault.to_string()))),
            Ok(_) => return Ok(Err((source, "the chain ended".to_owned()))),
        };
        let refused = self.run.take_rows(step, at, &load)?;
        let still: BTreeMap<u64, &Refused> =
            refused.iter().map(|refused| (load.letters[refused.at as usize], refused)).collect();
        self.run.store.replayed(&mut step.change, kept, &load.letters, &still)?;
        Ok(Ok(()))
    }
}

fn stuck(done: &mut Replay, (source, error): (String, String), letters: u64) {
    match done.stuck.iter_mut().find(|stuck| stuck.source == source && stuck.error == error) {
        Some(same) => same.letters += letters,
        None => done.stuck.push(Stuck { source, letters, error }),
    }
}

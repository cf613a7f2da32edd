//! A run is opened: its sources, what their columns are in the store, its segments.

use super::{
    Observer, Run, Schemas,
    bell::Bell,
    bound::Bound,
    chain::Chain,
    summary::{SourceSummary, Summary},
    waiting,
};
use crate::{
    Result,
    config::{self, Pipeline},
    log,
    plugin::registry::Registry,
    segment::{Segments, applied::Record},
    store::{Store, columns::Claims},
};
use std::collections::BTreeMap;

/// What a run begins with.
pub(crate) struct Opening {
    pub(super) store: Store,
    /// Chains that run already.
    pub(super) running: Vec<Chain>,
    /// What sources bring, as far as that is known.
    pub(super) known: Schemas,
}

impl Opening {
    /// With nothing but a store.
    pub(crate) fn new(store: Store) -> Self {
        Self::again(store, Schemas::new())
    }

    /// With sources that ran before.
    pub(crate) fn again(store: Store, known: Schemas) -> Self {
        Self { store, running: Vec::new(), known }
    }
}

impl<'a> Run<'a> {
    pub(super) fn open(
        pipeline: &'a Pipeline,
        registry: &'a Registry,
        observer: &'a dyn Observer,
        store: Store,
    ) -> Result<Self> {
        Self::open_with(pipeline, registry, observer, Opening::new(store), None)
    }

    /// Goes on with chains that run already, where they are those of the pipeline. A source that does not open is
    /// left closed where it is known what it brings.
    pub(crate) fn open_with(
        pipeline: &'a Pipeline,
        registry: &'a Registry,
        observer: &'a dyn Observer,
        Opening { mut store, mut running, known }: Opening,
        bell: Option<&Bell>,
    ) -> Result<Self> {
        store.events.set_room(pipeline.cache);
        pipeline.sources.iter().for_each(|source| store.ages.note(&source.name, source.ttl_us));
        store.profiles.time(store.ages.ttl_us().keys());
        store.columns.put_claims(Claims::new());
        let mut opened = Vec::new();
        let mut summary = Summary { pipeline: pipeline.name.clone(), ..Summary::default() };
        for source in &pipeline.sources {
            let same = running.iter().position(|chain| chain.source.name == source.name);
            let chain = match same {
                Some(at) => running.swap_remove(at),
                None => match (start(pipeline, registry, source, &store, bell), known.get(&source.name)) {
                    (Err(error), Some(schema)) => {
                        log::error(&format!("{error}; it is opened again"));
                        Chain::closed(source.clone(), schema.clone())
                    }
                    (started, _) => started?,
                },
            };
            opened.push(chain);
            summary.sources.insert(source.name.clone(), SourceSummary::default());
        }
        let chains = bind(opened, &mut store, pipeline)?;
        let segments = Segments::open(pipeline, registry, &store)?;
        let before = segments.members().clone();
        let first_commit = store.totals.commits;
        let waiting = waiting(&store)?;
        let record = Record::open(pipeline, registry, &store)?;
        Ok(Self {
            pipeline,
            registry,
            observer,
            store,
            chains,
            segments,
            record,
            before,
            summary,
            first_commit,
            backlog: BTreeMap::new(),
            waiting,
            behind: 0,
            positions: BTreeMap::new(),
            patience: 0,
        })
    }
}

/// Agrees on the columns of all sources with the store. Twice, because one may widen a column that another one brings, too.
fn bind(chains: Vec<Chain>, store: &mut Store, pipeline: &Pipeline) -> Result<Vec<(Chain, Bound)>> {
    let mut bind = |chain: &Chain| Bound::new(store, &chain.source, &chain.schema, &pipeline.raw_identifiers);
    chains.iter().try_for_each(|chain| bind(chain).map(drop))?;
    let bound = chains.iter().map(&mut bind).collect::<Result<Vec<_>>>()?;
    Ok(chains.into_iter().zip(bound).collect())
}

/// Starts a source behind what is committed.
pub(super) fn start(
    pipeline: &Pipeline,
    registry: &Registry,
    source: &config::Source,
    store: &Store,
    bell: Option<&Bell>,
) -> Result<Chain> {
    Chain::start(pipeline, registry, source, store.position(&source.name)?, bell)
}

//! SQL segments: a query over the published tables, answered by the query engine at the end of a run.
//!
//! They see what is committed, memberships of the other segments among it. A query that fails ends the run with its
//! error; the audience stays what it was.

use super::applied;
use crate::{
    Error, Result,
    config::{self, Pipeline},
    profile::batch::Moment,
    query::{self, Engine},
    store::{
        Store,
        tables::{self, Change},
    },
};
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use xxhash_rust::xxh3::xxh3_64;

/// The SQL segments of a pipeline.
#[derive(Debug)]
pub struct SqlSegments {
    segments: Vec<SqlSegment>,
    published: PathBuf,
    engine: config::Engine,
}

/// One of them.
#[derive(Debug)]
pub struct SqlSegment {
    /// Its name.
    pub name: String,
    /// The query.
    pub text: String,
    /// Of the text; another value means that the answer must be made anew.
    pub definition: u64,
    every_us: Option<i64>,
}

/// When a query was last answered, and from what; stored beside the models.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Answered {
    definition: u64,
    changes: u64,
    as_of_us: i64,
}

impl SqlSegments {
    /// Those of a pipeline file.
    pub fn new(pipeline: &Pipeline) -> Self {
        let segment = |s: &crate::config::Segment| {
            let sql = s.sql.as_ref()?;
            let definition = xxh3_64(applied::with_ages(&sql.text, pipeline, s).as_bytes());
            Some(SqlSegment {
                name: s.name.clone(),
                text: sql.text.clone(),
                definition,
                every_us: sql.every_us,
            })
        };
        let segments = pipeline.segments.iter().filter_map(segment).collect();
        Self { segments, published: query::published(pipeline), engine: pipeline.engine.clone() }
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &SqlSegment> {
        self.segments.iter()
    }

    /// The members of each segment whose time has come: its query is new, or its period is over, or, where it has no
    /// period, profiles changed since or what sources brought may have expired. Profiles that do not consent are in none.
    ///
    /// # Errors
    /// When the query engine is missing or fails; the message names the segment.
    pub fn settle(
        &self,
        store: &mut Store,
        change: &mut Change,
        moment: &Moment,
    ) -> Result<Vec<(String, RoaringBitmap)>> {
        let mut answers = Vec::new();
        for segment in &self.segments {
            if !segment.is_due(store, moment)? {
                continue;
            }
            let failed = |error: Error| Error::Query(format!("segment `{}`: {error}", segment.name));
            let engine = Engine::find(&self.engine).map_err(failed)?;
            query::refresh(store, &self.published, moment)?;
            let found = engine.members(&self.published, moment.as_of_us, &segment.text).map_err(failed)?;
            let mut members = RoaringBitmap::new();
            for profile in found {
                let exists = profile < store.identity.next() && store.identity.canonical(profile) == profile;
                // The second of the three consent gates, for SQL.
                if exists && store.profiles.get(&store.tables, profile)?.consents() {
                    members.insert(profile);
                }
            }
            let changes = store.totals.changes;
            let answered = Answered { definition: segment.definition, changes, as_of_us: moment.as_of_us };
            change.put(&store.tables.models, segment.key(), &answered)?;
            answers.push((segment.name.clone(), members));
        }
        Ok(answers)
    }
}

impl SqlSegment {
    fn is_due(&self, store: &Store, moment: &Moment) -> Result<bool> {
        let Some(last) = tables::read::<Answered>(&store.tables.models, self.key())? else { return Ok(true) };
        let over = match self.every_us {
            Some(every_us) => moment.as_of_us.saturating_sub(last.as_of_us) >= every_us,
            None => {
                let expires = !moment.ttl_us.is_empty() && !moment.is_near(&moment.at(last.as_of_us));
                last.changes != store.totals.changes || expires
            }
        };
        Ok(over || last.definition != self.definition)
    }

    /// No group is called like this.
    fn key(&self) -> String {
        format!("sql segment {}", self.name)
    }
}

//! Full passes on workers: publish, one job a bucket, every answer checked, all of them put together.

use crate::{
    crew::{self, GivenUp, Patience},
    job::{Answer, Job},
};
use kindred_core::{
    Error, Result,
    config::Distributed,
    profile::batch::Moment,
    publish::{self, Manifest, Table, read::Snapshot},
    segment::{
        bitmap, bytes,
        engine::{Engine, FullPass, Passed},
    },
    store::Store,
};
use kindred_plugin_api::columns::profile as names;
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, fs, time::Duration};
use tokio::runtime::Runtime;
use xxhash_rust::xxh3::xxh3_64;

/// Jobs that there should be for each worker at least, so that a lost one leaves little to do again.
const JOBS_A_WORKER: u32 = 4;

/// The workers of a pipeline.
#[derive(Debug)]
pub struct Cluster {
    options: Distributed,
    runtime: Runtime,
    published: Option<Published>,
}

/// What the workers read.
#[derive(Debug)]
struct Published {
    changes: u64,
    moment: Moment,
    snapshot: Snapshot,
}

impl Cluster {
    /// Nobody is called before the first pass.
    ///
    /// # Errors
    /// When the system gives no runtime.
    pub fn new(options: &Distributed) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::io("the cluster's runtime"))?;
        Ok(Self { options: options.clone(), runtime, published: None })
    }

    /// Publishes the store unless this is what was published last; one pass after another reads the same files.
    fn publish(&mut self, store: &mut Store, moment: &Moment) -> Result<&Manifest> {
        let (changes, dir) = (store.totals.changes, &self.options.shared);
        let current = |p: &Published| {
            // A query of this run may have published since.
            let last = Manifest::read(dir).is_ok_and(|m| m.generation == p.snapshot.manifest().generation);
            last && (p.changes, &p.moment) == (changes, moment)
        };
        if !self.published.as_ref().is_some_and(current) {
            // What was held until now may go.
            self.published = None;
            fs::create_dir_all(dir).map_err(Error::io(dir))?;
            let least = self.options.workers.len() as u32 * JOBS_A_WORKER;
            let buckets = publish::buckets(store).max(least.next_power_of_two());
            publish::publish(store, dir, &publish::Options { buckets, moment: moment.clone() })?;
        }
        let published = match self.published.take() {
            Some(published) => published,
            None => Published { changes, moment: moment.clone(), snapshot: Snapshot::open(dir)? },
        };
        Ok(self.published.insert(published).snapshot.manifest())
    }
}

impl Engine for Cluster {
    fn evaluate(&mut self, store: &mut Store, pass: &FullPass<'_>) -> Result<Passed> {
        let manifest = self.publish(store, pass.moment)?.clone();
        let jobs = jobs(&manifest, pass)?;
        let reads_events = pass.schema.column_with_name(names::EVENTS).is_some();
        let rows = |table, bucket| manifest.file(table, bucket).map_or(0, |file| file.rows);
        let proof = |job: &Job, answer: &Answer| {
            let events = if reads_events { rows(Table::Events, job.bucket) } else { 0 };
            let wanted = (job.pass, &job.generation, job.bucket, pass.segments.len());
            if (answer.pass, &answer.generation, answer.bucket, answer.members.len()) != wanted {
                return Err("the answer is to something else".to_owned());
            }
            match (rows(Table::Profiles, job.bucket), events) {
                wanted if wanted == (answer.profiles, answer.events) => Ok(()),
                (profiles, events) => Err(format!(
                    "the answer is about {} profiles and {} events, published were {profiles} and {events}",
                    answer.profiles, answer.events
                )),
            }
        };
        let patience = Patience {
            deadline: Duration::from_millis(self.options.deadline_ms),
            retries: self.options.retries,
        };
        let work = crew::work(&self.options.workers, jobs, patience, proof);
        let answers = self.runtime.block_on(work).map_err(|given_up| match given_up {
            GivenUp::Plugin(failure) => {
                Error::plugin("segmentation", &pass.segments.join("`, `"))(failure.into())
            }
            GivenUp::Workers(why) => Error::Engine(why),
        })?;
        put_together(&answers, pass.segments.len())
    }
}

/// One job for each bucket in which there are profiles.
fn jobs(manifest: &Manifest, pass: &FullPass<'_>) -> Result<Vec<Job>> {
    let whole = Job {
        pass: 0,
        generation: manifest.generation.clone(),
        bucket: 0,
        group: pass.group.to_owned(),
        plugin: pass.origin.plugin.clone(),
        version: pass.origin.version.clone(),
        segments: pass.origin.segments.to_string(),
        state: pass.origin.state.clone(),
        as_of_us: pass.moment.as_of_us,
        retention_us: pass.moment.retention_us,
        ttl_us: pass.moment.ttl_us.clone(),
        members: BTreeMap::new(),
    };
    let name = xxh3_64(&postcard::to_stdvec(&whole)?);
    let mut members = members(manifest.buckets, pass);
    let filled = manifest.files(Table::Profiles).iter().filter(|file| file.rows > 0);
    Ok(filled
        .map(|file| {
            let members = std::mem::take(&mut members[file.bucket as usize]);
            let members = members.into_iter().map(|(name, inside)| (name, bytes(&inside))).collect();
            Job { pass: name, bucket: file.bucket, members, ..whole.clone() }
        })
        .collect())
}

/// By bucket, the members of each audience that the pass refers to.
fn members(buckets: u32, pass: &FullPass<'_>) -> Vec<BTreeMap<String, RoaringBitmap>> {
    let names = pass.schema.fields().iter().filter_map(|field| field.name().strip_prefix(names::IN));
    let names: Vec<&str> = names.collect();
    let none = names.iter().map(|name| ((*name).to_owned(), RoaringBitmap::new()));
    let mut parts = vec![none.collect::<BTreeMap<_, _>>(); buckets as usize];
    for name in names {
        for profile in pass.members.get(name).into_iter().flatten() {
            let part = &mut parts[publish::bucket(profile, buckets) as usize];
            part.entry(name.to_owned()).or_default().insert(profile);
        }
    }
    parts
}

fn put_together(answers: &[Answer], segments: usize) -> Result<Passed> {
    let mut passed = Passed { members: vec![RoaringBitmap::new(); segments], ..Passed::default() };
    for answer in answers {
        for (all, part) in passed.members.iter_mut().zip(&answer.members) {
            *all |= bitmap(part)?;
        }
        passed.due_us.extend(answer.due_us.iter().copied());
    }
    Ok(passed)
}

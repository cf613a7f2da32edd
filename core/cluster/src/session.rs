//! The worker's side of a job: the plugin opened as in the host, over the buckets of a published generation.

use crate::job::{Answer, Failure, Job, Reply};
use datafusion::common::{DataFusionError, exec_datafusion_err, exec_err};
use kindred_core::{
    Error,
    plugin::{Origin, Plugin, Plugins, SegmentationHandle, Worker, registry::Registry},
    profile::batch,
    publish::read::Snapshot,
    segment::{bitmap, bytes, group},
};
use kindred_plugin_api::{Evaluated, Fault, columns::profile as names};
use roaring::RoaringBitmap;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Open sessions: those of the last pass are kept, because its next bucket needs the same.
#[derive(Debug)]
pub(crate) struct Sessions {
    shared: PathBuf,
    registry: Registry,
    idle: Mutex<Vec<Session>>,
}

/// A plugin's instance and the generation that it reads.
#[derive(Debug)]
struct Session {
    pass: u64,
    snapshot: Snapshot,
    worker: Worker<SegmentationHandle>,
    schema: datafusion::arrow::datatypes::SchemaRef,
    look_back_us: Option<i64>,
    segments: usize,
}

/// Why there is no answer.
enum Trouble {
    /// The plugin's; the same on every worker.
    Plugin(Fault),
    /// This worker's; another one may do better.
    Here(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Here(error.to_string())
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Plugin(fault)
    }
}

impl Sessions {
    pub(crate) fn new(shared: &Path) -> Self {
        Self { shared: shared.to_owned(), registry: Registry::new(), idle: Mutex::default() }
    }

    /// Does a job on a thread that may block; given up when nobody waits for the reply any more.
    pub(crate) async fn evaluate(self: Arc<Self>, job: Arc<Job>) -> Result<Reply, DataFusionError> {
        let waiting = Waiting::default();
        let wanted = waiting.wanted();
        let done = tokio::task::spawn_blocking(move || self.answer(&job, &wanted)).await;
        match done.map_err(|e| exec_datafusion_err!("the job ended without an answer: {e}"))? {
            Ok(answer) => Ok(Ok(answer)),
            Err(Trouble::Plugin(fault)) => Ok(Err(Failure::from(fault))),
            Err(Trouble::Here(reason)) => exec_err!("{reason}"),
        }
    }

    fn answer(&self, job: &Job, wanted: &AtomicBool) -> Result<Answer, Trouble> {
        let mut session = match self.take(job.pass) {
            Some(session) => session,
            None => self.open(job)?,
        };
        let answer = session.evaluate(job, wanted)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|other| other.pass == job.pass);
        idle.push(session);
        Ok(answer)
    }

    fn take(&self, pass: u64) -> Option<Session> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.iter().position(|session| session.pass == pass)?;
        Some(idle.swap_remove(at))
    }

    fn open(&self, job: &Job) -> Result<Session, Trouble> {
        let plugin = self.plugin(job)?;
        let snapshot = Snapshot::open(&self.shared)?;
        let generation = &snapshot.manifest().generation;
        if *generation != job.generation {
            return Err(Trouble::Here(format!(
                "{} holds generation {generation}, the job is about {}",
                self.shared.display(),
                job.generation
            )));
        }
        let segments: serde_json::Value = serde_json::from_str(&job.segments)
            .map_err(|e| Trouble::Here(format!("the segments cannot be read: {e}")))?;
        let catalog = snapshot.catalog(job.members.keys().map(String::as_str))?;
        let known = segments.as_array().map_or(0, Vec::len);
        let (worker, needs) =
            group::start(&job.group, plugin, segments, self.shared.clone(), job.state.clone(), &catalog)?;
        let schema = batch::project(&catalog, &needs)?;
        let bound = schema.clone();
        worker.call(move |handle| handle.bind(&bound))?;
        let look_back_us = needs.look_back_us;
        Ok(Session { pass: job.pass, snapshot, worker, schema, look_back_us, segments: known })
    }

    /// The very same code as in the host, or none.
    fn plugin(&self, job: &Job) -> Result<Plugin, Trouble> {
        let found = self.registry.find(&job.plugin, &self.shared).map_err(|e| Trouble::Here(e.message))?;
        if found.origin != Origin::BuiltIn || found.manifest.version != job.version {
            return Err(Trouble::Here(format!(
                "it has `{}` {}, the job is for the built-in one of version {}",
                job.plugin, found.manifest.version, job.version
            )));
        }
        Ok(found)
    }
}

impl Session {
    fn evaluate(&mut self, job: &Job, wanted: &AtomicBool) -> Result<Answer, Trouble> {
        let moment = job.moment();
        let mut inside: BTreeMap<String, RoaringBitmap> = BTreeMap::new();
        for (name, members) in &job.members {
            inside.insert(name.clone(), bitmap(members)?);
        }
        let bucket = self.snapshot.bucket(job.bucket, &self.schema, &moment, self.look_back_us, &inside)?;
        // The second of the three consent gates, as in the host.
        let consenting = self.snapshot.consenting(job.bucket)?;
        let mut members = vec![RoaringBitmap::new(); self.segments];
        let mut due_us = Vec::new();
        for (batch, next_us) in bucket.batches {
            if !wanted.load(Ordering::Acquire) {
                return Err(Trouble::Here("nobody waits for the answer any more".into()));
            }
            let profiles = batch.column_by_name(names::PROFILE).cloned();
            let Some(profiles) = profiles.as_ref().and_then(|p| p.as_any().downcast_ref()) else {
                return Err(Trouble::Here("a batch without profiles".into()));
            };
            let evaluated = self.worker.call(move |handle| handle.evaluate(&batch))?;
            gather(&evaluated, profiles, &next_us, &consenting, &mut members, &mut due_us)?;
        }
        Ok(Answer {
            pass: job.pass,
            generation: job.generation.clone(),
            bucket: job.bucket,
            profiles: bucket.profiles,
            events: bucket.events,
            members: members.iter().map(bytes).collect(),
            due_us,
        })
    }
}

/// One batch's answer into the bucket's.
fn gather(
    evaluated: &Evaluated,
    profiles: &datafusion::arrow::array::UInt32Array,
    next_us: &[Option<i64>],
    consenting: &RoaringBitmap,
    members: &mut [RoaringBitmap],
    due_us: &mut Vec<(u32, i64)>,
) -> Result<(), Fault> {
    for (row, profile) in profiles.values().iter().enumerate() {
        let (ordinals, change_us) = evaluated.row(row);
        for ordinal in ordinals {
            let Some(segment) = members.get_mut(*ordinal as usize) else {
                return Err(Fault::permanent("ordinal", "answered with a segment that does not exist"));
            };
            if consenting.contains(*profile) {
                segment.insert(*profile);
            }
        }
        due_us.extend(change_us.into_iter().chain(next_us[row]).min().map(|time| (*profile, time)));
    }
    Ok(())
}

/// True for as long as somebody holds the other end.
#[derive(Debug)]
struct Waiting(Arc<AtomicBool>);

impl Default for Waiting {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Waiting {
    fn wanted(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

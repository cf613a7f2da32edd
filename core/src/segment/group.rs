//! Groups: segments of one plugin that are evaluated together, in the order that their references ask for.

use super::engine::Origin;
use crate::{
    Error, Result, config,
    plugin::{self, Opening, Plugin, Plugins, SegmentationHandle, Worker, registry::Registry},
    profile::batch,
    store::Store,
};
use arrow::datatypes::{Schema, SchemaRef};
use kindred_plugin_api::Needs;
use serde_json::json;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use xxhash_rust::xxh3::xxh3_64;

/// Some segments and the instance that answers for them.
#[derive(Debug)]
pub struct Group {
    /// Plugin and level: names the instance and its stored model.
    pub name: String,
    /// Names, in the order of the ordinals.
    pub segments: Vec<String>,
    /// Of the plugin and all options; another value means that the answers must be made anew.
    pub definition: u64,
    /// Its segments need `observe` and `fit`.
    pub is_model: bool,
    /// How far back it reads.
    pub look_back_us: Option<i64>,
    /// Schema of its profile batches.
    pub schema: SchemaRef,
    /// What it is made of.
    pub origin: Origin,
    /// The instance that models are fitted by and reasons come from.
    pub worker: Worker<SegmentationHandle>,
    /// More of the same, for passes over many profiles.
    others: Vec<Worker<SegmentationHandle>>,
    opening: Instance,
}

/// What opens another instance like the first.
#[derive(Clone, Debug)]
struct Instance {
    plugin: Plugin,
    config: serde_json::Value,
    base_dir: PathBuf,
    catalog: SchemaRef,
}

impl Group {
    /// All instances.
    pub fn workers(&self) -> impl Iterator<Item = &Worker<SegmentationHandle>> {
        std::iter::once(&self.worker).chain(&self.others)
    }

    /// Opens as many instances as there are processors. A model's state lives in the instance that was fitted, so a
    /// model stays alone.
    ///
    /// # Errors
    /// When the plugin refuses what it took before.
    pub fn multiply(&mut self) -> Result<(), kindred_plugin_api::Fault> {
        let wanted = std::thread::available_parallelism().map_or(1, usize::from);
        while !self.is_model && self.others.len() + 1 < wanted {
            let name = format!("{}.{}", self.name, self.others.len() + 1);
            let (worker, _) = self.opening.clone().start(&name, None)?;
            let schema = self.schema.clone();
            worker.call(move |handle| handle.bind(&schema))?;
            self.others.push(worker);
        }
        Ok(())
    }
}

/// Which segments go together, before anything is opened.
#[derive(Clone, Debug)]
struct Draft {
    plugin: Plugin,
    level: usize,
    segments: Vec<config::Segment>,
}

/// Opens all groups, lowest level first. `state` gives the stored model of a group by name and definition.
///
/// # Errors
/// When a plugin refuses its segments; the message names the segment.
pub fn open(
    pipeline: &config::Pipeline,
    registry: &Registry,
    store: &Store,
    state: impl Fn(&str, u64) -> Result<Option<Vec<u8>>>,
) -> Result<Vec<Group>> {
    let catalog = batch::catalog(store, pipeline.segments.iter().map(|s| s.name.as_str()));
    let mut groups = Vec::new();
    for draft in drafts(pipeline, registry)? {
        let name = format!("{}#{}", draft.plugin.manifest.name, draft.level);
        let config: Vec<_> =
            draft.segments.iter().map(|s| json!({"name": s.name, "config": s.config})).collect();
        let config = serde_json::Value::Array(config);
        let identity = format!("{} {} {config}", draft.plugin.manifest.name, draft.plugin.manifest.version);
        let definition = xxh3_64(identity.as_bytes());
        let names: Vec<String> = draft.segments.iter().map(|s| s.name.clone()).collect();
        let failed = Error::plugin("segmentation", &names.join("`, `"));
        let state = state(&name, definition)?;
        let is_model = draft.plugin.manifest.can("model");
        let origin = Origin {
            plugin: draft.plugin.manifest.name.clone(),
            version: draft.plugin.manifest.version.clone(),
            is_built_in: draft.plugin.origin == plugin::Origin::BuiltIn,
            segments: config.clone(),
            state: state.clone(),
        };
        let opening = Instance {
            plugin: draft.plugin,
            config,
            base_dir: pipeline.base_dir.clone(),
            catalog: Arc::new(catalog.clone()),
        };
        let (worker, needs) = opening.clone().start(&name, state).map_err(failed)?;
        let schema = batch::project(&catalog, &needs)?;
        let bound = schema.clone();
        worker.call(move |h| h.bind(&bound)).map_err(Error::plugin("segmentation", &names.join("`, `")))?;
        let (look_back_us, others) = (needs.look_back_us, Vec::new());
        groups.push(Group {
            name,
            segments: names,
            definition,
            is_model,
            look_back_us,
            schema,
            origin,
            worker,
            others,
            opening,
        });
    }
    Ok(groups)
}

/// Opens an instance on a thread of its own and asks it what it reads; it is not bound yet.
///
/// # Errors
/// What the plugin finds wrong with its segments.
pub fn start(
    name: &str,
    plugin: Plugin,
    config: serde_json::Value,
    base_dir: PathBuf,
    state: Option<Vec<u8>>,
    catalog: &Schema,
) -> Result<(Worker<SegmentationHandle>, Needs), kindred_plugin_api::Fault> {
    Instance { plugin, config, base_dir, catalog: Arc::new(catalog.clone()) }.start(name, state)
}

impl Instance {
    fn start(
        self,
        name: &str,
        state: Option<Vec<u8>>,
    ) -> Result<(Worker<SegmentationHandle>, Needs), kindred_plugin_api::Fault> {
        let Self { plugin, config, base_dir, catalog } = self;
        let instance = name.to_owned();
        let worker = Worker::start(name, move || {
            plugin.open_segmentation(&Opening {
                instance: &instance,
                config: &config,
                base_dir: &base_dir,
                state,
            })
        })?;
        let needs = worker.call(move |h| h.plan(&catalog))?;
        Ok((worker, needs))
    }
}

/// A segment's level is one above those it refers to, or the same where its plugin resolves references itself.
fn drafts(pipeline: &config::Pipeline, registry: &Registry) -> Result<Vec<Draft>> {
    let mut plugins: BTreeMap<&str, Plugin> = BTreeMap::new();
    let evaluated: Vec<&config::Segment> = pipeline.segments.iter().filter(|s| s.sql.is_none()).collect();
    for segment in &evaluated {
        if !plugins.contains_key(segment.plugin.as_str()) {
            let found =
                registry.find(&segment.plugin, &pipeline.base_dir).map_err(|e| Error::NotFound(e.message))?;
            plugins.insert(&segment.plugin, found);
        }
    }
    let mut levels: BTreeMap<&str, usize> = BTreeMap::new();
    // Those with a query are known before: they are answered at the end of a run.
    levels.extend(pipeline.segments.iter().filter(|s| s.sql.is_some()).map(|s| (s.name.as_str(), 0)));
    while levels.len() < pipeline.segments.len() {
        let before = levels.len();
        for segment in &evaluated {
            let below = segment.depends_on.iter().map(|d| Some((d, *levels.get(d.as_str())?)));
            let Some(below) = below.collect::<Option<Vec<_>>>() else { continue };
            let nests = plugins[segment.plugin.as_str()].manifest.can("nests");
            let same = |name: &str| {
                pipeline.segments.iter().any(|s| s.name == name && s.plugin == segment.plugin) && nests
            };
            let level = below.iter().map(|(name, l)| if same(name) { *l } else { l + 1 }).max().unwrap_or(0);
            levels.entry(&segment.name).or_insert(level);
        }
        if levels.len() == before {
            return Err(Error::Column("segments refer to each other in a circle".into()));
        }
    }
    let mut drafts: BTreeMap<(usize, &str), Draft> = BTreeMap::new();
    for segment in evaluated {
        let level = levels[segment.name.as_str()];
        let plugin = &plugins[segment.plugin.as_str()];
        drafts
            .entry((level, &segment.plugin))
            .or_insert_with(|| Draft { plugin: plugin.clone(), level, segments: Vec::new() })
            .segments
            .push(segment.clone());
    }
    Ok(drafts.into_values().collect())
}

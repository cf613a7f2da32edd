//! Groups: segments of one plugin that are evaluated together, in the order that their references ask for.

use super::{
    applied,
    draft::{Place, drafts},
    engine::Origin,
    pass::Fitted,
};
use crate::{
    Error, Result,
    config::{self, Problem, Written},
    plugin::{self, Opening, Plugin, SegmentationHandle, Worker, registry::Registry},
    profile::batch,
    store::{Store, widths::Width},
};
use arrow::datatypes::{Schema, SchemaRef};
use kindred_plugin_api::Needs;
use serde_json::json;
use std::{collections::BTreeMap, path::PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// Some segments and the instance that answers for them.
#[derive(Debug)]
pub struct Group {
    /// Names the instance and its stored model: of its plugin and its place.
    pub name: String,
    /// Among those of its plugin.
    place: Place,
    /// Names, in the order of the ordinals.
    pub segments: Vec<String>,
    /// Of the plugin and all options; another value means that a model must be fitted anew.
    pub definition: u64,
    /// Of each segment and all that it builds on, by ordinal; another value means that its answers must be made anew.
    definitions: Vec<u64>,
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
    maker: Maker,
}

/// Where instances come from; options and what a model learnt stand in [`Origin`].
#[derive(Clone, Debug)]
struct Maker {
    plugin: Plugin,
    base_dir: PathBuf,
    catalog: Schema,
}

/// An instance that is ready, and what it reads.
struct Ready {
    worker: Worker<SegmentationHandle>,
    schema: SchemaRef,
    look_back_us: Option<i64>,
}

impl Group {
    /// Names of its segments, and the definitions that their members must be of.
    pub fn definitions(&self) -> impl Iterator<Item = (&String, u64)> {
        // A model is kept for all its segments.
        let definition = |own: &u64| if self.is_model { self.definition } else { *own };
        self.segments.iter().zip(self.definitions.iter().map(definition))
    }

    /// All instances.
    pub fn workers(&self) -> impl Iterator<Item = &Worker<SegmentationHandle>> + Clone {
        std::iter::once(&self.worker).chain(&self.others)
    }

    /// Fits the model on what its instances observed; all of them go on with what comes of it.
    ///
    /// # Errors
    /// Whatever the plugin finds.
    pub(super) fn fit(&mut self) -> Result<Fitted, kindred_plugin_api::Fault> {
        for other in self.observers().skip(1) {
            let observed = other.call(|handle| handle.observed())?;
            self.worker.call(move |handle| handle.absorb(&observed))?;
        }
        let (reports, state) = self.worker.call(|handle| handle.fit())?;
        if self.recalls() {
            for other in &self.others {
                let state = state.clone();
                other.call(move |handle| handle.learn(&state))?;
            }
        } else {
            self.others.clear();
        }
        self.origin.state = Some(state.clone());
        Ok(Fitted { reports, state })
    }

    /// What an error says whose segments are.
    pub(super) fn failed(&self) -> impl Fn(kindred_plugin_api::Fault) -> Error + use<> {
        let names = self.segments.join("`, `");
        move |fault| Error::plugin("segmentation", &names)(fault)
    }

    /// Whether it can be fitted and evaluated in one pass.
    pub fn recalls(&self) -> bool {
        self.adds() && self.maker.plugin.manifest.can("recalls")
    }

    /// One group in place of two of one plugin, for passes that ask both about everybody: rules, and models that recall.
    ///
    /// # Errors
    /// When the plugin refuses what it took before.
    pub fn join(rules: &Self, models: &Self) -> Result<Self> {
        let both = |of: fn(&Self) -> Vec<serde_json::Value>| {
            serde_json::Value::Array([of(rules), of(models)].concat())
        };
        let configs = |group: &Self| group.origin.segments.as_array().cloned().unwrap_or_default();
        let origin = Origin { segments: both(configs), state: None, ..rules.origin.clone() };
        let name = format!("{}+", rules.name);
        let maker = rules.maker.clone();
        let Ready { worker, schema, look_back_us } = maker.ready(&name, &origin)?;
        Ok(Self {
            name,
            place: rules.place,
            segments: [&rules.segments[..], &models.segments].concat(),
            definition: models.definition,
            definitions: [&rules.definitions[..], &models.definitions].concat(),
            is_model: true,
            look_back_us,
            schema,
            origin,
            worker,
            others: Vec::new(),
            maker,
        })
    }

    /// Whether two groups are of one plugin and what neither answers is asked by the other.
    pub fn goes_with(&self, other: &Self) -> bool {
        self.origin.plugin == other.origin.plugin && self.place.level == other.place.level
    }

    /// Instances that everybody can be shown to, each a part: all where what they observe adds up.
    pub fn observers(&self) -> impl Iterator<Item = &Worker<SegmentationHandle>> + Clone {
        self.workers().take(if self.adds() { usize::MAX } else { 1 })
    }

    /// Whether what several instances observe adds up.
    pub fn adds(&self) -> bool {
        self.maker.plugin.manifest.can("adds")
    }

    /// Opens as many instances as there are processors; a model that was not fitted yet answers alone, and observes alone
    /// where it does not add up.
    ///
    /// # Errors
    /// When the plugin refuses what it took before.
    pub fn multiply(&mut self) -> Result<(), kindred_plugin_api::Fault> {
        let wanted = std::thread::available_parallelism().map_or(1, usize::from);
        let alone = self.is_model && self.origin.state.is_none() && !self.adds();
        while !alone && self.others.len() + 1 < wanted {
            let name = format!("{}.{}", self.name, self.others.len() + 1);
            let (worker, _) = self.maker.start(&name, &self.origin)?;
            let schema = self.schema.clone();
            worker.call(move |handle| handle.bind(&schema))?;
            self.others.push(worker);
        }
        Ok(())
    }

    /// Opens its instance anew where the columns that it reads are of other types by now: codes of text and
    /// whole numbers grow wider.
    ///
    /// # Errors
    /// When the plugin refuses what it took before.
    pub fn refresh(&mut self, store: &Store, widths: &Widths) -> Result<()> {
        let catalog = shown(&self.maker.plugin, &self.maker.catalog, store, widths);
        if self.maker.catalog == catalog {
            return Ok(());
        }
        self.maker.catalog = catalog;
        self.others.clear();
        let Ready { worker, schema, look_back_us } = self.maker.ready(&self.name, &self.origin)?;
        (self.worker, self.schema, self.look_back_us) = (worker, schema, look_back_us);
        Ok(())
    }
}

/// What a plugin finds wrong with its segments, at its place in the file; the error as it is where that has none.
fn in_file(written: &Written, names: &[String], error: Error) -> Result<Vec<Problem>> {
    let found = match &error {
        Error::Plugin { fault, .. } => written.in_segments(names, &fault.problems),
        _ => None,
    };
    found.ok_or(error)
}

/// How wide the whole numbers of event columns are.
pub type Widths = BTreeMap<String, Width>;

/// Opens all groups, lowest level first. `state` gives the stored model of a group by name and definition.
///
/// # Errors
/// When plugins refuse segments; [`Error::Refused`] says of all of them where.
pub fn open(
    pipeline: &config::Pipeline,
    registry: &Registry,
    store: &Store,
    widths: &Widths,
    state: impl Fn(&str, u64) -> Result<Option<Vec<u8>>>,
) -> Result<Vec<Group>> {
    let catalog = batch::catalog(store, pipeline.segments.iter().map(|s| s.name.as_str()));
    let (mut groups, mut refused) = (Vec::new(), Vec::new());
    let (drafts, definitions) = drafts(pipeline, registry)?;
    for draft in drafts {
        let is_model = draft.plugin.manifest.can("model");
        let Place { level, model } = draft.place;
        let among_rules = if model && !is_model { "-model" } else { "" };
        let is_model = is_model || model;
        let name = format!("{}#{level}{among_rules}", draft.plugin.manifest.name);
        let config: Vec<_> =
            draft.segments.iter().map(|s| json!({"name": s.name, "config": s.config})).collect();
        let config = serde_json::Value::Array(config);
        let counts: String =
            draft.segments.iter().map(|segment| applied::with_ages("", pipeline, segment)).collect();
        let manifest = &draft.plugin.manifest;
        let identity = format!("{} {} {config}{counts}", manifest.name, manifest.version);
        let definition = xxh3_64(identity.as_bytes());
        let names: Vec<String> = draft.segments.iter().map(|s| s.name.clone()).collect();
        let state = state(&name, definition)?;
        let origin = Origin {
            plugin: draft.plugin.manifest.name.clone(),
            version: draft.plugin.manifest.version.clone(),
            is_built_in: draft.plugin.origin == plugin::Origin::BuiltIn,
            segments: config,
            state,
        };
        let catalog = shown(&draft.plugin, &catalog, store, widths);
        let maker = Maker { plugin: draft.plugin, base_dir: pipeline.base_dir.clone(), catalog };
        let Ready { worker, schema, look_back_us } = match maker.ready(&name, &origin) {
            Ok(ready) => ready,
            Err(error) => {
                refused.extend(in_file(&pipeline.written, &names, error)?);
                continue;
            }
        };
        let others = Vec::new();
        groups.push(Group {
            name,
            place: draft.place,
            segments: names,
            definition,
            definitions: draft.segments.iter().map(|segment| definitions[&segment.name]).collect(),
            is_model,
            look_back_us,
            schema,
            origin,
            worker,
            others,
            maker,
        });
    }
    match refused.is_empty() {
        true => Ok(groups),
        false => Err(Error::Refused(Box::new(pipeline.written.problems(refused)))),
    }
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
    let instance = name.to_owned();
    let worker = Worker::start(name, move || {
        plugin.open_segmentation(&Opening {
            instance: &instance,
            config: &config,
            base_dir: &base_dir,
            state,
        })
    })?;
    let catalog = catalog.clone();
    let needs = worker.call(move |h| h.plan(&catalog))?;
    Ok((worker, needs))
}

impl Maker {
    fn ready(&self, name: &str, origin: &Origin) -> Result<Ready> {
        let failed = || Error::plugin("segmentation", &origin.names().join("`, `"));
        let (worker, needs) = self.start(name, origin).map_err(failed())?;
        let schema = batch::project(&self.catalog, &needs)?;
        let bound = schema.clone();
        worker.call(move |handle| handle.bind(&bound)).map_err(failed())?;
        Ok(Ready { worker, schema, look_back_us: needs.look_back_us })
    }

    fn start(
        &self,
        name: &str,
        origin: &Origin,
    ) -> Result<(Worker<SegmentationHandle>, Needs), kindred_plugin_api::Fault> {
        let (config, state) = (origin.segments.clone(), origin.state.clone());
        start(name, self.plugin.clone(), config, self.base_dir.clone(), state, &self.catalog)
    }
}

/// The catalogue as a plugin is shown it.
fn shown(plugin: &Plugin, catalog: &Schema, store: &Store, widths: &Widths) -> Schema {
    if plugin.manifest.can("narrow") { batch::narrow(catalog, store, widths) } else { catalog.clone() }
}

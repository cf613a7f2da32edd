//! Groups: segments of one plugin that are evaluated together, in the order that their references ask for.

use super::{applied, engine::Origin, pass::Fitted};
use crate::{
    Error, Result, config,
    plugin::{self, Opening, Plugin, Plugins, SegmentationHandle, Worker, registry::Registry},
    profile::batch,
    store::{Store, widths::Width},
};
use arrow::datatypes::{Schema, SchemaRef};
use kindred_plugin_api::Needs;
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Some segments and the instance that answers for them.
#[derive(Debug)]
pub struct Group {
    /// Plugin, level, and whether it is a model among rules: names the instance and its stored model.
    pub name: String,
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
        let level = |name: &str| name.trim_end_matches("-model").to_owned();
        self.origin.plugin == other.origin.plugin && level(&self.name) == level(&other.name)
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

/// Which segments go together, before anything is opened.
#[derive(Clone, Debug)]
struct Draft {
    plugin: Plugin,
    place: Place,
    segments: Vec<config::Segment>,
}

/// Where a segment's group stands: above all that it refers to, and apart from segments that are fitted when it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    level: usize,
    model: bool,
}

/// How wide the whole numbers of event columns are.
pub type Widths = BTreeMap<String, Width>;

/// Opens all groups, lowest level first. `state` gives the stored model of a group by name and definition.
///
/// # Errors
/// When a plugin refuses its segments; the message names the segment.
pub fn open(
    pipeline: &config::Pipeline,
    registry: &Registry,
    store: &Store,
    widths: &Widths,
    state: impl Fn(&str, u64) -> Result<Option<Vec<u8>>>,
) -> Result<Vec<Group>> {
    let catalog = batch::catalog(store, pipeline.segments.iter().map(|s| s.name.as_str()));
    let mut groups = Vec::new();
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
            draft.segments.iter().map(|segment| applied::with_ttl("", pipeline, segment)).collect();
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
        let Ready { worker, schema, look_back_us } = maker.ready(&name, &origin)?;
        let others = Vec::new();
        groups.push(Group {
            name,
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

/// Also the definition of every segment.
fn drafts(pipeline: &config::Pipeline, registry: &Registry) -> Result<(Vec<Draft>, HashMap<String, u64>)> {
    let mut plugins: BTreeMap<&str, Plugin> = BTreeMap::new();
    for segment in pipeline.segments.iter().filter(|segment| segment.sql.is_none()) {
        if !plugins.contains_key(segment.plugin.as_str()) {
            let found =
                registry.find(&segment.plugin, &pipeline.base_dir).map_err(|e| Error::NotFound(e.message))?;
            plugins.insert(&segment.plugin, found);
        }
    }
    let nests = |plugin: &str| plugins[plugin].manifest.can("nests");
    let order = order(&pipeline.segments)?;
    let places = places(&pipeline.segments, &order, nests);
    let definitions = definitions(&pipeline.segments, &order, |segment| match &segment.sql {
        Some(sql) => applied::with_ttl(&sql.text, pipeline, segment),
        None => {
            let manifest = &plugins[segment.plugin.as_str()].manifest;
            let config = applied::with_ttl(&segment.config.to_string(), pipeline, segment);
            format!("{} {} {config}", manifest.name, manifest.version)
        }
    });
    let mut drafts: BTreeMap<(Place, &str), Draft> = BTreeMap::new();
    // Those with a query have no plugin: they are answered at the end of a run.
    let placed = pipeline.segments.iter().zip(places).filter(|(segment, _)| segment.sql.is_none());
    for (segment, place) in placed {
        let plugin = &plugins[segment.plugin.as_str()];
        drafts
            .entry((place, &segment.plugin))
            .or_insert_with(|| Draft { plugin: plugin.clone(), place, segments: Vec::new() })
            .segments
            .push(segment.clone());
    }
    Ok((drafts.into_values().collect(), definitions))
}

/// Ordinals, each behind those of the segments that it refers to, with the ordinals of these.
type Order = Vec<(usize, Vec<usize>)>;

fn order(segments: &[config::Segment]) -> Result<Order> {
    let ordinals: HashMap<&str, usize> =
        segments.iter().enumerate().map(|(at, segment)| (segment.name.as_str(), at)).collect();
    let used = |segment: &config::Segment| -> Vec<usize> {
        segment.depends_on.iter().filter_map(|name| ordinals.get(name.as_str()).copied()).collect()
    };
    let mut uses: Vec<Vec<usize>> = segments.iter().map(used).collect();
    let mut users = vec![Vec::new(); segments.len()];
    for (user, uses) in uses.iter().enumerate() {
        uses.iter().for_each(|used| users[*used].push(user));
    }
    let mut waiting: Vec<usize> = uses.iter().map(Vec::len).collect();
    let mut ready: Vec<usize> = (0..segments.len()).filter(|&at| waiting[at] == 0).collect();
    let mut order = Vec::with_capacity(segments.len());
    while let Some(at) = ready.pop() {
        order.push((at, std::mem::take(&mut uses[at])));
        for &user in &users[at] {
            waiting[user] -= 1;
            if waiting[user] == 0 {
                ready.push(user);
            }
        }
    }
    if order.len() < segments.len() {
        return Err(Error::Column("segments refer to each other in a circle".into()));
    }
    Ok(order)
}

/// A segment's level is one above those it refers to, or the same where its plugin resolves references itself. A plugin
/// cannot do that for models: what they answer is known only once everybody was seen.
fn places(segments: &[config::Segment], order: &Order, nests: impl Fn(&str) -> bool) -> Vec<Place> {
    let mut places: Vec<Place> =
        segments.iter().map(|segment| Place { level: 0, model: segment.model }).collect();
    for (user, uses) in order {
        for used in uses {
            let (above, below) = (&segments[*user], &segments[*used]);
            let resolved = above.plugin == below.plugin
                && nests(&above.plugin)
                && below.sql.is_none()
                && !above.model
                && !below.model;
            places[*user].level = places[*user].level.max(places[*used].level + usize::from(!resolved));
        }
    }
    places
}

/// What each segment is and all that it builds on are.
fn definitions(
    segments: &[config::Segment],
    order: &Order,
    own: impl Fn(&config::Segment) -> String,
) -> HashMap<String, u64> {
    let mut found = vec![0; segments.len()];
    for (at, uses) in order {
        let below = uses.iter().map(|used| found[*used]);
        found[*at] = below.fold(xxh3_64(own(&segments[*at]).as_bytes()), |definition, below| {
            xxh3_64_with_seed(&u64::to_le_bytes(below), definition)
        });
    }
    segments.iter().map(|segment| segment.name.clone()).zip(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(name: &str, plugin: &str, model: bool, depends_on: &[&str]) -> config::Segment {
        config::Segment {
            name: name.into(),
            title: name.into(),
            plugin: plugin.into(),
            config: json!({}),
            depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
            model,
            reads: None,
            sql: None,
        }
    }

    fn placed(segments: &[config::Segment]) -> Vec<(usize, bool)> {
        let places = places(segments, &order(segments).unwrap(), |plugin| plugin == "rules");
        places.into_iter().map(|place| (place.level, place.model)).collect()
    }

    #[test]
    fn rules_stand_together_and_models_apart() {
        let segments = [
            segment("after", "rules", false, &["top", "plain"]),
            segment("top", "rules", true, &["nested"]),
            segment("nested", "rules", false, &["plain"]),
            segment("plain", "rules", false, &[]),
            segment("best of top", "rules", true, &["top"]),
            segment("alike", "lookalike", false, &["top"]),
            segment("free", "rules", true, &[]),
        ];
        let expected = [(2, false), (1, true), (0, false), (0, false), (2, true), (2, false), (0, true)];
        assert_eq!(placed(&segments), expected);
    }

    #[test]
    fn many_segments_are_placed_at_once() {
        let names: Vec<String> = (0..20_000).map(|at| format!("s{at}")).collect();
        let chain: Vec<config::Segment> = names
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let below = names.get(at + 1).map(String::as_str);
                segment(name, "other", false, below.as_slice())
            })
            .collect();
        let started = std::time::Instant::now();
        assert_eq!(placed(&chain)[0], (19_999, false));
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }

    #[test]
    fn a_definition_is_that_of_what_it_builds_on_too() {
        let before = [
            segment("plain", "rules", false, &[]),
            segment("nested", "rules", false, &["plain"]),
            segment("other", "rules", false, &[]),
        ];
        let of = |segments: &[config::Segment]| {
            definitions(segments, &order(segments).unwrap(), |segment| segment.config.to_string())
        };
        let (was, mut after) = (of(&before), before.clone());
        after[0].config = json!({"rule": "TRUE"});
        let is = of(&after);
        assert!(was["plain"] != is["plain"] && was["nested"] != is["nested"]);
        assert_eq!(was["other"], is["other"]);
    }

    #[test]
    fn circles_have_no_place() {
        let circle = [segment("a", "x", false, &["b"]), segment("b", "x", false, &["a"])];
        assert!(order(&circle).is_err());
    }
}

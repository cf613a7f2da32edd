//! Plugins, seen from the host: found by name or path, described, checked and opened the same way whether they are
//! linked in or come from a library.

mod handle;
mod host;
pub mod library;
pub mod lock;
mod metrics;
pub mod registry;
mod worker;

pub use handle::{DestinationHandle, EnrichmentHandle, Polled, SegmentationHandle, SourceHandle};
pub use host::{Canceller, Lease, cancel_all};
pub use metrics::{Metric, metrics};
pub use worker::{Reply, Worker};

use kindred_plugin_api::{
    Facts, Fault, Kind, ReadManifest,
    abi::{
        abi_stable::std_types::{ROption, RResult},
        batch::Proof,
        raw::{LOOKS_ONLY, OpenArgs, PluginRef},
    },
};
use std::path::{Path, PathBuf};

/// Where plugins come from.
pub trait Plugins {
    /// The plugin called `name`: a built-in, an entry of the lock file, or (with a `/`, or ending in `.so`) a library,
    /// relative to `base_dir`.
    ///
    /// # Errors
    /// When there is none, or it cannot be loaded.
    fn find(&self, name: &str, base_dir: &Path) -> Result<Plugin, FindError>;

    /// Names that `find` knows for this kind.
    fn names(&self, kind: Kind) -> Vec<String>;
}

/// Why a plugin was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindError {
    /// What happened: lowercase, names the plugin.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Where a plugin came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Linked into this binary.
    BuiltIn,
    /// A dynamic library.
    Library {
        /// As given.
        path: PathBuf,
        /// Of the bytes that were loaded, in hexadecimal.
        sha256: String,
        /// Whether `kindred.lock` vouches for these bytes.
        pinned: bool,
    },
}

/// A plugin that is ready to be opened.
#[derive(Clone)]
pub struct Plugin {
    /// Who it is.
    pub manifest: ReadManifest,
    /// Where it came from.
    pub origin: Origin,
    raw: PluginRef,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("manifest", &self.manifest).field("origin", &self.origin).finish()
    }
}

/// What an instance is opened with.
#[derive(Clone, Debug)]
pub struct Opening<'a> {
    /// Name in the pipeline file.
    pub instance: &'a str,
    /// The options.
    pub config: &'a serde_json::Value,
    /// Folder that relative paths start from.
    pub base_dir: &'a Path,
    /// Position, checkpoint or model state.
    pub state: Option<Vec<u8>>,
}

impl Plugin {
    /// From the boundary's view; reads the manifest.
    ///
    /// # Errors
    /// A permanent fault when the manifest cannot be read.
    pub fn new(raw: PluginRef, origin: Origin) -> Result<Self, Fault> {
        let text = (raw.manifest())();
        let manifest = serde_json::from_str(text.as_str())
            .map_err(|e| Fault::permanent("manifest", format!("the manifest cannot be read: {e}")))?;
        Ok(Self { manifest, origin, raw })
    }

    /// JSON Schema of the options.
    pub fn config_schema(&self) -> serde_json::Value {
        serde_json::from_str((self.raw.config_schema())().as_str()).unwrap_or_default()
    }

    /// Lets the plugin check options; touches nothing outside.
    ///
    /// # Errors
    /// CONFIG with every problem that the plugin found.
    pub fn validate(&self, config: &serde_json::Value) -> Result<Facts, Fault> {
        match (self.raw.validate())(config.to_string().as_str().into()) {
            RResult::ROk(facts) => serde_json::from_str(facts.as_str())
                .map_err(|e| Fault::permanent("facts", format!("the plugin's answer cannot be read: {e}"))),
            RResult::RErr(fault) => Err(fault.into()),
        }
    }

    /// Lets the plugin check that the outside is there.
    ///
    /// # Errors
    /// Whatever the plugin found.
    pub fn check(&self, opening: &Opening<'_>) -> Result<(), Fault> {
        let lease = Lease::new(opening.instance);
        match (self.raw.check())(args(opening, &lease)) {
            RResult::ROk(()) => Ok(()),
            RResult::RErr(fault) => Err(fault.into()),
        }
    }

    /// How much of its batches is proved: everything, unless the code is ours or pinned.
    pub fn proof(&self) -> Proof {
        match self.origin {
            Origin::BuiltIn | Origin::Library { pinned: true, .. } if !cfg!(debug_assertions) => Proof::Cheap,
            _ => Proof::Full,
        }
    }

    /// Opens a source.
    ///
    /// # Errors
    /// UNSUPPORTED for another kind, else whatever the plugin found.
    pub fn open_source(&self, opening: &Opening<'_>) -> Result<SourceHandle, Fault> {
        self.source(opening, 0)
    }

    /// Opens a source only to ask for its schema: it takes nothing that another instance would miss.
    ///
    /// # Errors
    /// As [`Self::open_source`].
    pub fn look_at_source(&self, opening: &Opening<'_>) -> Result<SourceHandle, Fault> {
        self.source(opening, LOOKS_ONLY)
    }

    fn source(&self, opening: &Opening<'_>, flags: u64) -> Result<SourceHandle, Fault> {
        let ROption::RSome(open) = self.raw.open_source() else { return Err(self.is_not(Kind::Source)) };
        let lease = Lease::new(opening.instance);
        let args = OpenArgs { flags, ..args(opening, &lease) };
        Ok(SourceHandle::new(open(args).into_result()?, lease, self.proof()))
    }

    /// Opens an enrichment.
    ///
    /// # Errors
    /// As [`Self::open_source`].
    pub fn open_enrichment(&self, opening: &Opening<'_>) -> Result<EnrichmentHandle, Fault> {
        let ROption::RSome(open) = self.raw.open_enrichment() else {
            return Err(self.is_not(Kind::Enrichment));
        };
        let lease = Lease::new(opening.instance);
        Ok(EnrichmentHandle::new(open(args(opening, &lease)).into_result()?, lease, self.proof()))
    }

    /// Opens a segmentation.
    ///
    /// # Errors
    /// As [`Self::open_source`].
    pub fn open_segmentation(&self, opening: &Opening<'_>) -> Result<SegmentationHandle, Fault> {
        let ROption::RSome(open) = self.raw.open_segmentation() else {
            return Err(self.is_not(Kind::Segmentation));
        };
        let lease = Lease::new(opening.instance);
        Ok(SegmentationHandle::new(open(args(opening, &lease)).into_result()?, lease, self.proof()))
    }

    /// Opens a destination.
    ///
    /// # Errors
    /// As [`Self::open_source`].
    pub fn open_destination(&self, opening: &Opening<'_>) -> Result<DestinationHandle, Fault> {
        let ROption::RSome(open) = self.raw.open_destination() else {
            return Err(self.is_not(Kind::Destination));
        };
        let lease = Lease::new(opening.instance);
        Ok(DestinationHandle::new(open(args(opening, &lease)).into_result()?, lease, self.proof()))
    }

    fn is_not(&self, kind: Kind) -> Fault {
        let (name, is) = (&self.manifest.name, self.manifest.kind.name());
        Fault::unsupported(format!("plugin `{name}` is a {is}, not a {}", kind.name()))
    }
}

fn args(opening: &Opening<'_>, lease: &Lease) -> OpenArgs {
    OpenArgs {
        config_json: opening.config.to_string().into(),
        instance: opening.instance.into(),
        base_dir: opening.base_dir.to_string_lossy().as_ref().into(),
        position: opening.state.clone().map(Into::into).into(),
        host: host::services(),
        ctx: lease.ctx,
        flags: 0,
    }
}

/// Every plugin linked into this binary, sorted by name.
pub fn built_in() -> Vec<Plugin> {
    let mut found: Vec<Plugin> = kindred_plugin_api::abi::registered()
        .into_iter()
        .filter_map(|raw| Plugin::new(raw, Origin::BuiltIn).ok())
        .collect();
    found.sort_by(|a, b| a.manifest.name.cmp(&b.manifest.name));
    found
}

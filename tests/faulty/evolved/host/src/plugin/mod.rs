//! As much of the host's plugin module as its loader needs.

pub mod library;
pub mod lock;

use kindred_plugin_api::{Fault, ReadManifest, abi::raw::PluginRef};
use std::path::PathBuf;

#[derive(Clone)]
pub enum Origin {
    Library { path: PathBuf, sha256: String, pinned: bool },
}

pub struct Plugin {
    pub manifest: ReadManifest,
    pub raw: PluginRef,
}

impl Plugin {
    pub fn new(raw: PluginRef, _origin: Origin) -> Result<Self, Fault> {
        let text = (raw.manifest())();
        let manifest =
            serde_json::from_str(text.as_str()).map_err(|e| Fault::permanent("manifest", e.to_string()))?;
        Ok(Self { manifest, raw })
    }
}

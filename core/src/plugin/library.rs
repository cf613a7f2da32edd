//! Plugin libraries: from a file to plugins that may be opened, with every check that is possible before its code runs.
//!
//! The order is the point. The file is read once, and what was read is what is hashed, compared with `kindred.lock`,
//! parsed and at last loaded, from a sealed copy: a file that changes meanwhile changes nothing. Constructors run
//! inside `dlopen`, so nothing that comes after it can protect the host from the library.
//!
//! A library is never unloaded: its code may still be referred to by batches, threads and the C library's tables.

mod elf;
mod entry;
mod refusal;
mod sealed;

pub use refusal::{LoadError, Refusal};

use super::{Origin, Plugin, lock::Lock};
use kindred_plugin_api::{ReadManifest, abi::raw::PluginRef, manifest::ABI};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    path::Path,
    sync::{Mutex, OnceLock, PoisonError},
};

/// What is known of a library without running any of its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Of the whole file, in hexadecimal.
    pub sha256: String,
    /// Its plugins, in the order of the section.
    pub manifests: Vec<ReadManifest>,
}

/// Loads a library and answers its plugins, in the order of their names; the same bytes a second time answer the
/// same module.
///
/// # Errors
/// A [`Refusal`]; up to and including [`Refusal::NoEntry`] none of the library's code has run.
pub fn load(path: &Path, lock: Option<&Lock>) -> Result<Vec<Plugin>, LoadError> {
    try_load(path, lock).map_err(|refusal| LoadError { path: path.to_owned(), refusal })
}

/// Reads a library's hash and manifests, and refuses it for the same reasons as [`load`], but never runs it.
///
/// # Errors
/// A [`Refusal`].
pub fn inspect(path: &Path) -> Result<Inspected, LoadError> {
    let inspected = || {
        let bytes = read(path)?;
        let manifests = described(&bytes)?;
        Ok(Inspected { sha256: hash(&bytes), manifests })
    };
    inspected().map_err(|refusal| LoadError { path: path.to_owned(), refusal })
}

fn try_load(path: &Path, lock: Option<&Lock>) -> Result<Vec<Plugin>, Refusal> {
    let bytes = read(path)?;
    let sha256 = hash(&bytes);
    let pin = lock.and_then(|lock| lock.pin(path));
    if let Some(pinned) = pin.filter(|pinned| **pinned != sha256) {
        return Err(Refusal::WrongPin { pinned: pinned.to_owned(), found: sha256 });
    }
    let manifests = described(&bytes)?;
    let origin = Origin::Library { path: path.to_owned(), sha256: sha256.clone(), pinned: pin.is_some() };
    let mut plugins = Vec::new();
    for raw in module(&bytes, sha256)? {
        plugins.push(Plugin::new(raw, origin.clone()).map_err(|fault| Refusal::Manifest(fault.message))?);
    }
    plugins.sort_by(|a, b| a.manifest.name.cmp(&b.manifest.name));
    agree(manifests, &plugins)?;
    Ok(plugins)
}

/// The module of these bytes, loaded at most once in the life of the process.
fn module(bytes: &[u8], sha256: String) -> Result<Vec<PluginRef>, Refusal> {
    static LOADED: OnceLock<Mutex<HashMap<String, Vec<PluginRef>>>> = OnceLock::new();
    let mut loaded = LOADED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = loaded.get(&sha256) {
        return Ok(module.clone());
    }
    let library = sealed::open(bytes, &sha256)?;
    let root = entry::root(library)?;
    if !root.unwinds() {
        return Err(Refusal::AbortsOnPanic("its plugins".into()));
    }
    let module: Vec<PluginRef> = (root.plugins())().into();
    loaded.insert(sha256, module.clone());
    Ok(module)
}

fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    if path.is_dir() {
        return Err(Refusal::Unreadable("it is a directory".into()));
    }
    std::fs::read(path).map_err(|e| Refusal::Unreadable(reason(&e)))
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The manifests of a file that this host could run.
fn described(bytes: &[u8]) -> Result<Vec<ReadManifest>, Refusal> {
    let file = elf::parse(bytes)?;
    let manifests = elf::manifests(&file)?;
    for manifest in &manifests {
        if major(&manifest.abi) != major(ABI) {
            return Err(Refusal::OtherMajor { found: manifest.abi.clone() });
        }
        if manifest.panic != "unwind" {
            return Err(Refusal::AbortsOnPanic(format!("`{}`", manifest.name)));
        }
    }
    elf::has_entry(&file)?;
    Ok(manifests)
}

fn major(abi: &str) -> Option<u64> {
    abi.split('.').next()?.parse().ok()
}

/// What stands in the section must be what runs; `plugins` are sorted.
fn agree(mut section: Vec<ReadManifest>, plugins: &[Plugin]) -> Result<(), Refusal> {
    section.sort_by(|a, b| a.name.cmp(&b.name));
    if section.iter().eq(plugins.iter().map(|p| &p.manifest)) {
        return Ok(());
    }
    let running: Vec<ReadManifest> = plugins.iter().map(|p| p.manifest.clone()).collect();
    Err(Refusal::ManifestsDiffer { section: names(&section), running: names(&running) })
}

fn names(manifests: &[ReadManifest]) -> String {
    let names: Vec<String> =
        manifests.iter().map(|m| format!("{} {} ({})", m.name, m.version, m.kind.name())).collect();
    if names.is_empty() { "no plugin".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_by_its_major() {
        assert_eq!(major("1.0"), major(ABI));
        assert_eq!(major("1.17"), major(ABI));
        assert_ne!(major("2.0"), major(ABI));
        assert_ne!(major("one"), major(ABI));
    }

    #[test]
    fn the_hash_is_sha_256() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash(b"abc"), abc, "FIPS 180-4, example of one block");
    }

    #[test]
    fn a_library_that_is_not_there_is_named() {
        let error = load(Path::new("/nowhere/libacme.so"), None).unwrap_err();
        assert_eq!(error.to_string(), "library `/nowhere/libacme.so` cannot be read: there is no such file");
    }
}

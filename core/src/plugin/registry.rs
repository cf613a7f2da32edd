//! Finds plugins by what stands in a pipeline file: the name of a built-in one, the name of an entry of
//! `kindred.lock`, or the path of a library.

use super::{
    FindError, Plugin, Plugins, built_in,
    library::{self, LoadError},
    lock::{FILE, Lock},
};
use crate::near::near;
use kindred_plugin_api::Kind;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Every plugin that can be found, and those that were.
#[derive(Debug, Default)]
pub struct Registry {
    built_in: Vec<Plugin>,
    found: Mutex<HashMap<(PathBuf, String), Plugin>>,
}

impl Registry {
    /// With the built-in plugins.
    pub fn new() -> Self {
        Self { built_in: built_in(), found: Mutex::default() }
    }

    /// The built-in plugins, sorted by name.
    pub fn built_in(&self) -> &[Plugin] {
        &self.built_in
    }

    fn load(&self, name: &str, base_dir: &Path) -> Result<Plugin, FindError> {
        let lock = Lock::read(base_dir).map_err(|e| error(e.to_string(), None))?;
        if let Some((path, member)) = path(name) {
            let found = library::load(&below(base_dir, path), lock.as_ref()).map_err(refused)?;
            return pick(found, path, member);
        }
        let Some(entry) = lock.as_ref().and_then(|lock| lock.entry(name)) else {
            return Err(self.unknown(name, lock.as_ref()));
        };
        let found = library::load(&below(base_dir, &entry.path), lock.as_ref()).map_err(refused)?;
        pick(found, &entry.path.to_string_lossy(), Some(name))
    }

    fn unknown(&self, name: &str, lock: Option<&Lock>) -> FindError {
        let locked = lock.map(Lock::entries).unwrap_or_default().iter().map(|entry| entry.name.as_str());
        let names: Vec<&str> = self.built_in.iter().map(|p| p.manifest.name.as_str()).chain(locked).collect();
        let help = match near(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                format!("known are {}; a library is named by its path, `./lib{name}.so`", names.join(", "))
            }
        };
        error(format!("no plugin `{name}` is built in or in {FILE}"), Some(help))
    }
}

impl Plugins for Registry {
    fn find(&self, name: &str, base_dir: &Path) -> Result<Plugin, FindError> {
        if let Some(plugin) = self.built_in.iter().find(|plugin| plugin.manifest.name == name) {
            return Ok(plugin.clone());
        }
        let key = (base_dir.to_owned(), name.to_owned());
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plugin) = found.get(&key) {
            return Ok(plugin.clone());
        }
        let plugin = self.load(name, base_dir)?;
        found.insert(key, plugin.clone());
        Ok(plugin)
    }

    fn names(&self, kind: Kind) -> Vec<String> {
        let of_kind = self.built_in.iter().filter(|plugin| plugin.manifest.kind == kind);
        of_kind.map(|plugin| plugin.manifest.name.clone()).collect()
    }
}

/// The path in a name, and the plugin behind `#`; none when the name is not a path.
fn path(name: &str) -> Option<(&str, Option<&str>)> {
    if let Some(at) = name.rfind(".so#") {
        return Some((&name[..at + 3], Some(&name[at + 4..])));
    }
    (name.contains('/') || name.ends_with(".so")).then_some((name, None))
}

/// A path without the `.` in `base/./libacme.so`, for messages.
fn below(base_dir: &Path, path: impl AsRef<Path>) -> PathBuf {
    base_dir.join(path).components().collect()
}

/// The plugin that is meant among those of one library.
fn pick(mut found: Vec<Plugin>, path: &str, member: Option<&str>) -> Result<Plugin, FindError> {
    let names = found.iter().map(|p| p.manifest.name.clone()).collect::<Vec<_>>();
    match member {
        None if found.len() == 1 => Ok(found.remove(0)),
        None => Err(error(
            format!("library `{path}` holds {} plugins: {}", found.len(), names.join(", ")),
            names.first().map(|first| format!("name one of them: `{path}#{first}`")),
        )),
        Some(member) => found.into_iter().find(|p| p.manifest.name == member).ok_or_else(|| {
            error(
                format!("library `{path}` holds no plugin `{member}`"),
                Some(format!("it holds {}", names.join(", "))),
            )
        }),
    }
}

fn refused(refusal: LoadError) -> FindError {
    if let Some(detail) = refusal.detail() {
        crate::log::debug(detail);
    }
    error(refusal.to_string(), refusal.help())
}

fn error(message: String, help: Option<String>) -> FindError {
    FindError { message, help }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_names() {
        assert_eq!(path("cookies"), None);
        assert_eq!(path("acme.source"), None);
        assert_eq!(path("libacme.so"), Some(("libacme.so", None)));
        assert_eq!(path("./lib/acme"), Some(("./lib/acme", None)));
        assert_eq!(path("./libacme.so#out"), Some(("./libacme.so", Some("out"))));
        assert_eq!(path("./v1.so#2/libacme.so#out"), Some(("./v1.so#2/libacme.so", Some("out"))));
    }

    #[test]
    fn an_unknown_name_is_answered_with_what_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let hash = "0".repeat(64);
        let text = format!(
            "version = 1\n[[plugin]]\nname = \"acme-dsp\"\npath = \"./libacme.so\"\nsha256 = \"{hash}\"\nabi = \"1.0\""
        );
        std::fs::write(dir.path().join(FILE), text).unwrap();
        let registry = Registry::default();
        let near = registry.find("acme-dps", dir.path()).unwrap_err();
        assert_eq!(near.message, "no plugin `acme-dps` is built in or in kindred.lock");
        assert_eq!(near.help.as_deref(), Some("did you mean `acme-dsp`?"));
        let far = registry.find("zebra", dir.path()).unwrap_err();
        assert!(far.help.unwrap().starts_with("known are acme-dsp;"));
        let missing = registry.find("acme-dsp", dir.path()).unwrap_err();
        assert!(
            missing.message.ends_with("libacme.so` cannot be read: there is no such file"),
            "{missing:?}"
        );
    }

    #[test]
    fn a_broken_lock_stops_the_search() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "version = 9").unwrap();
        let error = Registry::default().find("./libacme.so", dir.path()).unwrap_err();
        assert!(error.message.contains("is of version 9"), "{error:?}");
    }
}

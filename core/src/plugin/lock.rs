//! `kindred.lock`, beside the pipeline file: which bytes each plugin library must have.
//!
//! ```toml
//! version = 1
//!
//! [[plugin]]
//! name = "acme"
//! path = "./libacme.so"
//! sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
//! abi = "1.0"
//! ```

use super::library::{self, LoadError};
use crate::disk::sync_folder;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

/// Name of the file.
pub const FILE: &str = "kindred.lock";
const VERSION: u32 = 1;

/// The pinned plugins of one folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    dir: PathBuf,
    entries: Vec<Entry>,
}

/// One pinned plugin. A library with several plugins has as many entries, with the same path and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Name in pipeline files.
    pub name: String,
    /// Its library; a relative path starts from the folder of the lock.
    pub path: PathBuf,
    /// SHA-256 of the library, 64 lowercase hexadecimal digits.
    pub sha256: String,
    /// Boundary version that it was built for.
    pub abi: String,
}

/// A lock file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It is there, but cannot be read or written.
    #[error("`{}` cannot be used: {why}", .path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The system's words.
        why: std::io::Error,
    },
    /// It can be read, but not understood.
    #[error("`{}` {why}", .path.display())]
    Invalid {
        /// The lock file.
        path: PathBuf,
        /// What was found and what is allowed; reads on behind the path.
        why: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u32,
    #[serde(default)]
    plugin: Vec<Entry>,
}

#[derive(Deserialize)]
struct Versioned {
    version: Option<toml::Value>,
}

impl Lock {
    /// The lock of a folder; none where there is none.
    ///
    /// # Errors
    /// When the file cannot be read, is of another version, has unknown fields, or contradicts itself.
    pub fn read(dir: &Path) -> Result<Option<Self>, LockError> {
        let path = dir.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(LockError::Io { path, why }),
        };
        match parse(&text) {
            Ok(entries) => Ok(Some(Self { dir: dir.to_owned(), entries })),
            Err(why) => Err(LockError::Invalid { path, why }),
        }
    }

    /// A lock for a folder that pins these libraries as they are now; relative paths start from the folder. No code
    /// of theirs runs.
    ///
    /// # Errors
    /// The first library that could not be loaded either.
    pub fn of<P: AsRef<Path>>(dir: &Path, libraries: &[P]) -> Result<Self, LoadError> {
        let mut entries: Vec<Entry> = Vec::new();
        for path in libraries.iter().map(AsRef::as_ref) {
            let inspected = library::inspect(&dir.join(path))?;
            entries.extend(inspected.manifests.into_iter().map(|manifest| Entry {
                name: manifest.name,
                path: path.to_owned(),
                sha256: inspected.sha256.clone(),
                abi: manifest.abi,
            }));
        }
        entries.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
        entries.dedup();
        Ok(Self { dir: dir.to_owned(), entries })
    }

    /// Writes `kindred.lock`: all of it, durably, or nothing.
    ///
    /// # Errors
    /// When two libraries claim one name, or the folder cannot be written.
    pub fn write(&self) -> Result<(), LockError> {
        let path = self.dir.join(FILE);
        let invalid = |why| LockError::Invalid { path: path.clone(), why };
        unambiguous(&self.entries).map_err(invalid)?;
        let text = toml::to_string(&Text { version: VERSION, plugin: self.entries.clone() })
            .map_err(|e| invalid(format!("cannot be made: {e}")))?;
        replace(&path, &text).map_err(|why| LockError::Io { path: path.clone(), why })
    }

    /// The pinned plugins, sorted by name when made by [`Self::of`].
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The plugin of this name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The hash that the library at `path` must have; none where it is not pinned. Two paths are the same when they
    /// lead to the same file.
    pub fn pin(&self, path: &Path) -> Option<&str> {
        let wanted = resolved(path);
        let entry = self.entries.iter().find(|entry| resolved(&self.library(entry)) == wanted);
        entry.map(|entry| entry.sha256.as_str())
    }

    /// Where the library of an entry is.
    pub fn library(&self, entry: &Entry) -> PathBuf {
        self.dir.join(&entry.path)
    }
}

fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let unreadable = |e: toml::de::Error| format!("cannot be understood: {}", e.to_string().trim_end());
    // The version first, so that a later format is called that and not a list of unknown fields.
    match toml::from_str::<Versioned>(text).map_err(unreadable)?.version {
        Some(toml::Value::Integer(version)) if version == i64::from(VERSION) => {}
        Some(other) => return Err(format!("is of version {other}, this host reads version {VERSION}")),
        None => return Err(format!("has no `version`; this host reads version {VERSION}")),
    }
    let entries = toml::from_str::<Text>(text).map_err(unreadable)?.plugin;
    for entry in &entries {
        let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if entry.sha256.len() != 64 || !entry.sha256.bytes().all(hexadecimal) {
            let Entry { name, sha256, .. } = entry;
            return Err(format!("pins `{name}` to `{sha256}`, which is not 64 lowercase hexadecimal digits"));
        }
    }
    unambiguous(&entries)?;
    Ok(entries)
}

/// One library a name, one hash a library.
fn unambiguous(entries: &[Entry]) -> Result<(), String> {
    for (index, a) in entries.iter().enumerate() {
        for b in &entries[..index] {
            if a.name == b.name {
                let (a_path, b_path) = (a.path.display(), b.path.display());
                return Err(format!("pins `{}` twice: at `{b_path}` and at `{a_path}`", a.name));
            }
            if a.path == b.path && a.sha256 != b.sha256 {
                return Err(format!("pins `{}` to two different hashes", a.path.display()));
            }
        }
    }
    Ok(())
}

/// A reader finds the old file or the new one, also after a power cut.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let new = path.with_extension(format!("lock.{}", std::process::id()));
    let written = File::create(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written?;
    sync_folder(path.parent().unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn entry(name: &str, path: &str) -> Entry {
        Entry { name: name.into(), path: path.into(), sha256: HASH.into(), abi: "1.0".into() }
    }

    #[test]
    fn what_was_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Lock::read(dir.path()).unwrap(), None);
        let entries = vec![entry("acme", "./libacme.so"), entry("acme-out", "./libacme.so")];
        let lock = Lock { dir: dir.path().to_owned(), entries };
        lock.write().unwrap();
        assert_eq!(Lock::read(dir.path()).unwrap().as_ref(), Some(&lock));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
        assert_eq!(lock.entry("acme-out").unwrap().path, Path::new("./libacme.so"));
        assert_eq!(lock.entry("other"), None);
    }

    #[test]
    fn a_library_is_found_by_any_path_to_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("libacme.so"), "").unwrap();
        std::os::unix::fs::symlink("libacme.so", dir.path().join("link.so")).unwrap();
        let lock = Lock { dir: dir.path().to_owned(), entries: vec![entry("acme", "./libacme.so")] };
        assert_eq!(lock.pin(&dir.path().join("libacme.so")), Some(HASH));
        assert_eq!(lock.pin(&dir.path().join("./libacme.so")), Some(HASH));
        assert_eq!(lock.pin(&dir.path().join("link.so")), Some(HASH));
        assert_eq!(lock.pin(&dir.path().join("other.so")), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let valid = toml::to_string(&entry("acme", "a.so")).unwrap();
        let cases = [
            ("", "has no `version`"),
            ("version = 2\nother = 1", "is of version 2, this host reads version 1"),
            ("version = \"1\"", "is of version \"1\""),
            ("version = 1\nextra = true", "unknown field `extra`"),
            ("version = 1\n[[plugin]]\nname = \"acme\"", "missing field `path`"),
            (&format!("version = 1\n[[plugin]]\n{valid}size = 3"), "unknown field `size`"),
            (
                &format!("version = 1\n[[plugin]]\n{}", valid.replace("9f86", "9F86")),
                "64 lowercase hexadecimal",
            ),
            (&format!("version = 1\n[[plugin]]\n{valid}[[plugin]]\n{valid}"), "pins `acme` twice"),
            ("version = [", "cannot be understood"),
        ];
        for (text, expected) in cases {
            let error = parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

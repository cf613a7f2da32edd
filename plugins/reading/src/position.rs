//! How far each file has been read: the position that the host stores and hands back.
//!
//! A file is known by its name and its *head*, a hash of its first 4 KiB. A Parquet file is never appended to, so its
//! head covers its last 4 KiB (the footer) and its size too. Of an object the store tells more: its e-tag.

use crate::{
    files::{File, Format},
    input::{Input, unreadable},
};
use kindred_objects::Version;
use kindred_plugin_api::{Fault, Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io};
use xxhash_rust::xxh3::Xxh3Default;

const HEAD: u64 = 4096;

/// All files that were begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    files: BTreeMap<String, Progress>,
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Hash of the head.
    head: String,
    /// Bytes of the head, less than 4 KiB for a small file.
    head_bytes: u64,
    /// Where to go on.
    #[serde(flatten)]
    pub(crate) mark: Mark,
    /// Once it was read to its end: its size then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done_bytes: Option<u64>,
    /// Which it was, for an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    object: Option<Version>,
}

/// A place between two rows of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Rows before it.
    pub(crate) rows: u64,
    /// Bytes before it, where the file can be entered there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<u64>,
}

impl Position {
    /// From the bytes that [`Position::to_bytes`] made.
    ///
    /// # Errors
    /// PERMANENT for other bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|error| {
            Fault::permanent("position", format!("the stored position is not one of files: {error}"))
        })
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Fault::permanent("position", error.to_string()))
    }

    /// True when the object of this name has been read to its end as it is listed.
    pub(crate) fn has_all_of(&self, name: &str, listed: &Version) -> bool {
        let known = self.files.get(name).filter(|known| known.done_bytes.is_some());
        known.is_some_and(|known| known.object.as_ref() == Some(listed))
    }

    /// What is left of a file: where to go on, or nothing.
    ///
    /// # Errors
    /// TRANSIENT when it cannot be read.
    pub(crate) fn rest_of(&self, file: &File, input: &Input) -> Result<Option<Progress>> {
        let fail = |error: io::Error| unreadable(&file.name, &error);
        let size = input.size().map_err(fail)?;
        let head = |bytes| head(input, file.format, bytes, size).map_err(fail);
        let object = input.version().cloned();
        if let Some(known) = self.files.get(&file.name) {
            // An object is never appended to but written anew; if that did not make it longer, it is another one.
            let anew = |was: &Version| object.as_ref() != Some(was) && size <= was.bytes;
            let same = !known.object.as_ref().is_some_and(anew)
                && size >= known.head_bytes
                && head(known.head_bytes)? == known.head;
            match known.done_bytes {
                Some(done) if same && size == done => return Ok(None),
                Some(done) if same && size > done => {
                    return Ok(Some(Progress { done_bytes: None, object, ..known.clone() }));
                }
                None if same => return Ok(Some(Progress { object, ..known.clone() })),
                _ => {}
            }
        }
        let head_bytes = size.min(HEAD);
        Ok(Some(Progress { head: head(head_bytes)?, head_bytes, object, ..Progress::default() }))
    }

    /// Records how far `file` has been read, and its size when that is the end.
    pub(crate) fn set(&mut self, file: &File, begun: &Progress, mark: Mark, done_bytes: Option<u64>) {
        self.files.insert(file.name.clone(), Progress { mark, done_bytes, ..begun.clone() });
    }
}

impl Progress {
    /// Tells this file from others: of its name and its head, in hexadecimal.
    pub(crate) fn fingerprint(&self, name: &str) -> String {
        let mut hash = Xxh3Default::new();
        hash.update(name.as_bytes());
        hash.update(self.head.as_bytes());
        format!("{:016x}", hash.digest())
    }
}

fn head(input: &Input, format: Format, head_bytes: u64, size: u64) -> io::Result<String> {
    let mut hash = Xxh3Default::new();
    let mut bytes = input.bytes(0, head_bytes)?;
    if format == Format::Parquet {
        bytes.extend(input.bytes(size.saturating_sub(HEAD), HEAD)?);
        hash.update(&size.to_le_bytes());
    }
    hash.update(&bytes);
    Ok(format!("{:032x}", hash.digest128()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Place;

    fn file(dir: &tempfile::TempDir, text: &str) -> File {
        let path = dir.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        File { name: "a.csv".into(), place: Place::Path(path), format: Format::Csv }
    }

    fn rest(position: &Position, file: &File) -> Option<Progress> {
        position.rest_of(file, &file.place.enter().unwrap().unwrap()).unwrap()
    }

    #[test]
    fn a_finished_file_is_read_again_only_where_it_grew() {
        let dir = tempfile::tempdir().unwrap();
        let mut position = Position::default();
        let a = file(&dir, "x\n1\n");
        let begun = rest(&position, &a).unwrap();
        assert_eq!(begun.mark, Mark::default());
        let mark = Mark { rows: 1, offset: Some(4) };
        position.set(&a, &begun, mark, Some(4));
        let position = Position::from_bytes(&position.to_bytes().unwrap()).unwrap();

        assert_eq!(rest(&position, &a), None);
        let grown = rest(&position, &file(&dir, "x\n1\n2\n")).unwrap();
        assert_eq!(grown.mark, mark);
        assert_eq!(grown.fingerprint("a.csv"), begun.fingerprint("a.csv"));
        let other = rest(&position, &file(&dir, "y\n1\n2\n")).unwrap();
        assert_eq!(other.mark, Mark::default());
        let cut = rest(&position, &file(&dir, "x\n")).unwrap();
        assert_eq!(cut.mark, Mark::default());
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert!(Position::from_bytes(b"7").unwrap_err().message.contains("not one of files"));
    }
}

//! How far each file has been read: the position that the host stores and hands back.
//!
//! A file is known by its name and its *head*, a hash of its first 4 KiB. A Parquet file is never appended to, so its
//! head covers its last 4 KiB (the footer) and its size too.

use crate::files::{File, Format, unreadable};
use kindred_plugin_api::{Fault, Result};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::{Read, Seek, SeekFrom},
};
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

    /// What is left of a file: where to go on, or nothing.
    ///
    /// # Errors
    /// TRANSIENT when it cannot be read.
    pub(crate) fn rest_of(&self, file: &File) -> Result<Option<Progress>> {
        let size = file.path.metadata().map_err(|error| unreadable(&file.name, &error))?.len();
        if let Some(known) = self.files.get(&file.name) {
            let same = size >= known.head_bytes && head(file, known.head_bytes, size)? == known.head;
            match known.done_bytes {
                Some(done) if same && size == done => return Ok(None),
                Some(done) if same && size > done => {
                    return Ok(Some(Progress { done_bytes: None, ..known.clone() }));
                }
                None if same => return Ok(Some(known.clone())),
                _ => {}
            }
        }
        let head_bytes = size.min(HEAD);
        Ok(Some(Progress { head: head(file, head_bytes, size)?, head_bytes, ..Progress::default() }))
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

fn head(file: &File, head_bytes: u64, size: u64) -> Result<String> {
    let read = || -> std::io::Result<String> {
        let mut hash = Xxh3Default::new();
        let mut input = std::fs::File::open(&file.path)?;
        let mut bytes = Vec::new();
        input.by_ref().take(head_bytes).read_to_end(&mut bytes)?;
        if file.format == Format::Parquet {
            input.seek(SeekFrom::Start(size.saturating_sub(HEAD)))?;
            input.take(HEAD).read_to_end(&mut bytes)?;
            hash.update(&size.to_le_bytes());
        }
        hash.update(&bytes);
        Ok(format!("{:032x}", hash.digest128()))
    };
    read().map_err(|error| unreadable(&file.name, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &tempfile::TempDir, text: &str) -> File {
        let path = dir.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        File { name: "a.csv".into(), path, format: Format::Csv }
    }

    #[test]
    fn a_finished_file_is_read_again_only_where_it_grew() {
        let dir = tempfile::tempdir().unwrap();
        let mut position = Position::default();
        let a = file(&dir, "x\n1\n");
        let begun = position.rest_of(&a).unwrap().unwrap();
        assert_eq!(begun.mark, Mark::default());
        let mark = Mark { rows: 1, offset: Some(4) };
        position.set(&a, &begun, mark, Some(4));
        let position = Position::from_bytes(&position.to_bytes().unwrap()).unwrap();

        assert_eq!(position.rest_of(&a).unwrap(), None);
        let grown = position.rest_of(&file(&dir, "x\n1\n2\n")).unwrap().unwrap();
        assert_eq!(grown.mark, mark);
        assert_eq!(grown.fingerprint("a.csv"), begun.fingerprint("a.csv"));
        let other = position.rest_of(&file(&dir, "y\n1\n2\n")).unwrap().unwrap();
        assert_eq!(other.mark, Mark::default());
        let cut = position.rest_of(&file(&dir, "x\n")).unwrap().unwrap();
        assert_eq!(cut.mark, Mark::default());
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert!(Position::from_bytes(b"7").unwrap_err().message.contains("not one of files"));
    }
}

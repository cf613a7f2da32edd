//! A folder of files and a small mapping over it.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "a module of test binaries")]

use arrow::{
    array::{Array, RecordBatch},
    util::display::array_value_to_string,
};
use kindred_plugin_api::{Context, Poll, Reject, Result, Rows, options};
use kindred_reading::*;
use std::{io::Write, path::PathBuf};

pub struct Folder(pub tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn with(name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let folder = Self::new();
        folder.put(name, bytes);
        folder
    }

    pub fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn context(&self) -> Context {
        Context::detached(self.0.path())
    }

    pub fn open(&self, files: &Files, mapping: &Mapping, state: Option<Vec<u8>>) -> Result<FileSource> {
        FileSource::open(files, mapping, self.context().with_state(state))
    }

    /// All rows and rejects of one read.
    pub fn read(&self, files: &Files, mapping: &Mapping) -> Result<(Vec<RecordBatch>, Vec<Reject>)> {
        let mut source = self.open(files, mapping, None)?;
        let (mut batches, mut rejects) = (Vec::new(), Vec::new());
        while let Poll::Rows(rows) = source.poll(1000)? {
            batches.push(rows.batch);
            rejects.extend(rows.rejects);
        }
        Ok((batches, rejects))
    }
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub fn files(path: &str) -> Files {
    Files { path: path.into(), ..Files::default() }
}

/// `id.cookie` from `id`, no event, property `x` from `x` of a type.
pub fn mapping(kind: Option<Type>) -> Mapping {
    let mut mapping = Mapping::default();
    mapping.add_identifiers("/identifiers", &options::parse(r#"{ "cookie": "id" }"#).unwrap());
    let spec = ValueSpec { column: Some("x".into()), kind, ..ValueSpec::default() };
    mapping.values.push(Field::new("x", "/properties/x", spec));
    mapping
}

pub fn rows(poll: Poll) -> Option<Rows> {
    match poll {
        Poll::Rows(rows) => Some(rows),
        _ => None,
    }
}

/// The values of a column as text.
pub fn column(batches: &[RecordBatch], name: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for batch in batches {
        let column = batch.column_by_name(name).unwrap();
        for row in 0..batch.num_rows() {
            let text = if column.is_null(row) {
                "∅".to_owned()
            } else {
                array_value_to_string(column, row).unwrap()
            };
            texts.push(text);
        }
    }
    texts
}

pub fn codes(rejects: &[Reject]) -> Vec<(u64, &str)> {
    rejects.iter().map(|reject| (reject.row, reject.code.as_str())).collect()
}

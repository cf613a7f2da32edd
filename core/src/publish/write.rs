//! One Parquet file of a published table: counted, hashed and synced.

use super::manifest::{File, Table};
use crate::{Error, Result};
use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::Xxh3Default;

/// Rows of a row group: what a reader with a filter can leave out.
const ROW_GROUP: usize = 131_072;

/// A file that is opened by its first row.
pub(super) struct Writing {
    path: String,
    whole: PathBuf,
    table: Table,
    bucket: u32,
    schema: SchemaRef,
    rows: u64,
    writer: Option<ArrowWriter<Hashed>>,
}

impl Writing {
    pub(super) fn new(dir: &Path, generation: &str, table: Table, bucket: u32, schema: SchemaRef) -> Self {
        let path = format!("{generation}/{}/{bucket:04}.parquet", table.name());
        Self { whole: dir.join(&path), path, table, bucket, schema, rows: 0, writer: None }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows() as u64;
        self.open()?.write(batch).map_err(columns)
    }

    fn open(&mut self) -> Result<&mut ArrowWriter<Hashed>> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let file = fs::File::create(&self.whole).map_err(Error::io(&self.whole))?;
                let hashed = Hashed { file, hash: Xxh3Default::new(), bytes: 0 };
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_row_count(Some(ROW_GROUP))
                    .build();
                ArrowWriter::try_new(hashed, self.schema.clone(), Some(properties)).map_err(columns)?
            }
        };
        Ok(self.writer.insert(writer))
    }

    /// Ends and syncs the file; none where there was nothing to write, unless it is a table's first.
    pub(super) fn finish(mut self) -> Result<Option<File>> {
        if self.rows == 0 && self.bucket > 0 {
            return Ok(None);
        }
        self.open()?;
        let Some(writer) = self.writer else { return Ok(None) };
        let hashed = writer.into_inner().map_err(columns)?;
        hashed.file.sync_all().map_err(Error::io(&self.whole))?;
        Ok(Some(File {
            path: self.path,
            bucket: self.bucket,
            rows: self.rows,
            bytes: hashed.bytes,
            xxh3: format!("{:016x}", hashed.hash.digest()),
        }))
    }
}

impl std::fmt::Debug for Writing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {:?}", self.path, self.table)
    }
}

/// What goes to the file goes through the hash.
struct Hashed {
    file: fs::File,
    hash: Xxh3Default,
    bytes: u64,
}

impl io::Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

pub(super) fn columns(error: ParquetError) -> Error {
    Error::Arrow(ArrowError::from(error))
}

/// Makes the names of a generation's files durable.
pub(super) fn sync_folders(dir: &Path, generation: &str) -> Result<()> {
    let whole = dir.join(generation);
    Table::ALL.iter().try_for_each(|table| sync_folder(&whole.join(table.name())))?;
    sync_folder(&whole)?;
    sync_folder(dir)
}

pub(super) fn sync_folder(dir: &Path) -> Result<()> {
    fs::File::open(dir).and_then(|d| d.sync_all()).map_err(Error::io(dir))
}

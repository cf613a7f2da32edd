//! Rows of Parquet files: only the asked columns, row group by row group, row groups that were read before not at all.

use crate::{
    chunk::{Chunk, Header, Reader},
    files::File,
    input::{Input, Stream, unreadable},
    position::Mark,
};
use arrow::{
    array::{ArrayRef, RecordBatch, new_null_array},
    compute::concat_batches,
    datatypes::{DataType, SchemaRef},
};
use bytes::Bytes;
use kindred_objects::Blocks;
use kindred_plugin_api::{Fault, Result};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
            ParquetRecordBatchReaderBuilder,
        },
    },
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};
use std::sync::Arc;

/// Rows that are decoded at once when polls are small, and the most that are when they are large.
const BATCH_ROWS: std::ops::RangeInclusive<usize> = 1024..=131_072;

/// One Parquet file.
pub(crate) struct ParquetReader {
    name: String,
    bytes: Bytewise,
    metadata: ArrowReaderMetadata,
    input: Option<ParquetRecordBatchReader>,
    pending: Option<RecordBatch>,
    /// Place of each asked column in the file.
    asked: Vec<Option<usize>>,
    rows: u64,
    total: u64,
    size: u64,
}

/// Opens a Parquet file at `mark` for some columns. An empty file has no header.
///
/// # Errors
/// PERMANENT for a file that is not complete, TRANSIENT when it cannot be read.
pub(crate) fn open(
    (file, input): (&File, &Input),
    columns: &[String],
    mark: Mark,
) -> Result<Option<(ParquetReader, Header)>> {
    let bytes = Bytewise::open(input, columns.len()).map_err(|error| unreadable(&file.name, &error))?;
    let size = bytes.len();
    if size == 0 {
        return Ok(None);
    }
    let metadata = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new())
        .map_err(|error| bytes.fault(|| format!("`{}` is no complete Parquet file: {error}", file.name)))?;
    let fields = metadata.schema().fields();
    let header = Header {
        names: fields.iter().map(|field| field.name().clone()).collect(),
        types: Some(fields.iter().map(|field| field.data_type().clone()).collect()),
    };
    let total = u64::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or(0);
    let reader = ParquetReader {
        name: file.name.clone(),
        bytes,
        asked: columns.iter().map(|column| header.find(column).ok().flatten()).collect(),
        metadata,
        input: None,
        pending: None,
        rows: mark.rows.min(total),
        total,
        size,
    };
    Ok(Some((reader, header)))
}

impl Reader for ParquetReader {
    fn next(&mut self, max: usize) -> Result<Chunk> {
        let mut parts = Vec::new();
        let mut missing = max.min(usize::try_from(self.total - self.rows).unwrap_or(max));
        let length = missing;
        while missing > 0 {
            let batch = match self.pending.take() {
                Some(batch) => batch,
                None => self.decode(max)?,
            };
            let taken = missing.min(batch.num_rows());
            if taken < batch.num_rows() {
                self.pending = Some(batch.slice(taken, batch.num_rows() - taken));
            }
            missing -= taken;
            parts.push(batch.slice(0, taken));
        }
        let first = self.rows + 1;
        self.rows += length as u64;
        Ok(Chunk {
            odd: Vec::new(),
            columns: self.columns(&parts, length)?,
            rows: (first..=self.rows).collect(),
            raw: None,
            rejects: Vec::new(),
            end: self.rows == self.total,
        })
    }

    fn mark(&self) -> Mark {
        Mark { rows: self.rows, offset: None }
    }

    fn bytes(&self) -> u64 {
        self.size
    }

    fn passed(&self) -> u64 {
        self.size / self.total.max(1) * self.rows
    }

    fn backlog(&self) -> u64 {
        self.total - self.rows
    }
}

impl ParquetReader {
    /// The next batch of the projected columns, never empty.
    fn decode(&mut self, max: usize) -> Result<RecordBatch> {
        let (name, bytes, rows) = (&self.name, &self.bytes, self.rows);
        let fail =
            |error: String| bytes.fault(|| format!("`{name}` cannot be read on behind row {rows}: {error}"));
        let input = match &mut self.input {
            Some(input) => input,
            none => none.insert(enter(bytes, &self.metadata, &self.asked, rows, max).map_err(fail)?),
        };
        match input.next() {
            Some(batch) => batch.map_err(|error| fail(error.to_string())),
            None => Err(fail(format!("it holds fewer rows than the {} that it declares", self.total))),
        }
    }

    /// The asked columns of some batches.
    fn columns(&self, parts: &[RecordBatch], rows: usize) -> Result<Vec<ArrayRef>> {
        let whole = match parts {
            [] => None,
            [one] => Some(one.clone()),
            many => Some(concat_batches(&many[0].schema(), many)?),
        };
        let projected = projection(&self.asked);
        let column = |asked: &Option<usize>| -> ArrayRef {
            let place = asked.and_then(|place| projected.binary_search(&place).ok());
            match (place, &whole) {
                (Some(place), Some(batch)) => Arc::clone(batch.column(place)),
                (Some(place), None) => {
                    new_null_array(self.schema().field(projected[place]).data_type(), rows)
                }
                (None, _) => new_null_array(&DataType::Utf8, rows),
            }
        };
        Ok(self.asked.iter().map(column).collect())
    }

    fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }
}

/// The places of the asked columns, sorted, each once.
fn projection(asked: &[Option<usize>]) -> Vec<usize> {
    let mut places: Vec<usize> = asked.iter().flatten().copied().collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// A reader behind the first `rows` rows.
fn enter(
    bytes: &Bytewise,
    metadata: &ArrowReaderMetadata,
    asked: &[Option<usize>],
    rows: u64,
    max: usize,
) -> Result<ParquetRecordBatchReader, String> {
    let groups = metadata.metadata().row_groups();
    let (mut first, mut skipped) = (0, 0);
    while let Some(group) = groups.get(first) {
        let after = skipped + u64::try_from(group.num_rows()).unwrap_or(0);
        if after > rows {
            break;
        }
        (first, skipped) = (first + 1, after);
    }
    let mask = ProjectionMask::roots(metadata.parquet_schema(), projection(asked));
    ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), metadata.clone())
        .with_projection(mask)
        .with_row_groups((first..groups.len()).collect())
        .with_offset(usize::try_from(rows - skipped).unwrap_or(usize::MAX))
        .with_batch_size(max.clamp(*BATCH_ROWS.start(), *BATCH_ROWS.end()))
        .build()
        .map_err(|error| error.to_string())
}

/// The bytes of a file, wherever the reader wants some.
#[derive(Clone)]
enum Bytewise {
    File(Arc<std::fs::File>, u64),
    Object(Blocks),
}

impl Bytewise {
    fn open(input: &Input, columns: usize) -> std::io::Result<Self> {
        Ok(match input {
            Input::Path(path) => {
                let file = std::fs::File::open(path)?;
                let size = file.metadata()?.len();
                Self::File(Arc::new(file), size)
            }
            Input::Object(entered) => Self::Object(Blocks::new(entered.clone(), columns)),
        })
    }

    /// What the store said when reading failed, or that the file is broken.
    fn fault(&self, broken: impl FnOnce() -> String) -> Fault {
        let said = match self {
            Self::File(..) => None,
            Self::Object(blocks) => blocks.fault(),
        };
        said.unwrap_or_else(|| Fault::permanent("parquet", broken()))
    }
}

impl Length for Bytewise {
    fn len(&self) -> u64 {
        match self {
            Self::File(_, size) => *size,
            Self::Object(blocks) => blocks.len(),
        }
    }
}

impl ChunkReader for Bytewise {
    type T = Stream;

    fn get_read(&self, start: u64) -> Result<Stream, ParquetError> {
        Ok(match self {
            Self::File(file, _) => Box::new(file.get_read(start)?),
            Self::Object(blocks) => Box::new(blocks.read_from(start)),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = match self {
            Self::File(file, _) => return file.get_bytes(start, length),
            Self::Object(blocks) => blocks.bytes(start, length)?,
        };
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!(
                "{length} bytes at {start} are asked for, {} are there",
                bytes.len()
            )));
        }
        Ok(bytes)
    }
}

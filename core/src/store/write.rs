//! Writes a file of events, block by block, and says where everything lies in it.

use super::{
    block::{Head, Index, Piece},
    files::{Content, Entry, Files, Layout, Source},
    page,
    tables::{Change, Tables},
    widths::Width,
};
use crate::{Error, Result};
use arrow::{
    array::{Array, ArrayRef, ListArray, RecordBatch, StructArray, UInt32Array},
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, Fields, Schema, SchemaRef},
    ipc::{root_as_message, writer::FileWriter},
};
use std::{fs::File, io::Write, path::PathBuf, sync::Arc};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a message before its metadata: a mark, and the length of the metadata.
const PREFIX: usize = 8;
/// Buffers of a block before those of its columns: bitmap and values of the profiles, bitmap and offsets of their lists,
/// bitmap of the events.
const HEAD_BUFFERS: usize = 5;

/// A file of events in the making.
pub(super) struct Writer {
    name: String,
    path: PathBuf,
    file: File,
    /// Holds one block at a time.
    out: FileWriter<Vec<u8>>,
    schema: SchemaRef,
    events: Fields,
    written: u64,
    layout: Layout,
}

impl Writer {
    /// Creates the file.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn create(files: &mut Files, columns: Vec<(String, Width)>) -> Result<Self> {
        let (name, path, file) = files.create(Content::Events)?;
        let field = |(name, width): &(String, Width)| Field::new(name, width.arrow(), true);
        let events: Fields = columns.iter().map(field).collect();
        let schema = Arc::new(Schema::new(vec![
            Field::new("profile", DataType::UInt32, false),
            Field::new("events", DataType::List(item(&events)), false),
        ]));
        let out = FileWriter::try_new(Vec::new(), &schema)?;
        let layout = Layout { columns, blocks: Vec::new() };
        Ok(Self { name, path, file, out, schema, events, written: 0, layout })
    }

    /// Adds a block; the columns are of the file's widths.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn write(&mut self, head: &Head, columns: Vec<ArrayRef>, times_us: (i64, i64)) -> Result<()> {
        let events = StructArray::try_new(self.events.clone(), columns, None)?;
        let rows = events.len();
        let offsets = OffsetBuffer::new(head.offsets.clone());
        let list = ListArray::try_new(item(&self.events), offsets, Arc::new(events), None)?;
        let profiles = UInt32Array::new(head.profiles.clone(), None);
        let batch = RecordBatch::try_new(self.schema.clone(), vec![Arc::new(profiles), Arc::new(list)])?;
        // Before the first block there is what the file begins with.
        let message = self.out.get_ref().len();
        self.out.write(&batch)?;
        let ends = [head.profiles.first(), head.profiles.last()].map(|p| page(p.copied().unwrap_or(0)));
        let (head_piece, offsets, columns) = pieces(self.out.get_ref(), message, self.written)?;
        self.layout.blocks.push(Index {
            pages: (ends[0], ends[1]),
            profiles: head.profiles.len() as u32,
            events: rows as u32,
            times_us,
            head: head_piece,
            offsets,
            columns,
        });
        self.flush().map(|_| ())
    }

    /// Ends the file, and names it in the change.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn finish(
        mut self,
        files: &mut Files,
        tables: &Tables,
        change: &mut Change,
    ) -> Result<(String, Layout, Source)> {
        self.out.finish()?;
        let checksum = self.flush()?;
        let rows = self.layout.blocks.iter().map(|block| u64::from(block.events)).sum();
        let layout = self.layout.clone();
        let entry =
            Entry { layout: self.layout, ..Entry::new(Content::Events, self.written, checksum, rows) };
        files.name(tables, change, &self.name, &self.file, entry)?;
        Ok((self.name, layout, Source::new(self.path, self.file)))
    }

    /// Writes what has gathered; answers its checksum.
    fn flush(&mut self) -> Result<u64> {
        let mut bytes = std::mem::take(self.out.get_mut());
        self.file.write_all(&bytes).map_err(Error::io(&self.path))?;
        self.written += bytes.len() as u64;
        let checksum = xxh3_64(&bytes);
        bytes.clear();
        *self.out.get_mut() = bytes;
        Ok(checksum)
    }
}

/// Where the parts of a block lie: its head, the offsets in it, and each column. The block is what `bytes` has from
/// `message` on, and `start` is where the bytes begin in the file.
fn pieces(bytes: &[u8], message: usize, start: u64) -> Result<(Piece, u64, Vec<Piece>)> {
    let strange = |what: &str| Error::Column(format!("a block was written in another shape: {what}"));
    let metadata = message + PREFIX;
    let length = bytes.get(message + 4..metadata).and_then(|length| length.try_into().ok());
    let body = metadata + u32::from_le_bytes(length.ok_or_else(|| strange("length"))?) as usize;
    let parsed = bytes.get(metadata..body).ok_or_else(|| strange("metadata"))?;
    let parsed = root_as_message(parsed).map_err(|e| strange(&e.to_string()))?;
    let buffers = parsed.header_as_record_batch().and_then(|batch| batch.buffers());
    let buffers = buffers.ok_or_else(|| strange("buffers"))?;
    let mut places: Vec<usize> = buffers.iter().map(|buffer| body + buffer.offset() as usize).collect();
    // Each column has two buffers, and ends where the next one begins.
    if places.len() < HEAD_BUFFERS || !(places.len() - HEAD_BUFFERS).is_multiple_of(2) {
        return Err(strange("number of buffers"));
    }
    places.push(bytes.len());
    let piece = |from: usize, values: usize, to: usize| Piece {
        start: start + from as u64,
        values: start + values as u64,
        end: start + to as u64,
        checksum: xxh3_64(&bytes[from..to]),
    };
    let columns =
        places[HEAD_BUFFERS..].windows(3).step_by(2).map(|place| piece(place[0], place[1], place[2]));
    let head = piece(0, places[1], places[HEAD_BUFFERS]);
    Ok((head, start + places[3] as u64, columns.collect()))
}

fn item(events: &Fields) -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Struct(events.clone()), false))
}

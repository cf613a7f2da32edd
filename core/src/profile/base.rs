//! Attributes and consent of all profiles by column, in a file: two million records take seconds to read, the columns that a
//! pass asks for some milliseconds. It says how everything was when it was written; what commits have changed since stands
//! in the database, and so does which profiles that are.

use super::table::is_since;
use crate::{
    Result,
    store::{
        block::Piece,
        columns::ColumnType,
        files::{Content, Entry, Files, Source},
        tables::{Change, Tables},
        widths::Width,
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array},
    buffer::{BooleanBuffer, NullBuffer},
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io::Write, sync::Arc};
use xxhash_rust::xxh3::xxh3_64;

/// The section of consent: how far it reaches, and [`VOUCHED`].
pub(super) const CORE: &str = "";
/// Added to a profile's reach where the operator vouches for it.
pub(super) const VOUCHED: i64 = 0x80;
/// Where values begin, so that they are read as they lie there.
const ALIGN: usize = 64;

/// One column of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Name of the attribute.
    pub name: String,
    /// Its type.
    pub kind: ColumnType,
    /// Of the values: whole numbers and times, the bits of decimals, 0 and 1, places among the texts.
    pub width: Width,
    /// Which profiles have a value, if not all; then the values.
    pub piece: Piece,
    /// Where the texts begin, postcard.
    pub texts: u64,
}

/// A column as it is written and read.
#[derive(Debug)]
pub(super) struct Cells {
    pub(super) kind: ColumnType,
    /// By profile.
    pub(super) values: Int64Array,
    /// By value, of a column of text.
    pub(super) texts: Vec<String>,
}

/// The file, open for reading.
#[derive(Debug)]
pub(super) struct Base {
    source: Source,
    rows: usize,
    sections: BTreeMap<String, Section>,
}

impl Base {
    /// Opens the file that commits name, if there is one; nothing of it is read yet.
    pub(super) fn open(files: &Files) -> Result<Option<Self>> {
        let Some((name, entry)) = files.of(Content::Profiles).last() else { return Ok(None) };
        let sections = entry.sections.iter().map(|section| (section.name.clone(), section.clone()));
        let source = files.open_source(name, entry)?;
        Ok(Some(Self { source, rows: entry.rows as usize, sections: sections.collect() }))
    }

    /// Profiles that are in it: all up to this one.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Names of its columns.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }

    /// Whether its columns are of the types that the store declares by now.
    pub(super) fn fits(&self, types: &BTreeMap<String, ColumnType>) -> bool {
        let fits = |section: &&Section| {
            types.get(&section.name) == Some(&section.kind) || section.name == CORE || is_since(&section.name)
        };
        self.sections.values().all(|section| fits(&section))
    }

    /// A column, read and proved; none where no profile had a value.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`], or what the disk says.
    pub(super) fn read(&self, name: &str) -> Result<Option<Cells>> {
        let Some(Section { kind, width, piece, texts, .. }) = self.sections.get(name) else {
            return Ok(None);
        };
        let bytes = self.source.read(piece)?;
        let bits = || NullBuffer::new(BooleanBuffer::new(bytes.clone(), 0, self.rows));
        let nulls = (piece.values > piece.start).then(bits);
        let values = width.read(bytes.slice((piece.values - piece.start) as usize), self.rows, nulls);
        let values = cast(&values, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
        let texts = match kind {
            ColumnType::Text => postcard::from_bytes(&bytes[(texts - piece.start) as usize..])?,
            _ => Vec::new(),
        };
        Ok(Some(Cells { kind: *kind, values, texts }))
    }
}

/// Writes the columns of the first `rows` profiles, and names the file in the change; answers the one whose place it takes.
///
/// # Errors
/// What the disk says.
pub(super) fn write(
    rows: usize,
    columns: impl Iterator<Item = (String, Cells)>,
    (files, tables, change): (&mut Files, &Tables, &mut Change),
) -> Result<Vec<String>> {
    let mut bytes = Vec::new();
    let mut sections = Vec::new();
    for (name, Cells { kind, values, texts }) in columns {
        let values: ArrayRef = Arc::new(values);
        let width = Width::of(&values)?;
        let start = bytes.len();
        if let Some(nulls) = values.nulls().filter(|nulls| nulls.null_count() > 0) {
            bytes.extend_from_slice(nulls.inner().sliced().as_slice());
            bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        }
        let at = bytes.len();
        let narrow = cast(&values, &width.arrow())?.to_data();
        bytes.extend(narrow.buffers().iter().flat_map(|buffer| buffer.as_slice()));
        let behind = bytes.len();
        if kind == ColumnType::Text {
            bytes = postcard::to_extend(&texts, bytes)?;
        }
        let piece = Piece {
            start: start as u64,
            values: at as u64,
            end: bytes.len() as u64,
            checksum: xxh3_64(&bytes[start..]),
        };
        bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        sections.push(Section { name, kind, width, piece, texts: behind as u64 });
    }
    let before: Vec<String> = files.of(Content::Profiles).map(|(name, _)| name.clone()).collect();
    let (name, path, mut file) = files.create(Content::Profiles)?;
    file.write_all(&bytes).map_err(crate::Error::io(&path))?;
    let entry = Entry::new(Content::Profiles, bytes.len() as u64, xxh3_64(&bytes), rows as u64);
    files.name(tables, change, &name, &file, Entry { sections, ..entry })?;
    before.iter().for_each(|name| files.retire(tables, change, name));
    Ok(before)
}

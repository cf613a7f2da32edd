//! A segment: events in profile order, in compact columns, written once. On disk an Arrow IPC file with one row a
//! profile and its events as a list, so that other tools read it too; in memory the list's columns and offsets.

use super::{
    columns::Columns,
    runs::{Content, Runs},
};
use crate::{Error, Result};
use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray, UInt32Array, new_null_array},
    buffer::{Buffer, OffsetBuffer, ScalarBuffer},
    compute::{cast, max, take},
    datatypes::{DataType, Field, Fields, Schema, TimestampMicrosecondType, UInt32Type},
    ipc::{
        convert::fb_to_schema,
        reader::{FileDecoder, read_footer_length},
        root_as_footer,
        writer::FileWriter,
    },
};
use kindred_plugin_api::columns::EVENT_TIME;
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// Events of some profiles: ascending by profile, then time.
#[derive(Debug)]
pub struct Segment {
    profiles: Vec<u32>,
    /// One more than profiles; events of profile `i` are rows `offsets[i]..offsets[i + 1]`.
    offsets: Vec<u32>,
    /// By name; text as codes; all of one length.
    columns: BTreeMap<String, ArrayRef>,
    /// Columns as segmentations see them, made when they are first asked for.
    shown: BTreeMap<String, ArrayRef>,
    /// Earliest and latest event, microseconds.
    times_us: (i64, i64),
}

impl Segment {
    /// From rows in any order: the profile of each, and its columns.
    ///
    /// # Errors
    /// When there is no `event_time` column.
    pub fn from_rows(profiles: &[u32], columns: BTreeMap<String, ArrayRef>, known: &Columns) -> Result<Self> {
        let times = times(&columns)?;
        let content = Content::new(&[&columns], known);
        let mut order: Vec<u32> = (0..profiles.len() as u32).collect();
        let key = |row: u32| (profiles[row as usize], times[row as usize]);
        order.sort_unstable_by(|&a, &b| {
            key(a).cmp(&key(b)).then_with(|| content.compare((0, a as usize), (0, b as usize)))
        });
        let mut found = Vec::new();
        let mut offsets = Vec::new();
        for (position, row) in order.iter().enumerate() {
            let profile = profiles[*row as usize];
            if found.last() != Some(&profile) {
                found.push(profile);
                offsets.push(position as u32);
            }
        }
        offsets.push(order.len() as u32);
        let order = UInt32Array::from(order);
        let columns = columns
            .iter()
            .map(|(name, values)| Ok((name.clone(), take(values, &order, None)?)))
            .collect::<Result<_>>()?;
        Self::new(found, offsets, columns)
    }

    fn new(profiles: Vec<u32>, offsets: Vec<u32>, columns: BTreeMap<String, ArrayRef>) -> Result<Self> {
        let times = times(&columns)?;
        let first = times.iter().copied().min().unwrap_or(i64::MAX);
        let last = times.iter().copied().max().unwrap_or(i64::MIN);
        Ok(Self { profiles, offsets, columns, shown: BTreeMap::new(), times_us: (first, last) })
    }

    /// Events inside.
    pub fn rows(&self) -> usize {
        self.offsets.last().map_or(0, |end| *end as usize)
    }

    /// Profiles inside, ascending.
    pub fn profiles(&self) -> &[u32] {
        &self.profiles
    }

    /// The rows of a profile, found from a place where an earlier search ended; `from` moves along.
    pub(super) fn seek(&self, profile: u32, from: &mut usize) -> Option<Range<usize>> {
        let all = &self.profiles;
        if all.get(*from).is_none_or(|here| *here > profile) {
            // Behind, or between two: only a search from the start can tell.
            if *from == 0 || all[*from - 1] < profile {
                return None;
            }
            *from = 0;
        }
        // The next profile is near: steps double before they halve.
        let (mut low, mut step) = (*from, 1);
        while all.get(low + step).is_some_and(|there| *there < profile) {
            (low, step) = (low + step, step * 2);
        }
        let high = (low + step + 1).min(all.len());
        let at = low + all[low..high].partition_point(|here| *here < profile);
        *from = at;
        let found = all.get(at) == Some(&profile);
        found.then(|| self.offsets[at] as usize..self.offsets[at + 1] as usize)
    }

    /// Earliest and latest event, microseconds.
    pub(super) fn times_us(&self) -> (i64, i64) {
        self.times_us
    }

    /// All columns, as stored.
    pub(super) fn columns(&self) -> &BTreeMap<String, ArrayRef> {
        &self.columns
    }

    /// A column as segmentations see it.
    pub(super) fn shown(&mut self, name: &str, kind: &DataType, columns: &mut Columns) -> Result<ArrayRef> {
        if let Some(shown) = self.shown.get(name) {
            return Ok(shown.clone());
        }
        let shown = columns.show(name, self.column(name, kind))?;
        self.shown.insert(name.to_owned(), shown.clone());
        Ok(shown)
    }

    /// Event times, microseconds.
    pub fn times(&self) -> Result<&[i64]> {
        times(&self.columns)
    }

    /// A column in its stored type; nulls where this segment is older than the column.
    pub fn column(&self, name: &str, kind: &DataType) -> ArrayRef {
        match self.columns.get(name) {
            Some(values) => values.clone(),
            None => new_null_array(kind, self.rows()),
        }
    }

    /// Several segments as one, without events at or before `since_us`.
    ///
    /// # Errors
    /// When columns of one name differ in type.
    pub fn merge(segments: &[&Self], since_us: i64, known: &Columns) -> Result<Option<Self>> {
        let mut profiles: Vec<u32> = segments.iter().flat_map(|s| s.profiles.iter().copied()).collect();
        profiles.sort_unstable();
        profiles.dedup();
        let times = segments.iter().map(|s| s.times()).collect::<Result<Vec<_>>>()?;
        let own: Vec<_> = segments.iter().map(|s| &s.columns).collect();
        let content = Content::new(&own, known);
        let mut runs = Runs::default();
        let (mut found, mut offsets) = (Vec::new(), Vec::new());
        let mut cursors = vec![0; segments.len()];
        let mut pieces = Vec::new();
        for profile in profiles {
            pieces.clear();
            for (part, segment) in segments.iter().enumerate() {
                let Some(mut range) = segment.seek(profile, &mut cursors[part]) else { continue };
                if segment.times_us.0 <= since_us {
                    range.start += times[part][range.clone()].partition_point(|time| *time <= since_us);
                }
                if !range.is_empty() {
                    pieces.push((part, range));
                }
            }
            let start = runs.rows();
            match &pieces[..] {
                [] => continue,
                [(part, range)] => runs.push(*part, range.clone()),
                several => runs.weave(several, &times, &content),
            }
            found.push(profile);
            offsets.push(start as u32);
        }
        if runs.rows() == 0 {
            return Ok(None);
        }
        offsets.push(runs.rows() as u32);
        let mut kinds: BTreeMap<&String, &DataType> = BTreeMap::new();
        for segment in segments {
            kinds.extend(segment.columns.iter().map(|(name, values)| (name, values.data_type())));
        }
        let mut columns = BTreeMap::new();
        for (name, kind) in kinds {
            let parts: Vec<ArrayRef> = segments.iter().map(|s| s.column(name, kind)).collect();
            columns.insert(name.clone(), runs.copy(&parts)?);
        }
        Ok(Some(Self::new(found, offsets, columns)?))
    }

    /// As the bytes of a file; codes as narrow as they fit.
    ///
    /// # Errors
    /// When the columns cannot be written.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut fields = Vec::new();
        let mut arrays = Vec::new();
        for (name, values) in &self.columns {
            let values = narrow(values)?;
            fields.push(Field::new(name, values.data_type().clone(), true));
            arrays.push(values);
        }
        let events: ArrayRef = Arc::new(StructArray::try_new(Fields::from(fields), arrays, None)?);
        let item = Arc::new(Field::new("item", events.data_type().clone(), false));
        let offsets: Vec<i32> = self.offsets.iter().map(|o| *o as i32).collect();
        let list = ListArray::try_new(item, OffsetBuffer::new(ScalarBuffer::from(offsets)), events, None)?;
        let schema = Schema::new(vec![
            Field::new("profile", DataType::UInt32, false),
            Field::new("events", list.data_type().clone(), false),
        ]);
        let profiles = Arc::new(UInt32Array::from(self.profiles.clone()));
        let batch = RecordBatch::try_new(Arc::new(schema), vec![profiles, Arc::new(list)])?;
        let mut writer = FileWriter::try_new(Vec::new(), &batch.schema())?;
        writer.write(&batch)?;
        Ok(writer.into_inner()?)
    }

    /// From the bytes of a file; columns stay where they are in them.
    ///
    /// # Errors
    /// When they are not what [`Self::encode`] writes.
    pub fn decode(bytes: Vec<u8>) -> Result<Self> {
        let shape = || Error::Column("a segment file has another shape".into());
        let batch = only_batch(Buffer::from_vec(bytes))?.ok_or_else(shape)?;
        let profiles = batch.column(0).as_primitive_opt::<UInt32Type>().ok_or_else(shape)?;
        let list = batch.column(1).as_list_opt::<i32>().ok_or_else(shape)?;
        let events = list.values().as_struct_opt().ok_or_else(shape)?;
        let mut columns = BTreeMap::new();
        for (field, values) in events.fields().iter().zip(events.columns()) {
            let codes = matches!(field.data_type(), DataType::UInt8 | DataType::UInt16);
            let values = if codes { cast(values, &DataType::UInt32)? } else { values.clone() };
            columns.insert(field.name().clone(), values);
        }
        let offsets = list.value_offsets().iter().map(|o| o.cast_unsigned()).collect();
        Self::new(profiles.values().to_vec(), offsets, columns)
    }
}

/// The one batch of an Arrow IPC file in memory.
fn only_batch(file: Buffer) -> Result<Option<RecordBatch>> {
    let tail = file.len().checked_sub(10).map(|at| (at, &file[at..]));
    let Some((at, tail)) = tail.and_then(|(at, tail)| Some((at, tail.try_into().ok()?))) else {
        return Ok(None);
    };
    let Some(start) = at.checked_sub(read_footer_length(tail)?) else { return Ok(None) };
    let footer = root_as_footer(&file[start..at])
        .map_err(|e| Error::Column(format!("the footer of a segment file cannot be read: {e}")))?;
    let (Some(schema), Some(blocks)) = (footer.schema(), footer.recordBatches()) else { return Ok(None) };
    let decoder = FileDecoder::new(Arc::new(fb_to_schema(schema)), footer.version());
    let Some(block) = blocks.iter().next() else { return Ok(None) };
    let (offset, length) =
        (block.offset() as usize, block.bodyLength() as usize + block.metaDataLength() as usize);
    if offset.checked_add(length).is_none_or(|end| end > file.len()) {
        return Ok(None);
    }
    Ok(decoder.read_record_batch(block, &file.slice_with_length(offset, length))?)
}

fn times(columns: &BTreeMap<String, ArrayRef>) -> Result<&[i64]> {
    let times = columns.get(EVENT_TIME).and_then(|a| a.as_primitive_opt::<TimestampMicrosecondType>());
    let times = times.ok_or_else(|| Error::Column("a segment without event times".into()))?;
    Ok(times.values())
}

fn narrow(values: &ArrayRef) -> Result<ArrayRef> {
    let Some(codes) = values.as_primitive_opt::<UInt32Type>() else { return Ok(values.clone()) };
    let kind = match max(codes).unwrap_or(0) {
        0..=0xff => DataType::UInt8,
        0x100..=0xffff => DataType::UInt16,
        _ => return Ok(values.clone()),
    };
    Ok(cast(values, &kind)?)
}

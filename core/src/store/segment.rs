//! A segment: events in profile order, in compact columns, written once. On disk an Arrow IPC file with one row a
//! profile and its events as a list, so that other tools read it too; in memory the list's columns and offsets.

use crate::{Error, Result};
use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray, UInt32Array, new_null_array},
    buffer::{OffsetBuffer, ScalarBuffer},
    compute::{cast, interleave, max, take},
    datatypes::{DataType, Field, Fields, Schema, TimestampMicrosecondType, UInt32Type},
    ipc::{reader::FileReader, writer::FileWriter},
};
use kindred_plugin_api::columns::EVENT_TIME;
use std::{collections::BTreeMap, io::Cursor, ops::Range, sync::Arc};

/// Events of some profiles: ascending by profile, then time.
#[derive(Debug)]
pub struct Segment {
    profiles: Vec<u32>,
    /// One more than profiles; events of profile `i` are rows `offsets[i]..offsets[i + 1]`.
    offsets: Vec<u32>,
    /// By name; text as codes; all of one length.
    columns: BTreeMap<String, ArrayRef>,
}

impl Segment {
    /// From rows in any order: the profile and a tie-breaking key of each, and its columns.
    ///
    /// # Errors
    /// When there is no `event_time` column.
    pub fn from_rows(profiles: &[u32], ties: &[u128], columns: BTreeMap<String, ArrayRef>) -> Result<Self> {
        let times = times(&columns)?;
        let mut order: Vec<u32> = (0..profiles.len() as u32).collect();
        let key = |row: &u32| (profiles[*row as usize], times[*row as usize], ties[*row as usize]);
        order.sort_unstable_by_key(key);
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
            .into_iter()
            .map(|(name, values)| Ok((name, take(&values, &order, None)?)))
            .collect::<Result<_>>()?;
        Ok(Self { profiles: found, offsets, columns })
    }

    /// Events inside.
    pub fn rows(&self) -> usize {
        self.offsets.last().map_or(0, |end| *end as usize)
    }

    /// Profiles inside, ascending.
    pub fn profiles(&self) -> &[u32] {
        &self.profiles
    }

    /// The rows of a profile.
    pub fn range(&self, profile: u32) -> Option<Range<usize>> {
        let at = self.profiles.binary_search(&profile).ok()?;
        Some(self.offsets[at] as usize..self.offsets[at + 1] as usize)
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
    pub fn merge(segments: &[&Self], since_us: i64) -> Result<Option<Self>> {
        let mut profiles: Vec<u32> = segments.iter().flat_map(|s| s.profiles.iter().copied()).collect();
        profiles.sort_unstable();
        profiles.dedup();
        let mut rows: Vec<(usize, usize)> = Vec::new();
        let (mut found, mut offsets) = (Vec::new(), Vec::new());
        let times = segments.iter().map(|s| s.times()).collect::<Result<Vec<_>>>()?;
        for profile in profiles {
            let start = rows.len();
            for (number, segment) in segments.iter().enumerate() {
                let range = segment.range(profile).unwrap_or(0..0);
                rows.extend(range.filter(|row| times[number][*row] > since_us).map(|row| (number, row)));
            }
            rows[start..].sort_by_key(|(segment, row)| times[*segment][*row]);
            if rows.len() > start {
                found.push(profile);
                offsets.push(start as u32);
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        offsets.push(rows.len() as u32);
        let mut kinds: BTreeMap<&String, &DataType> = BTreeMap::new();
        for segment in segments {
            kinds.extend(segment.columns.iter().map(|(name, values)| (name, values.data_type())));
        }
        let mut columns = BTreeMap::new();
        for (name, kind) in kinds {
            let parts: Vec<ArrayRef> = segments.iter().map(|s| s.column(name, kind)).collect();
            let parts: Vec<&dyn Array> = parts.iter().map(|a| &**a).collect();
            columns.insert(name.clone(), interleave(&parts, &rows)?);
        }
        Ok(Some(Self { profiles: found, offsets, columns }))
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

    /// From the bytes of a file.
    ///
    /// # Errors
    /// When they are not what [`Self::encode`] writes.
    pub fn decode(bytes: Vec<u8>) -> Result<Self> {
        let shape = || Error::Column("a segment file has another shape".into());
        let mut reader = FileReader::try_new(Cursor::new(bytes), None)?;
        let batch = reader.next().ok_or_else(shape)??;
        let profiles = batch.column(0).as_primitive_opt::<UInt32Type>().ok_or_else(shape)?;
        let list = batch.column(1).as_list_opt::<i32>().ok_or_else(shape)?;
        let events = list.values().as_struct_opt().ok_or_else(shape)?;
        let mut columns = BTreeMap::new();
        for (field, values) in events.fields().iter().zip(events.columns()) {
            let codes = matches!(field.data_type(), DataType::UInt8 | DataType::UInt16);
            let values = if codes { cast(values, &DataType::UInt32)? } else { values.slice(0, values.len()) };
            columns.insert(field.name().clone(), values);
        }
        let offsets = list.value_offsets().iter().map(|o| o.cast_unsigned()).collect();
        Ok(Self { profiles: profiles.values().to_vec(), offsets, columns })
    }
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

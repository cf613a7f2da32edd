//! The reader's side: published files as profile batches, the same that [`crate::profile::batch::build`] makes of a
//! store, so that the same evaluator gives the same answers in another process.

use super::{
    manifest::{Hold, Manifest, Table},
    rows::{PROFILE_ID, SINCE},
    write::columns as parquet_error,
};
use crate::{
    Error, Result,
    consent::Reach,
    profile::batch::{self, Moment},
    store::{
        columns::{ColumnType, Columns},
        span::{Coded, Sources},
    },
};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, ListArray, RecordBatch, StructArray,
        TimestampMicrosecondArray, UInt32Array, new_empty_array,
    },
    buffer::{OffsetBuffer, ScalarBuffer},
    compute::{cast, concat, take},
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimestampMicrosecondType, UInt32Type},
};
use bytes::Bytes;
use kindred_plugin_api::columns::{self as api, ATTR, CONSENT, EVENT_TIME, profile as names};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use roaring::RoaringBitmap;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use xxhash_rust::xxh3::xxh3_64;

/// Profiles of one batch, as in the store's own evaluation.
const BATCH: usize = 4_096;

/// A published generation, open for reading; its files stay as long as this lives.
#[derive(Debug)]
pub struct Snapshot {
    dir: PathBuf,
    manifest: Manifest,
    /// Dictionaries of text columns, shared by all batches of this reader.
    columns: Columns,
    _hold: Hold,
}

/// One bucket's profiles.
#[derive(Debug, Default)]
pub struct Bucket {
    /// Each with when each of its profiles first becomes another by itself, or a time before that, as [`crate::profile::batch::build`] gives.
    pub batches: Vec<(RecordBatch, Vec<Option<i64>>)>,
    /// Rows of the profiles table that were read.
    pub profiles: u64,
    /// Rows of the events table that were read; none are where the schema asks for no events.
    pub events: u64,
}

impl Snapshot {
    /// Opens what is published in a folder now.
    ///
    /// # Errors
    /// As [`Manifest::read`].
    pub fn open(dir: &Path) -> Result<Self> {
        loop {
            let manifest = Manifest::read(dir)?;
            if let Some(hold) = manifest.hold(dir)? {
                return Ok(Self { dir: dir.to_owned(), manifest, columns: Columns::default(), _hold: hold });
            }
            if Manifest::read(dir)? == manifest {
                let path = dir.join(&manifest.generation);
                return Err(Error::Damaged { path, reason: "the manifest names it, and it is gone".into() });
            }
        }
    }

    /// What was published.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Every column that a segmentation can ask for, as [`crate::profile::batch::catalog`] gives it for a store.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn catalog<'a>(&self, segments: impl Iterator<Item = &'a str>) -> Result<Schema> {
        let mut fields = vec![
            Field::new(names::PROFILE, DataType::UInt32, false),
            Field::new(names::AS_OF, api::timestamp(), false),
            Field::new(names::IDENTIFIERS, names::identifiers(), false),
            Field::new(CONSENT, api::coded(), false),
        ];
        let profiles = self.schema(Table::Profiles)?;
        let attributes = profiles.fields().iter().filter(|f| f.name().starts_with(ATTR));
        fields.extend(attributes.map(|f| (**f).clone()));
        fields.extend(
            segments.map(|name| Field::new(format!("{}{name}", names::IN), DataType::Boolean, false)),
        );
        let events = self.schema(Table::Events)?;
        let mut events: Vec<FieldRef> =
            events.fields().iter().filter(|f| f.name() != PROFILE_ID).cloned().collect();
        events.sort_by(|a, b| a.name().cmp(b.name()));
        fields.push(Field::new(names::EVENTS, names::events(events.into()), false));
        Ok(Schema::new(fields))
    }

    /// A bucket's profiles as a segmentation sees them, ascending. `schema` is a projection of [`Self::catalog`].
    ///
    /// # Errors
    /// [`Error::Damaged`] when a file is not what the manifest says; [`Error::Column`] when the schema asks for
    /// something that was not published.
    pub fn bucket(
        &mut self,
        bucket: u32,
        schema: &SchemaRef,
        moment: &Moment,
        look_back_us: Option<i64>,
        members: &BTreeMap<String, RoaringBitmap>,
    ) -> Result<Bucket> {
        let profiles = self.profiles(bucket, schema, moment)?;
        let span = moment.span(look_back_us);
        let events = match schema.column_with_name(names::EVENTS) {
            Some((_, field)) => Some(self.events(bucket, struct_fields(field), !span.sources.is_empty())?),
            None => None,
        };
        let span = span.coded(&self.columns);
        let mut out = Bucket {
            batches: Vec::new(),
            profiles: profiles.num_rows() as u64,
            events: events.as_ref().map_or(0, |e| e.ids.len() as u64),
        };
        for start in (0..profiles.num_rows()).step_by(BATCH) {
            let part = profiles.slice(start, BATCH.min(profiles.num_rows() - start));
            let ids = part.column(0).as_primitive::<UInt32Type>();
            let listed = events.as_ref().map(|e| e.of(ids, &span)).transpose()?;
            let mut next_us = vec![None; ids.len()];
            let mut sooner = |other: &[Option<i64>]| batch::sooner(&mut next_us, other);
            let column = |field: &FieldRef| -> Result<ArrayRef> {
                Ok(match (field.name().as_str(), &listed) {
                    (names::PROFILE, _) => part.column(0).clone(),
                    (names::AS_OF, _) => Arc::new(
                        TimestampMicrosecondArray::from_value(moment.as_of_us, ids.len())
                            .with_timezone("+00:00"),
                    ),
                    (names::EVENTS, Some((list, next))) => {
                        sooner(next);
                        Arc::new(list.clone())
                    }
                    (name, _) => match name.strip_prefix(names::IN) {
                        Some(segment) => {
                            let inside = members.get(segment);
                            let is = |id: &u32| Some(inside.is_some_and(|m| m.contains(*id)));
                            Arc::new(BooleanArray::from_iter(ids.values().iter().map(is)))
                        }
                        None => {
                            let values = typed(named(&part, name)?, field.data_type())?;
                            let attribute = name.strip_prefix(ATTR).unwrap_or_default();
                            let Some(ttl_us) = moment.ttl_of(attribute) else { return Ok(values) };
                            let since = named(&part, &format!("{SINCE}{attribute}"))?;
                            let (values, next) = batch::unexpired(&values, since, moment.as_of_us, ttl_us)?;
                            sooner(&next);
                            values
                        }
                    },
                })
            };
            let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
            out.batches.push((RecordBatch::try_new(schema.clone(), columns)?, next_us));
        }
        Ok(out)
    }

    /// Published members of each segment among a bucket's profiles; segments with none are not there.
    ///
    /// # Errors
    /// As [`Self::bucket`].
    pub fn members(&self, bucket: u32) -> Result<BTreeMap<String, RoaringBitmap>> {
        let mut members: BTreeMap<String, RoaringBitmap> = BTreeMap::new();
        for batch in self.load(Table::Memberships, bucket, &|_| true)? {
            let segments = cast(named(&batch, "segment")?, &DataType::Utf8)?;
            let ids = batch.column(0).as_primitive::<UInt32Type>();
            for (id, segment) in ids.values().iter().zip(segments.as_string::<i32>().iter().flatten()) {
                match members.get_mut(segment) {
                    Some(inside) => inside.insert(*id),
                    None => members.entry(segment.to_owned()).or_default().insert(*id),
                };
            }
        }
        Ok(members)
    }

    /// Profiles of a bucket that may be evaluated.
    ///
    /// # Errors
    /// As [`Self::bucket`].
    pub fn consenting(&self, bucket: u32) -> Result<RoaringBitmap> {
        let mut granted = RoaringBitmap::new();
        for batch in self.load(Table::Profiles, bucket, &|name| name == CONSENT)? {
            let consent = cast(named(&batch, CONSENT)?, &DataType::Utf8)?;
            let ids = batch.column(0).as_primitive::<UInt32Type>().values().iter();
            let given = ids
                .zip(consent.as_string::<i32>())
                .filter(|(_, c)| c.map(Reach::parse) >= Some(Reach::Segment));
            granted.extend(given.map(|(id, _)| *id));
        }
        Ok(granted)
    }

    /// The rows of a bucket's profiles, text coded by this reader's dictionaries.
    fn profiles(&mut self, bucket: u32, schema: &SchemaRef, moment: &Moment) -> Result<RecordBatch> {
        let asked = |name: &str| schema.column_with_name(name).is_some();
        let expires = |name: &str| moment.ttl_of(name).is_some() && asked(&format!("{ATTR}{name}"));
        let wanted = |name: &str| asked(name) || name.strip_prefix(SINCE).is_some_and(expires);
        let parts = self.load(Table::Profiles, bucket, &wanted)?;
        let Some(schema) = parts.first().map(RecordBatch::schema) else {
            let ids = Schema::new(vec![Field::new(PROFILE_ID, DataType::UInt32, false)]);
            return Ok(RecordBatch::new_empty(Arc::new(ids)));
        };
        let mut columns = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            columns.push(match ColumnType::of(field.data_type()) {
                Some(ColumnType::Text) => self.whole(field, ColumnType::Text, &parts)?,
                _ => joined(&parts, field.name(), field.data_type())?,
            });
        }
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    /// A column of all parts in one dictionary, in which no text comes twice.
    fn whole(&mut self, field: &Field, kind: ColumnType, parts: &[RecordBatch]) -> Result<ArrayRef> {
        let name = field.name();
        self.columns.declare(name, kind, "what was published")?;
        let stored = parts.iter().map(|part| self.columns.store(name, named(part, name)?));
        let stored = stored.collect::<Result<Vec<_>>>()?;
        let stored: Vec<&dyn Array> = stored.iter().map(|a| &**a).collect();
        let stored = if stored.is_empty() { new_empty_array(&kind.stored()) } else { concat(&stored)? };
        self.columns.show(name, stored)
    }

    /// A bucket's events, with these fields, text coded by this reader's dictionaries.
    fn events(&mut self, bucket: u32, fields: Fields, of_sources: bool) -> Result<Events> {
        let source = |name: &str| of_sources && name == names::SOURCE;
        let wanted =
            |name: &str| name == EVENT_TIME || source(name) || fields.iter().any(|f| f.name() == name);
        let parts = self.load(Table::Events, bucket, &wanted)?;
        let ids = joined(&parts, PROFILE_ID, &DataType::UInt32)?.as_primitive::<UInt32Type>().clone();
        let times = joined(&parts, EVENT_TIME, &api::timestamp())?;
        let times = times.as_primitive::<TimestampMicrosecondType>().values().clone();
        let mut columns = Vec::with_capacity(fields.len());
        for field in &fields {
            let kind = ColumnType::of(field.data_type())
                .ok_or_else(|| Error::Column(format!("no such type of event column `{}`", field.name())))?;
            columns.push(self.whole(field, kind, &parts)?);
        }
        let codes =
            |sources: ArrayRef| sources.as_any_dictionary_opt().map(|s| cast(s.keys(), &DataType::UInt32));
        let sources = match of_sources {
            true => {
                let field = Field::new(names::SOURCE, api::coded(), true);
                codes(self.whole(&field, ColumnType::Text, &parts)?).transpose()?
            }
            false => None,
        };
        Ok(Events { ids: ids.values().clone(), times, sources, fields, columns })
    }

    fn schema(&self, table: Table) -> Result<SchemaRef> {
        let (path, bytes) = self.bytes(table, 0)?.ok_or_else(|| Error::Damaged {
            path: self.dir.join(super::MANIFEST),
            reason: format!("it names no first file of `{}`", table.name()),
        })?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| damaged(&path, e))?;
        Ok(builder.schema().clone())
    }

    /// The rows of a bucket: `profile_id` first, and the columns that are wanted.
    fn load(&self, table: Table, bucket: u32, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<RecordBatch>> {
        let Some((path, bytes)) = self.bytes(table, bucket)? else { return Ok(Vec::new()) };
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| damaged(&path, e))?;
        let fields = builder.schema().fields().iter().enumerate();
        let roots: Vec<usize> =
            fields.filter(|(_, f)| f.name() == PROFILE_ID || wanted(f.name())).map(|(at, _)| at).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let reader = builder.with_projection(mask).build().map_err(parquet_error)?;
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let named = self.manifest.file(table, bucket).map_or(0, |file| file.rows);
        if rows as u64 != named {
            return Err(damaged(&path, format!("{rows} rows, published were {named}")));
        }
        Ok(batches)
    }

    /// A file, whole and proved; none where a bucket has no rows.
    fn bytes(&self, table: Table, bucket: u32) -> Result<Option<(PathBuf, Bytes)>> {
        let Some(file) = self.manifest.file(table, bucket) else { return Ok(None) };
        let path = self.dir.join(&file.path);
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        if bytes.len() as u64 != file.bytes {
            return Err(damaged(&path, format!("{} bytes, published were {}", bytes.len(), file.bytes)));
        }
        if format!("{:016x}", xxh3_64(&bytes)) != file.xxh3 {
            return Err(damaged(&path, "its checksum is wrong"));
        }
        Ok(Some((path, bytes.into())))
    }
}

/// A bucket's events, ascending by profile, then time.
struct Events {
    ids: ScalarBuffer<u32>,
    times: ScalarBuffer<i64>,
    /// Codes, where it matters whose they are.
    sources: Option<ArrayRef>,
    fields: Fields,
    columns: Vec<ArrayRef>,
}

impl Events {
    /// The events of some profiles in a span, and when the first of each comes into it or leaves it.
    fn of(&self, profiles: &UInt32Array, span: &Coded) -> Result<(ListArray, Vec<Option<i64>>)> {
        let sources = Sources::of(self.sources.as_ref());
        let mut rows: Vec<u32> = Vec::new();
        let mut ends = vec![0_i32];
        let mut next_us = Vec::with_capacity(profiles.len());
        for profile in profiles.values() {
            let first = self.ids.partition_point(|id| id < profile);
            let end = first + self.ids[first..].partition_point(|id| id == profile);
            let mut next = None;
            let found = |found: std::ops::Range<usize>| rows.extend(found.start as u32..found.end as u32);
            span.clip(&self.times, &sources, first..end, &mut next, found);
            ends.push(rows.len() as i32);
            next_us.push(next);
        }
        let rows = UInt32Array::from(rows);
        let arrays = self.columns.iter().map(|c| take(c, &rows, None)).collect::<Result<Vec<_>, _>>()?;
        let events = StructArray::try_new_with_length(self.fields.clone(), arrays, None, rows.len())?;
        let item = Arc::new(Field::new("item", DataType::Struct(self.fields.clone()), false));
        let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
        Ok((ListArray::try_new(item, ends, Arc::new(events), None)?, next_us))
    }
}

fn struct_fields(events: &Field) -> Fields {
    match events.data_type() {
        DataType::List(item) => match item.data_type() {
            DataType::Struct(fields) => fields.clone(),
            _ => Fields::empty(),
        },
        _ => Fields::empty(),
    }
}

fn joined(parts: &[RecordBatch], name: &str, kind: &DataType) -> Result<ArrayRef> {
    let columns = parts.iter().map(|part| named(part, name)).collect::<Result<Vec<_>>>()?;
    let columns: Vec<&dyn Array> = columns.into_iter().map(|a| &**a).collect();
    Ok(if columns.is_empty() { new_empty_array(kind) } else { concat(&columns)? })
}

fn named<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::Column(format!("no column `{name}` was published")))
}

fn typed(values: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    Ok(if values.data_type() == kind { values.clone() } else { cast(values, kind)? })
}

fn damaged(path: &Path, reason: impl ToString) -> Error {
    Error::Damaged { path: path.to_owned(), reason: reason.to_string() }
}

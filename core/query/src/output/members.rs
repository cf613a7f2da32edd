//! The answer of a segment's query: a bitmap of profiles.

use super::Rows;
use crate::error::{Error, Result};
use arrow::{
    array::AsArray,
    compute::cast,
    datatypes::{DataType, Int64Type, SchemaRef},
};
use futures::StreamExt;
use roaring::RoaringBitmap;
use std::io::Write;

/// The column.
const PROFILE_ID: &str = "profile_id";

/// Whether an answer with these columns names profiles.
pub(crate) fn check(schema: &SchemaRef) -> Result<()> {
    let fields: Vec<_> = schema.fields().iter().filter(|f| f.name() == PROFILE_ID).collect();
    match fields[..] {
        [field] if field.data_type().is_integer() => Ok(()),
        [field] => Err(Error::Segment(format!("it is of type {}", field.data_type()))),
        [] => {
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            Err(Error::Segment(format!("it has {}", names.join(", "))))
        }
        _ => Err(Error::Segment("it has more than one".into())),
    }
}

/// Writes the bitmap to standard output, once every row came. A profile may come several times; nulls are nobody.
pub(crate) async fn write(mut rows: Rows) -> Result<()> {
    let mut members = RoaringBitmap::new();
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let column =
            batch.column_by_name(PROFILE_ID).ok_or_else(|| Error::Segment("it is not there".into()))?;
        for number in cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().iter().flatten() {
            let profile = u32::try_from(number)
                .map_err(|_| Error::Segment(format!("{number} is not the number of a profile")))?;
            members.insert(profile);
        }
    }
    let mut bytes = Vec::with_capacity(members.serialized_size());
    members.serialize_into(&mut bytes).map_err(Error::Start)?;
    std::io::stdout().lock().write_all(&bytes).map_err(Error::io("standard output"))
}

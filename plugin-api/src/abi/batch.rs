//! Arrow batches over the C Data Interface: export, import, and the checks that make an import safe.

use super::raw::{ArrowArray, ArrowSchema, Batch};
use crate::Fault;
use arrow::{
    array::{new_empty_array, Array, ArrayData, RecordBatch, RecordBatchOptions, StructArray},
    datatypes::{DataType, Schema, SchemaRef},
    ffi::{from_ffi_and_data_type, FFI_ArrowArray, FFI_ArrowSchema},
};
use std::sync::Arc;

/// How much of an imported batch is proved before anybody reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Buffer sizes, offsets' ends and child lengths: constant time per column.
    Cheap,
    /// Every offset, every UTF-8 sequence, every dictionary key.
    Full,
}

/// Moves a schema out.
pub fn export_schema(schema: &Schema) -> Result<ArrowSchema, Fault> {
    let ffi = FFI_ArrowSchema::try_from(schema).map_err(|e| Fault::permanent("schema", e.to_string()))?;
    // SAFETY: both are `struct ArrowSchema` of the C Data Interface, field for field, and ownership moves.
    Ok(unsafe { std::mem::transmute::<FFI_ArrowSchema, ArrowSchema>(ffi) })
}

/// Moves a schema in.
pub fn import_schema(schema: ArrowSchema) -> Result<SchemaRef, Fault> {
    if schema.is_none() {
        return Err(Fault::permanent("schema", "the schema was released"));
    }
    // SAFETY: as in `export_schema`, the other way.
    let ffi = unsafe { std::mem::transmute::<ArrowSchema, FFI_ArrowSchema>(schema) };
    let schema = Schema::try_from(&ffi).map_err(|e| Fault::permanent("schema", e.to_string()))?;
    Ok(Arc::new(schema))
}

/// Moves rows out; the schema stays behind, as agreed.
pub fn export(batch: &RecordBatch) -> Batch {
    if batch.num_rows() == 0 {
        return Batch::none();
    }
    let rows: StructArray = batch.clone().into();
    let ffi = FFI_ArrowArray::new(&rebased(rows.into()));
    // SAFETY: both are `struct ArrowArray` of the C Data Interface, field for field, and ownership moves.
    let array = unsafe { std::mem::transmute::<FFI_ArrowArray, ArrowArray>(ffi) };
    Batch { array, ..Batch::none() }
}

/// The same data with every empty array below made anew. A string array that was sliced to nothing keeps an offset
/// that is not zero, and arrow's import, which takes the values of an empty array for empty, then finds it too large.
fn rebased(data: ArrayData) -> ArrayData {
    if data.is_empty() {
        return new_empty_array(data.data_type()).into_data();
    }
    if data.child_data().is_empty() {
        return data;
    }
    let children = data.child_data().iter().cloned().map(rebased).collect();
    let rebuilt = data.into_builder().child_data(children);
    // SAFETY: only empty arrays were replaced, by empty arrays of the same type.
    unsafe { rebuilt.build_unchecked() }
}

/// Moves rows in, as the agreed schema.
///
/// # Errors
/// A permanent fault when the rows carry another schema, when the shape of the array does not fit the agreed
/// types, or when `proof` finds damage.
pub fn import(batch: Batch, agreed: &SchemaRef, proof: Proof) -> Result<RecordBatch, Fault> {
    let Batch { array, schema, .. } = batch;
    if array.is_none() {
        return Ok(RecordBatch::new_empty(agreed.clone()));
    }
    if !schema.is_none() {
        let sent = import_schema(schema)?;
        if sent.fields() != agreed.fields() {
            return Err(Fault::permanent("schema", difference(&sent, agreed)));
        }
    }
    let kind = DataType::Struct(agreed.fields().clone());
    shape(&array, &kind, "batch")?;
    let length = array.length as usize;
    // SAFETY: as in `export`, the other way.
    let ffi = unsafe { std::mem::transmute::<ArrowArray, FFI_ArrowArray>(array) };
    // SAFETY: the structure is owned and not released, and `shape` has compared its counts with the type.
    let data =
        unsafe { from_ffi_and_data_type(ffi, kind) }.map_err(|e| Fault::permanent("batch", e.to_string()))?;
    prove(&data, proof)?;
    let (_, columns, nulls) = StructArray::from(data).into_parts();
    if nulls.is_some_and(|n| n.null_count() > 0) {
        return Err(Fault::permanent("batch", "a whole row is null"));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(length));
    RecordBatch::try_new_with_options(agreed.clone(), columns, &options)
        .map_err(|e| Fault::permanent("batch", e.to_string()))
}

fn prove(data: &ArrayData, proof: Proof) -> Result<(), Fault> {
    let proved = match proof {
        Proof::Cheap => data.validate(),
        Proof::Full => data.validate_full(),
    };
    proved.map_err(|e| Fault::permanent("batch", e.to_string()))
}

/// One line: which field differs first.
fn difference(sent: &Schema, agreed: &Schema) -> String {
    for (index, field) in agreed.fields().iter().enumerate() {
        match sent.fields().get(index) {
            None => return format!("column `{}` is missing", field.name()),
            Some(other) if other != field => {
                return format!(
                    "column {index} is `{}: {}`, agreed was `{}: {}`",
                    other.name(),
                    other.data_type(),
                    field.name(),
                    field.data_type()
                )
            }
            Some(_) => {}
        }
    }
    format!("{} columns, agreed were {}", sent.fields().len(), agreed.fields().len())
}

/// More elements than any array of a batch has; far below where arithmetic on sizes in bits overflows.
const MOST_ELEMENTS: i64 = 1 << 40;

/// Compares child and buffer counts, recursively, so that a wrong type is refused before a buffer is read.
fn shape(array: &ArrowArray, kind: &DataType, name: &str) -> Result<(), Fault> {
    let (buffers, children): (i64, Vec<(&str, &DataType)>) = match kind {
        DataType::Struct(fields) => (1, fields.iter().map(|f| (f.name().as_str(), f.data_type())).collect()),
        DataType::List(f) | DataType::LargeList(f) | DataType::Map(f, _) => {
            (2, vec![(f.name(), f.data_type())])
        }
        DataType::FixedSizeList(f, _) => (1, vec![(f.name(), f.data_type())]),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => (3, vec![]),
        DataType::Null => (0, vec![]),
        _ => (2, vec![]),
    };
    let views = matches!(kind, DataType::Utf8View | DataType::BinaryView);
    let fits = (views || array.n_buffers == buffers) && array.n_children == children.len() as i64;
    let dictionary = matches!(kind, DataType::Dictionary(..)) == array.dictionary.is_null();
    if !fits || dictionary || array.length < 0 || array.offset < 0 {
        return Err(Fault::permanent(
            "schema",
            format!("column `{name}` does not have the agreed type {kind}"),
        ));
    }
    if array.length.saturating_add(array.offset) > MOST_ELEMENTS {
        return Err(Fault::permanent("batch", format!("column `{name}` claims {} elements", array.length)));
    }
    if let DataType::Dictionary(_, values) = kind {
        // SAFETY: not null, as compared above, and the specification makes it a valid structure.
        shape(unsafe { &*array.dictionary }, values, name)?;
    }
    if array.n_buffers > 0 && array.buffers.is_null() || array.n_children > 0 && array.children.is_null() {
        return Err(Fault::permanent("batch", format!("column `{name}` has null pointers for its buffers")));
    }
    if last_offset(array, kind) < 0 {
        return Err(Fault::permanent("batch", format!("column `{name}` has no offset at its end")));
    }
    for (index, (child, kind)) in children.into_iter().enumerate() {
        // SAFETY: the specification gives `n_children` valid pointers, and the count was compared above.
        let below = unsafe { (*array.children.add(index)).as_ref() };
        match below {
            Some(below) => shape(below, kind, child)?,
            None => return Err(Fault::permanent("batch", format!("column `{child}` is a null pointer"))),
        }
    }
    Ok(())
}

/// Where the values of a string or binary array end, zero for other types. It becomes the size of a buffer, and one
/// that is negative or missing (also answered as negative) ends the process inside arrow, before any validation.
fn last_offset(array: &ArrowArray, kind: &DataType) -> i64 {
    let wide = match kind {
        DataType::Utf8 | DataType::Binary => false,
        DataType::LargeUtf8 | DataType::LargeBinary => true,
        _ => return 0,
    };
    // SAFETY: `shape` found three buffers and a list of them; buffer 1 has an offset behind the last element, or is
    // null, which an empty array may have.
    unsafe {
        let offsets = *array.buffers.add(1);
        let last = (array.length + array.offset) as usize;
        match (offsets.is_null(), wide) {
            (true, _) => -i64::from(last > 0),
            (false, true) => offsets.cast::<i64>().add(last).read_unaligned(),
            (false, false) => i64::from(offsets.cast::<i32>().add(last).read_unaligned()),
        }
    }
}

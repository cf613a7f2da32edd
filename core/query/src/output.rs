//! Answers: as a table, JSON, CSV, an Arrow file, or the members of a segment.

pub(crate) mod members;
mod table;

use crate::error::{Error, Result};
use arrow::{
    array::RecordBatch,
    csv, ipc,
    json::{WriterBuilder, writer::JsonArray},
};
use futures::{StreamExt, stream::BoxStream};
use std::{
    fs::File,
    io::{BufWriter, ErrorKind, Write},
    path::{Path, PathBuf},
};

/// How rows are shown.
pub(crate) enum Format {
    Table { limit: Option<usize> },
    Json,
    Csv,
    Arrow(PathBuf),
}

/// Rows as they come.
pub(crate) type Rows = BoxStream<'static, Result<RecordBatch>>;

pub(crate) async fn write(format: Format, rows: Rows, schema: arrow::datatypes::SchemaRef) -> Result<()> {
    match format {
        Format::Table { limit } => table::write(rows, &schema, limit).await,
        Format::Json => json(rows).await,
        Format::Csv => comma_separated(rows, schema).await,
        Format::Arrow(path) => file(rows, &path, schema).await,
    }
}

async fn json(mut rows: Rows) -> Result<()> {
    let out = BufWriter::new(std::io::stdout());
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(out);
    while let Some(batch) = rows.next().await {
        quietly(writer.write(&batch?))?;
    }
    quietly(writer.finish())?;
    quietly(writer.into_inner().write_all(b"\n").map_err(Into::into))
}

async fn comma_separated(mut rows: Rows, schema: arrow::datatypes::SchemaRef) -> Result<()> {
    let mut writer = csv::Writer::new(std::io::stdout());
    quietly(writer.write(&RecordBatch::new_empty(schema)))?;
    while let Some(batch) = rows.next().await {
        quietly(writer.write(&batch?))?;
    }
    Ok(())
}

/// Under another name until it is whole, so that nobody takes a part for the answer.
async fn file(mut rows: Rows, path: &Path, schema: arrow::datatypes::SchemaRef) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = tempfile::NamedTempFile::new_in(folder).map_err(Error::io(folder))?;
    let mut writer = ipc::writer::FileWriter::try_new_buffered(temporary.as_file(), &schema)?;
    while let Some(batch) = rows.next().await {
        writer.write(&batch?)?;
    }
    writer.finish()?;
    drop(writer);
    let whole = temporary.persist(path).map_err(|e| Error::io(path)(e.error))?;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    File::set_permissions(&whole, permissions).map_err(Error::io(path))
}

/// Prints a line; an error when nobody reads.
pub(crate) fn line(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")
}

/// Ends the process when whoever reads standard output has seen enough.
fn quietly(result: Result<(), arrow::error::ArrowError>) -> Result<()> {
    match result {
        Err(arrow::error::ArrowError::IoError(_, source)) if source.kind() == ErrorKind::BrokenPipe => {
            std::process::exit(0)
        }
        other => Ok(other?),
    }
}

//! `DELIVERY.manifest.json`: written last, so that where it stands the delivery is whole.

use crate::{
    config::{Config, Format},
    files::{self, Written},
    rows::Incoming,
};
use kindred_plugin_api::{DeliverySegment, prelude::*};
use std::{fs, io, path::Path};

/// What a delivery became. Every field follows from the delivery and the options, so redelivery writes the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exported {
    delivery: String,
    sequence: u64,
    destination: String,
    format: Format,
    mode: Mode,
    identifier: String,
    /// When the delivery was cut, RFC 3339.
    created: String,
    segments: Vec<DeliverySegment>,
    /// Rows written and rows refused.
    rows: u64,
    rejected: u64,
    pub(crate) files: Vec<ExportedFile>,
}

/// One file of the delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExportedFile {
    pub(crate) name: String,
    /// Lines, the header not counted.
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl Exported {
    /// The manifest of a delivery whose files are in place.
    pub(crate) fn new(
        config: &Config,
        instance: &str,
        delivery: &Delivery,
        incoming: &Incoming,
        written: &[Written],
        names: Vec<String>,
    ) -> Self {
        let file = |(part, name): (&Written, String)| ExportedFile {
            name,
            rows: part.lines,
            bytes: part.bytes,
            sha256: part.sha256.clone(),
        };
        Self {
            delivery: delivery.id.clone(),
            sequence: delivery.sequence,
            destination: instance.to_owned(),
            format: config.format,
            mode: delivery.mode,
            identifier: config.identifier.clone(),
            created: jiff::Timestamp::from_microsecond(delivery.created_us).unwrap_or_default().to_string(),
            segments: delivery.segments.clone(),
            rows: incoming.rows,
            rejected: incoming.rejects.len() as u64,
            files: written.iter().zip(names).map(file).collect(),
        }
    }
}

/// Name of the manifest of a delivery.
pub(crate) fn name(delivery: &str) -> String {
    format!("{delivery}.manifest.json")
}

/// The manifest of a delivery, if it is whole.
///
/// # Errors
/// TRANSIENT when it cannot be read, PERMANENT when it is there and none of ours.
pub(crate) fn read(dir: &Path, delivery: &str) -> Result<Option<Exported>> {
    let path = dir.join(name(delivery));
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(files::failed("read", &path)(error)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        Fault::permanent("manifest", format!("`{}` is no manifest: {error}", path.display()))
    })
}

/// Puts the manifest in its place.
///
/// # Errors
/// TRANSIENT from the disk.
pub(crate) fn write(dir: &Path, instance: &str, exported: &Exported) -> Result<()> {
    let mut json = serde_json::to_vec_pretty(exported)
        .map_err(|error| Fault::permanent("manifest", error.to_string()))?;
    json.push(b'\n');
    files::replace(dir, &files::stem(instance, &exported.delivery), &name(&exported.delivery), &json)
}

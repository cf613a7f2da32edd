//! An object as it was when it was entered: ranges of another version are refused, so what is read is of one piece.

use crate::{
    GONE,
    refusal::{Refused, cause, changed},
    store::Object,
};
use bytes::Bytes;
use futures::future::try_join_all;
use http::StatusCode;
use kindred_plugin_api::Result;
use object_store::{GetOptions, GetRange, ObjectMeta, path::Path};
use serde::{Deserialize, Serialize};
use std::{io, ops::Range};

/// Bytes that come with entering, enough for a header and for many whole objects.
const FIRST: u64 = 64 << 10;
/// Largest part that one request asks for; larger ranges are asked for in parts at once.
const PART: u64 = 2 << 20;
/// Largest step of a sequential read.
const STEP: u64 = 8 << 20;

/// Tells one content of an object from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its e-tag, or where the service has none the second in which it was written.
    tag: String,
    /// Its size.
    pub bytes: u64,
}

/// An object that is being read.
#[derive(Clone, Debug)]
pub struct Entered {
    object: Object,
    /// The e-tag as the service writes it.
    tag: Option<String>,
    first: Bytes,
}

impl Version {
    pub(crate) fn of(meta: &ObjectMeta) -> Self {
        // Services quote the same e-tag in one answer and not in another.
        let tag = meta.e_tag.as_deref().map(|tag| tag.trim_start_matches("W/").trim_matches('"').to_owned());
        Self { tag: tag.unwrap_or_else(|| meta.last_modified.timestamp().to_string()), bytes: meta.size }
    }
}

impl Object {
    /// Enters it as it is now; none when it is gone.
    ///
    /// # Errors
    /// CONFIG when it may not be read, TRANSIENT when it cannot be read now.
    pub fn enter(&self) -> Result<Option<Entered>> {
        let work = async {
            match part(self, 0..FIRST, None).await {
                Err(error) if is_empty(&error) => Ok(None),
                got => got.map(Some),
            }
        };
        match self.store.ask(&self.name, false, work) {
            Ok(Some((meta, first))) => {
                let object = Self { version: Version::of(&meta), ..self.clone() };
                Ok(Some(Entered { object, tag: meta.e_tag, first }))
            }
            Ok(None) => {
                let object = Self { version: Version { bytes: 0, ..self.version.clone() }, ..self.clone() };
                Ok(Some(Entered { object, tag: None, first: Bytes::new() }))
            }
            Err(fault) if fault.code == GONE => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}

impl Entered {
    /// Which it is.
    pub fn version(&self) -> &Version {
        &self.object.version
    }

    /// Some of its bytes, as far as there are so many.
    ///
    /// # Errors
    /// TRANSIENT when they cannot be read now or the object is another one by now; else as [`Object::enter`].
    pub fn range(&self, range: Range<u64>) -> Result<Bytes> {
        let end = range.end.min(self.object.version.bytes);
        let start = range.start.min(end);
        if end <= self.first.len() as u64 {
            return Ok(self.first.slice(start as usize..end as usize));
        }
        let object = &self.object;
        let starts = (start..end).step_by(PART as usize);
        let parts = starts.map(|at| part(object, at..end.min(at + PART), self.tag.clone()));
        let parts = object.store.ask(&object.name, false, try_join_all(parts))?;
        if parts.iter().any(|(meta, _)| Version::of(meta) != object.version) {
            return Err(changed(&object.name));
        }
        let mut parts = parts.into_iter().map(|(_, bytes)| bytes);
        match (parts.next(), parts.len()) {
            (Some(only), 0) => Ok(only),
            (first, _) => Ok(first.into_iter().chain(parts).flatten().collect()),
        }
    }

    /// Reads from an offset to the end. A failure of the store is in the error as a [`kindred_plugin_api::Fault`].
    pub fn read_from(&self, offset: u64) -> impl io::Read + Send + 'static {
        Sequence { entered: self.clone(), at: offset, step: FIRST, held: Bytes::new() }
    }
}

/// Asks for one range; the object must still have `tag`.
async fn part(
    object: &Object,
    range: Range<u64>,
    tag: Option<String>,
) -> object_store::Result<(ObjectMeta, Bytes)> {
    let path: &Path = &object.path;
    let options =
        GetOptions { range: Some(GetRange::Bounded(range)), if_match: tag, ..GetOptions::default() };
    let got = object.store.service().get_opts(path, options).await?;
    let meta = got.meta.clone();
    Ok((meta, got.bytes().await?))
}

/// No range of an object without bytes can be had.
fn is_empty(error: &object_store::Error) -> bool {
    cause::<Refused>(error).is_some_and(|refused| refused.status == StatusCode::RANGE_NOT_SATISFIABLE)
}

/// Reads in steps that grow, so that a look at the beginning costs little and all of it few requests.
struct Sequence {
    entered: Entered,
    at: u64,
    step: u64,
    held: Bytes,
}

impl io::Read for Sequence {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.held.is_empty() {
            self.held = self.entered.range(self.at..self.at + self.step).map_err(io::Error::other)?;
            self.at += self.held.len() as u64;
            self.step = STEP.min(self.step * 8);
        }
        let count = buffer.len().min(self.held.len());
        buffer[..count].copy_from_slice(&self.held.split_to(count));
        Ok(count)
    }
}

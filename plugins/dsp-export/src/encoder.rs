//! What every format must say: which identifiers and segments it takes, and how one user becomes lines.

use crate::{
    adobe::Adobe,
    config::{Config, Format, SegmentIds},
    files::Parts,
    generic::{Csv, Jsonl},
    members::Member,
    xandr::Xandr,
};
use kindred_plugin_api::prelude::*;
use std::borrow::Cow;

/// One format.
pub(crate) trait Encoder {
    /// The identifier as this format writes it.
    ///
    /// # Errors
    /// Why it cannot, in words that do not hold the value.
    fn identifier<'a>(&self, raw: &'a str) -> Result<Cow<'a, str>, String>;

    /// True when the segment can be named.
    ///
    /// # Errors
    /// What the options lack.
    fn segment(&self, _target: &Target) -> Result<(), String> {
        Ok(())
    }

    /// First line of each file.
    fn header(&self) -> Option<String> {
        None
    }

    /// Writes all changes of one user, additions first.
    ///
    /// # Errors
    /// TRANSIENT from the disk.
    fn user(&self, id: &str, changes: &[Change<'_>], mode: Mode, out: &mut Parts) -> Result<()>;

    /// True when a delivery without a line still makes a file.
    fn writes_empty(&self) -> bool {
        false
    }

    /// Extension of the files, without `.gz`.
    fn extension(&self) -> &'static str;

    /// True when [`Encoder::name`] differs for every delivery.
    fn names_are_own(&self) -> bool {
        true
    }

    /// Name of a file; `part` from 1 when there are several.
    fn name(&self, delivery: &Delivery, part: Option<usize>, _later_s: i64, gzip: bool) -> String {
        let mode = match delivery.mode {
            Mode::Delta => "delta",
            Mode::Full => "full",
        };
        let part = part.map_or(String::new(), |part| format!("-{part:03}"));
        let gz = if gzip { ".gz" } else { "" };
        format!("{:08}-{mode}-{}{part}.{}{gz}", delivery.sequence, delivery.id, self.extension())
    }
}

/// A segment and what the platform calls it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) ids: SegmentIds,
}

impl Target {
    /// The code, which is the name where none is set.
    pub(crate) fn code(&self) -> &str {
        self.ids.code.as_deref().unwrap_or(&self.name)
    }
}

/// One segment that a user enters or leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) target: &'a Target,
    pub(crate) remove: bool,
    /// Seconds since 1970.
    pub(crate) since_s: i64,
}

/// The format that the options name.
pub(crate) fn of(config: &Config) -> Box<dyn Encoder + Send> {
    match config.format {
        Format::Xandr => Box::new(Xandr::new(config)),
        Format::AdobeAam => Box::new(Adobe::new(config)),
        Format::Csv => Box::new(Csv { identifier: config.identifier.clone(), human: config.human }),
        Format::Jsonl => Box::new(Jsonl { identifier: config.identifier.clone() }),
    }
}

/// What the platform calls a segment.
///
/// # Errors
/// PERMANENT when the format needs something of it that the options do not say: nothing may be dropped in silence.
pub(crate) fn target(config: &Config, encoder: &dyn Encoder, name: &str) -> Result<Target> {
    let target =
        Target { name: name.to_owned(), ids: config.segments.get(name).cloned().unwrap_or_default() };
    match encoder.segment(&target) {
        Ok(()) => Ok(target),
        Err(why) => Err(Fault::permanent("unmapped-segment", format!("segment `{name}`: {why}"))),
    }
}

/// The changes of one user, additions first.
pub(crate) fn changes<'a>(members: &[Member], targets: &'a [Target]) -> Vec<Change<'a>> {
    let change = |member: &Member| Change {
        target: &targets[member.segment as usize],
        remove: member.remove,
        since_s: member.since_s,
    };
    let mut changes: Vec<Change<'a>> = members.iter().map(change).collect();
    changes.sort_by_key(|change| change.remove);
    changes
}

/// An identifier for a machine's file: letters, digits and `_ - . : = + / @ ~ %`, but none of `barred`.
///
/// # Errors
/// Another character in it.
pub(crate) fn strict<'a>(raw: &'a str, barred: &[char]) -> Result<Cow<'a, str>, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.:=+/@~%".contains(c);
    match raw.chars().find(|&c| !allowed(c) || barred.contains(&c)) {
        None if raw.is_empty() => Err("empty identifier".to_owned()),
        None => Ok(Cow::Borrowed(raw)),
        Some(found) => Err(format!("identifier with {found:?}, which the format cannot hold")),
    }
}

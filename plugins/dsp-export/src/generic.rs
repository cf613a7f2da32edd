//! Files for no platform in particular: a segment, an operation and an identifier a row.

use crate::{
    encoder::{Change, Encoder, Target, strict},
    files::Parts,
};
use kindred_plugin_api::prelude::{Mode, Result};
use std::borrow::Cow;

/// RFC 4180 with line feeds; the header is `segment,operation,IDENTIFIER`.
pub(crate) struct Csv {
    pub(crate) identifier: String,
    pub(crate) human: bool,
}

impl Csv {
    /// A cell; before what a spreadsheet would take for a formula (or for our mark) stands a `'`.
    /// Source: OWASP, "CSV injection".
    fn cell<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.human && text.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) {
            return quoted(Cow::Owned(format!("'{text}")));
        }
        quoted(Cow::Borrowed(text))
    }
}

impl Encoder for Csv {
    fn identifier<'a>(&self, raw: &'a str) -> Result<Cow<'a, str>, String> {
        if self.human { Ok(Cow::Borrowed(raw)) } else { strict(raw, &[]) }
    }

    fn header(&self) -> Option<String> {
        Some(format!("segment,operation,{}", self.cell(&self.identifier)))
    }

    fn user(&self, id: &str, changes: &[Change<'_>], _mode: Mode, out: &mut Parts) -> Result<()> {
        let id = self.cell(id);
        changes.iter().try_for_each(|change| {
            let segment = label(change.target);
            out.line(&format!("{},{},{id}", self.cell(&segment), operation(change)))
        })
    }

    fn writes_empty(&self) -> bool {
        true
    }

    fn extension(&self) -> &'static str {
        "csv"
    }
}

/// JSON Lines: `{"segment":"vip","operation":"add","cookie":"…"}`.
pub(crate) struct Jsonl {
    pub(crate) identifier: String,
}

impl Encoder for Jsonl {
    fn identifier<'a>(&self, raw: &'a str) -> Result<Cow<'a, str>, String> {
        match raw.chars().any(char::is_control) {
            true => Err("identifier with a control character".to_owned()),
            false => Ok(Cow::Borrowed(raw)),
        }
    }

    fn user(&self, id: &str, changes: &[Change<'_>], _mode: Mode, out: &mut Parts) -> Result<()> {
        let (key, id) = (json(&self.identifier), json(id));
        changes.iter().try_for_each(|change| {
            let segment = json(&label(change.target));
            out.line(&format!(r#"{{"segment":{segment},"operation":"{}",{key}:{id}}}"#, operation(change)))
        })
    }

    fn writes_empty(&self) -> bool {
        true
    }

    fn extension(&self) -> &'static str {
        "jsonl"
    }
}

/// What stands for the segment: its code, else its id, else its name.
fn label(target: &Target) -> Cow<'_, str> {
    match (&target.ids.code, target.ids.id) {
        (Some(code), _) => Cow::Borrowed(code),
        (None, Some(id)) => Cow::Owned(id.to_string()),
        (None, None) => Cow::Borrowed(&target.name),
    }
}

fn operation(change: &Change<'_>) -> &'static str {
    if change.remove { "remove" } else { "add" }
}

fn quoted(cell: Cow<'_, str>) -> Cow<'_, str> {
    match cell.contains([',', '"', '\r', '\n']) {
        true => Cow::Owned(format!("\"{}\"", cell.replace('"', "\"\""))),
        false => cell,
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

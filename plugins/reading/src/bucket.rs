//! Which objects of a store an option `path` means: one, a folder or a glob, as on this machine.

use crate::{
    files::{File, Format, KNOWN, WILD},
    input::Place,
};
use glob::{MatchOptions, Pattern};
use kindred_objects::{Address, Object, Stores};
use kindred_plugin_api::{Fault, Problem, Result};
use std::path::Path;

/// As a shell reads a pattern.
const MATCH: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The objects that the option `text` at `at` means.
///
/// # Errors
/// CONFIG for an address that means nothing or may not be read, TRANSIENT when the store cannot be asked now.
pub(crate) fn objects(
    address: &Address,
    text: &str,
    format: Option<Format>,
    at: &str,
    stores: &mut Stores,
) -> Result<Vec<File>> {
    let key = address.key();
    let nothing = |message: String, help: String| Fault::config(vec![Problem::new(at, message).help(help)]);
    let known = |key: &str| {
        let hidden = key.rsplit('/').next().is_none_or(|name| name.starts_with('.'));
        !hidden && format.or_else(|| Format::of(Path::new(key))).is_some()
    };
    let found = if let Some(wild) = key.find(WILD) {
        let pattern = Pattern::new(key).map_err(|error| {
            nothing(format!("`{text}` is no pattern: {error}"), "as `s3://bucket/logs/*.jsonl.gz`".into())
        })?;
        let deep = key[wild..].contains('/') || key[wild..].contains("**");
        let wanted = |key: &str| known(key) && pattern.matches_with(key, MATCH);
        stores.list((address, at), &key[..wild], deep, wanted)?
    } else {
        if !key.is_empty()
            && !key.ends_with('/')
            && let Some(object) = stores.object(address, at)?
        {
            return file(object, format).map(|file| vec![file]).ok_or_else(|| {
                let message = format!("the name of `{text}` does not tell its format");
                nothing(message, format!("set `format`; known names end in {KNOWN}"))
            });
        }
        let folder = key.trim_end_matches('/');
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        stores.list((address, at), &prefix, false, known)?
    };
    if found.is_empty() {
        let message = format!("no object to read at `{text}`");
        return Err(nothing(message, format!("the bucket is there; known names end in {KNOWN}")));
    }
    Ok(found.into_iter().filter_map(|object| file(object, format)).collect())
}

fn file(object: Object, format: Option<Format>) -> Option<File> {
    let format = format.or_else(|| Format::of(Path::new(object.key())))?;
    Some(File { name: object.name.clone(), place: Place::Object(object), format })
}

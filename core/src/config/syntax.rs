//! From bytes to a tree, and what the TOML parser found wrong on the way.

use super::{
    problem::{Problem, Problems, Span, position},
    tree::Node,
};
use crate::near::near;
use std::{collections::BTreeSet, fs, path::Path};
use toml::de::{DeTable, Error};

/// The text of a file.
///
/// # Errors
/// When there is none, or it is not UTF-8.
pub(super) fn read(file: &Path) -> Result<String, Problems> {
    let bytes = fs::read(file).map_err(|error| {
        let error = error.to_string();
        let error = error.split(" (os error").next().unwrap_or_default().to_lowercase();
        Problems::whole(file, format!("the pipeline file cannot be read: {error}"), &neighbours(file))
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&error.as_bytes()[..good]).into_owned();
        let (line, column) = position(&text, text.len());
        let message =
            format!("the file is not UTF-8: byte {good} (line {line}, column {column}) is not text");
        Problems::whole(file, message, "save it as UTF-8")
    })
}

/// The tree, unless the syntax is so broken that more problems would be guesses.
pub(super) fn parse(text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut errors: Vec<(Span, Error)> = errors.into_iter().map(|e| (e.span().unwrap_or(0..0), e)).collect();
    errors.sort_by_key(|(span, _)| span.start);
    let broken = errors.iter().any(|(_, error)| error.message() != DUPLICATE);
    let mut lines = BTreeSet::new();
    for (span, error) in errors {
        let (line, header) = lines_of(text, span.start);
        // What follows in a line, or in a table that should not be there, is a consequence.
        let follows = error.message() == DUPLICATE && line != header && lines.contains(&header);
        if !follows && lines.insert(line) {
            problems.push(problem(text, &span, error.message()));
        }
    }
    if broken {
        return None;
    }
    if table.get_ref().is_empty() && problems.is_empty() {
        problems.push(Problem::outside("the file is empty").help(START));
        return None;
    }
    Some(Node::table(table.get_ref(), 0..text.lines().next().map_or(0, str::len), text, problems))
}

const DUPLICATE: &str = "duplicate key";
const START: &str = "a pipeline starts with `[pipeline]` and a `store`, and has at least one source, `[sources.NAME]` with a `plugin`";

/// What the parser says, and what it means for whoever wrote the file.
const MEANINGS: &[(&str, &str, &str)] = &[
    (
        "string values must be quoted",
        "a value that is not in quotes",
        "text stands in quotes: `key = \"text\"`",
    ),
    (
        "invalid boolean",
        "a value that is not in quotes",
        "text stands in quotes; the others are `true` and `false`",
    ),
    (
        "invalid basic string",
        "a string without an end",
        "close it with `\"`; text of many lines stands between `\"\"\"`",
    ),
    (
        "invalid literal string",
        "a string without an end",
        "close it with `'`; text of many lines stands between `'''`",
    ),
    ("invalid multi-line", "a string without an end", "close it with the three quotes that it starts with"),
    ("unclosed table", "a table header without an end", "close it with `]`, or `]]` for an entry of a list"),
    ("unclosed array", "a list without an end", "close it with `]`"),
    ("unclosed inline table", "a table without an end", "close it with `}`"),
    ("missing comma", "a comma is missing", "values are separated by `,`"),
    ("key with no value", "a key without a value", "write `key = value`"),
    (
        "missing escaped value",
        "an unknown escape",
        "write `\\\\` for a backslash, or put the text in single quotes",
    ),
    ("unquoted keys cannot be empty", "a name is missing", "write `key = value` or `[table]`"),
    ("unexpected key or value", "more than one thing in a line", "a line holds one `key = value`"),
];

fn problem(text: &str, span: &Span, message: &str) -> Problem {
    let found = text.get(span.clone()).unwrap_or_default();
    if message == DUPLICATE {
        let line = text[lines_of(text, span.start).0..].lines().next().unwrap_or_default();
        let header = line.trim_start().strip_prefix('[').and_then(|rest| rest.split(']').next());
        let name = header.map_or(found, |header| header.trim_matches(['[', ' ', '\t']));
        return Problem::at(span, format!("`{name}` is defined twice"))
            .found("the second")
            .help("a key or a table of the same name stands once: rename one of them, or put them together");
    }
    let empty =
        text.get(span.start..).is_none_or(|rest| rest.lines().next().unwrap_or_default().trim().is_empty());
    if message.starts_with("string values must be quoted") && empty {
        return Problem::at(span, "a key without a value").found("nothing").help("write `key = value`");
    }
    let what = if found.trim().is_empty() { "here".to_owned() } else { format!("`{}`", found.trim()) };
    match MEANINGS.iter().find(|(start, ..)| message.starts_with(start)) {
        Some((_, meaning, help)) => Problem::at(span, *meaning).found(what).help(*help),
        None => Problem::at(span, format!("not TOML: {}", message.trim_end_matches(", expected nothing")))
            .found(what),
    }
}

/// Where the line of a byte starts, and where the line of the table header at or above it does.
fn lines_of(text: &str, byte: usize) -> (usize, usize) {
    let start = |byte: usize| text[..byte].rfind('\n').map_or(0, |at| at + 1);
    let line = start(text.floor_char_boundary(byte));
    let end = text[line..].find('\n').map_or(text.len(), |length| line + length);
    (line, text[..end].rfind("\n[").map_or(0, |at| at + 1))
}

/// Pipeline files beside one that is not there.
fn neighbours(file: &Path) -> String {
    let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    let wanted = file.file_name().unwrap_or_default().to_string_lossy();
    match near(&wanted, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{}`?", file.with_file_name(near).display()),
        None => "name a pipeline file that exists".to_owned(),
    }
}

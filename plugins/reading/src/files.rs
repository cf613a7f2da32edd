//! Which files an option `path` means: a file, a folder or a glob, in sorted order, each with its format.

use crate::{
    bucket,
    input::{Input, Place, unreadable},
    options::Names,
};
use kindred_objects::{Address, Stores};
use kindred_plugin_api::{Context, Fault, FaultKind, Problem, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// How a file is laid out. Text files may be compressed with gzip or zstd; their first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Fields with a delimiter, RFC 4180: `.csv`.
    Csv,
    /// The same with tabs: `.tsv`.
    Tsv,
    /// One JSON object a line: `.jsonl`, `.ndjson`, `.json`.
    #[serde(alias = "ndjson", alias = "json")]
    Jsonl,
    /// Apache Parquet: `.parquet`.
    Parquet,
}

pub(crate) const KNOWN: &str = ".csv .tsv .jsonl .ndjson .json, also with .gz or .zst, and .parquet";

pub(crate) const WILD: [char; 3] = ['*', '?', '['];

/// One file of the set.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Seen from the folder of the pipeline file where it lies below it, or a whole address: what a position and messages
    /// call it.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) place: Place,
    /// How it is laid out.
    pub(crate) format: Format,
}

impl File {
    /// Enters it.
    ///
    /// # Errors
    /// TRANSIENT when it is gone, else what the store says.
    pub(crate) fn enter(&self) -> Result<Input> {
        self.place.enter()?.ok_or_else(|| Fault::transient("gone", format!("`{}` is gone", self.name)))
    }
}

impl Format {
    /// By the extension, behind which `.gz` or `.zst` may stand.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let plain = [".gz", ".zst", ".zstd"].iter().find_map(|packed| name.strip_suffix(packed));
        match (plain.unwrap_or(&name).rsplit_once('.')?.1, plain) {
            ("csv", _) => Some(Self::Csv),
            ("tsv", _) => Some(Self::Tsv),
            ("jsonl" | "ndjson" | "json", _) => Some(Self::Jsonl),
            ("parquet", None) => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// The files that `paths` mean, sorted by name, each once.
///
/// # Errors
/// CONFIG at `at` for a path that means nothing; TRANSIENT when a folder cannot be listed.
pub(crate) fn resolve(
    paths: &Names,
    format: Option<Format>,
    at: &str,
    stores: &mut Stores,
    context: &Context,
) -> Result<Vec<File>> {
    let base = context.path("");
    let mut files = Vec::new();
    let mut problems = Vec::new();
    for (at, text) in places(paths, at) {
        let found = match Address::parse(text, &at).map_err(|problem| Fault::config(vec![problem])) {
            Ok(Some(address)) => bucket::objects(&address, text, format, &at, stores),
            Ok(None) => one(text, format, context).map_err(|failed| failed.fault(&at)).map(|found| {
                let file = |(path, format): (PathBuf, Format)| {
                    let name = path.strip_prefix(&base).unwrap_or(&path).to_string_lossy().into_owned();
                    File { name, place: Place::Path(path), format }
                };
                found.into_iter().map(file).collect()
            }),
            Err(fault) => Err(fault),
        };
        match found {
            Ok(found) => files.extend(found),
            Err(fault) if fault.kind == FaultKind::Config => problems.extend(fault.problems),
            Err(fault) => return Err(fault),
        }
    }
    if !problems.is_empty() {
        return Err(Fault::config(problems));
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    files.dedup_by(|one, other| one.name == other.name);
    Ok(files)
}

/// Each path, and its place in the options.
pub(crate) fn places<'a>(paths: &'a Names, at: &'a str) -> impl Iterator<Item = (String, &'a str)> {
    let several = paths.0.len() > 1;
    let place = move |index: usize| if several { format!("{at}/{index}") } else { at.to_owned() };
    paths.0.iter().enumerate().map(move |(index, text)| (place(index), text.as_str()))
}

enum Failed {
    Problem(String, String),
    Io(PathBuf, std::io::Error),
}

impl Failed {
    fn fault(self, at: &str) -> Fault {
        match self {
            Self::Problem(message, help) => Fault::config(vec![Problem::new(at, message).help(help)]),
            Self::Io(path, error) => unreadable(&path.to_string_lossy(), &error),
        }
    }
}

type Found = Vec<(PathBuf, Format)>;

fn one(text: &str, format: Option<Format>, context: &Context) -> Result<Found, Failed> {
    let path = &context.path(text);
    if path.is_dir() {
        return folder(path, text, format);
    }
    if path.is_file() {
        return match format.or_else(|| Format::of(path)) {
            Some(format) => Ok(vec![(path.to_owned(), format)]),
            None => Err(Failed::Problem(
                format!("the name of `{text}` does not tell its format"),
                format!("set `format`; known names end in {KNOWN}"),
            )),
        };
    }
    if text.contains(WILD) { pattern(text, format, context) } else { Err(absent(path, text)) }
}

fn absent(path: &Path, text: &str) -> Failed {
    let folder = path.parent().unwrap_or(path);
    let state = if folder.is_dir() { "which has no such file" } else { "which does not exist" };
    Failed::Problem(format!("no file `{text}`"), format!("looked in `{}`, {state}", folder.display()))
}

fn folder(path: &Path, text: &str, format: Option<Format>) -> Result<Found, Failed> {
    let io = |error| Failed::Io(path.to_owned(), error);
    let mut paths = Vec::new();
    for entry in path.read_dir().map_err(io)? {
        paths.push(entry.map_err(io)?.path());
    }
    known(paths, format).ok_or_else(|| {
        Failed::Problem(format!("no file to read in folder `{text}`"), format!("known names end in {KNOWN}"))
    })
}

fn pattern(text: &str, format: Option<Format>, context: &Context) -> Result<Found, Failed> {
    // Only the option is a pattern, the folder that it starts from is not.
    let base = glob::Pattern::escape(&context.path("").to_string_lossy());
    let whole = if Path::new(text).is_absolute() { text.to_owned() } else { format!("{base}{text}") };
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let found = glob::glob_with(&whole, options).map_err(|error| {
        Failed::Problem(format!("`{text}` is no pattern: {error}"), "as `logs/*.jsonl.gz`".into())
    })?;
    let mut paths = Vec::new();
    for entry in found {
        paths.push(entry.map_err(|error| Failed::Io(error.path().to_owned(), error.into()))?);
    }
    known(paths, format).ok_or_else(|| {
        let literal = |part: &std::path::Component<'_>| !part.as_os_str().to_string_lossy().contains(WILD);
        let fixed = context.path(Path::new(text).components().take_while(literal).collect::<PathBuf>());
        let state = if fixed.is_dir() { "is there" } else { "does not exist" };
        Failed::Problem(
            format!("no file matches `{text}`"),
            format!("looked in folder `{}`, which {state}; known names end in {KNOWN}", fixed.display()),
        )
    })
}

/// Those of a known format, or all when the format is given; none when there is none.
fn known(paths: Vec<PathBuf>, format: Option<Format>) -> Option<Found> {
    let hidden = |path: &Path| path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let found: Found = paths
        .into_iter()
        .filter(|path| path.is_file() && !hidden(path))
        .filter_map(|path| format.or_else(|| Format::of(&path)).map(|format| (path, format)))
        .collect();
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::Builder::new().prefix("a[1]").tempdir().unwrap();
        std::fs::create_dir(dir.path().join("logs")).unwrap();
        for name in ["logs/b.jsonl.gz", "logs/a.csv", "logs/.hidden.csv", "logs/README", "odd.dat"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        dir
    }

    fn names(path: &[&str], format: Option<Format>) -> Result<Vec<String>> {
        let dir = tree();
        let context = Context::detached(dir.path());
        let mut stores = Stores::new(&kindred_objects::StoreConfig::default(), &context);
        let files = resolve(&Names::from(path), format, "/path", &mut stores, &context)?;
        Ok(files.into_iter().map(|f| f.name).collect())
    }

    #[test]
    fn a_folder_gives_its_known_files_sorted() {
        assert_eq!(names(&["logs"], None).unwrap(), ["logs/a.csv", "logs/b.jsonl.gz"]);
    }

    #[test]
    fn a_glob_and_a_file_overlap_once() {
        assert_eq!(names(&["logs/*.csv", "logs/a.csv"], None).unwrap(), ["logs/a.csv"]);
    }

    #[test]
    fn a_format_overrides_the_name() {
        assert_eq!(names(&["odd.dat"], Some(Format::Csv)).unwrap(), ["odd.dat"]);
        let fault = names(&["odd.dat"], None).unwrap_err();
        assert!(fault.message.contains("`odd.dat` does not tell its format"), "{fault}");
    }

    #[test]
    fn no_match_names_pattern_and_folder() {
        let fault = names(&["logs/a.csv", "logs/*.tsv"], None).unwrap_err();
        let problem = &fault.problems[0];
        assert_eq!(
            (problem.path.as_str(), problem.message.as_str()),
            ("/path/1", "no file matches `logs/*.tsv`")
        );
        assert!(problem.help.as_deref().unwrap().contains("/logs`, which is there"), "{problem:?}");
        let fault = names(&["lgs/x.csv"], None).unwrap_err();
        assert!(fault.problems[0].help.as_deref().unwrap().contains("does not exist"));
    }
}

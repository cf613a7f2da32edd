//! A folder for one test and the `kindred` binary to run in it.

use crate::artefacts;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

/// A folder that is gone after the test.
#[derive(Debug)]
pub struct Sandbox(TempDir);

impl Sandbox {
    /// An empty one.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// A path inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(&path, content).expect("a file");
        path
    }

    /// Runs `kindred` here.
    pub fn kindred(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("kindred starts")
    }

    /// `kindred`, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(artefacts::kindred());
        command.current_dir(self.0.path()).args(arguments);
        command
    }

    /// Runs `kindred … --json`, which must succeed, and answers what it printed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.push("--json");
        let output = self.kindred(&all);
        assert!(output.status.success(), "kindred {arguments:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Runs `kindred …`, which must fail, and answers what it said.
    pub fn failure(&self, arguments: &[&str]) -> String {
        let output = self.kindred(arguments);
        assert!(!output.status.success(), "kindred {arguments:?} should have failed: {}", said(&output));
        assert!(output.status.code().is_some(), "kindred {arguments:?} was killed: {}", said(&output));
        said(&output)
    }

    /// Members of a segment, as the values of one namespace, sorted.
    pub fn members(&self, pipeline: &[&str], segment: &str, namespace: &str) -> Vec<String> {
        let mut arguments = vec!["segments"];
        arguments.extend(pipeline);
        arguments.extend(["--members", segment, "--namespace", namespace]);
        let found = self.json(&arguments);
        let mut values: Vec<String> = found
            .as_array()
            .expect("a list")
            .iter()
            .map(|member| member["value"].as_str().expect("a value").to_owned())
            .collect();
        values.sort();
        values
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

/// Everything that a process said.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

/// A folder of fixtures that stands beside the repository; none, and a line on standard error, where it does not.
pub fn fixtures(name: &str) -> Option<PathBuf> {
    let path = repository().parent()?.join("shared/fixtures").join(name);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: shared/fixtures/{name} is not beside the repository");
    None
}

/// All files below a folder with their contents, by their path inside; not the manifests, which name the moment.
pub fn files(folder: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(inside) = path.strip_prefix(folder) {
                found.insert(inside.to_string_lossy().into_owned(), fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

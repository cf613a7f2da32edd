//! The two programs beside each other, and a store to ask.

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};
use tempfile::TempDir;

/// A folder with a pipeline, its store, and nothing else.
pub(crate) struct Place(TempDir);

/// `kindred` with `kindred-query` beside it, in a folder of their own; built once a process.
fn programs() -> &'static Path {
    static BUILT: OnceLock<TempDir> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let query = Path::new(env!("CARGO_BIN_EXE_kindred-query"));
        let target = query.ancestors().nth(2).expect("the target folder");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            // Together, so that no dependency is built with another choice of features.
            .args(["build", "--quiet", "-p", "kindred", "-p", "kindred-query", "--bins"])
            .args(["--message-format=json-render-diagnostics", "--manifest-path"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .arg("--target-dir")
            .arg(target)
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let folder = tempfile::tempdir_in(target).expect("a folder");
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let message: Value = serde_json::from_str(line).expect("a message of cargo");
            if let (Some(built), Some(name)) =
                (message["executable"].as_str(), message["target"]["name"].as_str())
            {
                fs::hard_link(built, folder.path().join(name)).expect("a link");
            }
        }
        folder
    });
    folder.path()
}

impl Place {
    pub(crate) fn new(pipeline: &str) -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        place.write("pipeline.toml", pipeline);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(programs().join("kindred"));
        command.current_dir(self.0.path()).args(arguments);
        command
    }

    /// The same without the query engine.
    pub(crate) fn alone(&self, arguments: &[&str]) -> Output {
        let alone = tempfile::tempdir_in(programs()).expect("a folder");
        let kindred = alone.path().join("kindred");
        fs::hard_link(programs().join("kindred"), &kindred).expect("a link");
        Command::new(kindred).current_dir(self.0.path()).args(arguments).output().expect("kindred starts")
    }

    /// Must succeed; what it printed, as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(arguments).arg("--json").output().expect("kindred starts");
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Must fail with this code; what it said.
    pub(crate) fn failure(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("kindred starts");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    /// The rows of a query.
    pub(crate) fn rows(&self, sql: &str) -> Vec<Value> {
        self.json(&["query", "pipeline.toml", sql]).as_array().expect("rows").clone()
    }

    /// The cookies in a segment.
    pub(crate) fn members(&self, segment: &str) -> Vec<String> {
        let found = self.json(&["segments", "pipeline.toml", "--members", segment]);
        let values = found.as_array().expect("members").iter();
        values.map(|member| member["value"].as_str().expect("a value").to_owned()).collect()
    }
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

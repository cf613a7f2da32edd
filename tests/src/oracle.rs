//! Independent answers: Python scripts in `tests/oracle`, run with packages of their own in a virtual environment.

use crate::{artefacts::target, sandbox::repository};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// What a script of `tests/oracle` prints for a folder of data; none, and a line on standard error, where there is no
/// Python or its packages cannot be had. With `CI=true` that is a failure.
pub fn answers(script: &str, data: &Path) -> Option<Value> {
    let python = python()?;
    let script = repository().join("tests/oracle").join(script);
    let output = Command::new(python).arg(script).arg(data).output().expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let environment = || environment(&target().join("oracle"), "duckdb", "tests/oracle/requirements.txt");
    available(PYTHON.get_or_init(environment), "the independent SQL answers").map(PathBuf::as_path)
}

/// What was found; else a line on standard error about what is left out, and with `CI=true` a failure.
pub(crate) fn available<'a, T>(found: &'a Result<T, String>, what: &str) -> Option<&'a T> {
    found
        .as_ref()
        .map_err(|why| {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{what}: {why}");
            eprintln!("SKIPPED: {what}, because {why}");
        })
        .ok()
}

/// The Python of a virtual environment that has some modules, made on first use with the packages that a file of the
/// repository lists.
pub(crate) fn environment(folder: &Path, modules: &str, packages: &str) -> Result<PathBuf, String> {
    let python = folder.join("bin/python");
    let works = || {
        let import = Command::new(&python).args(["-c", &format!("import {modules}")]).output();
        import.is_ok_and(|output| output.status.success())
    };
    if works() {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let mut pip = Command::new(&python);
    run(pip.args(["-m", "pip", "install", "--quiet", "-r"]).arg(repository().join(packages)))?;
    if works() { Ok(python) } else { Err(format!("{modules} cannot be imported")) }
}

/// Runs a command; the error is all that it said.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?} does not start: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{command:?} failed: {said}"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

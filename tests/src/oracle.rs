//! Independent answers: Python scripts in `tests/oracle`, run with packages of their own in a virtual environment.

use crate::sandbox::repository;
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
    match PYTHON.get_or_init(environment) {
        Ok(python) => Some(python),
        Err(why) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "the oracle is missing: {why}");
            eprintln!("SKIPPED: the independent SQL answers, because {why}");
            None
        }
    }
}

/// The virtual environment, in the target folder, made on first use.
fn environment() -> Result<PathBuf, String> {
    let folder = crate::artefacts::target().join("oracle");
    let python = folder.join("bin/python");
    let works = |python: &Path| {
        Command::new(python)
            .args(["-c", "import duckdb"])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if works(&python) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "duckdb>=1.3"]))?;
    if works(&python) { Ok(python) } else { Err("duckdb cannot be imported".into()) }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?} does not start: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?} failed: {said}")) }
}

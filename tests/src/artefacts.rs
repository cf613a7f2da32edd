//! Artefacts that tests load, built by cargo on first use, once a process. Cargo has released its lock on the target
//! folder by the time that tests run.

use crate::services::missing;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// Artefacts by the name of their cargo target: `kindred_cookies`.
pub(crate) type Artefacts = HashMap<String, PathBuf>;

/// The names of the built-in plugins, sorted. Each has a crate `plugins/NAME/dylib`.
pub const BUILT_IN: [&str; 19] = [
    "campaign-log",
    "consent",
    "content-category",
    "cookies",
    "crm-import",
    "dsp-export",
    "file-events",
    "geo",
    "hash-identifiers",
    "http-pull",
    "kafka",
    "lookalike",
    "nats",
    "postgres",
    "rules",
    "session",
    "taxonomy",
    "url",
    "user-agent",
];

/// The library of a built-in plugin, built with the profile of the running test.
pub fn built_in(name: &str) -> &'static Path {
    &workspace()[&format!("kindred_{}", name.replace('-', "_"))]
}

/// The `kindred` binary, built with the profile of the running test.
pub fn kindred() -> &'static Path {
    &workspace()["kindred"]
}

/// All members in one go: with the same choice of features as `cargo test`, so that no dependency is built twice. Not
/// what carries a query engine, which takes longer to build than all the rest and has tests of its own.
fn workspace() -> &'static Artefacts {
    static BUILT: OnceLock<Artefacts> = OnceLock::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let heavy = ["--exclude", "kindred-cluster", "--exclude", "kindred-query"];
    let arguments = [&["--workspace", "--lib", "--bins"][..], &heavy].concat();
    BUILT.get_or_init(|| build(&root, &target(), profile(), &arguments))
}

/// `examples/acme`: a vendor's plugin from outside the workspace.
pub fn acme() -> &'static Path {
    static BUILT: OnceLock<Artefacts> = OnceLock::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/acme/Cargo.toml");
    &BUILT.get_or_init(|| build(&root, &target().join("acme"), "dev", &["--lib"]))["acme"]
}

/// `tests/faulty`: a plugin of each kind that does what its options say.
pub fn faulty() -> &'static Path {
    &misbehaving()["kindred_faulty"]
}

/// `tests/faulty/examples/liar.rs`: speaks the raw boundary and lies.
pub fn liar() -> &'static Path {
    &misbehaving()["liar"]
}

fn misbehaving() -> &'static Artefacts {
    static BUILT: OnceLock<Artefacts> = OnceLock::new();
    BUILT.get_or_init(|| build(&faulty_root(), &target().join("faulty"), "dev", &["--lib", "--examples"]))
}

/// The library of [`faulty`], built with `panic = "abort"`.
pub fn aborting() -> &'static Path {
    static BUILT: OnceLock<Artefacts> = OnceLock::new();
    let libraries =
        BUILT.get_or_init(|| build(&faulty_root(), &target().join("faulty"), "abort", &["--lib"]));
    &libraries["kindred_faulty"]
}

/// A shared object of C, from source and macros; none, and a line on standard error, without a C compiler. With `CI=true`
/// that is a failure.
pub fn c_library(source: &Path, output: &Path, macros: &[(&str, &str)]) -> Option<PathBuf> {
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(output).arg(source);
    for (name, value) in macros {
        compiler.arg(format!("-D{name}={value}"));
    }
    match compiler.status() {
        Ok(status) => {
            assert!(status.success(), "cc cannot build {}", source.display());
            Some(output.to_owned())
        }
        Err(error) => missing(&format!("a C compiler `cc` ({error})")),
    }
}

fn faulty_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("faulty/Cargo.toml")
}

/// Runs `cargo build` and answers the libraries and binaries that it made or found fresh.
pub(crate) fn build(root: &Path, target: &Path, profile: &str, arguments: &[&str]) -> Artefacts {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--message-format=json-render-diagnostics", "--profile", profile])
        .arg("--manifest-path")
        .arg(root)
        .arg("--target-dir")
        .arg(target)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo cannot build {}", root.display());
    String::from_utf8_lossy(&output.stdout).lines().filter_map(artefact).collect()
}

/// The library or binary of one of cargo's messages.
fn artefact(message: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let name = message["target"]["name"].as_str()?.to_owned();
    if let Some(binary) = message["executable"].as_str() {
        return Some((name, binary.into()));
    }
    let kinds = message["target"]["crate_types"].as_array()?;
    let mut files = message["filenames"].as_array()?.iter().filter_map(serde_json::Value::as_str);
    let file = files.find(|file| file.ends_with(".so"))?;
    kinds.iter().any(|kind| kind == "cdylib").then(|| (name, file.into()))
}

/// `target/debug/deps/conformance-0123` stands in the folder of its profile, and that in the target folder.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    test.ancestors().nth(2).expect("the folder of the profile").to_owned()
}

pub(crate) fn target() -> PathBuf {
    profile_folder().parent().expect("the target folder").to_owned()
}

fn profile() -> &'static str {
    match profile_folder().file_name().and_then(|name| name.to_str()) {
        Some("release") => "release",
        _ => "dev",
    }
}

//! `kindred` goes on as `kindred-cluster` where a command or a pipeline asks for it.

use crate::processes::Process;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// `kindred`, built as its neighbour is: together, so that no dependency is built twice.
fn kindred() -> PathBuf {
    let cluster = Path::new(env!("CARGO_BIN_EXE_kindred-cluster"));
    let target = cluster.ancestors().nth(2).unwrap();
    let profile = match target.join("release").as_path() == cluster.parent().unwrap() {
        true => "release",
        false => "dev",
    };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", profile, "-p", "kindred", "-p", "kindred-cluster", "--bins"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"), "--target-dir"])
        .arg(target)
        .status()
        .unwrap();
    assert!(built.success());
    cluster.with_file_name("kindred")
}

#[test]
fn kindred_finds_the_cluster_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(kindred())
        .args(["worker", "--listen", "127.0.0.1:0", "--shared", "shared"])
        .current_dir(dir.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.starts_with("worker: listening on 127.0.0.1:"), "{line}");

    fs::write(dir.path().join("events.csv"), "id,cookie,time,event\n1,a,2026-01-01T00:00:00Z,view\n")
        .unwrap();
    let worker = Process::start(&dir.path().join("shared"));
    let pipeline = format!(
        "[pipeline]\nstore = 'store'\nclock = 'events'\n\
         [sources.web]\nplugin = 'cookies'\nconsent = 'granted'\nconfig.path = 'events.csv'\n\
         [segments.seen]\nrule = \"did(event = 'view')\"\n\
         [engine]\nkind = 'distributed'\nworkers = ['{}']\nshared = 'shared'\n",
        worker.address
    );
    fs::write(dir.path().join("pipeline.toml"), pipeline).unwrap();
    let run = Command::new(kindred())
        .args(["run", "pipeline.toml", "--json", "--verbose"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{told}");
    assert!(told.contains(&format!("worker {} is there", worker.address)), "{told}");
    let summary: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(summary["segments"]["seen"]["size"], 1);
}

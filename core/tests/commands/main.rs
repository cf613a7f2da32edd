//! The commands that look before they leap, and those that look back, through the binary: `plan`, `run --plan-id`,
//! `test`, `explain`, `segments`, and `check` where it asks for columns.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

mod check;
mod dead_letters;
mod explain;
mod plan;
mod segments;
mod terms;
mod tests;

use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

/// A folder with a pipeline and logs, gone after the test.
struct Shop(TempDir);

impl Shop {
    fn new(pipeline: &str) -> Self {
        let shop = Self(tempfile::tempdir().unwrap());
        shop.write("pipeline.toml", pipeline);
        fs::create_dir(shop.0.path().join("logs")).unwrap();
        shop
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.path().join(name), content).unwrap();
    }

    /// One event.
    fn log(&self, name: &str, events: &[(&str, &str, &str)]) {
        let line = |(at, (cookie, event, time)): (usize, &(&str, &str, &str))| {
            format!(
                "{{\"id\":\"{name}{at}\",\"cookie\":\"{cookie}\",\"event\":\"{event}\",\"time\":\"{time}\"}}\n"
            )
        };
        let lines: String = events.iter().enumerate().map(line).collect();
        self.write(&format!("logs/{name}.jsonl"), lines);
    }

    /// Cookies `c0`, `c1`, …: cookie `n` looks `n` times.
    fn lookers(&self, name: &str, cookies: usize, day: &str) {
        let mut events = Vec::new();
        let names: Vec<String> = (0..cookies).map(|n| format!("c{n}")).collect();
        let times: Vec<String> =
            (0..cookies).map(|n| format!("{day}T{:02}:{:02}:00Z", n / 60, n % 60)).collect();
        for (n, cookie) in names.iter().enumerate() {
            events.extend(times.iter().take(n).map(|time| (cookie.as_str(), "view", time.as_str())));
        }
        self.log(name, &events);
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kindred"));
        command.current_dir(self.0.path()).args(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What was said, and the exit code.
    fn text(&self, arguments: &[&str]) -> (String, i32) {
        let output = self.run(arguments);
        (said(&output), output.status.code().unwrap())
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Compares with a file beside this one.
fn golden(name: &str, found: &str) {
    let path = Path::new("tests/commands").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        found, expected,
        "{name}; if this is meant, run: UPDATE_GOLDEN=1 cargo test -p kindred --test commands"
    );
}

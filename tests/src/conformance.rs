//! The conformance suite: what every plugin owes its host, whichever way it is linked.
//!
//! [`run`] goes through every duty of a plugin's kind with one [`Scenario`] and collects all violations, so that an
//! author sees them at once. Two forms of the same plugin must also give the same [`Outcome::digest`].

mod destination;
mod enrichment;
mod options;
mod resources;
mod rows;
mod segmentation;
mod source;

pub use options::wrong_values;

use arrow::array::RecordBatch;
use kindred_core::plugin::{Opening, Plugin};
use kindred_plugin_api::Kind;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;
use tempfile::TempDir;

/// What a plugin is tried with.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Name of the plugin.
    pub plugin: &'static str,
    /// Valid options; of a segmentation, those of one segment.
    pub config: Value,
    /// Files that must be there, by name, relative to the folder of the pipeline file.
    pub files: Vec<(&'static str, Vec<u8>)>,
    /// What goes in: nothing for a source, events for an enrichment, profiles with the whole catalogue for a
    /// segmentation, activation rows for a destination. At least eight rows, so that they can be cut.
    pub input: Option<RecordBatch>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Duties that were violated, and how: `duty: what was found`.
    pub violations: Vec<String>,
    /// SHA-256 of everything that the plugin put out, in hexadecimal.
    pub digest: String,
}

/// A duty, as a sentence, and how to see whether it is met.
type Duty = (&'static str, fn(&Subject<'_>) -> Result<(), String>);

/// A plugin under test.
struct Subject<'a> {
    plugin: &'a Plugin,
    scenario: &'a Scenario,
}

/// Runs all duties.
pub fn run(plugin: &Plugin, scenario: &Scenario) -> Outcome {
    let subject = Subject { plugin, scenario };
    let (duties, output) = match plugin.manifest.kind {
        Kind::Source => (source::DUTIES, source::output(&subject)),
        Kind::Enrichment => (enrichment::DUTIES, enrichment::output(&subject)),
        Kind::Segmentation => (segmentation::DUTIES, segmentation::output(&subject)),
        Kind::Destination => (destination::DUTIES, destination::output(&subject)),
    };
    let mut violations: Vec<String> = options::DUTIES
        .iter()
        .chain(duties)
        .chain(resources::DUTIES)
        .filter_map(|(duty, met)| met(&subject).err().map(|found| format!("{duty}: {found}")))
        .collect();
    let digest = match output {
        Ok(lines) => {
            if lines.is_empty() {
                violations.push("puts something out: nothing came".into());
            }
            hexadecimal(&Sha256::digest(lines.join("\n")))
        }
        Err(why) => {
            violations.push(format!("works: {why}"));
            String::new()
        }
    };
    Outcome { violations, digest }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Subject<'_> {
    /// A new folder with the scenario's files.
    fn folder(&self) -> TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, bytes) in &self.scenario.files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(folder.path())).expect("a folder for the file");
            std::fs::write(path, bytes).expect("a file of the scenario");
        }
        folder
    }

    /// The options as `open` takes them.
    fn config(&self) -> Value {
        match self.plugin.manifest.kind {
            Kind::Segmentation => json!([{ "name": "subject", "config": self.scenario.config }]),
            _ => self.scenario.config.clone(),
        }
    }

    fn input(&self) -> RecordBatch {
        self.scenario.input.clone().expect("a scenario of this kind has input")
    }
}

fn opening<'a>(config: &'a Value, base_dir: &'a Path, state: Option<Vec<u8>>) -> Opening<'a> {
    Opening { instance: "subject", config, base_dir, state }
}

/// Two outputs that must be the same; shows the first difference.
fn same(what: &str, expected: &[String], found: &[String]) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let at = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
    let line = |lines: &[String]| lines.get(at).cloned().unwrap_or_else(|| "nothing".into());
    Err(format!(
        "{what}: {} lines, expected {}; line {} is {}, expected {}",
        found.len(),
        expected.len(),
        at + 1,
        line(found),
        line(expected)
    ))
}

/// The same work in two threads at once must give what it gives alone.
fn in_parallel(
    expected: &[String],
    work: impl Fn() -> Result<Vec<String>, String> + Sync,
) -> Result<(), String> {
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(&work)).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err("a thread panicked".into()))).collect()
    });
    results.into_iter().try_for_each(|found| same("two at once", expected, &found?))
}

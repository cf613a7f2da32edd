//! Every shipped example runs as it stands, only with its store and its output elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use kindred_tests::{
    artefacts,
    sandbox::{Sandbox, repository},
};
use std::fs;

fn run(sandbox: &Sandbox, name: &str, sets: &[String]) -> serde_json::Value {
    let file = repository().join("examples").join(name).join("pipeline.toml");
    let file = file.display().to_string();
    let mut arguments = vec!["run", &file, "--set", "store=./store", "--set", "out=./out"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set.as_str()]));
    sandbox.json(&arguments)
}

#[test]
fn each_example_has_a_test_here() {
    let mut found: Vec<String> = fs::read_dir(repository().join("examples"))
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().join("pipeline.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    // The shop needs a browser: webshop.rs.
    assert_eq!(found, ["acme", "libraries", "retail", "webshop"]);
}

#[test]
fn retail_runs() {
    let sandbox = Sandbox::new();
    let summary = run(&sandbox, "retail", &[]);
    assert!(summary["segments"].as_object().unwrap().len() >= 8);
    for (name, destination) in summary["destinations"].as_object().unwrap() {
        assert!(destination["delivered"].as_u64().unwrap() > 0, "{name}: {summary}");
    }
    assert!(summary["models"][0]["figures"].as_array().unwrap().len() >= 2, "{summary}");
}

/// The same example with the plugins from libraries and built in: the same answers.
#[test]
fn libraries_runs_and_agrees_with_the_built_in_plugins() {
    let folder = artefacts::built_in("cookies").parent().unwrap().display().to_string();
    let loaded = Sandbox::new();
    let from_libraries = run(&loaded, "libraries", &[format!("libraries={folder}")]);
    assert!(from_libraries["segments"]["coat-lookers"]["size"].as_u64().unwrap() >= 50);
    assert!(from_libraries["destinations"]["partner"]["delivered"].as_u64().unwrap() >= 50);

    let linked = Sandbox::new();
    let example = repository().join("examples/libraries");
    let mut text = fs::read_to_string(example.join("pipeline.toml")).unwrap();
    for name in ["cookies", "rules", "dsp-export"] {
        text = text.replace(&format!("${{libraries}}/libkindred_{}.so", name.replace('-', "_")), name);
    }
    text = text.replace("data/*.jsonl.gz", &format!("{}/*.jsonl.gz", example.join("data").display()));
    linked.write("pipeline.toml", text);
    let built_in = linked.json(&["run", "pipeline.toml"]);
    assert_eq!(from_libraries["segments"], built_in["segments"]);
    assert_eq!(from_libraries["sources"], built_in["sources"]);
    let out = |sandbox: &Sandbox| kindred_tests::sandbox::files(&sandbox.path("out"));
    assert_eq!(out(&loaded), out(&linked));
}

#[test]
fn a_vendors_plugin_runs() {
    let library = artefacts::acme();
    let sandbox = Sandbox::new();
    let name = format!("acme={}", library.display());
    let summary = run(&sandbox, "acme", &[name]);
    let delivered = summary["destinations"]["acme"]["delivered"].as_u64().unwrap();
    assert!(delivered >= 50, "{summary}");
    let files = kindred_tests::sandbox::files(&sandbox.path("out"));
    let (_, lines) = files.iter().next().unwrap();
    let lines = String::from_utf8_lossy(lines);
    assert_eq!(lines.lines().count() as u64, delivered);
    assert!(lines.lines().all(|line| line.starts_with("+COATS-DE ")));
}

/// Pipelines that stand in the documentation are valid.
#[test]
fn pipelines_in_the_documentation_are_valid() {
    let mut checked = 0;
    for page in ["README.md", "docs/ARCHITECTURE.md", "docs/cluster.md"] {
        let text = fs::read_to_string(repository().join(page)).unwrap();
        for block in text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            if !block.contains("[pipeline]") {
                continue;
            }
            let sandbox = Sandbox::new();
            sandbox.write("pipeline.toml", block);
            let found = sandbox.json(&["check", "pipeline.toml"]);
            assert_eq!(found["problems"].as_array().unwrap().len(), 0, "{page}");
            checked += 1;
        }
    }
    assert_eq!(checked, 3);
}

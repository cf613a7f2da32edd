//! `kindred plugin list | show | lock`.

use super::{Failure, Outcome, out::say, print_json, table};
use crate::{
    Error, log,
    plugin::{Origin, Plugin, Plugins, lock::Lock, registry::Registry},
};
use clap::Subcommand;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Built-in plugins.
    List,
    /// What a plugin is and which options it takes.
    Show {
        /// Name of a built-in one, or path of a library.
        name: String,
    },
    /// Pin libraries: write kindred.lock with their SHA-256, so that no other bytes are ever loaded.
    Lock {
        /// The libraries.
        #[arg(required = true)]
        libraries: Vec<PathBuf>,
        /// Folder of the pipeline file, where kindred.lock is written.
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
}

pub(super) fn run(registry: &Registry, command: &Command, json: bool) -> Outcome {
    match command {
        Command::List => Ok(list(registry, json)),
        Command::Show { name } => show(registry, name, json),
        Command::Lock { libraries, dir } => lock(libraries, dir, json),
    }
}

fn list(registry: &Registry, json: bool) -> ExitCode {
    let found = registry.built_in();
    if json {
        print_json(&found.iter().map(|p| &p.manifest).collect::<Vec<_>>());
        return ExitCode::SUCCESS;
    }
    let rows = found.iter().map(|p| {
        let m = &p.manifest;
        vec![m.name.clone(), m.kind.name().into(), m.version.clone(), m.summary.clone()]
    });
    table::print("", &["plugin", "kind", "version", "what it does"], rows.collect());
    ExitCode::SUCCESS
}

fn show(registry: &Registry, name: &str, json: bool) -> Outcome {
    let plugin = registry.find(name, Path::new(".")).map_err(|e| {
        if let (Some(help), true) = (&e.help, log::verbose()) {
            eprintln!("{help}");
        }
        Failure::Failed(Error::NotFound(match e.help {
            Some(help) if !log::verbose() => format!("{}; {help}", e.message),
            _ => e.message,
        }))
    })?;
    let schema = plugin.config_schema();
    if json {
        print_json(&json!({"manifest": plugin.manifest, "origin": origin(&plugin), "options": schema}));
        return Ok(ExitCode::SUCCESS);
    }
    let m = &plugin.manifest;
    say!("{} {} ({}): {}", m.name, m.version, m.kind.name(), m.summary);
    say!("{}, boundary {}, capabilities: {}\n", origin(&plugin), m.abi, m.capabilities.join(", "));
    let mut rows = Vec::new();
    options(&schema, &schema, "", &mut rows, 0);
    table::print("options, under `config`:", &["option", "type", "default", "meaning"], rows);
    Ok(ExitCode::SUCCESS)
}

fn origin(plugin: &Plugin) -> String {
    match &plugin.origin {
        Origin::BuiltIn => "built in".into(),
        Origin::Library { path, sha256, pinned } => {
            format!("{} (sha256 {sha256}{})", path.display(), if *pinned { ", pinned" } else { "" })
        }
    }
}

/// One row an option; nested ones with a dotted name.
fn options(root: &Value, schema: &Value, prefix: &str, rows: &mut Vec<Vec<String>>, depth: usize) {
    let schema = resolve(root, schema);
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, option) in schema["properties"].as_object().into_iter().flatten() {
        let target = resolve(root, option);
        let text = option["description"].as_str().or(target["description"].as_str()).unwrap_or_default();
        let default = match &option["default"] {
            Value::Null if required.iter().any(|r| r == name) => "required".to_owned(),
            Value::Null => String::new(),
            value => value.to_string(),
        };
        let full = format!("{prefix}{name}");
        rows.push(vec![full.clone(), kind(root, option), default, text.replace('\n', " ")]);
        if depth < 2 && target["properties"].is_object() {
            options(root, target, &format!("{full}."), rows, depth + 1);
        }
    }
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/"));
    name.map_or(schema, |name| &root["$defs"][name])
}

fn kind(root: &Value, schema: &Value) -> String {
    let schema = resolve(root, schema);
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    if !schema["const"].is_null() {
        return schema["const"].to_string();
    }
    for many in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[many].as_array() {
            let mut kinds: Vec<String> =
                choices.iter().map(|c| kind(root, c)).filter(|k| k != "null").collect();
            kinds.dedup();
            return kinds.join(" | ");
        }
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("list of {}", kind(root, &schema["items"])),
        Value::String(name) if name == "object" => "table".into(),
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).filter(|n| *n != "null").collect::<Vec<_>>().join(" | ")
        }
        _ => "any".into(),
    }
}

fn lock(libraries: &[PathBuf], dir: &Path, json: bool) -> Outcome {
    let failed = |message: String| Failure::Failed(Error::NotFound(message));
    let libraries = libraries.iter().map(|library| from(dir, library)).collect::<Result<Vec<_>, _>>()?;
    let lock = Lock::of(dir, &libraries).map_err(|e| failed(e.to_string()))?;
    lock.write().map_err(|e| failed(e.to_string()))?;
    if json {
        print_json(&lock.entries());
        return Ok(ExitCode::SUCCESS);
    }
    let rows =
        lock.entries().iter().map(|e| vec![e.name.clone(), e.path.display().to_string(), e.sha256.clone()]);
    table::print("", &["plugin", "library", "sha256"], rows.collect());
    Ok(ExitCode::SUCCESS)
}

/// A path from the current directory as one from the lock's folder, where it lies below; else an absolute one.
fn from(dir: &Path, library: &Path) -> Result<PathBuf, Error> {
    let whole = library.canonicalize().map_err(Error::io(library))?;
    let dir = dir.canonicalize().map_err(Error::io(dir))?;
    Ok(whole.strip_prefix(&dir).map(|below| Path::new(".").join(below)).unwrap_or(whole.clone()))
}

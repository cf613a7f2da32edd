//! Duties of every kind about who a plugin says it is and which options it takes.

use super::{Duty, Subject, opening};
use kindred_core::plugin::{Origin, library};
use kindred_plugin_api::{Fault, FaultKind, Kind, manifest::ABI};
use serde_json::{Map, Value, json};

/// In the order of a plugin's life.
pub(super) const DUTIES: &[Duty] = &[
    ("has a manifest that can be read", manifest),
    ("says in its file what it says when it runs", section),
    ("describes each of its options in a JSON Schema", schema),
    ("accepts valid options, twice", accepts),
    ("finds its outside there", outside),
    ("is of its kind only", kind),
    ("names the required option that is missing", missing),
    ("names the option that it does not know", unknown),
    ("names the option that is of a wrong type", wrong),
    ("refuses options that are no table", no_table),
];

const CAPABILITIES: [&str; 11] = [
    "idempotent",
    "transactional",
    "ordered",
    "stateful",
    "network",
    "secrets",
    "model",
    "nests",
    "narrow",
    "adds",
    "recalls",
];

fn manifest(subject: &Subject<'_>) -> Result<(), String> {
    let manifest = &subject.plugin.manifest;
    let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !manifest.name.split('-').all(word) {
        return Err(format!("name `{}` is not lowercase words joined by `-`", manifest.name));
    }
    if manifest.name != subject.scenario.plugin {
        return Err(format!("name is `{}`, expected `{}`", manifest.name, subject.scenario.plugin));
    }
    if manifest.version.split('.').count() < 3 {
        return Err(format!("version `{}` is not MAJOR.MINOR.PATCH", manifest.version));
    }
    if manifest.summary.is_empty() || manifest.summary.ends_with('.') {
        return Err(format!("summary `{}` is not one sentence without a full stop", manifest.summary));
    }
    if let Some(other) = manifest.capabilities.iter().find(|c| !CAPABILITIES.contains(&c.as_str())) {
        return Err(format!("capability `{other}`, known are {}", CAPABILITIES.join(", ")));
    }
    if manifest.abi != ABI || manifest.panic != "unwind" {
        return Err(format!("abi {} and panic {}, expected {ABI} and unwind", manifest.abi, manifest.panic));
    }
    Ok(())
}

fn section(subject: &Subject<'_>) -> Result<(), String> {
    let Origin::Library { path, sha256, .. } = &subject.plugin.origin else { return Ok(()) };
    let inspected = library::inspect(path).map_err(|e| e.to_string())?;
    if inspected.sha256 != *sha256 {
        return Err(format!("its hash is {}, but {sha256} was loaded", inspected.sha256));
    }
    if !inspected.manifests.contains(&subject.plugin.manifest) {
        return Err(format!("{:?}, running {:?}", inspected.manifests, subject.plugin.manifest));
    }
    Ok(())
}

fn schema(subject: &Subject<'_>) -> Result<(), String> {
    let schema = subject.plugin.config_schema();
    if schema["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
        return Err(format!("`$schema` is {}", schema["$schema"]));
    }
    if schema["type"] != "object" || schema["additionalProperties"] != json!(false) {
        return Err("it is not an object without additional properties".into());
    }
    let mut found = Vec::new();
    described(&schema, &schema, "", &mut found);
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if schema["properties"].get(key).is_none() {
            found.push(format!("required `{key}` is not among its properties"));
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found.join("; ")) }
}

/// Every property has a description and every reference an end, in a schema and all schemas in it.
fn described(root: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str()
        && root.pointer(reference.trim_start_matches('#')).is_none()
    {
        found.push(format!("`{reference}` at {path} leads nowhere"));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if property["description"].as_str().is_none_or(str::is_empty) {
            found.push(format!("{path}/{name} has no description"));
        }
    }
    for key in ["properties", "$defs"] {
        for (name, below) in schema[key].as_object().into_iter().flatten() {
            described(root, below, &format!("{path}/{name}"), found);
        }
    }
    let alternatives = ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| schema[*key].as_array()).flatten();
    let single = ["additionalProperties", "items"].iter().map(|key| &schema[*key]);
    for below in alternatives.chain(single).filter(|below| below.is_object()) {
        described(root, below, path, found);
    }
}

fn accepts(subject: &Subject<'_>) -> Result<(), String> {
    let config = &subject.scenario.config;
    let first = subject.plugin.validate(config).map_err(|fault| format!("{fault:?}"))?;
    let second = subject.plugin.validate(config).map_err(|fault| format!("{fault:?}"))?;
    if first == second { Ok(()) } else { Err(format!("{first:?}, then {second:?}")) }
}

fn outside(subject: &Subject<'_>) -> Result<(), String> {
    let folder = subject.folder();
    let before = std::fs::read_dir(folder.path()).map(Iterator::count).unwrap_or_default();
    let config = subject.config();
    subject.plugin.check(&opening(&config, folder.path(), None)).map_err(|fault| format!("{fault:?}"))?;
    let after = std::fs::read_dir(folder.path()).map(Iterator::count).unwrap_or_default();
    if before == after { Ok(()) } else { Err("the check left a trace".into()) }
}

fn kind(subject: &Subject<'_>) -> Result<(), String> {
    let (folder, config) = (subject.folder(), subject.config());
    let opening = opening(&config, folder.path(), None);
    let plugin = subject.plugin;
    let faults = [
        (Kind::Source, plugin.open_source(&opening).err()),
        (Kind::Enrichment, plugin.open_enrichment(&opening).err()),
        (Kind::Segmentation, plugin.open_segmentation(&opening).err()),
        (Kind::Destination, plugin.open_destination(&opening).err()),
    ];
    for (kind, fault) in faults {
        let found = fault.map(|fault| fault.kind);
        let expected = (kind != plugin.manifest.kind).then_some(FaultKind::Unsupported);
        if found != expected {
            return Err(format!("opened as a {}: {found:?}", kind.name()));
        }
    }
    Ok(())
}

fn missing(subject: &Subject<'_>) -> Result<(), String> {
    let schema = subject.plugin.config_schema();
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let mut config = options(subject);
        config.remove(key);
        refused(subject, &config.into(), key)?;
    }
    Ok(())
}

fn unknown(subject: &Subject<'_>) -> Result<(), String> {
    let mut config = options(subject);
    config.insert("no_such_option".into(), json!(1));
    refused(subject, &config.into(), "no_such_option")
}

/// Values that no option takes, whatever its type: the suite puts each in the place of each option.
pub fn wrong_values() -> [Value; 2] {
    [json!({ "no_such_option": [[{}]] }), json!([[[{ "no_such_option": 1 }]]])]
}

fn wrong(subject: &Subject<'_>) -> Result<(), String> {
    let schema = subject.plugin.config_schema();
    for key in schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key) {
        for value in wrong_values() {
            let mut config = options(subject);
            config.insert(key.clone(), value);
            refused(subject, &config.into(), key)?;
        }
    }
    Ok(())
}

fn no_table(subject: &Subject<'_>) -> Result<(), String> {
    for config in [json!(null), json!(true), json!(1), json!("text")] {
        refused(subject, &config, "")?;
    }
    Ok(())
}

fn options(subject: &Subject<'_>) -> Map<String, Value> {
    subject.scenario.config.as_object().cloned().unwrap_or_default()
}

/// Both `validate` and `open` must answer CONFIG and name the option, in the place or in the words.
fn refused(subject: &Subject<'_>, config: &Value, key: &str) -> Result<(), String> {
    let fault = subject.plugin.validate(config).err();
    named(fault, key).map_err(|found| format!("validate({config}): {found}"))?;
    let folder = subject.folder();
    let plugin = subject.plugin;
    let opened = match plugin.manifest.kind {
        Kind::Source => plugin.open_source(&opening(config, folder.path(), None)).err(),
        Kind::Enrichment => plugin.open_enrichment(&opening(config, folder.path(), None)).err(),
        Kind::Destination => plugin.open_destination(&opening(config, folder.path(), None)).err(),
        Kind::Segmentation => {
            let config = json!([{ "name": "subject", "config": config }]);
            plugin.open_segmentation(&opening(&config, folder.path(), None)).err()
        }
    };
    named(opened, key).map_err(|found| format!("open({config}): {found}"))
}

fn named(fault: Option<Fault>, key: &str) -> Result<(), String> {
    let fault = fault.ok_or("accepted")?;
    let problem = fault.problems.first().ok_or_else(|| format!("no problem is told: {fault:?}"))?;
    let in_place = problem.path.split('/').any(|part| part == key);
    if fault.kind != FaultKind::Config || !(in_place || problem.message.contains(key)) {
        return Err(format!("`{key}` is not named: {fault:?}"));
    }
    Ok(())
}

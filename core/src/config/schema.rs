//! The JSON Schema of a whole pipeline file, for editors: the keys of [`super::file`], and under each `config` the options
//! of the plugin that stands beside it.

use super::file::{File, RULES};
use crate::plugin::Plugins;
use kindred_plugin_api::Kind;
use serde_json::{Map, Value as Json, json};
use std::path::Path;

/// A JSON Schema (2020-12) of pipeline files that use the known plugins; others take any options.
pub fn schema(plugins: &dyn Plugins) -> Json {
    let mut root = json!(schemars::schema_for!(File));
    root["title"] = json!("Kindred pipeline");
    for (kind, table) in [
        (Kind::Source, "SourceTable"),
        (Kind::Enrichment, "EnrichmentTable"),
        (Kind::Segmentation, "SegmentTable"),
        (Kind::Destination, "DestinationTable"),
    ] {
        let mut names = plugins.names(kind);
        names.sort();
        let mut cases = Vec::new();
        for name in names {
            let Ok(plugin) = plugins.find(&name, Path::new(".")) else { continue };
            let id = format!("plugin:{name}");
            let mut options = plugin.config_schema();
            rebase(&mut options, &id);
            options["title"] = json!(plugin.manifest.summary);
            cases.push(case(&name, &id, &mut options, kind));
            root["$defs"][id] = options;
        }
        root["$defs"][table]["allOf"] = json!(cases);
    }
    root
}

/// If the plugin is this one, then these are its options.
fn case(name: &str, id: &str, options: &mut Json, kind: Kind) -> Json {
    let config = json!({"config": {"$ref": format!("#/$defs/{id}")}});
    let is = json!({"properties": {"plugin": {"const": name}}, "required": ["plugin"]});
    if kind == Kind::Segmentation && name == RULES {
        // It is the default, and its rule stands beside `config`, not in it.
        let rule = options["properties"].as_object_mut().and_then(|p| p.remove("rule"));
        if let Some(required) = options["required"].as_array_mut() {
            required.retain(|key| key != "rule");
        }
        let properties = json!({"config": config["config"], "rule": rule});
        let is = json!({"properties": {"plugin": {"const": name}}, "not": {"required": ["sql"]}});
        return json!({"if": is, "then": {"properties": properties, "required": ["rule"]}});
    }
    let needs_config = options["required"].as_array().is_some_and(|required| !required.is_empty());
    let mut then = Map::from_iter([("properties".to_owned(), config)]);
    if needs_config {
        then.insert("required".to_owned(), json!(["config"]));
    }
    if kind == Kind::Segmentation {
        then["properties"]["rule"] = json!(false);
    }
    json!({"if": is, "then": then})
}

/// Makes the references of a schema hold when it stands under `$defs/ID`.
fn rebase(schema: &mut Json, id: &str) {
    match schema {
        Json::Object(map) => {
            map.remove("$schema");
            for (key, value) in map {
                match value.as_str().and_then(|target| target.strip_prefix('#')) {
                    Some(target) if key == "$ref" => *value = json!(format!("#/$defs/{id}{target}")),
                    _ => rebase(value, id),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| rebase(item, id)),
        _ => {}
    }
}

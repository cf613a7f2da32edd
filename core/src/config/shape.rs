//! Holds a tree against a JSON Schema (2020-12, as schemars writes it) and finds every unknown key, missing key, wrong type
//! and value that is not allowed, each at its place. What it does not understand it lets through: behind it stands serde,
//! which sees one problem at a time but knows everything.

use super::{
    problem::{Problem, Span},
    tree::{Entry, Node, Value},
};
use crate::near::{instead, joined, near, quoted};
use serde_json::{Map, Value as Json};

/// How deep schemas may refer to each other for one value.
const DEPTH: usize = 16;

/// One walk.
pub(super) struct Shape<'a> {
    /// The whole schema, for `$ref`.
    pub(super) root: &'a Json,
    /// Text of the file: what was found is shown as it was written, which keeps secrets out.
    pub(super) source: &'a str,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl<'a> Shape<'a> {
    /// The value as JSON, without what was wrong; none when all of it was. `path` names it in messages.
    pub(super) fn read(&mut self, node: &Node, schema: &'a Json, path: &str) -> Option<Json> {
        if matches!(node.value, Value::Bad) {
            return None;
        }
        let branches = self.branches(schema, DEPTH);
        let fitting: Vec<&Json> = branches.iter().copied().filter(|b| fits(node, b)).collect();
        let one = match fitting[..] {
            [] => return self.refuse(node, &branches, schema, path),
            [one] if branches.len() == 1 => one,
            _ => match fitting.iter().filter(|b| tagged(node, b)).collect::<Vec<_>>()[..] {
                [one] => one,
                _ => return Some(node.to_json()),
            },
        };
        match &node.value {
            Value::Table(entries) => Some(self.object(node, entries, one, path)),
            Value::Array(items) => self.array(node, items, one, path),
            Value::Number(number) => self.within(node, number.as_f64()?, one, path),
            _ => Some(node.to_json()),
        }
    }

    /// The alternatives of a schema without references and without null, which TOML cannot say. A choice of words is
    /// one alternative.
    fn branches(&self, schema: &'a Json, depth: usize) -> Vec<&'a Json> {
        if depth == 0 || literals(schema).is_some() {
            return vec![schema];
        }
        if let Some(target) = schema["$ref"].as_str().and_then(|r| self.root.pointer(r.strip_prefix('#')?)) {
            return self.branches(target, depth - 1);
        }
        match schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
            Some(all) if schema["properties"].is_null() => {
                let all = all.iter().flat_map(|one| self.branches(one, depth - 1));
                all.filter(|one| one["type"] != "null").collect()
            }
            _ => vec![schema],
        }
    }

    fn object(&mut self, node: &Node, entries: &[Entry], schema: &'a Json, path: &str) -> Json {
        let properties = schema["properties"].as_object();
        let mut names: Vec<&str> = properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
        names.sort_unstable();
        let mut json = Map::new();
        let mut meant = Vec::new();
        for entry in entries {
            let below = join(path, &entry.key);
            let others = &schema["additionalProperties"];
            let value = match properties.and_then(|all| all.get(&entry.key)) {
                Some(schema) => self.read(&entry.node, schema, &below),
                None if others == false && schema["patternProperties"].is_null() => {
                    meant.extend(near(&entry.key, names.iter().copied()));
                    self.unknown(entry, &names, path);
                    None
                }
                None if others.is_object() => self.read(&entry.node, others, &below),
                None => Some(entry.node.to_json()),
            };
            json.extend(value.map(|value| (entry.key.clone(), value)));
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            let here = entries.iter().any(|entry| entry.key == name);
            if !here && !meant.contains(&name) {
                let problem = Problem::at(&node.span, format!("`{}` is missing", join(path, name)));
                let found = format!("no `{name}`");
                let help = properties.and_then(|all| all.get(name)).map(|schema| self.describe(schema));
                self.problems.push(problem.found(found).help(help.unwrap_or_default()));
            }
        }
        Json::Object(json)
    }

    fn unknown(&mut self, entry: &Entry, names: &[&str], path: &str) {
        let mut help = instead(&entry.key, "known keys", names);
        if names.contains(&"config") && near(&entry.key, names.iter().copied()).is_none() {
            help.push_str("; options of the plugin stand under `config`");
        }
        let within = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
        let message = format!("unknown key `{}`{within}", entry.key);
        self.problems.push(Problem::at(&entry.key_span, message).found("not known here").help(help));
    }

    fn array(&mut self, node: &Node, items: &[Node], schema: &'a Json, path: &str) -> Option<Json> {
        if schema["minItems"].as_u64().is_some_and(|least| (items.len() as u64) < least) {
            let message =
                format!("`{path}` has {} entries, at least {} are needed", items.len(), schema["minItems"]);
            self.problems
                .push(Problem::at(&node.span, message).found("too short").help(self.describe(schema)));
            return None;
        }
        let of = &schema["items"];
        let read = |(i, item): (usize, &Node)| match of.is_object() {
            true => self.read(item, of, &format!("{path}[{i}]")),
            false => Some(item.to_json()),
        };
        Some(items.iter().enumerate().filter_map(read).collect())
    }

    fn within(&mut self, node: &Node, number: f64, schema: &Json, path: &str) -> Option<Json> {
        let bound = |key: &str| schema[key].as_f64().map(|bound| (bound, schema[key].to_string()));
        let problem = match (bound("minimum"), bound("maximum")) {
            (Some((least, text)), _) if number < least => format!("the smallest allowed is {text}"),
            (_, Some((most, text))) if number > most => format!("the largest allowed is {text}"),
            _ => return Some(node.to_json()),
        };
        let message = format!("`{path}` is {}, {problem}", node.to_json());
        self.problems
            .push(Problem::at(&node.span, message).found("out of range").help(self.describe(schema)));
        None
    }

    fn refuse(&mut self, node: &Node, branches: &[&'a Json], schema: &Json, path: &str) -> Option<Json> {
        let words: Vec<&Json> = branches.iter().filter_map(|b| literals(b)).flatten().collect();
        let only_words = branches.iter().all(|b| literals(b).is_some());
        if !words.is_empty() && (only_words || matches!(node.value, Value::Text(_))) {
            return self.not_one_of(node, &words, path);
        }
        let mut types: Vec<&str> = branches.iter().flat_map(|b| types(b)).map(name_of).collect();
        types.dedup();
        let found = kind(node);
        let message = format!("`{path}` must be {}, not {found}", joined(&types, "or"));
        self.problems.push(Problem::at(&node.span, message).found(found).help(self.describe(schema)));
        None
    }

    fn not_one_of(&mut self, node: &Node, allowed: &[&Json], path: &str) -> Option<Json> {
        let written = self.written(&node.span);
        let problem = Problem::at(&node.span, format!("`{path}` cannot be {written}")).found("not allowed");
        let names: Vec<&str> = allowed.iter().filter_map(|one| one.as_str()).collect();
        let help = match &node.value {
            Value::Text(text) if names.len() == allowed.len() => {
                instead(&text.value, "allowed values", &names)
            }
            _ if names.len() == allowed.len() => format!("allowed values: {}", quoted(names)),
            _ => format!(
                "allowed values: {}",
                joined(&allowed.iter().map(|a| a.to_string()).collect::<Vec<_>>(), "and")
            ),
        };
        self.problems.push(problem.help(help));
        None
    }

    fn written(&self, span: &Span) -> String {
        let text = self.source.get(span.clone()).unwrap_or_default().lines().next().unwrap_or_default();
        match text.char_indices().nth(40) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        }
    }

    /// First paragraph of a schema's description, in one line.
    fn describe(&self, schema: &Json) -> String {
        let target =
            || self.root.pointer(schema["$ref"].as_str()?.strip_prefix('#')?)?["description"].as_str();
        let text = schema["description"].as_str().or_else(target).unwrap_or_default();
        let text = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        let mut chars = text.trim_end_matches('.').chars();
        chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
    }
}

/// Whether type and words of a schema allow the value.
fn fits(node: &Node, schema: &Json) -> bool {
    let types = types(schema);
    let typed = types.is_empty() || types.iter().any(|name| is(node, name));
    typed && literals(schema).is_none_or(|words| words.contains(&&node.to_json()))
}

/// For one of several tables: whether it is the one that its tag says, `type = "x"` or `x = { … }`.
fn tagged(node: &Node, schema: &Json) -> bool {
    let (Value::Table(_), Some(properties)) = (&node.value, schema["properties"].as_object()) else {
        return true;
    };
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let outer = properties.len() == 1 && required.len() == 1 && schema["additionalProperties"] == false;
    properties.iter().filter(|(key, _)| required.contains(&key.as_str())).all(|(key, schema)| {
        match node.get(key) {
            Some(value) => schema.get("const").is_none_or(|tag| *tag == value.to_json()),
            None => !outer && schema.get("const").is_none(),
        }
    })
}

/// All values of a schema that lists its values.
fn literals(schema: &Json) -> Option<Vec<&Json>> {
    if let Some(one) = schema.get("const") {
        return Some(vec![one]);
    }
    if let Some(all) = schema["enum"].as_array() {
        return Some(all.iter().collect());
    }
    let branches = schema["oneOf"].as_array().filter(|all| !all.is_empty())?;
    let all: Option<Vec<Vec<&Json>>> = branches.iter().map(literals).collect();
    Some(all?.concat())
}

/// Types that a schema names, but null.
fn types(schema: &Json) -> Vec<&str> {
    let several = schema["type"].as_array().into_iter().flatten().filter_map(Json::as_str);
    schema["type"].as_str().into_iter().chain(several).filter(|name| *name != "null").collect()
}

fn is(node: &Node, name: &str) -> bool {
    match (&node.value, name) {
        (Value::Number(number), "integer") => !number.is_f64(),
        (Value::Text(_) | Value::Datetime(_), "string")
        | (Value::Number(_), "number")
        | (Value::Bool(_), "boolean")
        | (Value::Array(_), "array")
        | (Value::Table(_), "object")
        | (Value::Bad, _) => true,
        _ => false,
    }
}

fn kind(node: &Node) -> &'static str {
    match &node.value {
        Value::Number(number) if !number.is_f64() => "an integer",
        Value::Number(_) => "a number with a fraction",
        Value::Bool(_) => "true or false",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
        Value::Datetime(_) => "a date",
        Value::Text(_) | Value::Bad => "a string",
    }
}

fn name_of(name: &str) -> &str {
    match name {
        "string" => "a string",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a table",
        other => other,
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

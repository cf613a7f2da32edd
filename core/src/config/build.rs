//! From a tree to a pipeline: names, references, plugins and their options.

use super::{
    Clock, Destination, Engine, Enrichment, Pipeline, Segment, Serve, Source, Sql, age, cases, contract,
    engine,
    file::{
        self, DestinationTable, EngineTable, EnrichmentTable, File, Isolation, PipelineTable, SegmentTable,
        ServeTable, SourceTable,
    },
    graph,
    options::{Shelf, mention},
    price,
    problem::{Problem, Span},
    serve,
    shape::Shape,
    size, terms,
    tree::{Entry, Node, Value},
    written::Written,
};
use crate::{
    near::{instead, near, quoted},
    plugin::Plugins,
};
use kindred_plugin_api::{Facts, Kind};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::{collections::BTreeSet, path::Path, sync::Arc};

/// The pipeline, as far as it can be made; it counts only when no problem was found.
pub(super) fn pipeline(
    file: &Path,
    source: &str,
    root: &Node,
    plugins: &dyn Plugins,
    problems: &mut Vec<Problem>,
) -> Option<Pipeline> {
    let base_dir = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let schema = serde_json::json!(schemars::schema_for!(File));
    let json = Shape { root: &schema, source, problems }.read(root, &schema, "")?;
    let well_formed = problems.is_empty();
    let (shelf, written) = (Shelf { plugins, base_dir, source }, Written::new(file, source));
    let mut build = Build { root, json, well_formed, shelf, problems, written };
    let sources = build.sources();
    let enrichments = build.enrichments(&sources);
    let segments = build.segments();
    let destinations = build.destinations();
    if build.problems.is_empty() {
        // What refers to nothing, or in a circle, has its problem, and depends on nobody knows what.
        terms::check(root, (&sources, &segments, &destinations), build.problems);
    }
    let tests =
        cases::read(root, source, (&build.names("segments"), &build.names("sources")), build.problems);
    let engine = build.engine();
    let serve = build.serve();
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let head = build.head(&name);
    let written = Arc::new(build.written);
    Some(Pipeline {
        file: file.to_owned(),
        base_dir: base_dir.to_owned(),
        sources,
        enrichments,
        segments,
        destinations,
        tests,
        engine,
        serve,
        written,
        ..head?
    })
}

struct Build<'a> {
    root: &'a Node,
    /// The tree as JSON, without what has the wrong shape.
    json: Json,
    well_formed: bool,
    shelf: Shelf<'a>,
    problems: &'a mut Vec<Problem>,
    written: Written,
}

impl<'a> Build<'a> {
    fn typed<T: DeserializeOwned>(&mut self, pointer: &str, node: &Node) -> Option<T> {
        match serde_json::from_value(self.json.pointer(pointer)?.clone()) {
            Ok(part) => Some(part),
            Err(error) => {
                // Otherwise the walk over the schema has told the reason.
                if self.well_formed {
                    self.problems.push(Problem::at(&node.span, error.to_string()));
                }
                None
            }
        }
    }

    /// The tables `[stage.NAME]`, with their names checked.
    fn named<T: DeserializeOwned>(&mut self, stage: &str) -> Vec<(&'a Entry, T)> {
        let entries = self.root.get(stage).map(Node::entries).unwrap_or_default();
        let mut out = Vec::new();
        for entry in entries {
            self.check_name(stage, &entry.key, &entry.key_span);
            let pointer = format!("/{stage}/{}", entry.key.replace('~', "~0").replace('/', "~1"));
            out.extend(self.typed(&pointer, &entry.node).map(|part| (entry, part)));
        }
        out
    }

    fn check_name(&mut self, stage: &str, name: &str, span: &Span) {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if !name.starts_with(good) || !name.chars().all(|c| good(c) || c == '_' || c == '-') {
            let problem =
                Problem::at(span, format!("`{name}` cannot be a name in `{stage}`")).found("not a name");
            let help = "names are lowercase letters, digits, `-` and `_`, and start with a letter or a digit";
            self.problems.push(problem.help(help));
        }
    }

    fn names(&self, stage: &str) -> Vec<&'a str> {
        self.root.get(stage).map(Node::entries).unwrap_or_default().iter().map(|e| e.key.as_str()).collect()
    }

    fn head(&mut self, stem: &str) -> Option<Pipeline> {
        let node = self.root.get("pipeline")?;
        let table: PipelineTable = self.typed("/pipeline", node)?;
        let retention_us = self.age("pipeline.retention", &table.retention, node).unwrap_or_default();
        let cache = size::parse(&table.cache).unwrap_or_else(|why| {
            let message = format!("`pipeline.cache` is not a size: {why}");
            let problem = Problem::at(&node.span_of("cache"), message).found("not a size");
            self.problems.push(problem.help(size::ALLOWED));
            0
        });
        let clock = clock(&table.clock).unwrap_or_else(|| {
            let problem =
                Problem::at(&node.span_of("clock"), "`pipeline.clock` is neither a clock nor a moment");
            let help = "write `wall`, `events`, or a moment with its offset such as `2026-01-31T00:00:00Z`";
            self.problems.push(problem.found("not a clock").help(help));
            Clock::Wall
        });
        for (key, value) in [("name", &table.name), ("store", &table.store)] {
            if value.as_ref().is_some_and(|value| value.trim().is_empty()) {
                let problem = Problem::at(&node.span_of(key), format!("`pipeline.{key}` is empty"));
                self.problems
                    .push(problem.found("nothing").help("write at least one letter, or leave the key out"));
            }
        }
        Some(Pipeline {
            file: Default::default(),
            base_dir: Default::default(),
            name: table.name.unwrap_or_else(|| stem.to_owned()),
            store: self.shelf.base_dir.join(table.store.unwrap_or_default()),
            retention_us,
            clock,
            step_rows: table.step_rows,
            cache,
            raw_identifiers: table.raw_identifiers,
            engine: Engine::Embedded,
            serve: Default::default(),
            sources: Vec::new(),
            enrichments: Vec::new(),
            segments: Vec::new(),
            destinations: Vec::new(),
            tests: Default::default(),
            written: Default::default(),
        })
    }

    /// Microseconds of an age under the last name of a path.
    fn age(&mut self, path: &str, text: &str, node: &Node) -> Option<i64> {
        let key = path.rsplit('.').next().unwrap_or(path);
        let told = age::parse(text).map_err(|why| {
            let message = format!("`{path}` is not an age: {why}");
            let problem = Problem::at(&node.span_of(key), message).found("not an age");
            self.problems.push(problem.help(age::ALLOWED));
        });
        told.ok()
    }

    fn sources(&mut self) -> Vec<Source> {
        // A misspelt or misshapen `sources` has its own problem.
        let none = self.root.entries().iter().all(|entry| near(&entry.key, ["sources"]).is_none());
        if none || self.root.get("sources").is_some_and(Node::is_empty_table) {
            let problem = Problem::at(&(0..0), "the pipeline has no sources");
            let help = "add at least one: `[sources.NAME]` with a `plugin`";
            self.problems.push(problem.help(format!("{help}; {}", self.kinds(Kind::Source))));
        }
        let mut out = Vec::new();
        let mut contracts = contract::Contracts::default();
        for (Entry { key, node, .. }, table) in self.named::<SourceTable>("sources") {
            let (_, config) = self.options(&table.plugin, node, Kind::Source, &format!("sources.{key}"));
            self.references("destinations", node, "destinations");
            self.written.sources.insert(key.clone(), Node::empty(&node.span));
            let SourceTable { plugin, party, consent, ttl, destinations, price_per_thousand, schema, .. } =
                table;
            let ttl_us = ttl.and_then(|ttl| self.age(&format!("sources.{key}.ttl"), &ttl, node));
            let price = price_per_thousand.and_then(|table| price::read(key, table, node, self.problems));
            let schema = schema.map(|table| {
                let place = node.get("schema").unwrap_or(node);
                contracts.read(key, table, place, self.shelf.source, self.problems)
            });
            out.push(Source {
                name: key.clone(),
                plugin,
                party,
                consent,
                ttl_us,
                destinations,
                price,
                schema,
                config,
            });
        }
        out
    }

    fn enrichments(&mut self, sources: &[Source]) -> Vec<Enrichment> {
        let nodes = self.root.get("enrichments").map(Node::items).unwrap_or_default();
        let mut out = Vec::new();
        let mut taken = BTreeSet::new();
        // Items of the wrong type are missing in the JSON, and then the numbers differ.
        let tables = nodes.iter().filter(|node| matches!(node.value, Value::Table(_)));
        for (i, node) in tables.enumerate() {
            let Some(table) = self.typed::<EnrichmentTable>(&format!("/enrichments/{i}"), node) else {
                continue;
            };
            let path = format!("enrichments[{i}]");
            let (found, config) = self.options(&table.plugin, node, Kind::Enrichment, &path);
            let span = node.get("name").or(node.get("plugin")).unwrap_or(node).span.clone();
            // A plugin that was not found has no name to give.
            let Some(name) = table.name.or(found) else { continue };
            self.check_name("enrichments", &name, &span);
            if !taken.insert(name.clone()) {
                let problem =
                    Problem::at(&span, format!("two enrichments are called `{name}`")).found("the second");
                self.problems.push(problem.help("give one of them another `name`"));
            }
            self.references("from", node, "sources");
            let from = table.from.unwrap_or_else(|| sources.iter().map(|s| s.name.clone()).collect());
            out.push(Enrichment { name, plugin: table.plugin, from, config });
        }
        out
    }

    fn segments(&mut self) -> Vec<Segment> {
        let mut out = Vec::new();
        let mut configs = Vec::new();
        for (Entry { key, node, .. }, table) in self.named::<SegmentTable>("segments") {
            let sql = self.sql(node, &table, &format!("segments.{key}"));
            if node.get("sql").is_some() {
                let (name, title) = (key.clone(), table.title.unwrap_or_else(|| key.clone()));
                let (plugin, config, depends_on) = (String::new(), Json::Null, Vec::new());
                out.push(Segment { name, title, plugin, config, depends_on, model: false, reads: None, sql });
                configs.push(Node::empty(&node.span));
                continue;
            }
            let rules = table.plugin == file::RULES;
            let path = format!("segments.{key}");
            let config = self.rule(node, rules, &table.plugin, &path);
            let plugin = self.shelf.find(&table.plugin, node, Kind::Segmentation, self.problems);
            let path = if rules && node.get("config").is_none() { path } else { format!("{path}.config") };
            let checked = plugin.and_then(|p| self.shelf.options(&p, &config, &path, self.problems));
            self.written.segments.insert(key.clone(), (path, config.clone()));
            let (json, facts) = checked.unwrap_or_default();
            let title = table.title.unwrap_or_else(|| key.clone());
            let Facts { depends_on, model, reads } = facts;
            let name = key.clone();
            let plugin = table.plugin;
            out.push(Segment { name, title, plugin, config: json, depends_on, model, reads, sql });
            configs.push(config);
        }
        self.dependencies(&out, &configs);
        out
    }

    /// The query of an SQL segment; its columns are checked where the query engine is.
    fn sql(&mut self, node: &Node, table: &SegmentTable, path: &str) -> Option<Sql> {
        let Some(text) = &table.sql else {
            if let Some(entry) = node.entry("every") {
                let problem =
                    Problem::at(&entry.key_span, format!("`{path}.every` is for segments with `sql`"));
                let help = "take it out: rules are evaluated whenever something changes";
                self.problems.push(problem.found("there is no `sql`").help(help));
            }
            return None;
        };
        for other in ["rule", "plugin", "config"] {
            if let Some(entry) = node.entry(other) {
                let problem = Problem::at(&entry.key_span, format!("`{path}` has `sql` and `{other}`"));
                self.problems
                    .push(problem.found("the second").help(format!("keep one of `sql` and `{other}`")));
            }
        }
        if text.trim().is_empty() {
            let problem = Problem::at(&node.span_of("sql"), format!("`{path}.sql` is empty"));
            self.problems.push(problem.found("nothing").help("write a query: `SELECT profile_id FROM …`"));
        }
        let every_us = table.every.as_ref().map(|every| {
            age::period(every).unwrap_or_else(|why| {
                let problem =
                    Problem::at(&node.span_of("every"), format!("`{path}.every` is not a period: {why}"));
                self.problems.push(problem.found("not a period").help(age::PERIODS));
                0
            })
        });
        Some(Sql { text: text.clone(), every_us })
    }

    /// The options of a segment, with its rule among them.
    fn rule(&mut self, node: &Node, rules: bool, plugin: &str, path: &str) -> Node {
        let mut config = node.get("config").cloned().unwrap_or_else(|| Node::empty(&node.span));
        let Some(rule) = node.entry("rule") else { return config };
        if !rules {
            let problem =
                Problem::at(&rule.key_span, format!("`{path}.rule` is for plugin `{}`", file::RULES));
            let help = format!("leave `plugin` out, or put the options of `{plugin}` under `config`");
            self.problems.push(problem.found(format!("the plugin is `{plugin}`")).help(help));
        } else if let Value::Table(entries) = &mut config.value {
            if entries.iter().any(|entry| entry.key == "rule") {
                let problem =
                    Problem::at(&rule.key_span, format!("`{path}` has two rules")).found("the second");
                self.problems.push(problem.help("keep `rule`, and take it out of `config`"));
            }
            // A rule that is not a string has its problem already.
            let node =
                if matches!(rule.node.value, Value::Text(_)) { rule.node.clone() } else { rule.node.told() };
            entries.push(Entry { node, ..rule.clone() });
        }
        config
    }

    fn dependencies(&mut self, segments: &[Segment], configs: &[Node]) {
        let names = self.names("segments");
        for (segment, config) in segments.iter().zip(configs) {
            for missing in segment.depends_on.iter().filter(|name| !names.contains(&name.as_str())) {
                let span = mention(config, missing).unwrap_or_else(|| config.span.clone());
                let message =
                    format!("segment `{}` refers to `{missing}`, which does not exist", segment.name);
                let problem = Problem::at(&span, message).found("no such segment");
                self.problems.push(problem.help(instead(missing, "segments", &names)));
            }
        }
        for cycle in graph::cycles(segments) {
            let first = segments.iter().zip(configs).find(|(segment, _)| segment.name == cycle[0]);
            let Some((_, config)) = first else { continue };
            let next = cycle.get(1).unwrap_or(&cycle[0]);
            let span = mention(config, next).unwrap_or_else(|| config.span.clone());
            let path: Vec<String> = cycle.iter().chain([&cycle[0]]).map(|name| format!("`{name}`")).collect();
            let problem = Problem::at(&span, format!("segments depend on each other: {}", path.join(" → ")));
            self.problems.push(problem.found("closes a circle").help("take one of these references out"));
        }
    }

    fn destinations(&mut self) -> Vec<Destination> {
        let mut out = Vec::new();
        for (Entry { key, node, .. }, table) in self.named::<DestinationTable>("destinations") {
            let (_, config) =
                self.options(&table.plugin, node, Kind::Destination, &format!("destinations.{key}"));
            self.references("segments", node, "segments");
            if table.isolation == Isolation::Process {
                let message = "isolation `process` is not available in this version";
                let problem = Problem::at(&node.span_of("isolation"), message).found("not available");
                self.problems.push(
                    problem.help("leave `isolation` out, or write `none`: the plugin runs in this process"),
                );
            }
            let DestinationTable { plugin, segments, mode, minimum_audience, on_error, .. } = table;
            let segments = segments.unwrap_or_default();
            out.push(Destination {
                name: key.clone(),
                plugin,
                segments,
                mode,
                minimum_audience,
                on_error,
                config,
            });
        }
        out
    }

    fn engine(&mut self) -> Engine {
        let Some(node) = self.root.get("engine") else { return Engine::Embedded };
        match self.typed::<EngineTable>("/engine", node) {
            Some(table) => engine::read(table, node, self.shelf.base_dir, self.problems),
            None => Engine::Embedded,
        }
    }

    fn serve(&mut self) -> Serve {
        let empty = Node::empty(&(0..0));
        let table = match self.root.get("serve") {
            None => Some(ServeTable::default()),
            Some(node) => self.typed::<ServeTable>("/serve", node),
        };
        let node = self.root.get("serve").unwrap_or(&empty);
        let segments = self.names("segments");
        table.map(|table| serve::read(table, node, &segments, self.problems)).unwrap_or_default()
    }

    /// Names in the list `key` that must be tables of `stage`, each once.
    fn references(&mut self, key: &str, node: &Node, stage: &str) {
        let names = self.names(stage);
        let mut seen = BTreeSet::new();
        for item in node.get(key).map(Node::items).unwrap_or_default() {
            let Value::Text(text) = &item.value else { continue };
            let (name, one) = (text.value.as_str(), stage.trim_end_matches('s'));
            if !names.contains(&name) {
                let problem = Problem::at(&item.span, format!("unknown {one} `{name}`"))
                    .found(format!("no such {one}"));
                self.problems.push(problem.help(instead(name, stage, &names)));
            } else if !seen.insert(name) {
                let problem =
                    Problem::at(&item.span, format!("`{name}` stands in `{key}` twice")).found("the second");
                self.problems.push(problem.help("take it out"));
            }
        }
    }

    /// The name that a plugin gives itself, and the checked options of a part that keeps them under `config`.
    fn options(&mut self, name: &str, node: &Node, kind: Kind, path: &str) -> (Option<String>, Json) {
        let empty = Node::empty(&node.span);
        let Some(plugin) = self.shelf.find(name, node, kind, self.problems) else {
            return (None, Json::Null);
        };
        let config = node.get("config").unwrap_or(&empty);
        let checked = self.shelf.options(&plugin, config, &format!("{path}.config"), self.problems);
        (Some(plugin.manifest.name), checked.unwrap_or_default().0)
    }

    fn kinds(&self, kind: Kind) -> String {
        let names = self.shelf.plugins.names(kind);
        format!("{} plugins: {}", kind.name(), quoted(names.iter().map(String::as_str)))
    }
}

fn clock(text: &str) -> Option<Clock> {
    match text {
        "wall" => Some(Clock::Wall),
        "events" => Some(Clock::Events),
        moment => Some(Clock::Fixed(moment.parse::<jiff::Timestamp>().ok()?.as_microsecond())),
    }
}

//! Plugins of a file: finds them, checks their kind, and lets them judge their options.

use super::{
    problem::Problem,
    shape::Shape,
    text::Text,
    tree::{Node, Value},
};
use crate::{
    near::{near, quoted},
    plugin::{Plugin, Plugins},
};
use kindred_plugin_api::{Facts, Kind, Problem as Fault};
use serde_json::Value as Json;
use std::path::Path;

/// The plugins that a file may name.
pub(super) struct Shelf<'a> {
    pub(super) plugins: &'a dyn Plugins,
    pub(super) base_dir: &'a Path,
    /// Text of the file.
    pub(super) source: &'a str,
}

impl Shelf<'_> {
    /// The plugin `name`, written in the `plugin` of `part`, when it exists and is of this kind.
    pub(super) fn find(
        &self,
        name: &str,
        part: &Node,
        kind: Kind,
        problems: &mut Vec<Problem>,
    ) -> Option<Plugin> {
        let mut names = self.plugins.names(kind);
        names.sort();
        let names = names.iter().map(String::as_str);
        let all = format!("{} plugins: {}", kind.name(), quoted(names.clone()));
        let span = part.span_of("plugin");
        match self.plugins.find(name, self.base_dir) {
            Ok(plugin) if plugin.manifest.kind == kind => return Some(plugin),
            Ok(plugin) => {
                let (is, wanted) = (with_article(plugin.manifest.kind), with_article(kind));
                let message = format!("plugin `{name}` is {is}, not {wanted}");
                problems.push(Problem::at(&span, message).found(is).help(all));
            }
            Err(error) => {
                let help = match (near(name, names), error.help) {
                    (Some(near), _) => format!("did you mean `{near}`? {all}"),
                    (None, Some(help)) => help,
                    (None, None) => all,
                };
                problems.push(Problem::at(&span, error.message).found("not found").help(help));
            }
        }
        None
    }

    /// Options as JSON and what the plugin made of them; `path` names them in messages.
    pub(super) fn options(
        &self,
        plugin: &Plugin,
        config: &Node,
        path: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<(Json, Facts)> {
        let schema = plugin.config_schema();
        let before = problems.len();
        let json = Shape { root: &schema, source: self.source, problems }.read(config, &schema, path)?;
        if problems.len() > before || config.is_bad() {
            return None;
        }
        match plugin.validate(&json) {
            Ok(facts) => return Some((json, facts)),
            Err(fault) if fault.problems.is_empty() => {
                let message =
                    format!("plugin `{}` cannot check its options: {}", plugin.manifest.name, fault.message);
                problems.push(Problem::at(&config.span, message));
            }
            Err(fault) => problems.extend(fault.problems.into_iter().map(|p| placed(config, p, path))),
        }
        None
    }
}

fn with_article(kind: Kind) -> String {
    let article = if kind == Kind::Enrichment { "an" } else { "a" };
    format!("{article} {}", kind.name())
}

/// A plugin's problem at its place in the file.
pub(super) fn placed(config: &Node, fault: Fault, path: &str) -> Problem {
    let node = config.at(&fault.path);
    let span = match (&node.value, fault.range) {
        (Value::Text(text), Some((start, end))) => text.place(start, end),
        _ => node.span.clone(),
    };
    let key = fault.path.replace('/', ".").replace("~1", "/").replace("~0", "~");
    let problem = Problem::at(&span, fault.message).found(format!("`{path}{key}`"));
    problem.help(fault.help.unwrap_or_default())
}

/// Where options mention a name: the string that is it, or the place in a string where it stands in quotes.
pub(super) fn mention(config: &Node, name: &str) -> Option<std::ops::Range<usize>> {
    let inside =
        |text: &Text| [format!("'{name}'"), format!("\"{name}\"")].iter().find_map(|q| text.place_of(q));
    let texts = config.texts();
    let whole = texts.iter().find(|(_, text)| text.value == name).map(|(node, _)| node.span.clone());
    whole.or_else(|| texts.iter().find_map(|(_, text)| inside(text)))
}

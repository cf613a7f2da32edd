//! Variables: `${data}` from `[vars]` or `--set`, `${env:NAME}` from the environment, `$${` for the characters `${`.

use super::{
    problem::{Problem, Span},
    text::Text,
    tree::{Node, Value},
};
use crate::near::instead;
use serde_json::Number;
use std::{collections::BTreeMap, path::absolute};

/// An argument of `--set`: `NAME=VALUE`. A value that starts with `./`, `../` or `/` is a path from the current
/// directory and becomes absolute; in the file, paths start from the file's folder.
///
/// # Errors
/// When there is no `=`, no name, or no current directory.
pub fn set_argument(argument: &str) -> Result<(String, String), String> {
    let (name, value) = match argument.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => (name.trim(), value),
        _ => return Err(format!("`{argument}` is not NAME=VALUE")),
    };
    let value = match ["./", "../", "/"].iter().any(|start| value.starts_with(start)) {
        true => absolute(value).map_err(|e| format!("`{value}`: {e}"))?.to_string_lossy().into_owned(),
        false => value.to_owned(),
    };
    Ok((name.to_owned(), value))
}

/// Puts variables in everywhere; answers the values that came from the environment with their names.
pub(super) fn apply(
    root: &mut Node,
    sets: &[(String, String)],
    problems: &mut Vec<Problem>,
) -> Vec<(String, String)> {
    let mut vars = Vars { declared: None, secrets: Vec::new(), problems };
    let declared = vars.declared(root, sets);
    vars.declared = Some(declared);
    if let Value::Table(entries) = &mut root.value {
        entries.iter_mut().filter(|entry| entry.key != "vars").for_each(|entry| vars.fill(&mut entry.node));
    }
    vars.secrets
}

struct Vars<'a> {
    /// None while `[vars]` itself is read.
    declared: Option<BTreeMap<String, Value>>,
    secrets: Vec<(String, String)>,
    problems: &'a mut Vec<Problem>,
}

impl Vars<'_> {
    /// `[vars]` with the values of `--set`.
    fn declared(&mut self, root: &mut Node, sets: &[(String, String)]) -> BTreeMap<String, Value> {
        let Value::Table(entries) = &mut root.value else { return BTreeMap::new() };
        let vars = entries.iter_mut().find(|entry| entry.key == "vars");
        let Some(Value::Table(vars)) = vars.map(|entry| &mut entry.node.value) else {
            sets.iter().for_each(|(name, _)| self.undeclared(name, &[]));
            return BTreeMap::new();
        };
        let names: Vec<String> = vars.iter().map(|entry| entry.key.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for (name, _) in sets.iter().filter(|(name, _)| !names.contains(&name.as_str())) {
            self.undeclared(name, &names);
        }
        for entry in vars.iter_mut() {
            match sets.iter().rfind(|(name, _)| *name == entry.key) {
                Some((_, value)) => self.set(&entry.key, &mut entry.node, value),
                None => self.fill(&mut entry.node),
            }
        }
        vars.iter().map(|entry| (entry.key.clone(), entry.node.value.clone())).collect()
    }

    fn undeclared(&mut self, name: &str, declared: &[&str]) {
        let help = match declared {
            [] => format!("the file declares none; add `{name}` to `[vars]`"),
            _ => instead(name, "declared in `[vars]`", declared),
        };
        self.problems
            .push(Problem::outside(format!("`--set {name}=…`: there is no variable `{name}`")).help(help));
    }

    fn set(&mut self, name: &str, node: &mut Node, value: &str) {
        if !matches!(node.value, Value::Number(_)) {
            node.value = Value::Text(Text::new(value, "", &node.span));
        } else if let Ok(number) = value.parse::<Number>() {
            node.value = Value::Number(number);
        } else {
            let problem = Problem::at(&node.span, format!("`--set {name}={value}`: `{name}` is a number"));
            self.problems
                .push(problem.found("a number").help("give a number, or declare the variable as a string"));
            node.value = Value::Bad;
        }
    }

    fn fill(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.fill(item)),
            Value::Table(entries) => entries.iter_mut().for_each(|entry| self.fill(&mut entry.node)),
            Value::Text(text) if text.value.contains("${") => node.value = self.filled(text),
            _ => {}
        }
    }

    /// A string that is one variable and nothing else takes the variable's type.
    fn filled(&mut self, text: &Text) -> Value {
        let chars: Vec<char> = text.value.chars().collect();
        let mut out = text.emptied();
        let mut at = 0;
        let mut bad = false;
        while let Some(&c) = chars.get(at) {
            if chars[at..].starts_with(&['$', '$', '{']) {
                ['$', '{'].into_iter().for_each(|c| out.push(c, text.place(at, at + 3)));
                at += 3;
            } else if chars[at..].starts_with(&['$', '{']) {
                let length =
                    chars[at..].iter().position(|&c| c == '}').map_or(chars.len() - at, |end| end + 1);
                let spot = text.place(at, at + length);
                match self.variable(&chars[at..at + length], &spot) {
                    Some(Value::Number(number)) if length == chars.len() => return Value::Number(number),
                    Some(Value::Number(number)) => {
                        number.to_string().chars().for_each(|c| out.push(c, spot.clone()));
                    }
                    Some(Value::Text(value)) => value.value.chars().for_each(|c| out.push(c, spot.clone())),
                    _ => bad = true,
                }
                at += length;
            } else {
                out.push(c, text.place(at, at + 1));
                at += 1;
            }
        }
        if bad { Value::Bad } else { Value::Text(out) }
    }

    /// The value of `${…}`.
    fn variable(&mut self, reference: &[char], spot: &Span) -> Option<Value> {
        let reference: String = reference.iter().collect();
        let Some(name) = reference.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
            let problem = Problem::at(spot, "`${` without a `}`").found("a variable without an end");
            self.problems.push(problem.help("write `${NAME}`, or `$${` for the characters `${`"));
            return None;
        };
        if let Some(name) = name.strip_prefix("env:") {
            return self.secret(name, spot);
        }
        let problem = match &self.declared {
            None => Problem::at(spot, "a variable that refers to a variable")
                .help("`[vars]` takes strings, numbers and `${env:NAME}`"),
            Some(declared) => match declared.get(name) {
                Some(value) => return Some(value.clone()),
                None => Problem::at(spot, format!("unknown variable `{name}`")).help(instead(
                    name,
                    "declared in `[vars]`",
                    &declared.keys().map(String::as_str).collect::<Vec<_>>(),
                )),
            },
        };
        self.problems.push(problem.found(format!("`{reference}`")));
        None
    }

    fn secret(&mut self, name: &str, spot: &Span) -> Option<Value> {
        let usable = !name.is_empty() && !name.contains(['=', '\0']);
        match usable.then(|| std::env::var(name).ok()).flatten() {
            Some(value) => {
                let text = Text::new(&value, "", spot);
                self.secrets.push((value, name.to_owned()));
                Some(Value::Text(text))
            }
            None => {
                let problem =
                    Problem::at(spot, format!("secret `{name}` is not set")).found("not in the environment");
                self.problems.push(problem.help(format!("set the environment variable `{name}`")));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::syntax;

    fn filled(source: &str, sets: &[(&str, &str)]) -> (serde_json::Value, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut root = syntax::parse(source, &mut problems).unwrap();
        let sets: Vec<_> = sets.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        apply(&mut root, &sets, &mut problems);
        (root.to_json(), problems)
    }

    #[test]
    fn variables_are_put_in() {
        let (json, problems) = filled(
            "a = 'x/${data}/${n}'\nb = '${n}'\nc = '$${data} $ $$ {}'\nd = ['${env:CARGO_PKG_NAME}']\n\
             [vars]\ndata = 'in'\nn = 3\n",
            &[("data", "${n}")],
        );
        assert_eq!(problems, []);
        assert_eq!(json["a"], "x/${n}/3", "values of --set are taken as they are");
        assert_eq!(json["b"], 3);
        assert_eq!(json["c"], "${data} $ $$ {}");
        assert_eq!(json["d"][0], env!("CARGO_PKG_NAME"));
    }

    #[test]
    fn places_survive_variables() {
        let source = "a = 'x ${data} NEEDLE'\n[vars]\ndata = 'long text'\n";
        let mut problems = Vec::new();
        let mut root = syntax::parse(source, &mut problems).unwrap();
        apply(&mut root, &[], &mut problems);
        let texts = root.get("a").unwrap().texts();
        assert_eq!(&source[texts[0].1.place_of("NEEDLE").unwrap()], "NEEDLE");
        assert_eq!(&source[texts[0].1.place_of("text").unwrap()], "${data}");
    }

    #[test]
    fn a_set_number_stays_a_number() {
        assert_eq!(filled("b = '${n}'\n[vars]\nn = 3\n", &[("n", "4")]).0["b"], 4);
        assert_eq!(filled("b = '${n}'\n[vars]\nn = 3\n", &[("n", "four")]).1.len(), 1);
    }

    #[test]
    fn arguments_that_are_paths_become_absolute() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(set_argument("data=./x/"), Ok(("data".into(), format!("{}/x/", here.display()))));
        assert_eq!(set_argument("data=../x").unwrap().1, format!("{}/../x", here.display()));
        assert_eq!(set_argument("q=a=b"), Ok(("q".into(), "a=b".into())));
        assert!(set_argument("data").is_err() && set_argument("=x").is_err());
    }
}

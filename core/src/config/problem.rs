//! What is wrong with a pipeline file, and where.

use serde_json::{Value as Json, json};
use std::{
    ops::Range,
    path::{Path, PathBuf},
};

/// Bytes of the file.
pub(super) type Span = Range<usize>;

/// One thing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Bytes of the file that are meant, within one line; none when the cause is not in the file.
    pub span: Option<Range<usize>>,
    /// Lowercase: the thing, and what is wrong with it.
    pub message: String,
    /// What stands there.
    pub found: Option<String>,
    /// What is allowed or what to do.
    pub help: Option<String>,
}

impl Problem {
    pub(super) fn at(span: &Span, message: impl Into<String>) -> Self {
        Self { span: Some(span.clone()), ..Self::outside(message) }
    }

    pub(super) fn outside(message: impl Into<String>) -> Self {
        Self { span: None, message: message.into(), found: None, help: None }
    }

    pub(super) fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into()).filter(|text| !text.is_empty());
        self
    }
}

/// Everything that is wrong with one file, sorted by position.
#[derive(Clone, Debug)]
pub struct Problems {
    pub(super) file: PathBuf,
    pub(super) text: String,
    pub(super) list: Vec<Problem>,
}

impl Problems {
    /// Sorts, keeps each span within a line, and takes the values of secrets out of the texts.
    pub(super) fn new(file: &Path, text: &str, mut list: Vec<Problem>, secrets: &[(String, String)]) -> Self {
        for problem in &mut list {
            problem.span = problem.span.take().map(|span| in_line(text, span));
            for part in [Some(&mut problem.message), problem.found.as_mut(), problem.help.as_mut()] {
                part.into_iter().for_each(|part| redact(part, secrets));
            }
        }
        list.sort_by_key(|problem| problem.span.as_ref().map(|s| (s.start, s.end)));
        list.dedup();
        Self { file: file.to_owned(), text: text.to_owned(), list }
    }

    /// One problem of the file as a whole.
    pub(super) fn whole(file: &Path, message: impl Into<String>, help: &str) -> Self {
        Self::new(file, "", vec![Problem::outside(message).help(help)], &[])
    }

    /// Each problem.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// The first one in a line, and how many more there are.
    pub fn in_short(&self) -> String {
        let Some(first) = self.list.first() else { return String::new() };
        let place = first.span.as_ref().map(|span| position(&self.text, span.start));
        let place = place.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
        let more = self.list.len() - 1;
        let more = if more > 0 { format!(" ({more} more)") } else { String::new() };
        format!("{}{place}: {}{more}", self.file.display(), first.message)
    }

    /// For programs: an array of `{file, line, column, end: {line, column}, message, found?, help?}`. Lines and columns
    /// count characters from 1, `end` is behind the last one; all three are null when the cause is not in the file.
    pub fn to_json(&self) -> Json {
        let one = |problem: &Problem| {
            let start = problem.span.as_ref().map(|s| position(&self.text, s.start));
            let end = problem.span.as_ref().map(|s| position(&self.text, s.end));
            let mut json = json!({
                "file": self.file.to_string_lossy(),
                "line": start.map(|(line, _)| line),
                "column": start.map(|(_, column)| column),
                "end": end.map(|(line, column)| json!({"line": line, "column": column})),
                "message": problem.message,
            });
            for (key, text) in [("found", &problem.found), ("help", &problem.help)] {
                if let Some(text) = text {
                    json[key] = json!(text);
                }
            }
            json
        };
        self.list.iter().map(one).collect()
    }
}

/// Line and column of a byte, from 1, in characters.
pub(super) fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = &text[..byte];
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The part of `span` in its first line, at character boundaries.
fn in_line(text: &str, span: Span) -> Span {
    // At the end of the file there is no line to show.
    let start = if span.start < text.len() { span.start } else { text.trim_end().len() };
    let start = text.floor_char_boundary(start);
    let end = text.ceil_char_boundary(span.end).max(start);
    let first = text[start..end].lines().next().unwrap_or_default();
    start..start + first.trim_end().len()
}

fn redact(text: &mut String, secrets: &[(String, String)]) {
    for (value, name) in secrets {
        // A value of a few letters is no secret, and replacing it would garble the sentence.
        if value.len() >= 4 && text.contains(value) {
            *text = text.replace(value, &format!("${{env:{name}}}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        assert_eq!(position("a\nüb = 1", 4), (2, 2));
        assert_eq!(position("", 0), (1, 1));
    }

    #[test]
    fn spans_stay_within_a_line_and_a_text() {
        assert_eq!(in_line("[1,\n2]", 0..6), 0..3);
        assert_eq!(in_line("ü", 1..9), 0..2);
        assert_eq!(in_line("", 7..9), 0..0);
        assert_eq!(in_line("ab\n", 3..3), 2..2);
    }

    #[test]
    fn secrets_do_not_leave() {
        let problem = Problem::outside("`hunter22` is short").help("not hunter22");
        let secrets = [("hunter22".to_owned(), "PASSWORD".to_owned())];
        let text = Problems::new(Path::new("p.toml"), "", vec![problem], &secrets).to_json().to_string();
        assert!(!text.contains("hunter22") && text.contains("${env:PASSWORD}"), "{text}");
    }
}

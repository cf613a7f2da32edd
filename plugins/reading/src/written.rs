//! How text files are written: the option `text` of every file source.

use encoding_rs::Encoding;
use kindred_plugin_api::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;

/// How text files are written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TextConfig {
    /// Whether the first row of a CSV or TSV file names the columns: `true`, `false` or `"auto"`.
    pub header: HeaderRow,
    /// Mark between the fields of a CSV file. Default: a comma, semicolon, tab or bar, whichever the first line has most.
    pub delimiter: Option<char>,
    /// Encoding by its WHATWG name: `utf-8`, `latin-1`, `windows-1252`. A byte order mark in the file wins.
    pub encoding: Option<String>,
    /// Longest row in bytes; a longer one goes to the dead letters.
    pub max_row_bytes: usize,
    /// Cells that mean "no value", as `["NA", "NULL"]`. An empty CSV cell always does.
    pub nulls: Vec<String>,
}

/// Whether the first row names the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderRow {
    /// It does when a column is named in the options, or when no cell of it looks like a value.
    #[default]
    Auto,
    /// It does.
    Yes,
    /// It does not: columns are `#1`, `#2` …
    No,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            header: HeaderRow::Auto,
            delimiter: None,
            encoding: None,
            max_row_bytes: 1 << 20,
            nulls: Vec::new(),
        }
    }
}

impl<'de> Deserialize<'de> for HeaderRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expect;
        impl de::Visitor<'_> for Expect {
            type Value = HeaderRow;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true, false or `auto`")
            }
            fn visit_bool<E: de::Error>(self, yes: bool) -> Result<HeaderRow, E> {
                Ok(if yes { HeaderRow::Yes } else { HeaderRow::No })
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<HeaderRow, E> {
                if text == "auto" {
                    Ok(HeaderRow::Auto)
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(text), &self))
                }
            }
        }
        deserializer.deserialize_any(Expect)
    }
}

impl JsonSchema for HeaderRow {
    fn schema_name() -> Cow<'static, str> {
        "HeaderRow".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "enum": [true, false, "auto"], "default": "auto" })
    }
}

impl TextConfig {
    /// What is wrong with it; `at` is its place in the options.
    pub(crate) fn problems(&self, at: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.delimiter.is_some_and(|d| !d.is_ascii() || matches!(d, '"' | '\n' | '\r' | '\0')) {
            let problem = Problem::new(
                format!("{at}/delimiter"),
                "a delimiter is one ASCII character, no quote or line end",
            );
            problems.push(problem);
        }
        if let Some(name) = &self.encoding
            && label(name).is_none()
        {
            let problem = Problem::new(format!("{at}/encoding"), format!("no encoding `{name}`"));
            problems
                .push(problem.help("such as `utf-8`, `latin-1`, `windows-1252`, `utf-16le`, `shift_jis`"));
        }
        if !(64..=64 << 20).contains(&self.max_row_bytes) {
            let found = self.max_row_bytes;
            problems.push(Problem::new(
                format!("{at}/max_row_bytes"),
                format!("{found} is not in 64..=67108864"),
            ));
        }
        problems
    }

    /// The encoding of files without a byte order mark.
    pub(crate) fn encoding(&self) -> &'static Encoding {
        self.encoding.as_deref().and_then(label).unwrap_or(encoding_rs::UTF_8)
    }
}

fn label(name: &str) -> Option<&'static Encoding> {
    let name = if name.eq_ignore_ascii_case("latin-1") { "latin1" } else { name };
    Encoding::for_label(name.as_bytes())
}

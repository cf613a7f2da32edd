//! A plugin's options: one typed struct gives parsing, validation, the JSON Schema and the reference page.

use crate::{Fault, Problem, Result};
use schemars::JsonSchema;
use serde::{de::DeserializeOwned, Deserialize, Serialize};

/// What the host learns from valid options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Segments whose membership must be known first.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// The segment must be fitted on everybody, as a model is, though not all segments of its plugin must. A host of
    /// version 1.0 does not know this.
    #[serde(default)]
    pub model: bool,
    /// Sources whose attributes and events the answer depends on, besides those of the segments that it depends on; none:
    /// it may be any, also through identifiers. A source whose terms name destinations goes to no other one, so a segment that does
    /// not say what it reads is taken to read it. A host of version 1.2 does not know this.
    #[serde(default)]
    pub reads: Option<Vec<String>>,
}

/// Parses options; a failure names its place as a JSON pointer.
///
/// # Errors
/// CONFIG with one problem: serde stops at the first.
pub fn parse<C: DeserializeOwned>(json: &str) -> Result<C> {
    let mut text = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut text).map_err(|error| {
        let path = pointer(error.path());
        let message = error.into_inner().to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        Fault::config(vec![Problem::new(path, message)])
    })
}

/// The JSON Schema (2020-12) of options.
pub fn schema<C: JsonSchema>() -> String {
    serde_json::json!(schemars::schema_for!(C)).to_string()
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_other_minor_versions_are_read() {
        let facts = |text: &str| serde_json::from_str::<Facts>(text).unwrap();
        assert_eq!(facts("{}"), Facts::default());
        let old = facts(r#"{"depends_on":["vip"]}"#);
        assert_eq!(old, Facts { depends_on: vec!["vip".into()], ..Facts::default() });
        assert!(facts(r#"{"depends_on":[],"model":true,"later":1}"#).model);
    }
}

//! The `session` enrichment: the client's session id of an event becomes one that no other client has.
//!
//! ```toml
//! [[enrichments]]
//! plugin = "session"
//! config = { column = "ga_session_id", identifier = "cookie", first = "session_start_flag" }
//! ```
//!
//! It does not find sessions: where one ends can be known only from the events before, and an enrichment sees one row
//! (docs/decisions/0014). Trackers do find them, with a gap of 30 minutes by default; what they send is taken as it is, and
//! rows without it get nulls.

use kindred_enriching::{Plan, is_text, reserved, unbound};
use kindred_plugin_api::{
    arrow::{
        array::{BooleanArray, Int64Array},
        compute::cast,
        datatypes::Int64Type,
    },
    prelude::*,
};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Options of `session`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Column with the client's session id, text or a whole number. Default `session_id`.
    #[serde(default = "column")]
    column: String,
    /// Namespace of the identifier that the session id is counted for: `cookie` for column `id.cookie`. Needed where the
    /// client's id is a counter or a time, which many clients share; leave it out where it is unique by itself.
    #[serde(default)]
    identifier: Option<String>,
    /// Column that tells the first event of a session: true, or the event's number in it, from 1. It makes a column
    /// `OUTPUT_start`.
    #[serde(default)]
    first: Option<String>,
    /// Name of the new column. Default `session`.
    #[serde(default = "session")]
    output: String,
    /// Keep the columns that the client's id and `first` stood in. Default false.
    #[serde(default)]
    keep: bool,
}

fn column() -> String {
    "session_id".to_owned()
}

fn session() -> String {
    "session".to_owned()
}

/// Names sessions.
pub struct Session {
    config: Config,
    bound: Option<Bound>,
}

/// The columns of the input, and the plan.
struct Bound {
    column: usize,
    identifier: Option<usize>,
    first: Option<usize>,
    plan: Plan,
}

impl Enrichment for Session {
    const MANIFEST: Manifest = manifest!("session", "visits as the client numbered them");
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        reserved("/output", &config.output).into_iter().collect()
    }

    fn open(config: Config, _context: Context) -> Result<Self> {
        Ok(Self { config, bound: None })
    }

    fn bind(&mut self, input: SchemaRef) -> Result<SchemaRef> {
        let Config { output, keep, .. } = &self.config;
        let column = found(&input, "/column", &self.config.column, &[DataType::Utf8, DataType::Int64])?;
        let identifier = match &self.config.identifier {
            Some(name) => {
                let name = format!("{}{name}", columns::ID);
                Some(found(&input, "/identifier", &name, &[DataType::Utf8])?)
            }
            None => None,
        };
        let first = match &self.config.first {
            Some(name) => Some(found(&input, "/first", name, &[DataType::Boolean, DataType::Int64])?),
            None => None,
        };
        let gone: Vec<usize> = [Some(column), first].into_iter().flatten().filter(|_| !keep).collect();
        let mut new = vec![Field::new(output, DataType::Utf8, true)];
        new.extend(first.map(|_| Field::new(format!("{output}_start"), DataType::Boolean, true)));
        let plan = Plan::new(&input, &gone, new, "/output")?;
        let output = plan.output();
        self.bound = Some(Bound { column, identifier, first, plan });
        Ok(output)
    }

    fn process(&mut self, batch: RecordBatch) -> Result<Processed> {
        let bound = self.bound.as_ref().ok_or_else(unbound)?;
        let text = |column: usize| cast(batch.column(column), &DataType::Utf8);
        let ids = text(bound.column)?;
        let owners = bound.identifier.map(text).transpose()?;
        let name = |row: usize| {
            let id = value(&ids, row)?;
            let owner = owners.as_ref().map(|owners| value(owners, row).ok_or(()));
            owner.transpose().ok().map(|owner| digest(owner, id))
        };
        let names: Vec<Option<String>> = (0..batch.num_rows()).map(name).collect();
        let mut new: Vec<ArrayRef> =
            vec![Arc::new(names.iter().map(Option::as_deref).collect::<StringArray>())];
        if let Some(first) = bound.first {
            let starts = starts(batch.column(first));
            let known = starts.iter().zip(&names).map(|(start, name)| start.filter(|_| name.is_some()));
            new.push(Arc::new(known.collect::<BooleanArray>()));
        }
        Ok(bound.plan.apply(&batch, new)?.into())
    }
}

register!(enrichment Session);

/// 128 bits of SHA-256 over the parts, each behind its length, so that no two pairs are written alike.
fn digest(owner: Option<&str>, id: &str) -> String {
    let mut hash = Sha256::new();
    for part in [owner.unwrap_or_default(), id] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text of a row; none where it is null or empty.
fn value(texts: &ArrayRef, row: usize) -> Option<&str> {
    let texts = texts.as_string::<i32>();
    texts.is_valid(row).then(|| texts.value(row)).filter(|text| !text.is_empty())
}

fn starts(column: &ArrayRef) -> BooleanArray {
    match column.as_primitive_opt::<Int64Type>() {
        Some(numbers) => Int64Array::iter(numbers).map(|number| number.map(|number| number == 1)).collect(),
        None => column.as_boolean().clone(),
    }
}

/// The place of a column of one of these types; a dictionary of text counts as text.
fn found(input: &Schema, option: &str, name: &str, allowed: &[DataType]) -> Result<usize> {
    let Ok(column) = input.index_of(name) else {
        return Err(Fault::config(vec![Problem::new(option, format!("no column `{name}` in the rows"))]));
    };
    let kind = match input.field(column).data_type() {
        text if is_text(text) => &DataType::Utf8,
        other => other,
    };
    if allowed.contains(kind) {
        return Ok(column);
    }
    let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    let message = format!("column `{name}` is {kind}; allowed: {}", allowed.join(", "));
    Err(Fault::config(vec![Problem::new(option, message)]))
}

#[cfg(test)]
mod tests;

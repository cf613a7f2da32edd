//! Which column of the output comes from where, and the rewriting of one batch.

use super::*;
use kindred_plugin_api::arrow::{array::BooleanArray, compute::filter_record_batch};

/// Where each column of the output comes from, in order.
pub(crate) struct Plan {
    pub(crate) output: SchemaRef,
    parts: Vec<Part>,
}

enum Part {
    /// A column of the input, as it is.
    Copy(usize),
    /// A column of the input, each value by this rule.
    Make(usize, Rule),
}

impl Plan {
    /// Raw columns go unless kept; what is made of one stands in its place.
    pub(crate) fn new(config: &Config, input: &Schema) -> Result<Self, Vec<Problem>> {
        let problems = missing(config, input);
        if !problems.is_empty() {
            return Err(problems);
        }
        let (mut fields, mut parts) = (Vec::new(), Vec::new());
        for (index, field) in input.fields().iter().enumerate() {
            let entries: Vec<_> =
                config.columns.iter().filter(|(key, column)| names(key, column).0 == *field.name()).collect();
            if entries.is_empty() || config.keep_raw {
                fields.push(field.as_ref().clone());
                parts.push(Part::Copy(index));
            }
            for (key, column) in entries {
                fields.push(Field::new(names(key, column).1, DataType::Utf8, true));
                parts.push(Part::Make(index, column.rule()));
            }
        }
        match duplicate(&fields) {
            Some(name) => {
                Err(vec![Problem::new("/columns", format!("the rows already have a column `{name}`")).help(
                    "name the new identifier differently: the key of the entry, and `from` for the raw one",
                )])
            }
            None => Ok(Self { output: Arc::new(Schema::new(fields)), parts }),
        }
    }

    /// The batch rewritten, and how many values were refused.
    pub(crate) fn apply(&self, batch: &RecordBatch, on_invalid: OnInvalid) -> Result<(Processed, u64)> {
        let mut refusals: BTreeMap<usize, String> = BTreeMap::new();
        let mut refused = 0;
        let made = self.parts.iter().map(|part| match part {
            Part::Copy(index) => batch.column(*index).clone(),
            Part::Make(index, rule) => {
                let raw = batch.column(*index).as_string::<i32>();
                let name = batch.schema_ref().field(*index).name();
                Arc::new(make(raw, rule, |row, why| {
                    refused += 1;
                    refusals.entry(row).or_insert_with(|| format!("`{name}`: {why}"));
                }))
            }
        });
        let rewritten = RecordBatch::try_new(self.output.clone(), made.collect())?;
        if on_invalid == OnInvalid::Null || refusals.is_empty() {
            return Ok((rewritten.into(), refused));
        }
        let good: BooleanArray =
            (0..batch.num_rows()).map(|row| Some(!refusals.contains_key(&row))).collect();
        let batch = filter_record_batch(&rewritten, &good)?;
        Ok((Processed { batch, rejects: refusals.into_iter().map(reject).collect() }, refused))
    }
}

fn make(raw: &StringArray, rule: &Rule, mut refuse: impl FnMut(usize, String)) -> StringArray {
    let value = |(row, raw): (usize, Option<&str>)| match apply(rule, raw?) {
        Ok(value) => Some(value),
        Err(why) => {
            refuse(row, why);
            None
        }
    };
    raw.iter().enumerate().map(value).collect()
}

/// No payload: it would hold the identifier.
fn reject((row, message): (usize, String)) -> Reject {
    Reject {
        row: row as u64,
        code: "identifier".into(),
        message,
        payload: String::new(),
        origin: String::new(),
    }
}

fn missing(config: &Config, input: &Schema) -> Vec<Problem> {
    let ids: Vec<&str> = input.fields().iter().filter_map(|f| f.name().strip_prefix(columns::ID)).collect();
    let problem = |(key, column): (&String, &Column)| {
        let from = names(key, column).0;
        let message = match input.field_with_name(&from) {
            Ok(field) if *field.data_type() == DataType::Utf8 => return None,
            Ok(field) => format!("column `{from}` is {}; allowed: Utf8", field.data_type()),
            Err(_) => format!("no column `{from}` in the rows"),
        };
        let found = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
        let at = format!("/columns/{}", key.replace('~', "~0").replace('/', "~1"));
        Some(Problem::new(at, message).help(format!("identifiers in the rows: {found}")))
    };
    config.columns.iter().filter_map(problem).collect()
}

fn duplicate(fields: &[Field]) -> Option<&str> {
    let mut seen = BTreeSet::new();
    fields.iter().map(|f| f.name().as_str()).find(|name| !seen.insert(*name))
}

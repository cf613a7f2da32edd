//! Makes an event batch out of the rows of a file, column by column, and rejects out of the rows that are none.

use crate::{
    catalogue::Catalogue,
    chunk::{Chunk, cut},
    convert::{boolean, constant_time, first_of, text, timestamps},
    flaws::Flaws,
    plan::{Input, Output, Plan, Slot},
    spec::Type,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, StringBuilder},
    compute::{filter_record_batch, nullif},
    util::display::array_value_to_string,
};
use kindred_identifiers::{Hash, Kind, Rule};
use kindred_plugin_api::{Reject, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
};

/// Name of a file, as messages and as ids say it.
pub(crate) struct Origin<'a> {
    pub(crate) name: &'a str,
    pub(crate) fingerprint: &'a str,
}

/// The columns of a chunk while its batch is made.
struct Making<'a> {
    plan: &'a Plan,
    chunk: &'a Chunk,
    joined: Vec<ArrayRef>,
    flaws: Flaws,
}

/// Makes the batch and all rejects of a chunk, in the order of the file.
///
/// # Errors
/// PERMANENT for columns of a type that cannot be converted.
pub(crate) fn assemble(
    plan: &Plan,
    catalogue: Option<&Catalogue>,
    chunk: Chunk,
    origin: &Origin<'_>,
) -> Result<(RecordBatch, Vec<Reject>)> {
    if chunk.rows.is_empty() {
        return Ok((RecordBatch::new_empty(Arc::clone(&plan.schema)), chunk.rejects));
    }
    let flaws = Flaws::new(plan.on_bad_value, plan.personal);
    let mut making = Making { plan, chunk: &chunk, joined: Vec::new(), flaws };
    if let (Some(catalogue), Some(probe)) = (catalogue, &plan.probe) {
        making.joined = catalogue.join(&making.column(probe)?)?;
    }
    let columns =
        plan.outputs.iter().map(|output| making.output(output, origin)).collect::<Result<Vec<_>>>()?;
    making.anonymous(&columns);
    let flaws = making.flaws;
    let batch = RecordBatch::try_new(Arc::clone(&plan.schema), columns)?;
    if flaws.len() == 0 {
        return Ok((batch, chunk.rejects));
    }
    let batch = filter_record_batch(&batch, &flaws.keep(chunk.rows.len()))?;
    let mut rejects: Vec<Reject> =
        flaws.into_rows().map(|(row, flaw)| reject(plan, &chunk, row, flaw, origin)).collect();
    rejects.extend(chunk.rejects);
    rejects.sort_by_key(|reject| reject.row);
    Ok((batch, rejects))
}

impl Making<'_> {
    fn rows(&self) -> usize {
        self.chunk.rows.len()
    }

    /// The input's columns as one.
    fn column(&self, input: &Input) -> Result<ArrayRef> {
        let column = |slot: &Slot| match slot {
            Slot::File(index) => Arc::clone(&self.chunk.columns[*index]),
            Slot::Joined(index) => Arc::clone(&self.joined[*index]),
        };
        first_of(input.slots.iter().map(column).collect())
    }

    fn output(&mut self, output: &Output, origin: &Origin<'_>) -> Result<ArrayRef> {
        match output {
            Output::EventId { parts } => self.event_id(parts, origin),
            Output::Time { input: None, .. } => Ok(constant_time(None, self.rows())),
            Output::TimeConstant(time) => Ok(constant_time(Some(*time), self.rows())),
            Output::Time { input: Some(input), format, needed } => {
                let before = self.column(input)?;
                let made = timestamps(&before, format)?;
                let name = input.names.to_string();
                self.flaws.lost_any(&name, &before, &made, &format.expected());
                if *needed {
                    self.needed(&made, &name, &format.expected());
                }
                Ok(made)
            }
            Output::EventConstant(name) => Ok(repeat(name, self.rows())),
            Output::Event { input, map, needed } => self.event(input, map, *needed),
            Output::Identifier { input, rule } => self.identifier(input, rule),
            Output::Value { input, target } => {
                let made = target.convert(&self.column(input)?, &input.names.to_string(), &mut self.flaws)?;
                if target.kind == Type::String && !target.written {
                    self.texts(input, made)
                } else {
                    Ok(made)
                }
            }
            Output::Consent { input } => self.consent(input),
        }
    }

    /// Flaws the rows that are null in `column`.
    fn needed(&mut self, column: &ArrayRef, name: &str, expected: &str) {
        if column.null_count() > 0 {
            for row in (0..column.len()).filter(|row| column.is_null(*row)) {
                self.flaws.bad(row, name, None, expected);
            }
        }
    }

    /// Takes out what is no text where nobody said that it should become text.
    fn texts(&mut self, input: &Input, made: ArrayRef) -> Result<ArrayRef> {
        let first = |row: usize| {
            let files = input.slots.iter().filter_map(|slot| match slot {
                Slot::File(index) => Some(*index),
                Slot::Joined(_) => None,
            });
            files.into_iter().find(|index| self.chunk.columns[*index].is_valid(row))
        };
        let odd = self.chunk.odd.iter().filter(|(column, row)| first(*row) == Some(*column));
        let rows: BTreeSet<usize> = odd.map(|(_, row)| *row).collect();
        if rows.is_empty() {
            return Ok(made);
        }
        let mask: BooleanArray = (0..made.len()).map(|row| Some(rows.contains(&row))).collect();
        let left = nullif(&made, &mask)?;
        let expected = "text; with `type = \"string\"` it is taken as it is written";
        self.flaws.lost(&input.names.to_string(), &made, &left, expected);
        Ok(left)
    }

    fn event_id(&mut self, parts: &[Input], origin: &Origin<'_>) -> Result<ArrayRef> {
        let columns = parts.iter().map(|part| text(&self.column(part)?)).collect::<Result<Vec<_>>>()?;
        for (part, column) in parts.iter().zip(&columns).filter(|(part, _)| part.required) {
            self.needed(column, &part.names.to_string(), "a part of the event's id");
        }
        let texts: Vec<&StringArray> = columns.iter().map(AsArray::as_string).collect();
        let rows = self.rows();
        let mut ids = StringBuilder::with_capacity(rows, rows * 24);
        for row in 0..rows {
            if texts.is_empty() || texts.iter().any(|text| text.is_null(row)) {
                // Writing to a string cannot fail.
                let _ = write!(ids, "{}:{}", origin.fingerprint, self.chunk.rows[row]);
            } else {
                for (index, text) in texts.iter().enumerate() {
                    let _ = ids.write_str(if index == 0 { "" } else { ":" });
                    let _ = ids.write_str(text.value(row));
                }
            }
            ids.append_value("");
        }
        Ok(Arc::new(ids.finish()))
    }

    fn event(&mut self, input: &Input, map: &BTreeMap<String, String>, needed: bool) -> Result<ArrayRef> {
        let column = text(&self.column(input)?)?;
        let name = input.names.to_string();
        let mapped: StringArray = column
            .as_string::<i32>()
            .iter()
            .map(|found| {
                let found = found.map(str::trim).filter(|found| !found.is_empty())?;
                Some(map.get(found).map_or(found, String::as_str))
            })
            .collect();
        let mapped: ArrayRef = Arc::new(mapped);
        if needed {
            self.needed(&mapped, &name, "the name of an event");
        }
        if !self.plan.events.is_empty() {
            let expected = self.plan.events.join(", ");
            for (row, found) in mapped.as_string::<i32>().iter().enumerate() {
                if let Some(found) = found.filter(|found| !self.plan.events.contains(found)) {
                    self.flaws.bad(row, &name, Some(found), &expected);
                }
            }
        }
        Ok(mapped)
    }

    fn identifier(&mut self, input: &Input, rule: &Rule) -> Result<ArrayRef> {
        let column = text(&self.column(input)?)?;
        let texts = column.as_string::<i32>();
        let plain = rule.kind == Kind::Plain && rule.hash == Hash::None;
        if plain && texts.iter().flatten().all(|value| !value.is_empty() && value.trim().len() == value.len())
        {
            return Ok(column);
        }
        let mut made = StringBuilder::with_capacity(texts.len(), texts.len() * 64);
        for (row, value) in texts.iter().enumerate() {
            match value.map(str::trim).filter(|value| !value.is_empty()) {
                None => made.append_null(),
                Some(value) if plain => made.append_value(value),
                Some(value) => match kindred_identifiers::apply(rule, value) {
                    Ok(value) => made.append_value(value),
                    Err(reason) => {
                        made.append_null();
                        self.flaws.reject(row, "identifier", format!("column `{}`: {reason}", input.names));
                    }
                },
            }
        }
        Ok(Arc::new(made.finish()))
    }

    /// What is neither yes nor no must not pass for the source's default.
    fn consent(&mut self, input: &Input) -> Result<ArrayRef> {
        let before = text(&self.column(input)?)?;
        let said = |word: &str| match word.trim() {
            word if word.eq_ignore_ascii_case("granted") => Some("granted"),
            word if word.eq_ignore_ascii_case("denied") => Some("denied"),
            word if word.eq_ignore_ascii_case("collect") => Some("collect"),
            word if word.eq_ignore_ascii_case("collect segment") => Some("collect segment"),
            word => boolean(word).map(|yes| if yes { "granted" } else { "denied" }),
        };
        let made: StringArray = before.as_string::<i32>().iter().map(|word| word.and_then(said)).collect();
        let made: ArrayRef = Arc::new(made);
        let expected = "granted, collect segment, collect, denied, true, false, yes, no, 1 or 0";
        self.flaws.lost_any(&input.names.to_string(), &before, &made, expected);
        Ok(made)
    }

    /// Flaws the rows without any identifier, except where their event may come without.
    fn anonymous(&mut self, columns: &[ArrayRef]) {
        let ids = |output: &Output| matches!(output, Output::Identifier { .. });
        let pairs = || self.plan.outputs.iter().zip(columns);
        let found: Vec<_> = pairs().filter(|(output, _)| ids(output)).map(|(_, column)| column).collect();
        if found.is_empty() || found.iter().any(|column| column.null_count() == 0) {
            return;
        }
        let event =
            pairs().find(|(output, _)| matches!(output, Output::Event { .. } | Output::EventConstant(_)));
        let event = event.map(|(_, column)| column.as_string::<i32>());
        let names: Vec<String> = self.plan.outputs.iter().filter_map(identifier_names).collect();
        for row in (0..self.rows()).filter(|row| found.iter().all(|column| column.is_null(*row))) {
            if !event
                .is_some_and(|event| event.is_valid(row) && self.plan.anonymous.contains(&event.value(row)))
            {
                let message = format!("no value in any identifier column: {}", names.join(", "));
                self.flaws.reject(row, "no-identifier", message);
            }
        }
    }
}

fn identifier_names(output: &Output) -> Option<String> {
    match output {
        Output::Identifier { input, .. } => Some(format!("`{}`", input.names)),
        _ => None,
    }
}

fn repeat(text: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
}

fn reject(
    plan: &Plan,
    chunk: &Chunk,
    row: usize,
    (code, message): (&'static str, String),
    origin: &Origin<'_>,
) -> Reject {
    let payload = match &chunk.raw {
        _ if plan.personal => String::new(),
        Some(raw) => raw.row(row).to_owned(),
        None => described(plan, chunk, row),
    };
    Reject { row: chunk.rows[row], code: code.to_owned(), message, payload, origin: origin.name.to_owned() }
}

/// The columns that were read of a row that has no text of its own, as JSON.
fn described(plan: &Plan, chunk: &Chunk, row: usize) -> String {
    let cell = |column: &ArrayRef| {
        column.is_valid(row).then(|| array_value_to_string(column, row).unwrap_or_default())
    };
    let cells: BTreeMap<&str, Option<String>> =
        plan.slots.iter().map(String::as_str).zip(chunk.columns.iter().map(cell)).collect();
    let text = serde_json::json!(cells).to_string();
    cut(&text).to_owned()
}

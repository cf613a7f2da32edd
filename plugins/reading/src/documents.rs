//! Rows that come as JSON documents from memory instead of files: what a push source reads out of its spool. They go
//! the way of all rows behind `chunk`, by the same mapping.

use crate::{
    assemble::{Origin, assemble},
    chunk::Chunk,
    json::{Json, is_odd, text},
    mapping::Mapping,
    plan::Plan,
    text::Cells,
};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use kindred_plugin_api::{Fault, Reject, Result};
use serde_json::Value;
use std::{borrow::Cow, sync::Arc};

/// Reads documents as the rows of a mapping.
///
/// A row is what the source knows itself, and any number of documents that came from outside. Columns below the source's
/// own name are asked of the source only, all others are read only from the documents, so nothing outside can pretend to
/// be what the source knows.
pub struct Documents {
    plan: Plan,
    /// The columns below the source's own name, with the rest of their path.
    own: Vec<(usize, String)>,
    outside: Json,
}

/// What a source knows of a row itself.
pub trait Own {
    /// The value at a path below the source's own name, as text; none where there is none.
    fn get(&self, path: &str) -> Option<Cow<'_, str>>;
}

/// Values that are not known before they come, such as headers. Objects and arrays have no text.
impl Own for Value {
    fn get(&self, path: &str) -> Option<Cow<'_, str>> {
        let fields = self.as_object()?;
        match fields.get(path) {
            Some(Value::String(text)) => Some(Cow::Borrowed(text)),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Some(Cow::Owned(value.to_string())),
            Some(_) => None,
            None => {
                let (first, rest) = path.split_once('.')?;
                Own::get(fields.get(first)?, rest)
            }
        }
    }
}

/// Whether a value is neither text nor a number, and its text.
type Cell<'a> = (bool, Option<Cow<'a, str>>);

/// A batch under construction.
pub struct Filling<'a> {
    documents: &'a Documents,
    cells: Cells<'a>,
    chunk: Chunk,
}

impl Documents {
    /// Resolves a mapping; `own` is the first step of the paths to what the source knows itself. Rejects hold neither
    /// rows nor values.
    ///
    /// # Errors
    /// CONFIG with all that is wrong with the mapping.
    pub fn new(mapping: &Mapping, own: &str) -> Result<Self> {
        let mapping = Mapping { personal: true, ..mapping.clone() };
        let plan = Plan::compile(&mapping, None, None).map_err(Fault::config)?;
        let below = |column: &str| Some(column.strip_prefix(own)?.strip_prefix('.')?.to_owned());
        let outside = Json::of(&plan.slots, |column| below(column).is_none());
        let own =
            plan.slots.iter().enumerate().filter_map(|(at, column)| Some((at, below(column)?))).collect();
        Ok(Self { plan, own, outside })
    }

    /// The schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.plan.schema)
    }

    /// A batch without rows.
    pub fn fill(&self) -> Filling<'_> {
        let (rows, rejects) = (Vec::new(), Vec::new());
        let chunk = Chunk { columns: Vec::new(), rows, raw: None, rejects, odd: Vec::new(), end: false };
        Filling { documents: self, cells: Cells::new(self.plan.slots.len(), &[]), chunk }
    }
}

impl Filling<'_> {
    /// Adds a row under a number, which its reject would carry. Of two documents from outside with the same value the
    /// first counts.
    pub fn push(&mut self, number: u64, own: &impl Own, outside: &[&str]) {
        match self.documents.cells(own, outside) {
            Ok(cells) => {
                self.chunk.rows.push(number);
                for (column, (odd, cell)) in cells.iter().enumerate() {
                    if *odd {
                        self.cells.odd(column);
                    }
                    self.cells.push(column, cell.as_deref());
                }
            }
            // The parser's own words would repeat what it found.
            Err(_) => self.chunk.rejects.push(Reject {
                row: number,
                code: "json".to_owned(),
                message: "not one JSON object".to_owned(),
                payload: String::new(),
                origin: String::new(),
            }),
        }
    }

    /// The batch, and the rows that are none, by their numbers.
    ///
    /// # Errors
    /// PERMANENT for columns of a type that cannot be converted.
    pub fn finish(mut self) -> Result<(RecordBatch, Vec<Reject>)> {
        self.cells.finish(&mut self.chunk);
        let origin = Origin { name: "", fingerprint: "" };
        assemble(&self.documents.plan, None, self.chunk, &origin)
    }
}

impl Documents {
    fn cells<'de>(
        &self,
        own: &'de impl Own,
        outside: &[&'de str],
    ) -> Result<Vec<Cell<'de>>, serde_json::Error> {
        let mut found = vec![None; self.plan.slots.len()];
        for document in outside.iter().rev() {
            self.outside.find(document, &mut found)?;
        }
        let cell = |raw: &'de str| Ok((is_odd(raw), text(raw)?));
        let cells = found.into_iter().map(|raw| raw.map_or(Ok((false, None)), cell));
        let mut cells = cells.collect::<Result<Vec<Cell<'de>>, serde_json::Error>>()?;
        for (column, path) in &self.own {
            cells[*column].1 = own.get(path);
        }
        Ok(cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConstantOr, EventSpec, Field, Names, Type, ValueSpec};
    use arrow::array::{Array, AsArray};
    use serde_json::json;

    fn mapping() -> Mapping {
        let event = EventSpec { column: Names::from("own.event"), ..EventSpec::default() };
        Mapping {
            identifiers: vec![Field::new("user", "/user", Names::from("userId").into())],
            event: Some(Field::new("event", "/event", ConstantOr::Table(event))),
            values: vec![
                Field::new("site", "/site", ValueSpec::new(&["own.site"], Type::String)),
                Field::new("price", "/price", ValueSpec::new(&["properties.price"], Type::Integer)),
            ],
            eventless: true,
            ..Mapping::default()
        }
    }

    #[test]
    fn nothing_outside_can_pretend_to_be_the_sources_own() {
        let documents = Documents::new(&mapping(), "own").unwrap();
        let mut filling = documents.fill();
        let forged = r#"{"userId":"u","own":{"event":"e","site":"evil"},"own.site":"evil"}"#;
        filling.push(7, &json!({"event": null, "userId": "evil"}), &[forged]);
        let (batch, rejects) = filling.finish().unwrap();
        assert_eq!((batch.num_rows(), rejects.len()), (1, 0));
        assert!(batch.column_by_name("site").unwrap().is_null(0));
        assert!(batch.column_by_name("event").unwrap().is_null(0));
        assert_eq!(batch.column_by_name("id.user").unwrap().as_string::<i32>().value(0), "u");
    }

    #[test]
    fn what_a_source_knows_is_found_by_its_path_also_where_names_hold_dots() {
        let own = json!({"time": 7, "key": "a", "none": null, "headers": {"a.b": "c", "d": {"e": 1.5}}});
        let found = ["time", "key", "headers.a.b", "headers.d.e"].map(|path| Own::get(&own, path).unwrap());
        assert_eq!(found, ["7", "a", "c", "1.5"]);
        for path in ["none", "headers", "headers.d", "time.a", "", "headers."] {
            assert_eq!(Own::get(&own, path), None, "{path}");
        }
    }

    #[test]
    fn the_first_document_counts_and_integers_stay_exact() {
        let documents = Documents::new(&mapping(), "own").unwrap();
        let mut filling = documents.fill();
        let own = &json!({"event": "buy"});
        let first = r#"{"userId":"a","properties":{"price":9007199254740993}}"#;
        filling.push(1, own, &[first, r#"{"userId":"b","properties":{"price":1}}"#]);
        filling.push(2, own, &[r#"{"userId":"c","properties":{"price":"Mallory"}}"#]);
        filling.push(3, own, &[r#"{"userId":"c","properties":"#]);
        let (batch, rejects) = filling.finish().unwrap();
        let price = batch.column_by_name("price").unwrap().as_primitive::<arrow::datatypes::Int64Type>();
        assert_eq!(price.values(), &[9_007_199_254_740_993]);
        let codes: Vec<_> = rejects.iter().map(|reject| (reject.row, reject.code.as_str())).collect();
        assert_eq!(codes, [(2, "value"), (3, "json")]);
        assert!(
            rejects.iter().all(|reject| reject.payload.is_empty() && !reject.message.contains("Mallory"))
        );
    }
}

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
use std::{borrow::Cow, sync::Arc};

/// Reads documents as the rows of a mapping.
///
/// A row is one document of the source's own, and any number that came from outside. Columns below the source's own
/// name are read from its own document only, all others only from those outside, so nothing outside can pretend to be
/// what the source knows.
pub struct Documents {
    plan: Plan,
    own: Json,
    outside: Json,
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
    /// Resolves a mapping; `own` is the first step of the paths into the source's own document. Rejects hold neither
    /// rows nor values.
    ///
    /// # Errors
    /// CONFIG with all that is wrong with the mapping.
    pub fn new(mapping: &Mapping, own: &str) -> Result<Self> {
        let mapping = Mapping { personal: true, ..mapping.clone() };
        let plan = Plan::compile(&mapping, None, None).map_err(Fault::config)?;
        let is_own = |column: &str| column.strip_prefix(own).is_some_and(|rest| rest.starts_with('.'));
        let (own, outside) = (Json::of(&plan.slots, is_own), Json::of(&plan.slots, |name| !is_own(name)));
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
    pub fn push(&mut self, number: u64, own: &str, outside: &[&str]) {
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
    fn cells<'de>(&self, own: &'de str, outside: &[&'de str]) -> Result<Vec<Cell<'de>>, serde_json::Error> {
        let mut found = vec![None; self.plan.slots.len()];
        for document in outside.iter().rev() {
            self.outside.find(document, &mut found)?;
        }
        self.own.find(own, &mut found)?;
        let cell = |raw: &'de str| Ok((is_odd(raw), text(raw)?));
        found.into_iter().map(|raw| raw.map_or(Ok((false, None)), cell)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConstantOr, EventSpec, Field, Names, Type, ValueSpec};
    use arrow::array::{Array, AsArray};

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
        filling.push(7, r#"{"own":{"event":null},"userId":"evil"}"#, &[forged]);
        let (batch, rejects) = filling.finish().unwrap();
        assert_eq!((batch.num_rows(), rejects.len()), (1, 0));
        assert!(batch.column_by_name("site").unwrap().is_null(0));
        assert!(batch.column_by_name("event").unwrap().is_null(0));
        assert_eq!(batch.column_by_name("id.user").unwrap().as_string::<i32>().value(0), "u");
    }

    #[test]
    fn the_first_document_counts_and_integers_stay_exact() {
        let documents = Documents::new(&mapping(), "own").unwrap();
        let mut filling = documents.fill();
        let own = r#"{"own":{"event":"buy"}}"#;
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

//! From activation rows to members and rejects.

use crate::{encoder::Encoder, members::Members};
use kindred_plugin_api::{
    arrow::{array::TimestampMicrosecondArray, datatypes::TimestampMicrosecondType},
    prelude::*,
};

const SEGMENT: &str = "segment";
const OPERATION: &str = "operation";
const IDENTIFIERS: &str = "identifiers";
const SINCE: &str = "since";

/// What has come of a delivery so far.
pub(crate) struct Incoming {
    pub(crate) members: Members,
    /// Rows that the destination takes.
    pub(crate) rows: u64,
    pub(crate) rejects: Vec<Reject>,
    /// Identifiers left out of rows that have others.
    pub(crate) skipped: u64,
    seen: u64,
    keep: bool,
}

/// Checks that the columns are those of [`columns::activation`].
pub(crate) fn bind(input: &Schema) -> Result<()> {
    let wanted = columns::activation();
    let problem = |name: &&str| {
        let wanted = wanted.field_with_name(name).ok()?.data_type();
        match input.field_with_name(name).map(Field::data_type) {
            Ok(found) if found == wanted => None,
            Ok(found) => Some(Problem::new("", format!("column `{name}` is {found}; allowed: {wanted}"))),
            Err(_) => Some(Problem::new("", format!("no column `{name}`"))),
        }
    };
    let problems: Vec<Problem> =
        [SEGMENT, OPERATION, IDENTIFIERS, SINCE].iter().filter_map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(Fault::config(problems)) }
}

impl Incoming {
    /// Nothing yet; `keep` is false when members need only be counted.
    pub(crate) fn new(keep: bool) -> Self {
        Self { members: Members::default(), rows: 0, rejects: Vec::new(), skipped: 0, seen: 0, keep }
    }

    /// Takes a batch of rows.
    pub(crate) fn take(&mut self, batch: &RecordBatch, namespace: &str, encoder: &dyn Encoder) -> Result<()> {
        let columns = Columns::of(batch)?;
        for row in 0..batch.num_rows() {
            match self.row(&columns, row, namespace, encoder) {
                Ok(()) => self.rows += 1,
                Err((code, message)) => self.rejects.push(Reject {
                    row: self.seen,
                    code: code.to_owned(),
                    message,
                    // It would hold identifiers.
                    payload: String::new(),
                    origin: String::new(),
                }),
            }
            self.seen += 1;
        }
        Ok(())
    }

    fn row(
        &mut self,
        columns: &Columns<'_>,
        row: usize,
        namespace: &str,
        encoder: &dyn Encoder,
    ) -> Result<(), (&'static str, String)> {
        let remove = match columns.operation.value(row) {
            "add" => false,
            "remove" => true,
            other => return Err(("operation", format!("operation `{other}`; allowed: add, remove"))),
        };
        let since_s = columns.since.value(row).div_euclid(1_000_000);
        let segment = self.members.segment(columns.segment.value(row));
        let (mut taken, mut refusals) = (0, Vec::new());
        for raw in columns.identifiers(row, namespace) {
            match encoder.identifier(raw) {
                Ok(id) if !self.keep || self.members.push(&id, segment, remove, since_s) => taken += 1,
                Ok(_) => refusals.push("identifier longer than 64 KiB".to_owned()),
                Err(why) => refusals.push(why),
            }
        }
        match refusals.pop() {
            Some(why) if taken == 0 => Err(("identifier", format!("`{namespace}`: {why}"))),
            None if taken == 0 => {
                Err(("no-identifier", format!("member without an identifier `{namespace}`")))
            }
            last => {
                self.skipped += (refusals.len() + usize::from(last.is_some())) as u64;
                Ok(())
            }
        }
    }
}

struct Columns<'a> {
    segment: &'a StringArray,
    operation: &'a StringArray,
    since: &'a TimestampMicrosecondArray,
    offsets: &'a [i32],
    namespaces: &'a StringArray,
    values: &'a StringArray,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self> {
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or_else(|| Fault::permanent("schema", format!("no column `{name}`")))
        };
        let identifiers = column(IDENTIFIERS)?.as_list::<i32>();
        let pairs = identifiers.values().as_struct();
        Ok(Self {
            segment: column(SEGMENT)?.as_string(),
            operation: column(OPERATION)?.as_string(),
            since: column(SINCE)?.as_primitive::<TimestampMicrosecondType>(),
            offsets: identifiers.value_offsets(),
            namespaces: pairs.column(0).as_string(),
            values: pairs.column(1).as_string(),
        })
    }

    fn identifiers(&self, row: usize, namespace: &str) -> impl Iterator<Item = &'a str> {
        let range = self.offsets[row] as usize..self.offsets[row + 1] as usize;
        let values =
            range.filter(move |&at| self.namespaces.value(at) == namespace).map(|at| self.values.value(at));
        values.filter(|value| !value.is_empty())
    }
}

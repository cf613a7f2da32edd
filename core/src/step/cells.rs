//! The cells of a source batch that are read row by row: identifiers, consent, time, and attributes.

use super::bound::Bound;
use crate::{Result, profile::Value, store::columns::ColumnType};
use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType},
};
use kindred_plugin_api::Reject;

/// The columns of a batch that are read row by row.
pub(super) struct Cells {
    source: String,
    identifiers: Vec<StringArray>,
    ids: Option<StringArray>,
    times: Option<ArrayRef>,
    events: Option<ArrayRef>,
    consents: Option<StringArray>,
    versions: Option<StringArray>,
    attributes: Vec<ArrayRef>,
}

impl Cells {
    pub(super) fn new(bound: &Bound, columns: &[ArrayRef]) -> Result<Self> {
        let text = |at: usize| -> Result<StringArray> {
            Ok(cast(&columns[at], &DataType::Utf8)?.as_string::<i32>().clone())
        };
        let [id, time, event, consent, version] = bound.fixed;
        Ok(Self {
            source: bound.source.clone(),
            identifiers: bound.identifiers.iter().map(|(_, at)| text(*at)).collect::<Result<_>>()?,
            ids: id.map(text).transpose()?,
            times: time.map(|at| columns[at].clone()),
            events: event.map(|at| columns[at].clone()),
            consents: consent.map(text).transpose()?,
            versions: version.map(text).transpose()?,
            attributes: bound.attributes.iter().map(|(_, at)| plain(&columns[*at])).collect::<Result<_>>()?,
        })
    }

    /// Column and value of each identifier that a row has.
    pub(super) fn identifiers(&self, row: usize) -> impl Iterator<Item = (usize, &str)> {
        let columns = self.identifiers.iter().enumerate();
        let valid = columns.filter(move |(_, values)| values.is_valid(row));
        valid.map(move |(at, values)| (at, values.value(row))).filter(|(_, value)| !value.is_empty())
    }

    /// An attribute's value in a row, by its place among the attributes.
    pub(super) fn attribute(&self, at: usize, row: usize) -> Option<Value> {
        let values = &self.attributes[at];
        if values.is_null(row) {
            return None;
        }
        Some(match ColumnType::of(values.data_type())? {
            ColumnType::Text => Value::Text(values.as_string::<i32>().value(row).to_owned()),
            ColumnType::Integer => Value::Integer(values.as_primitive::<Int64Type>().value(row)),
            ColumnType::Decimal => Value::Decimal(values.as_primitive::<Float64Type>().value(row)),
            ColumnType::Boolean => Value::Boolean(values.as_boolean().value(row)),
            ColumnType::Time => Value::Time(values.as_primitive::<TimestampMicrosecondType>().value(row)),
        })
    }

    pub(super) fn consent(&self, row: usize) -> Option<&str> {
        self.consents.as_ref().filter(|c| c.is_valid(row)).map(|c| c.value(row))
    }

    /// What the row's consent was read from; empty where it does not say.
    pub(super) fn consent_version(&self, row: usize) -> &str {
        self.versions.as_ref().filter(|v| v.is_valid(row)).map_or("", |v| v.value(row))
    }

    pub(super) fn time(&self, row: usize) -> Option<i64> {
        let times = self.times.as_ref()?.as_primitive_opt::<TimestampMicrosecondType>()?;
        times.is_valid(row).then(|| times.value(row))
    }

    /// What a row is called in a dead letter.
    pub(super) fn name(&self, row: usize) -> String {
        self.id(row).map(|id| format!("event_id {id}")).unwrap_or_default()
    }

    fn id(&self, row: usize) -> Option<&str> {
        self.ids.as_ref().filter(|c| c.is_valid(row)).map(|c| c.value(row)).filter(|id| !id.is_empty())
    }

    /// The event's id within its source, when the row carries an event.
    pub(super) fn event(&self, row: usize) -> Option<Result<&str, (&'static str, &'static str)>> {
        if !self.events.as_ref().is_some_and(|e| e.is_valid(row)) {
            return None;
        }
        if self.time(row).is_none() {
            return Some(Err(("no-time", "an event needs `event_time`")));
        }
        Some(self.id(row).ok_or(("no-event-id", "an event needs `event_id`")))
    }
}

/// A row that goes no further.
pub(super) fn reject(columns: &Cells, row: usize, code: &str, message: &str) -> Reject {
    Reject {
        row: row as u64,
        code: code.to_owned(),
        message: message.to_owned(),
        payload: columns.name(row),
        origin: columns.source.clone(),
    }
}

/// A column in the plain type of what it holds.
fn plain(values: &ArrayRef) -> Result<ArrayRef> {
    Ok(match ColumnType::of(values.data_type()) {
        Some(kind) => cast(values, &kind.plain())?,
        None => values.clone(),
    })
}

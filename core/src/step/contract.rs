//! The first thing that happens to rows: they are held against what is agreed with their source. Nothing is read as
//! something else: a value is of its declared type exactly, or its row is not as agreed.

use super::{
    exact::{Numbers, convert, found, is_of},
    load::{Aside, Load, SetAside},
};
use crate::{
    config::{
        Source,
        contract::{Contract, Declared, Policy},
    },
    store::columns::ColumnType,
};
use arrow::{
    array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array},
    compute::take_record_batch,
    datatypes::{Field, Schema, SchemaRef},
};
use kindred_plugin_api::{
    Fault, Reject,
    columns::{ATTR, CONSENT, CONSENT_VERSION, EVENT, EVENT_ID, EVENT_TIME, ID},
};
use std::{collections::BTreeMap, sync::Arc};

/// A contract and what a source brings.
#[derive(Debug)]
pub(super) struct Gate {
    source: String,
    contract: Contract,
    columns: Vec<Column>,
    /// Columns that nobody declared, which go no further.
    strange: Vec<(usize, String)>,
    /// Declared columns that the source does not bring, for which its rows are set aside.
    lacking: Vec<String>,
    event: Option<usize>,
    schema: SchemaRef,
}

/// One column behind the gate.
#[derive(Debug)]
struct Column {
    name: String,
    /// Where the source has it.
    from: Option<usize>,
    declared: Option<Declared>,
    /// Its values are looked at one by one.
    looked_at: bool,
}

/// Why a row is not as agreed, by row; the first reason counts.
type Broken = BTreeMap<u32, (&'static str, String, bool, bool)>;

impl Gate {
    /// Agrees on what a source brings; none where nothing is declared.
    ///
    /// # Errors
    /// A permanent fault where what it brings must stop it.
    pub(super) fn new(source: &Source, brought: &SchemaRef) -> Result<Option<Self>, Fault> {
        let Some(contract) = &source.schema else { return Ok(None) };
        let (mut columns, mut strange, mut lacking) = (Vec::new(), Vec::new(), Vec::new());
        let mut fields: Vec<Field> = Vec::new();
        for (at, field) in brought.fields().iter().enumerate() {
            let name = field.name();
            let declared = contract.columns.get(name).copied();
            let looked_at = declared.is_some_and(|declared| !is_of(field.data_type(), declared.kind));
            match declared {
                Some(declared) if looked_at => {
                    let kind = ColumnType::of(field.data_type());
                    let numbers = |kind| matches!(kind, ColumnType::Integer | ColumnType::Decimal);
                    if contract.drift.changed == Policy::Stop
                        && !(numbers(declared.kind) && kind.is_some_and(numbers))
                    {
                        let is = found(field.data_type(), declared.kind, Numbers::Widen);
                        return Err(stop(&changed(name, &is, declared.kind)));
                    }
                    fields.push(
                        Field::new(name, declared.kind.plain(), true).with_metadata(field.metadata().clone()),
                    );
                }
                None if !is_fixed(name) && contract.drift.new == Policy::Stop => {
                    return Err(stop(&undeclared(name)));
                }
                None if !is_fixed(name) && contract.drift.new == Policy::Quarantine => {
                    strange.push((at, name.clone()));
                    continue;
                }
                _ => fields.push(field.as_ref().clone()),
            }
            columns.push(Column { name: name.clone(), from: Some(at), declared, looked_at });
        }
        for (name, declared) in &contract.columns {
            if brought.index_of(name).is_ok() {
                continue;
            }
            match contract.drift.missing {
                Policy::Stop => return Err(stop(&format!("column `{name}`: the source does not bring it"))),
                Policy::Quarantine => lacking.push(name.clone()),
                Policy::Evolve => {}
            }
            fields.push(Field::new(name, declared.kind.plain(), true));
            let (name, declared) = (name.clone(), Some(*declared));
            columns.push(Column { name, from: None, declared, looked_at: false });
        }
        let (source, contract, event) = (source.name.clone(), contract.clone(), brought.index_of(EVENT).ok());
        let schema = Arc::new(Schema::new_with_metadata(fields, brought.metadata().clone()));
        Ok(Some(Self { source, contract, columns, strange, lacking, event, schema }))
    }

    /// The schema behind it.
    pub(super) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Sets the rows aside that are not as agreed.
    ///
    /// # Errors
    /// A fault where such a row must stop the source.
    pub(super) fn pass(&self, load: &mut Load) -> Result<(), Fault> {
        let source = &load.source;
        let rows = source.num_rows();
        let mut broken = Broken::new();
        if let (Some(name), true) = (self.lacking.first(), rows > 0) {
            let message = format!("column `{name}`: the source does not bring it");
            for row in 0..rows as u32 {
                broken.insert(row, ("schema-missing", message.clone(), false, name != CONSENT));
            }
        }
        let columns = self.columns.iter().map(|column| self.column(column, source, &mut broken));
        let columns = columns.collect::<Result<Vec<ArrayRef>, Fault>>()?;
        for (at, name) in &self.strange {
            let values = source.column(*at);
            for row in valid(values) {
                broken.entry(row).or_insert_with(|| ("schema-new", undeclared(name), false, true));
            }
        }
        let whole = RecordBatch::try_new(self.schema.clone(), columns)?;
        if broken.is_empty() {
            load.batch = whole;
            return Ok(());
        }
        let kept: Vec<u32> = (0..rows as u32).filter(|row| !broken.contains_key(row)).collect();
        let numbers: Vec<u32> = broken.keys().copied().collect();
        load.batch = take_record_batch(&whole, &UInt32Array::from(kept.clone()))?;
        load.at = Some(kept);
        let rows = broken.into_iter().map(|(at, (code, message, mutilated, known))| SetAside {
            at,
            stage: "schema",
            instance: self.source.clone(),
            reject: Reject {
                row: u64::from(at),
                code: code.to_owned(),
                message,
                payload: String::new(),
                origin: self.source.clone(),
            },
            mutilated,
            known,
        });
        let batch = take_record_batch(&whole, &UInt32Array::from(numbers))?;
        load.aside.push(Aside { batch, rows: rows.collect() });
        Ok(())
    }

    /// One column as it is declared.
    fn column(&self, column: &Column, source: &RecordBatch, broken: &mut Broken) -> Result<ArrayRef, Fault> {
        let Some(declared) = column.declared else {
            return Ok(source.column(column.from.unwrap_or_default()).clone());
        };
        let drift = self.contract.drift;
        let values = match column.from {
            None => new_null_array(&declared.kind.plain(), source.num_rows()),
            Some(from) if column.looked_at => {
                let before = source.column(from);
                let numbers = if drift.changed == Policy::Evolve { Numbers::Exact } else { Numbers::Widen };
                let (values, lost) =
                    convert(before, declared.kind, numbers).map_err(|e| stop(&e.to_string()))?;
                let message =
                    changed(&column.name, &found(before.data_type(), declared.kind, numbers), declared.kind);
                if let (Some(row), Policy::Stop) = (lost.first(), drift.changed) {
                    return Err(stop(&format!("{message}, in row {row} of a batch")));
                }
                for row in lost {
                    let known = column.name != CONSENT;
                    let why = ("schema-changed", message.clone(), true, known);
                    // Of several reasons the first is told, and none makes the others harmless.
                    let told = broken.entry(row).or_insert(why);
                    (told.2, told.3) = (true, told.3 && known);
                }
                values
            }
            Some(from) => source.column(from).clone(),
        };
        if declared.required && values.null_count() > 0 && drift.missing != Policy::Evolve {
            self.require(column, &values, source, broken)?;
        }
        Ok(values)
    }

    /// Finds the rows without a value that must have one.
    fn require(
        &self,
        column: &Column,
        values: &ArrayRef,
        source: &RecordBatch,
        broken: &mut Broken,
    ) -> Result<(), Fault> {
        let event = self.event.map(|at| source.column(at));
        let property =
            !is_fixed(&column.name) && !column.name.starts_with(ID) && !column.name.starts_with(ATTR);
        let asked = |row: usize| !property || event.is_some_and(|event| event.is_valid(row));
        let nulls = values.logical_nulls();
        let empty = |row: &usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(*row)) && asked(*row);
        for row in (0..values.len()).filter(empty) {
            let message = format!("column `{}`: no value, and it is required", column.name);
            if self.contract.drift.missing == Policy::Stop {
                return Err(stop(&format!("{message}, in row {row} of a batch")));
            }
            let known = column.name != CONSENT;
            broken.entry(row as u32).or_insert(("schema-missing", message, false, known));
        }
        Ok(())
    }
}

/// Columns that every source may bring.
fn is_fixed(name: &str) -> bool {
    [EVENT_ID, EVENT_TIME, EVENT, CONSENT, CONSENT_VERSION].contains(&name)
}

fn valid(values: &ArrayRef) -> Vec<u32> {
    let nulls = values.logical_nulls();
    let is = |row: &u32| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row as usize));
    (0..values.len() as u32).filter(is).collect()
}

fn changed(name: &str, found: &str, expected: ColumnType) -> String {
    format!("column `{name}`: found {found}, expected {}", expected.name())
}

fn undeclared(name: &str) -> String {
    format!("column `{name}`: it is not declared in the source's schema")
}

fn stop(message: &str) -> Fault {
    Fault::permanent("schema", message)
}

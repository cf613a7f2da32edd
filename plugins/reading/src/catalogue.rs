//! A small table in memory that is joined to every row by its key.

use crate::{
    convert::text,
    files::resolve,
    options::Names,
    position::Mark,
    read::{self, Opened},
    spec::CatalogueSpec,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, UInt32Array, new_empty_array, new_null_array},
    compute::{cast, concat, take},
    datatypes::{DataType, Int64Type},
};
use kindred_objects::Stores;
use kindred_plugin_api::{Context, Fault, Problem, Result};
use std::collections::HashMap;

/// Rows that are read at once.
const ROWS: usize = 65_536;

/// The table: its columns and the row of each key.
pub(crate) struct Catalogue {
    columns: Vec<ArrayRef>,
    /// Keys that are whole numbers, so that typed and untyped files meet: `7`, `"7"`, `"007"`.
    numbers: HashMap<i64, u32>,
    texts: HashMap<String, u32>,
}

impl Catalogue {
    /// Reads the file.
    ///
    /// # Errors
    /// CONFIG when it or one of its columns is not there, or when it is no file of its format.
    pub(crate) fn load(spec: &CatalogueSpec, stores: &mut Stores, context: &Context) -> Result<Self> {
        let names: Vec<String> = std::iter::once(&spec.key)
            .chain(spec.columns.0.iter().map(|(_, column)| column))
            .cloned()
            .collect();
        let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); names.len()];
        let path = Names::from(spec.path.as_str());
        for file in resolve(&path, spec.format, "/catalogue/path", stores, context)? {
            let input = file.enter()?;
            let Opened { mut reader, header } =
                read::open((&file, &input), &spec.text, &names, false, Mark::default(), context)?;
            if let Some(header) = header {
                let missing = |name: &String| {
                    let at = if *name == spec.key { "/catalogue/key" } else { "/catalogue/columns" };
                    let absent = || format!("no column `{name}`");
                    let message =
                        header.find(name).map(|place| place.is_none().then(absent)).unwrap_or_else(Some)?;
                    Some(Problem::new(at, format!("`{}`: {message}", file.name)).help(header.help(name)))
                };
                let problems: Vec<Problem> = names.iter().filter_map(missing).collect();
                if !problems.is_empty() {
                    return Err(Fault::config(problems));
                }
            }
            loop {
                let chunk = reader.next(ROWS)?;
                for reject in &chunk.rejects {
                    context
                        .warn(&format!("catalogue `{}`, row {}: {}", file.name, reject.row, reject.message));
                }
                parts.iter_mut().zip(chunk.columns).for_each(|(part, column)| part.push(column));
                if chunk.end {
                    break;
                }
            }
        }
        Self::index(&parts)
    }

    fn index(parts: &[Vec<ArrayRef>]) -> Result<Self> {
        let whole = |part: &Vec<ArrayRef>| -> Result<ArrayRef> {
            let arrays: Vec<&dyn Array> = part.iter().map(AsRef::as_ref).collect();
            if arrays.is_empty() { Ok(new_empty_array(&DataType::Utf8)) } else { Ok(concat(&arrays)?) }
        };
        let mut columns = parts.iter().map(whole).collect::<Result<Vec<_>>>()?;
        let key = text(&columns.remove(0))?;
        let (mut numbers, mut texts) = (HashMap::new(), HashMap::new());
        for (row, key) in (0..).zip(key.as_string::<i32>()) {
            let Some(key) = key.map(str::trim) else { continue };
            texts.entry(key.to_owned()).or_insert(row);
            if let Ok(number) = key.parse::<i64>() {
                numbers.entry(number).or_insert(row);
            }
        }
        Ok(Self { columns, numbers, texts })
    }

    /// Types of the joined columns.
    pub(crate) fn types(&self) -> Vec<DataType> {
        self.columns.iter().map(|column| column.data_type().clone()).collect()
    }

    /// The joined columns for some keys, null where a key is not found.
    ///
    /// # Errors
    /// PERMANENT for keys of a type that has no text.
    pub(crate) fn join(&self, keys: &ArrayRef) -> Result<Vec<ArrayRef>> {
        let rows: UInt32Array = if keys.data_type().is_integer() {
            let numbers = cast(keys, &DataType::Int64)?;
            let row = |key: Option<i64>| key.and_then(|key| self.numbers.get(&key).copied());
            numbers.as_primitive::<Int64Type>().iter().map(row).collect()
        } else {
            let row = |key: Option<&str>| key.and_then(|key| self.texts.get(key.trim()).copied());
            text(keys)?.as_string::<i32>().iter().map(row).collect()
        };
        let joined = |column: &ArrayRef| -> Result<ArrayRef> {
            if column.is_empty() {
                return Ok(new_null_array(column.data_type(), rows.len()));
            }
            Ok(take(column, &rows, None)?)
        };
        self.columns.iter().map(joined).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, StringArray};
    use std::sync::Arc;

    fn catalogue() -> Catalogue {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("p.csv"), "id,name\n1,one\n007,seven\n1,again\n,none\n").unwrap();
        let spec =
            kindred_plugin_api::options::parse(r#"{ "path": "p.csv", "key": "id", "columns": ["name"] }"#);
        load(&spec.unwrap(), &dir).unwrap()
    }

    fn load(spec: &CatalogueSpec, dir: &tempfile::TempDir) -> Result<Catalogue> {
        let context = Context::detached(dir.path());
        let mut stores = Stores::new(&kindred_objects::StoreConfig::default(), &context);
        Catalogue::load(spec, &mut stores, &context)
    }

    fn names(keys: impl Array + 'static) -> Vec<Option<String>> {
        let joined = catalogue().join(&(Arc::new(keys) as ArrayRef)).unwrap().remove(0);
        joined.as_string::<i32>().iter().map(|name| name.map(str::to_owned)).collect()
    }

    #[test]
    fn numbers_and_texts_find_their_row_and_the_first_counts() {
        let (one, seven) = (Some("one".to_owned()), Some("seven".to_owned()));
        assert_eq!(
            names(Int32Array::from(vec![Some(1), Some(7), Some(2), None])),
            [one.clone(), seven.clone(), None, None]
        );
        assert_eq!(names(StringArray::from(vec!["1", "007", "7", ""])), [one, seven, None, None]);
    }

    #[test]
    fn a_missing_column_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("p.csv"), "id,name\n").unwrap();
        let spec =
            kindred_plugin_api::options::parse(r#"{ "path": "p.csv", "key": "ids", "columns": ["name"] }"#);
        let fault = load(&spec.unwrap(), &dir).err().unwrap();
        assert_eq!(fault.problems[0].path, "/catalogue/key");
        assert_eq!(fault.problems[0].help.as_deref(), Some("did you mean `id`? columns: id, name"));
    }
}

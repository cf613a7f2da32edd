//! What enrichments share: the values of a text column, each looked up once, and a schema that loses and gains columns.
//!
//! A plugin finds its columns with [`text`], says with [`Plan`] which columns go and which come, and for each batch looks
//! up the [`Distinct`] values of a column and spreads what it found over the rows.

use kindred_plugin_api::prelude::*;
use std::{collections::HashMap, sync::Arc};

/// The place of a text column; `option` is the pointer to the option that names it: `/column`.
///
/// # Errors
/// CONFIG where there is no such column, or none of text.
pub fn text(input: &Schema, option: &str, name: &str) -> Result<usize> {
    let Ok(column) = input.index_of(name) else {
        let all = input.fields().iter().filter(|field| is_text(field.data_type()));
        let all: Vec<&str> = all.map(|field| field.name().as_str()).collect();
        let problem = Problem::new(option, format!("no column `{name}` in the rows"));
        return Err(Fault::config(vec![problem.help(format!("columns with text: {}", all.join(", ")))]));
    };
    let found = input.field(column).data_type();
    if is_text(found) {
        return Ok(column);
    }
    let message = format!("column `{name}` is {found}; allowed: Utf8, or a dictionary of it");
    Err(Fault::config(vec![Problem::new(option, message)]))
}

/// True for Utf8 and dictionaries of it.
pub fn is_text(found: &DataType) -> bool {
    match found {
        DataType::Dictionary(_, value) => **value == DataType::Utf8,
        other => *other == DataType::Utf8,
    }
}

/// A problem where `name` cannot be the name of a new column; `option` is the pointer to what names it.
pub fn reserved(option: &str, name: &str) -> Option<Problem> {
    (name.is_empty() || columns::is_reserved(name)).then(|| {
        Problem::new(option, format!("`{name}` cannot be a new column"))
            .help("allowed: a name without a meaning of its own")
    })
}

/// The different values that the rows of a text column have, and which row has which.
#[derive(Debug)]
pub struct Distinct<'a> {
    values: Vec<&'a str>,
    rows: Vec<Option<usize>>,
}

impl<'a> Distinct<'a> {
    /// Of a column that [`text`] found. A value that is only in the dictionary, and in no row, is not among them.
    pub fn of(column: &'a dyn Array) -> Self {
        let mut numbers = HashMap::new();
        let mut values = Vec::new();
        let mut number = |value: &'a str| {
            *numbers.entry(value).or_insert_with(|| {
                values.push(value);
                values.len() - 1
            })
        };
        let rows = match column.as_any_dictionary_opt() {
            None => column.as_string::<i32>().iter().map(|value| value.map(&mut number)).collect(),
            // Nothing but nulls, and no value that a key could stand for.
            Some(coded) if coded.values().is_empty() => vec![None; coded.len()],
            Some(coded) => {
                let known: Vec<Option<&str>> = coded.values().as_string::<i32>().iter().collect();
                let mut seen: Vec<Option<usize>> = vec![None; known.len()];
                let keys = coded.normalized_keys().into_iter().enumerate();
                let mut row = |(row, key): (usize, usize)| {
                    let value = known[key].filter(|_| coded.is_valid(row))?;
                    Some(*seen[key].get_or_insert_with(|| number(value)))
                };
                keys.map(&mut row).collect()
            }
        };
        Self { values, rows }
    }

    /// Each value once, in the order of the rows.
    pub fn values(&self) -> &[&'a str] {
        &self.values
    }

    /// For each row what was found for its value; `found` is in the order of [`Self::values`].
    pub fn spread<'b, T>(&'b self, found: &'b [T]) -> impl ExactSizeIterator<Item = Option<&'b T>> {
        self.rows.iter().map(|row| row.map(|value| &found[value]))
    }

    /// A text column of what `pick` takes from what was found.
    pub fn column<'b, T>(&'b self, found: &'b [T], pick: impl Fn(&'b T) -> Option<&'b str>) -> ArrayRef {
        Arc::new(self.spread(found).map(|one| one.and_then(&pick)).collect::<StringArray>())
    }
}

/// How a batch comes to its new columns.
#[derive(Debug)]
pub struct Plan {
    kept: Vec<usize>,
    output: SchemaRef,
}

impl Plan {
    /// Takes the columns at `gone` away and puts `new` behind the others; a column that is rewritten is in both.
    ///
    /// # Errors
    /// CONFIG where the rows have a column of that name already; `option` is the pointer to what may change that.
    pub fn new(input: &Schema, gone: &[usize], new: Vec<Field>, option: &str) -> Result<Self> {
        let kept: Vec<usize> = (0..input.fields().len()).filter(|column| !gone.contains(column)).collect();
        let mut fields: Vec<_> = kept.iter().map(|&column| input.fields()[column].clone()).collect();
        for field in new {
            if fields.iter().any(|there| there.name() == field.name()) {
                let message = format!("the rows already have a column `{}`", field.name());
                let help = "rename it where it comes from, or do without the new one";
                return Err(Fault::config(vec![Problem::new(option, message).help(help)]));
            }
            fields.push(Arc::new(field));
        }
        Ok(Self { kept, output: Arc::new(Schema::new_with_metadata(fields, input.metadata().clone())) })
    }

    /// The schema of what [`Self::apply`] makes.
    pub fn output(&self) -> SchemaRef {
        self.output.clone()
    }

    /// The batch with these new columns, in the order in which they were named.
    ///
    /// # Errors
    /// PERMANENT where they are not those columns.
    pub fn apply(&self, batch: &RecordBatch, new: Vec<ArrayRef>) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = self.kept.iter().map(|&at| batch.column(at).clone()).collect();
        columns.extend(new);
        Ok(RecordBatch::try_new(self.output.clone(), columns)?)
    }
}

/// What calls out of order get.
pub fn unbound() -> Fault {
    Fault::permanent("order", "process before bind")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{array::DictionaryArray, datatypes::UInt8Type};
    use proptest::prelude::*;

    fn spread(column: &dyn Array) -> Vec<Option<String>> {
        let distinct = Distinct::of(column);
        let found: Vec<String> = distinct.values().iter().map(|value| value.to_uppercase()).collect();
        distinct.spread(&found).map(|one| one.cloned()).collect()
    }

    proptest! {
        #[test]
        fn each_row_gets_what_its_value_gets(
            rows in prop::collection::vec(prop::option::of("[a-c]{0,2}"), 0..40),
            cut in 0..40_usize,
        ) {
            let plain: StringArray = rows.iter().map(Option::as_deref).collect();
            let coded: DictionaryArray<UInt8Type> = rows.iter().map(Option::as_deref).collect();
            let want: Vec<_> = rows.iter().map(|row| row.as_deref().map(str::to_uppercase)).collect();
            let cut = cut.min(rows.len());
            prop_assert_eq!(spread(&plain), want.clone());
            prop_assert_eq!(spread(&coded), want.clone());
            prop_assert_eq!(spread(&coded.slice(cut, rows.len() - cut)), &want[cut..]);
            let distinct = Distinct::of(&plain);
            let mut once = distinct.values().to_vec();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), distinct.values().len());
        }
    }

    #[test]
    fn a_value_that_no_row_has_is_not_looked_up() {
        let coded: DictionaryArray<UInt8Type> = ["a", "b", "c"].into_iter().collect();
        assert_eq!(Distinct::of(&coded.slice(1, 1)).values(), ["b"]);
    }

    #[test]
    fn columns_go_and_come() {
        let schema = Schema::new(vec![
            Field::new("a", DataType::Utf8, true),
            Field::new("n", DataType::Int64, true),
            Field::new("b", DataType::Utf8, true),
        ]);
        let new = |name| vec![Field::new(name, DataType::Utf8, true)];
        let names = |plan: &Plan| plan.output().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
        assert_eq!(names(&Plan::new(&schema, &[0], new("a"), "").unwrap()), ["n", "b", "a"]);
        let fault = Plan::new(&schema, &[0], new("b"), "/columns").unwrap_err();
        assert_eq!((fault.kind, fault.problems[0].path.as_str()), (FaultKind::Config, "/columns"));

        assert_eq!(text(&schema, "/column", "b"), Ok(2));
        assert!(text(&schema, "/column", "n").unwrap_err().message.contains("is Int64"));
        let fault = text(&schema, "/column", "c").unwrap_err();
        assert_eq!(fault.problems[0].help.as_deref(), Some("columns with text: a, b"));
        assert!(reserved("", "id.x").is_some() && reserved("", "").is_some() && reserved("", "x").is_none());
    }
}

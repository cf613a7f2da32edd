//! Which columns a model reads, and a typed view of them in one batch.

use crate::config::{Config, matches};
use arrow::{
    array::{BooleanArray, DictionaryArray, Float64Array, ListArray, TimestampMicrosecondArray, UInt32Array},
    compute::cast,
    datatypes::{TimestampMicrosecondType, UInt32Type},
};
use kindred_plugin_api::{columns::profile, prelude::*};

/// Strings as they cross: codes and their dictionary.
pub(crate) type Coded = DictionaryArray<UInt32Type>;

/// Columns that one segment reads, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    /// `in.SEED`.
    pub(crate) seed: String,
    /// `attr.SOURCE.NAME`.
    pub(crate) attributes: Vec<String>,
    /// True when there are events to learn from.
    pub(crate) events: bool,
    /// Event properties that are summed.
    pub(crate) numbers: Vec<String>,
    /// Event properties whose values are counted.
    pub(crate) categories: Vec<String>,
}

impl Columns {
    /// Checks that a catalogue has what the options name.
    pub(crate) fn check(catalog: &Schema, config: &Config) -> Vec<Problem> {
        missing(catalog, &properties(catalog), config, &format!("{}{}", profile::IN, config.seed))
    }

    /// Chooses from a catalogue or from the bound schema, which lacks what was excluded and gives the same choice.
    pub(crate) fn choose(schema: &Schema, config: &Config) -> Self {
        let seed = format!("{}{}", profile::IN, config.seed);
        let properties = properties(schema);
        let attributes = schema.fields().iter().filter(|f| f.name().starts_with(columns::ATTR));
        let attributes = attributes.filter(|f| config.reads(f.name()) && (is_number(f) || is_text(f)));
        let names = |keep: &dyn Fn(&Field) -> bool| {
            properties.iter().filter(|f| keep(f)).map(|f| f.name().clone()).collect::<Vec<_>>()
        };
        let readable = |f: &Field| config.reads(&event_column(f.name()));
        let named = config.category.clone().unwrap_or_else(|| "category".into());
        let mut categories = names(&|f| is_text(f) && readable(f));
        if categories.contains(&named) {
            categories = vec![named];
        }
        Self {
            seed,
            attributes: attributes.map(|f| f.name().clone()).collect(),
            events: schema.field_with_name(profile::EVENTS).is_ok(),
            numbers: names(&|f| is_number(f) && readable(f)),
            categories,
        }
    }

    /// The names to ask the host for.
    pub(crate) fn names(&self) -> Vec<String> {
        let fixed = [columns::EVENT_TIME, columns::EVENT].map(String::from);
        let events = fixed.iter().chain(&self.numbers).chain(&self.categories).map(|name| event_column(name));
        let events = events.filter(|_| self.events);
        [self.seed.clone()].into_iter().chain(self.attributes.iter().cloned()).chain(events).collect()
    }
}

fn event_column(property: &str) -> String {
    format!("{}.{property}", profile::EVENTS)
}

/// The event properties of a catalogue: without the fields that every event has.
fn properties(schema: &Schema) -> Vec<Field> {
    let fixed = [columns::EVENT_TIME, columns::EVENT, columns::EVENT_ID, profile::SOURCE];
    match schema.field_with_name(profile::EVENTS).map(Field::data_type) {
        Ok(DataType::List(item)) => match item.data_type() {
            DataType::Struct(fields) => fields.iter().map(|f| f.as_ref().clone()).collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
    .into_iter()
    .filter(|f| !fixed.contains(&f.name().as_str()))
    .collect()
}

fn missing(schema: &Schema, properties: &[Field], config: &Config, seed: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    if schema.field_with_name(seed).is_err() {
        problems.push(Problem::new("/seed", format!("no segment `{}`", config.seed)));
    }
    let attributes =
        schema.fields().iter().map(|f| f.name().clone()).filter(|n| n.starts_with(columns::ATTR));
    let known: Vec<String> = attributes.chain(properties.iter().map(|f| event_column(f.name()))).collect();
    for (key, patterns) in [("features", &config.features), ("exclude_features", &config.exclude_features)] {
        for (i, pattern) in patterns.iter().enumerate().filter(|(_, p)| *p != "*") {
            if !known.iter().any(|name| matches(pattern, name)) {
                let problem = Problem::new(format!("/{key}/{i}"), format!("no column `{pattern}`"));
                problems.push(problem.help(format!("there are: {}", known.join(", "))));
            }
        }
    }
    if let Some(category) = &config.category
        && !properties.iter().any(|f| f.name() == category && is_text(f))
    {
        problems.push(Problem::new("/category", format!("no event property of text `{category}`")));
    }
    problems
}

fn is_number(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Int64 | DataType::Float64 | DataType::Boolean)
}

fn is_text(field: &Field) -> bool {
    *field.data_type() == DataType::Utf8 || *field.data_type() == columns::coded()
}

/// One batch, typed.
pub(crate) struct View {
    pub(crate) profile: UInt32Array,
    pub(crate) as_of: TimestampMicrosecondArray,
    pub(crate) seed: BooleanArray,
    /// In the order of [`Columns::attributes`].
    pub(crate) attributes: Vec<Cells>,
    pub(crate) events: Option<Events>,
}

/// The events of one batch, and only of it: the host's list may lie over all events of the store.
pub(crate) struct Events {
    list: ListArray,
    first: usize,
    pub(crate) time: TimestampMicrosecondArray,
    pub(crate) name: Coded,
    /// In the order of [`Columns::numbers`].
    pub(crate) numbers: Vec<Float64Array>,
    /// In the order of [`Columns::categories`].
    pub(crate) categories: Vec<Coded>,
}

/// One column of attributes.
pub(crate) enum Cells {
    Number(Float64Array),
    Text(Coded),
}

impl View {
    /// # Errors
    /// PERMANENT when a column is not there or has another type than was bound.
    pub(crate) fn new(batch: &RecordBatch, columns: &Columns) -> Result<Self> {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| absent(name));
        let attribute = |name: &String| {
            let cells = column(name)?;
            let field = Field::new(name, cells.data_type().clone(), true);
            Ok(if is_text(&field) { Cells::Text(coded(cells)?) } else { Cells::Number(number(cells)?) })
        };
        Ok(Self {
            profile: typed(column(profile::PROFILE)?.as_primitive_opt::<UInt32Type>(), profile::PROFILE)?,
            as_of: time(column(profile::AS_OF)?, profile::AS_OF)?,
            seed: typed(column(&columns.seed)?.as_boolean_opt(), &columns.seed)?,
            attributes: columns.attributes.iter().map(attribute).collect::<Result<_>>()?,
            events: if columns.events { Some(Events::new(column(profile::EVENTS)?, columns)?) } else { None },
        })
    }

    /// True when the profile of this row is in the seed.
    pub(crate) fn in_seed(&self, row: usize) -> bool {
        self.seed.is_valid(row) && self.seed.value(row)
    }
}

impl Events {
    fn new(column: &ArrayRef, columns: &Columns) -> Result<Self> {
        let list: ListArray = typed(column.as_list_opt::<i32>(), profile::EVENTS)?;
        let offsets = list.value_offsets();
        let first = offsets.first().map_or(0, |&o| o as usize);
        let length = offsets.last().map_or(0, |&o| o as usize) - first;
        let item = list.values().slice(first, length);
        let item = item.as_struct_opt().ok_or_else(|| absent(profile::EVENTS))?;
        let field = |name: &str| item.column_by_name(name).ok_or_else(|| absent(&event_column(name)));
        Ok(Self {
            time: time(field(columns::EVENT_TIME)?, columns::EVENT_TIME)?,
            name: coded(field(columns::EVENT)?)?,
            numbers: columns.numbers.iter().map(|n| number(field(n)?)).collect::<Result<_>>()?,
            categories: columns.categories.iter().map(|n| coded(field(n)?)).collect::<Result<_>>()?,
            list,
            first,
        })
    }

    /// The events of one profile, as rows of the other columns.
    pub(crate) fn of(&self, row: usize) -> std::ops::Range<usize> {
        let offsets = self.list.value_offsets();
        let end = if self.list.is_null(row) { offsets[row] } else { offsets[row + 1] };
        offsets[row] as usize - self.first..end as usize - self.first
    }
}

fn time(column: &ArrayRef, name: &str) -> Result<TimestampMicrosecondArray> {
    typed(column.as_primitive_opt::<TimestampMicrosecondType>(), name)
}

fn number(column: &ArrayRef) -> Result<Float64Array> {
    let column = cast(column, &DataType::Float64)?;
    typed(column.as_primitive_opt(), "a number")
}

fn coded(column: &ArrayRef) -> Result<Coded> {
    let column = cast(column, &columns::coded())?;
    typed(column.as_dictionary_opt(), "a text")
}

fn typed<A: Clone>(array: Option<&A>, name: &str) -> Result<A> {
    array
        .cloned()
        .ok_or_else(|| Fault::permanent("column-type", format!("column `{name}` has an unexpected type")))
}

fn absent(name: &str) -> Fault {
    Fault::permanent("column-missing", format!("the batch has no column `{name}`"))
}

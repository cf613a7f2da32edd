//! From a row of a profile batch to features. One code path serves the training pass, which meets new names, and
//! evaluation, which knows the model's only.

use crate::{
    columns::{Cells, Coded, Columns, Events, View},
    config::Config,
    feature::Feature,
};
use arrow::array::StringArray;
use kindred_plugin_api::prelude::*;
use std::collections::{HashMap, HashSet};

/// An attribute with more values than this is a name or a number, not a kind.
const ATTRIBUTE_VALUES: usize = 20;
/// Category counts kept while training, in the order in which they are met.
const CATEGORY_SLOTS: usize = 20_000;
const DAY_US: i64 = 86_400_000_000;

/// Features of one profile: number of the feature and value, ascending.
pub(crate) type Entries = Vec<(u32, f32)>;

/// Reads rows. Features are numbered: while learning in the order in which they are met, else as in the model.
pub(crate) struct Extractor {
    columns: Columns,
    learning: bool,
    names: Names,
    excluded: HashSet<u32>,
    attributes: Vec<u32>,
    numbers: Vec<u32>,
    categories: Vec<u32>,
    numbered: HashMap<Feature<u32>, u32>,
    features: Vec<Feature<u32>>,
    attribute_values: HashMap<u32, usize>,
    category_slots: usize,
    totals: Vec<Option<f64>>,
    touched: Vec<u32>,
}

impl Extractor {
    /// Meets features as they come.
    pub(crate) fn learning(config: &Config, columns: Columns) -> Self {
        let mut names = Names::default();
        let attributes =
            columns.attributes.iter().map(|n| names.number(n.strip_prefix(columns::ATTR).unwrap_or(n)));
        Self {
            learning: true,
            attributes: attributes.collect(),
            numbers: columns.numbers.iter().map(|n| names.number(n)).collect(),
            categories: columns.categories.iter().map(|n| names.number(n)).collect(),
            excluded: config.exclude_events.iter().map(|n| names.number(n)).collect(),
            columns,
            names,
            numbered: HashMap::new(),
            features: Vec::new(),
            attribute_values: HashMap::new(),
            category_slots: 0,
            totals: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// Knows these features only, numbered in their order.
    pub(crate) fn knowing<'a>(
        config: &Config,
        columns: Columns,
        features: impl Iterator<Item = &'a Feature<String>>,
    ) -> Self {
        let mut known = Self::learning(config, columns);
        for feature in features {
            let feature = feature.map(|name| known.names.number(name));
            known.number(feature);
        }
        known.learning = false;
        known
    }

    /// The features met, with their names; those of attributes that turned out to have too many values are none.
    pub(crate) fn features(&self) -> Vec<Option<Feature<String>>> {
        let text = |feature: &Feature<u32>| match feature {
            Feature::AttributeIs { name, .. } if self.is_wide(*name) => None,
            other => Some(other.map(|&name| self.names.text[name as usize].clone())),
        };
        self.features.iter().map(text).collect()
    }

    /// Calls back with each row of a batch: row and features.
    ///
    /// # Errors
    /// PERMANENT when the batch is not as it was bound.
    pub(crate) fn read(
        &mut self,
        batch: &RecordBatch,
        mut row: impl FnMut(&View, usize, Entries),
    ) -> Result<()> {
        let view = View::new(batch, &self.columns)?;
        let mut codes = Codes::new(&view);
        for i in 0..batch.num_rows() {
            self.attributes(&view, &mut codes, i);
            let events = view.events.as_ref().map_or(0, |events| self.events(&view, events, &mut codes, i));
            let entries = self.take(events);
            row(&view, i, entries);
        }
        Ok(())
    }

    fn attributes(&mut self, view: &View, codes: &mut Codes, row: usize) {
        for (i, cells) in view.attributes.iter().enumerate() {
            let name = self.attributes[i];
            match cells {
                Cells::Number(values) if values.is_valid(row) && values.value(row).is_finite() => {
                    self.add(Feature::Attribute { name }, values.value(row));
                }
                Cells::Text(values) => {
                    // The names of an attribute that is no kind are not kept: there may be one a profile.
                    let learning = self.learning && !self.is_wide(name);
                    if let Some(value) = codes.attributes[i].number(values, row, &mut self.names, learning) {
                        self.add(Feature::AttributeIs { name, value }, 1.0);
                    }
                }
                Cells::Number(_) => {}
            }
        }
    }

    /// Adds up one profile's events and says how many there were, without the excluded ones.
    fn events(&mut self, view: &View, events: &Events, codes: &mut Codes, row: usize) -> usize {
        let as_of = view.as_of.value(row);
        let mut seen = 0;
        let mut day = None;
        for at in events.of(row) {
            let event = codes.event.number(&events.name, at, &mut self.names, self.learning);
            if event.is_some_and(|event| self.excluded.contains(&event)) {
                continue;
            }
            seen += 1;
            let time = events.time.value(at);
            self.calendar(time);
            if day.replace(time.div_euclid(DAY_US)) != Some(time.div_euclid(DAY_US)) {
                self.add(Feature::ActiveDays, 1.0);
            }
            if let Some(event) = event {
                let days = as_of.saturating_sub(time).max(0) as f64 / DAY_US as f64;
                self.set(Feature::Recency { event }, days);
                self.event(event, events, codes, at);
            }
        }
        seen
    }

    fn event(&mut self, event: u32, events: &Events, codes: &mut Codes, at: usize) {
        self.add(Feature::Count { event }, 1.0);
        for (values, i) in events.numbers.iter().zip(0..) {
            if values.is_valid(at) && values.value(at).is_finite() {
                let property = self.numbers[i];
                self.add(Feature::Sum { event, property }, values.value(at));
            }
        }
        for (values, i) in events.categories.iter().zip(0..) {
            let learning = self.learning && self.category_slots < CATEGORY_SLOTS;
            if let Some(value) = codes.categories[i].number(values, at, &mut self.names, learning) {
                let column = self.categories[i];
                self.add(Feature::Category { event, column, value }, 1.0);
            }
        }
    }

    /// Weekend and quarter of the day; the others get a zero, so that a profile with events has all of them.
    fn calendar(&mut self, time: i64) {
        let quarter = time.rem_euclid(DAY_US) / (DAY_US / 4);
        (0..4u8).for_each(|q| self.add(Feature::Quarter(q), f64::from(i64::from(q) == quarter)));
        // Day 0 was a Thursday.
        let weekday = (time.div_euclid(DAY_US) + 3).rem_euclid(7);
        self.add(Feature::Weekend, f64::from(weekday >= 5));
    }

    fn add(&mut self, feature: Feature<u32>, amount: f64) {
        if let Some(total) = self.total(feature) {
            *total += amount;
        }
    }

    fn set(&mut self, feature: Feature<u32>, value: f64) {
        if let Some(total) = self.total(feature) {
            *total = value;
        }
    }

    fn total(&mut self, feature: Feature<u32>) -> Option<&mut f64> {
        let number = self.number(feature)?;
        let total = self.totals.get_mut(number as usize)?;
        if total.is_none() {
            self.touched.push(number);
        }
        Some(total.get_or_insert(0.0))
    }

    fn number(&mut self, feature: Feature<u32>) -> Option<u32> {
        if let Some(&number) = self.numbered.get(&feature) {
            return Some(number);
        }
        if !self.learning || !self.has_room(feature) {
            return None;
        }
        let number = self.features.len() as u32;
        self.numbered.insert(feature, number);
        self.features.push(feature);
        self.totals.push(None);
        Some(number)
    }

    fn is_wide(&self, attribute: u32) -> bool {
        self.attribute_values.get(&attribute).is_some_and(|&values| values > ATTRIBUTE_VALUES)
    }

    fn has_room(&mut self, feature: Feature<u32>) -> bool {
        match feature {
            Feature::AttributeIs { name, .. } => {
                let values = self.attribute_values.entry(name).or_default();
                // One more than allowed is kept count of, to know that there were too many.
                *values = (*values + 1).min(ATTRIBUTE_VALUES + 1);
                *values <= ATTRIBUTE_VALUES
            }
            Feature::Category { .. } => {
                self.category_slots += 1;
                self.category_slots <= CATEGORY_SLOTS
            }
            _ => true,
        }
    }

    fn take(&mut self, events: usize) -> Entries {
        self.touched.sort_unstable();
        let (features, totals) = (&self.features, &mut self.totals);
        let entry = |number: u32| {
            let total = totals[number as usize].take()?;
            Some((number, features[number as usize].value(total, events)?))
        };
        self.touched.drain(..).filter_map(entry).collect()
    }
}

/// Names and their numbers.
#[derive(Default)]
struct Names {
    numbers: HashMap<String, u32>,
    text: Vec<String>,
}

impl Names {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.text.len() as u32;
        self.numbers.insert(text.to_owned(), number);
        self.text.push(text.to_owned());
        number
    }
}

/// Numbers of the names that one batch's dictionaries hold, looked up when first met.
struct Codes {
    event: Code,
    attributes: Vec<Code>,
    categories: Vec<Code>,
}

impl Codes {
    fn new(view: &View) -> Self {
        let attribute = |cells: &Cells| match cells {
            Cells::Text(values) => Code::new(values),
            Cells::Number(_) => Code(Vec::new()),
        };
        let events = view.events.as_ref();
        Self {
            event: events.map_or(Code(Vec::new()), |e| Code::new(&e.name)),
            attributes: view.attributes.iter().map(attribute).collect(),
            categories: events.map_or(Vec::new(), |e| e.categories.iter().map(Code::new).collect()),
        }
    }
}

/// By code: not looked up yet, or the number if the name has one.
struct Code(Vec<Option<Option<u32>>>);

impl Code {
    fn new(column: &Coded) -> Self {
        Self(vec![None; column.values().len()])
    }

    fn number(&mut self, column: &Coded, row: usize, names: &mut Names, learning: bool) -> Option<u32> {
        if column.is_null(row) {
            return None;
        }
        let code = column.keys().value(row) as usize;
        *self.0.get_mut(code)?.get_or_insert_with(|| {
            let values: &StringArray = column.values().as_string_opt()?;
            let text = values.is_valid(code).then(|| values.value(code))?;
            if learning { Some(names.number(text)) } else { names.numbers.get(text).copied() }
        })
    }
}

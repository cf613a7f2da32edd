//! A mapping, checked and resolved: which columns to read, what to make of each, and the schema that comes out.

use crate::{
    chunk::Header,
    convert::{Target, natural},
    mapping::{Field, Mapping, Rest},
    number::NumberFormat,
    options::{ConstantOr, Names},
    spec::{EventSpec, IdentifierSpec, OnBadValue, TimeSpec, Type, ValueSpec},
    time::TimeFormat,
};
use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef};
use kindred_identifiers::{Rule, namespace};
use kindred_plugin_api::{Problem, columns};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What to read and what to make of it.
pub(crate) struct Plan {
    /// Columns to read from each file.
    pub(crate) slots: Vec<String>,
    /// What comes out, in the order of the schema.
    pub(crate) outputs: Vec<Output>,
    pub(crate) schema: SchemaRef,
    /// The key of the catalogue in the file.
    pub(crate) probe: Option<Input>,
    /// All inputs, to check files against.
    pub(crate) inputs: Vec<Input>,
    pub(crate) on_bad_value: OnBadValue,
    pub(crate) personal: bool,
    pub(crate) events: &'static [&'static str],
    pub(crate) anonymous: &'static [&'static str],
}

/// Columns of which the first with a value counts.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) names: Names,
    pub(crate) slots: Vec<Slot>,
    pub(crate) at: String,
    pub(crate) required: bool,
}

/// Where a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// In the file, as the n-th of [`Plan::slots`].
    File(usize),
    /// In the catalogue, as the n-th of its columns.
    Joined(usize),
}

/// One column that comes out.
pub(crate) enum Output {
    /// Parts that are joined by `:`; none for file and row number.
    EventId {
        parts: Vec<Input>,
    },
    /// A time; no input where there is none. An event happened at some time; attributes may hold since ever.
    Time {
        input: Option<Input>,
        format: TimeFormat,
        needed: bool,
    },
    /// The same time for every row.
    TimeConstant(i64),
    /// The same name for every row.
    EventConstant(String),
    /// A name from a column.
    Event {
        input: Input,
        map: BTreeMap<String, String>,
        needed: bool,
    },
    Identifier {
        input: Input,
        rule: Rule,
    },
    Value {
        input: Input,
        target: Target,
    },
    Consent {
        input: Input,
    },
}

struct Compiler<'a> {
    mapping: &'a Mapping,
    header: Option<&'a Header>,
    joined: Option<&'a [DataType]>,
    slots: Vec<String>,
    inputs: Vec<Input>,
    fields: Vec<ArrowField>,
    outputs: Vec<Output>,
    used: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Plan {
    /// Resolves a mapping against the columns of a file and the types of the joined columns, as far as they are known.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn compile(
        mapping: &Mapping,
        header: Option<&Header>,
        joined: Option<&[DataType]>,
    ) -> Result<Self, Vec<Problem>> {
        let mut compiler = Compiler {
            mapping,
            header,
            joined,
            slots: Vec::new(),
            inputs: Vec::new(),
            fields: Vec::new(),
            outputs: Vec::new(),
            used: BTreeMap::new(),
            problems: Vec::new(),
        };
        compiler.event();
        compiler.identifiers();
        compiler.consent();
        mapping.values.iter().for_each(|field| compiler.value(field));
        let probe = compiler.catalogue();
        if let Some(rest) = &mapping.rest {
            compiler.rest(rest);
        }
        compiler.names();
        compiler.problems.dedup();
        if !compiler.problems.is_empty() {
            return Err(compiler.problems);
        }
        let received = |field: ArrowField| match mapping.received.contains(field.name()) {
            true => columns::received(field),
            false => field,
        };
        let fields: Vec<ArrowField> = compiler.fields.into_iter().map(received).collect();
        Ok(Self {
            slots: compiler.slots,
            outputs: compiler.outputs,
            schema: Arc::new(Schema::new(fields)),
            probe,
            inputs: compiler.inputs,
            on_bad_value: mapping.on_bad_value,
            personal: mapping.keeps_secrets(),
            events: mapping.events,
            anonymous: mapping.anonymous,
        })
    }

    /// The required columns that a file does not have, and the names that are not clear in it.
    pub(crate) fn lacks(&self, header: &Header, file: &str) -> Vec<Problem> {
        self.inputs.iter().filter_map(|input| input.lacks(header, file)).collect()
    }
}

impl Input {
    fn lacks(&self, header: &Header, file: &str) -> Option<Problem> {
        let mut found = self.slots.iter().any(|slot| matches!(slot, Slot::Joined(_)));
        for (name, slot) in self.names.0.iter().zip(&self.slots) {
            match header.find(name) {
                Err(message) if matches!(slot, Slot::File(_)) => {
                    return Some(Problem::new(&self.at, format!("`{file}`: {message}")));
                }
                Ok(Some(_)) => found = true,
                _ => {}
            }
        }
        let first = self.names.0.first()?;
        (self.required && !found).then(|| {
            Problem::new(&self.at, format!("no column `{}` in `{file}`", self.names)).help(header.help(first))
        })
    }
}

impl Compiler<'_> {
    fn problem(&mut self, at: &str, message: String) {
        self.problems.push(Problem::new(at, message));
    }

    fn push(&mut self, name: impl Into<String>, kind: DataType, output: Output) {
        self.fields.push(ArrowField::new(name, kind, true));
        self.outputs.push(output);
    }

    /// Finds the columns, in the catalogue first, and notes that they are used.
    fn input(&mut self, names: &Names, at: &str, required: bool) -> Input {
        let slots = names.0.iter().map(|name| self.slot(name)).collect();
        for name in &names.0 {
            let earlier = self.used.insert(name.clone(), at.to_owned());
            if let Some(earlier) = earlier.filter(|_| self.mapping.exclusive) {
                self.problem(at, format!("column `{name}` is mapped twice, also at `{earlier}`"));
            }
        }
        let input = Input { names: names.clone(), slots, at: at.to_owned(), required };
        self.inputs.push(input.clone());
        input
    }

    fn slot(&mut self, name: &str) -> Slot {
        let catalogue = self.mapping.catalogue.as_ref();
        if let Some(index) = catalogue.and_then(|c| c.columns.0.iter().position(|(joined, _)| joined == name))
        {
            return Slot::Joined(index);
        }
        self.file_slot(name)
    }

    fn file_slot(&mut self, name: &str) -> Slot {
        let index = self.slots.iter().position(|slot| slot == name).unwrap_or_else(|| {
            self.slots.push(name.to_owned());
            self.slots.len() - 1
        });
        Slot::File(index)
    }

    fn time_format(&mut self, spec: &TimeSpec, at: &str) -> Option<TimeFormat> {
        TimeFormat::new(spec).map_err(|(field, message)| self.problem(&format!("{at}/{field}"), message)).ok()
    }

    /// The columns `event_id`, `event_time` and `event`.
    fn event(&mut self) {
        let mapping = self.mapping;
        if mapping.event.is_some() {
            let parts = mapping.event_id.as_ref().map_or_else(Vec::new, |field| {
                field.spec.iter().map(|names| self.input(names, &field.at, field.required)).collect()
            });
            self.push(columns::EVENT_ID, DataType::Utf8, Output::EventId { parts });
        }
        let time = match &mapping.time {
            None => TimeFormat::new(&TimeSpec::default()).ok().map(|format| Output::Time {
                input: None,
                format,
                needed: false,
            }),
            Some(field) => self.time(field),
        };
        if let Some(time) = time {
            self.push(columns::EVENT_TIME, columns::timestamp(), time);
        }
        if let Some(field) = &mapping.event {
            let output = self.event_name(field);
            self.push(columns::EVENT, DataType::Utf8, output);
        }
    }

    /// A constant that is no time names a column.
    fn time(&mut self, field: &Field<ConstantOr<TimeSpec>>) -> Option<Output> {
        let spec = match &field.spec {
            ConstantOr::Table(spec) => spec.clone(),
            ConstantOr::Constant(text) => {
                let spec = TimeSpec::from(Names::from(text.as_str()));
                match self.time_format(&spec, &field.at)?.parse(text) {
                    Some(time) => return Some(Output::TimeConstant(time)),
                    None => spec,
                }
            }
        };
        let input = Some(self.input(&spec.column, &field.at, field.required));
        let needed = self.mapping.event.is_some();
        self.time_format(&spec, &field.at).map(|format| Output::Time { input, format, needed })
    }

    fn event_name(&mut self, field: &Field<ConstantOr<EventSpec>>) -> Output {
        let allowed = self.mapping.events;
        let mut known = |name: &String| {
            if name.is_empty() || !allowed.is_empty() && !allowed.contains(&name.as_str()) {
                let allowed = if allowed.is_empty() { "a name".to_owned() } else { allowed.join(", ") };
                self.problem(&field.at, format!("`{name}` is no event here; allowed: {allowed}"));
            }
        };
        match &field.spec {
            ConstantOr::Constant(name) => {
                known(name);
                Output::EventConstant(name.clone())
            }
            ConstantOr::Table(spec) => {
                spec.map.values().for_each(known);
                let input = self.input(&spec.column, &field.at, field.required);
                Output::Event { input, map: spec.map.clone(), needed: !self.mapping.eventless }
            }
        }
    }

    fn identifiers(&mut self) {
        for Field { name, at, spec, required } in &self.mapping.identifiers {
            let IdentifierSpec { column, .. } = spec;
            let rule = spec.rule(name);
            if let Err(message) = rule.validate() {
                self.problem(at, message);
            }
            let names = column.clone().unwrap_or_else(|| name.as_str().into());
            let input = self.input(&names, at, *required);
            let namespace = format!("{}{}", columns::ID, namespace(name, &rule));
            self.push(namespace, DataType::Utf8, Output::Identifier { input, rule });
        }
    }

    fn consent(&mut self) {
        if let Some(field) = &self.mapping.consent {
            let input = self.input(&field.spec, &field.at, field.required);
            self.push(columns::CONSENT, DataType::Utf8, Output::Consent { input });
        }
        if let Some(field) = &self.mapping.consent_version
            && let Some(time) = self.time_format(&TimeSpec::default(), &field.at)
        {
            let input = self.input(&field.spec, &field.at, field.required);
            let target = Target { kind: Type::String, number: NumberFormat::default(), time, written: true };
            self.push(field.name.clone(), DataType::Utf8, Output::Value { input, target });
        }
    }

    fn value(&mut self, field: &Field<ValueSpec>) {
        let Field { name, at, spec, required } = field;
        let names = spec.column.clone().unwrap_or_else(|| name.as_str().into());
        let input = self.input(&names, at, *required);
        let Some(kind) = spec.kind.or_else(|| self.kind(&input)) else { return };
        let Some(time) = self.time_format(&spec.time(), at) else { return };
        if spec.decimal.is_some() && spec.decimal == spec.thousands {
            self.problem(
                &format!("{at}/thousands"),
                "`decimal` and `thousands` are the same mark".to_owned(),
            );
        }
        if columns::is_reserved(name) && !name.starts_with(columns::ATTR) {
            self.problem(at, format!("`{name}` is a reserved name; call the property something else"));
        }
        let number = NumberFormat { decimal: spec.decimal, thousands: spec.thousands };
        let target = Target { kind, number, time, written: spec.kind.is_some() };
        self.push(name, target.data_type(), Output::Value { input, target });
    }

    /// The type that the file or the catalogue gives to a column; text where they give none.
    fn kind(&mut self, input: &Input) -> Option<Type> {
        let found = input.names.0.iter().zip(&input.slots).find_map(|(name, slot)| match slot {
            Slot::Joined(index) => self.joined.and_then(|types| types.get(*index)),
            Slot::File(_) => self.header.and_then(|header| {
                let place = header.find(name).ok().flatten()?;
                header.types.as_ref()?.get(place)
            }),
        });
        let kind = found.map_or(Some(Type::String), natural);
        if let (None, Some(found)) = (kind, found) {
            let message = format!(
                "column `{}` holds {found}; a column holds text, a number, a boolean or a time",
                input.names
            );
            self.problem(&input.at, message);
        }
        kind
    }

    /// The key of the catalogue, and as properties the joined columns that nothing uses.
    fn catalogue(&mut self) -> Option<Input> {
        let spec = self.mapping.catalogue.as_ref()?;
        let names = spec.on.clone().unwrap_or_else(|| spec.key.as_str().into());
        for (joined, _) in &spec.columns.0 {
            if !self.used.contains_key(joined) {
                let value = ValueSpec::from(Names::from(joined.as_str()));
                self.value(&Field::new(joined, "/catalogue/columns", value));
            }
        }
        // The key is one of the file's own columns, even when a joined one has its name.
        let slots = names.0.iter().map(|name| self.file_slot(name)).collect();
        let input = Input { names, slots, at: "/catalogue/on".to_owned(), required: true };
        self.inputs.push(input.clone());
        Some(input)
    }

    fn rest(&mut self, rest: &Rest) {
        let Some(header) = self.header else { return };
        for name in &rest.exclude {
            if matches!(header.find(name), Ok(None)) {
                let problem = Problem::new("/exclude", format!("no column `{name}`")).help(header.help(name));
                self.problems.push(problem);
            }
        }
        // A used column may be known by its place.
        let used: BTreeSet<usize> = self
            .used
            .keys()
            .chain(&rest.exclude)
            .filter_map(|name| header.find(name).ok().flatten())
            .collect();
        for (place, name) in header.names.iter().enumerate().filter(|(place, _)| !used.contains(place)) {
            let column = if name.is_empty() { format!("#{}", place + 1) } else { name.clone() };
            match header.find(&column) {
                Err(message) => self.problem(&rest.at, message),
                Ok(_) => {
                    let spec = ValueSpec::from(Names::from(column.as_str()));
                    self.value(&Field::new(format!("{}{column}", rest.prefix), &rest.at, spec));
                }
            }
        }
    }

    /// Each name comes out once.
    fn names(&mut self) {
        let mut seen = BTreeSet::new();
        let names: Vec<String> = self.fields.iter().map(|field| field.name().clone()).collect();
        for name in names {
            if !seen.insert(name.clone()) {
                self.problem("", format!("`{name}` comes out twice"));
            }
        }
    }
}

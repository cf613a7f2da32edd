//! What the columns of a source are: agreed with the store once, before rows come.

use super::{
    agree::Agree,
    exact::{Numbers, convert, found, is_of},
    load::Load,
};
use crate::{
    Error, Result,
    config::{ConsentDefault, Source},
    store::columns::ColumnType,
};
use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Schema},
};
use kindred_plugin_api::columns::{
    ATTR, CONSENT, CONSENT_VERSION, EVENT, EVENT_ID, EVENT_TIME, ID, is_reserved,
};
use std::{borrow::Cow, collections::BTreeMap};

/// Namespaces whose values name a person directly.
const RAW: [&str; 4] = ["email", "phone", "name", "ip"];

/// Rows with a value that the store cannot hold, and what is wrong with it.
pub(super) type Misfits = BTreeMap<usize, String>;

/// A source whose schema is known: which column plays which part.
#[derive(Debug)]
pub struct Bound {
    pub(super) source: String,
    pub(super) default: ConsentDefault,
    pub(super) identifiers: Vec<(String, usize)>,
    pub(super) attributes: Vec<(String, usize)>,
    pub(super) properties: Vec<(String, usize)>,
    /// Columns that the store holds as another type: name, place, that type.
    fitted: Vec<(String, usize, ColumnType)>,
    /// The source has terms.
    pub(super) has_terms: bool,
    /// What it brings expires, so that it matters since when an attribute is so.
    pub(super) expires: bool,
    /// Raw identifiers that may be stored.
    raw_identifiers: Vec<String>,
    /// Event id, time, name, consent, its version.
    pub(super) fixed: [Option<usize>; 5],
}

impl Bound {
    /// Agrees on a source's schema with the store.
    ///
    /// # Errors
    /// When a column has a type that is not stored or that the store holds differently, or when raw identifiers
    /// come that nobody declared.
    pub fn new(
        store: &mut impl Agree,
        source: &Source,
        schema: &Schema,
        raw_identifiers: &[String],
    ) -> Result<Self> {
        let by = format!("source `{}`", source.name);
        let (mut identifiers, mut attributes, mut properties) = (Vec::new(), Vec::new(), Vec::new());
        let mut fitted = Vec::new();
        let mut fit = |name: &String, at, kind: &DataType, held| {
            if !is_of(kind, held) {
                fitted.push((name.clone(), at, held));
            }
        };
        for (at, field) in schema.fields().iter().enumerate() {
            let name = field.name();
            let kind = ColumnType::of(field.data_type()).ok_or_else(|| {
                Error::Column(format!(
                    "column `{name}` of {by} has type {}, which is not stored",
                    field.data_type()
                ))
            })?;
            if let Some(expected) = not_its_type(name, kind) {
                return Err(Error::Column(format!(
                    "column `{name}` of {by} is {}, it must be {expected}",
                    kind.name()
                )));
            }
            if let Some(namespace) = name.strip_prefix(ID) {
                if RAW.contains(&namespace) && !raw_identifiers.iter().any(|r| r == namespace) {
                    return Err(Error::Column(format!(
                        "{by} brings raw `{namespace}` identifiers: hash them, or list `{namespace}` under \
                         pipeline.raw_identifiers"
                    )));
                }
                identifiers.push((namespace.to_owned(), at));
            } else if let Some(attribute) = name.strip_prefix(ATTR) {
                let attribute = format!("{}.{attribute}", source.name);
                let declared = source.schema.as_ref().is_some_and(|schema| schema.columns.contains_key(name));
                let held = store.attribute(&attribute, kind, declared, &by)?;
                fit(name, at, field.data_type(), held);
                attributes.push((attribute, at));
            } else if !is_reserved(name) || name == CONSENT_VERSION {
                let held = store.property(name, kind, &by)?;
                fit(name, at, field.data_type(), held);
                properties.push((name.clone(), at));
            }
        }
        if identifiers.is_empty() {
            return Err(Error::Column(format!("{by} brings no identifier column (`id.…`)")));
        }
        let fixed =
            [EVENT_ID, EVENT_TIME, EVENT, CONSENT, CONSENT_VERSION].map(|name| schema.index_of(name).ok());
        Ok(Self {
            source: source.name.clone(),
            default: source.consent,
            identifiers,
            attributes,
            properties,
            fitted,
            has_terms: source.destinations.is_some(),
            expires: source.ttl_us.is_some(),
            raw_identifiers: raw_identifiers.to_vec(),
            fixed,
        })
    }

    /// The columns as the store holds them, and the rows of values that it cannot hold.
    pub(super) fn fit<'a>(&self, columns: &'a [ArrayRef]) -> Result<(Cow<'a, [ArrayRef]>, Misfits)> {
        let mut fitted = Cow::Borrowed(columns);
        let mut misfits = Misfits::new();
        for (name, at, held) in &self.fitted {
            let (values, lost) = convert(&columns[*at], *held, Numbers::Widen)?;
            for row in lost {
                misfits.entry(row as usize).or_insert_with(|| {
                    let found = found(columns[*at].data_type(), *held, Numbers::Widen);
                    format!("column `{name}`: found {found}, the store holds it as {}", held.name())
                });
            }
            fitted.to_mut()[*at] = values;
        }
        Ok((fitted, misfits))
    }

    /// Whether the source handed out raw identifiers that must not be stored.
    pub(super) fn is_raw(&self, load: &Load) -> bool {
        let schema = load.source.schema();
        let namespaces = schema.fields().iter().filter_map(|field| field.name().strip_prefix(ID));
        namespaces
            .filter(|namespace| RAW.contains(namespace))
            .any(|namespace| !self.raw_identifiers.iter().any(|declared| declared == namespace))
    }
}

/// What a column of this name must be, where it is not; integers are taken for the ids that they write.
fn not_its_type(name: &str, kind: ColumnType) -> Option<&'static str> {
    let (allowed, expected): (&[ColumnType], _) = match name {
        EVENT_TIME => (&[ColumnType::Time], "time"),
        EVENT | CONSENT | CONSENT_VERSION => (&[ColumnType::Text], "text"),
        name if name == EVENT_ID || name.starts_with(ID) => {
            (&[ColumnType::Text, ColumnType::Integer], "text")
        }
        _ => return None,
    };
    (!allowed.contains(&kind)).then_some(expected)
}

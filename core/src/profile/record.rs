//! What is known of one profile, as it is stored.

use crate::{consent::Reach, store::columns::ColumnType};
use serde::{Deserialize, Serialize};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// What is known of one profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Namespace and value, sorted.
    pub identifiers: BTreeSet<(String, String)>,
    /// By name, `SOURCE.NAME`.
    pub attributes: BTreeMap<String, Attribute>,
    /// What the profile said itself.
    pub consent: Option<Consent>,
    /// A source for which the operator vouches brought it.
    pub vouched: bool,
}

/// An attribute and since when it is so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// What it is.
    pub value: Value,
    /// The time of the last row that said so, or when a row without a time was taken in; microseconds since 1970.
    pub since_us: i64,
}

/// The source that an attribute is of, by its name.
pub fn source_of(attribute: &str) -> &str {
    attribute.split_once('.').map_or(attribute, |(source, _)| source)
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Value {
    /// UTF-8.
    Text(String),
    /// 64 bits, signed.
    Integer(i64),
    /// 64-bit floating point.
    Decimal(f64),
    /// True or false.
    Boolean(bool),
    /// Microseconds since 1970.
    Time(i64),
}

/// Consent as the profile gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// How far it reaches.
    pub reach: Reach,
    /// Microseconds since 1970.
    pub since_us: i64,
    /// What it was read from, such as `tcf2 policy5 list48`; empty where the row did not say.
    pub version: String,
}

impl Value {
    /// Its type.
    pub fn kind(&self) -> ColumnType {
        match self {
            Self::Text(_) => ColumnType::Text,
            Self::Integer(_) => ColumnType::Integer,
            Self::Decimal(_) => ColumnType::Decimal,
            Self::Boolean(_) => ColumnType::Boolean,
            Self::Time(_) => ColumnType::Time,
        }
    }
}

impl Profile {
    /// How far its consent reaches: its own word, else the operator's.
    pub fn reach(&self) -> Reach {
        let vouched = if self.vouched { Reach::Activate } else { Reach::Nothing };
        self.consent.as_ref().map_or(vouched, |consent| consent.reach)
    }

    /// Whether it may be evaluated for segments.
    pub fn consents(&self) -> bool {
        self.reach() >= Reach::Segment
    }

    /// Sets an attribute unless a later value is there.
    pub fn set(&mut self, name: &str, value: Value, since_us: i64) -> bool {
        let new = Attribute { value, since_us };
        let newer = |old: &Attribute| {
            (new.since_us, &new.value).partial_cmp(&(old.since_us, &old.value))
                == Some(std::cmp::Ordering::Greater)
        };
        match self.attributes.get(name) {
            Some(old) if !newer(old) => false,
            _ => {
                self.attributes.insert(name.to_owned(), new.clone()).is_none_or(|old| old.value != new.value)
            }
        }
    }

    /// Takes a word on consent unless a later one is there; of two at the same time, the one that reaches less counts.
    pub fn consent_given(&mut self, reach: Reach, since_us: i64, version: &str) -> bool {
        let before = self.consent.as_ref().map(|old| old.reach);
        match &mut self.consent {
            Some(old) if (old.since_us, Reverse(old.reach)) >= (since_us, Reverse(reach)) => return false,
            Some(old) => {
                (old.reach, old.since_us) = (reach, since_us);
                if old.version != version {
                    version.clone_into(&mut old.version);
                }
            }
            none => *none = Some(Consent { reach, since_us, version: version.to_owned() }),
        }
        before != Some(reach)
    }
}

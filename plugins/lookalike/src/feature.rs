//! What a model knows of a profile: named numbers, drawn from its attributes and events.

use serde::{Deserialize, Serialize};

/// One feature. `S` is the name as text where it is stored, and a number while rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Feature<S> {
    /// How often.
    Count { event: S },
    /// Sum of a numeric property.
    Sum { event: S, property: S },
    /// Days since the last one.
    Recency { event: S },
    /// How often with this value of a category.
    Category { event: S, column: S, value: S },
    /// Days with an event.
    ActiveDays,
    /// Share of events on Saturday and Sunday, UTC.
    Weekend,
    /// Share of events in the first to fourth quarter of the day, UTC.
    Quarter(u8),
    /// A numeric or Boolean attribute.
    Attribute { name: S },
    /// An attribute of text has this value.
    AttributeIs { name: S, value: S },
}

impl<S> Feature<S> {
    /// The same feature with other names.
    pub(crate) fn map<T>(&self, mut name: impl FnMut(&S) -> T) -> Feature<T> {
        match self {
            Self::Count { event } => Feature::Count { event: name(event) },
            Self::Sum { event, property } => Feature::Sum { event: name(event), property: name(property) },
            Self::Recency { event } => Feature::Recency { event: name(event) },
            Self::Category { event, column, value } => {
                Feature::Category { event: name(event), column: name(column), value: name(value) }
            }
            Self::ActiveDays => Feature::ActiveDays,
            Self::Weekend => Feature::Weekend,
            Self::Quarter(quarter) => Feature::Quarter(*quarter),
            Self::Attribute { name: attribute } => Feature::Attribute { name: name(attribute) },
            Self::AttributeIs { name: attribute, value } => {
                Feature::AttributeIs { name: name(attribute), value: name(value) }
            }
        }
    }

    /// What it means when a profile has no value: zero for what is counted, unknown (which becomes the mean) else.
    pub(crate) fn absent_is_zero(&self) -> bool {
        match self {
            Self::Count { .. } | Self::Sum { .. } | Self::Category { .. } => true,
            Self::ActiveDays | Self::AttributeIs { .. } => true,
            Self::Recency { .. } | Self::Weekend | Self::Quarter(_) | Self::Attribute { .. } => false,
        }
    }

    /// From what was added up to what the model sees; none when that is no number. Amounts are taken to the log, so
    /// that ten purchases more mean much after two and little after two hundred.
    pub(crate) fn value(&self, total: f64, events: usize) -> Option<f32> {
        let value = match self {
            Self::Weekend | Self::Quarter(_) => total / events.max(1) as f64,
            Self::Attribute { .. } | Self::AttributeIs { .. } => total,
            _ => total.abs().ln_1p().copysign(total),
        };
        let value = value as f32;
        value.is_finite().then_some(value)
    }
}

impl std::fmt::Display for Feature<String> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let quarters = ["from midnight to 6", "from 6 to noon", "from noon to 18", "from 18 to midnight"];
        match self {
            Self::Count { event } => write!(f, "count of {event} (log)"),
            Self::Sum { event, property } => write!(f, "sum of {property} of {event} (log)"),
            Self::Recency { event } => write!(f, "days since last {event} (log)"),
            Self::Category { event, column, value } if column == "category" => {
                write!(f, "count of {event} in {value} (log)")
            }
            Self::Category { event, column, value } => {
                write!(f, "count of {event} with {column} {value} (log)")
            }
            Self::ActiveDays => write!(f, "active days (log)"),
            Self::Weekend => write!(f, "share of events at the weekend (UTC)"),
            Self::Quarter(quarter) => {
                write!(f, "share of events {} (UTC)", quarters.get(usize::from(*quarter)).unwrap_or(&""))
            }
            Self::Attribute { name } => write!(f, "{name}"),
            Self::AttributeIs { name, value } => write!(f, "{name} is {value}"),
        }
    }
}

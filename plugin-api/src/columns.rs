//! The names and types of the columns that cross.
//!
//! # Events: source → enrichment → host
//!
//! | column | type | meaning |
//! |---|---|---|
//! | `event_id` | Utf8 | de-duplication key within the source; needed where `event` is set |
//! | `event_time` | Timestamp(µs, `+00:00`) | when it happened; of an attribute: since when it is so |
//! | `event` | Utf8 | name of the event; null: the row carries only identifiers and attributes |
//! | `id.NAMESPACE` | Utf8 | an identifier; identifiers in one row belong to one profile |
//! | `attr.NAME` | Utf8, Int64, Float64, Boolean, Timestamp | attribute; the profile holds it as `SOURCE.NAME` |
//! | `consent` | Utf8 | what the row's person allows, see below; null: the source's default |
//! | `consent_version` | Utf8 | what `consent` was derived from, in a few words: `tcf2 policy5 list48 cmp300 2026-03-01`, `gpc` |
//! | any other | Utf8, Int64, Float64, Boolean, Timestamp | property of the event |
//!
//! Consent has three stages: `collect` (store anything, set the id cookie), `segment` (be evaluated for audiences) and
//! `activate` (be sent to destinations). A later one is never allowed without the earlier ones. The column `consent` is
//! `granted` where all three are allowed, `denied` where none is, else the words of the allowed ones, in this order, with a
//! space between: `collect`, `collect segment`.

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// De-duplication key.
pub const EVENT_ID: &str = "event_id";
/// When it happened.
pub const EVENT_TIME: &str = "event_time";
/// Name of the event.
pub const EVENT: &str = "event";
/// Consent given with the row: `granted`, `denied`, or the stages `collect` and `collect segment`.
pub const CONSENT: &str = "consent";
/// What the consent was derived from, in a few words that many rows share; never a signal itself.
pub const CONSENT_VERSION: &str = "consent_version";
/// Prefix of identifier columns.
pub const ID: &str = "id.";
/// Prefix of attribute columns.
pub const ATTR: &str = "attr.";

/// Microseconds in UTC, the only timestamp that crosses.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

/// Type of a string column whose values come from a dictionary that the batches of one bind share in part.
pub fn coded() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
}

/// The same with codes of one or two bytes where so many values have room in them; only plugins with the capability
/// `narrow` are given these.
pub fn coded_narrow(values: usize) -> DataType {
    let codes = match values {
        0..=0x100 => DataType::UInt8,
        0x101..=0x1_0000 => DataType::UInt16,
        _ => DataType::UInt32,
    };
    DataType::Dictionary(Box::new(codes), Box::new(DataType::Utf8))
}

/// Key and value in a field's metadata of a column that is of the receipt.
const OF: (&str, &str) = ("kindred.of", "receipt");

/// Marks a column of a source as one of the receipt: an event that is sent again under its id may come with another value in
/// it, and is the same event. An address from which it came is such a column, and a time that was shifted by when it came.
pub fn received(field: Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(OF.0.to_owned(), OF.1.to_owned());
    field.with_metadata(metadata)
}

/// Whether a column is one of the receipt.
pub fn is_received(field: &Field) -> bool {
    field.metadata().get(OF.0).is_some_and(|of| of == OF.1)
}

/// True for the names that have a fixed meaning in an event batch.
pub fn is_reserved(name: &str) -> bool {
    [EVENT_ID, EVENT_TIME, EVENT, CONSENT, CONSENT_VERSION].contains(&name)
        || name.starts_with(ID)
        || name.starts_with(ATTR)
}

/// Profile batches: host → segmentation. One row a profile; only the columns that `plan` asked for.
///
/// | column | type | meaning |
/// |---|---|---|
/// | `profile` | UInt32 | dense number of the profile in this store; always present |
/// | `as_of` | Timestamp(µs) | the moment asked about, the same in all rows; always present |
/// | `identifiers` | List<Struct<namespace, value: Utf8>> | sorted |
/// | `consent` | Utf8 | `granted`, `collect segment`, `collect` or `denied` |
/// | `attr.SOURCE.NAME` | as in the event batch | attributes |
/// | `in.SEGMENT` | Boolean | membership in a segment that the options depend on |
/// | `events` | List<Struct<…>> | events with `event_time` in (… , `as_of`], ascending by time; the fields asked for |
///
/// Event fields: `event_time`, `event`, `source` and the properties; strings are dictionary-coded ([`coded`]).
pub mod profile {
    use super::*;

    /// Dense number of the profile.
    pub const PROFILE: &str = "profile";
    /// The moment asked about.
    pub const AS_OF: &str = "as_of";
    /// All identifiers.
    pub const IDENTIFIERS: &str = "identifiers";
    /// Events.
    pub const EVENTS: &str = "events";
    /// Prefix of membership columns.
    pub const IN: &str = "in.";
    /// Field of an event: which source it came from.
    pub const SOURCE: &str = "source";

    /// The type of `identifiers`.
    pub fn identifiers() -> DataType {
        let pair =
            vec![Field::new("namespace", DataType::Utf8, false), Field::new("value", DataType::Utf8, false)];
        DataType::List(Arc::new(Field::new("item", DataType::Struct(Fields::from(pair)), false)))
    }

    /// The type of `events` with these fields.
    pub fn events(fields: Fields) -> DataType {
        DataType::List(Arc::new(Field::new("item", DataType::Struct(fields), false)))
    }
}

/// What a segmentation answers: `segments: List<UInt32>`, `next_change_at: Timestamp(µs)`.
pub fn evaluated() -> SchemaRef {
    let item = Arc::new(Field::new("item", DataType::UInt32, false));
    Arc::new(Schema::new(vec![
        Field::new("segments", DataType::List(item), false),
        Field::new("next_change_at", timestamp(), true),
    ]))
}

/// Activation rows: host → destination. Sorted by segment, then profile.
///
/// | column | type | meaning |
/// |---|---|---|
/// | `segment` | Utf8 | name of the segment |
/// | `operation` | Utf8 | `add` or `remove` |
/// | `profile` | UInt32 | dense number of the profile |
/// | `identifiers` | List<Struct<namespace, value: Utf8>> | sorted |
/// | `consent` | Utf8 | what the profile consented to |
/// | `since` | Timestamp(µs) | as of when the member entered or left |
pub fn activation() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("segment", DataType::Utf8, false),
        Field::new("operation", DataType::Utf8, false),
        Field::new("profile", DataType::UInt32, false),
        Field::new("identifiers", profile::identifiers(), false),
        Field::new("consent", DataType::Utf8, true),
        Field::new("since", timestamp(), false),
    ]))
}

/// Rejected rows: `row, code, message, payload, origin`.
pub fn rejects() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("row", DataType::UInt64, false),
        Field::new("code", DataType::Utf8, false),
        Field::new("message", DataType::Utf8, false),
        Field::new("payload", DataType::Utf8, false),
        Field::new("origin", DataType::Utf8, false),
    ]))
}

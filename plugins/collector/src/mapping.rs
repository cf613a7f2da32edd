//! Which columns come out: the same mapping as for files, over documents in Segment's form.

use crate::options::CollectorConfig;
use kindred_identifiers::Kind;
use kindred_reading::{
    Columns, ConstantOr, EventSpec, Field, IdentifierSpec, Mapping, Names, OnBadValue, Short, TimeSpec, Type,
    Unit, ValueSpec,
};
use std::collections::BTreeMap;

/// The first step of paths into what the collector knows itself.
pub(crate) const OWN: &str = "collector";

/// Options that file sources have, too.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// Further identifiers, by namespace.
    pub identifiers: BTreeMap<String, Short<IdentifierSpec>>,
    /// Further properties.
    pub properties: Columns<ValueSpec>,
    /// Other names for some events.
    pub events: BTreeMap<String, String>,
    /// What happens to a property that cannot be read.
    pub on_bad_value: OnBadValue,
}

/// Properties that every event has, and where they stand; a later place counts where an earlier one has no value.
const USUAL: [(&str, &[&str], Type); 10] = [
    ("url", &["context.page.url", "properties.url"], Type::String),
    ("referrer", &["context.page.referrer", "properties.referrer"], Type::String),
    ("title", &["context.page.title", "properties.title"], Type::String),
    ("user_agent", &["context.userAgent", "collector.user_agent"], Type::String),
    ("ip", &["collector.ip"], Type::String),
    ("site", &["collector.site"], Type::String),
    ("clock", &["collector.clock"], Type::String),
    ("session_id", &["context.sessionId"], Type::String),
    ("category", &["properties.category"], Type::String),
    ("value", &["properties.value", "properties.revenue"], Type::Decimal),
];

/// Identifiers that every event may have.
const KNOWN: [(&str, Option<Kind>); 5] = [
    ("cookie", None),
    ("user", None),
    ("anonymous", None),
    ("idfa", Some(Kind::Idfa)),
    ("aaid", Some(Kind::Aaid)),
];

/// Columns that a resend may come with another value in: the time is shifted by when it came, and cookie, address, agent and
/// what partners know are of the request.
const RECEIVED: [&str; 5] = ["event_time", "ip", "user_agent", "clock", "id.cookie"];

/// The mapping of a collector.
pub(crate) fn mapping(config: &CollectorConfig, shared: &Shared) -> Mapping {
    let own = |name: &str| Names::from(format!("{OWN}.{name}").as_str());
    let time = TimeSpec { unit: Some(Unit::Microseconds), ..own("time").into() };
    let event = EventSpec { column: own("event"), map: shared.events.clone() };
    let mut mapping = Mapping {
        time: Some(Field::new("event_time", "", ConstantOr::Table(time))),
        event: Some(Field::new("event", "/event", ConstantOr::Table(event))),
        event_id: Some(Field::new("event_id", "", vec![own("id")])),
        consent: Some(Field::new("consent", "", own("consent"))),
        consent_version: Some(Field::new("consent_version", "", own("consent_version"))),
        on_bad_value: shared.on_bad_value,
        personal: true,
        eventless: true,
        received: RECEIVED.map(str::to_owned).to_vec(),
        ..Mapping::default()
    };
    mapping.add_identifiers("/identifiers", &shared.identifiers);
    for field in &mut mapping.identifiers {
        field.spec.column =
            Some(found(&field.name, field.spec.column.take(), &["traits", "context.traits", "properties"]));
    }
    for (name, kind) in KNOWN {
        if mapping.identifiers.iter().all(|field| field.name != name) {
            let spec = IdentifierSpec { kind, ..own(name).into() };
            mapping.identifiers.push(Field::new(name, "/identifiers", spec).optional());
        }
    }
    for partner in config.partners.keys() {
        let spec = IdentifierSpec { kind: Some(Kind::Plain), ..own(&format!("partner.{partner}")).into() };
        mapping.received.push(format!("id.partner_{partner}"));
        mapping
            .identifiers
            .push(Field::new(format!("partner_{partner}"), "/collector/partners", spec).optional());
    }
    mapping.add_values("", "/properties", &shared.properties);
    for field in &mut mapping.values {
        field.spec.column = Some(found(&field.name, field.spec.column.take(), &["properties"]));
    }
    for (name, columns, kind) in USUAL {
        if mapping.values.iter().all(|field| field.name != name) {
            mapping.values.push(Field::new(name, "/properties", ValueSpec::new(columns, kind)).optional());
        }
    }
    let properties = mapping.values.len();
    mapping.add_values("attr.", "/collector/traits", &config.traits);
    for field in &mut mapping.values[properties..] {
        let name = field.name.trim_start_matches("attr.").to_owned();
        field.spec.column = Some(found(&name, field.spec.column.take(), &["traits", "context.traits"]));
    }
    mapping
}

/// A column without a dot is looked for in the parts of an event that it usually stands in.
fn found(name: &str, columns: Option<Names>, parts: &[&str]) -> Names {
    let columns = columns.unwrap_or_else(|| name.into());
    let mut all = Vec::new();
    for column in columns.0 {
        let dotted = column.contains('.');
        all.push(column.clone());
        if !dotted {
            all.extend(parts.iter().map(|part| format!("{part}.{column}")));
        }
    }
    Names(all)
}

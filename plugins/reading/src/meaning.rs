//! What the fields of JSON documents mean: the options that all sources of documents have.

use crate::{
    mapping::{Field, Mapping},
    options::{Columns, ConstantOr, Names, Short},
    spec::{EventSpec, IdentifierSpec, OnBadValue, TimeSpec, ValueSpec},
};
use kindred_plugin_api::{Problem, columns};
use std::collections::BTreeMap;

/// The options `identifiers`, `event`, `time`, `event_id`, `properties`, `attributes`, `consent` and `on_bad_value`.
#[derive(Clone, Copy, Debug)]
pub struct Meaning<'a> {
    /// First step of the paths into the source's own document, which has an `id`.
    pub own: &'a str,
    /// Path of the time where none is given; none where attributes then hold since ever.
    pub own_time: Option<&'a str>,
    /// Identifiers.
    pub identifiers: &'a BTreeMap<String, Short<IdentifierSpec>>,
    /// Name of the event.
    pub event: Option<&'a ConstantOr<EventSpec>>,
    /// Time.
    pub time: Option<&'a Short<TimeSpec>>,
    /// Fields that together name the event; without them the source's own `id`.
    pub event_id: Option<&'a Names>,
    /// Properties of the event.
    pub properties: &'a Columns<ValueSpec>,
    /// Attributes.
    pub attributes: &'a Columns<ValueSpec>,
    /// Consent.
    pub consent: Option<&'a Names>,
    /// What happens to what cannot be read.
    pub on_bad_value: OnBadValue,
}

impl Meaning<'_> {
    /// The mapping that they make.
    pub fn mapping(&self) -> Mapping {
        let own_time = self.own_time.map(|time| TimeSpec::from(Names::from(time)));
        let time = self.time.map(|time| time.0.clone()).or(own_time);
        let mut mapping = Mapping {
            time: time.map(|time| Field::new(columns::EVENT_TIME, "/time", ConstantOr::Table(time))),
            event: self.event.map(|event| Field::new(columns::EVENT, "/event", event.clone())),
            consent: self.consent.map(|names| Field::new(columns::CONSENT, "/consent", names.clone())),
            on_bad_value: self.on_bad_value,
            personal: true,
            ..Mapping::default()
        };
        mapping.set_event_id(self.event_id.unwrap_or(&Names(vec![format!("{}.id", self.own)])));
        mapping.add_identifiers("/identifiers", self.identifiers);
        mapping.add_values("", "/properties", self.properties);
        mapping.add_values(columns::ATTR, "/attributes", self.attributes);
        mapping
    }

    /// What is wrong with them.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = self.mapping().problems();
        let mut problem = |at: &str, message: &str| found.push(Problem::new(at, message));
        if self.identifiers.is_empty() {
            problem("/identifiers", "no identifier; a row needs at least one to find its profile");
        }
        for (at, set) in [("/properties", self.properties), ("/attributes", self.attributes)] {
            if *set == Columns::All {
                problem(at, "`*` is for sources whose columns are known; name the fields of the documents");
            }
        }
        if self.event.is_none() && *self.properties != Columns::default() {
            problem("/properties", "properties are of events; say `event`, or call them `attributes`");
        }
        if self.event.is_none() && self.event_id.is_some() {
            problem("/event_id", "there is no `event` that it would name");
        }
        if self.event.is_some() && self.time.is_none() && self.own_time.is_none() {
            problem("/time", "an event needs a time");
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Documents;

    fn meaning<'a>(
        identifiers: &'a BTreeMap<String, Short<IdentifierSpec>>,
        properties: &'a Columns<ValueSpec>,
        none: &'a Columns<ValueSpec>,
    ) -> Meaning<'a> {
        Meaning {
            own: "own",
            own_time: None,
            identifiers,
            event: None,
            time: None,
            event_id: None,
            properties,
            attributes: none,
            consent: None,
            on_bad_value: OnBadValue::Reject,
        }
    }

    #[test]
    fn each_flaw_is_told_at_its_place() {
        let (identifiers, none) = (BTreeMap::new(), Columns::default());
        let paths = |meaning: Meaning<'_>| -> Vec<String> {
            meaning.problems().into_iter().map(|problem| problem.path).collect()
        };
        assert_eq!(
            paths(meaning(&identifiers, &Columns::All, &none)),
            ["/identifiers", "/properties", "/properties"]
        );
        let names = Names::from("id");
        let event = ConstantOr::Constant("buy".to_owned());
        let (bare, told) = (meaning(&identifiers, &none, &none), Some(&names));
        assert_eq!(paths(Meaning { event_id: told, ..bare }), ["/identifiers", "/event_id"]);
        assert_eq!(paths(Meaning { event: Some(&event), ..bare }), ["/identifiers", "/time"]);
    }

    #[test]
    fn documents_without_an_event_carry_attributes() {
        let identifiers = BTreeMap::from([("user".to_owned(), Short(IdentifierSpec::default()))]);
        let (none, attributes) =
            (Columns::default(), Columns::Listed(vec![("plan".to_owned(), ValueSpec::default())]));
        let meaning = meaning(&identifiers, &none, &attributes);
        assert_eq!(meaning.problems(), []);
        let documents = Documents::new(&meaning.mapping(), "own").unwrap();
        let mut filling = documents.fill();
        filling.push(1, &serde_json::json!({"id": "7"}), &[r#"{"user":"u","plan":"gold"}"#]);
        let (batch, rejects) = filling.finish().unwrap();
        let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!((names.join(" "), rejects.len()), ("event_time id.user attr.plan".to_owned(), 0));
    }
}

//! What an answer can change with when only time passes: the events that a call sees, and the truth of a comparison with
//! an age.

use super::{
    Rule, World, Writer,
    calls::about,
    sql::{Value, truth},
    windows::Frame,
};
use std::rc::Rc;

/// A call or a comparison, as it is written.
#[derive(Clone)]
pub(crate) struct Watch {
    pub(crate) text: String,
    pub(crate) is_age: bool,
    seen: Rc<dyn Fn(&World<'_>) -> Seen>,
}

/// What was seen at one moment.
#[derive(PartialEq)]
enum Seen {
    /// By predicate, the places of the events that match.
    Events(Vec<Vec<usize>>),
    Truth(Option<bool>),
}

impl Watch {
    /// Whether it sees anything else at a moment than just before.
    pub(crate) fn moves(&self, world: &World<'_>) -> bool {
        let at = |as_of| {
            let World { profile, event, rules, everybody, .. } = *world;
            (self.seen)(&World { profile, event, as_of, rules, everybody })
        };
        at(world.as_of) != at(world.as_of - 1)
    }
}

impl Writer<'_> {
    /// Events for which these hold, inside of a window; of a call with this text.
    pub(super) fn watch(&mut self, text: &str, predicates: &[&Rule], frame: &Frame) {
        let (predicates, frame): (Vec<Rule>, Frame) =
            (predicates.iter().map(|rule| (*rule).clone()).collect(), frame.clone());
        self.see(text, false, move |w| {
            let matching = |rule: &Rule| {
                let events = w.profile.events.iter().enumerate();
                let inside = events.filter(|(_, event)| frame.holds(event.time, w.as_of));
                let holds = inside.filter(|(_, event)| rule.at(&about(w, event)) == Value::Bool(true));
                holds.map(|(place, _)| place).collect()
            };
            Seen::Events(predicates.iter().map(matching).collect())
        });
    }

    /// Events with a value, too.
    pub(super) fn watch_values(&mut self, text: &str, of: &Rule, predicate: &Rule, frame: &Frame) {
        let (of, predicate) = (of.clone(), predicate.clone());
        let valued = Rule::new("", move |w| {
            Value::Bool(predicate.at(w) == Value::Bool(true) && of.at(w) != Value::Null)
        });
        self.watch(text, &[&valued], frame);
    }

    /// A comparison with an age.
    pub(super) fn watch_age(&mut self, rule: &Rule) {
        let (text, rule) = (rule.text.clone(), rule.clone());
        self.see(&text, true, move |w| Seen::Truth(truth(&rule.at(w))));
    }

    fn see(&mut self, text: &str, is_age: bool, seen: impl Fn(&World<'_>) -> Seen + 'static) {
        self.watches.push(Watch { text: text.to_owned(), is_age, seen: Rc::new(seen) });
    }
}

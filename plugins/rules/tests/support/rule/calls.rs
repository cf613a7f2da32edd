//! Calls over the events of a profile.

use super::{
    super::data::Event,
    Kind, Rule, World, Writer,
    sql::{Value, aggregate},
    windows::{Frame, ZONES, day},
};

impl Writer<'_> {
    pub(super) fn call(&mut self, kind: Kind) -> Rule {
        let functions: &[&str] = match kind {
            Kind::Number => &[
                "count",
                "sum",
                "min",
                "max",
                "avg",
                "first",
                "last",
                "count_distinct",
                "count_distinct_days",
                "rate",
            ],
            _ => &["min", "max", "first", "last"],
        };
        let function = self.random.pick(functions);
        match function {
            "count" => return self.count(),
            "count_distinct_days" => return self.days(),
            "rate" => return self.rate(),
            _ => {}
        }
        let frame = self.window();
        let predicate = self.predicate();
        let of = match (function, kind) {
            ("count_distinct", _) => {
                let kind = self.random.pick(&[Kind::Text, Kind::Number, Kind::Bool, Kind::Time]);
                self.operand(kind, 1, true, false)
            }
            // Sums of these are exact, in whatever order.
            ("sum" | "avg", _) => self.exact(),
            _ => self.operand(kind, 1, true, false),
        };
        let text = format!("{function}({}, {}{})", of.text, predicate.text, frame.text);
        self.watch_values(&text, &of, &predicate, &frame);
        Rule::new(text, move |w| {
            let events = matching(w, &predicate, &frame);
            let values = events.into_iter().map(|event| of.at(&about(w, event)));
            aggregate(function, values.filter(|v| *v != Value::Null).collect())
        })
    }

    /// A number of the events that floating point adds exactly.
    pub(super) fn exact(&mut self) -> Rule {
        let rule = |text: &str, f: fn(Option<f64>, Option<i64>) -> Value| {
            Rule::new(text, move |w| {
                let event = w.event.unwrap();
                f(event.amount.filter(|v| !v.is_nan()), event.quantity)
            })
        };
        match self.random.below(6) {
            0 | 1 => Self::named_column("amount"),
            2 | 3 => Self::named_column("quantity"),
            4 => rule("2 * amount - 1.5", |amount, _| {
                amount.map_or(Value::Null, |v| Value::Float(2.0 * v - 1.5))
            }),
            _ => rule("quantity * quantity", |_, q| {
                q.and_then(|q| q.checked_mul(q)).map_or(Value::Null, Value::Int)
            }),
        }
    }

    pub(super) fn count(&mut self) -> Rule {
        let (frame, predicate) = (self.window(), self.predicate());
        let text = format!("count({}{})", predicate.text, frame.text);
        self.watch(&text, &[&predicate], &frame);
        Rule::new(text, move |w| Value::Int(matching(w, &predicate, &frame).len() as i64))
    }

    pub(super) fn did(&mut self) -> Rule {
        let (frame, predicate) = (self.window(), self.predicate());
        let text = format!("did({}{})", predicate.text, frame.text);
        self.watch(&text, &[&predicate], &frame);
        Rule::new(text, move |w| Value::Bool(!matching(w, &predicate, &frame).is_empty()))
    }

    fn days(&mut self) -> Rule {
        let (frame, predicate) = (self.window(), self.predicate());
        let named = self.random.chance(50).then(|| self.random.pick(&ZONES));
        let zone = named.or(frame.zone).unwrap_or("UTC");
        let last = named.map_or(String::new(), |zone| format!(", 'in {zone}'"));
        let text = format!("count_distinct_days({}{}{last})", predicate.text, frame.text);
        self.watch(&text, &[&predicate], &frame);
        Rule::new(text, move |w| {
            let days =
                matching(w, &predicate, &frame).into_iter().map(|event| Value::Int(day(event.time, zone)));
            aggregate("count_distinct", days.collect())
        })
    }

    fn rate(&mut self) -> Rule {
        let (frame, part, whole) = (self.window(), self.predicate(), self.predicate());
        let text = format!("rate({}, {}{})", part.text, whole.text, frame.text);
        self.watch(&text, &[&part, &whole], &frame);
        Rule::new(text, move |w| {
            let count = |predicate| matching(w, predicate, &frame).len() as f64;
            let (part, whole) = (count(&part), count(&whole));
            if whole == 0.0 { Value::Null } else { Value::Float(part / whole) }
        })
    }

    pub(super) fn interest(&mut self) -> Rule {
        let (frame, more) = (self.window(), self.random.chance(50).then(|| self.predicate()));
        let id = self.random.pick(&["1", "3", "12", "4", "9"]);
        let predicate = more.as_ref().map_or(String::new(), |rule| format!(", {}", rule.text));
        let text = format!("interest('IAB {id}'{predicate}{})", frame.text);
        let below = Rule::new("", move |w| {
            let path = w.event.unwrap().path.as_ref();
            let is_below = path.is_some_and(|path| path.split('/').any(|part| part == id));
            Value::Bool(is_below && more.as_ref().is_none_or(|rule| rule.at(w) == Value::Bool(true)))
        });
        self.watch(&text, &[&below], &frame);
        Rule::new(text, move |w| Value::Bool(!matching(w, &below, &frame).is_empty()))
    }

    /// Every combination of events is tried.
    pub(super) fn sequence(&mut self) -> Rule {
        let frame = self.window();
        let steps: Vec<Rule> = (0..2 + self.random.below(2)).map(|_| self.predicate()).collect();
        let (name, within) = self.random.pick(&super::windows::LENGTHS);
        let texts: Vec<&str> = steps.iter().map(|step| step.text.as_str()).collect();
        let text = if self.random.chance(80) {
            format!("sequence({} THEN {} WITHIN '{name}'{})", texts[0], texts[1..].join(" THEN "), frame.text)
        } else {
            format!("sequence({}, within => '{name}'{})", texts.join(", "), frame.text)
        };
        self.watch(&text, &steps.iter().collect::<Vec<_>>(), &frame);
        Rule::new(text, move |w| {
            let events: Vec<&Event> =
                w.profile.events.iter().filter(|e| frame.holds(e.time, w.as_of)).collect();
            let is =
                |step: usize, event: usize| steps[step].at(&about(w, events[event])) == Value::Bool(true);
            let first =
                |event: usize| is(0, event) && follows(1, event, event, &events, steps.len(), within, &is);
            Value::Bool((0..events.len()).any(first))
        })
    }

    pub(super) fn age(&mut self) -> Rule {
        let [left, other] = [self.days_since(), self.days_since()];
        let right = match self.random.below(3) {
            0 => other,
            1 => self.operand(Kind::Number, 1, false, false),
            _ => self.constant(Kind::Number),
        };
        let rule = if self.random.chance(30) {
            self.compare(right, left, false)
        } else {
            self.compare(left, right, false)
        };
        self.watch_age(&rule);
        rule
    }

    fn days_since(&mut self) -> Rule {
        let predicate = self.predicate();
        let text = format!("days_since({})", predicate.text);
        self.watch(&text, &[&predicate], &Frame::all());
        Rule::new(text, move |w| {
            let last = matching(w, &predicate, &Frame::all()).last().map(|event| event.time);
            last.map_or(Value::Null, |time| Value::Age(w.as_of - time))
        })
    }

    pub(super) fn predicate(&mut self) -> Rule {
        if self.random.chance(20) {
            Rule::new("TRUE", |_| Value::Bool(true))
        } else {
            self.condition(1, true)
        }
    }

    pub(super) fn membership(&mut self) -> Rule {
        if self.random.chance(25) {
            let namespace = self.random.pick(&["cookie", "crm", "email"]);
            let text = format!("has_identifier('{namespace}')");
            return Rule::new(text, move |w| {
                Value::Bool(w.profile.namespaces.iter().any(|n| n == namespace))
            });
        }
        let name = self.random.pick(&self.known.clone());
        Rule::new(format!("in_segment('{name}')"), move |w| {
            let own = w.rules.iter().find(|(known, _)| *known == name);
            Value::Bool(match own {
                Some((_, rule)) => rule.at(w) == Value::Bool(true),
                None => w.profile.vip == Some(true),
            })
        })
    }
}

fn follows(
    step: usize,
    first: usize,
    last: usize,
    events: &[&Event],
    steps: usize,
    within: i64,
    is: &dyn Fn(usize, usize) -> bool,
) -> bool {
    if step == steps {
        return events[last].time - events[first].time <= within;
    }
    let next = |event: usize| is(step, event) && follows(step + 1, first, event, events, steps, within, is);
    (last + 1..events.len()).any(next)
}

/// The same world, about one event.
pub(super) fn about<'a>(w: &World<'a>, event: &'a Event) -> World<'a> {
    World { event: Some(event), profile: w.profile, as_of: w.as_of, rules: w.rules, everybody: w.everybody }
}

pub(super) fn matching<'a>(w: &World<'a>, predicate: &Rule, frame: &Frame) -> Vec<&'a Event> {
    let inside = |e: &&Event| frame.holds(e.time, w.as_of);
    let holds = |e: &&'a Event| predicate.at(&about(w, e)) == Value::Bool(true);
    w.profile.events.iter().filter(inside).filter(holds).collect()
}

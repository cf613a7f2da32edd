//! What conditions are made of: constants, columns, attributes, arithmetic and CASE.

use super::{
    super::data::{AS_OF, CATEGORIES, COUNTRIES, DAY, EVENTS, Event, URLS},
    Kind, Rule, Writer,
    sql::{Value, calculate, compare},
};

impl Writer<'_> {
    pub(super) fn operand(&mut self, kind: Kind, depth: usize, event: bool, right: bool) -> Rule {
        if right && self.random.chance(70) {
            return self.constant(kind);
        }
        if kind == Kind::Number && depth > 0 && self.random.chance(20) {
            return self.arithmetic(depth - 1, event);
        }
        if depth > 0 && self.random.chance(15) {
            return self.choice(kind, depth - 1, event);
        }
        if event {
            return self.column(kind);
        }
        if kind != Kind::Bool && self.random.chance(60) { self.call(kind) } else { self.attribute(kind) }
    }

    fn arithmetic(&mut self, depth: usize, event: bool) -> Rule {
        let [left, right] = [false, true].map(|right| self.operand(Kind::Number, depth, event, right));
        if self.random.chance(15) {
            return Rule::new(format!("-({})", left.text), move |w| {
                calculate('-', &Value::Int(0), &left.at(w))
            });
        }
        let op = self.random.pick(&['+', '-', '*', '/']);
        let text = format!("({} {op} {})", left.text, right.text);
        Rule::new(text, move |w| calculate(op, &left.at(w), &right.at(w)))
    }

    /// CASE; the results of one are all integers or all decimals, so that none is made the other.
    fn choice(&mut self, kind: Kind, depth: usize, event: bool) -> Rule {
        let whole = self.random.chance(50);
        let mut parts = Vec::new();
        for _ in 0..1 + self.random.below(2) {
            parts.push((self.condition(depth, event), self.result(kind, whole, event)));
        }
        let otherwise = self.random.chance(60).then(|| self.result(kind, whole, event));
        if self.random.chance(30) {
            return self.simple_choice(kind, whole, event);
        }
        let texts: Vec<String> =
            parts.iter().map(|(when, then)| format!("WHEN {} THEN {}", when.text, then.text)).collect();
        let last = otherwise.as_ref().map_or(String::new(), |rule| format!(" ELSE {}", rule.text));
        Rule::new(format!("CASE {}{last} END", texts.join(" ")), move |w| {
            let chosen = parts.iter().find(|(when, _)| when.at(w) == Value::Bool(true)).map(|(_, then)| then);
            chosen.or(otherwise.as_ref()).map_or(Value::Null, |rule| rule.at(w))
        })
    }

    fn simple_choice(&mut self, kind: Kind, whole: bool, event: bool) -> Rule {
        let of = self.operand(Kind::Text, 0, event, false);
        let (when, then) = (self.constant(Kind::Text), self.result(kind, whole, event));
        let text = format!("CASE {} WHEN {} THEN {} END", of.text, when.text, then.text);
        Rule::new(text, move |w| match compare("=", &of.at(w), &when.at(w)) {
            Value::Bool(true) => then.at(w),
            _ => Value::Null,
        })
    }

    fn result(&mut self, kind: Kind, whole: bool, event: bool) -> Rule {
        match (kind, self.random.chance(50)) {
            (Kind::Number, true) => {
                let value = self.random.below(8) as i64 - 2;
                if whole {
                    Rule::new(value.to_string(), move |_| Value::Int(value))
                } else {
                    Rule::new(format!("{value}.0"), move |_| Value::Float(value as f64))
                }
            }
            (Kind::Number, false) => {
                let name = match (event, whole) {
                    (true, true) => "quantity",
                    (true, false) => "amount",
                    (false, true) => "age",
                    (false, false) => "score",
                };
                if event { Self::named_column(name) } else { Self::named_attribute(name) }
            }
            (_, true) => self.constant(kind),
            (_, false) if event => self.column(kind),
            (_, false) => self.attribute(kind),
        }
    }

    pub(super) fn constant(&mut self, kind: Kind) -> Rule {
        if self.random.chance(4) {
            return Rule::new("NULL", |_| Value::Null);
        }
        match kind {
            Kind::Number if self.random.chance(50) => {
                let value = self.random.below(8) as i64 - 2;
                Rule::new(value.to_string(), move |_| Value::Int(value))
            }
            Kind::Number => {
                let value = self.random.below(40) as f64 / 4.0 - 1.0;
                Rule::new(format!("{value:.2}"), move |_| Value::Float(value))
            }
            Kind::Text => {
                let all = [&EVENTS[..], &CATEGORIES, &URLS, &COUNTRIES].concat();
                let value = self.random.pick(&all);
                Rule::new(format!("'{value}'"), move |_| Value::Text(value.to_owned()))
            }
            Kind::Time => {
                let days = self.random.below(16) as i64;
                let day = jiff_date(AS_OF - days * DAY);
                Rule::new(format!("DATE '{day}'"), move |_| Value::Time(AS_OF - days * DAY))
            }
            Kind::Bool => {
                let value = self.random.chance(50);
                Rule::new(if value { "TRUE" } else { "false" }, move |_| Value::Bool(value))
            }
        }
    }

    pub(super) fn column(&mut self, kind: Kind) -> Rule {
        let names: &[&str] = match kind {
            Kind::Number => &["amount", "quantity"],
            Kind::Text => &["event", "category", "\"url\""],
            Kind::Time => &["event_time", "shipped"],
            Kind::Bool => &["paid"],
        };
        Self::named_column(self.random.pick(names))
    }

    pub(super) fn named_column(name: &'static str) -> Rule {
        Rule::new(name, move |w| field(w.event.unwrap(), name))
    }

    pub(super) fn attribute(&mut self, kind: Kind) -> Rule {
        let names: &[&str] = match kind {
            Kind::Number => &["age", "score"],
            Kind::Text => &["country", "city", "consent"],
            Kind::Time => &["since"],
            Kind::Bool => &["optin"],
        };
        Self::named_attribute(self.random.pick(names))
    }

    pub(super) fn named_attribute(name: &'static str) -> Rule {
        let text = if name == "consent" { "consent()".to_owned() } else { format!("attr('crm.{name}')") };
        Rule::new(text, move |w| {
            let p = w.profile;
            match name {
                "age" => p.age.map_or(Value::Null, Value::Int),
                "score" => p.score.map_or(Value::Null, Value::Float),
                "country" => p.country.clone().map_or(Value::Null, Value::Text),
                "city" => p.city.clone().map_or(Value::Null, Value::Text),
                "consent" => p.consent.clone().map_or(Value::Null, Value::Text),
                "since" => p.since.map_or(Value::Null, Value::Time),
                _ => p.optin.map_or(Value::Null, Value::Bool),
            }
        })
    }
}

pub(super) fn field(event: &Event, name: &str) -> Value {
    match name {
        "event_time" => Value::Time(event.time),
        "event" => event.event.clone().map_or(Value::Null, Value::Text),
        "category" => event.category.clone().map_or(Value::Null, Value::Text),
        "amount" => event.amount.filter(|v| !v.is_nan()).map_or(Value::Null, Value::Float),
        "quantity" => event.quantity.map_or(Value::Null, Value::Int),
        "paid" => event.paid.map_or(Value::Null, Value::Bool),
        "shipped" => event.shipped.map_or(Value::Null, Value::Time),
        _ => event.url.clone().map_or(Value::Null, Value::Text),
    }
}

fn jiff_date(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).unwrap().to_string()[..10].to_owned()
}

//! Random rules: as text for the plugin, as values for the interpreter.

use super::{
    Random,
    data::{AS_OF, CATEGORIES, COUNTRIES, DAY, EVENTS, Event, HOUR, Profile, URLS},
};

/// A value of SQL.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Time(i64),
    /// Microseconds since an event.
    Age(i64),
}

/// An expression, with the text that it is written as.
pub(crate) struct Rule {
    pub(crate) text: String,
    eval: Box<dyn Fn(&World<'_>) -> Value>,
}

/// Where an expression is evaluated.
pub(crate) struct World<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) event: Option<&'a Event>,
    pub(crate) as_of: i64,
    pub(crate) rules: &'a [(String, Rule)],
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Number,
    Text,
    Time,
    Bool,
}

impl Rule {
    fn new(text: impl Into<String>, eval: impl Fn(&World<'_>) -> Value + 'static) -> Self {
        Self { text: text.into(), eval: Box::new(eval) }
    }

    fn at(&self, world: &World<'_>) -> Value {
        (self.eval)(world)
    }
}

/// Whether a profile is in the segment.
pub(crate) fn holds(rules: &[(String, Rule)], ordinal: usize, profile: &Profile, as_of: i64) -> bool {
    let world = World { profile, event: None, as_of, rules };
    rules[ordinal].1.at(&world) == Value::Bool(true)
}

/// Rules that may refer to earlier ones, and to `vip`; then shuffled.
pub(crate) fn rules(random: &mut Random, count: usize) -> Vec<(String, Rule)> {
    let mut rules: Vec<(String, Rule)> = Vec::new();
    for index in 0..count {
        let known: Vec<String> =
            rules.iter().map(|(name, _)| name.clone()).chain(["vip".to_owned()]).collect();
        let mut writer = Writer { random, known };
        rules.push((format!("segment-{index}"), writer.condition(3, false)));
    }
    for index in (1..count).rev() {
        rules.swap(index, random.below(index + 1));
    }
    rules
}

struct Writer<'a> {
    random: &'a mut Random,
    known: Vec<String>,
}

impl Writer<'_> {
    fn condition(&mut self, depth: usize, event: bool) -> Rule {
        if depth == 0 || self.random.chance(35) {
            return self.test(depth, event);
        }
        match self.random.below(4) {
            0 => {
                let inner = self.condition(depth - 1, event);
                Rule::new(format!("NOT ({})", inner.text), move |w| not(inner.at(w)))
            }
            1 => {
                let (inner, negated) = (self.condition(depth - 1, event), self.random.chance(50));
                let (name, wanted) = self.random.pick(&[
                    ("TRUE", Some(true)),
                    ("FALSE", Some(false)),
                    ("UNKNOWN", None),
                    ("NULL", None),
                ]);
                let text = format!("({}) IS {}{name}", inner.text, if negated { "NOT " } else { "" });
                Rule::new(text, move |w| Value::Bool((truth(&inner.at(w)) == wanted) != negated))
            }
            and => {
                let and = and == 2;
                let parts: Vec<Rule> =
                    (0..2 + self.random.below(2)).map(|_| self.condition(depth - 1, event)).collect();
                let texts: Vec<String> = parts.iter().map(|p| format!("({})", p.text)).collect();
                Rule::new(texts.join(if and { " AND " } else { " or " }), move |w| {
                    let all: Vec<Option<bool>> = parts.iter().map(|p| truth(&p.at(w))).collect();
                    // AND is decided by a false, OR by a true.
                    if all.contains(&Some(!and)) {
                        Value::Bool(!and)
                    } else if all.contains(&None) {
                        Value::Null
                    } else {
                        Value::Bool(and)
                    }
                })
            }
        }
    }

    fn test(&mut self, depth: usize, event: bool) -> Rule {
        match self.random.below(if event { 7 } else { 11 }) {
            0 | 1 => {
                let kind = self.random.pick(&[Kind::Number, Kind::Number, Kind::Text, Kind::Time]);
                let (left, right) =
                    (self.operand(kind, depth, event, false), self.operand(kind, depth, event, true));
                if self.random.chance(30) {
                    self.compare(right, left, false)
                } else {
                    self.compare(left, right, false)
                }
            }
            2 => self.between(depth, event),
            3 => self.is_in(depth, event),
            4 => self.like(event),
            5 => {
                let kind = self.random.pick(&[Kind::Number, Kind::Text, Kind::Time]);
                let (of, negated) = (self.operand(kind, depth, event, false), self.random.chance(50));
                let text = format!("{} IS {}NULL", of.text, if negated { "NOT " } else { "" });
                Rule::new(text, move |w| Value::Bool((of.at(w) == Value::Null) != negated))
            }
            6 => {
                let (left, right) =
                    (self.operand(Kind::Bool, depth, event, false), self.constant(Kind::Bool));
                if self.random.chance(50) { left } else { self.compare(left, right, true) }
            }
            7 | 8 => self.did(),
            9 => self.age(),
            _ => self.membership(),
        }
    }

    fn compare(&mut self, left: Rule, right: Rule, equal_only: bool) -> Rule {
        let ops = ["=", "<>", "<", "<=", ">", ">="];
        let op = self.random.pick(if equal_only { &ops[..2] } else { &ops[..] });
        Rule::new(format!("{} {op} {}", left.text, right.text), move |w| {
            compare(op, &left.at(w), &right.at(w))
        })
    }

    fn between(&mut self, depth: usize, event: bool) -> Rule {
        let kind = self.random.pick(&[Kind::Number, Kind::Text, Kind::Time]);
        let [of, low, high] = [false, true, true].map(|right| self.operand(kind, depth, event, right));
        let negated = self.random.chance(30);
        let text = format!("{} {}BETWEEN {} AND {}", of.text, not_word(negated), low.text, high.text);
        Rule::new(text, move |w| {
            let value = of.at(w);
            let (above, below) = (compare(">=", &value, &low.at(w)), compare("<=", &value, &high.at(w)));
            let both = match (truth(&above), truth(&below)) {
                (Some(false), _) | (_, Some(false)) => Value::Bool(false),
                (Some(true), Some(true)) => Value::Bool(true),
                _ => Value::Null,
            };
            if negated { not(both) } else { both }
        })
    }

    fn is_in(&mut self, depth: usize, event: bool) -> Rule {
        let kind = self.random.pick(&[Kind::Number, Kind::Text, Kind::Text, Kind::Time]);
        let of = self.operand(kind, depth, event, false);
        let list: Vec<Rule> =
            (0..1 + self.random.below(4)).map(|_| self.operand(kind, 0, event, true)).collect();
        let negated = self.random.chance(30);
        let texts: Vec<&str> = list.iter().map(|item| item.text.as_str()).collect();
        let text = format!("{} {}IN ({})", of.text, not_word(negated), texts.join(", "));
        Rule::new(text, move |w| {
            let value = of.at(w);
            let found: Vec<_> = list.iter().map(|item| truth(&compare("=", &value, &item.at(w)))).collect();
            let any = if found.contains(&Some(true)) {
                Value::Bool(true)
            } else if found.contains(&None) {
                Value::Null
            } else {
                Value::Bool(false)
            };
            if negated { not(any) } else { any }
        })
    }

    fn like(&mut self, event: bool) -> Rule {
        let of = self.operand(Kind::Text, 1, event, false);
        let (pattern, negated) = (
            self.random.pick(&["winter%", "%s", "_E", "%", "", "/sale/100|%", "%a%e%", "D_"]),
            self.random.chance(30),
        );
        let text = format!("{} {}LIKE '{pattern}' ESCAPE '|'", of.text, not_word(negated));
        Rule::new(text, move |w| match of.at(w) {
            Value::Text(text) => {
                let letters: Vec<char> = text.chars().collect();
                Value::Bool(like(&letters, &pattern.chars().collect::<Vec<_>>()) != negated)
            }
            _ => Value::Null,
        })
    }

    fn operand(&mut self, kind: Kind, depth: usize, event: bool, right: bool) -> Rule {
        if right && self.random.chance(70) {
            return self.constant(kind);
        }
        if kind == Kind::Number && depth > 0 && self.random.chance(20) {
            return self.arithmetic(depth - 1, event);
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

    fn constant(&mut self, kind: Kind) -> Rule {
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

    fn column(&mut self, kind: Kind) -> Rule {
        let names: &[&str] = match kind {
            Kind::Number => &["amount", "quantity"],
            Kind::Text => &["event", "category", "\"url\""],
            Kind::Time => &["event_time", "shipped"],
            Kind::Bool => &["paid"],
        };
        let name = self.random.pick(names);
        Rule::new(name, move |w| field(w.event.unwrap(), name))
    }

    fn attribute(&mut self, kind: Kind) -> Rule {
        let names: &[&str] = match kind {
            Kind::Number => &["age", "score"],
            Kind::Text => &["country", "city", "consent"],
            Kind::Time => &["since"],
            Kind::Bool => &["optin"],
        };
        let name = self.random.pick(names);
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

    fn call(&mut self, kind: Kind) -> Rule {
        let functions: &[&str] = match kind {
            Kind::Number => &["count", "sum", "min", "max", "avg", "first", "last", "count_distinct"],
            _ => &["min", "max", "first", "last"],
        };
        let function = self.random.pick(functions);
        let (window, older, newer) = self.window();
        let predicate = self.predicate();
        if function == "count" {
            return Rule::new(format!("count({}{window})", predicate.text), move |w| {
                Value::Int(matching(w, &predicate, older, newer).len() as i64)
            });
        }
        let column = if function == "count_distinct" {
            let kind = self.random.pick(&[Kind::Text, Kind::Number, Kind::Bool, Kind::Time]);
            self.column(kind)
        } else {
            self.column(kind)
        };
        let name = column.text.clone();
        Rule::new(format!("{function}({name}, {}{window})", predicate.text), move |w| {
            let events = matching(w, &predicate, older, newer);
            let values = events.into_iter().map(|event| field(event, &name)).filter(|v| *v != Value::Null);
            aggregate(function, values.collect())
        })
    }

    fn did(&mut self) -> Rule {
        let (window, older, newer) = self.window();
        let predicate = self.predicate();
        Rule::new(format!("did({}{window})", predicate.text), move |w| {
            Value::Bool(!matching(w, &predicate, older, newer).is_empty())
        })
    }

    fn age(&mut self) -> Rule {
        let [left, other] = [self.days_since(), self.days_since()];
        let right = match self.random.below(3) {
            0 => other,
            1 => self.operand(Kind::Number, 1, false, false),
            _ => self.constant(Kind::Number),
        };
        if self.random.chance(30) {
            self.compare(right, left, false)
        } else {
            self.compare(left, right, false)
        }
    }

    fn days_since(&mut self) -> Rule {
        let predicate = self.predicate();
        Rule::new(format!("days_since({})", predicate.text), move |w| {
            let last = matching(w, &predicate, None, 0).last().map(|event| event.time);
            last.map_or(Value::Null, |time| Value::Age(w.as_of - time))
        })
    }

    fn predicate(&mut self) -> Rule {
        if self.random.chance(20) {
            Rule::new("TRUE", |_| Value::Bool(true))
        } else {
            self.condition(1, true)
        }
    }

    fn membership(&mut self) -> Rule {
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

    fn window(&mut self) -> (String, Option<i64>, i64) {
        let all = [
            ("6 hours", 6 * HOUR),
            ("720 minutes", 12 * HOUR),
            ("1 day", DAY),
            ("3 days", 3 * DAY),
            ("1 week", 7 * DAY),
            ("10 days", 10 * DAY),
        ];
        match self.random.below(3) {
            0 => (String::new(), None, 0),
            1 => {
                let (text, us) = self.random.pick(&all);
                (format!(", '{text}'"), Some(us), 0)
            }
            _ => {
                let newer = self.random.below(all.len() - 1);
                let older = newer + 1 + self.random.below(all.len() - newer - 1);
                (format!(", '{}', '{}'", all[older].0, all[newer].0), Some(all[older].1), all[newer].1)
            }
        }
    }
}

fn matching<'a>(w: &World<'a>, predicate: &Rule, older: Option<i64>, newer: i64) -> Vec<&'a Event> {
    let inside = |e: &&Event| e.time <= w.as_of - newer && older.is_none_or(|older| e.time > w.as_of - older);
    let holds = |e: &&Event| {
        let world = World { event: Some(e), profile: w.profile, as_of: w.as_of, rules: w.rules };
        predicate.at(&world) == Value::Bool(true)
    };
    w.profile.events.iter().filter(inside).filter(holds).collect()
}

fn field(event: &Event, name: &str) -> Value {
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

fn aggregate(function: &str, values: Vec<Value>) -> Value {
    if function == "count_distinct" {
        let mut seen: Vec<&Value> = Vec::new();
        for value in &values {
            if !seen.contains(&value) {
                seen.push(value);
            }
        }
        return Value::Int(seen.len() as i64);
    }
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return Value::Null };
    let better = |op: &str| {
        values.iter().fold(first, |a, b| if compare(op, b, a) == Value::Bool(true) { b } else { a })
    };
    match function {
        "first" => first.clone(),
        "last" => last.clone(),
        "min" => better("<").clone(),
        "max" => better(">").clone(),
        _ => {
            let ints = values.iter().map(|v| if let Value::Int(i) = v { Some(i128::from(*i)) } else { None });
            let (sum, exact): (f64, Option<i128>) = (values.iter().map(number).sum(), ints.sum());
            match (function, exact) {
                ("sum", Some(exact)) => i64::try_from(exact).map_or(Value::Null, Value::Int),
                ("sum", None) => Value::Float(sum),
                (_, exact) => Value::Float(exact.map_or(sum, |exact| exact as f64) / values.len() as f64),
            }
        }
    }
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Int(value) => *value as f64,
        Value::Float(value) => *value,
        Value::Age(us) => *us as f64 / DAY as f64,
        other => panic!("{other:?} is not a number"),
    }
}

fn compare(op: &str, a: &Value, b: &Value) -> Value {
    let order = match (a, b) {
        (Value::Null, _) | (_, Value::Null) => return Value::Null,
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b))
        | (Value::Int(a), Value::Int(b))
        | (Value::Age(a), Value::Age(b)) => a.cmp(b),
        (Value::Int(a), Value::Float(b)) => mixed(*a, *b),
        (Value::Float(a), Value::Int(b)) => mixed(*b, *a).reverse(),
        _ => number(a).partial_cmp(&number(b)).unwrap(),
    };
    Value::Bool(match op {
        "=" => order.is_eq(),
        "<>" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    })
}

/// In integers wide enough for both.
fn mixed(int: i64, float: f64) -> std::cmp::Ordering {
    let floor = float.floor();
    let above = if float > floor { std::cmp::Ordering::Less } else { std::cmp::Ordering::Equal };
    i128::from(int).cmp(&(floor as i128)).then(above)
}

fn calculate(op: char, a: &Value, b: &Value) -> Value {
    if *a == Value::Null || *b == Value::Null {
        return Value::Null;
    }
    if let (Value::Int(a), Value::Int(b), true) = (a, b, op != '/') {
        let (a, b) = (i128::from(*a), i128::from(*b));
        let exact = match op {
            '+' => a + b,
            '-' => a - b,
            _ => a * b,
        };
        return i64::try_from(exact).map_or(Value::Null, Value::Int);
    }
    let (a, b) = (number(a), number(b));
    let result = match op {
        '+' => a + b,
        '-' => a - b,
        '*' => a * b,
        _ if b == 0.0 => f64::NAN,
        _ => a / b,
    };
    if result.is_nan() { Value::Null } else { Value::Float(result) }
}

fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['|', literal, rest @ ..] => text.first() == Some(literal) && like(&text[1..], rest),
        ['%', rest @ ..] => (0..=text.len()).any(|skip| like(&text[skip..], rest)),
        ['_', rest @ ..] => !text.is_empty() && like(&text[1..], rest),
        [literal, rest @ ..] => text.first() == Some(literal) && like(&text[1..], rest),
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::Null => None,
        other => panic!("{other:?} is not a truth"),
    }
}

fn not(value: Value) -> Value {
    truth(&value).map_or(Value::Null, |value| Value::Bool(!value))
}

fn not_word(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

fn jiff_date(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).unwrap().to_string()[..10].to_owned()
}

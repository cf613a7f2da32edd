//! Random rules: as text for the plugin, as values for the interpreter.

use super::{
    Random,
    data::{Event, Profile},
};
use sql::{Value, compare, like, not, not_word, truth};
use std::rc::Rc;
pub(crate) use watch::Watch;

mod calls;
mod over_all;
mod sql;
mod values;
mod watch;
pub(crate) mod windows;

/// An expression, with the text that it is written as.
#[derive(Clone)]
pub(crate) struct Rule {
    pub(crate) text: String,
    /// What its answer can change with when only time passes; of whole rules.
    pub(crate) watches: Vec<Watch>,
    eval: Rc<dyn Fn(&World<'_>) -> Value>,
}

/// Where an expression is evaluated.
pub(crate) struct World<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) event: Option<&'a Event>,
    pub(crate) as_of: i64,
    pub(crate) rules: &'a [(String, Rule)],
    pub(crate) everybody: &'a [Profile],
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
        Self { text: text.into(), watches: Vec::new(), eval: Rc::new(eval) }
    }

    fn at(&self, world: &World<'_>) -> Value {
        (self.eval)(world)
    }
}

/// Whether a profile is in the segment.
pub(crate) fn holds(
    rules: &[(String, Rule)],
    ordinal: usize,
    everybody: &[Profile],
    row: usize,
    as_of: i64,
) -> bool {
    let world = World { profile: &everybody[row], event: None, as_of, rules, everybody };
    rules[ordinal].1.at(&world) == Value::Bool(true)
}

/// Rules that may refer to earlier ones, and to `vip`; then shuffled.
pub(crate) fn rules(random: &mut Random, count: usize) -> Vec<(String, Rule)> {
    let mut rules: Vec<(String, Rule)> = Vec::new();
    for index in 0..count {
        let known: Vec<String> =
            rules.iter().map(|(name, _)| name.clone()).chain(["vip".to_owned()]).collect();
        let mut writer = Writer { random, known, watches: Vec::new() };
        let mut rule = writer.condition(3, false);
        // Some of what is drawn is thrown away.
        rule.watches = writer.watches;
        rule.watches.retain(|watch| rule.text.contains(&watch.text));
        rules.push((format!("segment-{index}"), rule));
    }
    for index in (1..count).rev() {
        rules.swap(index, random.below(index + 1));
    }
    rules
}

struct Writer<'a> {
    random: &'a mut Random,
    known: Vec<String>,
    watches: Vec<Watch>,
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
        match self.random.below(if event { 7 } else { 14 }) {
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
            10 => self.sequence(),
            11 => self.interest(),
            12 => self.over_all(),
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
}

//! Ranks and totals, told by asking everybody each time.

use super::{
    Rule, World, Writer,
    calls::{about, matching},
    sql::{Value, aggregate, compare},
    windows::Frame,
};

impl Writer<'_> {
    pub(super) fn over_all(&mut self) -> Rule {
        let of = self.own_number();
        if self.random.chance(60) { self.rank(of) } else { self.total(of) }
    }

    /// A value of each profile that needs no other; sums of it are exact.
    fn own_number(&mut self) -> Rule {
        match self.random.below(4) {
            0 => self.count(),
            1 => {
                let (of, predicate) = (self.exact(), self.predicate());
                let text = format!("max({}, {})", of.text, predicate.text);
                self.watch_values(&text, &of, &predicate, &Frame::all());
                Rule::new(text, move |w| {
                    let events = matching(w, &predicate, &Frame::all()).into_iter();
                    let values = events.map(|event| of.at(&about(w, event))).filter(|v| *v != Value::Null);
                    aggregate("max", values.collect())
                })
            }
            2 => Self::named_attribute("age"),
            _ => Self::named_attribute("score"),
        }
    }

    fn rank(&mut self, of: Rule) -> Rule {
        let op = self.random.pick(&["=", "<>", "<", "<=", ">", ">=", ">="]);
        let percent = self.random.pick(&[0, 10, 25, 50, 75, 90, 100, -1, 101]);
        let text = if self.random.chance(80) {
            format!("percentile({}) {op} {percent}", of.text)
        } else {
            format!("percentile({}) {op} {percent}.5", of.text)
        };
        let percent = percent as f64 + if text.ends_with(".5") { 0.5 } else { 0.0 };
        let percent = if text.ends_with("-1.5") { -1.5 } else { percent };
        Rule::new(text, move |w| {
            let own = of.at(w);
            if own == Value::Null {
                return Value::Null;
            }
            let values = everybody(&of, w);
            let smaller =
                values.iter().filter(|value| compare("<", value, &own) == Value::Bool(true)).count();
            compare(op, &Value::Float(100.0 * smaller as f64 / values.len() as f64), &Value::Float(percent))
        })
    }

    fn total(&mut self, of: Rule) -> Rule {
        let op = self.random.pick(&["<", ">", "="]);
        let bound = self.random.below(40) as i64 - 5;
        Rule::new(format!("total({}) {op} {bound}", of.text), move |w| {
            let sum = aggregate("sum", everybody(&of, w));
            compare(op, &sum, &Value::Int(bound))
        })
    }
}

fn everybody(of: &Rule, w: &World<'_>) -> Vec<Value> {
    let world =
        |profile| World { profile, event: None, as_of: w.as_of, rules: w.rules, everybody: w.everybody };
    let values = w.everybody.iter().map(|profile| of.at(&world(profile)));
    values.filter(|value| *value != Value::Null).collect()
}

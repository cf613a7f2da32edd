//! SQL's values, said once more and in the plainest way.

use super::super::data::DAY;

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

pub(super) fn aggregate(function: &str, values: Vec<Value>) -> Value {
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

pub(super) fn number(value: &Value) -> f64 {
    match value {
        Value::Int(value) => *value as f64,
        Value::Float(value) => *value,
        Value::Age(us) => *us as f64 / DAY as f64,
        other => panic!("{other:?} is not a number"),
    }
}

pub(super) fn compare(op: &str, a: &Value, b: &Value) -> Value {
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
pub(super) fn mixed(int: i64, float: f64) -> std::cmp::Ordering {
    let floor = float.floor();
    let above = if float > floor { std::cmp::Ordering::Less } else { std::cmp::Ordering::Equal };
    i128::from(int).cmp(&(floor as i128)).then(above)
}

pub(super) fn calculate(op: char, a: &Value, b: &Value) -> Value {
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

pub(super) fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['|', literal, rest @ ..] => text.first() == Some(literal) && like(&text[1..], rest),
        ['%', rest @ ..] => (0..=text.len()).any(|skip| like(&text[skip..], rest)),
        ['_', rest @ ..] => !text.is_empty() && like(&text[1..], rest),
        [literal, rest @ ..] => text.first() == Some(literal) && like(&text[1..], rest),
    }
}

pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::Null => None,
        other => panic!("{other:?} is not a truth"),
    }
}

pub(super) fn not(value: Value) -> Value {
    truth(&value).map_or(Value::Null, |value| Value::Bool(!value))
}

pub(super) fn not_word(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

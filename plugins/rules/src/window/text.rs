//! Windows as operators write them.

use super::Window;
use crate::{
    calendar::{Unit, Zone},
    time,
};

/// What is wrong with a window, and which of its arguments, if it is one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) argument: Option<usize>,
    pub(crate) message: String,
    pub(crate) help: String,
}

const HELP: &str = "write '30 days' (seconds, minutes, hours, days, weeks) up to now, '60 days', '30 days' for one that \
     ended 30 days ago, 'this month' or 'previous month' (day, week, month, quarter, year; 'this month in Europe/Berlin'), \
     or '2026-01-01', '2026-02-01' from and to (excluded)";
const SECOND_US: i64 = 1_000_000;
/// Longer than any retention, short enough that no sum of times overflows.
const LONGEST_US: i64 = 36_500 * super::DAY_US;
const UNITS: [(&str, i64); 5] =
    [("second", 1), ("minute", 60), ("hour", 3_600), ("day", 24 * 3_600), ("week", 7 * 24 * 3_600)];

/// One argument of a window.
enum Part {
    Length(i64),
    Moment(i64),
    Period(Unit, i64, Zone),
}

impl Window {
    /// Reads the arguments of a window; none are all events.
    ///
    /// # Errors
    /// What an operator wrote that is no window.
    pub(crate) fn parse(arguments: &[&str]) -> Result<Self, Unfit> {
        let read = arguments.iter().enumerate().map(|(index, text)| {
            part(text).map_err(|(message, help)| Unfit { argument: Some(index), message, help })
        });
        let parts = read.collect::<Result<Vec<Part>, Unfit>>()?;
        let unfit = |message: &str, help: &str| {
            Err(Unfit { argument: None, message: message.to_owned(), help: help.to_owned() })
        };
        match parts.as_slice() {
            [] => Ok(Self::ALL),
            [Part::Length(older)] => Ok(Self::Rolling { older_us: Some(*older), newer_us: 0 }),
            [Part::Length(older), Part::Length(newer)] if older > newer => {
                Ok(Self::Rolling { older_us: Some(*older), newer_us: *newer })
            }
            [Part::Length(_), Part::Length(_)] => {
                unfit("the window ends before it begins", "write the older bound first")
            }
            [Part::Period(unit, back, zone)] => {
                Ok(Self::Calendar { unit: *unit, back: *back, zone: zone.clone() })
            }
            [Part::Moment(from), Part::Moment(to)] if from < to => {
                Ok(Self::Absolute { from_us: *from, to_us: *to })
            }
            [Part::Moment(from), Part::Moment(to)] if from == to => unfit(
                "the window holds nothing, as its end does not belong to it",
                "write the next day as its end",
            ),
            [Part::Moment(_), Part::Moment(_)] => {
                unfit("the window ends before it begins", "write the earlier date first")
            }
            [Part::Moment(_)] => unfit(
                "a window of dates has two of them",
                "write '2026-01-01', '2026-02-01' from and to (excluded); for one bound compare event_time in the predicate",
            ),
            _ => unfit("the two bounds of the window do not go together", HELP),
        }
    }
}

fn part(text: &str) -> Result<Part, (String, String)> {
    let (what, zone) = match text.split_once(" in ") {
        Some((what, zone)) => (what.trim(), Some(Zone::named(zone)?)),
        None => (text.trim(), None),
    };
    if let [which, unit] = what.split_whitespace().collect::<Vec<_>>()[..]
        && let Some(unit) = Unit::named(unit)
    {
        let back = match which.to_ascii_lowercase().as_str() {
            "this" => Some(0),
            "previous" => Some(1),
            _ => None,
        };
        if let Some(back) = back {
            return Ok(Part::Period(unit, back, zone.unwrap_or_else(Zone::utc)));
        }
        if which.parse::<f64>().is_err() {
            let help = "write 'this' or 'previous' before day, week, month, quarter or year".to_owned();
            return Err((format!("`{which}` does not say which {}", unit_name(what)), help));
        }
    }
    let moment = match &zone {
        Some(zone) => time::parse_in(what, zone),
        None => time::parse_us(what),
    };
    if let Some(us) = moment {
        return Ok(Part::Moment(us));
    }
    if what.len() > 4 && what.as_bytes()[..4].iter().all(u8::is_ascii_digit) && what.as_bytes()[4] == b'-' {
        return Err((time::not_a_time(text), time::HELP.to_owned()));
    }
    if zone.is_some() {
        return Err((
            format!("`{what}` is no date and no calendar period, so it has no zone"),
            HELP.to_owned(),
        ));
    }
    period_us(what).map(Part::Length).map_err(|message| (message, HELP.to_owned()))
}

fn unit_name(what: &str) -> &str {
    what.split_whitespace().next_back().unwrap_or(what)
}

/// A length of time such as `30 days`, in microseconds; the error says what is wrong with the text.
pub(crate) fn period_us(text: &str) -> Result<i64, String> {
    let mut words = text.split_whitespace();
    let (Some(number), Some(unit), None) = (words.next(), words.next(), words.next()) else {
        return Err(format!("`{text}` is not a length of time"));
    };
    let count: i64 = number
        .parse()
        .map_err(|_| format!("`{number}` is not a whole number, as the length of a window must be"))?;
    let unit = unit.to_ascii_lowercase();
    let singular = unit.strip_suffix('s').unwrap_or(&unit);
    let Some((_, seconds)) = UNITS.iter().find(|(name, _)| *name == singular) else {
        let varies = if Unit::named(singular).is_some() { ", as its length varies" } else { "" };
        return Err(format!("`{unit}` is not a unit of time that windows have{varies}"));
    };
    match count.checked_mul(seconds * SECOND_US) {
        Some(us) if us > 0 && us <= LONGEST_US => Ok(us),
        Some(us) if us <= 0 => Err(format!("a window of `{text}` holds nothing")),
        _ => Err(format!("a window of `{text}` is longer than 100 years")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods() {
        assert_eq!(period_us("30 days"), Ok(30 * super::super::DAY_US));
        assert_eq!(period_us(" 1  Week "), Ok(7 * super::super::DAY_US));
        assert_eq!(period_us("12 hours"), period_us("720 minutes"));
        assert_eq!(period_us("1 second"), Ok(SECOND_US));
        for (text, part) in [
            ("30", "not a length"),
            ("1.5 days", "whole number"),
            ("3 months", "not a unit of time that windows have, as its length varies"),
            ("1000 years", "not a unit"),
            ("0 days", "holds nothing"),
            ("-1 days", "holds nothing"),
            ("365000 days", "longer than"),
            ("9223372036854775807 weeks", "longer than"),
        ] {
            assert!(period_us(text).is_err_and(|e| e.contains(part)), "{text}");
        }
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (arguments, message) in [
            (&["2026-01-01"][..], "has two of them"),
            (&["2026-01-01", "30 days"], "do not go together"),
            (&["this month", "2026-01-01"], "do not go together"),
            (&["2026-02-01", "2026-01-01"], "ends before it begins"),
            (&["2026-01-01", "2026-01-01"], "holds nothing"),
            (&["2026-02-30", "2026-03-01"], "'2026-02-30' is not a time"),
            (&["this month in Mars/Phobos"], "no time zone `Mars/Phobos`"),
            (&["last month"], "`last` does not say which month"),
            (&["30 days in Europe/Berlin"], "no calendar period"),
            (&["1000 years"], "not a unit"),
            (&["0 days"], "holds nothing"),
        ] {
            let unfit = Window::parse(arguments).unwrap_err();
            assert!(unfit.message.contains(message), "{arguments:?}: {unfit:?}");
        }
    }
}

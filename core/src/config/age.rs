//! Ages such as `13 months`, for how long events are kept.

const DAY_US: i64 = 86_400_000_000;

/// What may be written.
pub(super) const ALLOWED: &str =
    "write a number and a unit: hours, days, weeks, months or years, such as `13 months`";

/// Microseconds. Months and years are parts of a year of 365.25 days, in whole days: 13 months are 395 days.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: i64 = match number.parse() {
        Ok(number) if number <= 100_000 => number,
        Ok(_) => return Err("more than a hundred thousand".to_owned()),
        Err(_) => return Err("no whole number at the start".to_owned()),
    };
    let us = match unit.trim() {
        "h" | "hour" | "hours" => number * (DAY_US / 24),
        "d" | "day" | "days" => number * DAY_US,
        "w" | "week" | "weeks" => number * 7 * DAY_US,
        "month" | "months" => number * 1461 / 48 * DAY_US,
        "year" | "years" => number * 1461 / 4 * DAY_US,
        "" => return Err("no unit".to_owned()),
        other => return Err(format!("unknown unit `{other}`")),
    };
    if us == 0 { Err("nothing would be kept".to_owned()) } else { Ok(us) }
}

/// An age as it may be written.
pub(crate) fn text(us: i64) -> String {
    if us % DAY_US == 0 { format!("{} days", us / DAY_US) } else { format!("{} hours", us / (DAY_US / 24)) }
}

/// What may be written for a period.
pub(super) const PERIODS: &str = "write a number and a unit: minutes, hours, days or weeks, such as `1 hour`";

/// Microseconds of a period: an age, or minutes.
///
/// # Errors
/// What is wrong with it.
pub(super) fn period(text: &str) -> Result<i64, String> {
    let minutes = ["minutes", "minute", "min"].iter().find_map(|unit| text.trim().strip_suffix(unit));
    match minutes.map(|number| number.trim().parse::<u32>()) {
        None => parse(text),
        Some(Ok(0)) => Err("no time at all".to_owned()),
        Some(Ok(number)) => Ok(i64::from(number) * (DAY_US / 1_440)),
        Some(Err(_)) => Err("no whole number at the start".to_owned()),
    }
}

/// What may be written for a time to wait.
pub(super) const WAITS: &str = "write a number and a unit up to a day: `500 ms`, `60 s`, `5 minutes`";
/// Who waits longer than a day does not wait for an answer.
const LONGEST_MS: i128 = 86_400_000;

/// Milliseconds of a time to wait.
///
/// # Errors
/// What is wrong with it.
pub(super) fn wait_ms(text: &str) -> Result<u64, String> {
    let time: jiff::SignedDuration = text.trim().parse().map_err(|_| "no number with a unit".to_owned())?;
    match time.as_millis() {
        ms if ms <= 0 => Err("no time at all".to_owned()),
        ms if ms > LONGEST_MS => Err("more than a day".to_owned()),
        ms => u64::try_from(ms).map_err(|e| e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        assert_eq!(parse("13 months"), Ok(395 * DAY_US));
        assert_eq!(parse("400days"), Ok(400 * DAY_US));
        assert_eq!(parse("2 years"), Ok(730 * DAY_US));
        assert_eq!(parse("36 h"), Ok(DAY_US * 3 / 2));
        for bad in
            ["", "months", "13", "13 moons", "-1 days", "0 days", "99999999999999999999 days", "200000 years"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("100000 years").is_ok());
    }

    #[test]
    fn ages_are_written_as_they_are_read() {
        for us in [DAY_US / 24, DAY_US, DAY_US * 3 / 2, 395 * DAY_US] {
            assert_eq!(parse(&text(us)), Ok(us));
        }
    }

    #[test]
    fn waits() {
        assert_eq!(wait_ms("60 s"), Ok(60_000));
        assert_eq!(wait_ms("500ms"), Ok(500));
        assert_eq!(wait_ms("5 minutes"), Ok(300_000));
        for bad in ["", "60", "0 s", "-1 s", "25 hours", "soon", "99999999999999999999 s"] {
            assert!(wait_ms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn periods() {
        assert_eq!(period("30 minutes"), Ok(DAY_US / 48));
        assert_eq!(period("1min"), Ok(60_000_000));
        assert_eq!(period("1 hour"), parse("1 hour"));
        for bad in ["0 minutes", "minutes", "-5 minutes", "1.5 minutes", "often", ""] {
            assert!(period(bad).is_err(), "{bad}");
        }
    }
}

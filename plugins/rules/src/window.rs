//! Windows of time: `(as_of − older, as_of − newer]`, both in microseconds of event time.

/// Which events a call looks at. Both bounds are rolling; a day has 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    /// Events at or before `as_of − older_us` are out; none: no event is too old.
    pub(crate) older_us: Option<i64>,
    /// Events after `as_of − newer_us` are not in yet.
    pub(crate) newer_us: i64,
}

const SECOND_US: i64 = 1_000_000;
/// Longer than any retention, short enough that no sum of times overflows.
const LONGEST_US: i64 = 36_500 * 24 * 3_600 * SECOND_US;
const UNITS: [(&str, i64); 5] =
    [("second", 1), ("minute", 60), ("hour", 3_600), ("day", 24 * 3_600), ("week", 7 * 24 * 3_600)];

impl Window {
    /// All events up to `as_of`.
    pub(crate) const ALL: Self = Self { older_us: None, newer_us: 0 };

    /// Events after the first and not after the second moment are in.
    pub(crate) fn bounds(self, as_of: i64) -> (i64, i64) {
        (
            self.older_us.map_or(i64::MIN, |older| as_of.saturating_sub(older)),
            as_of.saturating_sub(self.newer_us),
        )
    }

    /// When an event that is in leaves with no other event.
    pub(crate) fn leaves_us(self, event_us: i64) -> Option<i64> {
        self.older_us.map(|older| event_us.saturating_add(older))
    }

    /// When an event that is too new enters.
    pub(crate) fn enters_us(self, event_us: i64) -> i64 {
        event_us.saturating_add(self.newer_us)
    }
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
    let (_, seconds) = UNITS
        .iter()
        .find(|(name, _)| *name == singular)
        .ok_or_else(|| format!("`{unit}` is not a unit of time that windows have"))?;
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
        assert_eq!(period_us("30 days"), Ok(30 * 86_400 * SECOND_US));
        assert_eq!(period_us(" 1  Week "), Ok(7 * 86_400 * SECOND_US));
        assert_eq!(period_us("12 hours"), period_us("720 minutes"));
        assert_eq!(period_us("1 second"), Ok(SECOND_US));
        for (text, part) in [
            ("30", "not a length"),
            ("1.5 days", "whole number"),
            ("3 months", "not a unit"),
            ("0 days", "holds nothing"),
            ("-1 days", "holds nothing"),
            ("40000 days", "longer than"),
            ("9223372036854775807 weeks", "longer than"),
        ] {
            assert!(period_us(text).is_err_and(|e| e.contains(part)), "{text}");
        }
    }

    #[test]
    fn windows_are_open_at_the_old_end_and_closed_at_the_new() {
        let window = |older, newer| Window { older_us: older, newer_us: newer };
        assert_eq!(window(Some(20), 0).bounds(30), (10, 30));
        assert_eq!(window(Some(20), 10).bounds(30), (10, 20));
        assert_eq!(Window::ALL.bounds(30), (i64::MIN, 30));
        assert_eq!(window(Some(20), 10).leaves_us(11), Some(31));
        assert_eq!(window(Some(20), 10).enters_us(25), 35);
        assert_eq!(Window::ALL.leaves_us(25), None);
    }
}

//! Moments: as literals in rules, and as text in reasons.

use crate::calendar::Zone;
use jiff::{Timestamp, civil};

/// How moments are written.
pub(crate) const HELP: &str =
    "write '2026-01-31', '2026-01-31T12:00:00' (both in UTC) or '2026-01-31T12:00:00+02:00'";

/// Microseconds since 1970 of a date, a date and time in UTC, or a time with its offset.
pub(crate) fn parse_us(text: &str) -> Option<i64> {
    let text = text.trim();
    match text.parse::<Timestamp>() {
        Ok(moment) => Some(moment.as_microsecond()),
        Err(_) => parse_in(text, &Zone::utc()),
    }
}

/// Microseconds since 1970 of a date, or a date and time, in a zone.
pub(crate) fn parse_in(text: &str, zone: &Zone) -> Option<i64> {
    zone.moment_us(text.trim().parse::<civil::DateTime>().ok()?)
}

/// The message for what `parse_us` refuses.
pub(crate) fn not_a_time(text: &str) -> String {
    format!("'{text}' is not a time")
}

/// RFC 3339, or the bare number for times that no calendar has.
pub(crate) fn display(us: i64) -> String {
    Timestamp::from_microsecond(us).map_or_else(|_| format!("{us} µs"), |moment| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_help_shows() {
        let midnight = parse_us("2026-01-31").unwrap();
        assert_eq!(parse_us("2026-01-31T12:00:00"), Some(midnight + 12 * 3_600_000_000));
        assert_eq!(parse_us("2026-01-31T12:00:00+02:00"), Some(midnight + 10 * 3_600_000_000));
        assert_eq!(parse_us("2026-01-31 00:00:00.5"), Some(midnight + 500_000));
        assert_eq!(display(midnight), "2026-01-31T00:00:00Z");
        for bad in ["", "yesterday", "2026-02-30", "31.01.2026"] {
            assert_eq!(parse_us(bad), None, "{bad}");
        }
    }
}

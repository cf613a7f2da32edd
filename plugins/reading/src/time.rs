//! Points in time out of text, numbers, dates and timestamps: microseconds in UTC.

use crate::spec::{TimeSpec, Unit};
use jiff::{
    civil::{DateTime, Time},
    fmt::{strtime, temporal::DateTimeParser},
    tz::TimeZone,
};

static PARSER: DateTimeParser = DateTimeParser::new();

/// How a time is written, ready to use.
#[derive(Clone, Debug)]
pub(crate) struct TimeFormat {
    format: Option<String>,
    zone: TimeZone,
    unit: Option<Unit>,
}

/// Microseconds since 1970 of a text as ISO 8601 or a number since 1970, whose size tells its unit.
pub fn moment(text: &str) -> Option<i64> {
    TimeFormat { format: None, zone: TimeZone::UTC, unit: None }.parse(text)
}

impl TimeFormat {
    /// From the options.
    ///
    /// # Errors
    /// Which option is wrong and why.
    pub(crate) fn new(spec: &TimeSpec) -> Result<Self, (&'static str, String)> {
        let zone = match &spec.timezone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| {
                ("timezone", format!("no time zone `{name}`; allowed: IANA names, as `Europe/Berlin`"))
            })?,
        };
        if let Some(format) = &spec.format {
            strtime::format(format, &jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC))
                .map_err(|error| ("format", format!("`{format}` is no time format: {error}")))?;
        }
        Ok(Self { format: spec.format.clone(), zone, unit: spec.unit })
    }

    /// What a message says is expected.
    pub(crate) fn expected(&self) -> String {
        match &self.format {
            Some(format) => format!("a time as `{format}`"),
            None => "a time as ISO 8601 or a number since 1970".to_owned(),
        }
    }

    /// Microseconds since 1970 of a text.
    pub(crate) fn parse(&self, text: &str) -> Option<i64> {
        let text = text.trim();
        if let Some(format) = &self.format {
            return self.parse_format(format, text);
        }
        if text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-')
            && text.rfind('-').is_none_or(|at| at == 0)
        {
            return self.parse_number(text);
        }
        let pieces = PARSER.parse_pieces(text).ok()?;
        let local = DateTime::from_parts(pieces.date(), pieces.time().unwrap_or(Time::midnight()));
        match pieces.to_numeric_offset() {
            Some(offset) => offset.to_timestamp(local).ok().map(|time| time.as_microsecond()),
            None => self.local(local),
        }
    }

    /// Microseconds since 1970 of a number since 1970.
    pub(crate) fn number(&self, number: i64) -> Option<i64> {
        match self.unit.unwrap_or_else(|| by_size(number)) {
            Unit::Seconds => number.checked_mul(1_000_000),
            Unit::Milliseconds => number.checked_mul(1000),
            Unit::Microseconds => Some(number),
            Unit::Nanoseconds => Some(number.div_euclid(1000)),
        }
    }

    /// The same of a number with a fraction.
    pub(crate) fn fraction(&self, number: f64) -> Option<i64> {
        let scale = match self.unit.unwrap_or_else(|| by_size(number as i64)) {
            Unit::Seconds => 1e6,
            Unit::Milliseconds => 1e3,
            Unit::Microseconds => 1.0,
            Unit::Nanoseconds => 1e-3,
        };
        let micros = (number * scale).round();
        (micros.abs() < 9.2e18).then_some(micros as i64)
    }

    /// True when a time without a zone is one in UTC.
    pub(crate) fn is_utc(&self) -> bool {
        self.zone == TimeZone::UTC
    }

    /// A wall clock, given as the microseconds that it would be in UTC, in the zone of the options.
    pub(crate) fn wall_clock(&self, micros: i64) -> Option<i64> {
        let clock = jiff::Timestamp::from_microsecond(micros).ok()?;
        self.local(TimeZone::UTC.to_datetime(clock))
    }

    /// Where a clock is set back, the first of the two; where it is set forward, behind the gap.
    fn local(&self, time: DateTime) -> Option<i64> {
        self.zone.to_timestamp(time).ok().map(|time| time.as_microsecond())
    }

    fn parse_format(&self, format: &str, text: &str) -> Option<i64> {
        let parsed = strtime::parse(format, text).ok()?;
        if let Ok(time) = parsed.to_timestamp() {
            return Some(time.as_microsecond());
        }
        let date = || parsed.to_date().map(|date| date.to_datetime(Time::midnight()));
        self.local(parsed.to_datetime().or_else(|_| date()).ok()?)
    }

    /// Eight digits are a date, as `20170131`; everything else counts from 1970.
    fn parse_number(&self, text: &str) -> Option<i64> {
        if text.len() == 8
            && self.unit.is_none()
            && let Ok(date) = strtime::parse("%Y%m%d", text).and_then(|parsed| parsed.to_date())
        {
            return self.local(date.to_datetime(Time::midnight()));
        }
        match text.parse::<i64>() {
            Ok(number) => self.number(number),
            Err(_) => text.parse::<f64>().ok().and_then(|number| self.fraction(number)),
        }
    }
}

/// Seconds until the year 5138, milliseconds from 1973 on, and so forth.
fn by_size(number: i64) -> Unit {
    match number.unsigned_abs() {
        0..100_000_000_000 => Unit::Seconds,
        100_000_000_000..100_000_000_000_000 => Unit::Milliseconds,
        100_000_000_000_000..100_000_000_000_000_000 => Unit::Microseconds,
        _ => Unit::Nanoseconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
    }

    fn format(format: Option<&str>, zone: Option<&str>) -> TimeFormat {
        let spec = TimeSpec {
            format: format.map(Into::into),
            timezone: zone.map(Into::into),
            ..TimeSpec::default()
        };
        TimeFormat::new(&spec).unwrap()
    }

    #[test]
    fn one_moment_in_many_notations() {
        let moment = at("2017-07-14T02:40:00Z");
        let default = format(None, None);
        for text in [
            "2017-07-14T02:40:00Z",
            "2017-07-14 02:40:00",
            "2017-07-14T04:40:00+02:00",
            "2017-07-14T02:40",
            "1500000000",
            "1500000000.0",
            "1500000000000",
            "1500000000000000",
            "1500000000000000000",
        ] {
            assert_eq!(default.parse(text), Some(moment), "{text}");
        }
    }

    #[test]
    fn dates_are_midnight_in_the_zone() {
        assert_eq!(format(None, None).parse("2017-01-01"), Some(at("2017-01-01T00:00:00Z")));
        assert_eq!(format(None, None).parse("20170101"), Some(at("2017-01-01T00:00:00Z")));
        let berlin = format(Some("%d.%m.%Y"), Some("Europe/Berlin"));
        assert_eq!(berlin.parse("01.07.2017"), Some(at("2017-06-30T22:00:00Z")));
        assert_eq!(berlin.wall_clock(at("2017-07-01T00:00:00Z")), Some(at("2017-06-30T22:00:00Z")));
    }

    #[test]
    fn what_is_no_time_is_none() {
        let default = format(None, None);
        for text in
            ["", "yesterday", "2017-02-30", "2017-01-01T25:00", "-", ".", "1e9", "99999999999999999999999"]
        {
            assert_eq!(default.parse(text), None, "{text}");
        }
        assert_eq!(format(Some("%d.%m.%Y"), None).parse("2017-01-01"), None);
    }

    #[test]
    fn wrong_options_are_named() {
        let zone = TimeSpec { timezone: Some("Europe/Bonn".into()), ..TimeSpec::default() };
        assert_eq!(TimeFormat::new(&zone).unwrap_err().0, "timezone");
        let pattern = TimeSpec { format: Some("%".into()), ..TimeSpec::default() };
        assert_eq!(TimeFormat::new(&pattern).unwrap_err().0, "format");
    }
}

//! Days, weeks, months, quarters and years as the clocks of a time zone have them.

use crate::call::near;
use jiff::{
    Span, Timestamp,
    civil::{Date, DateTime},
    tz::{TimeZone, TimeZoneDatabase},
};
use std::{
    hash::{Hash, Hasher},
    sync::LazyLock,
};

/// The zones that come with the plugin, so that an answer does not depend on the machine.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Microseconds of a day in UTC.
pub(crate) const DAY_US: i64 = 24 * 3_600 * 1_000_000;

/// A time zone of the IANA database.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    name: String,
    clock: TimeZone,
    is_utc: bool,
}

/// A period of the calendar; weeks start on Monday, as in ISO 8601.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Unit {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Zone {
    pub(crate) fn utc() -> Self {
        Self { name: "UTC".to_owned(), clock: TimeZone::UTC, is_utc: true }
    }

    /// The zone of a name such as `Europe/Berlin`, whatever its case.
    ///
    /// # Errors
    /// A message and a help line for a name that no zone has.
    pub(crate) fn named(name: &str) -> Result<Self, (String, String)> {
        let known = || ZONES.available().map(|zone| zone.as_str().to_owned()).collect::<Vec<_>>();
        match ZONES.get(name.trim()) {
            Ok(clock) => {
                let name = clock.iana_name().unwrap_or("UTC").to_owned();
                let is_utc = clock == TimeZone::UTC;
                Ok(Self { name, clock, is_utc })
            }
            Err(_) => {
                let help = match near(name.trim(), known().iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "write a name of the IANA database, such as Europe/Berlin or UTC".to_owned(),
                };
                Err((format!("there is no time zone `{}`", name.trim()), help))
            }
        }
    }

    /// Whether days are those of UTC, all of one length.
    pub(crate) fn is_utc(&self) -> bool {
        self.is_utc
    }

    /// Microseconds since 1970 of what the clocks there show; of two such moments the earlier one, in a gap the moment
    /// after it.
    pub(crate) fn moment_us(&self, shown: DateTime) -> Option<i64> {
        Some(shown.to_zoned(self.clock.clone()).ok()?.timestamp().as_microsecond())
    }

    /// The number of the calendar day, and from when until when it lasts, the end excluded.
    pub(crate) fn day(&self, us: i64) -> Option<(i64, i64, i64)> {
        if self.is_utc {
            let number = us.div_euclid(DAY_US);
            let start = number.saturating_mul(DAY_US);
            return Some((number, start, start.saturating_add(DAY_US)));
        }
        let date = self.date(us)?;
        let number = date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24;
        Some((number, self.start_us(date)?, self.start_us(date.tomorrow().ok()?)?))
    }

    fn date(&self, us: i64) -> Option<Date> {
        Some(Timestamp::from_microsecond(us).ok()?.to_zoned(self.clock.clone()).date())
    }

    fn start_us(&self, date: Date) -> Option<i64> {
        self.moment_us(date.to_datetime(jiff::civil::Time::midnight()))
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Unit {
    pub(crate) const ALL: [(&'static str, Unit); 5] = [
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
        ("quarter", Self::Quarter),
        ("year", Self::Year),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, unit)| *unit)
    }

    /// The start, in microseconds since 1970, of the period that comes `later` periods after the one with the moment;
    /// none where the calendar ends.
    pub(crate) fn start_us(self, zone: &Zone, us: i64, later: i64) -> Option<i64> {
        let first = self.first(zone.date(us)?)?;
        zone.start_us(first.checked_add(self.length(later)?).ok()?)
    }

    /// No period is longer, in days, however clocks are moved.
    pub(crate) fn longest_days(self) -> i64 {
        match self {
            Self::Day => 3,
            Self::Week => 9,
            Self::Month => 33,
            Self::Quarter => 94,
            Self::Year => 368,
        }
    }

    fn first(self, date: Date) -> Option<Date> {
        match self {
            Self::Day => Some(date),
            Self::Week => {
                let back = i64::from(date.weekday().to_monday_zero_offset());
                date.checked_sub(Span::new().try_days(back).ok()?).ok()
            }
            Self::Month => Some(date.first_of_month()),
            Self::Quarter => Date::new(date.year(), (date.month() - 1) / 3 * 3 + 1, 1).ok(),
            Self::Year => Some(date.first_of_year()),
        }
    }

    fn length(self, count: i64) -> Option<Span> {
        let span = Span::new();
        match self {
            Self::Day => span.try_days(count),
            Self::Week => span.try_weeks(count),
            Self::Month => span.try_months(count),
            Self::Quarter => span.try_months(count * 3),
            Self::Year => span.try_years(count),
        }
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_us;

    fn start(unit: Unit, zone: &str, at: &str, later: i64) -> String {
        let zone = Zone::named(zone).unwrap();
        crate::time::display(unit.start_us(&zone, parse_us(at).unwrap(), later).unwrap())
    }

    #[test]
    fn periods_start_where_calendars_say() {
        for (unit, later, expected) in [
            (Unit::Day, 0, "2026-02-18T00:00:00Z"),
            (Unit::Week, 0, "2026-02-16T00:00:00Z"),
            (Unit::Month, -1, "2026-01-01T00:00:00Z"),
            (Unit::Quarter, -1, "2025-10-01T00:00:00Z"),
            (Unit::Quarter, 1, "2026-04-01T00:00:00Z"),
            (Unit::Year, 1, "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(start(unit, "UTC", "2026-02-18T13:00:00Z", later), expected, "{unit:?}");
        }
        assert_eq!(start(Unit::Week, "UTC", "2026-01-01", 0), "2025-12-29T00:00:00Z");
    }

    #[test]
    fn clocks_that_move_move_the_edges() {
        // Berlin goes to summer time on 2026-03-29 and back on 2026-10-25.
        assert_eq!(start(Unit::Day, "Europe/Berlin", "2026-03-29T12:00:00Z", 0), "2026-03-28T23:00:00Z");
        assert_eq!(start(Unit::Day, "Europe/Berlin", "2026-03-29T12:00:00Z", 1), "2026-03-29T22:00:00Z");
        assert_eq!(start(Unit::Month, "Europe/Berlin", "2026-10-31T12:00:00Z", 0), "2026-09-30T22:00:00Z");
        assert_eq!(start(Unit::Month, "Europe/Berlin", "2026-10-31T12:00:00Z", 1), "2026-10-31T23:00:00Z");
        // There was no midnight on 2018-11-04 in São Paulo, and no 2011-12-30 in Apia.
        assert_eq!(start(Unit::Day, "America/Sao_Paulo", "2018-11-04T12:00:00Z", 0), "2018-11-04T03:00:00Z");
        assert_eq!(start(Unit::Day, "Pacific/Apia", "2011-12-29T12:00:00Z", 1), "2011-12-30T10:00:00Z");
        // Midnight came twice on 2024-11-03 in Havana; the day starts with the first.
        assert_eq!(start(Unit::Day, "America/Havana", "2024-11-03T12:00:00Z", 0), "2024-11-03T04:00:00Z");
    }

    #[test]
    fn unknown_zones_come_with_near_ones() {
        let (message, help) = Zone::named("Europe/Berln").unwrap_err();
        assert_eq!(
            (message.as_str(), help.as_str()),
            ("there is no time zone `Europe/Berln`", "did you mean `Europe/Berlin`?")
        );
        assert_eq!(Zone::named("europe/berlin").unwrap(), Zone::named("Europe/Berlin").unwrap());
        assert!(Zone::named("").is_err());
    }

    #[test]
    fn the_calendar_has_ends() {
        let last = parse_us("9999-12-30T12:00:00Z").unwrap();
        assert_eq!(Unit::Year.start_us(&Zone::utc(), last, 1), None);
        assert_eq!(Unit::Day.start_us(&Zone::utc(), i64::MAX, 0), None);
    }
}

//! Windows of time: which events a call looks at, as bounds on event time, and when events come and go.

use crate::calendar::{DAY_US, Unit, Zone};

mod text;

pub(crate) use text::{Unfit, period_us};

/// Which events a call looks at. Whatever the window, events after `as_of` are not in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Window {
    /// `(as_of − older, as_of − newer]`; no event is too old where `older_us` is none. A day has 24 hours.
    Rolling { older_us: Option<i64>, newer_us: i64 },
    /// `[from, to)`, microseconds since 1970.
    Absolute { from_us: i64, to_us: i64 },
    /// The period with `as_of`, or the one that is `back` periods before it.
    Calendar { unit: Unit, back: i64, zone: Zone },
}

/// When events enter and leave a window, seen from one moment.
#[derive(Debug)]
pub(crate) struct Shift<'a> {
    window: &'a Window,
    /// When the period with the moment ends.
    turn_us: Option<i64>,
}

impl Window {
    /// All events up to `as_of`.
    pub(crate) const ALL: Self = Self::Rolling { older_us: None, newer_us: 0 };

    /// Events after the first and at or before the second are inside, seen from `as_of_us`. Nothing that lies after the
    /// second is too old to come in later.
    pub(crate) fn bounds(&self, as_of_us: i64) -> (i64, i64) {
        match self {
            Self::Rolling { older_us, newer_us } => {
                let after = older_us.map_or(i64::MIN, |older| as_of_us.saturating_sub(older));
                (after, as_of_us.saturating_sub(*newer_us))
            }
            Self::Absolute { from_us, to_us } => {
                let after = from_us.saturating_sub(1);
                (after, (to_us - 1).min(as_of_us).max(after))
            }
            Self::Calendar { unit, back, zone } => {
                let start = unit.start_us(zone, as_of_us, -back).unwrap_or(i64::MIN);
                let end = unit.start_us(zone, as_of_us, 1 - back).unwrap_or(i64::MAX);
                let after = start.saturating_sub(1);
                (after, end.saturating_sub(1).min(as_of_us).max(after))
            }
        }
    }

    /// When events come and go after `as_of_us`.
    pub(crate) fn next_shift(&self, as_of_us: i64) -> Shift<'_> {
        let turn_us = match self {
            Self::Calendar { unit, zone, .. } => unit.start_us(zone, as_of_us, 1),
            Self::Rolling { .. } | Self::Absolute { .. } => None,
        };
        Shift { window: self, turn_us }
    }

    /// How far before `as_of` its events can lie; none for any distance.
    pub(crate) fn look_back_us(&self) -> Option<i64> {
        match self {
            Self::Rolling { older_us, .. } => *older_us,
            Self::Absolute { .. } => None,
            Self::Calendar { unit, back, .. } => Some((back + 1) * unit.longest_days() * DAY_US),
        }
    }

    /// The zone of its periods.
    pub(crate) fn zone(&self) -> Option<&Zone> {
        match self {
            Self::Calendar { zone, .. } => Some(zone),
            Self::Rolling { .. } | Self::Absolute { .. } => None,
        }
    }
}

impl Shift<'_> {
    /// False when what is inside stays for ever.
    pub(crate) fn any_leave(&self) -> bool {
        match self.window {
            Window::Rolling { older_us, .. } => older_us.is_some(),
            Window::Absolute { .. } => false,
            Window::Calendar { .. } => true,
        }
    }

    /// When an event that lies after the window enters it; none for never.
    pub(crate) fn enters_us(&self, time_us: i64) -> Option<i64> {
        match self.window {
            Window::Rolling { newer_us, .. } => Some(time_us.saturating_add(*newer_us)),
            Window::Absolute { to_us, .. } => (time_us < *to_us).then_some(time_us),
            Window::Calendar { back: 0, .. } => Some(time_us),
            Window::Calendar { unit, back, zone } => match self.turn_us {
                Some(turn) if *back == 1 && time_us < turn => Some(turn),
                _ => unit.start_us(zone, time_us, *back),
            },
        }
    }

    /// When an event inside the window leaves it; none for never.
    pub(crate) fn leaves_us(&self, time_us: i64) -> Option<i64> {
        match self.window {
            Window::Rolling { older_us, .. } => Some(time_us.saturating_add((*older_us)?)),
            Window::Absolute { .. } => None,
            Window::Calendar { .. } => self.turn_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time;
    use proptest::prelude::*;

    const SECOND_US: i64 = 1_000_000;

    #[test]
    fn windows_are_open_at_the_old_end_and_closed_at_the_new() {
        let bounds = |older, newer, as_of| Window::Rolling { older_us: older, newer_us: newer }.bounds(as_of);
        assert_eq!(bounds(Some(20), 10, 30), (10, 20));
        assert_eq!(bounds(None, 0, -1), (i64::MIN, -1));
        assert_eq!(bounds(Some(20), 10, i64::MIN), (i64::MIN, i64::MIN));
    }

    #[test]
    fn absolute_windows_have_their_first_moment_and_not_their_last() {
        let window = Window::parse(&["2026-01-01", "2026-02-01 in Europe/Berlin"]).unwrap();
        let at = |text: &str| time::parse_us(text).unwrap();
        assert_eq!(window.bounds(at("2027-01-01")), (at("2026-01-01") - 1, at("2026-01-31T23:00:00Z") - 1));
        assert_eq!(window.bounds(at("2026-01-05")).1, at("2026-01-05"));
        assert_eq!(window.bounds(at("2020-01-05")), (at("2026-01-01") - 1, at("2026-01-01") - 1));
        assert_eq!(window.next_shift(0).enters_us(at("2026-01-31T23:00:00Z")), None);
    }

    fn window() -> impl Strategy<Value = Window> {
        let zone = prop::sample::select(vec![
            "UTC",
            "Europe/Berlin",
            "America/New_York",
            "America/Sao_Paulo",
            "Australia/Lord_Howe",
            "Africa/Cairo",
        ]);
        let unit = prop::sample::select(Unit::ALL.map(|(_, unit)| unit).to_vec());
        prop_oneof![
            (1..90_i64, 0..40_i64).prop_map(|(length, newer)| Window::Rolling {
                older_us: Some((newer + length) * DAY_US),
                newer_us: newer * DAY_US,
            }),
            (17_000..19_000_i64, 1..400_i64).prop_map(|(from, days)| Window::Absolute {
                from_us: from * DAY_US,
                to_us: (from + days) * DAY_US,
            }),
            (unit, 0..2_i64, zone).prop_map(|(unit, back, zone)| Window::Calendar {
                unit,
                back,
                zone: Zone::named(zone).unwrap(),
            }),
        ]
    }

    proptest! {
        /// An event is inside exactly from when it enters until it leaves.
        #[test]
        fn events_enter_and_leave_when_it_is_said(
            window in window(), time in 17_000 * 24..19_000 * 24_i64, before in 0..800 * 24_i64,
        ) {
            let (time, hour) = (time * 3_600 * SECOND_US, 3_600 * SECOND_US);
            let inside = |as_of: i64| {
                let (after, until) = window.bounds(as_of);
                (time > after && time <= until, time > until)
            };
            let mut as_of = time - before * hour;
            for _ in 0..4 {
                let shift = window.next_shift(as_of);
                let next = match inside(as_of) {
                    (true, _) => shift.leaves_us(time),
                    (false, true) => shift.enters_us(time),
                    (false, false) => None,
                };
                let probes = [1, hour, DAY_US, 20 * DAY_US, 150 * DAY_US, 900 * DAY_US].map(|later| as_of + later);
                for probe in probes.into_iter().filter(|probe| next.is_none_or(|next| *probe < next)) {
                    prop_assert_eq!(inside(probe).0, inside(as_of).0, "{} then {}", as_of, probe);
                }
                let Some(next) = next else { break };
                prop_assert!(next > as_of);
                prop_assert_eq!(inside(next - 1).0, inside(as_of).0);
                prop_assert_ne!(inside(next).0, inside(as_of).0);
                as_of = next;
            }
        }

        /// No event inside is further away than is said.
        #[test]
        fn look_back_is_enough(window in window(), as_of in 17_000 * 24..19_000 * 24_i64) {
            let as_of = as_of * 3_600 * SECOND_US;
            if let Some(back) = window.look_back_us() {
                prop_assert!(window.bounds(as_of).0 >= as_of - back);
            }
        }
    }
}

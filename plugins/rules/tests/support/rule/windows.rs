//! Windows, told from labels of periods and not from their bounds.

use super::{
    super::data::{AS_OF, DAY, HOUR},
    Writer,
};
use jiff::{Timestamp, Zoned, tz::TimeZone};
use std::rc::Rc;

pub(super) const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "Pacific/Auckland", "America/St_Johns"];
pub(crate) const LENGTHS: [(&str, i64); 6] = [
    ("6 hours", 6 * HOUR),
    ("720 minutes", 12 * HOUR),
    ("1 day", DAY),
    ("3 days", 3 * DAY),
    ("1 week", 7 * DAY),
    ("10 days", 10 * DAY),
];

/// A window, with the text that it is written as.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) text: String,
    pub(super) zone: Option<&'static str>,
    inside: Rc<dyn Fn(i64, i64) -> bool>,
}

impl Frame {
    fn new(text: String, inside: impl Fn(i64, i64) -> bool + 'static) -> Self {
        Self { text, zone: None, inside: Rc::new(inside) }
    }

    pub(super) fn all() -> Self {
        Self::new(String::new(), |_, _| true)
    }

    pub(super) fn holds(&self, time: i64, as_of: i64) -> bool {
        time <= as_of && (self.inside)(time, as_of)
    }
}

impl Writer<'_> {
    pub(super) fn window(&mut self) -> Frame {
        match self.random.below(6) {
            0 => Frame::all(),
            1 => {
                let (text, length) = self.random.pick(&LENGTHS);
                Frame::new(format!(", '{text}'"), move |time, as_of| time > as_of - length)
            }
            2 | 3 => {
                let newer = self.random.below(LENGTHS.len() - 1);
                let older = newer + 1 + self.random.below(LENGTHS.len() - newer - 1);
                let ((older, from), (newer, to)) = (LENGTHS[older], LENGTHS[newer]);
                Frame::new(format!(", '{older}', '{newer}'"), move |time, as_of| {
                    time > as_of - from && time <= as_of - to
                })
            }
            4 => self.dates(),
            _ => self.period(),
        }
    }

    fn dates(&mut self) -> Frame {
        let from = AS_OF - (self.random.below(20) as i64 - 5) * DAY;
        let to = from + (1 + self.random.below(12)) as i64 * 6 * HOUR;
        let shown = |us: i64| Timestamp::from_microsecond(us).unwrap();
        let text = format!(", '{}', '{}'", &shown(from).to_string()[..10], shown(to));
        Frame::new(text, move |time, _| time >= from && time < to)
    }

    fn period(&mut self) -> Frame {
        let unit = self.random.pick(&["day", "week", "month", "quarter", "year"]);
        let (which, back) = self.random.pick(&[("this", 0), ("previous", 1)]);
        let named = self.random.chance(60).then(|| self.random.pick(&ZONES));
        let zone = named.unwrap_or("UTC");
        let last = named.map_or(String::new(), |zone| format!(" in {zone}"));
        let inside = move |time, as_of| label(unit, time, zone) == label(unit, as_of, zone) - back;
        Frame { zone: Some(zone), ..Frame::new(format!(", '{which} {unit}{last}'"), inside) }
    }
}

/// The number of the day that the calendar shows.
pub(super) fn day(us: i64, zone: &str) -> i64 {
    let shown = shown(us, zone);
    let midnight = format!("{}T00:00:00Z", shown.date());
    midnight.parse::<Timestamp>().unwrap().as_second() / 86_400
}

fn shown(us: i64, zone: &str) -> Zoned {
    Timestamp::from_microsecond(us).unwrap().to_zoned(TimeZone::get(zone).unwrap())
}

/// Consecutive numbers for consecutive periods.
fn label(unit: &str, us: i64, zone: &str) -> i64 {
    let date = shown(us, zone).date();
    let month = i64::from(date.year()) * 12 + i64::from(date.month()) - 1;
    match unit {
        "day" => day(us, zone),
        // 1970-01-01 was a Thursday.
        "week" => (day(us, zone) + 3).div_euclid(7),
        "month" => month,
        "quarter" => month / 3,
        _ => month / 12,
    }
}

//! Hours, days, ISO weeks, months and years of a time zone.
//!
//! Promises: every instant lies in exactly one period of each unit; an hour that a clock shows twice is two hours; a day of 23
//! or 25 hours, or one that a zone left out, disturbs nothing.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use seawall_repo::time::Time;

use super::policy::Policy;

/// A unit of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

/// The periods of one instant. Of one unit they are numbers that rise by one with each period of the calendar, but for hours,
/// which are the seconds of their beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Periods {
    hour: i64,
    day: i64,
    week: i64,
    month: i64,
    year: i64,
}

impl Periods {
    pub(super) fn of(&self, unit: Unit) -> i64 {
        match unit {
            Unit::Hour => self.hour,
            Unit::Day => self.day,
            Unit::Week => self.week,
            Unit::Month => self.month,
            Unit::Year => self.year,
        }
    }

    /// The first of `count` periods of which this instant's is the last.
    pub(super) fn back(&self, unit: Unit, count: u32) -> i64 {
        let step = if unit == Unit::Hour { 3_600 } else { 1 };
        self.of(unit) - (i64::from(count) - 1) * step
    }
}

/// The calendar of a time zone.
#[derive(Debug, Clone)]
pub(super) struct Calendar(TimeZone);

impl Calendar {
    /// The calendar of a policy; UTC's where nobody knows the zone, for who only wants to name days.
    pub(super) fn of(policy: &Policy) -> Self {
        Self(policy.time_zone().unwrap_or(TimeZone::UTC))
    }

    pub(super) fn zoned(&self, time: Time) -> Zoned {
        let instant = Timestamp::from_microsecond(time.micros()).unwrap_or(Timestamp::MAX);
        instant.to_zoned(self.0.clone())
    }

    pub(super) fn periods(&self, time: Time) -> Periods {
        let zoned = self.zoned(time);
        let date = zoned.date();
        let into_hour = i64::from(zoned.minute()) * 60 + i64::from(zoned.second());
        let day = days_since_1970(date);
        Periods {
            hour: zoned.timestamp().as_second() - into_hour,
            day,
            // 1970-01-01 was a Thursday, so three days into its week.
            week: (day + 3).div_euclid(7),
            month: i64::from(date.year()) * 12 + i64::from(date.month()) - 1,
            year: i64::from(date.year()),
        }
    }

    /// The period's name for people.
    pub(super) fn name(&self, unit: Unit, time: Time) -> String {
        let zoned = self.zoned(time);
        let date = zoned.date();
        match unit {
            Unit::Hour => format!("{date} {:02}:00 {}", zoned.hour(), zoned.offset()),
            Unit::Day => date.to_string(),
            Unit::Week => {
                let week = date.iso_week_date();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
            Unit::Month => format!("{:04}-{:02}", date.year(), date.month()),
            Unit::Year => format!("{:04}", date.year()),
        }
    }

    /// The same time of day as `like`, so many days after the day of `from`.
    pub(super) fn days_later(&self, from: Time, days: i64, like: Time) -> Option<Time> {
        let date = self.zoned(from).date().checked_add(jiff::Span::new().try_days(days).ok()?).ok()?;
        let zoned = date.to_datetime(self.zoned(like).time()).to_zoned(self.0.clone()).ok()?;
        Time::from_micros(zoned.timestamp().as_microsecond())
    }
}

/// The civil date alone, as if every day had 24 hours.
fn days_since_1970(date: Date) -> i64 {
    date.duration_since(Date::constant(1970, 1, 1)).as_hours().div_euclid(24)
}

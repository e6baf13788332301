//! A policy: how many of what are kept, for how long, in which time zone.
//!
//! Promises: without any rule nothing is ever let go; of several policies the most generous one keeps whatever each of them
//! keeps. It is stored in the repository, so fields may be added but never change their meaning.
//! Deliberately knows no defaults of the settings: an empty policy keeps everything.

use std::fmt;

use jiff::tz::TimeZone;
use seawall_repo::time::Time;
use serde::{Deserialize, Serialize};

const DAY: u64 = 86_400;

/// How much before `max_age` something leaves: for the time that deleting takes (the grace, a region that is away).
pub const MARGIN: Span = Span::days(1);
/// A base of the window may be older than the window: by the day it is the first of, and by a run of WAL.
const BASE_LEAD: Span = Span::days(2);

/// A span of time in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(u64);

impl Span {
    /// So many seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// So many hours.
    #[must_use]
    pub const fn hours(hours: u32) -> Self {
        Self(hours as u64 * 3_600)
    }

    /// So many days of 24 hours.
    #[must_use]
    pub const fn days(days: u32) -> Self {
        Self(days as u64 * DAY)
    }

    /// Its seconds.
    #[must_use]
    pub const fn as_seconds(self) -> u64 {
        self.0
    }

    /// Both together, at most the longest span there is.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left without the other, at least nothing.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The moment this long before another; the beginning of 1970 where that would be earlier.
    #[must_use]
    pub fn before(self, time: Time) -> Time {
        moment(time.micros().saturating_sub(self.micros()))
    }

    /// The moment this long after another; the last one there is where that would be later.
    #[must_use]
    pub fn after(self, time: Time) -> Time {
        moment(time.micros().saturating_add(self.micros()))
    }

    /// From an earlier moment to a later one; nothing if it is not later.
    #[must_use]
    pub fn between(earlier: Time, later: Time) -> Self {
        Self(later.seconds().saturating_sub(earlier.seconds()))
    }

    fn micros(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX).saturating_mul(1_000_000)
    }
}

fn moment(micros: i64) -> Time {
    const LAST: i64 = 253_402_300_799_999_999;
    let inside = micros.clamp(0, LAST);
    Time::from_micros(inside).unwrap_or_else(|| unreachable!("a clamped moment is one"))
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(DAY, "d"), (3_600, "h"), (60, "min")];
        match units.into_iter().find(|(length, _)| self.0 >= *length && self.0.is_multiple_of(*length)) {
            Some((length, unit)) => write!(f, "{} {unit}", self.0 / length),
            None => write!(f, "{} s", self.0),
        }
    }
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Backups of so many newest hours that have any.
    pub last: u32,
    /// The first good one of so many newest hours that have one.
    pub hourly: u32,
    /// The same of days.
    pub daily: u32,
    /// The same of ISO weeks.
    pub weekly: u32,
    /// The same of months.
    pub monthly: u32,
    /// The same of years.
    pub yearly: u32,
    /// Every good one that is younger.
    pub within: Option<Span>,
    /// Every instant of this span stays reachable.
    pub pitr: Option<Span>,
    /// Nothing stored may be older, whatever another rule says.
    pub max_age: Option<Span>,
    /// So many good ones stay whatever the other rules say.
    pub min_backups: u32,
    /// The calendar's time zone: an IANA name, or `UTC`.
    pub zone: String,
}

/// Why a policy cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum PolicyError {
    #[error("no time zone is called {zone:?}")]
    Zone { zone: String },
    #[error(
        "max_age = {max_age} is too short: what is due leaves {MARGIN} before, so it must be at least {least}"
    )]
    MaxAgeShort { max_age: Span, least: Span },
    #[error("{rule} = {span} cannot be kept with max_age = {max_age}, which must be at least {least} for it")]
    Crossed { rule: &'static str, span: Span, max_age: Span, least: Span },
}

impl PolicyError {
    /// The field that is to be changed first.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Zone { .. } => "zone",
            Self::MaxAgeShort { .. } | Self::Crossed { .. } => "max_age",
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            last: 0,
            hourly: 0,
            daily: 0,
            weekly: 0,
            monthly: 0,
            yearly: 0,
            within: None,
            pitr: None,
            max_age: None,
            min_backups: 0,
            zone: "UTC".to_owned(),
        }
    }
}

impl Policy {
    /// Whether any rule says which backups are wanted. `min_backups` and `max_age` alone say it of none: without a rule all are.
    #[must_use]
    pub fn has_rules(&self) -> bool {
        let counts = [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly];
        counts.into_iter().any(|count| count > 0) || self.within.is_some() || self.pitr.is_some()
    }

    /// What keeps at least as much as each of these: field by field the larger; no rules where one has none, because that one
    /// keeps everything; the longest `max_age`, none being longest; the time zone of the last. For none: keeps everything.
    #[must_use]
    pub fn most_generous(policies: &[Self]) -> Self {
        let zone = policies.last().map_or_else(|| "UTC".to_owned(), |last| last.zone.clone());
        let max_age = policies.iter().map(|policy| policy.max_age).collect::<Option<Vec<_>>>();
        let max_age = max_age.and_then(|ages| ages.into_iter().max());
        let count = |field: fn(&Self) -> u32| policies.iter().map(field).max().unwrap_or_default();
        let min_backups = count(|policy| policy.min_backups);
        if policies.iter().any(|policy| !policy.has_rules()) {
            return Self { max_age, min_backups, zone, ..Self::default() };
        }
        Self {
            last: count(|policy| policy.last),
            hourly: count(|policy| policy.hourly),
            daily: count(|policy| policy.daily),
            weekly: count(|policy| policy.weekly),
            monthly: count(|policy| policy.monthly),
            yearly: count(|policy| policy.yearly),
            within: policies.iter().filter_map(|policy| policy.within).max(),
            pitr: policies.iter().filter_map(|policy| policy.pitr).max(),
            max_age,
            min_backups,
            zone,
        }
    }

    /// Whether it can be applied. One that cannot be keeps everything.
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.time_zone().is_none() {
            return Err(PolicyError::Zone { zone: self.zone.clone() });
        }
        let Some(max_age) = self.max_age else { return Ok(()) };
        let least = MARGIN.plus(MARGIN);
        if max_age < least {
            return Err(PolicyError::MaxAgeShort { max_age, least });
        }
        let spans = [("pitr", self.pitr, BASE_LEAD.plus(MARGIN)), ("within", self.within, MARGIN)];
        for (rule, span, lead) in spans {
            if let Some(span) = span
                && max_age < span.plus(lead)
            {
                return Err(PolicyError::Crossed { rule, span, max_age, least: span.plus(lead) });
            }
        }
        Ok(())
    }

    pub(super) fn time_zone(&self) -> Option<TimeZone> {
        if self.zone == "UTC" { Some(TimeZone::UTC) } else { TimeZone::get(&self.zone).ok() }
    }
}

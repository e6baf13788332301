//! Where recovery shall stop: the target a person names, checked and in PostgreSQL's terms.
//!
//! Promises: what is accepted here is accepted by the server (`src/backend/access/transam/xlogrecovery.c`), and a time is
//! one instant, never a reading of a clock in an unnamed zone. Deliberately does not know what can be reached: that is
//! [`super::plan`]'s question.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use seawall_pg::{Lsn, Timeline};
use seawall_repo::time::Time;

/// The longest name of a restore point, in bytes (`MAXFNAMELEN` less its end).
pub const RESTORE_POINT_BYTES_MAX: usize = 63;

/// The point itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Point {
    /// The last record that the archive proves.
    Latest,
    /// The end of the backup: the first moment at which the cluster is consistent.
    Immediate,
    /// A moment, compared with the times of commits and aborts.
    Time(Time),
    /// A position in WAL.
    Lsn(Lsn),
    /// The end of a transaction, by its 32-bit number.
    Xid(u32),
    /// A restore point made with `pg_create_restore_point`.
    Name(String),
}

/// Which branch of the cluster's history to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimelineChoice {
    /// The one branch that holds the target; several are a question to the person, except for the newest point of all, which
    /// is on the newest branch.
    #[default]
    TheOneThatFits,
    /// The newest timeline, as PostgreSQL's `latest`.
    Latest,
    /// The timeline of the backup, as PostgreSQL's `current`.
    Current,
    /// This one.
    Number(Timeline),
}

/// A target, checked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RecoveryTarget {
    point: Point,
    before: bool,
    timeline: TimelineChoice,
}

/// Why a target is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum TargetError {
    #[error("`before` has a meaning for a time, a position or a transaction, not for {point}")]
    BeforeNothing { point: String },
    #[error("a restore point's name has 1 to 63 bytes and no zero byte; this one has {bytes}")]
    Name { bytes: usize },
    #[error("position 0/0 is before all WAL")]
    ZeroLsn,
    #[error("transaction {xid} is one that PostgreSQL keeps for itself; real ones begin at 3")]
    Xid { xid: u32 },
    #[error("{text:?} does not say in which time zone it is")]
    NoZone {
        text: String,
        /// The same text read as UTC.
        as_utc: Time,
        /// The same text read in this machine's zone, where that is one moment.
        as_local: Option<Time>,
    },
    #[error("{text:?} is not a time; wanted such as 2031-05-04 09:30:00+02")]
    Time { text: String },
}

impl RecoveryTarget {
    /// A target that the server would take.
    pub fn new(point: Point, before: bool, timeline: TimelineChoice) -> Result<Self, TargetError> {
        match &point {
            Point::Latest | Point::Immediate | Point::Name(_) if before => {
                return Err(TargetError::BeforeNothing { point: point.to_string() });
            }
            Point::Name(name)
                if !(1..=RESTORE_POINT_BYTES_MAX).contains(&name.len()) || name.contains('\0') =>
            {
                return Err(TargetError::Name { bytes: name.len() });
            }
            Point::Lsn(lsn) if !lsn.is_valid() => return Err(TargetError::ZeroLsn),
            Point::Xid(xid @ 0..=2) => return Err(TargetError::Xid { xid: *xid }),
            _ => {}
        }
        Ok(Self { point, before, timeline })
    }

    /// The newest point that the archive proves, on the newest branch.
    #[must_use]
    pub fn latest() -> Self {
        Self { point: Point::Latest, before: false, timeline: TimelineChoice::TheOneThatFits }
    }

    /// The point.
    #[must_use]
    pub fn point(&self) -> &Point {
        &self.point
    }

    /// Whether recovery stops right before the point instead of right after it.
    #[must_use]
    pub fn is_before(&self) -> bool {
        self.before
    }

    /// Which branch was asked for.
    #[must_use]
    pub fn timeline(&self) -> TimelineChoice {
        self.timeline
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("the latest point"),
            Self::Immediate => f.write_str("the end of the backup"),
            Self::Time(time) => write!(f, "{time}"),
            Self::Lsn(lsn) => write!(f, "position {lsn}"),
            Self::Xid(xid) => write!(f, "transaction {xid}"),
            Self::Name(name) => write!(f, "restore point {name:?}"),
        }
    }
}

impl fmt::Display for RecoveryTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = if self.before { "right before " } else { "" };
        write!(f, "{before}{}", self.point)
    }
}

/// Reads a moment: RFC 3339, or as PostgreSQL prints one (`2031-05-04 09:30:00.5+02`, also with `UTC` or `Z` behind).
///
/// # Errors
/// A time without a zone is refused with both readings; `local` is the zone of the machine.
pub fn parse_time(text: &str, local: &TimeZone) -> Result<Time, TargetError> {
    let trimmed = text.trim();
    let refused = || TargetError::Time { text: text.chars().take(60).collect() };
    let named_utc = [" UTC", " GMT", " Z"].iter().find_map(|zone| trimmed.strip_suffix(zone));
    if let Some(civil) = named_utc {
        return civil_time(civil).and_then(|civil| moment(civil, &TimeZone::UTC)).ok_or_else(refused);
    }
    if let Ok(instant) = trimmed.parse::<Timestamp>() {
        return Time::from_micros(instant.as_microsecond()).ok_or_else(refused);
    }
    let civil = civil_time(trimmed).ok_or_else(refused)?;
    Err(TargetError::NoZone {
        text: trimmed.to_owned(),
        as_utc: moment(civil, &TimeZone::UTC).ok_or_else(refused)?,
        as_local: moment(civil, local),
    })
}

fn civil_time(text: &str) -> Option<DateTime> {
    text.trim_end().parse().ok()
}

/// The one moment at which clocks of the zone show this; none where they skip it or show it twice.
fn moment(civil: DateTime, zone: &TimeZone) -> Option<Time> {
    let instant = zone.to_ambiguous_timestamp(civil).unambiguous().ok()?;
    Time::from_micros(instant.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Result<Time, TargetError> {
        parse_time(text, &TimeZone::fixed(jiff::tz::offset(2)))
    }

    #[test]
    fn a_moment_is_read_in_every_form_that_names_a_zone() {
        let expected: Time = "2031-05-04T07:30:00.500000Z".parse().unwrap();
        for text in [
            "2031-05-04T07:30:00.5Z",
            "2031-05-04T09:30:00.5+02:00",
            "2031-05-04 09:30:00.5+02",
            "2031-05-04 09:30:00.5+0200",
            "2031-05-04 07:30:00.5 UTC",
            " 2031-05-04 07:30:00.500000+00 ",
        ] {
            assert_eq!(time(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_refused_with_both_readings() {
        let refused = time("2031-05-04 09:30:00").unwrap_err();
        let TargetError::NoZone { as_utc, as_local, .. } = refused else { panic!("{refused}") };
        assert_eq!(as_utc.to_string(), "2031-05-04T09:30:00.000000Z");
        assert_eq!(as_local.unwrap().to_string(), "2031-05-04T07:30:00.000000Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "09:30",
            "2031-13-04 09:30:00+02",
            "2031-05-04 09:30:00+99",
            "1731-05-04 09:30Z",
        ] {
            assert!(matches!(time(text), Err(TargetError::Time { .. })), "{text}: {:?}", time(text));
        }
    }

    #[test]
    fn targets_that_the_server_would_not_take_are_refused() {
        let new = |point, before| RecoveryTarget::new(point, before, TimelineChoice::default());
        assert!(matches!(new(Point::Latest, true), Err(TargetError::BeforeNothing { .. })));
        assert!(matches!(new(Point::Immediate, true), Err(TargetError::BeforeNothing { .. })));
        assert!(matches!(new(Point::Name("x".into()), true), Err(TargetError::BeforeNothing { .. })));
        assert_eq!(new(Point::Name("x".repeat(64)), false), Err(TargetError::Name { bytes: 64 }));
        assert_eq!(new(Point::Name(String::new()), false), Err(TargetError::Name { bytes: 0 }));
        assert_eq!(new(Point::Lsn(Lsn(0)), false), Err(TargetError::ZeroLsn));
        assert_eq!(new(Point::Xid(2), false), Err(TargetError::Xid { xid: 2 }));
        assert_eq!(new(Point::Xid(700), true).unwrap().to_string(), "right before transaction 700");
    }
}

//! Points in time as people type them: RFC 3339, and what PostgreSQL commonly prints and accepts.
//!
//! Promises: a time without a zone is never guessed. It is an error that carries both readings (this machine's zone and
//! UTC), so that the caller can offer both. An hour that a zone has twice or not at all is an error too.
//! Deliberately refuses zone abbreviations that mean different places, and dates without a time.

use jiff::civil::{Date, DateTime, Time as CivilTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use seawall_engine::words::Time;

/// Why a text is no point in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MomentError {
    /// The text does not have the form of a time.
    Form,
    /// A date alone.
    NoTime,
    /// No zone: what it would be here, and in UTC, both as text that is accepted.
    NoZone {
        /// The reading in this machine's zone; `None` where that zone skips or repeats the hour.
        here: Option<String>,
        /// The reading in UTC.
        utc: String,
    },
    /// Nobody knows this zone.
    UnknownZone(String),
    /// The zone has this hour twice: both, as text that is accepted.
    Twice(String, String),
    /// The zone skips this hour.
    Skipped,
    /// Before 1970 or after 9999.
    Range,
}

/// Reads a time such as `2026-11-22T10:00:00Z`, `2026-11-22 10:00:00.123+01`, `2026-11-22 10:00 Europe/Berlin`.
/// `here` is this machine's zone, for the offer when there is none in the text.
pub fn parse(text: &str, here: &TimeZone) -> Result<Time, MomentError> {
    let (date, rest) = split_date(text.trim()).ok_or(MomentError::Form)?;
    if rest.is_empty() {
        return Err(MomentError::NoTime);
    }
    let rest = rest.strip_prefix(['T', 't', ' ']).ok_or(MomentError::Form)?.trim_start();
    let (time, zone) = split_time(rest).ok_or(MomentError::Form)?;
    let moment = date.to_datetime(time);
    match zone.trim() {
        "" => Err(no_zone(moment, here)),
        zone => in_zone(moment, &zone_of(zone)?),
    }
}

/// A point in time in RFC 3339 with this zone's offset: `2026-11-22T10:00:00+01:00`.
#[must_use]
pub fn shown_in(time: Time, zone: &TimeZone) -> Option<String> {
    let moment = Timestamp::from_microsecond(time.micros()).ok()?.to_zoned(zone.clone());
    Some(with_offset(&moment))
}

fn with_offset(moment: &Zoned) -> String {
    moment.timestamp().display_with_offset(moment.offset()).to_string()
}

fn split_date(text: &str) -> Option<(Date, &str)> {
    let (date, rest) = text.split_at_checked(10)?;
    let mut parts = date.split('-');
    let (year, month, day) =
        (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() {
        return None;
    }
    Some((Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?, rest))
}

/// `10:00`, `10:00:00`, `10:00:00.123456`, and what stands behind.
fn split_time(text: &str) -> Option<(CivilTime, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.'))).unwrap_or(text.len());
    let (time, zone) = text.split_at_checked(end)?;
    let mut parts = time.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let (second, nanos) = match parts.next() {
        None => (0, 0),
        Some(seconds) => {
            let (whole, fraction) = seconds.split_once('.').map_or((seconds, None), |(w, f)| (w, Some(f)));
            (digits(whole, 2)?, fraction.map_or(Some(0), nanoseconds)?)
        }
    };
    if parts.next().is_some() {
        return None;
    }
    let small = |number: i16| i8::try_from(number).ok();
    Some((CivilTime::new(small(hour)?, small(minute)?, small(second)?, nanos).ok()?, zone))
}

fn digits(text: &str, wanted: usize) -> Option<i16> {
    (text.len() == wanted && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// PostgreSQL keeps microseconds; finer digits could not be met.
fn nanoseconds(fraction: &str) -> Option<i32> {
    let plain = (1..=6).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| format!("{fraction:0<9}").parse().ok()).flatten()
}

fn zone_of(text: &str) -> Result<TimeZone, MomentError> {
    let unknown = || MomentError::UnknownZone(text.to_owned());
    if matches!(text, "Z" | "z") {
        return Ok(TimeZone::UTC);
    }
    if text.starts_with(['+', '-']) {
        return offset(text).map(TimeZone::fixed).ok_or_else(unknown);
    }
    let name = text.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(text);
    TimeZone::get(name).map_err(|_| unknown())
}

/// `+01`, `+0130`, `+01:30`, `-05:00`; as in ISO 8601 east is positive.
fn offset(text: &str) -> Option<Offset> {
    let (sign, rest) = text.split_at_checked(1)?;
    let (hours, minutes) = match rest.len() {
        2 => (digits(rest, 2)?, 0),
        4 => (digits(rest.get(..2)?, 2)?, digits(rest.get(2..)?, 2)?),
        5 if rest.get(2..3) == Some(":") => (digits(rest.get(..2)?, 2)?, digits(rest.get(3..)?, 2)?),
        _ => return None,
    };
    if hours > 15 || minutes > 59 {
        return None;
    }
    let seconds = i32::from(hours) * 3600 + i32::from(minutes) * 60;
    Offset::from_seconds(if sign == "-" { -seconds } else { seconds }).ok()
}

fn in_zone(moment: DateTime, zone: &TimeZone) -> Result<Time, MomentError> {
    use jiff::tz::AmbiguousOffset::{Fold, Gap, Unambiguous};
    let ambiguous = zone.to_ambiguous_timestamp(moment);
    let at = |offset: Offset| offset.to_timestamp(moment).map_err(|_| MomentError::Range);
    match ambiguous.offset() {
        Unambiguous { offset } => Time::from_micros(at(offset)?.as_microsecond()).ok_or(MomentError::Range),
        Gap { .. } => Err(MomentError::Skipped),
        Fold { before, after } => {
            let shown = |offset| at(offset).map(|time| time.display_with_offset(offset).to_string());
            Err(MomentError::Twice(shown(before)?, shown(after)?))
        }
    }
}

fn no_zone(moment: DateTime, here: &TimeZone) -> MomentError {
    let here = here.to_ambiguous_zoned(moment).unambiguous().ok().map(|zoned| with_offset(&zoned));
    MomentError::NoZone { here, utc: format!("{moment}Z") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn read(text: &str) -> Result<String, MomentError> {
        parse(text, &berlin()).map(|time| time.to_string())
    }

    #[test]
    fn what_rfc_3339_and_postgresql_write_is_read() {
        for text in [
            "2026-11-22T09:00:00Z",
            "2026-11-22 09:00:00Z",
            "2026-11-22 09:00:00 Z",
            "2026-11-22 10:00:00+01",
            "2026-11-22 10:00:00 +0100",
            "2026-11-22t10:00:00.000000+01:00",
            "2026-11-22 04:00-05",
            "2026-11-22 10:00:00 Europe/Berlin",
            "2026-11-22T10:00:00[Europe/Berlin]",
            "2026-11-22 09:00 UTC",
        ] {
            assert_eq!(read(text), Ok("2026-11-22T09:00:00.000000Z".to_owned()), "{text}");
        }
        assert_eq!(read("2026-11-22 10:00:00.123456+01"), Ok("2026-11-22T09:00:00.123456Z".to_owned()));
    }

    #[test]
    fn a_time_without_a_zone_offers_both_readings() {
        let wanted = MomentError::NoZone {
            here: Some("2026-11-22T10:00:00+01:00".into()),
            utc: "2026-11-22T10:00:00Z".into(),
        };
        assert_eq!(read("2026-11-22 10:00"), Err(wanted));
        // Both offers are accepted as they stand.
        assert_eq!(read("2026-11-22T10:00:00+01:00").unwrap(), "2026-11-22T09:00:00.000000Z");
    }

    #[test]
    fn an_hour_that_happens_twice_or_never_is_not_guessed() {
        let twice =
            MomentError::Twice("2026-10-25T02:30:00+02:00".into(), "2026-10-25T02:30:00+01:00".into());
        assert_eq!(read("2026-10-25 02:30 Europe/Berlin"), Err(twice));
        assert_eq!(read("2026-03-29 02:30 Europe/Berlin"), Err(MomentError::Skipped));
        assert!(matches!(read("2026-03-29 02:30"), Err(MomentError::NoZone { here: None, .. })));
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "now",
            "10:00",
            "22.11.2026 10:00Z",
            "2026-02-30 10:00Z",
            "2026-11-22 25:00Z",
            "2026-11-22 1:00Z",
            "2026-11-22 10:00:00.1234567Z",
            "2026-11-22x10:00Z",
            "2026-11-22 10:00:00:00Z",
        ] {
            assert_eq!(read(text), Err(MomentError::Form), "{text}");
        }
        assert_eq!(read("2026-11-22"), Err(MomentError::NoTime));
        assert_eq!(read("1969-11-22 10:00Z"), Err(MomentError::Range));
        for zone in ["+25", "+1", "UTC+2", "Mars/Olympus", "+01:99"] {
            let text = format!("2026-11-22 10:00 {zone}");
            assert_eq!(read(&text), Err(MomentError::UnknownZone(zone.to_owned())), "{zone}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(micros in 0..253_402_207_200_000_000i64) {
            let time = Time::from_micros(micros).unwrap();
            let shown = shown_in(time, &berlin()).unwrap();
            prop_assert_eq!(parse(&shown, &TimeZone::UTC), Ok(time));
            prop_assert_eq!(parse(&time.to_string(), &TimeZone::UTC), Ok(time));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-0-9:.TZ+ a-z]{0,40}") {
            let _read = parse(&text, &TimeZone::UTC);
        }
    }
}

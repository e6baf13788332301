//! A moment as the format writes it: RFC 3339 in UTC with microseconds, and the compact form in backup ids.
//!
//! Promises one text for each moment from 1970 to the end of 9999, and refuses every other form. Never reads a clock;
//! calendars, zones and arithmetic for people belong to the callers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MICROS: u64 = 1_000_000;
const DAY_SECONDS: u64 = 86_400;
/// First second after 9999-12-31T23:59:59Z.
const SECONDS_END: u64 = 253_402_300_800;

/// A text that is not a time in the format's form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time as this format writes it: {text:?}, wanted such as 2031-05-04T09:30:00.000000Z")]
pub struct TimeError {
    text: String,
}

/// Microseconds since 1970-01-01T00:00:00Z, below the year 10000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The beginning of 1970.
    pub const EPOCH: Self = Self(0);

    /// A moment from microseconds since 1970; none outside the years 1970 to 9999.
    pub fn from_micros(micros: i64) -> Option<Self> {
        u64::try_from(micros).ok().filter(|micros| micros / MICROS < SECONDS_END).map(Self)
    }

    /// Microseconds since 1970.
    pub fn micros(self) -> i64 {
        // Below the year 10000 the number has 58 bits.
        self.0 as i64
    }

    /// Whole seconds since 1970.
    pub fn seconds(self) -> u64 {
        self.0 / MICROS
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = Civil::of(self.seconds());
        let Civil { year, month, day, hour, minute, second } = civil;
        let micros = self.0 % MICROS;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

impl FromStr for Time {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let refused = || TimeError { text: text.chars().take(40).collect() };
        let digits = digits_of(text, "####-##-##T##:##:##.######Z").ok_or_else(refused)?;
        let (civil, micros) = Civil::from_digits(&digits).ok_or_else(refused)?;
        let seconds = civil.seconds().ok_or_else(refused)?;
        Ok(Self(seconds * MICROS + micros))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// `YYYYMMDDTHHMMSSZ` of seconds since 1970; none from the year 10000 on.
pub(crate) fn compact(seconds: u64) -> Option<String> {
    if seconds >= SECONDS_END {
        return None;
    }
    let Civil { year, month, day, hour, minute, second } = Civil::of(seconds);
    Some(format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"))
}

/// Seconds since 1970 of `YYYYMMDDTHHMMSSZ`.
pub(crate) fn from_compact(text: &str) -> Option<u64> {
    let digits = digits_of(text, "########T######Z")?;
    Civil::from_digits(&digits)?.0.seconds()
}

/// The digits standing where `pattern` has `#`, if all else is as in the pattern.
fn digits_of(text: &str, pattern: &str) -> Option<Vec<u8>> {
    if text.len() != pattern.len() {
        return None;
    }
    let mut digits = Vec::with_capacity(20);
    for (found, wanted) in text.bytes().zip(pattern.bytes()) {
        match wanted {
            b'#' if found.is_ascii_digit() => digits.push(found - b'0'),
            other if other == found && other != b'#' => {}
            _ => return None,
        }
    }
    Some(digits)
}

/// A date and time of the proleptic Gregorian calendar in UTC.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Civil {
    /// The civil time of seconds since 1970. Years are counted from March, so that the leap day is a year's last.
    fn of(seconds: u64) -> Self {
        let (days, rest) = (seconds / DAY_SECONDS + 719_468, seconds % DAY_SECONDS);
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * march_month + 2) / 5 + 1,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }

    /// Seconds since 1970, if every field is in its range and the day exists.
    fn seconds(self) -> Option<u64> {
        let in_range = (1970..=9999).contains(&self.year) && (1..=12).contains(&self.month) && self.day >= 1;
        if !in_range || self.hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let year = self.year - u64::from(self.month <= 2);
        let march_month = (self.month + 9) % 12;
        let (era, year_of_era) = (year / 400, year % 400);
        let day_of_year = (153 * march_month + 2) / 5 + self.day - 1;
        let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let seconds = (days - 719_468) * DAY_SECONDS + self.hour * 3600 + self.minute * 60 + self.second;
        // A day its month does not have comes back as another date.
        (Self::of(seconds) == self).then_some(seconds)
    }

    /// From 14 digits (to the second), then any number of digits of a fraction, which is returned as a number.
    fn from_digits(digits: &[u8]) -> Option<(Self, u64)> {
        let number = |from: usize, to: usize| {
            digits.get(from..to).map(|part| part.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(*digit)))
        };
        let civil = Self {
            year: number(0, 4)?,
            month: number(4, 6)?,
            day: number(6, 8)?,
            hour: number(8, 10)?,
            minute: number(10, 12)?,
            second: number(12, 14)?,
        };
        Some((civil, number(14, digits.len())?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_moments_have_known_texts() {
        let text = |micros| Time::from_micros(micros).unwrap().to_string();
        assert_eq!(text(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(951_827_696_000_001), "2000-02-29T12:34:56.000001Z");
        assert_eq!(text(1_709_164_800_000_000), "2024-02-29T00:00:00.000000Z");
        assert_eq!(text(253_402_300_799_999_999), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Time::from_micros(-1), None);
        assert_eq!(Time::from_micros(253_402_300_800_000_000), None);
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "2024-02-30T00:00:00.000000Z",
            "2023-02-29T00:00:00.000000Z",
            "2024-00-10T00:00:00.000000Z",
            "2024-01-00T00:00:00.000000Z",
            "2024-01-01T24:00:00.000000Z",
            "2024-01-01T00:00:60.000000Z",
            "2024-01-01T00:00:00Z",
            "2024-01-01T00:00:00.000000+00:00",
            "2024-01-01 00:00:00.000000Z",
            "1969-12-31T23:59:59.000000Z",
            "٢٠24-01-01T00:00:00.0000Z",
        ] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn times_round_trip(micros in 0..253_402_300_800_000_000i64) {
            let time = Time::from_micros(micros).unwrap();
            prop_assert_eq!(time.to_string().parse::<Time>(), Ok(time));
            let compacted = compact(time.seconds()).unwrap();
            prop_assert_eq!(from_compact(&compacted), Some(time.seconds()));
        }
    }
}

//! Instants as PostgreSQL records them: whole microseconds, UTC.
//!
//! Promise: what prints parses back to the same. Only the forms of `pg_waldump` and of a UTC session are read.

use std::fmt;
use std::str::FromStr;

use crate::Failure;

/// Microseconds since 1970-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

const DAY: i64 = 86_400_000_000;

impl Moment {
    /// The system's clock now.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Moment {
    /// As `2031-05-04 02:00:00.000001+00`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(DAY));
        let micros = self.0.rem_euclid(DAY);
        let seconds = micros / 1_000_000;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:06}+00",
            micros % 1_000_000
        )
    }
}

impl FromStr for Moment {
    type Err = Failure;

    /// Reads `2031-05-04 02:00:00.5 UTC` and the same ending in `+00`.
    fn from_str(text: &str) -> Result<Self, Failure> {
        parse(text).ok_or_else(|| Failure::new(format!("`{text}` is no instant in UTC")))
    }
}

fn parse(text: &str) -> Option<Moment> {
    let bare = text.trim().strip_suffix("UTC").or_else(|| text.trim().strip_suffix("+00"))?.trim();
    let (date, time) = bare.split_once(' ')?;
    let mut parts = date.splitn(3, '-').map(str::parse::<i64>);
    let days = days_from_civil(parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = clock.splitn(3, ':').map(str::parse::<i64>);
    let seconds = parts.next()?.ok()? * 3600 + parts.next()?.ok()? * 60 + parts.next()?.ok()?;
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    Some(Moment(days * DAY + seconds * 1_000_000 + micros))
}

// Howard Hinnant's calendar arithmetic: years begin in March, eras have 400 years.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_print_and_parse() -> Result<(), Failure> {
        let known =
            [(0, "1970-01-01 00:00:00.000000+00"), (951_782_400_000_001, "2000-02-29 00:00:00.000001+00")];
        for (micros, text) in known {
            assert_eq!(Moment(micros).to_string(), text);
            assert_eq!(text.parse::<Moment>()?, Moment(micros));
        }
        assert_eq!("1970-01-01 00:00:01.5 UTC".parse::<Moment>()?, Moment(1_500_000));
        assert!("1970-01-01 00:00:01 CET".parse::<Moment>().is_err());
        Ok(())
    }

    #[test]
    fn every_day_of_two_eras_survives_the_way_there_and_back() {
        for day in -150_000..150_000 {
            let (year, month, of_month) = civil_from_days(day);
            assert_eq!(days_from_civil(year, month, of_month), day);
        }
    }
}

//! Values of PostgreSQL settings: sizes and times with units, quoting, and what must be at least as large.
//!
//! Promises: units as `src/backend/utils/misc/guc.c` reads them (case matters: `kB`, `MB`, but `ms`, `min`); quoting
//! such that the server reads back exactly what was given, or an error where no quoting can do that.
//! Deliberately knows no list of settings; lines of configuration files stand in [`conf_line`].

use std::time::Duration;

use crate::control::ControlMinimums;

pub mod conf_line;

pub use conf_line::{ConfLine, ConfLineError, IncludeKind, parse_conf_line};

/// Why a value cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum SettingError {
    #[error(
        "{text:?} is not a size; PostgreSQL writes a whole number and one of B, kB, MB, GB, TB, such as 16MB"
    )]
    Size { text: String },
    #[error(
        "{text:?} is not a time; PostgreSQL writes a whole number and one of us, ms, s, min, h, d, such as 5min"
    )]
    Time { text: String },
    #[error("the value has a line break or a zero byte, which a PostgreSQL configuration file cannot hold")]
    Unwritable,
}

const SIZE_UNITS: [(&str, u64); 5] =
    [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("B", 1)];

/// In microseconds.
const TIME_UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("min", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Reads a size as `SHOW` prints it, in bytes. A unit is wanted, as a bare number means another unit per setting;
/// only zero goes without.
pub fn parse_size(text: &str) -> Result<u64, SettingError> {
    parse_units(text, &SIZE_UNITS).ok_or_else(|| SettingError::Size { text: text.to_owned() })
}

/// Writes a size as `SHOW` does: in the largest unit that needs no fraction.
pub fn print_size(bytes: u64) -> String {
    print_units(bytes, &SIZE_UNITS)
}

/// Reads a time as `SHOW` prints it. Only zero goes without a unit; `-1`, which switches many things off, is none.
pub fn parse_time(text: &str) -> Result<Duration, SettingError> {
    let micros = parse_units(text, &TIME_UNITS).ok_or_else(|| SettingError::Time { text: text.to_owned() });
    micros.map(Duration::from_micros)
}

/// Writes a time as `SHOW` does: in the largest unit that needs no fraction. Below a microsecond is cut off.
pub fn print_time(time: Duration) -> String {
    print_units(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), &TIME_UNITS)
}

fn parse_units(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn print_units(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |factor: &u64| value != 0 && value.checked_rem(*factor) == Some(0);
    match units.iter().find(|(_, factor)| fits(factor)) {
        Some((name, factor)) => format!("{}{name}", value.checked_div(*factor).unwrap_or(value)),
        None => value.to_string(),
    }
}

/// A value between quotes for `postgresql.conf` and `postgresql.auto.conf`.
///
/// Line breaks are refused: the server could read an escape for one, but the next ALTER SYSTEM would write it back
/// as a bare line break and leave a file that no server starts from.
pub fn quote_conf(value: &str) -> Result<String, SettingError> {
    if value.contains(['\n', '\r', '\0']) {
        return Err(SettingError::Unwritable);
    }
    Ok(format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''")))
}

/// A value for a connection string (`key=value`), quoted where libpq needs it.
pub fn quote_conninfo(value: &str) -> Result<String, SettingError> {
    if value.contains('\0') {
        return Err(SettingError::Unwritable);
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        return Ok(value.to_owned());
    }
    Ok(format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'")))
}

impl ControlMinimums {
    /// Each setting that a server recovering from this backup must have at least as large, and how large.
    /// With less, a hot standby refuses to start.
    pub fn settings(&self) -> [(&'static str, i32); 5] {
        [
            ("max_connections", self.max_connections),
            ("max_worker_processes", self.max_worker_processes),
            ("max_wal_senders", self.max_wal_senders),
            ("max_prepared_transactions", self.max_prepared_transactions),
            ("max_locks_per_transaction", self.max_locks_per_transaction),
        ]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_and_printed_as_show_does() {
        for (text, bytes) in [("16MB", 16 << 20), ("1GB", 1 << 30), ("8kB", 8192), ("0", 0), ("512B", 512)] {
            assert_eq!(parse_size(text), Ok(bytes));
            assert_eq!(print_size(bytes), text);
        }
        assert_eq!(parse_size("64 MB"), Ok(64 << 20));
        assert_eq!(print_size(1536 << 20), "1536MB");
        for bad in ["", "16", "16mb", "16KB", "-1", "1.5GB", "MB", "16MBx", "99999999999TB"] {
            assert_eq!(parse_size(bad), Err(SettingError::Size { text: bad.to_owned() }));
        }
    }

    #[test]
    fn times_are_read_and_printed_as_show_does() {
        for (text, millis) in
            [("1min", 60_000), ("5s", 5_000), ("250ms", 250), ("1h", 3_600_000), ("1d", 86_400_000)]
        {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(millis)));
            assert_eq!(print_time(Duration::from_millis(millis)), text);
        }
        for bad in ["-1", "5", "5m", "5S", "", "s"] {
            assert_eq!(parse_time(bad), Err(SettingError::Time { text: bad.to_owned() }));
        }
    }

    #[test]
    fn values_are_quoted_for_configuration_files() {
        assert_eq!(quote_conf("it's C:\\x").unwrap(), "'it''s C:\\\\x'");
        assert_eq!(quote_conf("").unwrap(), "''");
        for bad in ["a\nb", "a\rb", "a\0b"] {
            assert_eq!(quote_conf(bad), Err(SettingError::Unwritable));
        }
    }

    #[test]
    fn values_are_quoted_for_connection_strings() {
        assert_eq!(quote_conninfo("/var/run/postgresql").unwrap(), "/var/run/postgresql");
        assert_eq!(quote_conninfo("a b").unwrap(), "'a b'");
        assert_eq!(quote_conninfo("it's\\x").unwrap(), "'it\\'s\\\\x'");
        assert_eq!(quote_conninfo("").unwrap(), "''");
        assert_eq!(quote_conninfo("a=b").unwrap(), "'a=b'");
        assert!(quote_conninfo("a\0").is_err());
    }

    proptest! {
        #[test]
        fn sizes_and_times_round_trip(value: u64) {
            prop_assert_eq!(parse_size(&print_size(value)), Ok(value));
            let time = Duration::from_micros(value);
            prop_assert_eq!(parse_time(&print_time(time)), Ok(time));
        }

        #[test]
        fn quoted_values_are_read_back(value in "[^\\n\\r\\x00]{0,30}") {
            let line = format!("name = {}  # why", quote_conf(&value).unwrap());
            let expected = ConfLine::Setting { name: "name".to_owned(), value };
            prop_assert_eq!(parse_conf_line(&line), Ok(expected));
        }
    }
}

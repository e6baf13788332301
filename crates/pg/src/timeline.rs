//! Timelines: their numbers, and (in [`history`]) the ancestry that history files tell.
//!
//! Promises: a [`Timeline`] is never zero. Printed in decimal for people and, through `{:08X}`, as eight
//! hexadecimal digits in file names.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer, Serialize, de};

pub mod history;

pub use history::{History, HistoryConflict, HistoryError, HistoryFile, OutsideHistory, Span, Switch};

/// A timeline identifier. PostgreSQL counts from 1; 0 means "none" and is not a value of this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Timeline(NonZeroU32);

impl Timeline {
    /// The timeline that `initdb` starts.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The timeline with this number, or `None` for zero.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// Its number.
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// The timeline of eight upper-case hexadecimal digits, as in file names.
    pub(crate) fn from_name(digits: &str) -> Option<Self> {
        parse_hex8(digits).and_then(Self::new)
    }
}

/// Exactly eight upper-case hexadecimal digits, the only spelling that PostgreSQL writes in names.
pub(crate) fn parse_hex8(digits: &str) -> Option<u32> {
    let is_name = digits.len() == 8 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    is_name.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::UpperHex for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::UpperHex::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Timeline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        Self::new(number).ok_or_else(|| de::Error::custom("a timeline cannot be 0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_decimal_for_people_and_hex_in_names() {
        let timeline = Timeline::new(26).unwrap();
        assert_eq!(format!("{timeline} {timeline:08X}"), "26 0000001A");
        assert_eq!(Timeline::from_name("0000001A"), Some(timeline));
        assert_eq!(Timeline::from_name("0000001a"), None);
        assert_eq!(Timeline::from_name("00000000"), None);
    }

    #[test]
    fn zero_is_no_timeline() {
        assert_eq!(Timeline::new(0), None);
        assert!(serde_json::from_str::<Timeline>("0").is_err());
        assert_eq!(serde_json::from_str::<Timeline>("1").unwrap(), Timeline::FIRST);
        assert_eq!(serde_json::to_string(&Timeline::FIRST).unwrap(), "1");
    }
}

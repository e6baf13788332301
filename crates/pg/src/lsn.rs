//! Positions in WAL.
//!
//! Promises: one type for "byte address in the WAL stream", read and printed as PostgreSQL does, with
//! arithmetic that says when it would leave the 64 bits. Deliberately knows nothing of timelines.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A log sequence number: a byte address in the WAL stream (`src/include/access/xlogdefs.h`).
///
/// Printed and stored as text, `%X/%X`, which every version reads. Zero means "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// Why a text is not an LSN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an LSN; expected two hexadecimal numbers of up to 8 digits, such as 2A/5F000028")]
pub struct LsnError {
    /// What was given.
    pub text: String,
}

impl Lsn {
    /// Zero, which PostgreSQL uses for "no position" (`InvalidXLogRecPtr`).
    pub const INVALID: Self = Self(0);
    /// The last address there is.
    pub const MAX: Self = Self(u64::MAX);

    /// Whether this is a position at all, that is, not zero.
    pub fn is_valid(self) -> bool {
        self.0 != 0
    }

    /// The position `bytes` further on, or `None` past the last address.
    pub fn checked_add(self, bytes: u64) -> Option<Self> {
        self.0.checked_add(bytes).map(Self)
    }

    /// The position `bytes` earlier, or `None` before the first address.
    pub fn checked_sub(self, bytes: u64) -> Option<Self> {
        self.0.checked_sub(bytes).map(Self)
    }

    /// How many bytes lie between an earlier position and this one; `None` when `earlier` is later.
    pub fn bytes_since(self, earlier: Self) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }

    /// The upper and the lower half, as they are written around the slash.
    #[expect(clippy::cast_possible_truncation, reason = "cutting into halves is the point")]
    pub fn halves(self) -> (u32, u32) {
        ((self.0 >> 32) as u32, self.0 as u32)
    }

    /// Puts two halves together.
    pub fn from_halves(high: u32, low: u32) -> Self {
        Self(u64::from(high) << 32 | u64::from(low))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (high, low) = self.halves();
        write!(f, "{high:X}/{low:X}")
    }
}

impl FromStr for Lsn {
    type Err = LsnError;

    fn from_str(text: &str) -> Result<Self, LsnError> {
        let parsed = text
            .split_once('/')
            .and_then(|(high, low)| Some(Self::from_halves(hex_half(high)?, hex_half(low)?)));
        parsed.ok_or_else(|| LsnError { text: text.to_owned() })
    }
}

/// One to eight hexadecimal digits. `from_str_radix` alone would also take a sign.
fn hex_half(text: &str) -> Option<u32> {
    let is_hex = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_of_every_version_is_read() {
        assert_eq!("0/7000028".parse(), Ok(Lsn(0x0700_0028)));
        assert_eq!("0/07000028".parse(), Ok(Lsn(0x0700_0028)));
        assert_eq!("2a/5f000028".parse(), Ok(Lsn(0x2A_5F00_0028)));
        assert_eq!("FFFFFFFF/FFFFFFFF".parse(), Ok(Lsn::MAX));
    }

    #[test]
    fn other_text_is_refused() {
        for bad in ["", "/", "0", "0/", "/0", "+1/0", "0/-1", "0/123456789", "1/2/3", " 0/1", "0/1 ", "g/0"] {
            assert_eq!(bad.parse::<Lsn>(), Err(LsnError { text: bad.to_owned() }));
        }
    }

    #[test]
    fn arithmetic_says_when_it_leaves_the_range() {
        assert_eq!(Lsn(1).checked_sub(2), None);
        assert_eq!(Lsn::MAX.checked_add(1), None);
        assert_eq!(Lsn(5).bytes_since(Lsn(3)), Some(2));
        assert_eq!(Lsn(3).bytes_since(Lsn(5)), None);
    }

    proptest! {
        #[test]
        fn text_round_trips(value: u64) {
            prop_assert_eq!(Lsn(value).to_string().parse(), Ok(Lsn(value)));
            let json = serde_json::to_string(&Lsn(value)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Lsn>(&json).unwrap(), Lsn(value));
        }

        #[test]
        fn any_text_is_taken_without_a_panic(text: String) {
            drop(text.parse::<Lsn>());
        }
    }
}

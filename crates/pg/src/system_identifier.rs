//! The number that tells one cluster from every other.
//!
//! Promises: printed as PostgreSQL prints it (decimal), stored as text because JSON readers lose digits of
//! numbers beyond 2^53. Deliberately not an identity of a *server*: copies of a cluster share it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The system identifier that `initdb` gave a cluster (`system_identifier` in `pg_control`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemIdentifier(pub u64);

/// Why a text is not a system identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a system identifier; expected a decimal number such as 7575757575757575757")]
pub struct SystemIdentifierError {
    /// What was given.
    pub text: String,
}

impl fmt::Display for SystemIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SystemIdentifier {
    type Err = SystemIdentifierError;

    /// One spelling only, because it is a folder's name in the repository.
    fn from_str(text: &str) -> Result<Self, SystemIdentifierError> {
        let parsed = text.parse().ok().map(Self).filter(|id| id.to_string() == text);
        parsed.ok_or_else(|| SystemIdentifierError { text: text.to_owned() })
    }
}

impl Serialize for SystemIdentifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SystemIdentifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_one_spelling() {
        assert_eq!("7575757575757575757".parse(), Ok(SystemIdentifier(7_575_757_575_757_575_757)));
        for bad in ["", "07", "+7", "-1", "18446744073709551616", "7a"] {
            assert!(bad.parse::<SystemIdentifier>().is_err(), "{bad}");
        }
    }

    #[test]
    fn is_stored_as_text() {
        let id = SystemIdentifier(u64::MAX);
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"18446744073709551615\"");
        assert_eq!(serde_json::from_str::<SystemIdentifier>("\"18446744073709551615\"").unwrap(), id);
    }
}

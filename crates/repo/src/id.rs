//! The identities the format speaks of: repository, backup, writer, system, cluster, key generation.
//!
//! Promises one text form each, printed and parsed here and nowhere else; every other form is refused, so that a text
//! found in a name can be compared as text. Deliberately orders nothing by time: order never comes from an id.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::entropy::{Entropy, random};
use crate::time;

/// PostgreSQL's system identifier: decimal text everywhere, in JSON too (it needs all 64 bits).
pub use seawall_pg::SystemIdentifier as SystemId;

/// Longest cluster name, in bytes.
pub const CLUSTER_NAME_BYTES_MAX: usize = 63;

/// First components of a region's names that are not clusters.
const RESERVED_NAMES: [&str; 4] = ["heal", "owner", "writer", "seawall.json"];

/// A text that is not the identity it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {what}: {text:?}, wanted {wanted}")]
pub struct IdError {
    what: &'static str,
    wanted: &'static str,
    text: String,
}

impl IdError {
    fn new(what: &'static str, wanted: &'static str, text: &str) -> Self {
        // What was found may be hostile: shown shortened, and escaped by the message.
        Self { what, wanted, text: text.chars().take(80).collect() }
    }
}

/// Serde through the one text form of a type.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A repository: 16 random bytes, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RepositoryId([u8; 16]);

impl RepositoryId {
    /// A fresh one.
    pub fn new(entropy: &mut dyn Entropy) -> Self {
        Self(random(entropy))
    }

    /// From its bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes, as they stand in signatures and associated data.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepositoryId({self})")
    }
}

impl FromStr for RepositoryId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_hex(text)
            .map(Self)
            .ok_or_else(|| IdError::new("a repository id", "32 hexadecimal digits", text))
    }
}

serde_as_text!(RepositoryId);

/// A writer: the first 16 bytes of the BLAKE3 of its Ed25519 public key, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriterId([u8; 16]);

impl WriterId {
    /// The id that belongs to a public key.
    pub fn of_public(public: &[u8; 32]) -> Self {
        let hash = blake3::hash(public);
        let mut id = [0; 16];
        id.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        Self(id)
    }

    /// From its bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes, as they stand in an envelope.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriterId({self})")
    }
}

impl FromStr for WriterId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_hex(text).map(Self).ok_or_else(|| IdError::new("a writer id", "32 hexadecimal digits", text))
    }
}

serde_as_text!(WriterId);

/// A backup: when it began (seconds since 1970) and 64 random bits. `YYYYMMDDTHHMMSSZ-` and 16 hexadecimal digits.
///
/// The order of the type is that of its text and serves tables only; which backup is newer comes from lineage and LSN.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupId {
    seconds: u64,
    random: [u8; 8],
}

impl BackupId {
    /// A fresh one for a backup beginning `seconds` after 1970; none from the year 10000 on.
    pub fn new(seconds: u64, entropy: &mut dyn Entropy) -> Option<Self> {
        time::compact(seconds).map(|_| Self { seconds, random: random(entropy) })
    }

    /// When the backup began, in seconds since 1970, by its writer's clock.
    pub fn seconds(&self) -> u64 {
        self.seconds
    }

    /// The 16 bytes that stand in maps: the seconds, little-endian, and the random bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let values = self.seconds.to_le_bytes().into_iter().chain(self.random);
        bytes.iter_mut().zip(values).for_each(|(to, from)| *to = from);
        bytes
    }

    /// The id with these 16 bytes; none if its time has no text form.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let (seconds, rest) = bytes.split_first_chunk::<8>()?;
        let random = *rest.first_chunk::<8>()?;
        let seconds = u64::from_le_bytes(*seconds);
        time::compact(seconds).map(|_| Self { seconds, random })
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The constructors admit no time without a text form.
        f.write_str(&time::compact(self.seconds).unwrap_or_default())?;
        f.write_str("-")?;
        write_hex(f, &self.random)
    }
}

impl fmt::Debug for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackupId({self})")
    }
}

impl FromStr for BackupId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let parsed = text.split_once('-').and_then(|(time, random)| {
            Some(Self { seconds: time::from_compact(time)?, random: parse_hex(random)? })
        });
        parsed.ok_or_else(|| IdError::new("a backup id", "such as 20310504T020000Z-0123456789abcdef", text))
    }
}

serde_as_text!(BackupId);

/// What a small record beside the backups is known by: a tombstone, a hold, an event. Made and written as a [`BackupId`], and never
/// mistaken for one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(BackupId);

impl RecordId {
    /// A fresh one of a moment; none from the year 10000 on.
    pub fn new(seconds: u64, entropy: &mut dyn Entropy) -> Option<Self> {
        BackupId::new(seconds, entropy).map(Self)
    }

    /// When it was made, in seconds since 1970, by its writer's clock: for names, never for ages.
    pub fn seconds(&self) -> u64 {
        self.0.seconds()
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordId({self})")
    }
}

impl FromStr for RecordId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wanted = "such as 20310504T020000Z-0123456789abcdef";
        text.parse().map(Self).map_err(|_| IdError::new("an id of a record", wanted, text))
    }
}

serde_as_text!(RecordId);

/// The name an operator chose for a cluster: 1 to 63 of `a-z 0-9 - _ .`, beginning with a letter or digit, not reserved.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(String);

impl ClusterName {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterName({self})")
    }
}

impl FromStr for ClusterName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let allowed = text.bytes().all(|byte| plain(byte) || matches!(byte, b'-' | b'_' | b'.'));
        let begins = text.bytes().next().is_some_and(plain);
        let reserved = RESERVED_NAMES.contains(&text);
        if allowed && begins && !reserved && text.len() <= CLUSTER_NAME_BYTES_MAX {
            return Ok(Self(text.to_owned()));
        }
        let wanted = "1 to 63 of a-z 0-9 - _ . beginning with a letter or digit, and not heal, owner, writer or seawall.json";
        Err(IdError::new("a cluster name", wanted, text))
    }
}

serde_as_text!(ClusterName);

/// Which set of keys of a cluster; counts from 1. A number in JSON, decimal in names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Generation(u32);

impl Generation {
    /// The first keys of a cluster.
    pub const FIRST: Self = Self(1);

    /// Generation `number`; none for 0.
    pub fn new(number: u32) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// Its number, 1 or more.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The one after this; none after the last.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl TryFrom<u32> for Generation {
    type Error = IdError;

    fn try_from(number: u32) -> Result<Self, IdError> {
        Self::new(number)
            .ok_or_else(|| IdError::new("a key generation", "a number from 1", &number.to_string()))
    }
}

impl From<Generation> for u32 {
    fn from(generation: Generation) -> Self {
        generation.0
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Bytes from exactly `2 * N` lower-case hexadecimal digits.
pub(crate) fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

/// A decimal number without sign or leading zeros.
pub(crate) fn parse_decimal<T: FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let shortest = text == "0" || !text.starts_with('0');
    if digits && shortest { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;

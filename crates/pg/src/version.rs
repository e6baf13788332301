//! What differs between major versions of PostgreSQL: one table, a row per version.
//!
//! Promises: a [`Version`] is one of the rows, so nothing else compares version numbers, and a new major is a
//! new row plus its test files. A version without a row is refused with words that help.
//! Deliberately not here: facts that hold for all supported versions; they stand where they are used.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

mod table;

use table::TABLE;
pub use table::{ArchiveLibrary, BackupApi, ControlLayout, ImageBits, VersionFacts, WalFacts};

/// A supported major version of PostgreSQL.
#[derive(Clone, Copy)]
pub struct Version(&'static VersionFacts);

/// A server's version in full, such as 17.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServerVersion {
    /// The major version, which decides about file formats.
    pub version: Version,
    /// The minor release.
    pub minor: u16,
}

/// Why a version cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum VersionError {
    #[error("PostgreSQL {major} is not supported; this release knows {}; {}", supported(), advice(*.major))]
    Unsupported { major: u32 },
    #[error(
        "{text:?} is not a PostgreSQL version; expected a major version such as 17, as PG_VERSION holds it"
    )]
    NotAVersion { text: String },
    #[error(
        "pg_control version {control} with catalog version {catalog} belongs to no release of PostgreSQL \
         that this release knows ({}); it may come from a newer version, a beta or a fork",
        supported()
    )]
    UnknownFormat { control: u32, catalog: u32 },
}

fn supported() -> String {
    let all: Vec<String> = Version::all().map(|version| version.to_string()).collect();
    all.join(", ")
}

fn advice(major: u32) -> &'static str {
    let newest = Version::all().map(|version| u32::from(version.major())).max().unwrap_or(0);
    if major > newest {
        "a newer release of seawall may know it"
    } else {
        "upgrade the cluster, or keep its present backup tool until then"
    }
}

impl Version {
    /// Every supported version, oldest first.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(Self)
    }

    /// The version with this major number.
    pub fn from_major(major: u32) -> Result<Self, VersionError> {
        let found = Self::all().find(|version| u32::from(version.major()) == major);
        found.ok_or(VersionError::Unsupported { major })
    }

    /// Reads the content of a `PG_VERSION` file: the major number and a line end.
    pub fn from_pg_version_file(content: &[u8]) -> Result<Self, VersionError> {
        let text = String::from_utf8_lossy(content);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        // Before 10 a major version had two parts; it is a version all the same, so it is named as one.
        let major = text.strip_prefix("9.").map_or(text, |_| "9");
        let number = crate::bytes::plain_number(major.as_bytes());
        let short = || text.chars().take(40).collect();
        Self::from_major(number.ok_or_else(|| VersionError::NotAVersion { text: short() })?)
    }

    /// The version whose `pg_control` has these two numbers.
    pub fn from_control(control: u32, catalog: u32) -> Result<Self, VersionError> {
        let found = TABLE.iter().find(|row| row.control_version == control && row.catalog_version == catalog);
        found.map(Self).ok_or(VersionError::UnknownFormat { control, catalog })
    }

    /// How a `pg_control` of this control version is laid out. Several majors share a control version.
    pub(crate) fn control_layout(control: u32) -> Option<&'static ControlLayout> {
        TABLE.iter().find(|row| row.control_version == control).map(|row| &row.control_layout)
    }

    /// The version whose WAL pages begin with `magic`.
    pub fn from_wal_magic(magic: u16) -> Option<Self> {
        TABLE.iter().find(|row| row.wal_magic == magic).map(Self)
    }

    /// The major number.
    pub fn major(self) -> u16 {
        self.0.major
    }

    /// Everything that is particular to this version.
    pub fn facts(self) -> &'static VersionFacts {
        self.0
    }

    /// The name of this version's directory inside a tablespace, such as `PG_17_202406281`.
    pub fn tablespace_directory(self) -> String {
        format!("PG_{}_{}", self.0.major, self.0.catalog_version)
    }
}

impl ServerVersion {
    /// Reads `server_version_num`, such as 170011.
    pub fn from_number(number: u32) -> Result<Self, VersionError> {
        let (major, minor) = (number / 10_000, number % 10_000);
        let minor = u16::try_from(minor).map_err(|_| VersionError::Unsupported { major })?;
        Ok(Self { version: Version::from_major(major)?, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.major.fmt(f)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({})", self.0.major)
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.version, self.minor)
    }
}

// Two values are the same version when their major numbers are: rows are unique (a test holds that).
impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.0.major == other.0.major
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.major.cmp(&other.0.major)
    }
}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.major.hash(state);
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0.major)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_major(u32::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;

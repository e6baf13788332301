//! What a manifest remembers of the server: what a restore must match, and what a person must look at afterwards.
//!
//! Plain records; the engine fills them from the server's catalogs. Promises nothing about them but their form;
//! fields may be added, and readers ignore what they do not know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// A tablespace other than the two built-in ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tablespace {
    /// Its oid, the name of its entry under `pg_tblspc`.
    pub oid: u32,
    /// Its directory; `None` when it lies in place (`allow_in_place_tablespaces`).
    pub location: Option<String>,
    /// Its name.
    pub name: String,
}

/// The server as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// As `version()` says it.
    pub version: String,
    /// `server_version_num`.
    pub version_num: u32,
    /// Settings that must be at least as large at recovery, and those a person needs.
    pub settings: BTreeMap<String, String>,
    /// Extensions of all databases.
    pub extensions: Vec<Extension>,
    /// Libraries that are preloaded.
    pub libraries: Vec<String>,
    /// Collations whose versions matter.
    pub collations: Vec<Collation>,
    /// The version of the C library that sorted text there; `None` where it was not glibc or nobody knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libc: Option<String>,
    /// Encoding of the cluster's template.
    pub encoding: String,
    /// Whether pages carry checksums.
    pub data_checksums: bool,
    /// Where the data directory was.
    pub data_directory: String,
    /// Where `postgresql.conf` was.
    pub config_file: String,
    /// Where `pg_hba.conf` was.
    pub hba_file: String,
    /// Where `pg_ident.conf` was.
    pub ident_file: String,
    /// Bytes of a page.
    pub block_size: u32,
    /// The machine's architecture.
    pub architecture: String,
}

/// An extension in a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// The database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A collation whose version the catalog records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collation {
    /// The database.
    pub database: String,
    /// Its name; the database's own default is `default`.
    pub name: String,
    /// `libc`, `icu` or `builtin`.
    pub provider: String,
    /// The version recorded; `None` where the provider has none.
    pub version: Option<String>,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its oid.
    pub oid: u32,
    /// Its name.
    pub name: String,
}

/// A replication slot: lost by every restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// `physical` or `logical`.
    pub kind: String,
    /// The output plugin of a logical slot.
    pub plugin: Option<String>,
    /// The database of a logical slot.
    pub database: Option<String>,
}

/// A subscription: to be disabled or pointed elsewhere on a clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Whether it was enabled.
    pub enabled: bool,
}

/// A prepared transaction: comes back prepared, and somebody must decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedTransaction {
    /// Its global identifier.
    pub gid: String,
    /// The database.
    pub database: String,
    /// Who prepared it.
    pub owner: String,
    /// When.
    pub prepared: Time,
}

/// An unlogged table: empty after a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnloggedTable {
    /// The database.
    pub database: String,
    /// Schema and name.
    pub table: String,
}

/// Rows of a table as the planner estimated them: what a drill compares with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowEstimate {
    /// The database.
    pub database: String,
    /// Schema and name.
    pub table: String,
    /// Rows, rounded.
    pub rows: u64,
}

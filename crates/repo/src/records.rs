//! The small plain records of a repository, as they stand in signed texts.
//!
//! Promises the fields of FORMAT §2, one type a record; unknown fields are ignored. Deliberately no rules about who may
//! sign them: that is `trust`.

use serde::{Deserialize, Serialize};

use crate::id::{BackupId, ClusterName, Generation, RepositoryId, SystemId, WriterId};
use crate::identity::Identities;
use crate::keys::{ClusterPublic, OwnerPublic, WriterPublic};
use crate::layout::Named;
use crate::pack::PackId;
use crate::seal::Cipher;
use crate::time::Time;
use crate::wrapped::{ClusterKeys, WrapError, Wrapped};

/// The number of the format in `seawall.json` that this version writes and reads.
pub const FORMAT: u32 = 1;

/// `seawall.json`: what this repository is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeawallJson {
    /// [`FORMAT`].
    pub format: u32,
    /// The repository's id.
    pub repository: RepositoryId,
    /// How everything is sealed.
    pub cipher: Cipher,
    /// Whose signature certificates and keys carry.
    pub owner: OwnerPublic,
    /// When it was made.
    pub created: Time,
}

/// `owner/<change>`: the owner's key, wrapped for the recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerRecord {
    /// Which change of recipients.
    pub change: u32,
    /// Opened by [`OwnerKey::unwrap`](crate::keys::OwnerKey::unwrap).
    pub wrapped: Vec<Wrapped>,
}

/// For which clusters a writer writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterScope {
    /// Every cluster of the repository: `*`.
    All,
    /// This one.
    One(ClusterName),
}

impl ClusterScope {
    /// Whether it holds for a cluster.
    pub fn covers(&self, cluster: &ClusterName) -> bool {
        match self {
            Self::All => true,
            Self::One(own) => own == cluster,
        }
    }
}

impl std::fmt::Display for ClusterScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::One(cluster) => cluster.fmt(f),
        }
    }
}

impl Serialize for ClusterScope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClusterScope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "*" {
            return Ok(Self::All);
        }
        text.parse().map(Self::One).map_err(serde::de::Error::custom)
    }
}

/// What a writer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Write backups and WAL.
    Write,
    /// Decide what is no longer needed.
    Prune,
    /// Write what it saw: events, evidence.
    Observe,
    /// A right of a later version: gives nothing here.
    Unknown,
}

impl Right {
    /// The rights any one of which lets a writer put an object of this name. What decides about deleting needs the right to
    /// prune, and what ends an alarm about loss: a host that only writes, once taken, neither condemns anything, nor keeps it from
    /// leaving, nor silences anybody.
    pub fn needed_for(named: &Named) -> &'static [Self] {
        match named {
            Named::Policy { .. }
            | Named::Tombstone { .. }
            | Named::TombstoneRevoked { .. }
            | Named::TombstoneDone { .. }
            | Named::Hold { .. }
            | Named::HoldReleased { .. }
            | Named::Hole { .. } => &[Self::Prune],
            Named::Event { .. } => &[Self::Observe, Self::Write, Self::Prune],
            _ => &[Self::Write],
        }
    }

    /// Its name in certificates.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Prune => "prune",
            Self::Observe => "observe",
            Self::Unknown => "unknown",
        }
    }
}

impl Serialize for Right {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Right {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = [Self::Write, Self::Prune, Self::Observe];
        Ok(known.into_iter().find(|right| right.as_str() == text).unwrap_or(Self::Unknown))
    }
}

/// `writer/<id>.json`: a writer's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterCertificate {
    /// The writer's id.
    pub writer: WriterId,
    /// The key its signatures are checked with.
    pub public: WriterPublic,
    /// For which clusters.
    pub cluster: ClusterScope,
    /// What it may do.
    pub rights: Vec<Right>,
    /// Free text, such as the host's name.
    pub label: String,
    /// When it was given.
    pub created: Time,
}

/// `writer/<id>.revoked.json`: the end of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// The writer's id.
    pub writer: WriterId,
    /// From when on its objects do not count.
    pub revoked: Time,
    /// Why, for people.
    pub reason: String,
}

/// `key/<generation>.<change>`: a cluster's keys, wrapped for the recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Whose keys.
    pub cluster: ClusterName,
    /// Which keys.
    pub generation: Generation,
    /// Which change of recipients.
    pub change: u32,
    /// The half that seals content.
    pub public: ClusterPublic,
    /// Opened by [`KeyRecord::unwrap`].
    pub wrapped: Vec<Wrapped>,
}

impl KeyRecord {
    /// The keys, with whatever identity fits; refused if they are not those of the record's public key.
    pub fn unwrap(&self, identities: &Identities) -> Result<ClusterKeys, WrapError> {
        let keys = ClusterKeys::unwrap(&self.wrapped, identities)?;
        if keys.secret.public() == self.public {
            return Ok(keys);
        }
        Err(WrapError::Damaged { reason: "the secret is not that of the record's public key".to_owned() })
    }
}

/// `adopt/<system-id>.json`: that a system identifier belongs to a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// The cluster.
    pub cluster: ClusterName,
    /// The system identifier.
    pub system: SystemId,
    /// The one it follows (after an upgrade), or none.
    pub after: Option<SystemId>,
    /// When it was adopted.
    pub adopted: Time,
    /// The server's major version.
    pub postgresql: u32,
}

/// `intent/<backup-id>.<n>`: what a running backup uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The backup.
    pub backup: BackupId,
    /// Which renewal, from 1.
    pub n: u32,
    /// Backups whose objects it may reference.
    pub uses: Vec<BackupId>,
    /// Orphaned packs that it may reference.
    pub adopts: Vec<PackId>,
    /// Where it runs.
    pub host: String,
    /// As which process.
    pub pid: u32,
    /// When this word was given.
    pub written: Time,
}

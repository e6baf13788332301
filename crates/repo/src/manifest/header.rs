//! The header of a manifest: what listing and pruning read, in plain.
//!
//! Promises that LSNs, timelines and lists agree with each other; not times: a server's clock may be set back while a
//! backup runs. Deliberately small: every field here is paid for in the 4,096 bytes that list a backup.

use seawall_pg::{Lsn, Timeline, WalSegmentSize};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{BackupId, ClusterName, SystemId};
use crate::layout::Place;
use crate::manifest::{ManifestError, require};
use crate::time::Time;

/// Most backups listed in `uses`; beyond that the body has them all.
pub const USES_MAX: usize = 64;

/// How a backup found the pages to store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// All of them.
    Full,
    /// By comparing digests of every page with the parent's.
    Scan,
    /// From the WAL since the parent.
    Wal,
}

/// The fields of a manifest's header that belong to its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestHeader {
    /// This backup.
    pub backup: BackupId,
    /// The cluster's name.
    pub cluster: ClusterName,
    /// The cluster's system identifier.
    pub system: SystemId,
    /// PostgreSQL's major version.
    pub postgresql: u16,
    /// How the pages to store were found.
    pub way: Way,
    /// The backup it builds on.
    pub parent: Option<BackupId>,
    /// The timeline it began on.
    pub timeline: Timeline,
    /// Where replay begins.
    pub start: Lsn,
    /// Up to where WAL is needed for consistency.
    pub stop: Lsn,
    /// The timeline it ended on.
    pub stop_timeline: Timeline,
    /// When it began, by the database server.
    pub started: Time,
    /// When it ended, by the database server.
    pub stopped: Time,
    /// Bytes of a WAL segment.
    pub segment_size: WalSegmentSize,
    /// Size of the files.
    pub bytes: u64,
    /// Bytes this backup added.
    pub stored: u64,
    /// Number of its own packs.
    pub packs: u32,
    /// Number of its own maps.
    pub maps: u32,
    /// Other backups whose objects it references; at most [`USES_MAX`].
    pub uses: Vec<BackupId>,
    /// Whether there are more than `uses` holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uses_more: bool,
    /// Pages with a wrong checksum: findings in the body.
    pub damaged_pages: u64,
    /// Whether it was taken from a standby.
    pub from_standby: bool,
    /// A number, with its epoch, above those of all transactions that had one when it ended; `None` where nobody could tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_xid: Option<u64>,
}

impl ManifestHeader {
    /// Lists the other backups that are referenced (the body's `uses`): as many as fit, and whether there are more.
    pub fn set_uses(&mut self, uses: &[BackupId]) {
        self.uses_more = uses.len() > USES_MAX;
        self.uses = uses.iter().take(USES_MAX).copied().collect();
    }

    pub(super) fn check(&self) -> Result<(), ManifestError> {
        let crossed = self.stop_timeline != self.timeline;
        require(self.start.is_valid() && self.start <= self.stop, "start is not before stop")?;
        require(!crossed || self.from_standby, "it changed its timeline on a primary")?;
        require(self.stop_timeline >= self.timeline, "it ended on an older timeline")?;
        require((self.way == Way::Full) == self.parent.is_none(), "parent and way disagree")?;
        require(self.parent != Some(self.backup), "it is its own parent")?;
        require(self.uses.len() <= USES_MAX, "it lists more used backups than allowed")?;
        require(!self.uses.contains(&self.backup), "it lists itself among the used backups")
    }

    pub(super) fn check_name(&self, place: &Place, backup: BackupId) -> Result<(), ManifestError> {
        let same = self.backup == backup && self.cluster == place.cluster && self.system == place.system;
        require(same, "it names another backup, cluster or system than its object's name")
    }

    /// As the fields of an object's header.
    pub(super) fn to_fields(&self) -> Result<Map<String, Value>, ManifestError> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(_) => Err(ManifestError::Contradiction { what: "the header is no JSON object" }),
            Err(error) => Err(ManifestError::Json { reason: error.to_string() }),
        }
    }
}

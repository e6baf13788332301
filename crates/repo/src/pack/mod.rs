//! Packs: objects that hold the pages of files, in frames that open alone.
//!
//! Promises what FORMAT §6 says, written and read side by side. Deliberately knows nothing of maps: a pack is told by
//! its footer alone what it holds, so that orphans can be adopted and everything can be verified.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::BackupId;

pub mod builder;
pub mod footer;
#[cfg(test)]
pub(crate) mod test_world;

pub use builder::{PACK_BYTES_TARGET, PackBuilder, PackError, Run, SealedPack, StoredRun};
pub use footer::{ContentsError, PackContents, Slot};

/// A pack: the backup that wrote it and its number there, from 0. In JSON `[backup, number]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(BackupId, u32)", into = "(BackupId, u32)")]
pub struct PackId {
    /// The backup that wrote it.
    pub backup: BackupId,
    /// Its number there.
    pub number: u32,
}

impl From<(BackupId, u32)> for PackId {
    fn from((backup, number): (BackupId, u32)) -> Self {
        Self { backup, number }
    }
}

impl From<PackId> for (BackupId, u32) {
    fn from(pack: PackId) -> Self {
        (pack.backup, pack.number)
    }
}

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pack {} of backup {}", self.number, self.backup)
    }
}

/// The fields of a pack's header that belong to its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackHeader {
    /// The backup that wrote it.
    pub backup: BackupId,
    /// Its number there.
    pub pack: u32,
}

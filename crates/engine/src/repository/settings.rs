//! What a caller says of a repository: where its regions are, whom to believe, how to write. Values only.

use std::path::PathBuf;

use seawall_repo::compress::Compression;
use seawall_repo::id::RepositoryId;
use seawall_repo::keys::OwnerPublic;
use seawall_store::Access;
use serde::{Deserialize, Serialize};

/// One region: its name, where it is and how it is reached. Holds no secret, so it also stands in plan files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionSettings {
    /// The name people use.
    pub name: String,
    /// `gs://bucket/prefix`, `s3://bucket/prefix`, `az://container/prefix` or `file:///path`.
    pub url: String,
    /// Everything else about it.
    #[serde(flatten)]
    pub access: Access,
}

impl RegionSettings {
    /// A region of which only the name and the place are said.
    #[must_use]
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self { name: name.into(), url: url.into(), access: Access::default() }
    }
}

/// When WAL counts as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acknowledge {
    /// In every region, however long one is away.
    #[default]
    All,
    /// In every region but those to which every call has failed for this long; in one at least.
    Healthy {
        /// How long.
        degrade: std::time::Duration,
    },
    /// In at least so many.
    AtLeast(usize),
}

/// Where a repository is and how to use it.
#[derive(Debug, Clone)]
pub struct RepositorySettings {
    /// The regions, in order of preference where nothing else decides.
    pub regions: Vec<RegionSettings>,
    /// The repository's id, pinned.
    pub id: Option<RepositoryId>,
    /// The owner's public key, pinned: whom to believe.
    pub owner: Option<OwnerPublic>,
    /// When WAL counts as stored.
    pub acknowledge: Acknowledge,
    /// How hard what is written is compressed.
    pub levels: Levels,
}

/// zstd levels; 0 leaves content as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// Of backups.
    pub backup: i32,
    /// Of WAL files: the server waits for each, and level 1 makes them as small as level 3 does, in two thirds of the time.
    pub wal: i32,
}

impl Levels {
    /// What applies where nobody says otherwise.
    pub const DEFAULT: Self = Self { backup: 3, wal: 1 };

    /// The way of compressing that a level stands for.
    pub(crate) const fn compression(level: i32) -> Compression {
        if level == 0 { Compression::None } else { Compression::Zstd(level) }
    }
}

/// Files that open keys; each is refused when others can reach it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFiles {
    /// Identity files.
    pub identities: Vec<PathBuf>,
    /// Files with a passphrase each, on one line.
    pub passphrases: Vec<PathBuf>,
}

impl KeyFiles {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty() && self.passphrases.is_empty()
    }
}

impl From<Vec<PathBuf>> for KeyFiles {
    fn from(identities: Vec<PathBuf>) -> Self {
        Self { identities, passphrases: Vec::new() }
    }
}

/// Which secrets a caller brings.
#[derive(Debug, Clone)]
pub enum Secrets {
    /// None: sees names and plain headers.
    Observer,
    /// The key file of a host that writes: opens everything but content.
    Host(PathBuf),
    /// Identities or passphrases from the safe: open everything.
    Identities(KeyFiles),
}

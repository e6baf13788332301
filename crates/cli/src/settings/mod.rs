//! Settings: from files to the values that one cluster's commands need, each with the place it comes from.
//!
//! The way is files → [`layers`] (who sets what) → [`resolve`] (typed, checked together). Precedence, lowest first:
//! the default, `[defaults]` and top-level sections, `[cluster.NAME]`; of several files the later one, key by key.
//! Deliberately reads nothing from the working directory, which is PGDATA for archive commands.

pub mod layers;
pub mod load;
pub mod quantity;
pub mod resolve;
mod retention;
pub mod schema;
pub mod secrets;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use seawall_engine::repository::{KeyFiles, Levels, RegionSettings};
use seawall_engine::retention::Policy;
use seawall_engine::words::{ClusterName, OwnerPublic, Recipient, RepositoryId};
use seawall_engine::{Error, Result};

use layers::{Origin, Value};

/// Where settings are looked for when nobody names a file.
pub const DEFAULT_FILE: &str = "/etc/seawall/seawall.toml";
/// The environment variable that names another.
pub const FILE_VARIABLE: &str = "SEAWALL_CONFIG";

/// All clusters of the settings files.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The files that were read, lowest precedence first.
    pub files: Vec<PathBuf>,
    /// One or more clusters.
    pub clusters: BTreeMap<ClusterName, ClusterSettings>,
}

/// What one cluster's commands need.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// The name in the repository.
    pub name: ClusterName,
    /// The server's data directory.
    pub data_directory: Option<PathBuf>,
    /// How to reach the server.
    pub connection: Connection,
    /// Where the repository is and whom to believe.
    pub repository: Repository,
    /// How backups are made.
    pub backup: Backup,
    /// What is kept.
    pub retention: Retention,
    /// How long `wal fetch` waits for a region that is away.
    pub wait_for_region: Duration,
    /// What was promised.
    pub objectives: Objectives,
    /// Every value as written, for `config show`.
    pub shown: Vec<Shown>,
}

impl ClusterSettings {
    /// Keeps only the region asked for, and lets go those that are given up.
    ///
    /// # Errors
    /// There is no region of that name, or none is left.
    pub fn keep_regions(&mut self, only: Option<&str>, without: &[String]) -> Result<()> {
        let regions = &mut self.repository.regions;
        for name in only.iter().copied().chain(without.iter().map(String::as_str)) {
            if !regions.iter().any(|region| region.name == name) {
                let known = regions.iter().map(|region| region.name.clone()).collect::<Vec<_>>().join(", ");
                return Err(Error::usage("settings.unknown-region", format!("there is no region {name}"))
                    .fact("regions", known));
            }
        }
        regions
            .retain(|region| only.is_none_or(|only| region.name == only) && !without.contains(&region.name));
        if regions.is_empty() {
            return Err(Error::usage("settings.no-region", "no region is left to read from"));
        }
        Ok(())
    }
}

/// How to reach a server, as libpq writes it. May hold a password, so it is only shown masked.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection(String);

impl Connection {
    /// The text itself, for the server only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&secrets::masked_connection(&self.0))
    }
}

/// Where the repository is and whom to believe.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Pinned repository.
    pub id: Option<RepositoryId>,
    /// Pinned owner's public key.
    pub owner: Option<OwnerPublic>,
    /// How content is sealed.
    pub encryption: Encryption,
    /// When WAL counts as archived.
    pub ack: Ack,
    /// zstd levels.
    pub levels: Levels,
    /// Who can read.
    pub recipients: Vec<Recipient>,
    /// Identities and passphrases that open the keys.
    pub key_files: KeyFiles,
    /// This host's key file.
    pub writer_key_file: PathBuf,
    /// The key file that has the right to prune, where it is another.
    pub prune_key_file: Option<PathBuf>,
    /// Where data may be; everywhere where no place is named.
    pub residency: Vec<String>,
    /// The regions, in the order in which they are written.
    pub regions: Vec<RegionSettings>,
}

/// How content is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// AES-256-GCM.
    Aes256Gcm,
    /// Signed only.
    None,
}

/// When WAL counts as archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// In every region but those that have been away for some time.
    All {
        /// How long.
        degrade: Duration,
    },
    /// In at least so many.
    AtLeast(NonZeroUsize),
}

/// How backups are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Whether the checkpoint runs at full speed.
    pub fast_checkpoint: bool,
    /// How long to wait for it.
    pub checkpoint_deadline: Duration,
    /// Most bytes a second to all regions together.
    pub bandwidth: Option<u64>,
    /// Most bytes a second from the data directory.
    pub read_bandwidth: Option<u64>,
    /// Threads that read and seal; one for each CPU where unset.
    pub workers: Option<usize>,
    /// Added to the process's niceness.
    pub nice: i32,
    /// Whether TLS keys outside the data directory are included.
    pub include_private_keys: bool,
}

/// What is kept, and how carefully the rest is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// The rules.
    pub policy: Policy,
    /// How long a policy that keeps less waits.
    pub shrink_delay: Duration,
    /// How long what is condemned stays.
    pub grace: Duration,
}

/// What was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Objectives {
    /// How much may be lost at most.
    pub rpo: Option<Duration>,
}

/// A value as `config show` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The setting.
    pub path: &'static str,
    /// Its value with secrets masked; `None` when it has none.
    pub value: Option<Value>,
    /// The place that set it; `None` for defaults.
    pub origin: Option<Origin>,
}

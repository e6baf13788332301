//! What is carried to hosts that write when a new generation of keys starts: meta keys and public halves, as in a host's key file,
//! and no key that signs or opens content.
//!
//! Promises: refused when others can read it; an error never shows its contents.

use std::path::Path;

use seawall_repo::id::{ClusterName, RepositoryId};
use seawall_repo::keys::OwnerPublic;
use seawall_store::{World, durable};
use serde::{Deserialize, Serialize};

use super::host_keys::{HostGeneration, StoredGeneration, refuse_readable_by_others};
use crate::error::{Error, Result};

const FILE_BYTES_MAX: u64 = 1024 * 1024;
const WHAT: &str = "host key update 1";

/// An update.
#[derive(Debug, Clone)]
pub struct HostUpdate {
    /// For hosts that write to this repository.
    pub repository: RepositoryId,
    /// Its owner.
    pub owner: OwnerPublic,
    /// For hosts that write for this cluster.
    pub cluster: ClusterName,
    /// Every generation, oldest first.
    pub generations: Vec<HostGeneration>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    seawall: String,
    repository: String,
    owner: OwnerPublic,
    cluster: String,
    generations: Vec<StoredGeneration>,
}

impl HostUpdate {
    /// Writes a new file, mode 0600; never replaces one.
    ///
    /// # Errors
    /// There is one already, or it cannot be written.
    pub fn create(&self, path: &Path, world: &World) -> Result<()> {
        let stored = Stored {
            seawall: WHAT.to_owned(),
            repository: self.repository.to_string(),
            owner: self.owner,
            cluster: self.cluster.to_string(),
            generations: self.generations.iter().map(StoredGeneration::of).collect(),
        };
        let mut bytes = zeroize::Zeroizing::new(serde_json::to_vec_pretty(&stored).map_err(|_secret| {
            Error::bug("keys.update-encode", "the update for hosts could not be encoded")
        })?);
        bytes.push(b'\n');
        durable::create_new(path, &bytes, 0o600, world.random.as_ref()).map_err(|error| {
            Error::usage("keys.update-unwritable", format!("cannot write {}", path.display()))
                .hint("name a file that is not there yet: --output FILE")
                .because(error)
        })
    }

    /// Reads an update.
    ///
    /// # Errors
    /// The file is missing, readable by others, or no update.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = durable::read_whole(path, FILE_BYTES_MAX).map_err(|error| {
            Error::usage("keys.update-unreadable", format!("cannot read {}", path.display())).because(error)
        })?;
        let bytes = zeroize::Zeroizing::new(bytes);
        refuse_readable_by_others(path)?;
        Self::from_bytes(&bytes).map_err(|what| {
            let told = format!("{} is no update for hosts: {what} cannot be read", path.display());
            Error::usage("keys.update-malformed", told).hint("it is made by `seawall key host-update`")
        })
    }

    fn from_bytes(bytes: &[u8]) -> std::result::Result<Self, &'static str> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|_secret| "its JSON")?;
        if stored.seawall != WHAT {
            return Err("its first field");
        }
        let generations = stored
            .generations
            .iter()
            .map(StoredGeneration::read)
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let rises = generations.windows(2).all(|pair| matches!(pair, [a, b] if a.generation < b.generation));
        if !rises || generations.is_empty() {
            return Err("the order of its generations");
        }
        Ok(Self {
            repository: stored.repository.parse().map_err(|_| "its repository id")?,
            owner: stored.owner,
            cluster: stored.cluster.parse().map_err(|_| "its cluster name")?,
            generations,
        })
    }
}

//! What `init` made, and what has to be done with it.

use std::path::PathBuf;

use seawall_repo::id::{ClusterName, RepositoryId, SystemId, WriterId};
use seawall_repo::identity::Recipient;
use seawall_repo::keys::OwnerPublic;
use seawall_repo::seal::Cipher;
use serde::Serialize;

use super::plan::Step;

/// The outcome.
#[derive(Debug, Clone, Serialize)]
pub struct InitReport {
    /// What was missing and is done.
    pub step: Step,
    /// The repository; to be pinned in the settings.
    pub repository: RepositoryId,
    /// Its owner's public key; to be pinned in the settings and kept in the recovery kit.
    pub owner: OwnerPublic,
    /// How it seals.
    pub cipher: Cipher,
    /// The cluster.
    pub cluster: ClusterName,
    /// Its system identifier.
    pub system: SystemId,
    /// Its major version.
    pub postgresql: u32,
    /// This host, as its objects name it.
    pub writer: WriterId,
    /// This host's key file.
    pub key_file: PathBuf,
    /// Who can read, as far as this run knows: those it wrapped keys for.
    pub recipients: Vec<Recipient>,
    /// Where all of it stands.
    pub regions: Vec<String>,
}

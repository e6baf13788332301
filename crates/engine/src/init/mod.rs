//! Makes a repository, a cluster in it, and the key file of the host that writes for it.
//!
//! [`look`] reads what is there, [`plan`] decides (pure, refusable), [`run`](run::run) does it. Running it again does what is
//! missing and nothing else: an interrupted run left a journal beside the key file, and the next one puts the very same
//! bytes. Deliberately does nothing to PostgreSQL, and never deletes or replaces anything in a region.

mod identity_file;
mod journal;
mod look;
mod make;
mod owner;
mod plan;
mod report;
mod run;

use std::path::PathBuf;

use seawall_repo::id::{ClusterName, SystemId};
use seawall_repo::identity::Recipient;
use seawall_repo::seal::Cipher;

use crate::repository::KeyFiles;

pub use identity_file::{IdentityReport, make_identity};
pub use journal::Journal;
pub use look::{Found, RegionFound, RegionState, look, survey};
pub(crate) use look::{is_missing_directory, region_state};
pub use owner::{OwnersWord, owners_word};
pub use plan::{InitPlan, Step, plan};
pub use report::InitReport;
pub use run::run;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// The cluster's name in the repository.
    pub cluster: ClusterName,
    /// Where this host's key file is, or is to be.
    pub key_file: PathBuf,
    /// How a new repository seals.
    pub cipher: Cipher,
    /// Who can read.
    pub recipients: Vec<Recipient>,
    /// A single recipient is enough.
    pub one_key: bool,
    /// Identity files: with the owner's key, or able to open it. A new repository needs none.
    pub identities: KeyFiles,
    /// What to call this host in its certificate.
    pub label: String,
    /// The cluster as its files say.
    pub server: ServerIdentity,
    /// What to do with a system identifier that the cluster did not have before.
    pub lineage: Lineage,
}

/// Which cluster stands on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerIdentity {
    /// Its system identifier.
    pub system: SystemId,
    /// Its major version.
    pub postgresql: u32,
}

/// What a new system identifier under a known name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lineage {
    /// Perhaps the wrong directory or host: refuse.
    Refuse,
    /// `pg_upgrade` made it from this one.
    After(SystemId),
    /// A new cluster takes over the name.
    Adopt,
}

#[cfg(test)]
mod tests;

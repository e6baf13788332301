//! Who can read and who may write: shown, and changed by whoever holds the owner's key.
//!
//! Promises: a change is one new small record a generation, put to every region, never a rewritten one; a change that was
//! interrupted is finished by the same command. Deliberately takes nobody's reading away: who could once open the keys may
//! have kept them, so a recipient who must not read what comes next needs a new generation of keys.

mod change;
mod records;
mod show;

use std::path::PathBuf;

use seawall_repo::id::ClusterName;

pub use seawall_repo::records::Right;

pub use change::{
    NewWriter, RecipientAdded, WriterAdded, WriterRevoked, add_recipient, add_writer, revoke_writer,
};
pub(crate) use show::show_opened;
pub use show::{GenerationShown, KeysReport, OwnerKeyShown, RevokedShown, WriterShown, show};

use crate::repository::RepositorySettings;

/// Whose keys, and what opens them.
#[derive(Debug, Clone)]
pub struct KeysOf {
    /// Where the repository is and whom to believe.
    pub settings: RepositorySettings,
    /// The cluster.
    pub cluster: ClusterName,
    /// Identity files; an owner's key in one of them counts as well.
    pub identities: Vec<PathBuf>,
}

#[cfg(test)]
mod tests;

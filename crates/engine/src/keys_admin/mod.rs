//! Who can read and who may write: shown, and changed by whoever holds the owner's key.
//!
//! Promises: a change is one new small record a generation, put to every region, never a rewritten one; a change that was
//! interrupted is finished by the same command. Deliberately takes nobody's reading of what is there away: who could once open
//! the keys may have kept them. A recipient who must not read what comes next is left out of a new generation ([`rotate`]).

mod change;
mod passphrase;
mod records;
mod rotate;
mod show;

use seawall_repo::id::ClusterName;

pub use seawall_repo::records::Right;

pub use change::{
    NewWriter, RecipientAdded, WriterAdded, WriterRevoked, add_recipient, add_writer, revoke_writer,
};
pub use passphrase::{PassphraseAdded, add_passphrase};
pub use rotate::{HostUpdateMade, KeysRotated, RotateOptions, UpdateAccepted, accept, host_update, rotate};
pub(crate) use show::show_opened;
pub use show::{GenerationShown, KeysReport, OwnerKeyShown, RevokedShown, WriterShown, show};

use crate::repository::{KeyFiles, RepositorySettings};

/// Whose keys, and what opens them.
#[derive(Debug, Clone)]
pub struct KeysOf {
    /// Where the repository is and whom to believe.
    pub settings: RepositorySettings,
    /// The cluster.
    pub cluster: ClusterName,
    /// Identity files and passphrases; an owner's key in one of them counts as well.
    pub identities: KeyFiles,
}

#[cfg(test)]
mod tests;

//! Making an identity: the file that people keep away from database hosts, and its public half for `init`.
//!
//! Promises: the file is new, mode 0600 and on disk before the recipient is told. Deliberately asks nobody and prints nothing.

use std::path::{Path, PathBuf};

use seawall_repo::identity::{Identities, Recipient};
use seawall_repo::keys::{OwnerKey, OwnerPublic};
use seawall_store::{World, durable};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::repository::WorldEntropy;

/// What was made. No secret is in it.
#[derive(Debug, Clone, Serialize)]
pub struct IdentityReport {
    /// The file; keep it safe.
    pub file: PathBuf,
    /// Its public half: for `init --recipient`.
    pub recipient: Recipient,
    /// The public half of the owner's key in the file, if one was asked for.
    pub owner: Option<OwnerPublic>,
}

/// Makes an identity, with an owner's key beside it if asked for, in a new file.
///
/// # Errors
/// There is such a file already, or it cannot be written.
pub fn make_identity(file: &Path, with_owner: bool, world: &World) -> Result<IdentityReport> {
    let mut identities = Identities::generate();
    let mut owner = None;
    if with_owner {
        let key = OwnerKey::generate(&mut WorldEntropy::new(world));
        owner = Some(key.public());
        identities = identities.with_owner(key);
    }
    let recipient = identities.recipients().pop();
    let recipient =
        recipient.ok_or_else(|| Error::bug("keys.identity-empty", "a new identity has no public half"))?;
    durable::create_new(file, identities.print().as_bytes(), 0o600, world.random.as_ref()).map_err(
        |error| {
            Error::usage(
                "keys.identity-unwritable",
                format!("cannot write the identity file {}", file.display()),
            )
            .hint("it must not exist yet: an identity is never replaced, backups may need it")
            .because(error)
        },
    )?;
    Ok(IdentityReport { file: file.to_owned(), recipient, owner })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::repository::load_identities;

    #[test]
    fn an_identity_is_a_new_file_that_others_cannot_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ops.key");
        let made = make_identity(&file, true, &World::system()).unwrap();
        let read = load_identities(&vec![file.clone()].into()).unwrap();
        assert_eq!(read.recipients(), [made.recipient]);
        assert_eq!(read.owners().first().map(OwnerKey::public), made.owner);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let before = std::fs::read(&file).unwrap();
        let again = make_identity(&file, false, &World::system()).unwrap_err();
        assert_eq!((again.id(), std::fs::read(&file).unwrap()), ("keys.identity-unwritable", before));
    }
}

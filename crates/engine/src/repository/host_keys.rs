//! The key file of a host that writes: its signing key, and per generation the meta key and the public half of the
//! cluster's key pair. Nothing in it opens content.
//!
//! The file is refused when others can read it. It is written once by `init` (or by `key add-writer`) and replaced
//! when a new generation of keys starts (by `key accept`).

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use seawall_repo::id::{ClusterName, Generation, RepositoryId};
use seawall_repo::keys::{ClusterPublic, MetaKey, OwnerPublic, WriterKey};
use seawall_store::World;
use seawall_store::durable;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A key file is small; anything larger is something else.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The keys of one generation, as a writing host has them.
#[derive(Debug, Clone)]
pub struct HostGeneration {
    /// Which generation.
    pub generation: Generation,
    /// Seals and opens everything but content.
    pub meta: MetaKey,
    /// Seals content.
    pub public: ClusterPublic,
}

impl HostGeneration {
    /// Whether both are the same keys of the same generation.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        (self.generation, self.public) == (other.generation, other.public)
            && *self.meta.to_text() == *other.meta.to_text()
    }
}

/// What a writing host holds.
#[derive(Debug)]
pub struct HostKeys {
    /// The repository it writes to.
    pub repository: RepositoryId,
    /// Whom it believes.
    pub owner: OwnerPublic,
    /// The cluster it writes for.
    pub cluster: ClusterName,
    /// Signs what it writes.
    pub writer: WriterKey,
    /// Oldest first; empty where nothing is encrypted.
    pub generations: Vec<HostGeneration>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    seawall: String,
    repository: String,
    owner: OwnerPublic,
    cluster: String,
    writer: String,
    generations: Vec<StoredGeneration>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredGeneration {
    generation: u32,
    meta: String,
    public: ClusterPublic,
}

const WHAT: &str = "host key file 1";

impl HostKeys {
    /// The keys that new objects are sealed with.
    #[must_use]
    pub fn newest(&self) -> Option<&HostGeneration> {
        self.generations.last()
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// The file is missing, readable by others, or no key file; messages never show its contents.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = durable::read_whole(path, FILE_BYTES_MAX).map_err(|error| unreadable(path, error))?;
        refuse_readable_by_others(path)?;
        Self::from_bytes(&bytes).map_err(|what| malformed(path, what))
    }

    /// Reads [`HostKeys::to_bytes`]; an error says which part, and nothing of what stands there.
    pub(crate) fn from_bytes(bytes: &[u8]) -> std::result::Result<Self, &'static str> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|_secret| "its JSON")?;
        Self::from_stored(&stored)
    }

    /// Writes a new key file, mode 0600; never replaces one.
    ///
    /// # Errors
    /// There is one already, or it cannot be written.
    pub fn create(&self, path: &Path, world: &World) -> Result<()> {
        let bytes = self.to_bytes()?;
        if let Some(parent) = path.parent() {
            durable::ensure_dir(parent, 0o750).map_err(|error| unwritable(path, error))?;
        }
        durable::create_new(path, &bytes, 0o600, world.random.as_ref())
            .map_err(|error| unwritable(path, error))
    }

    /// Writes the key file anew in place of the old one, mode 0600: when a generation of keys came.
    ///
    /// # Errors
    /// It cannot be written; the old one is whole then.
    pub fn replace(&self, path: &Path, world: &World) -> Result<()> {
        durable::replace(path, &self.to_bytes()?, 0o600, world.random.as_ref())
            .map_err(|error| unwritable(path, error))
    }

    /// The file's content. A secret.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let stored = Stored {
            seawall: WHAT.to_owned(),
            repository: self.repository.to_string(),
            owner: self.owner,
            cluster: self.cluster.to_string(),
            writer: self.writer.to_text().to_string(),
            generations: self.generations.iter().map(StoredGeneration::of).collect(),
        };
        let mut bytes = serde_json::to_vec_pretty(&stored).map_err(|_secret| {
            Error::bug("keys.host-file-encode", "the host key file could not be encoded")
        })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    fn from_stored(stored: &Stored) -> std::result::Result<Self, &'static str> {
        if stored.seawall != WHAT {
            return Err("its first field");
        }
        let generations =
            stored.generations.iter().map(StoredGeneration::read).collect::<std::result::Result<_, _>>()?;
        Ok(Self {
            repository: stored.repository.parse().map_err(|_| "its repository id")?,
            owner: stored.owner,
            cluster: stored.cluster.parse().map_err(|_| "its cluster name")?,
            writer: WriterKey::from_text(&stored.writer).map_err(|_| "its writer's key")?,
            generations,
        })
    }
}

impl StoredGeneration {
    pub(super) fn of(keys: &HostGeneration) -> Self {
        Self {
            generation: keys.generation.number(),
            meta: keys.meta.to_text().to_string(),
            public: keys.public,
        }
    }

    pub(super) fn read(&self) -> std::result::Result<HostGeneration, &'static str> {
        Ok(HostGeneration {
            generation: Generation::new(self.generation).ok_or("a generation's number")?,
            meta: MetaKey::from_text(&self.meta).map_err(|_| "a meta key")?,
            public: self.public,
        })
    }
}

/// Refuses a file of secrets that anybody but its owner (and group) can reach.
///
/// # Errors
/// It can be read or written by others, or its mode cannot be asked.
pub fn refuse_readable_by_others(path: &Path) -> Result<()> {
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, error))?;
    let open_to = metadata.mode() & 0o037;
    if open_to == 0 {
        return Ok(());
    }
    Err(Error::usage(
        "keys.readable-by-others",
        format!("{} holds secrets and others can reach it", path.display()),
    )
    .fact("mode", format!("{:04o}", metadata.mode() & 0o7777))
    .hint(format!("chmod 600 {}", path.display())))
}

fn unreadable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::usage("keys.host-file-unreadable", format!("cannot read the key file {}", path.display()))
        .hint("run as the user that owns the data directory (often postgres), or name the file with writer_key_file")
        .because(error)
}

fn unwritable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::usage("keys.host-file-unwritable", format!("cannot write the key file {}", path.display()))
        .hint("a key file is never replaced: move an old one away by hand once its host is known to be gone")
        .because(error)
}

fn malformed(path: &Path, what: &str) -> Error {
    Error::usage(
        "keys.host-file-malformed",
        format!("{} is no host key file: {what} cannot be read", path.display()),
    )
    .hint("it is made by `seawall init` or `seawall key add-writer`")
}

#[cfg(test)]
impl HostKeys {
    /// Fresh ones of a host that belongs to no repository.
    pub(crate) fn made_up(world: &World) -> Self {
        use seawall_repo::keys::{ClusterSecret, OwnerKey};
        let mut entropy = crate::repository::WorldEntropy::new(world);
        let secret = ClusterSecret::generate(&mut entropy);
        Self {
            repository: RepositoryId::new(&mut entropy),
            owner: OwnerKey::generate(&mut entropy).public(),
            cluster: "orders".parse().unwrap(),
            writer: WriterKey::generate(&mut entropy),
            generations: vec![HostGeneration {
                generation: Generation::FIRST,
                meta: MetaKey::generate(&mut entropy),
                public: secret.public(),
            }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_comes_back_as_it_was_written() {
        let world = World::seeded(1);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etc/orders.key");
        let written = HostKeys::made_up(&world);
        written.create(&path, &world).unwrap();
        let read = HostKeys::load(&path).unwrap();
        assert_eq!(read.repository, written.repository);
        assert_eq!(read.writer.id(), written.writer.id());
        assert_eq!(read.to_bytes().unwrap(), written.to_bytes().unwrap());
    }

    #[test]
    fn a_key_file_is_never_replaced() {
        let world = World::seeded(2);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.key");
        HostKeys::made_up(&world).create(&path, &world).unwrap();
        assert_eq!(
            HostKeys::made_up(&world).create(&path, &world).unwrap_err().id(),
            "keys.host-file-unwritable"
        );
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused_and_its_contents_stay_out_of_errors() {
        use std::os::unix::fs::PermissionsExt as _;
        let world = World::seeded(3);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.key");
        let written = HostKeys::made_up(&world);
        written.create(&path, &world).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = HostKeys::load(&path).unwrap_err();
        assert_eq!(error.id(), "keys.readable-by-others");
        assert!(!format!("{error:?}").contains(&*written.writer.to_text()));
    }
}

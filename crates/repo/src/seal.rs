//! Sealing: how payloads become sealings, under which keys, and what ties them to their object.
//!
//! Promises FORMAT §3.1, §3.3, §4 (`AADBASE`) and §5.1: a sealing opens only in the repository, under the name, with the
//! header and at the place it was made for. Deliberately knows no object layout: that is `object` and `envelope`.

use serde::{Deserialize, Serialize};

use crate::id::{Generation, RepositoryId};
use crate::keys::{ClusterPublic, DigestKey, MetaKey};

pub(crate) mod aead;
pub(crate) mod hkdf;
pub(crate) mod wrap;

pub use aead::Section;

/// Bytes that sealing adds to a payload.
pub const TAG_BYTES: usize = 16;

/// How a repository seals; fixed when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cipher {
    /// AES-256-GCM.
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
    /// Nothing is encrypted (all is still signed).
    #[serde(rename = "none")]
    None,
}

impl Cipher {
    /// Its name in `seawall.json` and headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "aes-256-gcm",
            Self::None => "none",
        }
    }
}

/// Who shall be able to open an object's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Holders of an identity alone: what is data.
    Content,
    /// Hosts of the cluster too: what they must read to do their work.
    Meta,
}

/// What a host needs to seal objects of one cluster: no secret that opens content is among it.
#[derive(Debug, Clone)]
pub struct Sealer {
    repository: RepositoryId,
    digest_key: DigestKey,
    keys: Option<SealingKeys>,
}

/// The keys of one generation, as a writing host has them.
#[derive(Debug, Clone)]
pub(crate) struct SealingKeys {
    pub(crate) generation: Generation,
    pub(crate) meta: MetaKey,
    pub(crate) public: ClusterPublic,
}

impl Sealer {
    /// The generation of the keys; none where nothing is encrypted.
    pub fn generation(&self) -> Option<Generation> {
        self.keys.as_ref().map(|keys| keys.generation)
    }

    /// Seals with AES-256-GCM under the keys of one generation of a cluster.
    pub fn encrypted(
        repository: RepositoryId,
        generation: Generation,
        meta: MetaKey,
        public: ClusterPublic,
    ) -> Self {
        let digest_key = meta.digest_key(&repository);
        Self { repository, digest_key, keys: Some(SealingKeys { generation, meta, public }) }
    }

    /// Encrypts nothing: for a repository whose cipher is `none`.
    pub fn plain(repository: RepositoryId) -> Self {
        Self { repository, digest_key: DigestKey::plain(&repository), keys: None }
    }

    /// The repository it seals for.
    pub fn repository(&self) -> &RepositoryId {
        &self.repository
    }

    /// The repository's cipher.
    pub fn cipher(&self) -> Cipher {
        if self.keys.is_some() { Cipher::Aes256Gcm } else { Cipher::None }
    }

    /// Makes the digests that objects carry.
    pub fn digest_key(&self) -> &DigestKey {
        &self.digest_key
    }

    pub(crate) fn keys(&self) -> Option<&SealingKeys> {
        self.keys.as_ref()
    }
}

//! The keys a reader of one cluster has, by generation: hosts have meta keys, holders of an identity the secrets too.

use std::collections::BTreeMap;

use crate::id::{Generation, RepositoryId};
use crate::keys::{ClusterSecret, DigestKey, MetaKey};
use crate::wrapped::ClusterKeys;

/// Keys of a cluster, by generation. An empty one reads what is not encrypted.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    meta: BTreeMap<Generation, MetaKey>,
    secrets: BTreeMap<Generation, ClusterSecret>,
}

impl KeyRing {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what a host has.
    pub fn add_meta(&mut self, generation: Generation, meta: MetaKey) {
        self.meta.insert(generation, meta);
    }

    /// Adds what an identity opens.
    pub fn add_keys(&mut self, generation: Generation, keys: ClusterKeys) {
        self.meta.insert(generation, keys.meta);
        self.secrets.insert(generation, keys.secret);
    }

    /// The meta key of a generation.
    pub fn meta(&self, generation: Generation) -> Option<&MetaKey> {
        self.meta.get(&generation)
    }

    /// The secret of a generation.
    pub fn secret(&self, generation: Generation) -> Option<&ClusterSecret> {
        self.secrets.get(&generation)
    }

    /// The newest generation with a meta key.
    pub fn newest(&self) -> Option<Generation> {
        self.meta.keys().next_back().copied()
    }

    /// What digests of objects of a generation are made with (`None`: of a repository without encryption).
    pub fn digest_key(&self, generation: Option<Generation>, repository: &RepositoryId) -> Option<DigestKey> {
        match generation {
            None => Some(DigestKey::plain(repository)),
            Some(generation) => self.meta(generation).map(|meta| meta.digest_key(repository)),
        }
    }
}

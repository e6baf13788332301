//! Digests of plain content, keyed so that whoever has no meta key learns nothing from them.
//!
//! Promises: equal content gives equal digests within a repository and key generation; that is how two objects are
//! compared. Deliberately not a signature: who made the content is the signature's business.

use std::fmt;

use zeroize::Zeroizing;

use crate::id::RepositoryId;
use crate::seal::hkdf;

/// Bytes of a digest.
pub const DIGEST_BYTES: usize = 32;
/// Bytes of a page's digest.
pub const PAGE_DIGEST_BYTES: usize = 16;

/// The digest of plain content.
pub type Digest = [u8; DIGEST_BYTES];
/// The digest of one page: the first half of its [`Digest`].
pub type PageDigest = [u8; PAGE_DIGEST_BYTES];

/// Makes digests: keyed BLAKE3 under a key derived from the meta key (from zeros where nothing is encrypted).
#[derive(Clone)]
pub struct DigestKey(Zeroizing<[u8; 32]>);

impl DigestKey {
    /// The key of a repository without encryption.
    pub fn plain(repository: &RepositoryId) -> Self {
        Self::derive(&[0; 32], repository)
    }

    pub(super) fn derive(ikm: &[u8; 32], repository: &RepositoryId) -> Self {
        Self(hkdf::derive(ikm, repository.as_bytes(), b"seawall/1 digest"))
    }

    /// The digest of `content`.
    pub fn digest(&self, content: &[u8]) -> Digest {
        *blake3::keyed_hash(&self.0, content).as_bytes()
    }

    /// The digest of one page (of a file's short last page: of its bytes alone).
    pub fn page_digest(&self, page: &[u8]) -> PageDigest {
        let mut short = [0; PAGE_DIGEST_BYTES];
        short.iter_mut().zip(self.digest(page)).for_each(|(to, from)| *to = from);
        short
    }

    /// For content that comes in pieces.
    pub fn hasher(&self) -> DigestHasher {
        DigestHasher(Box::new(blake3::Hasher::new_keyed(&self.0)))
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(secret)")
    }
}

/// A digest under way.
pub struct DigestHasher(Box<blake3::Hasher>);

impl DigestHasher {
    /// Adds the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The digest of all pieces, one after the other.
    pub fn finish(self) -> Digest {
        *self.0.finalize().as_bytes()
    }
}

impl fmt::Debug for DigestHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestHasher(secret)")
    }
}

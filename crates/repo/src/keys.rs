//! The keys of the format: who signs, who seals, who can open; and their one-line text forms for key files.
//!
//! Promises: secrets are wiped from memory when dropped (except the copies that `ring` keeps inside a signing pair),
//! never printed by `Debug`, and a text that is not a key is refused without being shown. Deliberately knows no files.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::entropy::{Entropy, random};
use crate::id::{RepositoryId, WriterId};
use crate::seal::hkdf;

mod digest;
mod signing;

pub use digest::{DIGEST_BYTES, Digest, DigestHasher, DigestKey, PAGE_DIGEST_BYTES, PageDigest};
pub use signing::{OwnerKey, OwnerPublic, SIGNATURE_BYTES, WriterKey, WriterPublic};

/// Bytes of every secret and public key of the format.
pub const KEY_BYTES: usize = 32;

/// A text that is not the key it should be. Says nothing of the text: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {what}: wanted {prefix:?} and {KEY_BYTES} bytes in base64")]
pub struct KeyTextError {
    /// Which key was wanted.
    pub what: &'static str,
    /// How its text begins.
    pub prefix: &'static str,
}

/// A kind of key by its text: how the text begins, and what to call it in an error.
#[derive(Clone, Copy)]
pub(crate) struct KeyText {
    pub(crate) what: &'static str,
    pub(crate) prefix: &'static str,
}

impl KeyText {
    pub(crate) fn print(self, bytes: &[u8; KEY_BYTES]) -> Zeroizing<String> {
        // Base64 of 32 bytes has 44 characters; with room for them the secret is written once and not moved.
        let mut text = Zeroizing::new(String::with_capacity(self.prefix.len() + 48));
        text.push_str(self.prefix);
        BASE64_STANDARD.encode_string(bytes, &mut text);
        text
    }

    pub(crate) fn parse(self, text: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyTextError> {
        let refused = KeyTextError { what: self.what, prefix: self.prefix };
        let base64 = text.strip_prefix(self.prefix).ok_or(refused)?;
        key_from_base64(base64).ok_or(refused)
    }
}

/// 32 bytes from their base64.
pub(crate) fn key_from_base64(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let decoded = Zeroizing::new(BASE64_STANDARD.decode(text).ok()?);
    decoded.as_slice().try_into().ok().map(Zeroizing::new)
}

/// The symmetric key of a cluster and generation that hosts hold: seals everything but content, makes the digest key.
#[derive(Clone)]
pub struct MetaKey(Zeroizing<[u8; KEY_BYTES]>);

impl MetaKey {
    const TEXT: KeyText = KeyText { what: "a meta key", prefix: "seawall-meta-secret:" };

    /// A fresh one.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self(Zeroizing::new(random(entropy)))
    }

    /// From its bytes.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its text in a key file. A secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        Self::TEXT.print(&self.0)
    }

    /// Reads [`MetaKey::to_text`].
    pub fn from_text(text: &str) -> Result<Self, KeyTextError> {
        Self::TEXT.parse(text).map(Self)
    }

    /// The key that digests are made with.
    pub fn digest_key(&self, repository: &RepositoryId) -> DigestKey {
        DigestKey::derive(&self.0, repository)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The key of one object's front, footer and `meta` frames.
    pub(crate) fn object_key(&self, salt: &[u8; 32]) -> Zeroizing<[u8; KEY_BYTES]> {
        hkdf::derive(self.0.as_slice(), salt, b"seawall/1 meta object")
    }
}

impl fmt::Debug for MetaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetaKey(secret)")
    }
}

/// The half of a cluster's key pair that opens content. Never on a host that only writes.
#[derive(Clone)]
pub struct ClusterSecret(StaticSecret);

impl ClusterSecret {
    /// A fresh one.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self(StaticSecret::from(random(entropy)))
    }

    /// From its bytes.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(StaticSecret::from(bytes))
    }

    /// The half that seals content.
    pub fn public(&self) -> ClusterPublic {
        ClusterPublic(PublicKey::from(&self.0).to_bytes())
    }

    pub(crate) fn as_static(&self) -> &StaticSecret {
        &self.0
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterSecret(secret of {})", self.public())
    }
}

/// The half of a cluster's key pair that seals content: `x25519:` and base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClusterPublic([u8; KEY_BYTES]);

impl ClusterPublic {
    const TEXT: KeyText = KeyText { what: "a cluster's public key", prefix: "x25519:" };

    /// From its bytes.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Display for ClusterPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::TEXT.print(&self.0))
    }
}

impl fmt::Debug for ClusterPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterPublic({self})")
    }
}

impl FromStr for ClusterPublic {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, KeyTextError> {
        Self::TEXT.parse(text).map(|bytes| Self(*bytes))
    }
}

/// Serde through the one text form of a public key.
macro_rules! public_as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

public_as_text!(ClusterPublic);
public_as_text!(OwnerPublic);
public_as_text!(WriterPublic);

impl WriterPublic {
    /// The id of the writer who has the secret half.
    pub fn id(&self) -> WriterId {
        WriterId::of_public(self.as_bytes())
    }
}

#[cfg(test)]
mod tests;

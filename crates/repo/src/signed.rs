//! Signed text: small plain records, one line of JSON and one line with the signature over it, the name and the repository.
//!
//! Promises: a record is handed out only after its signature was checked with the key of the signer it names; a text moved
//! to another name or repository is refused. Which signer may sign what is `trust`'s business.

use std::fmt;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base64_field::Base64Array;
use crate::bytes::Writer;
use crate::envelope::named_prefix;
use crate::id::{IdError, RepositoryId, WriterId};
use crate::keys::{OwnerKey, OwnerPublic, SIGNATURE_BYTES, WriterKey, WriterPublic};
use crate::layout::ObjectName;

/// Longest signed text.
pub const SIGNED_TEXT_BYTES_MAX: usize = 1 << 20;

/// Who signed a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// The repository's owner.
    Owner,
    /// A host that writes.
    Writer(WriterId),
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner => f.write_str("owner"),
            Self::Writer(writer) => writer.fmt(f),
        }
    }
}

impl FromStr for Signer {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text == "owner" { Ok(Self::Owner) } else { text.parse().map(Self::Writer) }
    }
}

impl Serialize for Signer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is not one that was signed here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignedError {
    /// Not two lines of JSON as documented.
    #[error("not a signed text: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// Longer than [`SIGNED_TEXT_BYTES_MAX`].
    #[error("signed text of {bytes} bytes, at most {SIGNED_TEXT_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Signed by somebody else than wanted.
    #[error("signed by {found}, wanted {wanted}")]
    Signer {
        /// Who signed.
        found: Signer,
        /// Who should have.
        wanted: Signer,
    },
    /// Not made by the signer it names: damaged, moved or forged.
    #[error("signature of {signer} does not fit: changed, moved here from another place, or forged")]
    Forged {
        /// Whom it names.
        signer: Signer,
    },
    /// The signature is good but the record is not one this version reads.
    #[error("record cannot be read: {reason}")]
    Record {
        /// What the JSON reader says.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
struct SignatureLine {
    by: Signer,
    signature: Base64Array<SIGNATURE_BYTES>,
}

/// A signed text that was taken apart but not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedText<'a> {
    line: &'a [u8],
    signer: Signer,
    signature: [u8; SIGNATURE_BYTES],
}

impl<'a> SignedText<'a> {
    /// Takes a text apart.
    pub fn parse(text: &'a [u8]) -> Result<Self, SignedError> {
        if text.len() > SIGNED_TEXT_BYTES_MAX {
            return Err(SignedError::TooLong { bytes: text.len() });
        }
        let malformed = |reason: &str| SignedError::Malformed { reason: reason.to_owned() };
        let whole = text.strip_suffix(b"\n").ok_or_else(|| malformed("no end of line at its end"))?;
        let mut lines = whole.split(|byte| *byte == b'\n');
        let (Some(line), Some(second), None) = (lines.next(), lines.next(), lines.next()) else {
            return Err(malformed("not two lines"));
        };
        let signed: SignatureLine = serde_json::from_slice(second)
            .map_err(|error| SignedError::Malformed { reason: format!("second line: {error}") })?;
        Ok(Self { line, signer: signed.by, signature: signed.signature.0 })
    }

    /// Whom it names as its signer.
    pub fn signer(&self) -> Signer {
        self.signer
    }

    /// The record, if the owner signed it under this name.
    pub fn open_as_owner<R: DeserializeOwned>(
        &self,
        repository: &RepositoryId,
        name: &ObjectName,
        owner: &OwnerPublic,
    ) -> Result<R, SignedError> {
        self.check_signer(Signer::Owner)?;
        self.record_if(owner.has_signed(&message(repository, name, self.line), &self.signature))
    }

    /// The record, if this writer signed it under this name.
    pub fn open_as_writer<R: DeserializeOwned>(
        &self,
        repository: &RepositoryId,
        name: &ObjectName,
        writer: &WriterPublic,
    ) -> Result<R, SignedError> {
        self.check_signer(Signer::Writer(writer.id()))?;
        self.record_if(writer.has_signed(&message(repository, name, self.line), &self.signature))
    }

    /// The record without asking who signed it: for saying what was found, never for acting on it.
    pub fn peek<R: DeserializeOwned>(&self) -> Result<R, SignedError> {
        serde_json::from_slice(self.line).map_err(|error| SignedError::Record { reason: error.to_string() })
    }

    fn check_signer(&self, wanted: Signer) -> Result<(), SignedError> {
        let found = self.signer;
        if found == wanted { Ok(()) } else { Err(SignedError::Signer { found, wanted }) }
    }

    fn record_if<R: DeserializeOwned>(&self, signed: bool) -> Result<R, SignedError> {
        if signed { self.peek() } else { Err(SignedError::Forged { signer: self.signer }) }
    }
}

/// The text of a record, signed by the owner for this name.
pub fn sign_as_owner<R: Serialize>(
    record: &R,
    repository: &RepositoryId,
    name: &ObjectName,
    key: &OwnerKey,
) -> Result<Vec<u8>, SignedError> {
    sign(record, repository, name, Signer::Owner, |message| key.sign(message))
}

/// The text of a record, signed by a writer for this name.
pub fn sign_as_writer<R: Serialize>(
    record: &R,
    repository: &RepositoryId,
    name: &ObjectName,
    key: &WriterKey,
) -> Result<Vec<u8>, SignedError> {
    sign(record, repository, name, Signer::Writer(key.id()), |message| key.sign(message))
}

fn sign<R: Serialize>(
    record: &R,
    repository: &RepositoryId,
    name: &ObjectName,
    by: Signer,
    signature: impl FnOnce(&[u8]) -> [u8; SIGNATURE_BYTES],
) -> Result<Vec<u8>, SignedError> {
    let json = |error: serde_json::Error| SignedError::Record { reason: error.to_string() };
    // serde_json escapes line ends within texts, so the line is one line.
    let mut text = serde_json::to_vec(record).map_err(json)?;
    let signature = Base64Array(signature(&message(repository, name, &text)));
    text.push(b'\n');
    text.extend(serde_json::to_vec(&SignatureLine { by, signature }).map_err(json)?);
    text.push(b'\n');
    if text.len() > SIGNED_TEXT_BYTES_MAX {
        return Err(SignedError::TooLong { bytes: text.len() });
    }
    Ok(text)
}

fn message(repository: &RepositoryId, name: &ObjectName, line: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(line.len() + 256);
    named_prefix(&mut writer, b"seawall/1 text\n", repository, name);
    writer.raw(line);
    writer.into_bytes()
}

#[cfg(test)]
mod tests;

//! The header: a JSON object in plain, of which some fields say how the object is sealed.
//!
//! Promises: the sealing fields are there exactly when the cipher and the protection want them. The fields of a kind are
//! that kind's business; unknown ones are ignored.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base64_field::Base64Array;
use crate::id::Generation;
use crate::seal::Cipher;
use crate::seal::wrap::WRAP_BYTES;

/// The names of the sealing fields, which no kind may use for its own.
const SEALING_FIELDS: [&str; 5] = ["cipher", "frames", "generation", "salt", "wrap"];

/// How an object's frames are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Frames {
    /// Under the object key: needs the cluster's secret.
    Content,
    /// Under the meta object key.
    Meta,
    /// Not at all: cipher `none`.
    Plain,
}

/// The fields of a header that say how the object is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealingFields {
    /// The repository's cipher.
    pub cipher: Cipher,
    /// The frames' protection.
    pub frames: Frames,
    /// The keys' generation; absent with cipher `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// For the meta object key; absent with cipher `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Base64Array<32>>,
    /// The wrapped object key; there with frames of protection `content`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wrap: Option<Base64Array<WRAP_BYTES>>,
}

/// Why a header is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// Not a JSON object with the sealing fields.
    #[error("header cannot be read: {reason}")]
    Json {
        /// What the JSON reader says.
        reason: String,
    },
    /// Sealing fields that do not belong together.
    #[error("header: {what}")]
    Contradiction {
        /// Which.
        what: &'static str,
    },
    /// A field of the kind that has a sealing field's name.
    #[error("header field {name:?} is taken")]
    Taken {
        /// Its name.
        name: String,
    },
}

impl SealingFields {
    fn check(&self) -> Result<(), HeaderFault> {
        let keyed = self.generation.is_some() && self.salt.is_some();
        let bare = self.generation.is_none() && self.salt.is_none() && self.wrap.is_none();
        let what = match (self.cipher, self.frames) {
            (Cipher::None, Frames::Plain) if !bare => "keys named, but nothing is encrypted",
            (Cipher::None, Frames::Content | Frames::Meta) => "frames said to be encrypted by no cipher",
            (Cipher::Aes256Gcm, Frames::Plain) => "frames not encrypted, but there is a cipher",
            (Cipher::Aes256Gcm, _) if !keyed => "generation or salt is missing",
            (Cipher::Aes256Gcm, Frames::Content) if self.wrap.is_none() => "wrapped object key is missing",
            (Cipher::Aes256Gcm, Frames::Meta) if self.wrap.is_some() => "wrapped object key without use",
            _ => return Ok(()),
        };
        Err(HeaderFault::Contradiction { what })
    }
}

/// A header's fields, all and the sealing ones.
pub(super) fn parse(bytes: &[u8]) -> Result<(Map<String, Value>, SealingFields), HeaderFault> {
    let json = |error: serde_json::Error| HeaderFault::Json { reason: error.to_string() };
    let header: Map<String, Value> = serde_json::from_slice(bytes).map_err(json)?;
    let sealing: SealingFields = serde_json::from_slice(bytes).map_err(json)?;
    sealing.check()?;
    Ok((header, sealing))
}

/// The header's bytes from a kind's fields and the sealing ones.
pub(crate) fn encode(
    mut fields: Map<String, Value>,
    sealing: &SealingFields,
) -> Result<Vec<u8>, HeaderFault> {
    if let Some(name) = SEALING_FIELDS.into_iter().find(|name| fields.contains_key(*name)) {
        return Err(HeaderFault::Taken { name: name.to_owned() });
    }
    sealing.check()?;
    let json = |error: serde_json::Error| HeaderFault::Json { reason: error.to_string() };
    if let Value::Object(own) = serde_json::to_value(sealing).map_err(json)? {
        fields.extend(own);
    }
    serde_json::to_vec(&fields).map_err(json)
}

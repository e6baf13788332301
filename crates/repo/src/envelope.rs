//! The head of every binary object: what it is, how long its parts are, who wrote it, and the checks on all that.
//!
//! Promises: [`Head::parse`] believes no length before it is checked against its bound, tells damage from forgery and
//! from a newer version, and never needs more than [`HEAD_BYTES_MAX`]. A parsed head is not yet believed: its signature
//! is checked by `trust`, its body against the digest by `object`.

use serde_json::{Map, Value};

use crate::bytes::{Reader, Writer};
use crate::id::{RepositoryId, WriterId};
use crate::keys::{Digest, SIGNATURE_BYTES, WriterKey};
use crate::layout::{Named, ObjectName};

mod fixed;
pub(crate) mod header;

use fixed::{Fixed, check_sum};
pub use header::{Frames, HeaderFault, SealingFields};

/// How every object begins.
pub const MAGIC: [u8; 8] = *b"SEAWALL\n";
/// The version this program writes, and the newest it reads.
pub const VERSION: u8 = 1;
/// Longest header.
pub const HEADER_BYTES_MAX: usize = 65_536;
/// Longest body.
pub const BODY_BYTES_MAX: u64 = 268_435_456;
/// Longest head.
pub const HEAD_BYTES_MAX: usize = HEADER_BYTES_MAX + HEAD_BYTES_WITHOUT_HEADER;
/// A head without its header.
pub const HEAD_BYTES_WITHOUT_HEADER: usize = FIXED_BYTES + DIGESTS_AND_WRITER_BYTES + SIGNATURE_BYTES + 8;

/// What stands before the header.
const FIXED_BYTES: usize = 32;
/// Plain digest, stored digest, writer id.
const DIGESTS_AND_WRITER_BYTES: usize = 32 + 32 + 16;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A backup's manifest.
    Manifest,
    /// A pack of pages.
    Pack,
    /// A map object.
    Map,
    /// A file of the WAL archive, or a part of one.
    Wal,
    /// What a full folder of WAL says, in one object.
    Chapter,
    /// What happened, and by whom.
    Event,
}

impl Kind {
    /// Its number in the envelope.
    pub fn to_u8(self) -> u8 {
        match self {
            Self::Manifest => 1,
            Self::Pack => 2,
            Self::Map => 3,
            Self::Wal => 4,
            Self::Chapter => 5,
            Self::Event => 7,
        }
    }

    /// The kind with this number.
    pub fn from_u8(number: u8) -> Option<Self> {
        let known = [Self::Manifest, Self::Pack, Self::Map, Self::Wal, Self::Chapter, Self::Event];
        known.into_iter().find(|kind| kind.to_u8() == number)
    }

    /// The kind that an object of this name has; none for signed text.
    pub fn of_name(name: &ObjectName) -> Option<Self> {
        match name.named() {
            Named::Manifest { .. } => Some(Self::Manifest),
            Named::Pack { .. } => Some(Self::Pack),
            Named::Map { .. } => Some(Self::Map),
            Named::Wal { .. } | Named::WalPart { .. } => Some(Self::Wal),
            Named::Chapter { .. } => Some(Self::Chapter),
            Named::Event { .. } => Some(Self::Event),
            _ => None,
        }
    }
}

/// Why bytes are not a head this version understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Something else than a seawall object.
    #[error("not a seawall object")]
    NotSeawall,
    /// The bytes end before the head or the object does.
    #[error("truncated: wanted: {wanted} bytes, there: {there}")]
    Truncated {
        /// Bytes wanted.
        wanted: u64,
        /// Bytes there.
        there: u64,
    },
    /// More bytes than the head announces.
    #[error("longer than its head says: wanted: {wanted} bytes, there: {there}")]
    TooLong {
        /// Bytes announced.
        wanted: u64,
        /// Bytes there.
        there: u64,
    },
    /// The head's check sum is wrong.
    #[error("head is damaged")]
    Damaged,
    /// Written by a newer version.
    #[error("format version {found} is newer than this program, which reads up to {VERSION}")]
    NewerVersion {
        /// The version found.
        found: u8,
    },
    /// A feature without which the object must not be read.
    #[error("needs features this program does not know: {bits:#010x}")]
    UnknownFeatures {
        /// The unknown bits.
        bits: u32,
    },
    /// A kind of object that this version does not know.
    #[error("kind of object unknown to this program: {found}")]
    UnknownKind {
        /// The number found.
        found: u8,
    },
    /// A length outside its bounds.
    #[error("{what} of {found} bytes, outside its bounds")]
    Length {
        /// Which part.
        what: &'static str,
        /// Its announced length.
        found: u64,
    },
    /// Bytes that must be zero are not.
    #[error("reserved bytes are not zero")]
    Reserved,
    /// The header.
    #[error(transparent)]
    Header(#[from] HeaderFault),
}

/// A head, checked against damage but not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    kind: Kind,
    front_bytes: u32,
    body_bytes: u64,
    header_bytes: usize,
    header: Map<String, Value>,
    sealing: SealingFields,
    plain_digest: Digest,
    stored_digest: Digest,
    writer: WriterId,
    signature: [u8; SIGNATURE_BYTES],
    /// Bytes 0 to 112+H: what is signed.
    signed: Vec<u8>,
}

impl Head {
    /// How many bytes from the beginning of an object its head takes: first asked with at least 32 bytes.
    pub fn needs(prefix: &[u8]) -> Result<usize, HeadError> {
        let fixed = Fixed::parse(prefix)?;
        let header_len = fixed.header_len().map_err(|error| fixed.check().err().unwrap_or(error))?;
        Ok(HEAD_BYTES_WITHOUT_HEADER + header_len)
    }

    /// Reads a head from the beginning of an object; `prefix` may go on into the body.
    pub fn parse(prefix: &[u8]) -> Result<Self, HeadError> {
        let wanted = Self::needs(prefix)?;
        let fixed = Fixed::parse(prefix)?;
        let truncated = || match fixed.check() {
            Err(error @ HeadError::NewerVersion { .. }) => error,
            _ => HeadError::Truncated { wanted: wanted as u64, there: prefix.len() as u64 },
        };
        let raw = prefix.get(..wanted).ok_or_else(truncated)?;
        check_sum(raw, fixed)?;
        let kind = fixed.check()?;
        // The lengths are those of `wanted`, so nothing below can end early.
        Self::split(raw, fixed, kind).ok_or_else(truncated)?
    }

    fn split(raw: &[u8], fixed: Fixed, kind: Kind) -> Option<Result<Self, HeadError>> {
        let header_bytes = usize::try_from(fixed.header_bytes).ok()?;
        let signed = raw.get(..FIXED_BYTES + header_bytes + DIGESTS_AND_WRITER_BYTES)?;
        let mut reader = Reader::new(raw.get(FIXED_BYTES..)?);
        let header = header::parse(reader.take(header_bytes).ok()?);
        let (plain_digest, stored_digest) = (reader.array().ok()?, reader.array().ok()?);
        let writer = WriterId::from_bytes(reader.array().ok()?);
        let signature = reader.array().ok()?;
        Some(header.map_err(HeadError::from).map(|(header, sealing)| Self {
            kind,
            front_bytes: fixed.front_bytes,
            body_bytes: fixed.body_bytes,
            header_bytes,
            header,
            sealing,
            plain_digest,
            stored_digest,
            writer,
            signature,
            signed: signed.to_vec(),
        }))
    }

    /// Refuses an object that is not as long as its head says.
    pub fn check_object_bytes(&self, there: u64) -> Result<(), HeadError> {
        let wanted = self.head_bytes() as u64 + self.body_bytes;
        match there.cmp(&wanted) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less => Err(HeadError::Truncated { wanted, there }),
            std::cmp::Ordering::Greater => Err(HeadError::TooLong { wanted, there }),
        }
    }

    /// What the object is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Bytes of the head: where the body begins in the object.
    pub fn head_bytes(&self) -> usize {
        HEAD_BYTES_WITHOUT_HEADER + self.header_bytes
    }

    /// Bytes of the body.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Bytes of the front section as stored; 0 if there is none.
    pub fn front_bytes(&self) -> u32 {
        self.front_bytes
    }

    /// All fields of the header.
    pub fn header(&self) -> &Map<String, Value> {
        &self.header
    }

    /// The fields of the header that say how the object is sealed.
    pub fn sealing(&self) -> &SealingFields {
        &self.sealing
    }

    /// The digest of the plain content: what two objects are compared by.
    pub fn plain_digest(&self) -> &Digest {
        &self.plain_digest
    }

    /// The BLAKE3 of the body as stored.
    pub fn stored_digest(&self) -> &Digest {
        &self.stored_digest
    }

    /// Who claims to have written the object.
    pub fn writer(&self) -> WriterId {
        self.writer
    }

    pub(crate) fn signature(&self) -> &[u8; SIGNATURE_BYTES] {
        &self.signature
    }

    /// What the signature is over.
    pub(crate) fn message(&self, repository: &RepositoryId, name: &ObjectName) -> Vec<u8> {
        message(repository, name, &self.signed)
    }

    pub(crate) fn aad_base(&self, repository: &RepositoryId, name: &ObjectName) -> [u8; 32] {
        let header = self.signed.get(FIXED_BYTES..FIXED_BYTES + self.header_bytes).unwrap_or_default();
        aad_base(repository, name, self.kind, header)
    }
}

fn message(repository: &RepositoryId, name: &ObjectName, signed: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(signed.len() + 256);
    named_prefix(&mut writer, b"seawall/1 object\n", repository, name);
    writer.raw(signed);
    writer.into_bytes()
}

/// The beginning of everything that is signed or tied to an object's place.
pub(crate) fn named_prefix(writer: &mut Writer, what: &[u8], repository: &RepositoryId, name: &ObjectName) {
    writer.raw(what);
    writer.raw(repository.as_bytes());
    // Names have some 200 bytes at most.
    writer.u32(name.as_str().len() as u32);
    writer.raw(name.as_str().as_bytes());
}

/// What every sealing of an object is tied to (`AADBASE`).
pub(crate) fn aad_base(repository: &RepositoryId, name: &ObjectName, kind: Kind, header: &[u8]) -> [u8; 32] {
    let mut writer = Writer::with_capacity(header.len() + 256);
    named_prefix(&mut writer, b"seawall/1 aad\n", repository, name);
    let fixed = Fixed {
        kind: kind.to_u8(),
        version: VERSION,
        zero: 0,
        features: 0,
        header_bytes: header.len() as u32,
        front_bytes: 0,
        body_bytes: 0,
    };
    writer.raw(&fixed.encode());
    writer.raw(header);
    *blake3::hash(writer.as_slice()).as_bytes()
}

/// What the wrapped object key is tied to. Not `AADBASE`, which covers the header and so the wrapped key itself.
pub(crate) fn wrap_aad(repository: &RepositoryId, name: &ObjectName) -> [u8; 32] {
    let mut writer = Writer::with_capacity(256);
    named_prefix(&mut writer, b"seawall/1 wrap aad\n", repository, name);
    *blake3::hash(writer.as_slice()).as_bytes()
}

/// What a head is written from, once the body stands.
pub(crate) struct HeadDraft<'a> {
    pub(crate) kind: Kind,
    pub(crate) header: &'a [u8],
    pub(crate) front_bytes: u32,
    pub(crate) body_bytes: u64,
    pub(crate) plain_digest: Digest,
    pub(crate) stored_digest: Digest,
}

impl HeadDraft<'_> {
    /// The head's bytes, signed.
    pub(crate) fn encode(&self, repository: &RepositoryId, name: &ObjectName, key: &WriterKey) -> Vec<u8> {
        let fixed = Fixed {
            kind: self.kind.to_u8(),
            version: VERSION,
            zero: 0,
            features: 0,
            header_bytes: self.header.len() as u32,
            front_bytes: self.front_bytes,
            body_bytes: self.body_bytes,
        };
        let mut writer = Writer::with_capacity(HEAD_BYTES_WITHOUT_HEADER + self.header.len());
        writer.raw(&fixed.encode());
        writer.raw(self.header);
        writer.raw(&self.plain_digest);
        writer.raw(&self.stored_digest);
        writer.raw(key.id().as_bytes());
        let signature = key.sign(&message(repository, name, writer.as_slice()));
        writer.raw(&signature);
        let crc = crc32c::crc32c(writer.as_slice());
        writer.u32(crc);
        writer.u32(0);
        writer.into_bytes()
    }
}

#[cfg(test)]
mod tests;

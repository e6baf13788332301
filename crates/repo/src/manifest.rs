//! The manifest: the object whose existence makes a backup exist, and from which everything about it is found.
//!
//! The header stands in plain in the first 4,096 bytes and holds what listing and pruning need; the body is one JSON
//! document in sealed frames. Promises that what is written and what is read passes the same checks: fields that agree
//! with each other and with the object's name, LSNs in order, tables that hold what is referred to. Deliberately does
//! not resolve maps, and knows no rule of PostgreSQL beyond the order of LSNs.

use crate::compress::{Compressor, Decompressor};
use crate::entropy::Entropy;
use crate::envelope::HEAD_BYTES_WITHOUT_HEADER;
use crate::error::ObjectError;
use crate::keys::{DigestKey, WriterKey};
use crate::layout::{Named, Place};
use crate::object::{BuildError, ObjectBuilder, OpenHead, SealedObject, WholeObject};
use crate::seal::{Protection, Sealer};

mod body;
mod header;
mod server;

pub use body::{BlockRow, Finding, ManifestBody};
pub use header::{ManifestHeader, USES_MAX, Way};
pub use server::{
    Collation, Database, Extension, PreparedTransaction, RowEstimate, ServerFacts, Slot, Subscription,
    Tablespace, UnloggedTable,
};

/// The head with the header stays within this, so that one small read lists a backup.
pub const MANIFEST_HEAD_BYTES_MAX: usize = 4_096;

/// Largest body when opened.
pub const MANIFEST_BODY_BYTES_MAX: usize = 64 << 20;

/// Most findings listed one by one; beyond that they are counted.
pub const FINDINGS_MAX: usize = 10_000;

/// A backup's manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// What listing and pruning need.
    pub header: ManifestHeader,
    /// The rest.
    pub body: ManifestBody,
}

/// Why a manifest cannot be written or believed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ManifestError {
    /// The object cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The object cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Not the JSON it should be.
    #[error("manifest cannot be read: {reason}")]
    Json {
        /// What the JSON reader says.
        reason: String,
    },
    /// A rule broken.
    #[error("manifest contradicts itself: {what}")]
    Contradiction {
        /// Which rule.
        what: &'static str,
    },
    /// A header so long that listing would need a second read.
    #[error("head of {bytes} bytes, at most {MANIFEST_HEAD_BYTES_MAX}")]
    HeadTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A body larger than a reader takes.
    #[error("body of {bytes} bytes, at most {MANIFEST_BODY_BYTES_MAX}")]
    BodyTooLong {
        /// Its length.
        bytes: usize,
    },
}

fn require(holds: bool, what: &'static str) -> Result<(), ManifestError> {
    if holds { Ok(()) } else { Err(ManifestError::Contradiction { what }) }
}

impl ManifestHeader {
    /// The header from a verified head, checked against the object's name. All that listing needs.
    pub fn open(head: &OpenHead) -> Result<Self, ManifestError> {
        let header: Self = head.header_as()?;
        let bytes = head.head().head_bytes();
        if bytes > MANIFEST_HEAD_BYTES_MAX {
            return Err(ManifestError::HeadTooLong { bytes });
        }
        let Named::Manifest { place, backup } = head.name().named() else {
            return Err(ManifestError::Contradiction { what: "it is not a manifest" });
        };
        header.check()?;
        header.check_name(place, *backup)?;
        Ok(header)
    }
}

impl Manifest {
    /// Seals the manifest. The caller puts it last: it is the commit point of a backup.
    pub fn seal(
        &self,
        sealer: &Sealer,
        key: &WriterKey,
        compressor: &mut Compressor,
        entropy: &mut dyn Entropy,
    ) -> Result<SealedObject, ManifestError> {
        self.header.check()?;
        let plain = self.body.encode(&self.header)?;
        if plain.len() > MANIFEST_BODY_BYTES_MAX {
            return Err(ManifestError::BodyTooLong { bytes: plain.len() });
        }
        let place = Place { cluster: self.header.cluster.clone(), system: self.header.system };
        let name = Named::Manifest { place, backup: self.header.backup }.to_name();
        let fields = self.header.to_fields()?;
        let object = ObjectBuilder::new(sealer, &name, fields, Protection::Meta, None, entropy)?;
        let head_bytes = object.stored_len();
        if head_bytes > MANIFEST_HEAD_BYTES_MAX {
            return Err(ManifestError::HeadTooLong { bytes: head_bytes });
        }
        Ok(object.finish_document(&plain, compressor, sealer.digest_key(), key)?)
    }

    /// Opens and checks a manifest whose signature and stored bytes were verified; `digest_key` is that of the
    /// generation in its head.
    pub fn open(
        whole: &WholeObject<'_>,
        digest_key: &DigestKey,
        decompressor: &mut Decompressor,
    ) -> Result<Self, ManifestError> {
        let header = ManifestHeader::open(whole.head())?;
        let plain = whole.all_frames(MANIFEST_BODY_BYTES_MAX, decompressor)?;
        whole.head().verify_plain(&digest_key.digest(&plain))?;
        let body = ManifestBody::decode(&plain, &header)?;
        Ok(Self { header, body })
    }
}

const _: () = assert!(HEAD_BYTES_WITHOUT_HEADER < MANIFEST_HEAD_BYTES_MAX);

#[cfg(test)]
#[path = "manifest/tests.rs"]
mod tests;

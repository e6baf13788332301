//! WAL files as objects: segments, `.partial`, `.backup` and `.history` files; a large segment in parts.
//!
//! Promises: what is read back is byte for byte the file, checked against the signed digest of its plain bytes, which is
//! also what two objects of one name are compared by. The object under the plain name is made last and tells the digests
//! of its parts. Deliberately does not look into the WAL: whether a segment belongs here is asked before.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use seawall_pg::{Timeline, WalFileName, WalSegmentSize};

use crate::base64_field::Base64Array;
use crate::compress::{
    CompressError, CompressedFrame, Compressor, FRAME_PLAIN_BYTES_MAX, SECTION_PLAIN_BYTES_MAX,
};
use crate::entropy::Entropy;
use crate::id::SystemId;
use crate::keys::{DIGEST_BYTES, Digest, WriterKey};
use crate::layout::{Named, ObjectName, PartedFile, Place};
use crate::object::{BuildError, ObjectBuilder, SealedObject};
use crate::seal::{Protection, Sealer};
use crate::time::Time;
use crate::wal_index::INDEX_VERSION;

mod read;

pub use read::{NoIndex, OpenWal, PartJoiner, Taken, WalContent, WalReader};

/// Files longer than this lie in parts of this length.
pub const PART_BYTES: usize = 32 << 20;
/// The plain length of every frame of a WAL file but the last.
pub const WAL_FRAME_BYTES: usize = FRAME_PLAIN_BYTES_MAX;
/// The most parts a file can have: a segment has at most 1 GiB.
pub const PARTS_MAX: usize = (1 << 30) / PART_BYTES;

/// Room for the frames of a file that lies in one object: at most as many as it has MiB, some ten bytes each.
const FRAME_TABLE_BYTES_MAX: usize = 4096;
/// What the header says where there is no index.
const NO_INDEX: &str = "none";

/// What a WAL object holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WalWhat {
    /// A whole segment.
    Segment,
    /// The last, unfinished segment of a timeline.
    Partial,
    /// A backup history file.
    Backup,
    /// A timeline history file.
    History,
    /// A part of a large segment or `.partial` file.
    Part,
}

impl WalWhat {
    /// What the object under a file's own name holds.
    fn of(file: WalFileName) -> Self {
        match file {
            WalFileName::Segment(_) => Self::Segment,
            WalFileName::Partial(_) => Self::Partial,
            WalFileName::BackupHistory { .. } => Self::Backup,
            WalFileName::TimelineHistory(_) => Self::History,
        }
    }
}

/// The header's fields of a WAL object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalHeader {
    /// PostgreSQL's name of the file (of the whole, in a part).
    pub file: WalFileName,
    /// What the object holds.
    pub what: WalWhat,
    /// The system identifier.
    pub system: SystemId,
    /// The timeline in the file's name.
    pub timeline: Timeline,
    /// The cluster's segment size.
    pub segment_size: WalSegmentSize,
    /// Plain bytes of the file, or of the part.
    pub size: u64,
    /// The host that archived it.
    pub host: String,
    /// When, by that host's clock.
    pub archived: Time,
    /// The version of the index of the WAL in the front section; `none` says that there is none.
    pub index: String,
    /// Why there is no index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The digest of the plain front section: the signature covers it, so the index can be believed without reading the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_digest: Option<Base64Array<DIGEST_BYTES>>,
    /// Which part, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// The plain digests of all parts, in order: where the file lies in parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Vec<Base64Array<DIGEST_BYTES>>>,
}

/// What is said of a WAL file besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalFacts {
    /// Where the object goes.
    pub place: Place,
    /// PostgreSQL's name.
    pub file: WalFileName,
    /// The cluster's segment size.
    pub segment_size: WalSegmentSize,
    /// The host that archives it.
    pub host: String,
    /// When, by that host's clock.
    pub archived: Time,
}

/// What is told of the records in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Indexed {
    /// Nothing, and why.
    Not(String),
    /// A segment's index, and what its transactions did: both encoded.
    Index {
        /// [`crate::wal_index::SegmentIndex::encode`].
        front: Vec<u8>,
        /// [`crate::wal_index::transactions::Transactions::encode`].
        transactions: Vec<u8>,
    },
}

/// Why an index cannot stand in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "its index of {front} bytes and {transactions} bytes of transactions are longer than an object has room for"
)]
pub struct IndexTooLong {
    /// Bytes of the index.
    pub front: usize,
    /// Bytes of what transactions did.
    pub transactions: usize,
}

impl Indexed {
    /// An index and what transactions did, encoded.
    ///
    /// # Errors
    /// One of them is longer than a section of an object may be; the footer also holds the table of frames.
    pub fn new(front: Vec<u8>, transactions: Vec<u8>) -> Result<Self, IndexTooLong> {
        let most = SECTION_PLAIN_BYTES_MAX - FRAME_TABLE_BYTES_MAX;
        if front.len() > most || transactions.len() > most {
            return Err(IndexTooLong { front: front.len(), transactions: transactions.len() });
        }
        Ok(Self::Index { front, transactions })
    }

    fn front(&self) -> Option<&[u8]> {
        match self {
            Self::Not(_) => None,
            Self::Index { front, .. } => Some(front),
        }
    }

    fn contents(&self) -> &[u8] {
        match self {
            Self::Not(_) => &[],
            Self::Index { transactions, .. } => transactions,
        }
    }
}

/// Why a WAL file cannot be made an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalBuildError {
    /// Building.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A file of a kind that cannot be so long.
    #[error("{file} of {bytes} bytes is too long for one object and of a kind that has no parts")]
    TooLong {
        /// Its name.
        file: WalFileName,
        /// Its length.
        bytes: u64,
    },
    /// An index in a part: it belongs to the object of the whole.
    #[error("a part of {file} cannot have the index of the whole")]
    IndexOfPart {
        /// Its name.
        file: WalFileName,
    },
    /// Another number of parts than a file of this length has.
    #[error(
        "{parts} parts of a file of {bytes} bytes, wanted parts of {PART_BYTES} and 2 to {PARTS_MAX} of them"
    )]
    Parts {
        /// How many.
        parts: usize,
        /// The file's length.
        bytes: u64,
    },
}

impl From<CompressError> for WalBuildError {
    fn from(error: CompressError) -> Self {
        Self::Build(error.into())
    }
}

/// Makes the objects of one WAL file: with what it seals and signs.
#[derive(Debug, Clone, Copy)]
pub struct WalSealer<'a> {
    /// What is said of the file.
    pub facts: &'a WalFacts,
    /// What is told of its records.
    pub index: &'a Indexed,
    /// Seals for the file's cluster.
    pub sealer: &'a Sealer,
    /// Signs.
    pub key: &'a WriterKey,
}

impl WalSealer<'_> {
    /// The object of a whole file of at most [`PART_BYTES`].
    pub fn seal(
        &self,
        plain: &[u8],
        compressor: &mut Compressor,
        entropy: &mut dyn Entropy,
    ) -> Result<SealedObject, WalBuildError> {
        let read = PlainRead::of(plain, self.sealer, compressor)?;
        self.seal_read(&read, entropy)
    }

    /// The same of a file that was read, digested and compressed elsewhere.
    pub fn seal_read(
        &self,
        read: &PlainRead<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<SealedObject, WalBuildError> {
        let facts = self.facts;
        if read.bytes > PART_BYTES as u64 {
            return Err(WalBuildError::TooLong { file: facts.file, bytes: read.bytes });
        }
        let header = self.header(facts.what(), read.bytes);
        self.seal_draft(&facts.name(), &header, read.digest, &read.frames, entropy)
    }

    /// Part `number` of a file longer than [`PART_BYTES`]: put before the object of [`WalSealer::seal_parted`].
    pub fn seal_part(
        &self,
        number: u32,
        read: &PlainRead<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<SealedObject, WalBuildError> {
        let (facts, bytes) = (self.facts, read.bytes);
        let file = PartedFile::of(facts.file).filter(|_| bytes <= PART_BYTES as u64);
        let file = file.ok_or(WalBuildError::TooLong { file: facts.file, bytes })?;
        let name = Named::WalPart { place: facts.place.clone(), file, part: number }.to_name();
        if self.index.front().is_some() {
            return Err(WalBuildError::IndexOfPart { file: facts.file });
        }
        let header = WalHeader { part: Some(number), ..self.header(WalWhat::Part, bytes) };
        self.seal_draft(&name, &header, read.digest, &read.frames, entropy)
    }

    /// The object under the plain name of a file in parts: their digests in order, the digest and length of the whole.
    pub fn seal_parted(
        &self,
        parts: &[Digest],
        whole: Digest,
        size: u64,
        entropy: &mut dyn Entropy,
    ) -> Result<SealedObject, WalBuildError> {
        let facts = self.facts;
        PartedFile::of(facts.file).ok_or(WalBuildError::TooLong { file: facts.file, bytes: size })?;
        if parts_of(size) != Some(parts.len()) {
            return Err(WalBuildError::Parts { parts: parts.len(), bytes: size });
        }
        let digests = parts.iter().map(|digest| Base64Array(*digest)).collect();
        let header = WalHeader { parts: Some(digests), ..self.header(facts.what(), size) };
        self.seal_draft(&facts.name(), &header, whole, &[], entropy)
    }

    fn seal_draft(
        &self,
        name: &ObjectName,
        header: &WalHeader,
        digest: Digest,
        frames: &[CompressedFrame<'_>],
        entropy: &mut dyn Entropy,
    ) -> Result<SealedObject, WalBuildError> {
        let (fields, protection) = (header_fields(header)?, self.facts.protection());
        let mut builder =
            ObjectBuilder::new(self.sealer, name, fields, protection, self.index.front(), entropy)?;
        // Payloads, tags, and a footer of some bytes a frame: one allocation for the whole object.
        builder.reserve(
            frames.iter().map(|frame| frame.payload_len() + 32).sum::<usize>()
                + 512
                + self.index.contents().len(),
        );
        for frame in frames {
            builder.push_compressed(frame)?;
        }
        Ok(builder.finish(self.index.contents(), digest, self.key)?)
    }

    fn header(&self, what: WalWhat, size: u64) -> WalHeader {
        let facts = self.facts;
        let (index, reason, index_digest) = match self.index {
            Indexed::Not(reason) => (NO_INDEX, Some(reason.clone()), None),
            Indexed::Index { front, .. } => {
                (INDEX_VERSION, None, Some(Base64Array(self.sealer.digest_key().digest(front))))
            }
        };
        WalHeader {
            file: facts.file,
            what,
            system: facts.place.system,
            timeline: facts.file.timeline(),
            segment_size: facts.segment_size,
            size,
            host: facts.host.clone(),
            archived: facts.archived,
            index: index.to_owned(),
            reason,
            index_digest,
            part: None,
            parts: None,
        }
    }
}

/// How many parts a file of this length lies in; none if it is no length of a file in parts.
fn parts_of(size: u64) -> Option<usize> {
    let parts = usize::try_from(size.div_ceil(PART_BYTES as u64)).ok()?;
    (2..=PARTS_MAX).contains(&parts).then_some(parts)
}

impl WalFacts {
    /// The name of the object: for a file in parts, of the one that is put last.
    pub fn name(&self) -> ObjectName {
        Named::Wal { place: self.place.clone(), file: self.file }.to_name()
    }

    fn what(&self) -> WalWhat {
        WalWhat::of(self.file)
    }

    /// History files are read by hosts too: they tell which timeline goes on where.
    fn protection(&self) -> Protection {
        match self.file {
            WalFileName::Segment(_) | WalFileName::Partial(_) => Protection::Content,
            WalFileName::BackupHistory { .. } | WalFileName::TimelineHistory(_) => Protection::Meta,
        }
    }
}

/// A WAL file or part that was read: what sealing needs of its plain bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainRead<'a> {
    /// Plain bytes.
    pub bytes: u64,
    /// Their digest, by the sealer's digest key.
    pub digest: Digest,
    /// Their frames in order, of [`WAL_FRAME_BYTES`] but the last.
    pub frames: Vec<CompressedFrame<'a>>,
}

impl<'a> PlainRead<'a> {
    /// Digests and compresses bytes in memory, on this thread.
    pub fn of(plain: &'a [u8], sealer: &Sealer, compressor: &mut Compressor) -> Result<Self, CompressError> {
        let frames = plain.chunks(WAL_FRAME_BYTES).map(|frame| compressor.compress_frame(frame));
        let frames = frames.collect::<Result<_, _>>()?;
        Ok(Self { bytes: plain.len() as u64, digest: sealer.digest_key().digest(plain), frames })
    }
}

fn header_fields(header: &WalHeader) -> Result<Map<String, Value>, WalBuildError> {
    let json = |reason: String| {
        WalBuildError::Build(BuildError::Header(crate::envelope::HeaderFault::Json { reason }))
    };
    match serde_json::to_value(header) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(json("not an object".to_owned())),
        Err(error) => Err(json(error.to_string())),
    }
}

#[cfg(test)]
mod tests;

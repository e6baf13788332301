//! Chapters: what the segments of a full folder say, in one object instead of hundreds.
//!
//! Promises: a chapter tells of every segment of its folder, in order, what its own index tells, and joins what changed; what is decoded
//! says the same when written again. It is a cache: whoever reads one must be right without it, because it may be missing, and because
//! a writer may have put it beside segments that he did not write. Deliberately believes nothing about the segments themselves.

use seawall_pg::{SegmentName, WalFileName, WalFolder, WalSegmentSize};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base64_field::Base64Array;
use crate::bytes::{DecodeError, Reader, Writer};
use crate::compress::{Compressor, Decompressor};
use crate::entropy::Entropy;
use crate::envelope::HeaderFault;
use crate::error::{Fault, ObjectError};
use crate::id::{Generation, SystemId};
use crate::keys::{DIGEST_BYTES, Digest, DigestKey, WriterKey};
use crate::layout::{Named, Place};
use crate::object::{BuildError, ObjectBuilder, OpenHead, SealedObject, WholeObject};
use crate::seal::{Protection, Sealer};
use crate::wal_index::{Changes, SegmentIndex};
use crate::wal_object::{NoIndex, WalHeader};

/// Longest chapter, opened. A folder that says more gets none: reading its segments is the way then.
pub const CHAPTER_BYTES_MAX: usize = 32 << 20;
/// A reference to a page takes so many bytes of a record at least, and a folder has 4 GiB of them.
const PAGES_MAX: u64 = (4 << 30) / 8;

/// The header's fields of a chapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChapterHeader {
    /// The system identifier.
    pub system: SystemId,
    /// The folder.
    pub folder: WalFolder,
    /// The cluster's segment size.
    pub segment_size: WalSegmentSize,
}

/// One segment of the folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChapterSegment {
    /// Its name.
    pub segment: SegmentName,
    /// Its plain bytes.
    pub size: u64,
    /// The plain digest of its object.
    pub digest: Base64Array<DIGEST_BYTES>,
    /// The generation of keys that the digest was made with; none where nothing is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// What its index says but for its changes; none where it has no index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<SegmentIndex>,
    /// Why it has no index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A chapter.
#[derive(Debug, Clone, PartialEq)]
pub struct Chapter {
    folder: WalFolder,
    segment_size: WalSegmentSize,
    segments: Vec<ChapterSegment>,
    changes: Changes,
}

/// Puts a chapter together, segment by segment: memory is that of what they say joined.
#[derive(Debug, Default)]
pub struct ChapterBuilder {
    segments: Vec<ChapterSegment>,
    changes: Changes,
}

/// Why something is no chapter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChapterError {
    /// The words in front.
    #[error("the chapter's words cannot be read: {reason}")]
    Words {
        /// Why.
        reason: String,
    },
    /// The changes behind them.
    #[error("the chapter's changes cannot be read")]
    Changes(#[from] DecodeError),
    /// Not the segments of its folder, each once and in order.
    #[error("the chapter of {folder} does not tell of every segment of the folder, in order")]
    OtherSegments {
        /// Which folder.
        folder: WalFolder,
    },
    /// A segment with an index and a reason why it has none, or with neither.
    #[error("the chapter says two things of segment {segment}: it must have an index or a reason why not")]
    Undecided {
        /// Which.
        segment: SegmentName,
    },
    /// More than a chapter may say.
    #[error("the chapter of {folder} would have {bytes} bytes, at most {CHAPTER_BYTES_MAX}")]
    TooLong {
        /// Which folder.
        folder: WalFolder,
        /// Its length.
        bytes: usize,
    },
    /// The object cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Words in front, as they are read.
#[derive(Deserialize)]
struct Words {
    segments: Vec<ChapterSegment>,
}

/// The same as they are written.
#[derive(Serialize)]
struct WordsOf<'a> {
    segments: &'a [ChapterSegment],
}

impl ChapterSegment {
    /// What the object of this head, and the index in front of it, say.
    ///
    /// # Errors
    /// It is the head of something else than a whole segment.
    pub fn of(head: &OpenHead, index: Result<SegmentIndex, NoIndex>) -> Result<Self, ObjectError> {
        let header: WalHeader = head.header_as()?;
        let WalFileName::Segment(segment) = header.file else { return Err(head.fault(Fault::OtherKind)) };
        let (index, reason) = match index {
            Ok(index) => (Some(index), None),
            Err(none) => (None, Some(none.to_string())),
        };
        let digest = Base64Array(*head.head().plain_digest());
        Ok(Self { segment, size: header.size, digest, generation: head.generation(), index, reason })
    }
}

impl ChapterBuilder {
    /// Adds the next segment, whose index still has its changes.
    pub fn push(&mut self, mut segment: ChapterSegment) {
        if let Some(index) = &mut segment.index {
            self.changes.join(&std::mem::take(&mut index.changes));
        }
        self.segments.push(segment);
    }

    /// The chapter.
    ///
    /// # Errors
    /// What was added are not the segments of this folder, each once and in order, or say more than one thing.
    pub fn finish(self, folder: WalFolder, size: WalSegmentSize) -> Result<Chapter, ChapterError> {
        Chapter::checked(folder, size, self.segments, self.changes)
    }
}

impl Chapter {
    /// A chapter of these segments, whose changes were joined.
    fn checked(
        folder: WalFolder,
        segment_size: WalSegmentSize,
        segments: Vec<ChapterSegment>,
        changes: Changes,
    ) -> Result<Self, ChapterError> {
        let names = segments.iter().map(|segment| segment.segment);
        if !names.eq(folder.segments(segment_size)) {
            return Err(ChapterError::OtherSegments { folder });
        }
        match segments.iter().find(|segment| segment.index.is_some() == segment.reason.is_some()) {
            Some(undecided) => Err(ChapterError::Undecided { segment: undecided.segment }),
            None => Ok(Self { folder, segment_size, segments, changes }),
        }
    }

    /// The folder.
    pub fn folder(&self) -> WalFolder {
        self.folder
    }

    /// The size of its segments.
    pub fn segment_size(&self) -> WalSegmentSize {
        self.segment_size
    }

    /// Every segment of the folder, in order; the changes of their indexes stand in [`Chapter::changes`].
    pub fn segments(&self) -> &[ChapterSegment] {
        &self.segments
    }

    /// What one segment says.
    pub fn segment(&self, name: SegmentName) -> Option<&ChapterSegment> {
        let at = self.segments.binary_search_by_key(&name, |segment| segment.segment).ok()?;
        self.segments.get(at)
    }

    /// What all segments together changed.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Whether every segment has an index.
    pub fn is_told(&self) -> bool {
        self.segments.iter().all(|segment| segment.index.is_some())
    }

    /// As the plain bytes of an object: FORMAT §9.3.
    ///
    /// # Errors
    /// It is too long.
    pub fn encode(&self) -> Result<Vec<u8>, ChapterError> {
        let words = serde_json::to_vec(&WordsOf { segments: &self.segments });
        let words = words.map_err(|error| ChapterError::Words { reason: error.to_string() })?;
        let mut writer = Writer::with_capacity(words.len() + 4096);
        writer.bytes(&words);
        self.changes.encode(&mut writer);
        if writer.len() > CHAPTER_BYTES_MAX {
            return Err(ChapterError::TooLong { folder: self.folder, bytes: writer.len() });
        }
        Ok(writer.into_bytes())
    }

    /// Reads plain bytes back.
    ///
    /// # Errors
    /// They are no chapter of this folder.
    pub fn decode(
        folder: WalFolder,
        segment_size: WalSegmentSize,
        plain: &[u8],
    ) -> Result<Self, ChapterError> {
        let mut reader = Reader::new(plain);
        let words: Words = serde_json::from_slice(reader.bytes()?)
            .map_err(|error| ChapterError::Words { reason: error.to_string() })?;
        let changes = Changes::decode(&mut reader, PAGES_MAX)?;
        reader.finish()?;
        Self::checked(folder, segment_size, words.segments, changes)
    }

    /// What it is compared by: the digest of its plain bytes.
    ///
    /// # Errors
    /// It is too long.
    pub fn digest(&self, key: &DigestKey) -> Result<Digest, ChapterError> {
        Ok(key.digest(&self.encode()?))
    }

    /// Seals it for its place, as the first of its folder.
    ///
    /// # Errors
    /// It is too long.
    pub fn seal(
        &self,
        place: &Place,
        sealer: &Sealer,
        key: &WriterKey,
        compressor: &mut Compressor,
        entropy: &mut dyn Entropy,
    ) -> Result<SealedObject, ChapterError> {
        self.seal_as((place, 0), sealer, key, compressor, entropy)
    }

    /// Seals it for its place, under a number of its folder: those before it are damaged.
    ///
    /// # Errors
    /// It is too long.
    pub fn seal_as(
        &self,
        (place, number): (&Place, u32),
        sealer: &Sealer,
        key: &WriterKey,
        compressor: &mut Compressor,
        entropy: &mut dyn Entropy,
    ) -> Result<SealedObject, ChapterError> {
        let plain = self.encode()?;
        let header =
            ChapterHeader { system: place.system, folder: self.folder, segment_size: self.segment_size };
        let fields = header_fields(&header)?;
        let name = Named::Chapter { place: place.clone(), folder: self.folder, number }.to_name();
        let object = ObjectBuilder::new(sealer, &name, fields, Protection::Meta, None, entropy)?;
        Ok(object.finish_document(&plain, compressor, sealer.digest_key(), key)?)
    }

    /// Opens a chapter whose signature and stored bytes were verified; `digest_key` is that of the generation in its head.
    ///
    /// # Errors
    /// It is damaged, or another chapter than its name says.
    pub fn open(
        whole: &WholeObject<'_>,
        digest_key: &DigestKey,
        decompressor: &mut Decompressor,
    ) -> Result<Self, ObjectError> {
        let head = whole.head();
        let strange = |reason: String| head.fault(Fault::KindHeader { reason });
        let plain = whole.all_frames(CHAPTER_BYTES_MAX, decompressor)?;
        head.verify_plain(&digest_key.digest(&plain))?;
        let header: ChapterHeader = head.header_as()?;
        let named = matches!(head.name().named(), Named::Chapter { place, folder, .. }
            if (place.system, *folder) == (header.system, header.folder));
        if !named {
            return Err(strange("it is another chapter than its name says".to_owned()));
        }
        let chapter = Self::decode(header.folder, header.segment_size, &plain);
        chapter.map_err(|error| strange(error.to_string()))
    }
}

fn header_fields(header: &ChapterHeader) -> Result<Map<String, Value>, ChapterError> {
    let json = |reason: String| ChapterError::Build(BuildError::Header(HeaderFault::Json { reason }));
    match serde_json::to_value(header) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(json("not an object".to_owned())),
        Err(error) => Err(json(error.to_string())),
    }
}

#[cfg(test)]
mod tests;

//! One object from its bytes: is it what was signed, and does it open?
//!
//! Promises: a pure function of bytes, keys and what is known beside them. Where the private key is missing, everything but content is
//! checked, and that content was not is said.

use seawall_pg::WalFileName;
use seawall_repo::chapter::Chapter;
use seawall_repo::compress::Decompressor;
use seawall_repo::envelope::{Frames, Head, Kind};
use seawall_repo::error::{Fault, ObjectError};
use seawall_repo::event::Event;
use seawall_repo::id::{Generation, WriterId};
use seawall_repo::keys::{Digest, DigestHasher, DigestKey};
use seawall_repo::layout::{Named, ObjectName};
use seawall_repo::manifest::{Manifest, ManifestError};
use seawall_repo::map::MapHeader;
use seawall_repo::object::{FrameBuffers, KeyRing, OpenHead, WholeObject};
use seawall_repo::records::{Adoption, Intent, KeyRecord};
use seawall_repo::time::Time;
use seawall_repo::trust::Trust;
use seawall_repo::wal_index::SegmentIndex;
use seawall_repo::wal_object::{PART_BYTES, WalHeader, WalReader};
use seawall_store::RegionName;

use super::body::BodyCheck;
use super::found::{Way, way_of};
use super::index::IndexCheck;
use super::links::{Beside, Edges};
use super::pages::{PageFacts, PagesSeen};
use super::wal_pages::{WalFacts, WalPages};
use crate::repository::{Copy, Repository};

/// With what objects are checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Check<'a> {
    pub(super) trust: &'a Trust,
    pub(super) keys: &'a KeyRing,
    /// When the store says the object was made first.
    pub(super) created: Option<Time>,
    /// What is known of the pages in a pack.
    pub(super) pages: Option<&'a PageFacts>,
    /// What a WAL file has to be.
    pub(super) wal: Option<&'a WalFacts>,
}

/// An object that is as it should be, as far as that was looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Good {
    /// What it is compared by.
    pub(super) plain_digest: Option<Digest>,
    pub(super) writer: Option<WriterId>,
    /// Its content was left closed: no private key.
    pub(super) closed: bool,
    pub(super) pages: PagesSeen,
    /// The digests of its parts: a WAL file in parts.
    pub(super) parts: Option<Vec<Digest>>,
    /// What it tells of its records: a segment in parts.
    pub(super) index: Option<Box<SegmentIndex>>,
    /// How it begins and ends: a segment, as far as that can be told.
    pub(super) edges: Option<Box<Edges>>,
    /// Whether it goes on behind the segment before it, where it is looked at alone.
    pub(super) beside: Option<Beside>,
    /// What it says of its segments: a chapter.
    pub(super) chapter: Option<Box<Chapter>>,
    /// The keys it was sealed with: digests of one generation can be compared.
    pub(super) generation: Option<Generation>,
}

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) way: Way,
    pub(super) fault: String,
    pub(super) writer: Option<WriterId>,
}

impl Wrong {
    pub(super) fn new(way: Way, fault: impl Into<String>) -> Self {
        Self { way, fault: fault.into(), writer: None }
    }
}

impl From<ObjectError> for Wrong {
    fn from(error: ObjectError) -> Self {
        let (way, writer) = way_of(&error);
        Self { way, fault: error.fault.to_string(), writer }
    }
}

pub(super) type Checked = Result<Good, Wrong>;

/// Whether the bytes of an object are what was signed, its content left alone; as whose copy a region's is compared, where its kind tells.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn stored_copy(
    repository: &Repository,
    name: &ObjectName,
    bytes: &[u8],
    created: Option<Time>,
    region: &RegionName,
) -> Result<Option<Copy>, String> {
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    let check = Check { trust: repository.trust(), keys: repository.keys(), created, pages: None, wal: None };
    check.stored(name, bytes).map(|good| good.copy(region)).map_err(|wrong| wrong.fault)
}

impl Check<'_> {
    /// A whole object. `plain` gets the plain bytes of WAL files.
    pub(super) fn whole(
        &self,
        name: &ObjectName,
        bytes: &[u8],
        mut decompressor: Decompressor,
        plain: Option<&mut Plain>,
    ) -> Checked {
        if bytes.is_empty() {
            return Err(Wrong::new(Way::Damaged, "it is empty"));
        }
        match Kind::of_name(name) {
            None => self.text(name, bytes),
            Some(Kind::Pack) => self.pack(name, bytes, decompressor),
            Some(Kind::Wal) => self.wal(name, bytes, &mut decompressor, plain),
            Some(kind) => {
                let decompressor = &mut decompressor;
                let whole =
                    WholeObject::open(name, bytes, self.trust, self.created, self.keys, decompressor)?;
                match kind {
                    Kind::Manifest => self.manifest(&whole, decompressor),
                    Kind::Map => self.map(name, &whole, decompressor),
                    Kind::Chapter => self.chapter(&whole, decompressor),
                    Kind::Event | Kind::Wal | Kind::Pack => {
                        Event::open(&whole, &self.digest_key(whole.head())?, decompressor)?;
                        Ok(good(whole.head()))
                    }
                }
            }
        }
    }

    /// An object's head, from its first bytes and its size.
    pub(super) fn head_of(&self, name: &ObjectName, prefix: &[u8], size: u64) -> Result<OpenHead, Wrong> {
        if size == 0 {
            return Err(Wrong::new(Way::Damaged, "it is empty"));
        }
        let head = OpenHead::open(name, prefix, self.trust, self.created)?;
        head.head().check_object_bytes(size).map_err(|error| head.fault(error))?;
        Ok(head)
    }

    /// An object at hand as a whole, its content left alone: what is stored is what was signed.
    pub(super) fn stored(&self, name: &ObjectName, bytes: &[u8]) -> Checked {
        if Kind::of_name(name).is_none() {
            return self.text(name, bytes);
        }
        let mut body = BodyCheck::new(self.head_of(name, bytes, bytes.len() as u64)?, bytes);
        body.take(bytes);
        body.finish(self)
    }

    /// A pack.
    fn pack(&self, name: &ObjectName, bytes: &[u8], decompressor: Decompressor) -> Checked {
        let head = self.head_of(name, bytes, bytes.len() as u64)?;
        let mut body = BodyCheck::new(head, bytes).with_frames(self, bytes, decompressor);
        body.take(bytes);
        body.finish(self)
    }

    pub(super) fn digest_key(&self, head: &OpenHead) -> Result<DigestKey, ObjectError> {
        let generation = head.generation();
        let fault = |generation| head.fault(Fault::NeedsMetaKey { generation });
        let key = self.keys.digest_key(generation, self.trust.repository());
        key.ok_or_else(|| fault(generation.unwrap_or(Generation::FIRST)))
    }

    fn manifest(&self, whole: &WholeObject<'_>, decompressor: &mut Decompressor) -> Checked {
        match Manifest::open(whole, &self.digest_key(whole.head())?, decompressor) {
            Ok(_) => Ok(good(whole.head())),
            Err(ManifestError::Object(error)) => Err(error.into()),
            Err(error) => Err(Wrong::new(Way::Damaged, error.to_string())),
        }
    }

    fn map(&self, name: &ObjectName, whole: &WholeObject<'_>, decompressor: &mut Decompressor) -> Checked {
        let header: MapHeader = whole.head().header_as()?;
        if !matches!(name.named(), Named::Map { backup, number, .. } if (*backup, *number) == (header.backup, header.map))
        {
            return Err(misnamed());
        }
        let (mut hasher, mut buffers) = (self.digest_key(whole.head())?.hasher(), FrameBuffers::default());
        for frame in &whole.footer().frames {
            hasher.update(whole.frame_in(frame, decompressor, &mut buffers)?);
        }
        whole.head().verify_plain(&hasher.finish())?;
        Ok(good(whole.head()))
    }

    /// A chapter by itself; whether it says what its segments say is asked by who can read those.
    fn chapter(&self, whole: &WholeObject<'_>, decompressor: &mut Decompressor) -> Checked {
        let chapter = Chapter::open(whole, &self.digest_key(whole.head())?, decompressor)?;
        Ok(Good { chapter: Some(Box::new(chapter)), ..good(whole.head()) })
    }

    /// Whether the private key that opens the frames is missing.
    pub(super) fn is_closed(&self, head: &OpenHead) -> bool {
        let needs = head.head().sealing().frames == Frames::Content;
        needs && head.generation().is_none_or(|generation| self.keys.secret(generation).is_none())
    }

    fn wal(
        &self,
        name: &ObjectName,
        bytes: &[u8],
        decompressor: &mut Decompressor,
        plain: Option<&mut Plain>,
    ) -> Checked {
        let reader = WalReader { trust: self.trust, keys: self.keys };
        let (whole, header) = reader.look(name, bytes, self.created, decompressor)?;
        let mut good = good(whole.head());
        let index = match header.part {
            None => index_of(&reader, &whole, bytes, decompressor)?,
            Some(_) => None,
        };
        if let Some(parts) = &header.parts {
            good.parts = Some(parts.iter().map(|part| part.0).collect());
            good.index = index;
            return Ok(good);
        }
        let by = whole.head().head().writer();
        if self.is_closed(whole.head()) {
            good.closed = true;
            good.edges = edges(index, by);
            return Ok(good);
        }
        let check = match header.part {
            None => self.index_check(header.file, index),
            Some(_) => None,
        };
        good.edges = edges(self.wal_content(&whole, &header, decompressor, plain, check)?, by);
        Ok(good)
    }

    /// What holds a segment's index, where it has one, against its records.
    pub(super) fn index_check(
        &self,
        file: WalFileName,
        stored: Option<Box<SegmentIndex>>,
    ) -> Option<IndexCheck> {
        IndexCheck::new(file, self.wal?, stored)
    }

    fn wal_content(
        &self,
        whole: &WholeObject<'_>,
        header: &WalHeader,
        decompressor: &mut Decompressor,
        mut plain: Option<&mut Plain>,
        mut index: Option<IndexCheck>,
    ) -> Result<Option<Box<SegmentIndex>>, Wrong> {
        let (mut hasher, mut buffers) = (self.digest_key(whole.head())?.hasher(), FrameBuffers::default());
        let from = header.part.map_or(0, |part| u64::from(part).saturating_mul(PART_BYTES as u64));
        let mut pages =
            self.wal.and_then(|facts| WalPages::new(header.file, facts)).map(|pages| pages.from(from));
        let (mut size, mut history) = (0_u64, Vec::new());
        for frame in &whole.footer().frames {
            let bytes = whole.frame_in(frame, decompressor, &mut buffers)?;
            hasher.update(bytes);
            size = size.saturating_add(bytes.len() as u64);
            if let Some(plain) = &mut plain {
                plain.take(bytes);
            }
            if let Some(index) = &mut index {
                index.take(bytes);
            }
            if let Some(pages) = &mut pages {
                pages.take(bytes);
            } else if matches!(header.file, WalFileName::TimelineHistory(_)) {
                history.extend_from_slice(bytes);
            }
        }
        whole.head().verify_plain(&hasher.finish())?;
        if size != header.size {
            let fault = format!("it holds {size} bytes, its header says {}", header.size);
            return Err(Wrong::new(Way::Damaged, fault));
        }
        if let WalFileName::TimelineHistory(timeline) = header.file
            && let Err(error) = seawall_pg::HistoryFile::parse(timeline, &history)
        {
            return Err(Wrong::new(Way::WalPage, error.to_string()));
        }
        match pages.and_then(WalPages::finish) {
            Some(fault) => return Err(Wrong::new(Way::WalPage, fault)),
            None => self.wal_size(header, size)?,
        }
        index_checked(index, whole.head().head().writer())
    }

    /// A segment is as long as segments are; a part as its place says.
    fn wal_size(&self, header: &WalHeader, size: u64) -> Result<(), Wrong> {
        let Some(facts) = self.wal else { return Ok(()) };
        if !matches!(header.file, WalFileName::Segment(_))
            || header.part.is_some()
            || size == facts.size.bytes()
        {
            return Ok(());
        }
        Err(Wrong::new(
            Way::WalPage,
            format!("a segment of {size} bytes, where segments have {}", facts.size.bytes()),
        ))
    }

    /// A signed text: who signed it, and whether it is the record of its name.
    fn text(&self, name: &ObjectName, bytes: &[u8]) -> Checked {
        let named = name.named();
        let fits = match named {
            Named::Writer(_) | Named::Revocation(_) => {
                self.trust.clone().add_writer_record(name, bytes)?;
                true
            }
            Named::Seawall | Named::Owner { .. } => {
                self.trust.open_owners::<serde_json::Value>(name, bytes)?;
                true
            }
            Named::Key { cluster, generation, change } => {
                let record: KeyRecord = self.trust.open_owners(name, bytes)?;
                (&record.cluster, record.generation, record.change) == (cluster, *generation, *change)
            }
            Named::Adoption(place) => {
                let record: Adoption = self.trust.open_writers(name, bytes, self.created)?;
                (&record.cluster, record.system) == (&place.cluster, place.system)
            }
            Named::Intent { backup, number, .. } => {
                let record: Intent = self.trust.open_writers(name, bytes, self.created)?;
                (record.backup, record.n) == (*backup, *number)
            }
            _ => {
                self.trust.open_writers::<serde_json::Value>(name, bytes, self.created)?;
                true
            }
        };
        if !fits {
            return Err(misnamed());
        }
        // A record is signed once and put everywhere: its bytes are what it is compared by.
        Ok(Good { plain_digest: Some(*blake3::hash(bytes).as_bytes()), ..Good::default() })
    }
}

/// The plain bytes of a file in parts while its parts go by.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) hasher: DigestHasher,
    pub(super) index: Option<IndexCheck>,
}

impl Plain {
    fn take(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        if let Some(index) = &mut self.index {
            index.take(bytes);
        }
    }
}

/// The index in front of an object; none where it says that it has none, or one of another release.
fn index_of(
    reader: &WalReader<'_>,
    whole: &WholeObject<'_>,
    bytes: &[u8],
    decompressor: &mut Decompressor,
) -> Result<Option<Box<SegmentIndex>>, Wrong> {
    let head = whole.head();
    let from = head.head().head_bytes();
    let front = bytes.get(from..).and_then(|body| body.get(..head.head().front_bytes() as usize));
    let index = reader.index(head, front.unwrap_or_default(), decompressor)?;
    Ok(index.ok().map(Box::new))
}

/// What a segment says of itself; what its index tells otherwise than its records, as a finding.
pub(super) fn index_checked(
    index: Option<IndexCheck>,
    writer: WriterId,
) -> Result<Option<Box<SegmentIndex>>, Wrong> {
    let Some(index) = index else { return Ok(None) };
    let wrong = |fault| Wrong::new(Way::IndexWrong, format!("{fault}; writer {writer} signed it"));
    index.finish().map_err(wrong)
}

/// The edges of a segment that says this of itself.
pub(super) fn edges(index: Option<Box<SegmentIndex>>, by: WriterId) -> Option<Box<Edges>> {
    index.map(|index| Box::new(Edges::of(&index, by)))
}

impl Good {
    /// As whose copy it is compared with the others.
    pub(super) fn copy(&self, region: &RegionName) -> Option<Copy> {
        let Self { plain_digest, generation, writer, .. } = *self;
        Some(Copy { region: region.clone(), digest: plain_digest?, generation, writer })
    }
}

pub(super) fn good(head: &OpenHead) -> Good {
    let generation = head.generation();
    let head: &Head = head.head();
    Good {
        plain_digest: Some(*head.plain_digest()),
        writer: Some(head.writer()),
        generation,
        ..Good::default()
    }
}

pub(super) fn misnamed() -> Wrong {
    Wrong::new(Way::Damaged, "it is signed, but is another object than its name says")
}

pub(super) fn pages_wrong(seen: &PagesSeen) -> Option<Wrong> {
    if let Some(first) = &seen.first_other {
        let fault = format!("{} pages are not those its footer names, the first {first}", seen.other);
        return Some(Wrong::new(Way::Damaged, fault));
    }
    let first = seen.first_broken.as_ref()?;
    let fault = format!(
        "{} pages with a wrong checksum that its backup did not know of, the first in {first}",
        seen.broken
    );
    Some(Wrong::new(Way::PageChecksum, fault))
}

//! Building a pack: pages in, sealed frames and their places out.
//!
//! Runs of 8 to 32 consecutive pages are sealed straight from the caller's buffer; fewer are gathered, in the order
//! they come, into frames of up to 64 KiB, so that small files and scattered pages share frames. Pages of zeros are
//! never stored.
//!
//! Promises that every page given is either zeros or in exactly one [`StoredRun`], with the place its frame has in the
//! finished object. One thread drives a builder; it holds one pack, no locks, and copies only gathered pages, once.
//! Deliberately makes no digests: who compares pages has them already.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::compress::Compressor;
use crate::entropy::Entropy;
use crate::keys::{DigestKey, PageDigest, WriterKey};
use crate::layout::{Named, Place};
use crate::map::chain::ZERO_PAGE;
use crate::map::path::{PathProblem, check_path};
use crate::map::place::{FramePlace, PAGE_BYTES};
use crate::object::{BuildError, FrameAt, ObjectBuilder, SealedObject};
use crate::pack::PackId;
use crate::pack::footer::{ContentsWriter, Slot};
use crate::seal::{Protection, Sealer};

/// From this size on a pack is full.
pub const PACK_BYTES_TARGET: usize = 32 << 20;

/// Most pages of a frame of consecutive pages: 256 KiB.
pub const RUN_PAGES_MAX: usize = 32;

/// Fewer consecutive pages than this are gathered.
const RUN_PAGES_MIN: usize = 8;

/// Most bytes of a frame of gathered pages.
const GATHERED_BYTES_MAX: usize = 64 << 10;

/// What a pack may grow beyond its target before it is full: a run, its tag and the footer.
const PACK_SLACK_BYTES: usize = 2 << 20;

static ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// Consecutive pages of one file.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The caller's number of the file, the same for every run of it.
    pub file: u32,
    /// The file's path, as in the map.
    pub path: &'a [u8],
    /// The first page, counted in the file.
    pub first_page: u64,
    /// The pages; the last may be short where the file ends.
    pub bytes: &'a [u8],
    /// One digest a page; [`ZERO_PAGE`] for pages of zeros.
    pub digests: &'a [PageDigest],
}

/// Where pages were stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRun {
    /// The caller's number of the file.
    pub file: u32,
    /// The first page, counted in the file.
    pub first_page: u64,
    /// Pages, one after the other.
    pub pages: u32,
    /// The frame.
    pub place: FramePlace,
    /// Where the first page begins in the plain frame.
    pub offset: u32,
}

/// A finished pack.
#[derive(Debug)]
pub struct SealedPack {
    /// The object to put.
    pub object: SealedObject,
    /// Which pack it is.
    pub pack: PackId,
    /// Pages in it.
    pub pages: u64,
    /// Its bytes as stored.
    pub stored_bytes: u64,
    /// The runs that were not taken yet.
    pub stored: Vec<StoredRun>,
}

/// Why pages cannot be packed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The object.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A run without bytes, or with another number of digests than pages.
    #[error("a run of {bytes} bytes of {} with {digests} digests", path.escape_ascii())]
    Run {
        /// Whose.
        path: Vec<u8>,
        /// Its bytes.
        bytes: usize,
        /// Its digests.
        digests: usize,
    },
    /// A page that is not zeros under the digest of zeros.
    #[error("page {page} of {} is not zeros and has no digest", path.escape_ascii())]
    Digest {
        /// Whose.
        path: Vec<u8>,
        /// Which.
        page: u64,
    },
    /// A path no reader would take.
    #[error("refused path {}: {problem}", path.escape_ascii())]
    Path {
        /// Which.
        path: Vec<u8>,
        /// Why.
        problem: PathProblem,
    },
}

/// Pages waiting for their frame to fill.
#[derive(Debug, Default)]
struct Gathered {
    plain: Vec<u8>,
    slots: Vec<Slot>,
    /// The file of each slot, and where it begins in the plain frame.
    files: Vec<(u32, u32)>,
}

/// A pack under construction.
#[derive(Debug)]
pub struct PackBuilder {
    pack: PackId,
    object: ObjectBuilder,
    digest_key: DigestKey,
    contents: ContentsWriter,
    paths: HashMap<u32, u32>,
    gathered: Gathered,
    stored: Vec<StoredRun>,
    pages: u64,
}

impl PackBuilder {
    /// Begins pack `pack` of the cluster at `place`.
    pub fn new(
        sealer: &Sealer,
        place: &Place,
        pack: PackId,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, PackError> {
        let name = Named::Pack { place: place.clone(), backup: pack.backup, number: pack.number }.into();
        let mut fields = Map::new();
        fields.insert("backup".into(), Value::from(pack.backup.to_string()));
        fields.insert("pack".into(), Value::from(pack.number));
        let mut object = ObjectBuilder::new(sealer, &name, fields, Protection::Content, None, entropy)?;
        object.reserve(PACK_BYTES_TARGET + PACK_SLACK_BYTES);
        Ok(Self {
            pack,
            object,
            digest_key: sealer.digest_key().clone(),
            contents: ContentsWriter::default(),
            paths: HashMap::new(),
            gathered: Gathered::default(),
            stored: Vec::new(),
            pages: 0,
        })
    }

    /// Bytes the pack would have now, gathered pages as if incompressible.
    pub fn stored_len(&self) -> usize {
        self.object.stored_len() + self.gathered.plain.len() + self.contents.len()
    }

    /// Whether it is time to finish.
    pub fn is_full(&self) -> bool {
        self.stored_len() >= PACK_BYTES_TARGET
    }

    /// Adds pages. Their places come with [`PackBuilder::take_stored`] once their frames are sealed.
    pub fn add_run(&mut self, run: &Run<'_>, compressor: &mut Compressor) -> Result<(), PackError> {
        if run.bytes.is_empty() || run.digests.len() != run.bytes.len().div_ceil(PAGE_BYTES) {
            let (bytes, digests) = (run.bytes.len(), run.digests.len());
            return Err(PackError::Run { path: run.path.to_vec(), bytes, digests });
        }
        let mut stretch = 0..0;
        for (index, (page, digest)) in run.bytes.chunks(PAGE_BYTES).zip(run.digests).enumerate() {
            if ZEROS.get(..page.len()) == Some(page) {
                self.add_stretch(run, stretch, compressor)?;
                stretch = index + 1..index + 1;
            } else if *digest == ZERO_PAGE {
                let page = run.first_page + index as u64;
                return Err(PackError::Digest { path: run.path.to_vec(), page });
            } else {
                stretch.end = index + 1;
            }
        }
        self.add_stretch(run, stretch, compressor)
    }

    /// The runs whose frames were sealed since the last call.
    pub fn take_stored(&mut self) -> Vec<StoredRun> {
        std::mem::take(&mut self.stored)
    }

    /// Seals what is gathered, so that all pages added so far have their places. A frame may end up small.
    pub fn flush(&mut self, compressor: &mut Compressor) -> Result<(), PackError> {
        self.seal_gathered(compressor)
    }

    /// Seals what is gathered and finishes the object; `None` if no page was stored.
    pub fn finish(
        mut self,
        key: &WriterKey,
        compressor: &mut Compressor,
    ) -> Result<Option<SealedPack>, PackError> {
        self.seal_gathered(compressor)?;
        if self.pages == 0 {
            return Ok(None);
        }
        let Self { pack, object, digest_key, contents, stored, pages, .. } = self;
        let contents = contents.into_bytes();
        let object = object.finish(&contents, digest_key.digest(&contents), key)?;
        let stored_bytes = object.bytes().len() as u64;
        Ok(Some(SealedPack { object, pack, pages, stored_bytes, stored }))
    }

    /// Adds the pages `stretch` of a run, none of which is zeros.
    fn add_stretch(
        &mut self,
        run: &Run<'_>,
        stretch: std::ops::Range<usize>,
        compressor: &mut Compressor,
    ) -> Result<(), PackError> {
        let end = (stretch.end * PAGE_BYTES).min(run.bytes.len());
        let bytes = run.bytes.get(stretch.start * PAGE_BYTES..end).unwrap_or_default();
        let digests = run.digests.get(stretch.clone()).unwrap_or_default();
        if digests.is_empty() {
            return Ok(());
        }
        let path = self.path_index(run)?;
        let mut first_page = run.first_page + stretch.start as u64;
        for (bytes, digests) in bytes.chunks(RUN_PAGES_MAX * PAGE_BYTES).zip(digests.chunks(RUN_PAGES_MAX)) {
            // 1 to 8,192.
            let last_page_bytes = (bytes.len() - (digests.len() - 1) * PAGE_BYTES) as u16;
            let slot = Slot { path, first_page, last_page_bytes, digests: digests.to_vec() };
            first_page += digests.len() as u64;
            if digests.len() >= RUN_PAGES_MIN {
                let frame = self.object.push_frame(bytes, compressor)?;
                self.record(frame, &[slot], &[(run.file, 0)]);
            } else {
                self.gather(run.file, slot, bytes, compressor)?;
            }
        }
        Ok(())
    }

    /// The index of the run's path in this pack.
    fn path_index(&mut self, run: &Run<'_>) -> Result<u32, PackError> {
        if let Some(index) = self.paths.get(&run.file) {
            return Ok(*index);
        }
        check_path(run.path).map_err(|problem| PackError::Path { path: run.path.to_vec(), problem })?;
        let index = self.paths.len() as u32;
        self.paths.insert(run.file, index);
        self.contents.path(run.path);
        Ok(index)
    }

    fn gather(
        &mut self,
        file: u32,
        slot: Slot,
        bytes: &[u8],
        compressor: &mut Compressor,
    ) -> Result<(), PackError> {
        if self.gathered.plain.len() + bytes.len() > GATHERED_BYTES_MAX {
            self.seal_gathered(compressor)?;
        }
        let gathered = &mut self.gathered;
        gathered.files.push((file, gathered.plain.len() as u32));
        gathered.slots.push(slot);
        gathered.plain.extend_from_slice(bytes);
        Ok(())
    }

    fn seal_gathered(&mut self, compressor: &mut Compressor) -> Result<(), PackError> {
        if self.gathered.slots.is_empty() {
            return Ok(());
        }
        let frame = self.object.push_frame(&self.gathered.plain, compressor)?;
        let mut gathered = std::mem::take(&mut self.gathered);
        self.record(frame, &gathered.slots, &gathered.files);
        // The buffers serve the next frame.
        gathered.plain.clear();
        gathered.slots.clear();
        gathered.files.clear();
        self.gathered = gathered;
        Ok(())
    }

    /// Notes what a sealed frame holds.
    fn record(&mut self, frame: FrameAt, slots: &[Slot], files: &[(u32, u32)]) {
        self.contents.frame(slots);
        let place = FramePlace { pack: self.pack, at: frame };
        for (slot, &(file, offset)) in slots.iter().zip(files) {
            let pages = slot.digests.len() as u32;
            self.pages += u64::from(pages);
            self.stored.push(StoredRun { file, first_page: slot.first_page, pages, place, offset });
        }
    }
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;

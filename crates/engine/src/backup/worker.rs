//! One worker: reads pages, keeps those the parent has, packs the others.
//!
//! Promises: a page is stored, or its place in an older pack is carried over because its digest is the same or because WAL tells that
//! nothing changed it (`changed`); broken pages are stored as they are and reported. A worker owns its packs: nothing on this road is locked.
//! Memory: packs under construction of one worker stay below its budget; a run of 256 KiB beside it.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seawall_repo::compact::Temperature;
use seawall_repo::compress::Compressor;
use seawall_repo::keys::{DigestKey, PageDigest};
use seawall_repo::map::chain::{ChainError, LeafPages, ZERO_PAGE, resolve_digests, resolve_locations};
use seawall_repo::map::diff::Update;
use seawall_repo::map::file_block::{Chain, FileEntry, LeafChains};
use seawall_repo::map::place::{LEAF_PAGES, PAGE_BYTES};
use seawall_repo::pack::{PackId, Run};
use seawall_repo::relation_list::is_made;

use super::adopt::Adopted;
use super::changed::{Changed, ToRead, join};
use super::jobs::{FileWork, Item, Work};
use super::leaf::{Older, Pending, finish_leaf, pages_of, settle};
use super::packer::{Class, Packer};
use crate::error::{Error, Result};
use crate::monitor::{Finding, Monitor};
use crate::repository::Maps;
use crate::source::{RUN_PAGES_MAX, Reader, SourceFile};

static ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// A broken page, as the manifest lists it.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    pub(super) path: Vec<u8>,
    pub(super) page: seawall_pg::page_check::BrokenPage,
}

/// What a worker made of one leaf.
#[derive(Debug)]
pub(super) struct LeafDone {
    pub(super) leaf: u32,
    /// Bytes of this leaf that there are; less than expected only where a file other than a relation shrank.
    pub(super) bytes: u64,
    pub(super) parent: Option<LeafChains>,
    pub(super) locations: Update,
    pub(super) digests: Update,
    /// Pages in use, by pack.
    pub(super) uses: Vec<(PackId, u64)>,
    /// Pages stored anew because they changed.
    pub(super) changed: u64,
    /// Pages stored anew to empty an old pack.
    pub(super) rewritten: u64,
    pub(super) broken: Vec<Broken>,
}

/// What became of one path of a job.
#[derive(Debug)]
pub(super) enum Done {
    Other(FileEntry),
    /// Leaves of a file; all of them for a small one.
    File {
        file: Arc<FileWork>,
        leaves: Vec<LeafDone>,
        finding: Option<Finding>,
    },
    /// The file was gone when it was opened.
    Vanished {
        file: Arc<FileWork>,
    },
}

/// What all workers share.
pub(super) struct Shared {
    pub(super) reader: Reader,
    pub(super) maps: Arc<Maps>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) digest_key: DigestKey,
    /// Packs whose pages are stored again because too little of them is in use.
    pub(super) emptied: HashSet<PackId>,
    /// Backups whose packs say when a page last changed, with their age in seconds.
    pub(super) pack_age: PackAge,
    pub(super) adopted: Adopted,
    /// What changed since the parent, where WAL tells.
    pub(super) changed: Option<Changed>,
    /// Bytes read of the files.
    pub(super) read: Arc<AtomicU64>,
    pub(super) monitor: Arc<dyn Monitor>,
}

/// How old packs are, for telling hot pages from cold ones.
#[derive(Debug, Clone, Default)]
pub(super) struct PackAge {
    /// When this backup began.
    pub(super) now_seconds: u64,
    /// Backups without a parent: their packs say nothing about when a page last changed.
    pub(super) fulls: HashSet<seawall_repo::id::BackupId>,
}

impl PackAge {
    fn class_of_changed(&self, earlier: Option<PackId>) -> Class {
        let age = earlier.filter(|pack| !self.fulls.contains(&pack.backup)).map(|pack| {
            std::time::Duration::from_secs(self.now_seconds.saturating_sub(pack.backup.seconds()))
        });
        match Temperature::of_changed_page(age) {
            Temperature::Hot => Class::Hot,
            Temperature::Cold => Class::Cold,
        }
    }
}

/// One worker.
pub(super) struct Worker<'a> {
    shared: &'a Shared,
    packer: Packer<'a>,
    compressor: Compressor,
    buffer: Vec<u8>,
}

/// Where a page goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It stays where it is (or is zeros).
    Stays,
    /// Its bytes lie in an adopted pack.
    Adopted,
    Stored(Class),
}

impl<'a> Worker<'a> {
    pub(super) fn new(shared: &'a Shared, packer: Packer<'a>, compressor: Compressor) -> Self {
        Self { shared, packer, compressor, buffer: vec![0; RUN_PAGES_MAX * PAGE_BYTES] }
    }

    /// Does one piece of work.
    pub(super) fn work(&mut self, work: Work) -> Result<Vec<Done>> {
        let mut pending = Vec::new();
        let mut done = Vec::new();
        match work {
            Work::Leaf { file, leaf } => {
                self.file(&file, leaf..leaf.saturating_add(1), &mut pending, &mut done)?;
            }
            Work::Batch(items) => {
                for item in items {
                    match item {
                        Item::Other(entry) => done.push(Done::Other(entry)),
                        Item::File(file) => {
                            self.file(&file, 0..leaves_of(file.size), &mut pending, &mut done)?;
                        }
                    }
                }
            }
        }
        self.packer.flush(&mut self.compressor)?;
        settle(&mut pending, &self.packer.take_stored())?;
        for leaf in pending {
            let (number, leaf) = (leaf.file.number, finish_leaf(leaf));
            if let Some(Done::File { leaves, .. }) = done.iter_mut().find(|done| is_of(done, number)) {
                leaves.push(leaf);
            }
        }
        Ok(done)
    }

    /// Puts the packs that are still under construction.
    pub(super) fn finish(mut self) -> Result<()> {
        self.packer.finish(&mut self.compressor)
    }

    fn file(
        &mut self,
        file: &Arc<FileWork>,
        leaves: std::ops::Range<u32>,
        pending: &mut Vec<Pending>,
        done: &mut Vec<Done>,
    ) -> Result<()> {
        let shared = self.shared;
        if let Some(unread) = self.unread(file, leaves.clone())? {
            done.push(Done::File { file: Arc::clone(file), leaves: Vec::new(), finding: None });
            pending.extend(unread);
            return Ok(());
        }
        let Some(mut source) = shared.reader.open(&file.path, Some(file.size))? else {
            done.push(Done::Vanished { file: Arc::clone(file) });
            return Ok(());
        };
        let finding = if leaves.start == 0 { source.finding() } else { None };
        done.push(Done::File { file: Arc::clone(file), leaves: Vec::new(), finding });
        for leaf in leaves {
            let leaf = self.leaf(file, &mut source, leaf)?;
            pending.push(leaf);
        }
        Ok(())
    }

    /// Leaves of a file of which WAL tells that nothing is to be read: it is not even opened, which is most of the cost where there are
    /// many. None where something is.
    fn unread(&self, file: &Arc<FileWork>, leaves: Range<u32>) -> Result<Option<Vec<Pending>>> {
        if file.parent_bytes != Some(file.size) {
            return Ok(None);
        }
        let Some(changed) = &self.shared.changed else { return Ok(None) };
        let ToRead::Pages(known) = changed.to_read(&file.path, file.parent_bytes, file.size) else {
            return Ok(None);
        };
        let mut unread = Vec::new();
        for leaf in leaves {
            let pages = pages_of(leaf, file.size);
            if !known.within(pages.clone()).is_empty() {
                return Ok(None);
            }
            let (older, ranges) = self.older(file, &pages)?;
            if older.is_none() || !ranges.is_empty() {
                return Ok(None);
            }
            let mut leaf = Pending::new(file, leaf, older);
            leaf.keep(pages.clone(), pages.start, self.shared.monitor.as_ref());
            leaf.locations.truncate((pages.end - pages.start) as usize);
            unread.push(leaf);
        }
        Ok(Some(unread))
    }

    /// What is known of a leaf before a page is read: what the parent has, and which of its pages (counted in the file) are to be
    /// read. Digests are not fetched where none is.
    fn older(&self, file: &FileWork, pages: &Range<u64>) -> Result<(Option<Older>, Vec<Range<u64>>)> {
        let leaf = (pages.start / LEAF_PAGES as u64) as usize;
        let Some(chains) = file.parent.get(leaf) else { return Ok((None, vec![pages.clone()])) };
        let locations =
            resolve_locations(&self.chain(&chains.locations)?).map_err(|error| damaged(file, error))?;
        let to_read = match &self.shared.changed {
            Some(changed) => changed.to_read(&file.path, file.parent_bytes, file.size),
            None => ToRead::Everything,
        };
        let ranges = match to_read {
            ToRead::Everything => vec![pages.clone()],
            ToRead::Pages(known) => self.with_emptied(known.within(pages.clone()), pages, &locations),
        };
        let digests = if ranges.is_empty() && file.parent_bytes == Some(file.size) {
            None
        } else {
            Some(resolve_digests(&self.chain(&chains.digests)?).map_err(|error| damaged(file, error))?)
        };
        Ok((Some(Older { chains: chains.clone(), locations, digests }), ranges))
    }

    fn chain(&self, chain: &Chain) -> Result<Vec<Vec<u8>>> {
        self.shared.runtime.block_on(self.shared.maps.chain(chain))
    }

    /// Adds the pages that lie in packs to be emptied.
    fn with_emptied(
        &self,
        ranges: Vec<Range<u64>>,
        pages: &Range<u64>,
        locations: &LeafPages,
    ) -> Vec<Range<u64>> {
        let emptied = &self.shared.emptied;
        if !locations.frames().iter().any(|frame| emptied.contains(&frame.pack)) {
            return ranges;
        }
        let is_emptied = |page: u64| {
            let place = locations.place((page % LEAF_PAGES as u64) as usize);
            place.is_some_and(|(place, _)| emptied.contains(&place.pack))
        };
        let mut all = Vec::new();
        let mut ranges = ranges.into_iter().peekable();
        for page in pages.clone() {
            while ranges.next_if(|range| range.end <= page).is_some() {}
            if is_emptied(page) || ranges.peek().is_some_and(|range| range.contains(&page)) {
                join(&mut all, page..page + 1);
            }
        }
        all
    }

    fn leaf(&mut self, file: &Arc<FileWork>, source: &mut SourceFile<'_>, leaf: u32) -> Result<Pending> {
        let Range { start: first, end } = pages_of(leaf, source.size_bytes());
        let (older, to_read) = self.older(file, &(first..end))?;
        let mut pending = Pending::new(file, leaf, older);
        let mut page = first;
        for range in to_read {
            pending.keep(page..range.start, first, self.shared.monitor.as_ref());
            page = range.end;
            if !self.pages(source, &mut pending, range)? {
                // The file ended while it was read; what it was to have behind that does not exist.
                pending.locations.truncate(pending.digests.len());
                return Ok(pending);
            }
        }
        pending.keep(page..end, first, self.shared.monitor.as_ref());
        pending.locations.truncate((end - first) as usize);
        Ok(pending)
    }

    /// Reads pages of the file; false where it ended before them.
    fn pages(
        &mut self,
        source: &mut SourceFile<'_>,
        pending: &mut Pending,
        pages: Range<u64>,
    ) -> Result<bool> {
        let mut page = pages.start;
        while page < pages.end {
            let count = (pages.end - page).min(RUN_PAGES_MAX as u64);
            let mut buffer = std::mem::take(&mut self.buffer);
            let room = buffer.get_mut(..count as usize * PAGE_BYTES).unwrap_or_default();
            let read = self.run(source, pending, page * PAGE_BYTES as u64, room);
            self.buffer = buffer;
            page += count;
            if read? < count as usize * PAGE_BYTES {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads up to 32 pages and does with each what its digest says. The bytes that there are.
    fn run(
        &mut self,
        source: &mut SourceFile<'_>,
        pending: &mut Pending,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize> {
        let read = source.read_run(offset, buffer)?;
        self.shared.monitor.advance(read.bytes as u64);
        let path = &pending.file.path;
        let of_cluster = if is_made(path) { 0 } else { read.bytes as u64 };
        self.shared.read.fetch_add(of_cluster, Ordering::Relaxed);
        pending.broken.extend(read.broken.iter().map(|page| Broken { path: path.clone(), page: *page }));
        // What a relation lost, WAL takes away again; of any other file only what there is belongs into the backup.
        let kept = if source.is_relation() { read.bytes } else { read.bytes.saturating_sub(read.missing) };
        let bytes = buffer.get(..kept).unwrap_or_default();
        let digests: Vec<PageDigest> = bytes.chunks(PAGE_BYTES).map(|page| self.digest(page)).collect();
        let base = pending.digests.len();
        let fates: Vec<Fate> = digests
            .iter()
            .enumerate()
            .map(|(index, digest)| self.fate(pending, base + index, digest))
            .collect();
        self.store(pending, base, bytes, &digests, &fates)?;
        pending.digests.extend(digests);
        pending.bytes += kept as u64;
        Ok(kept)
    }

    fn digest(&self, page: &[u8]) -> PageDigest {
        if ZEROS.get(..page.len()) == Some(page) {
            ZERO_PAGE
        } else {
            self.shared.digest_key.page_digest(page)
        }
    }

    fn fate(&self, pending: &mut Pending, page: usize, digest: &PageDigest) -> Fate {
        let earlier = pending.locations.place(page).map(|(place, _)| place.pack);
        if *digest == ZERO_PAGE {
            pending.locations.set_zeros(page, 1);
            return Fate::Stays;
        }
        let same = pending.older.as_ref().is_some_and(|older| older.has(page, digest));
        match earlier {
            Some(pack) if same && !self.shared.emptied.contains(&pack) => return Fate::Stays,
            Some(_) if same => {
                pending.rewritten += 1;
                return Fate::Stored(Class::Rewritten);
            }
            _ => {}
        }
        // The names of relations are new in every backup, and no pages of the cluster.
        pending.changed += u64::from(!is_made(&pending.file.path));
        let absolute = u64::from(pending.leaf) * LEAF_PAGES as u64 + page as u64;
        if let Some((place, offset)) = self.shared.adopted.find(&pending.file.path, absolute, digest) {
            pending.locations.set(page, 1, &place, offset);
            return Fate::Adopted;
        }
        Fate::Stored(self.shared.pack_age.class_of_changed(earlier))
    }

    /// Packs the stretches of pages that are stored, each of one class.
    fn store(
        &mut self,
        pending: &Pending,
        base: usize,
        bytes: &[u8],
        digests: &[PageDigest],
        fates: &[Fate],
    ) -> Result<()> {
        let leaf_first = u64::from(pending.leaf) * LEAF_PAGES as u64;
        let mut from = 0;
        for stretch in fates.chunk_by(|a, b| a == b) {
            let to = from + stretch.len();
            if let Some(Fate::Stored(class)) = stretch.first() {
                let end = (to * PAGE_BYTES).min(bytes.len());
                let run = Run {
                    file: pending.file.number,
                    path: &pending.file.path,
                    first_page: leaf_first + (base + from) as u64,
                    bytes: bytes.get(from * PAGE_BYTES..end).unwrap_or_default(),
                    digests: digests.get(from..to).unwrap_or_default(),
                };
                self.packer.add(*class, &run, &mut self.compressor)?;
            }
            from = to;
        }
        Ok(())
    }
}

fn damaged(file: &FileWork, error: ChainError) -> Error {
    let path = crate::text::shown_bytes(&file.path);
    Error::data("repository.map-damaged", format!("the parent's map of {path} cannot be resolved"))
        .because(error)
}

fn leaves_of(size: u64) -> u32 {
    u32::try_from(seawall_repo::map::file_block::leaf_count(size)).unwrap_or(u32::MAX)
}

fn is_of(done: &Done, number: u32) -> bool {
    matches!(done, Done::File { file, .. } if file.number == number)
}

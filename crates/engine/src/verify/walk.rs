//! The maps of one backup, node by node, held against its manifest and the footers of the packs they name.
//!
//! Promises: a backup whose walk finds nothing, and whose packs and maps are good, is one that a restore can write: every page of every
//! file lies in a frame that is in its pack as the map says, with the digest that the map names. A block that an older backup's walk went
//! through is not gone through again. Maps and packs that are known to be bad are passed over: what names them is not to blame.
//! Memory: the blocks of one backup, the footers of the packs at hand.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use seawall_repo::keys::PageDigest;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::manifest::Manifest;
use seawall_repo::map::{
    Chain, EntryKind, FileBlockReader, FileEntry, FramePlace, LEAF_PAGES, LeafChains, NodeRef, PAGE_BYTES,
    ZERO_PAGE, resolve_digests, resolve_locations,
};
use seawall_repo::object::FrameAt;
use seawall_repo::pack::{PackContents, PackId};
use seawall_store::RegionName;

use super::found::{Findings, Way};
use crate::error::{Kind, Result};
use crate::repository::{Maps, Repository};
use crate::text::shown_bytes;

/// Footers that are kept, in bytes of their pages' digests.
const FOOTERS_BYTES: usize = 64 << 20;

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WalkFault {
    pub(super) about: About,
    pub(super) way: Way,
    pub(super) fault: String,
}

/// What a walk's fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    Manifest,
    Map(PackId),
}

/// Walks through the backups of one place in one region, oldest first.
pub(super) struct Walker {
    repository: Repository,
    place: Place,
    region: RegionName,
    maps: Maps,
    findings: Arc<Mutex<Findings>>,
    blocks: HashMap<NodeRef, Arc<Block>>,
    footers: Footers,
}

/// What is kept of a block.
#[derive(Debug, Default)]
struct Block {
    entries: u64,
    first: Vec<u8>,
    last: Vec<u8>,
    bytes: u64,
    pages: BTreeMap<PackId, u64>,
    /// Whether all of it could be gone through.
    whole: bool,
}

/// A pack's frames, each with its pages by their place in it.
type Frames = Vec<(FrameAt, Vec<(u32, PageDigest)>)>;

#[derive(Default)]
struct Footers {
    kept: HashMap<PackId, Arc<Frames>>,
    order: VecDeque<(PackId, usize)>,
    bytes: usize,
}

impl Walker {
    /// `repository` shows this region alone.
    pub(super) fn new(
        repository: Repository,
        place: &Place,
        region: &RegionName,
        findings: Arc<Mutex<Findings>>,
    ) -> Self {
        let maps = Maps::new(&repository, place);
        let (place, region) = (place.clone(), region.clone());
        Self {
            repository,
            place,
            region,
            maps,
            findings,
            blocks: HashMap::new(),
            footers: Footers::default(),
        }
    }

    /// Goes through one backup.
    ///
    /// # Errors
    /// The region cannot be reached.
    pub(super) async fn walk(&mut self, manifest: &Manifest) -> Result<Vec<WalkFault>> {
        let mut faults = Vec::new();
        let older = std::mem::take(&mut self.blocks);
        let (mut bytes, mut whole) = (0_u64, true);
        let (mut pages, mut last): (BTreeMap<PackId, u64>, Vec<u8>) = Default::default();
        for row in &manifest.body.blocks {
            let block = match older.get(&row.node) {
                Some(block) => Arc::clone(block),
                None => Arc::new(self.block(&row.node, &mut faults).await?),
            };
            self.blocks.insert(row.node, Arc::clone(&block));
            whole &= block.whole;
            if !block.whole {
                continue;
            }
            if block.entries != row.entries
                || block.first != row.first
                || (!last.is_empty() && block.first <= last)
            {
                let fault = format!("its block at {} is not the one it names", shown_bytes(&row.first));
                faults.push(WalkFault { about: About::Manifest, way: Way::MapMismatch, fault });
            }
            last.clone_from(&block.last);
            bytes = bytes.saturating_add(block.bytes);
            block.pages.iter().for_each(|(pack, count)| *pages.entry(*pack).or_default() += count);
        }
        if whole {
            faults.extend(against_manifest(manifest, bytes, &pages));
        }
        Ok(faults)
    }

    async fn block(&mut self, node: &NodeRef, faults: &mut Vec<WalkFault>) -> Result<Block> {
        let Some(bytes) = self.node(node, faults).await? else { return Ok(Block::default()) };
        let mut block = Block { whole: true, ..Block::default() };
        let about = About::Map(map_of(node));
        let damaged = |error: &dyn std::fmt::Display| WalkFault {
            about,
            way: Way::MapMismatch,
            fault: error.to_string(),
        };
        let mut reader = match FileBlockReader::new(&bytes) {
            Ok(reader) => reader,
            Err(error) => {
                faults.push(damaged(&error));
                return Ok(Block::default());
            }
        };
        loop {
            match reader.next_entry() {
                Ok(Some(entry)) => self.entry(&entry, about, &mut block, faults).await?,
                Ok(None) => return Ok(block),
                Err(error) => {
                    faults.push(damaged(&error));
                    return Ok(Block::default());
                }
            }
        }
    }

    async fn entry(
        &mut self,
        entry: &FileEntry,
        about: About,
        block: &mut Block,
        faults: &mut Vec<WalkFault>,
    ) -> Result<()> {
        if block.entries == 0 {
            block.first.clone_from(&entry.path);
        }
        block.entries += 1;
        block.last.clone_from(&entry.path);
        let EntryKind::File { size, leaves } = &entry.kind else { return Ok(()) };
        block.bytes = block.bytes.saturating_add(*size);
        let mut pages = size.div_ceil(PAGE_BYTES as u64);
        for leaf in leaves {
            let here = pages.min(LEAF_PAGES as u64) as usize;
            pages = pages.saturating_sub(here as u64);
            self.leaf((&entry.path, about), leaf, here, block, faults).await?;
        }
        Ok(())
    }

    /// One leaf of the file at this path, whose entry stands in that map.
    async fn leaf(
        &mut self,
        (path, about): (&[u8], About),
        leaf: &LeafChains,
        pages: usize,
        block: &mut Block,
        faults: &mut Vec<WalkFault>,
    ) -> Result<()> {
        let (locations, digests) =
            (self.chain(&leaf.locations, faults).await?, self.chain(&leaf.digests, faults).await?);
        let (Some(locations), Some(digests)) = (locations, digests) else {
            block.whole = false;
            return Ok(());
        };
        let about = match &leaf.locations {
            Chain::Nodes(nodes) => nodes.last().map_or(about, |node| About::Map(map_of(node))),
            Chain::Inline(_) => about,
        };
        let path = shown_bytes(path);
        let mismatch =
            |fault: String| WalkFault { about, way: Way::MapMismatch, fault: format!("{path}: {fault}") };
        let (places, digests) = match (resolve_locations(&locations), resolve_digests(&digests)) {
            (Ok(places), Ok(digests)) => (places, digests),
            (Err(error), _) | (_, Err(error)) => {
                faults.push(mismatch(error.to_string()));
                block.whole = false;
                return Ok(());
            }
        };
        // The table of packs counts what stands in the leaf, also past the end of a file.
        for page in 0..LEAF_PAGES {
            if let Some((place, _)) = places.place(page) {
                *block.pages.entry(place.pack).or_default() += 1;
            }
        }
        for page in 0..pages {
            let (digest, place) = (digests.digest(page), places.place(page));
            let fault = match place {
                None => (digest != ZERO_PAGE)
                    .then(|| format!("page {page} of a leaf lies nowhere, but is not of zeros")),
                Some((place, offset)) => self.page(place, offset, &digest).await?,
            };
            if let Some(fault) = fault {
                faults.push(mismatch(fault));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether a page lies where the map says.
    async fn page(&mut self, place: &FramePlace, offset: u32, digest: &PageDigest) -> Result<Option<String>> {
        let Some(frames) = self.frames(place.pack).await? else { return Ok(None) };
        let fault = match frames.get(place.at.number as usize) {
            Some((at, pages)) if *at == place.at => {
                match pages.binary_search_by_key(&offset, |(at, _)| *at) {
                    Ok(index) if pages.get(index).is_some_and(|(_, of_pack)| of_pack == digest) => {
                        return Ok(None);
                    }
                    Ok(_) => "holds another page than the map names",
                    Err(_) => "has no page where the map says",
                }
            }
            _ => "is not as the map says",
        };
        Ok(Some(format!("frame {} of {} {fault}", place.at.number, place.pack)))
    }

    /// A pack's frames; none where the pack is bad, which is found where it lies.
    async fn frames(&mut self, pack: PackId) -> Result<Option<Arc<Frames>>> {
        if let Some(frames) = self.footers.kept.get(&pack) {
            return Ok(Some(Arc::clone(frames)));
        }
        if self.findings.lock().unwrap_or_else(PoisonError::into_inner).has_pack(&self.region, pack) {
            return Ok(None);
        }
        let name: ObjectName =
            Named::Pack { place: self.place.clone(), backup: pack.backup, number: pack.number }.into();
        let read = async {
            let reader = self.repository.open_object(&name).await?;
            reader.footer().await
        };
        let footer = match read.await {
            Ok(footer) => footer,
            Err(error) if error.kind() == Kind::Unavailable => return Err(error),
            // Told by whoever reads the pack: this run, or the one that the place remembered comes from.
            Err(_) => return Ok(None),
        };
        let lengths: Vec<u32> = footer.frames.iter().map(|frame| frame.plain_len).collect();
        let Ok(contents) = PackContents::decode(&footer.contents, &lengths) else { return Ok(None) };
        let frames: Frames = footer
            .frames
            .into_iter()
            .zip(&contents.frames)
            .map(|(at, slots)| (at, pages_of(slots)))
            .collect();
        let frames = Arc::new(frames);
        self.footers.keep(pack, &frames);
        Ok(Some(frames))
    }

    async fn chain(&mut self, chain: &Chain, faults: &mut Vec<WalkFault>) -> Result<Option<Vec<Vec<u8>>>> {
        match chain {
            Chain::Inline(node) => Ok(Some(vec![node.clone()])),
            Chain::Nodes(references) => {
                let mut nodes = Vec::with_capacity(references.len());
                for reference in references {
                    let Some(node) = self.node(reference, faults).await? else { return Ok(None) };
                    nodes.push(node);
                }
                Ok(Some(nodes))
            }
        }
    }

    /// A node; none where its map is bad, which is told once.
    async fn node(&mut self, reference: &NodeRef, faults: &mut Vec<WalkFault>) -> Result<Option<Vec<u8>>> {
        let map = map_of(reference);
        if self.findings.lock().unwrap_or_else(PoisonError::into_inner).has_map(&self.region, map) {
            return Ok(None);
        }
        match self.maps.node(reference).await {
            Ok(node) => Ok(Some(node)),
            Err(error) if error.kind() == Kind::Unavailable => Err(error),
            Err(error) => {
                let way = match error.id() {
                    "repository.map-reference" => Way::MapMismatch,
                    "repository.object-missing" => Way::Missing,
                    _ => Way::Damaged,
                };
                let fault = WalkFault { about: About::Map(map), way, fault: error.to_string() };
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
                Ok(None)
            }
        }
    }
}

/// The maps that the file blocks of a backup name, and those its blocks lie in; what cannot be read is in too.
pub(super) async fn maps_named(
    repository: &Repository,
    place: &Place,
    manifest: &Manifest,
) -> BTreeSet<PackId> {
    let maps = Maps::new(repository, place);
    let mut named = BTreeSet::new();
    for row in &manifest.body.blocks {
        named.insert(map_of(&row.node));
        let Ok(node) = maps.node(&row.node).await else { continue };
        let Ok(mut reader) = FileBlockReader::new(&node) else { continue };
        while let Ok(Some(entry)) = reader.next_entry() {
            let EntryKind::File { leaves, .. } = entry.kind else { continue };
            for chain in leaves.iter().flat_map(|leaf| [&leaf.locations, &leaf.digests]) {
                if let Chain::Nodes(nodes) = chain {
                    named.extend(nodes.iter().map(map_of));
                }
            }
        }
    }
    named
}

fn map_of(node: &NodeRef) -> PackId {
    PackId { backup: node.backup, number: node.map }
}

fn pages_of(slots: &[seawall_repo::pack::Slot]) -> Vec<(u32, PageDigest)> {
    let mut pages = Vec::new();
    let mut begin = 0_usize;
    for slot in slots {
        let places = (begin..).step_by(PAGE_BYTES);
        pages.extend(
            places.zip(&slot.digests).map(|(at, digest)| (u32::try_from(at).unwrap_or(u32::MAX), *digest)),
        );
        begin += slot.plain_bytes();
    }
    pages
}

impl Footers {
    fn keep(&mut self, pack: PackId, frames: &Arc<Frames>) {
        let bytes = frames.iter().map(|(_, pages)| 64 + pages.len() * 20).sum();
        self.kept.insert(pack, Arc::clone(frames));
        self.order.push_back((pack, bytes));
        self.bytes += bytes;
        while self.bytes > FOOTERS_BYTES && self.order.len() > 1 {
            let Some((oldest, bytes)) = self.order.pop_front() else { return };
            self.kept.remove(&oldest);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }
}

/// Whether the manifest's sums are those of its maps.
fn against_manifest(manifest: &Manifest, bytes: u64, pages: &BTreeMap<PackId, u64>) -> Option<WalkFault> {
    let fault = |fault: String| Some(WalkFault { about: About::Manifest, way: Way::MapMismatch, fault });
    // Some writers count pg_control, which stands in the manifest, among the files.
    let with_control = bytes.saturating_add(manifest.body.control.len() as u64);
    if bytes != manifest.header.bytes && with_control != manifest.header.bytes {
        return fault(format!(
            "its files have {bytes} bytes by its maps, {} by itself",
            manifest.header.bytes
        ));
    }
    let listed: BTreeMap<PackId, u64> =
        manifest.body.packs.iter().map(|row| (row.pack, row.pages_in_use)).collect();
    let differs = pages.iter().find(|(pack, count)| listed.get(*pack) != Some(*count));
    if let Some((pack, count)) = differs {
        let listed = listed.get(pack).copied().unwrap_or(0);
        return fault(format!("its maps use {count} pages of {pack}, its table of packs says {listed}"));
    }
    let unused = listed.keys().find(|pack| !pages.contains_key(*pack));
    unused.and_then(|pack| fault(format!("its table names {pack}, which none of its maps uses")))
}
